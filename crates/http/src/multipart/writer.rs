//! Writing bodies of several parts: the text between the bytes, which others stream.
//!
//! ```text
//! --B\r\n headers \r\n\r\n bytes \r\n--B\r\n headers \r\n\r\n bytes \r\n--B--
//! ```
//!
//! Source: `couch_httpd_multipart:encode_multipart_stream/5`, `chttpd_db:send_docs_multipart/3`,
//! `send_ranges_multipart/5`.

use http::HeaderValue;

use super::Boundary;

/// Writes what stands before, between and behind parts.
#[derive(Debug)]
pub struct Writer {
    boundary: Boundary,
    began: bool,
}

/// An attachment in a `multipart/related` body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelatedPart {
    pub name: String,
    pub content_type: String,
    /// Of the bytes that are sent.
    pub length: u64,
    pub gzipped: bool,
}

impl Writer {
    pub fn new(boundary: Boundary) -> Self {
        Self { boundary, began: false }
    }

    /// `kind` is what stands behind `multipart/`.
    pub fn content_type(&self, kind: &str) -> HeaderValue {
        let text = format!("multipart/{kind}; boundary=\"{}\"", self.boundary.as_str());
        HeaderValue::try_from(text).expect("generated boundaries are hex digits")
    }

    /// Begins a part; its bytes come next.
    pub fn part(&mut self, headers: &[(&str, &str)], out: &mut Vec<u8>) {
        self.delimiter(out);
        for (name, value) in headers {
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            push_value(value, out);
        }
        out.extend_from_slice(b"\r\n\r\n");
    }

    /// A JSON part, which is how a document is sent.
    pub fn json(&mut self, json: &[u8], out: &mut Vec<u8>) {
        self.part(&[("Content-Type", "application/json")], out);
        out.extend_from_slice(json);
    }

    /// A JSON part that reports a failure: a revision that is not there.
    pub fn error(&mut self, json: &[u8], out: &mut Vec<u8>) {
        self.part(&[("Content-Type", "application/json; error=\"true\"")], out);
        out.extend_from_slice(json);
    }

    /// Begins the part of an attachment.
    pub fn attachment(&mut self, part: &RelatedPart, out: &mut Vec<u8>) {
        let name = quoted(&part.name);
        let disposition = format!("attachment; filename=\"{name}\"");
        let length = part.length.to_string();
        let headers = [
            ("Content-Disposition", disposition.as_str()),
            ("Content-Type", part.content_type.as_str()),
            ("Content-Length", length.as_str()),
            ("Content-Encoding", "gzip"),
        ];
        let count = if part.gzipped { 4 } else { 3 };
        self.part(&headers[..count], out);
    }

    /// Begins the part of a range, `first` and `last` included.
    pub fn range(
        &mut self,
        content_type: &str,
        (first, last): (u64, u64),
        total: u64,
        out: &mut Vec<u8>,
    ) {
        let range = format!("bytes {first}-{last}/{total}");
        self.part(&[("Content-Type", content_type), ("Content-Range", &range)], out);
    }

    /// Ends the body; also that of one without parts.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        self.delimiter(out);
        out.extend_from_slice(b"--");
    }

    /// Bytes of a body of this document and these attachments, for `Content-Length`.
    pub fn related_length(&self, json: &[u8], parts: &[RelatedPart]) -> u64 {
        let mut frame = Vec::new();
        let mut writer = Self::new(self.boundary.clone());
        writer.json(&[], &mut frame);
        for part in parts {
            writer.attachment(part, &mut frame);
        }
        writer.end(&mut frame);
        let bytes: u64 = parts.iter().map(|part| part.length).sum();
        frame.len() as u64 + json.len() as u64 + bytes
    }

    fn delimiter(&mut self, out: &mut Vec<u8>) {
        if self.began {
            out.extend_from_slice(b"\r\n");
        }
        self.began = true;
        out.extend_from_slice(b"--");
        out.extend_from_slice(self.boundary.as_str().as_bytes());
    }
}

/// A value never breaks its line, whoever chose it.
fn push_value(value: &str, out: &mut Vec<u8>) {
    out.extend(
        value.bytes().map(|byte| if matches!(byte, b'\r' | b'\n' | 0) { b' ' } else { byte }),
    );
}

fn quoted(name: &str) -> String {
    name.replace('\\', "\\\\").replace('"', "\\\"")
}
