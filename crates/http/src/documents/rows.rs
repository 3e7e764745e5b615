//! Documents as they stand in rows of lists and feeds: with the content of their winner, read inside of
//! a view of the engine.
//!
//! Without attachments a row is written at once, from borrowed bytes. To put attachments into it they
//! must be read first, which a view has no time for; so such rows are copied, and written afterwards.

use settle_database::{Attachment, DocumentContent, blobs::BlobStore};
use settle_model::{
    document::{AnyRev, Extras, Outgoing},
    revision::RevId,
};

use super::outgoing::{Attachments, Contents, Form};
use crate::error::ApiError;

/// Bytes of copied documents after which they are written, before more are read.
pub(crate) const COPIED_BYTES_MAX: usize = 256 << 10;

/// What of a document stands in its row.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RowForm {
    pub(crate) form: Form,
    pub(crate) conflicts: bool,
}

/// A document's content, outside of the view that it was found in.
#[derive(Debug)]
pub(crate) struct CopiedContent {
    body: Vec<u8>,
    attachments: Vec<Attachment>,
    conflicts: Vec<RevId>,
    sequence: u64,
}

impl RowForm {
    pub(crate) fn new(attachments: bool, encoding_info: bool, conflicts: bool) -> Self {
        let attachments = if attachments { Attachments::Inline } else { Attachments::Stubs };
        Self { form: Form { attachments, encoding_info, ..Form::default() }, conflicts }
    }

    /// Whether rows are written only after the view is closed.
    pub(crate) fn needs_copies(&self) -> bool {
        self.form.attachments != Attachments::Stubs
    }

    /// Appends the document as JSON.
    pub(crate) fn write(
        &self,
        out: &mut Vec<u8>,
        id: &str,
        rev: &RevId,
        deleted: bool,
        content: &DocumentContent<'_>,
        contents: &Contents,
    ) {
        let attachments = self.form.attachments(content.attachments, contents);
        let conflicts = if self.conflicts { content.conflicts } else { &[] };
        let document = Outgoing {
            id,
            rev: &AnyRev::from(rev.clone()),
            deleted,
            body: content.body,
            extras: Extras { conflicts, attachments: &attachments, ..Extras::default() },
        };
        document.write(out);
    }
}

impl CopiedContent {
    pub(crate) fn of(content: &DocumentContent<'_>) -> Self {
        Self {
            body: content.body.to_vec(),
            attachments: content.attachments.to_vec(),
            conflicts: content.conflicts.to_vec(),
            sequence: content.sequence,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.body.len()
    }

    pub(crate) fn lend(&self) -> DocumentContent<'_> {
        DocumentContent {
            body: &self.body,
            attachments: &self.attachments,
            conflicts: &self.conflicts,
            sequence: self.sequence,
        }
    }

    pub(crate) async fn contents(
        &self,
        form: &Form,
        blobs: &BlobStore,
    ) -> Result<Contents, ApiError> {
        Ok(form.contents(blobs, &self.attachments).await?)
    }
}
