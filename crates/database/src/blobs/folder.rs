//! The folder of large blobs.
//!
//! | path | what |
//! |---|---|
//! | `incoming/<upload>` | a file that is being written |
//! | `<aa>/<digest>-<upload>` | a whole, synced file; `aa` are the first two digits of its digest |
//!
//! An upload's id is 32 hex digits and begins with the session of the store that made it, so that
//! the sweep behind an open knows which files are of this run and leaves them alone.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use tempfile::TempDir;
use thiserror::Error;

use super::{digest::BlobDigest, record::UploadId};

const INCOMING: &str = "incoming";

#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    session: u64,
    uploads: AtomicU64,
    /// Which of the 256 folders are known to be there, synced.
    ready: [AtomicBool; 256],
    /// Removes the folder with the last user of it.
    _temporary: Option<TempDir>,
}

/// What was attempted with which file.
#[derive(Debug, Error)]
#[error("could not {action} {}", path.display())]
pub struct FolderError {
    pub action: &'static str,
    pub path: PathBuf,
    pub source: io::Error,
}

fn at<T>(action: &'static str, path: &Path, result: io::Result<T>) -> Result<T, FolderError> {
    result.map_err(|source| FolderError { action, path: path.to_owned(), source })
}

fn fan(digest: BlobDigest) -> String {
    format!("{:02x}", digest.as_bytes()[0])
}

pub(super) fn relative_path(digest: BlobDigest, upload: UploadId) -> PathBuf {
    [fan(digest), format!("{digest}-{upload}")].iter().collect()
}

/// The inverse of the file's name in [`relative_path`].
fn parse_name(name: &str) -> Option<(BlobDigest, UploadId)> {
    let (digest, upload) = name.split_once('-')?;
    Some((digest.parse().ok()?, UploadId::parse(upload)?))
}

impl Folder {
    pub(super) fn open(root: Option<PathBuf>, session: u64) -> Result<Self, FolderError> {
        let temporary = match &root {
            Some(_) => None,
            None => {
                let made = tempfile::Builder::new().prefix("settle-blobs-").tempdir();
                Some(at("make a temporary folder in", &std::env::temp_dir(), made)?)
            }
        };
        let root = match &temporary {
            Some(folder) => folder.path().to_owned(),
            None => root.expect("there is a temporary folder unless a folder was given"),
        };
        let incoming = root.join(INCOMING);
        at("make the folder", &incoming, fs::create_dir_all(&incoming))?;
        sync_folder(&root)?;
        Ok(Self {
            root,
            session,
            uploads: AtomicU64::new(0),
            ready: [const { AtomicBool::new(false) }; 256],
            _temporary: temporary,
        })
    }

    pub(super) fn is_of_this_session(&self, upload: UploadId) -> bool {
        upload.is_of(self.session)
    }

    pub(super) fn next_upload(&self) -> UploadId {
        UploadId::new(self.session, self.uploads.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn create_incoming(&self, upload: UploadId) -> Result<File, FolderError> {
        let path = self.incoming(upload);
        at("create the file", &path, File::create_new(&path))
    }

    pub(super) fn remove_incoming(&self, upload: UploadId) -> Result<(), FolderError> {
        remove(&self.incoming(upload))
    }

    /// Gives a synced file its name; on return the name is synced too.
    pub(super) fn place(&self, upload: UploadId, digest: BlobDigest) -> Result<(), FolderError> {
        let folder = self.root.join(fan(digest));
        let is_ready = &self.ready[usize::from(digest.as_bytes()[0])];
        if !is_ready.load(Ordering::Acquire) {
            match fs::create_dir(&folder) {
                // Whoever made it may not have synced it.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => at("make the folder", &folder, result)?,
            }
            sync_folder(&self.root)?;
            is_ready.store(true, Ordering::Release);
        }
        let path = self.path(digest, upload);
        at("name the file", &path, fs::rename(self.incoming(upload), &path))?;
        sync_folder(&folder)
    }

    pub(super) fn open_file(
        &self,
        digest: BlobDigest,
        upload: UploadId,
    ) -> Result<File, FolderError> {
        let path = self.path(digest, upload);
        at("open", &path, File::open(&path))
    }

    /// Removes a file; one that is not there is no error.
    pub(super) fn remove(&self, digest: BlobDigest, upload: UploadId) -> Result<(), FolderError> {
        remove(&self.path(digest, upload))
    }

    /// Removes what earlier sessions left half written, and says how much that was.
    pub(super) fn clear_incoming(&self) -> Result<u64, FolderError> {
        let mut removed = 0;
        for name in names(&self.root.join(INCOMING))? {
            let upload = UploadId::parse(&name);
            if let Some(upload) = upload.filter(|&upload| !self.is_of_this_session(upload)) {
                self.remove_incoming(upload)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Files of earlier sessions whose digest begins with this byte.
    pub(super) fn older_files(
        &self,
        first: u8,
    ) -> Result<Vec<(BlobDigest, UploadId)>, FolderError> {
        let mut files = Vec::new();
        for name in names(&self.root.join(format!("{first:02x}")))? {
            files.extend(parse_name(&name).filter(|&(_, upload)| !self.is_of_this_session(upload)));
        }
        Ok(files)
    }

    fn incoming(&self, upload: UploadId) -> PathBuf {
        self.root.join(INCOMING).join(upload.to_string())
    }

    fn path(&self, digest: BlobDigest, upload: UploadId) -> PathBuf {
        self.root.join(relative_path(digest, upload))
    }
}

fn remove(path: &Path) -> Result<(), FolderError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => at("remove", path, result),
    }
}

fn sync_folder(path: &Path) -> Result<(), FolderError> {
    at("sync the folder", path, File::open(path).and_then(|folder| folder.sync_all()))
}

/// Names in a folder; none when it is not there. Names that are not UTF-8 are not ours.
fn names(folder: &Path) -> Result<Vec<String>, FolderError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => at("list", folder, result)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(at("list", folder, entry)?.file_name().into_string().ok());
    }
    Ok(names)
}
