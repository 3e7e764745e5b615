//! Documents as functions of design documents see them: winners as JSON, special members included.
//!
//! Rendered inside a view of the engine from borrowed bytes, one behind the other into one piece of
//! memory, of which each document is a slice.

use bytes::Bytes;
use settle_model::{
    document::{AnyRev, AttachmentOut, ContentOut, Extras, Outgoing, Unsaved},
    revision::{RevId, RevPath},
};

use crate::{
    error::StorageError,
    record::{
        body::{Attachment, decode_payload},
        head::HeadView,
    },
};

/// Which special members a document is rendered with, besides `_id`, `_rev` and stubs of
/// `_attachments`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DocumentForm {
    /// `_local_seq`: the sequence of the newest change, as a number.
    pub local_seq: bool,
    /// `_conflicts` and `_deleted_conflicts`, where there are any. CouchDB's map functions see both.
    pub conflicts: bool,
    /// Documents whose winner is deleted come with it too, `_deleted` among its members.
    pub tombstones: bool,
}

/// What is needed of a head besides the winner's body.
#[derive(Debug, Clone)]
pub(crate) struct Winner {
    pub(crate) rev: RevId,
    pub(crate) sequence: u64,
    pub(crate) deleted: bool,
    /// Whether there are leaves besides it.
    pub(crate) has_others: bool,
    conflicts: Vec<RevId>,
    deleted_conflicts: Vec<RevId>,
}

impl Winner {
    pub(crate) fn of(head: &HeadView<'_>, form: DocumentForm) -> Result<Self, StorageError> {
        let mut leaves = head.leaves();
        let first = leaves.next().expect("decode refuses a head without leaves")?;
        let mut winner = Self {
            rev: first.rev,
            sequence: head.sequence,
            deleted: first.deleted,
            has_others: head.leaf_count() > 1,
            conflicts: Vec::new(),
            deleted_conflicts: Vec::new(),
        };
        if form.conflicts {
            for leaf in leaves {
                let leaf = leaf?;
                let group = if leaf.deleted {
                    &mut winner.deleted_conflicts
                } else {
                    &mut winner.conflicts
                };
                group.push(leaf.rev);
            }
        }
        Ok(winner)
    }

    /// Of a document as it was; the others are its live leaves and its deleted ones.
    pub(crate) fn then(
        rev: RevId,
        sequence: u64,
        deleted: bool,
        [conflicts, deleted_conflicts]: [Vec<RevId>; 2],
    ) -> Self {
        let has_others = !(conflicts.is_empty() && deleted_conflicts.is_empty());
        Self { rev, sequence, deleted, has_others, conflicts, deleted_conflicts }
    }

    /// Appends the document; `payload` is the winner's.
    pub(crate) fn render(
        &self,
        out: &mut Vec<u8>,
        id: &str,
        payload: &[u8],
        form: DocumentForm,
    ) -> Result<(), StorageError> {
        let (attachments, body) = decode_payload(payload)?;
        let attachments: Vec<_> = attachments.iter().map(stub).collect();
        let document = Outgoing {
            id,
            rev: &AnyRev::from(self.rev.clone()),
            deleted: self.deleted,
            body,
            extras: Extras {
                conflicts: &self.conflicts,
                deleted_conflicts: &self.deleted_conflicts,
                local_seq: form.local_seq.then_some(self.sequence),
                attachments: &attachments,
                ..Extras::default()
            },
        };
        document.write(out);
        Ok(())
    }
}

/// One leaf as validators and filters see it.
pub(crate) struct Leaf<'a> {
    pub(crate) id: &'a str,
    /// Begins with the leaf.
    pub(crate) path: &'a RevPath,
    pub(crate) deleted: bool,
    pub(crate) attachments: &'a [Attachment],
    pub(crate) body: &'a [u8],
    /// Whether `_revisions` is there.
    pub(crate) shows_path: bool,
    pub(crate) conflicts: &'a [RevId],
}

impl Leaf<'_> {
    pub(crate) fn render(&self) -> Bytes {
        let attachments: Vec<_> = self.attachments.iter().map(stub).collect();
        let mut out = Vec::new();
        let document = Outgoing {
            id: self.id,
            rev: &AnyRev::from(self.path.newest()),
            deleted: self.deleted,
            body: self.body,
            extras: Extras {
                revisions: self.shows_path.then_some(self.path),
                conflicts: self.conflicts,
                attachments: &attachments,
                ..Extras::default()
            },
        };
        document.write(&mut out);
        out.into()
    }
}

/// As validators see a stored revision. `path` begins with it.
pub(crate) fn with_path(
    id: &str,
    path: &RevPath,
    deleted: bool,
    attachments: &[Attachment],
    body: &[u8],
) -> Bytes {
    Leaf { id, path, deleted, attachments, body, shows_path: true, conflicts: &[] }.render()
}

/// As validators see a document that is made from nothing.
pub(crate) fn unsaved(id: &str, deleted: bool, attachments: &[Attachment], body: &[u8]) -> Bytes {
    let attachments: Vec<_> = attachments.iter().map(stub).collect();
    let mut out = Vec::new();
    Unsaved { id, deleted, body, attachments: &attachments }.write(&mut out);
    out.into()
}

fn stub(attachment: &Attachment) -> AttachmentOut<'_> {
    AttachmentOut {
        name: attachment.name.as_str(),
        content_type: &attachment.content_type,
        revpos: attachment.revpos,
        md5: attachment.md5,
        length: attachment.length,
        encoding: None,
        content: ContentOut::Stub,
    }
}

/// Things with the documents that belong to some of them, in one piece of memory.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    bytes: Vec<u8>,
    /// Each with where its document ends, if it has one.
    items: Vec<(T, Option<usize>)>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { bytes: Vec::new(), items: Vec::new() }
    }
}

impl<T> Arena<T> {
    pub(crate) fn push(&mut self, item: T) {
        self.items.push((item, None));
    }

    /// `render` appends the document.
    pub(crate) fn push_with<E>(
        &mut self,
        item: T,
        render: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let before = self.bytes.len();
        if let Err(error) = render(&mut self.bytes) {
            self.bytes.truncate(before);
            return Err(error);
        }
        self.items.push((item, Some(self.bytes.len())));
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The things in order, each with its document.
    pub(crate) fn into_items(self) -> impl ExactSizeIterator<Item = (T, Option<Bytes>)> {
        let bytes = Bytes::from(self.bytes);
        let mut start = 0;
        self.items.into_iter().map(move |(item, end)| {
            let document = end.map(|end| bytes.slice(std::mem::replace(&mut start, end)..end));
            (item, document)
        })
    }
}
