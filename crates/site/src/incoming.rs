//! From a document that was sent to the edit that it asks for.

use std::sync::Arc;

use settle_database::{
    AttachmentEdit, AttachmentSource, Content, Edit, EditError, Origin, Verdict,
    blobs::{BlobStore, Received, StagedBlob, UploadError, UploadOptions},
    limits::ATTACHMENTS_MAX,
};
use settle_model::{
    document::{AnyRev, AttachmentIn, Incoming},
    id::{AttachmentName, DocumentId},
    revision::RevPath,
};
use thiserror::Error;

/// Why a document asks for no edit.
#[derive(Debug, Error)]
pub enum IncomingError {
    /// Too many attachments, or the revision is one of local documents.
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error("When `new_edits: false`, the document needs `_rev` or `_revisions` specified")]
    NoRevision,
    #[error("attachment {name} does not follow the document")]
    DoesNotFollow { name: AttachmentName },
    #[error(transparent)]
    Upload(#[from] UploadError),
}

/// The edit that a document asks for. Its inline attachments are stored on the way; `following` are
/// those that came behind it, in the order of its list.
pub async fn edit(
    blobs: &BlobStore,
    id: DocumentId,
    incoming: Incoming,
    new_edits: bool,
    following: impl IntoIterator<Item = Arc<StagedBlob>>,
) -> Result<Edit, IncomingError> {
    let Incoming { id: _, rev, deleted, revisions, attachments, body } = incoming;
    check_count(attachments.len())?;
    let origin = origin(rev, revisions, new_edits)?;
    let mut following = following.into_iter();
    let mut edits = Vec::with_capacity(attachments.len());
    for (name, attachment) in attachments {
        edits.push(attachment_edit(blobs, name, attachment, &origin, &mut following).await?);
    }
    let content = Content::Whole { body, attachments: edits };
    Ok(Edit { id, origin, deleted, content, verdict: Verdict::NONE })
}

/// The attachments of a document that is edited as it is now. Those that came inside of it are stored.
pub async fn attachments(
    blobs: &BlobStore,
    attachments: Vec<(AttachmentName, AttachmentIn)>,
) -> Result<Vec<AttachmentEdit>, IncomingError> {
    check_count(attachments.len())?;
    let origin = Origin::Interactive { base: None, must_exist: false };
    let mut edits = Vec::with_capacity(attachments.len());
    for (name, attachment) in attachments {
        let none = &mut std::iter::empty();
        edits.push(attachment_edit(blobs, name, attachment, &origin, none).await?);
    }
    Ok(edits)
}

/// Refuses more attachments than a document can have before any of them is stored.
pub fn check_count(count: usize) -> Result<(), EditError> {
    if count > ATTACHMENTS_MAX {
        return Err(EditError::TooManyAttachments { count, max: ATTACHMENTS_MAX });
    }
    Ok(())
}

/// What a document rests on: with `new_edits` the revision it was made from, else its own ancestry.
fn origin(
    rev: Option<AnyRev>,
    revisions: Option<RevPath>,
    new_edits: bool,
) -> Result<Origin, IncomingError> {
    if new_edits {
        // A revision of local documents is not one of any other document.
        let base = rev.map(|rev| rev.into_document().ok_or(EditError::Conflict)).transpose()?;
        return Ok(Origin::Interactive { base, must_exist: false });
    }
    let path = revisions.or_else(|| rev?.into_document().map(RevPath::single));
    Ok(Origin::Replicated { path: path.ok_or(IncomingError::NoRevision)? })
}

async fn attachment_edit(
    blobs: &BlobStore,
    name: AttachmentName,
    attachment: AttachmentIn,
    origin: &Origin,
    following: &mut impl Iterator<Item = Arc<StagedBlob>>,
) -> Result<AttachmentEdit, IncomingError> {
    let (source, revpos) = match attachment {
        AttachmentIn::Stub { revpos, .. } => (AttachmentSource::Keep, revpos),
        AttachmentIn::Follows { content_type, revpos, .. } => {
            let Some(blob) = following.next() else {
                return Err(IncomingError::DoesNotFollow { name });
            };
            (AttachmentSource::New { content_type, blob }, Some(revpos))
        }
        AttachmentIn::Inline { content_type, revpos, data } => {
            let received = Received::Plain { content_type: &content_type };
            let blob = Arc::new(blobs.stage(&data, &UploadOptions::new(received)).await?);
            (AttachmentSource::New { content_type, blob }, Some(revpos))
        }
    };
    let revpos = match origin {
        Origin::Interactive { .. } | Origin::Resolution { .. } => None,
        // Replicators send it; a hand-written document is the first to have the attachment.
        Origin::Replicated { path } => {
            Some(revpos.filter(|&revpos| revpos > 0).unwrap_or_else(|| path.start()))
        }
    };
    Ok(AttachmentEdit { name, source, revpos })
}
