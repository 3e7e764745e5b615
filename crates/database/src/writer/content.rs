//! What the revision that an edit makes will hold: its JSON, and its attachments, each of them resolved
//! to what is stored or has been uploaded.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use settle_model::{
    id::AttachmentName,
    revision::{RevId, RevPath},
    revision_hash::{self, AttachmentEdit as HashedAttachment},
};

use super::group::Group;
use crate::{
    blobs::{BlobDigest, StagedBlob, limits::INLINE_BYTES_MAX},
    edit::{AttachmentEdit, AttachmentSource, Content, Edit, EditError, Origin},
    error::StorageError,
    limits::{ATTACHMENTS_MAX, BODY_BYTES_MAX},
    record::body::{Attachment, decode_payload},
};

pub(super) struct Resolved<'e> {
    pub(super) body: Cow<'e, [u8]>,
    pub(super) attachments: Vec<Attachment>,
    /// What was uploaded for it.
    pub(super) staged: BTreeMap<BlobDigest, Arc<StagedBlob>>,
}

impl Edit {
    /// Bytes that the edit brings along into its commit, roughly.
    pub(super) fn bytes(&self) -> usize {
        match &self.content {
            Content::Whole { body, attachments } => {
                body.len() + attachments.iter().map(|it| it.source.bytes()).sum::<usize>()
            }
            Content::Attachment { new, .. } => new.as_ref().map_or(0, AttachmentSource::bytes),
        }
    }

    /// The revision that an edit makes when its base is what it says, computed where that needs
    /// nothing from storage.
    pub(super) fn expected(&self) -> Option<RevId> {
        let base = match &self.origin {
            Origin::Interactive { base, .. } => base.as_ref(),
            Origin::Resolution { leaf, .. } => Some(leaf),
            Origin::Replicated { .. } => return None,
        };
        let Content::Whole { body, attachments } = &self.content else { return None };
        let mut hashed = Vec::with_capacity(attachments.len());
        for attachment in attachments {
            let (content_type, md5) = match &attachment.source {
                AttachmentSource::Keep => return None,
                AttachmentSource::New { content_type, blob } => (content_type, blob.md5()),
                AttachmentSource::Stored(stored) => (&stored.content_type, stored.md5),
            };
            let name = attachment.name.as_str();
            hashed.push(HashedAttachment { name, content_type, md5 });
        }
        revision_hash::next(self.deleted, base, body, &hashed)
    }
}

impl Group<'_> {
    /// `source` is what stubs refer to: of an interactive edit its base, of a replicated one itself
    /// and its ancestors.
    pub(super) async fn resolve<'e>(
        &self,
        edit: &'e Edit,
        source: Option<&RevPath>,
        generation: u32,
    ) -> Result<Result<Resolved<'e>, EditError>, StorageError> {
        let base = match source {
            Some(path) if edit.content.refers_to_base() => {
                self.nearest_payload(&edit.id, path).await?
            }
            Some(_) | None => None,
        };
        let (kept, base_body) = match &base {
            Some(payload) => decode_payload(payload)?,
            None => (Vec::new(), b"{}".as_slice()),
        };
        let resolved = match &edit.content {
            Content::Whole { body, attachments } => {
                Resolved::whole(body, attachments, &kept, generation)
            }
            Content::Attachment { name, new } => {
                Resolved::changed(base_body, kept, name, new.as_ref(), generation)
            }
        };
        Ok(resolved.and_then(|resolved| self.check(resolved)))
    }

    fn check<'e>(&self, resolved: Resolved<'e>) -> Result<Resolved<'e>, EditError> {
        let count = resolved.attachments.len();
        if count > ATTACHMENTS_MAX {
            return Err(EditError::TooManyAttachments { count, max: ATTACHMENTS_MAX });
        }
        match resolved.attachments.iter().find(|it| self.missing_blobs.contains(&it.digest)) {
            Some(lost) => Err(EditError::MissingStub { name: lost.name.clone() }),
            None => Ok(resolved),
        }
    }
}

