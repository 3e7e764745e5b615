//! What a data folder holds, and where.
//!
//! | name | holds | made by |
//! |---|---|---|
//! | `documents/` | the embedded engine's files | the engine |
//! | `blobs/` | large attachments, one file each | the blob store |
//! | `indexes/` | the embedded engine's files of indexes; made anew from the documents where missing | the engine |
//! | `builds/` | rows of indexes that are being built, in runs | [`settle_index`] |
//! | `spool/` | large attachments that replications carry; copied anew where missing | [`settle_replicator`] |
//! | `secrets.json` | the administrator's password hash, what sessions and credentials of replications are sealed with | [`crate::secrets`] |
//! | `config.json` | settings that were changed over HTTP | [`crate::kept_config`] |
//! | `address` | the URL of the server that runs on this folder | [`crate::server`] |
//!
//! All of it is for the owner alone.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::durable_file;

/// A data folder that is there.
#[derive(Debug, Clone)]
pub(crate) struct DataFolder {
    root: PathBuf,
}

#[derive(Debug, Error)]
#[error("{attempt} {}", path.display())]
pub struct DataFolderError {
    attempt: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl DataFolder {
    /// Opens the folder, and makes it and those inside where they are missing.
    pub(crate) fn open(root: &Path) -> Result<Self, DataFolderError> {
        let folder = Self::at(root);
        let documents = folder.documents();
        let (blobs, indexes) = (folder.blobs(), folder.indexes());
        let (builds, spool) = (folder.builds(), folder.spool());
        for path in [root, &documents, &blobs, &indexes, &builds, &spool] {
            make(path).map_err(|source| DataFolderError {
                attempt: "create the folder",
                path: path.to_owned(),
                source,
            })?;
        }
        Ok(folder)
    }

    /// The folder as it is, whether or not it is there.
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn documents(&self) -> PathBuf {
        self.root.join("documents")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    pub(crate) fn indexes(&self) -> PathBuf {
        self.root.join("indexes")
    }

    pub(crate) fn builds(&self) -> PathBuf {
        self.root.join("builds")
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }

    pub(crate) fn secrets(&self) -> PathBuf {
        self.root.join("secrets.json")
    }

    pub(crate) fn kept_config(&self) -> PathBuf {
        self.root.join("config.json")
    }

    pub(crate) fn address(&self) -> PathBuf {
        address_in(&self.root)
    }
}

/// Where the server that runs on the folder `root` says how it is reached.
pub(crate) fn address_in(root: &Path) -> PathBuf {
    root.join("address")
}

fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    durable_file::sync_folder_of(path)
}
