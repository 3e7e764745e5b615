//! The files of a store, and the steps by which it comes into being.
//!
//! | file | meaning |
//! |---|---|
//! | `engine.format` | `settle-lmdb <format>`, `page <bytes>`, one a line; written last in a copy, so that half a copy is no store |
//! | `engine.lock` | locked while a server has the store open |
//! | `engine.identity` | after a compaction: `<identity of the file> <identity it is known by>`, a pair a line |
//! | `data.mdb` | the rows |
//! | `lock.mdb` | LMDB's table of readers; of no worth once everyone is gone |
//! | `creating/` | there only while a store is being made; nothing has been stored yet then |

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{OpenError, clock, limits::PAGE_LENGTH};

/// What this version writes, and the newest that it reads.
pub(crate) const FORMAT: u32 = 1;

pub(crate) const DATA_FILE: &str = "data.mdb";
const LMDB_LOCK_FILE: &str = "lock.mdb";
const FORMAT_FILE: &str = "engine.format";
const LOCK_FILE: &str = "engine.lock";
const CREATING: &str = "creating";

/// The folder of one store, held for this process alone.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) dir: PathBuf,
    /// The lock lasts as long as the file is open.
    _lock: File,
}

impl Folder {
    /// Makes the folder where it is missing, and locks it.
    pub(crate) fn hold(dir: &Path, wait: Duration) -> Result<Self, OpenError> {
        fs::create_dir_all(dir).map_err(failing("make the folder", dir))?;
        let dir = dir.canonicalize().map_err(failing("find the folder", dir))?;
        let path = dir.join(LOCK_FILE);
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failing("open the lock", &path))?;
        let deadline = clock::now() + wait;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { dir, _lock: lock }),
                Err(TryLockError::WouldBlock) if clock::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => return Err(OpenError::Locked { dir }),
                Err(TryLockError::Error(source)) => return Err(failing("lock", &path)(source)),
            }
        }
    }

    /// Sees to it that a whole store of a known format is there. `make_data` makes an empty data
    /// file in the folder it is given, and syncs it.
    pub(crate) fn prepare(
        &self,
        make_data: impl FnOnce(&Path) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let dir = &self.dir;
        let (data, creating) = (dir.join(DATA_FILE), dir.join(CREATING));
        let has_data = data.try_exists().map_err(failing("look for", &data))?;
        let is_creating = creating.try_exists().map_err(failing("look for", &creating))?;
        let has_format = check_format(dir)?;
        match (has_format, has_data, is_creating) {
            (true, true, false) => return Ok(()),
            (true, false, false) => return Err(OpenError::DataMissing { dir: dir.clone() }),
            (false, true, false) => {
                let reason = "engine.format is missing, as after a copy that was interrupted";
                return Err(OpenError::NotAStore { dir: dir.clone(), reason });
            }
            // The data file was moved in whole, and opening has never come to its end.
            (_, true, true) => {}
            (_, false, _) => {
                if is_creating {
                    fs::remove_dir_all(&creating).map_err(failing("remove", &creating))?;
                }
                fs::create_dir(&creating).map_err(failing("make the folder", &creating))?;
                sync_dir(dir)?;
                make_data(&creating)?;
                fs::rename(creating.join(DATA_FILE), &data).map_err(failing("move", &data))?;
                sync_dir(dir)?;
            }
        }
        write_format(dir)?;
        fs::remove_dir_all(&creating).map_err(failing("remove", &creating))?;
        sync_dir(dir)?;
        if let Some(parent) = dir.parent() {
            sync_dir(parent)?;
        }
        Ok(())
    }

    /// Puts `data` in the place of the data file.
    pub(crate) fn swap_data(&self, data: &Path) -> Result<(), OpenError> {
        // The table of readers counts the old file's transactions.
        let readers = self.dir.join(LMDB_LOCK_FILE);
        match fs::remove_file(&readers) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failing("remove", &readers)(error)),
        }
        fs::rename(data, self.dir.join(DATA_FILE)).map_err(failing("move", data))?;
        sync_dir(&self.dir)
    }
}

/// Checks the format of a store, and says whether there is one.
pub(crate) fn check_format(dir: &Path) -> Result<bool, OpenError> {
    let path = dir.join(FORMAT_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failing("read", &path)(error)),
    };
    let number = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|number| number.parse::<u32>().ok())
    };
    match (number("settle-lmdb"), number("page")) {
        (Some(found), _) if found > FORMAT => {
            Err(OpenError::NewerFormat { dir: dir.to_path_buf(), found, known: FORMAT })
        }
        (Some(_), Some(PAGE_LENGTH)) => Ok(true),
        (Some(_), Some(found)) => {
            Err(OpenError::OtherPageLength { dir: dir.to_path_buf(), found, expected: PAGE_LENGTH })
        }
        (None, _) | (_, None) => {
            let reason = "engine.format says something else";
            Err(OpenError::NotAStore { dir: dir.to_path_buf(), reason })
        }
    }
}

/// Makes a folder with a data file a store: the last step of creating and of copying.
pub(crate) fn write_format(dir: &Path) -> Result<(), OpenError> {
    let text = format!("settle-lmdb {FORMAT}\npage {PAGE_LENGTH}\n");
    write_whole(dir, FORMAT_FILE, text.as_bytes())
}

/// Replaces a small file, whole or not at all, and syncs it.
pub(crate) fn write_whole(dir: &Path, name: &str, text: &[u8]) -> Result<(), OpenError> {
    let (path, fresh) = (dir.join(name), dir.join(format!("{name}.new")));
    let write = || {
        let mut file = File::create(&fresh)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&fresh, &path)
    };
    write().map_err(failing("write", &path))?;
    sync_dir(dir)
}

pub(crate) fn sync_dir(dir: &Path) -> Result<(), OpenError> {
    let sync = || File::open(dir)?.sync_all();
    sync().map_err(failing("sync the folder", dir))
}

pub(crate) fn failing(attempt: &'static str, path: &Path) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::File { attempt, path: path.to_path_buf(), source }
}
