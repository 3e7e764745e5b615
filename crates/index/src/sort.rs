//! Sorting more rows than memory holds.
//!
//! Rows gather in a [`Buffer`]; a full one is sorted and written to a file of its own, a *run*
//! ([`run`]), which is synced before anything refers to it. [`Merge`] gives the rows of all runs and of
//! one buffer in order. A row is a key and a payload; keys order as bytes and no two are equal.
//!
//! Blocking: all of it is for threads that may block.

mod buffer;
mod merge;
mod run;

use std::{io, path::PathBuf};

use thiserror::Error;

pub(crate) use self::{
    buffer::{Buffer, Sorted},
    merge::Merge,
    run::{RunReader, RunWriter},
};

/// A run could not be written or read.
#[derive(Debug, Error)]
pub(crate) enum SortError {
    #[error("write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is damaged", path.display())]
    Damaged { path: PathBuf },
}

#[cfg(test)]
mod tests;
