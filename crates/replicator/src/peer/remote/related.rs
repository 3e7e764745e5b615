//! A document with attachments behind it, as `multipart/related`.
//!
//! ```text
//! --boundary
//! Content-Type: application/json
//!
//! {"_id":…,"_attachments":{"a.txt":{…,"follows":true},"b":{…,"stub":true}}}
//! --boundary
//! Content-Disposition: attachment; filename="a.txt"
//! Content-Type: text/plain
//! Content-Length: 7
//!
//! …
//! --boundary--
//! ```
//!
//! Each line ends with CR LF. What the source keeps compressed is sent so, and the document says so, for the
//! digest to stay what it was.
//!
//! CouchDB knows the parts by their places. Other servers go by the names and fall over without one, so each
//! part has its own.
//!
//! Source: `couch_httpd_multipart:encode_multipart_stream/5`, `couch_att:to_json/4`. Different here: what would
//! end a name in its header is written as browsers write it (HTML, "Multipart form data").

use std::io;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::HeaderValue;
use settle_model::{
    document::Encoding,
    json::{members, string_value, unescape},
    time::Entropy,
};
use settle_sync::replication::Document;

use crate::{
    spool::{DigestCheck, Spooled},
    stub,
};

/// The body of one request. It may be read several times.
#[derive(Debug)]
pub(super) struct Related {
    boundary: String,
    /// Each attachment, and what stands before it.
    parts: Vec<(Bytes, Spooled)>,
    end: Bytes,
}

impl Related {
    pub(super) fn new(document: &Document, staged: &[Spooled], entropy: &dyn Entropy) -> Self {
        let mut random = [0; 16];
        entropy.fill(&mut random);
        let boundary = format!("{:032x}", u128::from_be_bytes(random));
        let mut staged = staged.to_vec();
        staged.sort_by_key(|it| it.attachment());

        let mut before =
            format!("--{boundary}\r\nContent-Type: application/json\r\n\r\n").into_bytes();
        write_document(&mut before, document, &staged);
        let mut parts = Vec::with_capacity(staged.len());
        for spooled in staged {
            before.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
            write_headers(&mut before, document, &spooled);
            parts.push((Bytes::from(std::mem::take(&mut before)), spooled));
        }
        before.extend_from_slice(format!("\r\n--{boundary}--").as_bytes());
        Self { boundary, parts, end: before.into() }
    }

    pub(super) fn content_type(&self) -> HeaderValue {
        let text = format!("multipart/related;boundary=\"{}\"", self.boundary);
        HeaderValue::try_from(text).expect("hex digits can stand in a header")
    }

    pub(super) fn length(&self) -> u64 {
        let parts = self.parts.iter().map(|(before, it)| before.len() as u64 + it.length());
        parts.sum::<u64>() + self.end.len() as u64
    }

    pub(super) fn read(&self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let end = stream::iter([Ok(self.end.clone())]);
        stream::iter(self.parts.clone())
            .flat_map(|(before, spooled)| stream::iter([Ok(before)]).chain(spooled.read()))
            .chain(end)
    }
}

/// The document as the source sent it, but for what is said of the attachments that follow.
fn write_document(out: &mut Vec<u8>, document: &Document, staged: &[Spooled]) {
    write_object(out, members(&document.json), |out, name, value| {
        if name != "_attachments" {
            return out.extend_from_slice(value);
        }
        write_object(out, members(value), |out, name, value| {
            let is_it = |it: &&Spooled| document.attachments[it.attachment()].name == name;
            match staged.iter().find(is_it) {
                Some(spooled) => write_follower(out, value, spooled),
                None => out.extend_from_slice(value),
            }
        });
    });
}

fn write_follower(out: &mut Vec<u8>, stub: &[u8], spooled: &Spooled) {
    let is_gzip = spooled.encoding() == Encoding::Gzip;
    let stays = |(name, _): &(&str, &[u8])| match &*unescape(name) {
        "stub" | "follows" | "data" | "encoding" | "encoded_length" => false,
        // Of the content as clients see it, which only the source knows where it came compressed.
        "length" => is_gzip,
        "digest" => spooled.digest() != DigestCheck::Differs,
        _ => true,
    };
    let (length, yes) = (spooled.length().to_string(), b"true".as_slice());
    let how: &[(&str, &[u8])] = if is_gzip {
        &[("encoding", b"\"gzip\""), ("encoded_length", length.as_bytes()), ("follows", yes)]
    } else {
        &[("length", length.as_bytes()), ("follows", yes)]
    };
    let members = members(stub).filter(stays).chain(how.iter().copied());
    write_object(out, members, |out, _, value| out.extend_from_slice(value));
}

/// Names stay as they were spelt; `write` is given what they mean.
fn write_object<'a>(
    out: &mut Vec<u8>,
    members: impl Iterator<Item = (&'a str, &'a [u8])>,
    mut write: impl FnMut(&mut Vec<u8>, &str, &'a [u8]),
) {
    out.push(b'{');
    for (place, (name, value)) in members.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        write(out, &unescape(name), value);
    }
    out.push(b'}');
}

fn write_headers(out: &mut Vec<u8>, document: &Document, spooled: &Spooled) {
    let name = &document.attachments[spooled.attachment()].name;
    out.extend_from_slice(b"Content-Disposition: attachment; filename=\"");
    for byte in name.bytes() {
        if byte == b'"' || byte.is_ascii_control() {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            out.push(byte);
        }
    }
    out.extend_from_slice(b"\"\r\n");
    let content_type = stub::member(document, spooled.attachment(), "content_type");
    if let Some(content_type) = content_type.and_then(string_value)
        && content_type.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
    {
        out.extend_from_slice(format!("Content-Type: {content_type}\r\n").as_bytes());
    }
    out.extend_from_slice(format!("Content-Length: {}\r\n", spooled.length()).as_bytes());
    if spooled.encoding() == Encoding::Gzip {
        out.extend_from_slice(b"Content-Encoding: gzip\r\n");
    }
    out.extend_from_slice(b"\r\n");
}
