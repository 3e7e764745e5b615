//! The LMDB environment of one store: opening it, reading it, and what its errors mean.

use std::{
    io,
    ops::Bound,
    path::{Path, PathBuf},
    sync::Arc,
};

use heed::{
    CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, MdbError, RoRange, RoRevRange, RoTxn,
    RwTxn, WithoutTls, types::Bytes,
};
use settle_engine::{Direction, ReadError, slice::View};

use crate::{
    OpenError,
    folder::Folder,
    limits::{PAGE_LENGTH, READER_COUNT_MAX},
};

/// The unnamed database, the only one.
type Rows = Database<'static, Bytes, Bytes>;

#[derive(Clone)]
pub(crate) struct Store {
    env: Env<WithoutTls>,
    rows: Rows,
    /// Held until the last handle is gone, and given up after the environment is closed.
    folder: Option<Arc<Folder>>,
}

impl Store {
    /// Makes an empty data file in `dir`, and syncs it.
    pub(crate) fn create(dir: &Path) -> Result<(), OpenError> {
        let store = Self::open(dir, 1 << 20, EnvFlags::empty(), None)?;
        store.env.force_sync().map_err(|error| open_error(dir, 1 << 20, error))
    }

    /// Opens the data file in `folder`, and keeps the folder for as long.
    pub(crate) fn open_to_write(folder: Folder, map_bytes: u64) -> Result<Self, OpenError> {
        let dir = folder.dir.clone();
        let store = Self::open(&dir, map_bytes, EnvFlags::empty(), Some(Arc::new(folder)))?;
        let stale = store.env.clear_stale_readers();
        stale.map_err(|error| open_error(&dir, map_bytes, error))?;
        Ok(store)
    }

    /// Opens the data file beside the process that writes it.
    pub(crate) fn open_to_read(dir: &Path) -> Result<Self, OpenError> {
        // The map grows to what the file says it needs.
        Self::open(dir, 1 << 20, EnvFlags::READ_ONLY, None)
    }

    #[expect(unsafe_code, reason = "a memory map is only as safe as the file below it")]
    fn open(
        dir: &Path,
        map_bytes: u64,
        flags: EnvFlags,
        folder: Option<Arc<Folder>>,
    ) -> Result<Self, OpenError> {
        let fail = |error| open_error(dir, map_bytes, error);
        let os_page = 64 * 1024;
        let map_length = usize::try_from(map_bytes.next_multiple_of(os_page)).map_err(|_| {
            let source = io::Error::from(io::ErrorKind::OutOfMemory);
            OpenError::MapTooLarge { dir: dir.to_path_buf(), map_bytes, source }
        })?;
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(map_length).max_readers(READER_COUNT_MAX);
        // SAFETY: of the flags, only READ_ONLY is ever set, which takes nothing away from LMDB's
        // own locking. The file changes under the map only through LMDB: the folder's lock keeps
        // other servers out, and processes that only read use LMDB's lock file.
        let env = unsafe { options.flags(flags).open(dir) }.map_err(fail)?;
        let found = env.unnamed_database_stat().page_size;
        if found != PAGE_LENGTH {
            let (dir, expected) = (dir.to_path_buf(), PAGE_LENGTH);
            return Err(OpenError::OtherPageLength { dir, found, expected });
        }
        let rows = open_rows(&env).map_err(fail)?;
        Ok(Self { env, rows, folder })
    }

    pub(crate) fn snapshot(&self) -> Result<Snapshot, ReadError> {
        let txn = self.env.clone().static_read_txn().map_err(|error| read_error(&error))?;
        Ok(Snapshot { txn, rows: self.rows, folder: self.folder.clone() })
    }

    pub(crate) fn write(&self) -> heed::Result<Writing<'_>> {
        let txn = self.env.write_txn()?;
        Ok(Writing { txn, rows: self.rows })
    }

    /// Writes a compacted copy to `path`, from one view.
    pub(crate) fn copy(&self, path: &Path) -> heed::Result<u64> {
        let file = self.env.copy_to_path(path, heed::CompactionOption::Enabled)?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }

    pub(crate) fn data_path(&self) -> PathBuf {
        self.env.path().join(crate::folder::DATA_FILE)
    }

    pub(crate) fn figures(&self) -> Figures {
        let stat = self.env.unnamed_database_stat();
        let info = self.env.info();
        let pages = stat.branch_pages + stat.leaf_pages + stat.overflow_pages;
        Figures {
            keys: stat.entries as u64,
            used_bytes: bytes_of(pages),
            extent_bytes: bytes_of(info.last_page_number + 1),
            last_commit: info.last_txn_id as u64,
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.env.path()).finish_non_exhaustive()
    }
}

/// From the newest meta page, without a transaction.
pub(crate) struct Figures {
    pub(crate) keys: u64,
    pub(crate) used_bytes: u64,
    pub(crate) extent_bytes: u64,
    pub(crate) last_commit: u64,
}

/// Room that a page takes: the count is of pages, the answer in bytes.
fn bytes_of(pages: usize) -> u64 {
    pages as u64 * u64::from(PAGE_LENGTH)
}

fn open_rows(env: &Env<WithoutTls>) -> heed::Result<Rows> {
    let txn = env.read_txn()?;
    let opened = env.open_databases_and_commit(txn, |opener, txn| {
        let rows = opener.open_database::<Bytes, Bytes>(txn, None)?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(rows))
    })?;
    Ok(opened.unwrap_commit().expect("the unnamed database is always there"))
}

