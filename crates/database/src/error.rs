//! Ways in which storage fails that every operation shares.

use settle_engine::{ClearError, ReadError};
use thiserror::Error;

use crate::codec::RecordError;

/// The engine failed, or what it keeps is damaged. Nothing that a client did.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StorageError {
    #[error("storage could not be read")]
    Read(#[source] ReadError),
    #[error("a stored record is unusable")]
    Record(#[source] RecordError),
    #[error("a range could not be cleared")]
    Clear(#[source] ClearError),
    /// Somebody dropped the database while it was in use.
    #[error("the database has been dropped")]
    Gone,
    /// Nothing was written.
    #[error("storage is full: {reason}")]
    Full { reason: String },
    /// Nothing was written.
    #[error("storage refused the write: {reason}")]
    NotWritten { reason: String },
    /// The write may have happened; storage refuses more until it has been reopened.
    #[error("storage failed while writing: {reason}")]
    Unknown { reason: String },
    /// The precondition of a write failed again and again.
    #[error("other writers kept changing the same record")]
    Contended,
    /// What a read needed went between two of its views; it is begun again.
    #[error("a document changed while it was read")]
    Moved,
    #[error("a document's stored history contradicts itself: {reason}")]
    Inconsistent { reason: String },
}

impl From<ReadError> for StorageError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<RecordError> for StorageError {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

impl From<ClearError> for StorageError {
    fn from(error: ClearError) -> Self {
        Self::Clear(error)
    }
}