impl Content {
    pub(super) fn check_size(&self) -> Result<(), EditError> {
        match self {
            Self::Whole { body, .. } if body.len() > BODY_BYTES_MAX => {
                Err(EditError::TooLarge { bytes: body.len(), max: BODY_BYTES_MAX })
            }
            Self::Whole { .. } | Self::Attachment { .. } => Ok(()),
        }
    }

    fn refers_to_base(&self) -> bool {
        match self {
            Self::Whole { attachments, .. } => {
                attachments.iter().any(|it| matches!(it.source, AttachmentSource::Keep))
            }
            Self::Attachment { .. } => true,
        }
    }
}

impl<'e> Resolved<'e> {
    fn whole(
        body: &'e [u8],
        edits: &[AttachmentEdit],
        kept: &[Attachment],
        generation: u32,
    ) -> Result<Self, EditError> {
        let kept: HashMap<&AttachmentName, &Attachment> =
            kept.iter().map(|it| (&it.name, it)).collect();
        let mut staged = BTreeMap::new();
        let mut attachments = Vec::with_capacity(edits.len());
        for edit in edits {
            let attachment = match edit.source.attachment(&edit.name, generation, &mut staged) {
                Some(new) => Attachment { revpos: edit.revpos.unwrap_or(new.revpos), ..new },
                None => match kept.get(&edit.name) {
                    Some(&kept) => kept.clone(),
                    None => return Err(EditError::MissingStub { name: edit.name.clone() }),
                },
            };
            attachments.push(attachment);
        }
        Ok(Self { body: Cow::Borrowed(body), attachments, staged })
    }

    /// The base's document with one attachment changed.
    fn changed(
        body: &[u8],
        mut attachments: Vec<Attachment>,
        name: &AttachmentName,
        new: Option<&AttachmentSource>,
        generation: u32,
    ) -> Result<Self, EditError> {
        let mut staged = BTreeMap::new();
        let before = attachments.len();
        attachments.retain(|it| it.name != *name);
        match new {
            Some(source) => match source.attachment(name, generation, &mut staged) {
                Some(new) => attachments.insert(0, new),
                None => return Err(EditError::MissingStub { name: name.clone() }),
            },
            None if attachments.len() == before => {
                return Err(EditError::MissingAttachment { name: name.clone() });
            }
            None => {}
        }
        Ok(Self { body: Cow::Owned(body.to_vec()), attachments, staged })
    }

    /// The id of the revision that this makes of `parent`.
    pub(super) fn hash(&self, deleted: bool, parent: Option<&RevId>) -> Option<RevId> {
        let hashed = self.attachments.iter().map(|it| HashedAttachment {
            name: it.name.as_str(),
            content_type: &it.content_type,
            md5: it.md5,
        });
        revision_hash::next(deleted, parent, &self.body, &hashed.collect::<Vec<_>>())
    }
}

impl AttachmentSource {
    fn bytes(&self) -> usize {
        match self {
            Self::New { blob, .. } => {
                let length = usize::try_from(blob.stored_length()).unwrap_or(usize::MAX);
                if length <= INLINE_BYTES_MAX { length } else { 0 }
            }
            Self::Keep | Self::Stored(_) => 0,
        }
    }

    /// `None` for a stub.
    fn attachment(
        &self,
        name: &AttachmentName,
        generation: u32,
        staged: &mut BTreeMap<BlobDigest, Arc<StagedBlob>>,
    ) -> Option<Attachment> {
        match self {
            Self::Keep => None,
            Self::New { content_type, blob } => {
                staged.insert(blob.digest(), blob.clone());
                Some(Attachment {
                    name: name.clone(),
                    content_type: content_type.clone(),
                    revpos: generation,
                    md5: blob.md5(),
                    digest: blob.digest(),
                    length: blob.length(),
                    stored_length: blob.stored_length(),
                    encoding: blob.encoding(),
                })
            }
            Self::Stored(stored) => {
                Some(Attachment { name: name.clone(), revpos: generation, ..stored.clone() })
            }
        }
    }
}
