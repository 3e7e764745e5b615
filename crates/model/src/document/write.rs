//! A document as it is sent: special members spliced round the stored body.
//!
//! Order, as `couch_doc:to_json_obj/2` has it: `_id`, `_rev`, the body, `_deleted`, `_revisions`,
//! `_revs_info`, `_conflicts`, `_deleted_conflicts`, `_local_seq`, `_attachments`.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{AnyRev, Encoding};
use crate::{
    json::write_string,
    revision::{RevId, RevPath},
};

/// A document that is to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    pub id: &'a str,
    pub rev: &'a AnyRev,
    pub deleted: bool,
    /// As it was stored: an object without white space between tokens.
    pub body: &'a [u8],
    pub extras: Extras<'a>,
}

/// What is sent along when it was asked for. Empty lists are left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extras<'a> {
    pub revisions: Option<&'a RevPath>,
    /// Newest first.
    pub revs_info: &'a [(RevId, RevStatus)],
    pub conflicts: &'a [RevId],
    pub deleted_conflicts: &'a [RevId],
    pub local_seq: Option<u64>,
    pub attachments: &'a [AttachmentOut<'a>],
}

/// Whether the content of a revision can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevStatus {
    Available,
    Missing,
    Deleted,
}

#[derive(Debug, Clone, Copy)]
pub struct AttachmentOut<'a> {
    pub name: &'a str,
    pub content_type: &'a str,
    pub revpos: u32,
    /// Of the stored bytes.
    pub md5: [u8; 16],
    /// Bytes of the content as clients know it.
    pub length: u64,
    /// How the bytes are stored, and their number; `None` where the client did not ask.
    pub encoding: Option<(Encoding, u64)>,
    pub content: ContentOut<'a>,
}

#[derive(Debug, Clone, Copy)]
pub enum ContentOut<'a> {
    Stub,
    /// Sent behind the document.
    Follows,
    /// The content as clients know it, which is not compressed.
    Inline(&'a [u8]),
}

/// A document that is to be stored and has no revision yet, as validators see it: with `_revisions` that
/// are empty, as `couch_doc:to_json_obj/2` writes them.
#[derive(Debug, Clone, Copy)]
pub struct Unsaved<'a> {
    pub id: &'a str,
    pub deleted: bool,
    /// An object without white space between tokens.
    pub body: &'a [u8],
    pub attachments: &'a [AttachmentOut<'a>],
}

impl Unsaved<'_> {
    /// Appends the document as JSON, without a line end.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.reserve(self.id.len() + self.body.len() + 64);
        out.extend_from_slice(b"{\"_id\":");
        write_string(out, self.id);
        write_members(out, self.body, self.deleted);
        out.extend_from_slice(b",\"_revisions\":{\"start\":0,\"ids\":[]}");
        write_attachments(out, self.attachments);
        out.push(b'}');
    }
}

impl Outgoing<'_> {
    /// Appends the document as JSON, without a line end.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.reserve(self.id.len() + self.body.len() + 64);
        out.extend_from_slice(b"{\"_id\":");
        write_string(out, self.id);
        out.extend_from_slice(b",\"_rev\":\"");
        self.rev.write_to(out);
        out.push(b'"');
        write_members(out, self.body, self.deleted);
        self.extras.write(out);
        out.push(b'}');
    }
}

impl Extras<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        if let Some(path) = self.revisions {
            out.extend_from_slice(b",\"_revisions\":{\"start\":");
            write_number(out, path.start().into());
            out.extend_from_slice(b",\"ids\":");
            write_list(out, path.digests(), |out, digest| {
                out.push(b'"');
                digest.write_to(out);
                out.push(b'"');
            });
            out.push(b'}');
        }
        if !self.revs_info.is_empty() {
            out.extend_from_slice(b",\"_revs_info\":");
            write_list(out, self.revs_info, |out, (rev, status)| {
                out.extend_from_slice(b"{\"rev\":");
                write_rev(out, rev);
                out.extend_from_slice(match status {
                    RevStatus::Available => b",\"status\":\"available\"}",
                    RevStatus::Missing => b",\"status\":\"missing\"}",
                    RevStatus::Deleted => b",\"status\":\"deleted\"}",
                });
            });
        }
        if !self.conflicts.is_empty() {
            out.extend_from_slice(b",\"_conflicts\":");
            write_list(out, self.conflicts, write_rev);
        }
        if !self.deleted_conflicts.is_empty() {
            out.extend_from_slice(b",\"_deleted_conflicts\":");
            write_list(out, self.deleted_conflicts, write_rev);
        }
        if let Some(sequence) = self.local_seq {
            out.extend_from_slice(b",\"_local_seq\":");
            write_number(out, sequence);
        }
        write_attachments(out, self.attachments);
    }
}

fn write_members(out: &mut Vec<u8>, body: &[u8], deleted: bool) {
    let members = body.strip_prefix(b"{").and_then(|it| it.strip_suffix(b"}"));
    let members = members.expect("a stored body is an object without white space round it");
    if !members.is_empty() {
        out.push(b',');
        out.extend_from_slice(members);
    }
    if deleted {
        out.extend_from_slice(b",\"_deleted\":true");
    }
}

fn write_attachments(out: &mut Vec<u8>, attachments: &[AttachmentOut<'_>]) {
    if let Some((first, rest)) = attachments.split_first() {
        out.extend_from_slice(b",\"_attachments\":{");
        first.write(out);
        for attachment in rest {
            out.push(b',');
            attachment.write(out);
        }
        out.push(b'}');
    }
}

impl AttachmentOut<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        write_string(out, self.name);
        out.extend_from_slice(b":{\"content_type\":");
        write_string(out, self.content_type);
        out.extend_from_slice(b",\"revpos\":");
        write_number(out, self.revpos.into());
        out.extend_from_slice(b",\"digest\":\"md5-");
        write_base64(out, &self.md5);
        match self.content {
            ContentOut::Stub | ContentOut::Follows => {
                out.extend_from_slice(b"\",\"length\":");
                write_number(out, self.length);
            }
            ContentOut::Inline(_) => {}
        }
        match self.content {
            ContentOut::Stub => out.extend_from_slice(b",\"stub\":true"),
            ContentOut::Follows => out.extend_from_slice(b",\"follows\":true"),
            ContentOut::Inline(data) => {
                out.extend_from_slice(b"\",\"data\":\"");
                write_base64(out, data);
                out.push(b'"');
            }
        }
        match self.encoding {
            Some((Encoding::Gzip, length)) => {
                out.extend_from_slice(b",\"encoding\":\"gzip\",\"encoded_length\":");
                write_number(out, length);
            }
            Some((Encoding::Identity, _)) | None => {}
        }
        out.push(b'}');
    }
}

fn write_list<T>(out: &mut Vec<u8>, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

fn write_rev(out: &mut Vec<u8>, rev: &RevId) {
    out.push(b'"');
    rev.write_to(out);
    out.push(b'"');
}

fn write_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    let length = base64::encoded_len(bytes.len(), true).expect("what is in memory can be counted");
    out.resize(start + length, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]);
    debug_assert_eq!(written, Ok(length), "the room is as long as the text");
}