/// One read transaction. It pins the pages of its view: short, and never across an await.
pub(crate) struct Snapshot {
    txn: RoTxn<'static, WithoutTls>,
    rows: Rows,
    /// See [`Store::folder`].
    #[expect(dead_code, reason = "held, not read")]
    folder: Option<Arc<Folder>>,
}

impl Snapshot {
    /// The commit that it sees last.
    pub(crate) fn commit(&self) -> u64 {
        self.txn.id() as u64
    }
}

impl View for Snapshot {
    type Error = heed::Error;
    type Rows<'v> = SnapshotRows<'v>;

    fn get(&self, key: &[u8]) -> heed::Result<Option<&[u8]>> {
        self.rows.get(&self.txn, key)
    }

    fn rows(
        &self,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
        direction: Direction,
    ) -> heed::Result<SnapshotRows<'_>> {
        let range = (start, end);
        Ok(match direction {
            Direction::Ascending => SnapshotRows::Ascending(self.rows.range(&self.txn, &range)?),
            Direction::Descending => {
                SnapshotRows::Descending(self.rows.rev_range(&self.txn, &range)?)
            }
        })
    }
}

pub(crate) enum SnapshotRows<'v> {
    Ascending(RoRange<'v, Bytes, Bytes>),
    Descending(RoRevRange<'v, Bytes, Bytes>),
}

impl<'v> Iterator for SnapshotRows<'v> {
    type Item = heed::Result<(&'v [u8], &'v [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Ascending(rows) => rows.next(),
            Self::Descending(rows) => rows.next(),
        }
    }
}

/// The write transaction: nothing is there until [`Writing::commit`], and all of it then.
pub(crate) struct Writing<'s> {
    txn: RwTxn<'s>,
    rows: Rows,
}

impl Writing<'_> {
    pub(crate) fn get(&self, key: &[u8]) -> heed::Result<Option<&[u8]>> {
        self.rows.get(&self.txn, key)
    }

    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> heed::Result<()> {
        self.rows.put(&mut self.txn, key, value)
    }

    pub(crate) fn delete(&mut self, key: &[u8]) -> heed::Result<bool> {
        self.rows.delete(&mut self.txn, key)
    }

    /// Deletes from the start of the range until the budget is used up; whether something is left.
    #[expect(unsafe_code, reason = "heed cannot know that no row is borrowed while one is deleted")]
    pub(crate) fn clear(
        &mut self,
        start: &[u8],
        end: &[u8],
        budget_bytes: usize,
    ) -> heed::Result<ClearedSlice> {
        // No key is empty, and LMDB looks for none.
        let start = if start.is_empty() { Bound::Unbounded } else { Bound::Included(start) };
        let range = (start, Bound::Excluded(end));
        let mut rows = self.rows.range_mut(&mut self.txn, &range)?;
        let mut slice = ClearedSlice { rows: 0, bytes: 0, is_done: true };
        while let Some(row) = rows.next() {
            let (key, value) = row?;
            if slice.rows > 0 && slice.bytes >= budget_bytes {
                slice.is_done = false;
                break;
            }
            slice.rows += 1;
            slice.bytes += key.len() + value.len();
            // SAFETY: key and value were last used above.
            unsafe { rows.del_current()? };
        }
        Ok(slice)
    }

    pub(crate) fn commit(self) -> heed::Result<()> {
        self.txn.commit()
    }
}

pub(crate) struct ClearedSlice {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    pub(crate) is_done: bool,
}

/// What a failed write says about the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing was applied, for want of room in the map, on the disk or in memory.
    Full,
    /// Nothing was applied, for a reason that lies in the batch or in what is stored.
    Refused,
    /// Something between the first page and the last sync went wrong.
    Unclear,
}

impl Failure {
    /// Of a call before the commit: the transaction is given up, the files are as they were.
    pub(crate) fn of_call(error: &heed::Error) -> Self {
        if is_full(error) { Self::Full } else { Self::Refused }
    }

    /// Of the commit itself. LMDB writes data pages that no meta page names yet, syncs them, and
    /// then writes the meta page, so want of room is found before anything counts; every other
    /// error may have been a sync.
    pub(crate) fn of_commit(error: &heed::Error) -> Self {
        if is_full(error) { Self::Full } else { Self::Unclear }
    }
}

fn is_full(error: &heed::Error) -> bool {
    match error {
        heed::Error::Mdb(MdbError::MapFull | MdbError::TxnFull) => true,
        heed::Error::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::OutOfMemory
        ),
        heed::Error::Mdb(_)
        | heed::Error::Encoding(_)
        | heed::Error::Decoding(_)
        | heed::Error::EnvAlreadyOpened => false,
    }
}

pub(crate) fn read_error(error: &heed::Error) -> ReadError {
    ReadError::Failed { reason: error.to_string() }
}

fn open_error(dir: &Path, map_bytes: u64, error: heed::Error) -> OpenError {
    let dir = dir.to_path_buf();
    match error {
        heed::Error::EnvAlreadyOpened => OpenError::Locked { dir },
        heed::Error::Io(source) if source.kind() == io::ErrorKind::OutOfMemory => {
            OpenError::MapTooLarge { dir, map_bytes, source }
        }
        heed::Error::Io(source) => {
            OpenError::File { attempt: "open the data file in", path: dir, source }
        }
        heed::Error::Mdb(MdbError::VersionMismatch) => {
            OpenError::NotAStore { dir, reason: "another version of LMDB wrote it" }
        }
        error @ (heed::Error::Mdb(_) | heed::Error::Encoding(_) | heed::Error::Decoding(_)) => {
            OpenError::Damaged { dir, reason: error.to_string() }
        }
    }
}
