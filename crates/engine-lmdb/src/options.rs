//! How a store is opened, and why it may not be.

use std::{io, path::PathBuf, time::Duration};

use thiserror::Error;

use crate::limits::{LOCK_WAIT_DEFAULT, MAP_BYTES_DEFAULT};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// Address space for the store: what it can grow to until it is opened with more.
    pub map_bytes: u64,
    /// How long to wait while another process still holds the store.
    pub lock_wait: Duration,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { map_bytes: MAP_BYTES_DEFAULT, lock_wait: LOCK_WAIT_DEFAULT }
    }
}

/// A store could not be opened; nothing was changed.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("could not {attempt} {}", path.display())]
    File { attempt: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is in use by another server; stop it first, or choose another folder", dir.display())]
    Locked { dir: PathBuf },
    #[error("{} holds a data file but is no store of this engine: {reason}", dir.display())]
    NotAStore { dir: PathBuf, reason: &'static str },
    #[error("the data file of the store in {} is missing", dir.display())]
    DataMissing { dir: PathBuf },
    #[error("{} has the format of a newer version ({found}; this one knows up to {known})", dir.display())]
    NewerFormat { dir: PathBuf, found: u32, known: u32 },
    #[error("{} has pages of {found} bytes, this engine uses {expected}", dir.display())]
    OtherPageLength { dir: PathBuf, found: u32, expected: u32 },
    #[error(
        "could not reserve {map_bytes} bytes of address space for {}; \
         lift the limit of the process (ulimit -v) or open it with a smaller map",
        dir.display()
    )]
    MapTooLarge { dir: PathBuf, map_bytes: u64, source: io::Error },
    #[error("the store in {} is damaged: {reason}", dir.display())]
    Damaged { dir: PathBuf, reason: String },
}
