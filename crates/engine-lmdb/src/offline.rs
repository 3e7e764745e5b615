//! Copies: of an open store, of one that another process has open, and in place of the store itself.

use std::{
    fs,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{
    OpenError, OpenOptions,
    folder::{DATA_FILE, Folder, check_format, failing, sync_dir, write_format},
    identity,
    store::Store,
};

/// A copy could not be made; what was copied from is as it was.
#[derive(Debug, Error)]
pub enum CopyError {
    #[error("{} is not empty", path.display())]
    NotEmpty { path: PathBuf },
    #[error("could not copy the rows to {}: {reason}", path.display())]
    Rows { path: PathBuf, reason: String },
    #[error(transparent)]
    Open(#[from] OpenError),
}

#[derive(Debug, Error)]
pub enum CompactError {
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Lengths of the data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    pub before_bytes: u64,
    pub after_bytes: u64,
}

/// Copies the store in `dir` into the empty or missing folder `to`, and answers the bytes of the copy.
///
/// A server may have the store open in another process. Within the server's own process, use
/// [`settle_engine::Engine::checkpoint`].
pub fn backup(dir: &Path, to: &Path) -> Result<u64, CopyError> {
    if !check_format(dir)? {
        let reason = "engine.format is missing";
        return Err(OpenError::NotAStore { dir: dir.to_path_buf(), reason }.into());
    }
    copy_store(&Store::open_to_read(dir)?, to)
}

/// Rewrites the store in `dir`, which nobody may have open, without its free pages.
pub fn compact(dir: &Path) -> Result<Compacted, CompactError> {
    let folder = Folder::hold(dir, OpenOptions::default().lock_wait)?;
    let dir = folder.dir.clone();
    if !check_format(&dir)? {
        let reason = "engine.format is missing";
        return Err(OpenError::NotAStore { dir, reason }.into());
    }
    let (old, fresh) = (dir.join(DATA_FILE), dir.join("data.mdb.compacted"));
    let length =
        |path: &Path| fs::metadata(path).map(|file| file.len()).map_err(failing("look at", path));
    let before_bytes = length(&old)?;
    let store = Store::open_to_read(&dir)?;
    copy_rows(&store, &fresh)?;
    drop(store);
    identity::hand_over(&dir, &fresh)?;
    let after_bytes = length(&fresh)?;
    folder.swap_data(&fresh)?;
    Ok(Compacted { before_bytes, after_bytes })
}

/// A whole store in `to`, of one view. The format comes last: without it, a copy that was cut off
/// does not open.
pub(crate) fn copy_store(store: &Store, to: &Path) -> Result<u64, CopyError> {
    fs::create_dir_all(to).map_err(failing("make the folder", to))?;
    let mut entries = fs::read_dir(to).map_err(failing("read the folder", to))?;
    if entries.next().is_some() {
        return Err(CopyError::NotEmpty { path: to.to_path_buf() });
    }
    let bytes = copy_rows(store, &to.join(DATA_FILE))?;
    sync_dir(to)?;
    write_format(to)?;
    if let Some(parent) = to.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync_dir(parent)?;
    }
    Ok(bytes)
}

fn copy_rows(store: &Store, path: &Path) -> Result<u64, CopyError> {
    store
        .copy(path)
        .map_err(|error| CopyError::Rows { path: path.to_path_buf(), reason: error.to_string() })
}
