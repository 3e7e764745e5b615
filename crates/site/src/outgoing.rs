//! From revisions to the JSON that is sent.

use settle_database::{
    Attachment, RevStatus, Revision, Times,
    blobs::{BlobReadError, BlobStore, Encoding, Part},
};
use settle_model::{
    date,
    document::{self, AnyRev, AttachmentOut, ContentOut, Extras, Outgoing},
    revision::{RevId, RevPath},
};

/// What of a revision is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Form {
    pub attachments: Attachments,
    /// Attachments that were added at this generation or before are sent as stubs in any case.
    pub known_up_to: u32,
    /// Whether attachments tell how they are stored.
    pub encoding_info: bool,
    pub local_seq: bool,
    /// When the server stored the document first and last.
    pub timestamps: bool,
    /// The ancestry, if the revision was read with it.
    pub revisions: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Attachments {
    #[default]
    Stubs,
    Inline,
    /// Behind the document, in the order of its list.
    Follow,
}

/// Contents of attachments, in the order of the document; `None` for what is not sent inside it.
pub type Contents = Vec<Option<Vec<u8>>>;

impl Form {
    /// Whether the content of an attachment is sent.
    pub fn sends(&self, attachment: &Attachment) -> bool {
        match self.attachments {
            Attachments::Stubs => false,
            Attachments::Inline | Attachments::Follow => attachment.revpos > self.known_up_to,
        }
    }

    /// Reads what is to be sent inside the document.
    pub async fn contents(
        &self,
        blobs: &BlobStore,
        attachments: &[Attachment],
    ) -> Result<Contents, BlobReadError> {
        if self.attachments != Attachments::Inline {
            return Ok(Contents::new());
        }
        let mut contents = Contents::with_capacity(attachments.len());
        for attachment in attachments {
            contents.push(if self.sends(attachment) {
                Some(blobs.read(attachment.digest, Part::Identity).await?.into_bytes().await?)
            } else {
                None
            });
        }
        Ok(contents)
    }

    /// Appends a revision as JSON. `contents` is what [`Form::contents`] read of it.
    pub fn write(&self, out: &mut Vec<u8>, revision: &Revision, contents: &Contents) {
        let attachments = self.attachments(&revision.attachments, contents);
        let revs_info: Vec<_> =
            revision.revs_info.iter().map(|(rev, status)| (rev.clone(), told(*status))).collect();
        let times = self.timestamps.then(|| {
            let Times { created, updated } = revision.times;
            (date::iso(created), date::iso(updated))
        });
        let document = Outgoing {
            id: revision.id.as_str(),
            rev: &AnyRev::from(revision.rev.clone()),
            deleted: revision.deleted,
            body: &revision.body,
            extras: Extras {
                revisions: revision.path.as_ref().filter(|_| self.revisions),
                revs_info: &revs_info,
                conflicts: &revision.conflicts,
                deleted_conflicts: &revision.deleted_conflicts,
                local_seq: self.local_seq.then_some(revision.sequence),
                timestamps: times.as_ref().map(|(created, updated)| (&**created, &**updated)),
                attachments: &attachments,
            },
        };
        document.write(out);
    }

    /// The list of attachments of a document. Where `contents` is shorter than it, nothing is inside.
    pub fn attachments<'a>(
        &self,
        attachments: &'a [Attachment],
        contents: &'a [Option<Vec<u8>>],
    ) -> Vec<AttachmentOut<'a>> {
        let form = |(index, attachment): (usize, &'a Attachment)| {
            let content = match contents.get(index) {
                Some(Some(bytes)) => ContentOut::Inline(bytes),
                Some(None) | None => match self.attachments {
                    Attachments::Follow if self.sends(attachment) => ContentOut::Follows,
                    Attachments::Stubs | Attachments::Inline | Attachments::Follow => {
                        ContentOut::Stub
                    }
                },
            };
            let encoding = match attachment.encoding {
                Encoding::Identity => document::Encoding::Identity,
                Encoding::Gzip => document::Encoding::Gzip,
            };
            AttachmentOut {
                name: attachment.name.as_str(),
                content_type: &attachment.content_type,
                revpos: attachment.revpos,
                md5: attachment.md5,
                length: attachment.length,
                encoding: self.encoding_info.then_some((encoding, attachment.stored_length)),
                content,
            }
        };
        attachments.iter().enumerate().map(form).collect()
    }
}

fn told(status: RevStatus) -> document::RevStatus {
    match status {
        RevStatus::Available => document::RevStatus::Available,
        RevStatus::Deleted => document::RevStatus::Deleted,
        RevStatus::Missing => document::RevStatus::Missing,
    }
}

/// The generation of the newest revision of a document that somebody who has `revs` knows: what was
/// attached up to there need not be sent. Zero when they know none of them.
///
/// Source: `couch_db:find_ancestor_rev_pos/2`.
pub fn known_up_to(path: Option<&RevPath>, revs: &[RevId]) -> u32 {
    if revs.is_empty() {
        return 0;
    }
    let known = path.and_then(|path| path.revs().find(|rev| revs.contains(rev)));
    known.map_or(0, |rev| rev.generation())
}
