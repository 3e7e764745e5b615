//! A copy of a data folder that opens as one, taken while the server runs or not.
//!
//! The engine writes a consistent copy of itself first. The copy names the attachments that are
//! files; those are written once, never changed, and kept for a while after the last document lets
//! go of them (`attachments.keep`), so they can be linked, or copied to another disk, after the
//! fact. A file that is missing all the same fails the backup: a backup that exists is whole, since
//! it is made beside its place and renamed when everything in it is synced.
//!
//! Indexes are left out: a copy builds its own when they are asked for, since its history is another
//! from the moment at which it is opened.
//!
//! Administrator, sessions and settings changed over HTTP come along, so a backup is to be kept as
//! safe as the folder itself.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use settle_database::{
    RecordError,
    blobs::{BlobDigest, BlobRecord, BlobStore},
};
use settle_engine::{Direction, Engine, Plan, ReadError, Scan, Step, Visit, Visitor};
use settle_engine_lmdb::{CopyError, LmdbEngine, OpenOptions};
use thiserror::Error;
use tokio::task::spawn_blocking;

use crate::{
    data_folder::{DataFolder, DataFolderError},
    durable_file,
};

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backup {
    /// Of documents and all that is kept with them.
    pub bytes: u64,
    /// Attachments that are files.
    pub files: usize,
}

#[derive(Debug, Error)]
pub enum BackupError {
    #[error("{} is there already", to.display())]
    Exists { to: PathBuf },
    #[error("{} is no data folder: it has no documents", data.display())]
    NoData { data: PathBuf },
    #[error(transparent)]
    Folder(#[from] DataFolderError),
    #[error("copy the documents")]
    Documents { source: CopyError },
    #[error("open the copy of the documents")]
    Open { source: settle_engine_lmdb::OpenError },
    #[error("read the copy of the documents")]
    Read { source: ReadError },
    #[error("read the copy of the documents")]
    Record { source: RecordError },
    #[error("{} is missing, and a document refers to it", path.display())]
    FileMissing { path: PathBuf },
    #[error("copy {}", path.display())]
    Copy { path: PathBuf, source: io::Error },
    #[error("write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Copies the data folder `data` to `to`, which must not be there.
pub async fn backup(data: &Path, to: &Path) -> Result<Backup, BackupError> {
    let source = DataFolder::at(data);
    if !source.documents().is_dir() {
        return Err(BackupError::NoData { data: data.into() });
    }
    if to.exists() {
        return Err(BackupError::Exists { to: to.into() });
    }
    let name = to.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    let partial = to.with_file_name(format!(".{name}.partial-{}", std::process::id()));
    let made = make(&source, &partial).await;
    let done = made.and_then(|backup| {
        let write = |source| BackupError::Write { path: to.into(), source };
        fs::rename(&partial, to).map_err(write)?;
        durable_file::sync_folder_of(to).map_err(write)?;
        Ok(backup)
    });
    if done.is_err() {
        // What is left of it is in nobody's way, and says by its name what it is.
        drop(fs::remove_dir_all(&partial));
    }
    done
}

async fn make(source: &DataFolder, partial: &Path) -> Result<Backup, BackupError> {
    let target = DataFolder::open(partial)?;
    let (from, to) = (source.documents(), target.documents());
    let copying = spawn_blocking(move || settle_engine_lmdb::backup(&from, &to));
    let copied = copying.await.expect("copying the documents does not panic");
    let bytes = copied.map_err(|source| BackupError::Documents { source })?;
    let files = files_of(target.documents()).await?;
    let count = files.len();
    let (source, target) = (source.clone(), target.clone());
    let taking = spawn_blocking(move || fill(&source, &target, &files));
    taking.await.expect("copying files does not panic")?;
    Ok(Backup { bytes, files: count })
}

/// The attachments that are files, as paths inside the folder of blobs.
async fn files_of(documents: PathBuf) -> Result<Vec<PathBuf>, BackupError> {
    let opening = spawn_blocking(move || LmdbEngine::open(&documents, &OpenOptions::default()));
    let engine = opening.await.expect("opening the engine does not panic");
    let engine: Arc<dyn Engine> = engine.map_err(|source| BackupError::Open { source })?;
    let records = Scan::prefix(&BLOB_RECORDS, Direction::Ascending);
    let plan = Plan::new(vec![Step::Scan(records)]);
    let found = engine.read_to_end(plan, Files::default()).await;
    let found = found.map_err(|source| BackupError::Read { source })?;
    match found.error {
        Some(source) => Err(BackupError::Record { source }),
        None => Ok(found.paths),
    }
}

/// What the keys of the site's blob records begin with; the digest follows.
const BLOB_RECORDS: [u8; 2] = [0, 0x40];

#[derive(Debug, Default)]
struct Files {
    paths: Vec<PathBuf>,
    error: Option<RecordError>,
}

impl Visitor for Files {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        let digest = key.strip_prefix(&BLOB_RECORDS).and_then(|it| it.try_into().ok());
        let digest = BlobDigest::from_bytes(digest.expect("blob records are named by digests"));
        match BlobRecord::decode(digest, value.unwrap_or_default()) {
            Ok(record) => {
                self.paths.extend(BlobStore::file_of(digest, &record));
                Visit::Next
            }
            Err(error) => {
                self.error = Some(error);
                Visit::Stop
            }
        }
    }
}

fn fill(source: &DataFolder, target: &DataFolder, files: &[PathBuf]) -> Result<(), BackupError> {
    for file in files {
        let (from, to) = (source.blobs().join(file), target.blobs().join(file));
        take(&from, &to)?;
    }
    for (from, to) in
        [(source.secrets(), target.secrets()), (source.kept_config(), target.kept_config())]
    {
        match fs::read(&from) {
            Ok(contents) => durable_file::replace(&to, &contents)
                .map_err(|source| BackupError::Write { path: to, source })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(BackupError::Copy { path: from, source }),
        }
    }
    sync_folders(target.root())
}

/// Links the file, or copies it where it cannot be linked.
fn take(from: &Path, to: &Path) -> Result<(), BackupError> {
    let write = |source| BackupError::Write { path: to.into(), source };
    fs::create_dir_all(to.parent().expect("blobs are in folders")).map_err(write)?;
    let linked = match fs::hard_link(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        Err(_) => fs::copy(from, to).and_then(|_| fs::File::open(to)?.sync_all()),
        Ok(()) => Ok(()),
    };
    linked.map_err(|source| {
        let path = from.into();
        if source.kind() == io::ErrorKind::NotFound {
            BackupError::FileMissing { path }
        } else {
            BackupError::Copy { path, source }
        }
    })
}

/// Makes the names in `folder` and below last.
fn sync_folders(folder: &Path) -> Result<(), BackupError> {
    let write = |source| BackupError::Write { path: folder.into(), source };
    for entry in fs::read_dir(folder).map_err(write)? {
        let entry = entry.map_err(write)?;
        if entry.file_type().map_err(write)?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    fs::File::open(folder).and_then(|it| it.sync_all()).map_err(write)
}
