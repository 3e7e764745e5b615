//! Documents and ranges as parts of a body: what [`Writer`] puts round the bytes, with the bytes in
//! between.
//!
//! Attachments are sent as they are stored, so a gzipped one says `Content-Encoding: gzip`.
//!
//! Source: `chttpd_db:send_docs_multipart/3`, `couch_httpd_multipart:encode_multipart_stream/5`.

use std::ops::Range;

use http::HeaderValue;
use settle_database::{Attachment, Revision, blobs::Encoding};
use settle_model::time::Entropy;

use super::{outgoing::Form, pieces::Pieces};
use crate::multipart::{Boundary, RelatedPart, Writer};

/// Whether attachments are sent behind a document; without, the document stands alone as JSON.
pub(crate) fn has_following(form: &Form, revision: &Revision) -> bool {
    revision.attachments.iter().any(|attachment| form.sends(attachment))
}

/// A document and behind it the attachments that `form` sends; and the type of that.
pub(crate) fn write_related(
    pieces: &mut Pieces,
    boundary: Boundary,
    form: &Form,
    revision: &Revision,
) -> HeaderValue {
    let mut writer = Writer::new(boundary);
    writer.json(&[], pieces.text());
    pieces.document(form, revision);
    for attachment in revision.attachments.iter().filter(|it| form.sends(it)) {
        let part = RelatedPart {
            name: attachment.name.to_string(),
            content_type: attachment.content_type.clone(),
            length: attachment.stored_length,
            gzipped: match attachment.encoding {
                Encoding::Gzip => true,
                Encoding::Identity => false,
            },
        };
        writer.attachment(&part, pieces.text());
        pieces.stored(attachment);
    }
    writer.end(pieces.text());
    writer.content_type("related")
}

/// Several documents: each in its own `multipart/related`, or alone as JSON when nothing follows it.
#[derive(Debug)]
pub(crate) struct Mixed {
    pieces: Pieces,
    writer: Writer,
    /// Between the parts of each document.
    inner: Boundary,
}

impl Mixed {
    pub(crate) fn new(pieces: Pieces, entropy: &dyn Entropy) -> Self {
        let writer = Writer::new(Boundary::generate(entropy));
        Self { pieces, writer, inner: Boundary::generate(entropy) }
    }

    pub(crate) fn content_type(&self) -> HeaderValue {
        self.content_type_of("mixed")
    }

    /// For clients that call it another kind of multipart.
    pub(crate) fn content_type_of(&self, kind: &str) -> HeaderValue {
        self.writer.content_type(kind)
    }

    /// What has been written so far; `next` takes what follows.
    pub(crate) fn take(&mut self, next: Pieces) -> Pieces {
        std::mem::replace(&mut self.pieces, next)
    }

    /// `headers` are those that the part has besides its type, if it has attachments.
    pub(crate) fn document(&mut self, headers: &[(&str, &str)], form: &Form, revision: &Revision) {
        let Self { pieces, writer, inner } = self;
        if has_following(form, revision) {
            let content_type = format!("multipart/related; boundary=\"{}\"", inner.as_str());
            let headers = [headers, &[("Content-Type", &content_type)]].concat();
            writer.part(&headers, pieces.text());
            write_related(pieces, inner.clone(), form, revision);
        } else {
            writer.json(&[], pieces.text());
            pieces.document(form, revision);
        }
    }

    /// What stands in the place of a document that cannot be sent: one JSON object.
    pub(crate) fn error(&mut self, json: &[u8]) {
        self.writer.error(json, self.pieces.text());
    }

    pub(crate) fn finish(mut self) -> Pieces {
        self.writer.end(self.pieces.text());
        self.pieces
    }
}

/// Several ranges of an attachment that is stored as it is; and the type of that.
pub(crate) fn write_ranges(
    pieces: &mut Pieces,
    boundary: Boundary,
    attachment: &Attachment,
    ranges: &[Range<u64>],
) -> HeaderValue {
    let mut writer = Writer::new(boundary);
    for range in ranges {
        let (first, last) = (range.start, range.end - 1);
        let (kind, total) = (&attachment.content_type, attachment.length);
        writer.range(kind, (first, last), total, pieces.text());
        pieces.stored_range(attachment, range.clone());
    }
    writer.end(pieces.text());
    writer.content_type("byteranges")
}
