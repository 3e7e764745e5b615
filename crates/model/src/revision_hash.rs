//! The revision id that an edit gets: CouchDB's own, byte for byte, so that the same edit made on two
//! servers is one revision.
//!
//! It is the md5 sum of `term_to_binary([Deleted, OldStart, OldRev, Body, Attachments],
//! [{minor_version, 1}])` of Erlang, where `Body` is what CouchDB's JSON parser makes of the text: two
//! spellings of one number or string give one id, another order of members another.
//!
//! The term is written to memory before it is hashed: its lists begin with their lengths, and whether
//! a list is written as bytes is known at its end. It takes no more than three times the text.
//!
//! Source: `couch_db:new_revid/1`, and the page External Term Format of Erlang's documentation.

mod integer;
mod term;

use md5::{Digest as _, Md5};

pub use self::term::Term;
use crate::revision::{Digest, RevId};

/// An attachment, as far as a revision id depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachmentEdit<'a> {
    pub name: &'a str,
    pub content_type: &'a str,
    /// Of the stored bytes, which are compressed for some types.
    pub md5: [u8; 16],
}

/// The id of the revision that follows `parent`; `None` if that has the last generation.
///
/// `body` is an object as [`crate::json::minify`] returns it; `attachments` are in the order in which
/// the document lists them.
pub fn next(
    deleted: bool,
    parent: Option<&RevId>,
    body: &[u8],
    attachments: &[AttachmentEdit<'_>],
) -> Option<RevId> {
    let generation = parent.map_or(0, RevId::generation);
    let mut term = Term::with_capacity(body.len() + body.len() / 2 + 128);
    term.list(5);
    term.atom(if deleted { "true" } else { "false" });
    term.integer(i64::from(generation));
    match parent {
        Some(parent) => term.binary(parent.digest().bytes()),
        None => term.integer(0),
    }
    term.json(body);
    if !attachments.is_empty() {
        term.list(attachments.len());
        // CouchDB gathers them on a stack.
        for attachment in attachments.iter().rev() {
            term.tuple(3);
            term.binary(attachment.name.as_bytes());
            term.binary(attachment.content_type.as_bytes());
            term.binary(&attachment.md5);
        }
    }
    term.nil(); // the end of the attachments, or none
    term.nil(); // the end of the five
    let sum = Md5::digest(term.finish());
    RevId::new(generation.checked_add(1)?, Digest::md5(sum.into()))
}
