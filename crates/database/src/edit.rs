//! What a write asks for, and what becomes of it.

use std::sync::Arc;

use bytes::Bytes;
use settle_model::{
    id::{AttachmentName, DocumentId, PartitionError},
    revision::{RevId, RevPath},
};
use thiserror::Error;

use crate::{blobs::StagedBlob, once::Recorded, record::body::Attachment};

/// One change to one document.
#[derive(Debug)]
pub struct Edit {
    pub id: DocumentId,
    pub origin: Origin,
    pub deleted: bool,
    pub content: Content,
    /// What the validators of the database's design documents said.
    pub verdict: Verdict,
}

/// How often a database's design documents have changed, and its security object: what a decision about
/// an edit rests on besides documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Epochs {
    pub design: u64,
    pub security: u64,
}

/// What was decided about an edit before it came to the writer, and what that rests on.
///
/// A database that has, or had, design documents takes no edit of an ordinary document without
/// one: a way for outsiders to write that forgets to ask the validators is refused everything with
/// [`EditError::Overtaken`], and so is an edit about which another decision might be reached by now.
/// Design documents are not validated (`couch_db:validate_doc_update/3`), nor are local documents, which
/// are no edits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdict(Ruling);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Ruling {
    #[default]
    None,
    Passed {
        epochs: Epochs,
        seen: Seen,
    },
    Internal,
}

/// What validators saw of the document that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// None looked at it.
    Nothing,
    /// The document as of this sequence; `None` when it was not there.
    Document(Option<u64>),
}

impl Verdict {
    /// Nobody has decided.
    pub const NONE: Self = Self(Ruling::None);

    /// The validators of these epochs have no objection. Said by the lane that asked them, and by nobody
    /// else.
    pub fn passed(epochs: Epochs, seen: Seen) -> Self {
        Self(Ruling::Passed { epochs, seen })
    }

    /// For edits that no outsider asked for. `reason` is for the reader of the code.
    pub fn internal(reason: &'static str) -> Self {
        let _: &'static str = reason;
        Self(Ruling::Internal)
    }

    /// Whether it rests on the document that is stored.
    pub(crate) fn looked(&self) -> bool {
        matches!(self.0, Ruling::Passed { seen: Seen::Document(_), .. })
    }

    pub(crate) fn is_internal(&self) -> bool {
        self.0 == Ruling::Internal
    }

    /// Whether it still holds: `head` is the sequence of the document that is stored.
    pub(crate) fn holds(&self, now: Epochs, head: Option<u64>) -> bool {
        match self.0 {
            Ruling::None => false,
            Ruling::Internal => true,
            Ruling::Passed { epochs, seen } => {
                epochs == now
                    && match seen {
                        Seen::Nothing => true,
                        Seen::Document(sequence) => sequence == head,
                    }
            }
        }
    }
}

/// An edit as validators see it before it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreseen {
    /// There is nothing to ask: it is refused in any case, or stored already, or of a design document.
    Settled,
    Edit {
        /// What it rests on.
        seen: Seen,
        /// The document that it makes as JSON, with `_id`, `_rev` as it was sent (the base of an interactive
        /// edit), `_deleted`, `_revisions`, stubs of `_attachments`.
        new: Bytes,
        deleted: bool,
        /// What it replaces, likewise, with as much of the ancestry as stands in the document's record; of
        /// an interactive edit its base, of a replicated one the nearest stored ancestor. `None` where
        /// there is none.
        old: Option<Bytes>,
    },
}

/// Where an edit comes from decides how it meets what is stored.
#[derive(Debug, Clone)]
pub enum Origin {
    /// Somebody edits what they last saw: `base`, which must be a leaf, or nothing. The new
    /// revision's id is computed here. An edit without base creates a document, or takes up one
    /// whose winner is a tombstone.
    Interactive {
        base: Option<RevId>,
        /// Refuse a document that is missing or deleted with [`EditError::Missing`] or
        /// [`EditError::Deleted`], as a deletion does.
        must_exist: bool,
    },
    /// Part of the end of a conflict: an edit of `leaf`, or its tombstone. What is to be done was decided when the
    /// document's newest change was `seen`, and all of it is refused where that is another by now.
    Resolution { leaf: RevId, seen: u64 },
    /// A replica sends a revision that it has, with its ancestry, newest first. Nothing is refused
    /// for being known or in conflict.
    Replicated { path: RevPath },
}

#[derive(Debug)]
pub enum Content {
    /// The whole document: its JSON without special members and without white space between
    /// tokens, and its attachments in order.
    Whole { body: Vec<u8>, attachments: Vec<AttachmentEdit> },
    /// The base's document with one attachment put first (`Some`) or taken out (`None`).
    Attachment { name: AttachmentName, new: Option<AttachmentSource> },
}

#[derive(Debug, Clone)]
pub struct AttachmentEdit {
    pub name: AttachmentName,
    pub source: AttachmentSource,
    /// Replicated edits keep the generation that the sender gives, a stub the one that is stored.
    pub revpos: Option<u32>,
}

#[derive(Debug, Clone)]
pub enum AttachmentSource {
    /// A stub: what the parent revision has under this name.
    Keep,
    /// Uploaded with this request.
    New { content_type: String, blob: Arc<StagedBlob> },
    /// What another revision of this database has, or had a moment ago.
    Stored(Attachment),
}

/// An edit that is in the database, synced unless batched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub id: DocumentId,
    pub rev: RevId,
}

/// What a write came to.
#[derive(Debug)]
pub struct Attempt {
    /// In the order of the edits.
    pub results: Vec<Result<Written, EditError>>,
    /// The edits that were [`EditError::Overtaken`], in order, for whoever looks at them again; of an atomic
    /// write all of its edits, if there was one of those.
    pub overtaken: Vec<Edit>,
    /// What is remembered of it, where it was made before, and is not made again; there are no results then.
    pub recorded: Option<Recorded>,
}

/// Why one edit was refused; its neighbours are not concerned.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EditError {
    #[error("the document has moved on from the revision given")]
    Conflict,
    #[error("the document is missing")]
    Missing,
    #[error("the document is deleted")]
    Deleted,
    /// A stub names an attachment that the parent revision does not have, or what it refers to has
    /// gone meanwhile.
    #[error("the parent revision has no attachment {name}")]
    MissingStub { name: AttachmentName },
    #[error("the document has no attachment {name}")]
    MissingAttachment { name: AttachmentName },
    #[error("the document's body has {bytes} bytes, more than the {max} allowed")]
    TooLarge { bytes: usize, max: usize },
    #[error("the document has {count} attachments, more than the {max} allowed")]
    TooManyAttachments { count: usize, max: usize },
    /// The database is partitioned, and the id names no partition.
    #[error(transparent)]
    Partition(#[from] PartitionError),
    #[error("the document has been edited more often than can be counted")]
    GenerationsExhausted,
    /// No verdict was reached about it, or one that no longer holds; whoever reached it looks again.
    #[error("the design documents, the security object or the document changed meanwhile")]
    Overtaken,
    /// Another edit of an atomic write was refused, so this one was not made.
    #[error("another edit of the same atomic write was refused")]
    Aborted,
}

/// Whether the edits of one write stand or fall together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Atomicity {
    EachAlone,
    AllOrNothing,
}
