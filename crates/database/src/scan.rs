//! Long reads, in slices: each slice is consistent in itself, and the caller decides when to take
//! the next one, so a slow client holds nothing.

pub(crate) mod changes;
pub(crate) mod documents;
pub(crate) mod leaves;
pub(crate) mod locals;
pub(crate) mod rendered;

use std::ops::Bound;

use bytes::Bytes;
use settle_engine::{Direction, Visit};
use settle_model::revision::RevId;

use crate::{error::StorageError, record::body::Attachment, revision::Times};

/// Takes rows as they are found. Runs inside a read transaction: quick, and without waiting.
pub trait Sink<R: ?Sized>: Send + 'static {
    fn row(&mut self, row: &R) -> More;
}

/// Whether a sink has room for another row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    Yes,
    /// The slice ends after this row; the next one goes on behind it.
    Enough,
}

/// What is left after a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<C> {
    Done,
    /// Pass this to the next call.
    Go(C),
}

/// Documents by id. Tombstones are left out, unless `keys` names them.
#[derive(Debug, Clone)]
pub struct DocumentScan {
    pub start: Bound<String>,
    pub end: Bound<String>,
    pub direction: Direction,
    /// Rows to pass over before the first.
    pub skip: u64,
    pub limit: u64,
    /// Whether rows carry the document.
    pub content: bool,
    /// Only documents in conflict; others cost nothing.
    pub in_conflict: bool,
}

/// One row of a document scan, or one key that was looked up.
#[derive(Debug)]
pub struct DocumentRow<'a> {
    pub id: &'a str,
    /// `None` for a looked-up key without a document.
    pub found: Option<FoundDocument<'a>>,
}

#[derive(Debug)]
pub struct FoundDocument<'a> {
    pub rev: &'a RevId,
    /// Only for looked-up keys.
    pub deleted: bool,
    /// The live leaves other than a live winner, in winner order.
    pub conflicts: &'a [RevId],
    /// Only when asked for, and never for a tombstone.
    pub content: Option<DocumentContent<'a>>,
}

#[derive(Debug)]
pub struct DocumentContent<'a> {
    pub body: &'a [u8],
    pub attachments: &'a [Attachment],
    /// The live leaves other than the winner, in winner order.
    pub conflicts: &'a [RevId],
    /// The sequence of the document's newest change.
    pub sequence: u64,
}

/// A database's changes in the order of their sequences.
#[derive(Debug, Clone)]
pub struct ChangeScan {
    /// Changes after this one.
    pub since: u64,
    /// And up to this one.
    pub until: u64,
    pub direction: Direction,
    /// Whether rows carry the winner's content.
    pub content: bool,
    /// Whether rows carry the document's times.
    pub times: bool,
    /// Only these documents; `None` for all.
    pub only: ChangeFilter,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeFilter {
    All,
    /// Sorted and without duplicates.
    Ids(std::sync::Arc<[String]>),
    Design,
}

/// One document that changed.
#[derive(Debug)]
pub struct ChangeRow<'a> {
    pub sequence: u64,
    pub id: &'a str,
    /// Every leaf, winner first, each with whether it is deleted.
    pub leaves: &'a [(RevId, bool)],
    /// Only when asked for.
    pub times: Option<Times>,
    /// Only when asked for.
    pub content: Option<DocumentContent<'a>>,
}

impl ChangeRow<'_> {
    /// A document is deleted when its winner is.
    pub fn deleted(&self) -> bool {
        self.leaves.first().is_none_or(|(_, deleted)| *deleted)
    }
}

/// Where a change scan goes on, and how far it has looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeCursor {
    /// The newest sequence looked at (the oldest, when descending).
    pub at: u64,
}

/// A local document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalDocument {
    pub id: settle_model::id::LocalId,
    /// The N of `0-N`.
    pub revision: u64,
    pub body: Bytes,
}

/// The first failure inside a visitor, which cannot return one.
#[derive(Debug, Default)]
pub(crate) struct Failure(Option<StorageError>);

impl Failure {
    pub(crate) fn set(&mut self, error: impl Into<StorageError>) {
        self.0.get_or_insert_with(|| error.into());
    }

    /// What a visitor says that cannot go on.
    pub(crate) fn stop(&mut self, error: impl Into<StorageError>) -> Visit {
        self.set(error);
        Visit::Stop
    }

    /// For a visitor that is used again.
    pub(crate) fn check_in_place(&mut self) -> Result<(), StorageError> {
        self.0.take().map_or(Ok(()), Err)
    }

    pub(crate) fn check(self) -> Result<(), StorageError> {
        self.0.map_or(Ok(()), Err)
    }
}
