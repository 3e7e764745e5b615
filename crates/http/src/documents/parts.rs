//! Bodies of several parts, as they are sent: a document with its attachments behind it, several such
//! documents, several ranges of one attachment.
//!
//! Attachments are sent as they are stored, so a gzipped one says `Content-Encoding: gzip`.
//!
//! Source: `couch_httpd_multipart:encode_multipart_stream/5`, `chttpd_db:send_docs_multipart/3`,
//! `send_ranges_multipart/5`. Different here: a name that would break out of its header is encoded as
//! browsers do it.

use std::ops::Range;

use http::HeaderValue;
use settle_database::{Attachment, Revision, blobs::Encoding};
use settle_model::time::Entropy;

use super::{outgoing::Form, pieces::Pieces};

/// A text that separates parts. It stands in no attachment but by a chance of one in 2¹²⁸.
#[derive(Debug, Clone)]
pub(crate) struct Boundary(String);

impl Boundary {
    pub(crate) fn new(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        Self(hex::encode(bytes))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The type of a body whose parts it separates, such as `multipart/mixed; boundary="…"`.
    pub(crate) fn content_type(&self, media_type: &str) -> HeaderValue {
        let text = format!("{media_type}; boundary=\"{}\"", self.0);
        HeaderValue::try_from(text).expect("media types and hex digits can stand in a header")
    }

    /// The line between two parts, and before the first.
    fn write(&self, pieces: &mut Pieces) {
        let text = pieces.text();
        text.extend_from_slice(b"\r\n--");
        text.extend_from_slice(self.0.as_bytes());
    }

    fn write_first(&self, pieces: &mut Pieces) {
        let text = pieces.text();
        text.extend_from_slice(b"--");
        text.extend_from_slice(self.0.as_bytes());
    }
}

/// Whether attachments are sent behind a document; without, the document stands alone as JSON.
pub(crate) fn has_following(form: &Form, revision: &Revision) -> bool {
    revision.attachments.iter().any(|attachment| form.sends(attachment))
}

/// A document and behind it the attachments that `form` sends, each a part.
pub(crate) fn write_related(
    pieces: &mut Pieces,
    boundary: &Boundary,
    form: &Form,
    revision: &Revision,
) {
    boundary.write_first(pieces);
    pieces.text().extend_from_slice(b"\r\nContent-Type: application/json\r\n\r\n");
    pieces.document(form, revision);
    boundary.write(pieces);
    for attachment in revision.attachments.iter().filter(|it| form.sends(it)) {
        write_headers(pieces.text(), attachment);
        pieces.stored(attachment);
        boundary.write(pieces);
    }
    pieces.text().extend_from_slice(b"--");
}

/// Several documents: each in its own `multipart/related`, or alone as JSON when nothing follows it.
#[derive(Debug)]
pub(crate) struct Mixed {
    pieces: Pieces,
    outer: Boundary,
    inner: Boundary,
}

impl Mixed {
    pub(crate) fn new(mut pieces: Pieces, entropy: &dyn Entropy) -> Self {
        let (outer, inner) = (Boundary::new(entropy), Boundary::new(entropy));
        outer.write_first(&mut pieces);
        Self { pieces, outer, inner }
    }

    pub(crate) fn content_type(&self) -> HeaderValue {
        self.outer.content_type("multipart/mixed")
    }

    pub(crate) fn document(&mut self, form: &Form, revision: &Revision) {
        self.document_with(b"", form, revision);
    }

    /// `headers` are lines that the part has besides its type, each with its line end in front.
    pub(crate) fn document_with(&mut self, headers: &[u8], form: &Form, revision: &Revision) {
        let Self { pieces, outer, inner } = self;
        let text = pieces.text();
        text.extend_from_slice(headers);
        text.extend_from_slice(b"\r\nContent-Type: ");
        if has_following(form, revision) {
            text.extend_from_slice(inner.content_type("multipart/related").as_bytes());
            text.extend_from_slice(b"\r\n\r\n");
            write_related(pieces, inner, form, revision);
        } else {
            text.extend_from_slice(b"application/json\r\n\r\n");
            pieces.document(form, revision);
        }
        outer.write(pieces);
    }

    /// What stands in the place of a document that cannot be sent: one JSON object.
    pub(crate) fn error(&mut self, json: &[u8]) {
        let text = self.pieces.text();
        text.extend_from_slice(b"\r\nContent-Type: application/json; error=\"true\"\r\n\r\n");
        text.extend_from_slice(json);
        self.outer.write(&mut self.pieces);
    }

    pub(crate) fn finish(mut self) -> Pieces {
        self.pieces.text().extend_from_slice(b"--");
        self.pieces
    }
}

/// Several ranges of an attachment that is stored as it is.
pub(crate) fn write_ranges(
    pieces: &mut Pieces,
    boundary: &Boundary,
    attachment: &Attachment,
    ranges: &[Range<u64>],
) {
    boundary.write_first(pieces);
    for range in ranges {
        let text = pieces.text();
        text.extend_from_slice(b"\r\nContent-Type: ");
        text.extend_from_slice(attachment.content_type.as_bytes());
        text.extend_from_slice(b"\r\nContent-Range: ");
        text.extend_from_slice(content_range(range, attachment.length).as_bytes());
        text.extend_from_slice(b"\r\n\r\n");
        pieces.stored_range(attachment, range.clone());
        boundary.write(pieces);
    }
    pieces.text().extend_from_slice(b"--");
}

/// The value of a `Content-Range` header.
pub(crate) fn content_range(range: &Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", range.start, range.end - 1)
}

fn write_headers(text: &mut Vec<u8>, attachment: &Attachment) {
    text.extend_from_slice(b"\r\nContent-Disposition: attachment; filename=\"");
    for byte in attachment.name.as_str().bytes() {
        match byte {
            b'"' => text.extend_from_slice(b"%22"),
            b'\r' => text.extend_from_slice(b"%0D"),
            b'\n' => text.extend_from_slice(b"%0A"),
            _ => text.push(byte),
        }
    }
    text.extend_from_slice(b"\"\r\nContent-Type: ");
    text.extend_from_slice(attachment.content_type.as_bytes());
    text.extend_from_slice(b"\r\nContent-Length: ");
    let length = attachment.stored_length;
    text.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    match attachment.encoding {
        Encoding::Identity => {}
        Encoding::Gzip => text.extend_from_slice(b"\r\nContent-Encoding: gzip"),
    }
    text.extend_from_slice(b"\r\n\r\n");
}
