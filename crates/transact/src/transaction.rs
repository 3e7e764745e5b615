//! One transaction, taken apart.

use settle_model::{
    document::AttachmentIn,
    id::{AttachmentName, DocumentId},
    revision::RevId,
};
use settle_query::selector::Selector;

use crate::{operation::FieldOperation, patch::Patch};

/// What is to be done whole or not at all.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// The client's name for it, by which its outcome is found again.
    pub id: String,
    /// In order; the first that does not hold is the reason of a refusal.
    pub require: Vec<(DocumentId, Requirement)>,
    /// In order; each of another document.
    pub writes: Vec<Write>,
    /// Who says what is to be written. It has no writes until somebody has asked.
    pub call: Option<Call>,
    /// Of its JSON without white space between tokens.
    pub digest: [u8; 32],
    /// Of its JSON.
    pub bytes: usize,
}

/// A transaction function, `transactions.{function}` of `_design/{design}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub design: String,
    pub function: String,
    /// JSON; `null` where none were given.
    pub arguments: Vec<u8>,
}

/// What must be so for a transaction to be accepted, of one document.
#[derive(Debug, Clone)]
pub enum Requirement {
    Exists,
    Absent,
    /// It is there, and this is its winner.
    Rev(RevId),
    /// It is there, and is selected.
    Match(Box<Selector>),
}

#[derive(Debug, Clone)]
pub struct Write {
    pub id: DocumentId,
    /// The revision that it must be made from; without one it is made from whatever is there.
    pub rev: Option<RevId>,
    pub kind: WriteKind,
}

#[derive(Debug, Clone)]
pub enum WriteKind {
    Put {
        body: Vec<u8>,
        /// Whoever stores what was sent with the document takes them out.
        attachments: Vec<(AttachmentName, AttachmentIn)>,
    },
    /// JSON Merge Patch, an object.
    Patch(Vec<u8>),
    JsonPatch(Patch),
    Delete,
    Operations(Vec<FieldOperation>),
}

impl Requirement {
    /// As requests call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::Absent => "absent",
            Self::Rev(_) => "rev",
            Self::Match(_) => "match",
        }
    }
}

impl WriteKind {
    /// Whether a client that knows the request knows what the document is afterwards.
    pub fn is_whole(&self) -> bool {
        match self {
            Self::Put { .. } | Self::Delete => true,
            Self::Patch(_) | Self::JsonPatch(_) | Self::Operations(_) => false,
        }
    }

    /// Whether the document must be there.
    pub(crate) fn needs_document(&self) -> bool {
        match self {
            Self::Put { .. } => false,
            Self::Patch(_) | Self::JsonPatch(_) | Self::Delete | Self::Operations(_) => true,
        }
    }
}

impl Transaction {
    /// Every document that it names, some of them more than once.
    pub fn documents(&self) -> impl Iterator<Item = &DocumentId> {
        let required = self.require.iter().map(|(id, _)| id);
        required.chain(self.writes.iter().map(|write| &write.id))
    }

    /// Those whose content decides about it, rather than that they are there, some more than once; and how often, about,
    /// that is gone through.
    pub fn contents(&self) -> impl Iterator<Item = (&DocumentId, u64)> {
        let matched = self.require.iter().filter(|(_, it)| matches!(it, Requirement::Match(_)));
        let times = |write: &Write| match &write.kind {
            WriteKind::Patch(_) => 1,
            WriteKind::JsonPatch(patch) => patch.steps() as u64,
            WriteKind::Operations(all) => all.iter().map(FieldOperation::times).sum(),
            WriteKind::Put { .. } | WriteKind::Delete => 0,
        };
        let changed = self.writes.iter().map(move |write| (&write.id, times(write)));
        matched.map(|(id, _)| (id, 1)).chain(changed.filter(|(_, times)| *times > 0))
    }

    /// Bytes that it adds to a database beside those of documents that it changes in part; nothing where it only
    /// deletes.
    pub fn added_bytes(&self) -> u64 {
        let added = |write: &Write| match &write.kind {
            WriteKind::Put { body, attachments } => {
                let attached = attachments.iter().map(|(_, it)| match it {
                    AttachmentIn::Inline { data, .. } => data.len(),
                    AttachmentIn::Stub { .. } | AttachmentIn::Follows { .. } => 0,
                });
                (body.len() + attached.sum::<usize>()) as u64
            }
            WriteKind::Patch(patch) => patch.len() as u64,
            WriteKind::JsonPatch(_) | WriteKind::Operations(_) => 1,
            WriteKind::Delete => 0,
        };
        self.writes.iter().map(added).sum()
    }
}
