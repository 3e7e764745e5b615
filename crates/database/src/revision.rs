//! What reads give back.

use bytes::Bytes;
use settle_model::{
    id::DocumentId,
    revision::{RevId, RevPath},
    time::Timestamp,
};
use thiserror::Error;

use crate::{error::StorageError, record::body::Attachment};

/// One revision of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    pub id: DocumentId,
    pub rev: RevId,
    pub deleted: bool,
    /// The JSON object without special members, as sent but for white space between tokens.
    pub body: Bytes,
    /// In the order of the document.
    pub attachments: Vec<Attachment>,
    /// The sequence of the document's newest change.
    pub sequence: u64,
    pub times: Times,
    /// Only where [`Extras::path`] asked for it: this revision and its ancestors, newest first.
    pub path: Option<RevPath>,
    /// Only where asked for: live leaves other than the winner, in winner order.
    pub conflicts: Vec<RevId>,
    /// Only where asked for: deleted leaves other than the winner, in winner order.
    pub deleted_conflicts: Vec<RevId>,
    /// Only where asked for: this revision and its ancestors, and whether each can be read.
    pub revs_info: Vec<(RevId, RevStatus)>,
}

/// When this server stored a document first, and when it stored its newest change; in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    pub created: Timestamp,
    pub updated: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevStatus {
    Available,
    Deleted,
    Missing,
}

/// What to tell of a revision besides its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extras {
    pub path: bool,
    pub conflicts: bool,
    pub deleted_conflicts: bool,
    pub revs_info: bool,
}

/// Which revision of a document to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Select {
    /// The winner; a tombstone is [`GetError::Deleted`].
    Winner,
    /// This one: a leaf, or one that is still readable; tombstones included.
    Rev(RevId),
    /// The newest leaf that descends from this one: the winner's order decides among several.
    Latest(RevId),
}

/// Which revisions of a document to read at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenRevs {
    All,
    Only(Vec<RevId>),
}

/// One document asked for in bulk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkItem {
    pub id: DocumentId,
    /// `None` asks for the winner, which may be a tombstone.
    pub rev: Option<RevId>,
}

#[derive(Debug, Error)]
pub enum GetError {
    #[error("the document, or this revision of it, is missing")]
    Missing,
    #[error("the document is deleted")]
    Deleted,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

#[derive(Debug, Error)]
pub enum AttachmentError {
    #[error("the document, or this revision of it, is missing")]
    Missing,
    #[error("the document is deleted")]
    Deleted,
    #[error("the document has no attachment of that name")]
    NoSuchAttachment,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What a database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    pub name: String,
    pub sequence: u64,
    pub purge_sequence: u64,
    pub doc_count: u64,
    pub deleted_count: u64,
    /// Documents with a live leaf beside a live winner; `None` while they are listed for the first time.
    pub conflict_count: Option<u64>,
    /// Bytes: all that is kept of documents, with their past and attachments, without free space, local documents and
    /// indexes.
    pub file_bytes: u64,
    /// Bytes of what the present needs, and of all attachments as they are stored, each content once: those that only
    /// the past has are among them.
    pub active_bytes: u64,
    /// Bytes of all leaves as JSON and of their attachments before compression.
    pub external_bytes: u64,
    pub compacting: bool,
    pub partitioned: bool,
    /// When the database was created.
    pub created: Timestamp,
}

impl Info {
    /// When the database was created, in seconds since 1970. Replicators take a new value for a new
    /// database, so it is the same wherever they see it.
    pub fn instance_start_time(&self) -> String {
        self.created.seconds().to_string()
    }
}

/// What `_revs_diff` finds missing of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingRevs {
    pub id: DocumentId,
    pub missing: Vec<RevId>,
    pub possible_ancestors: Vec<RevId>,
}
