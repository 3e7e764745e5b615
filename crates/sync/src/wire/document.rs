//! A document as a source sends it.

use std::sync::Arc;

use settle_model::{
    json::{elements, members, minify, string_value, unescape},
    revision::{Digest, RevId, RevPath},
};

use super::WireError;
use crate::{
    json::{member, natural, text_member},
    replication::{Attachment, Document},
};

const ERROR: WireError = WireError { request: "a document", expected: "document with a revision" };

/// Takes a document with its revision and attachments out of its text. What else is wrong with it, its
/// target will say.
pub fn parse_document(text: &[u8]) -> Result<Document, WireError> {
    let json = minify(text).map_err(|_| ERROR)?.into_owned();
    let id: Arc<str> = text_member(&json, "_id").ok_or(ERROR)?.into();
    let rev: RevId = text_member(&json, "_rev").and_then(|it| it.parse().ok()).ok_or(ERROR)?;
    let attachments: Vec<_> =
        members(member(&json, "_attachments").unwrap_or_default()).filter_map(attachment).collect();
    let path = if attachments.is_empty() { None } else { path(&json, &rev) };
    Ok(Document { id, rev, attachments, path, json })
}

/// `None` if its content is inside the document.
fn attachment((name, value): (&str, &[u8])) -> Option<Attachment> {
    if member(value, "data").is_some() {
        return None;
    }
    let number = |name| member(value, name).and_then(natural);
    Some(Attachment {
        name: unescape(name).into_owned(),
        revpos: number("revpos").and_then(|it| u32::try_from(it).ok()),
        length: number("encoded_length").or_else(|| number("length")).unwrap_or(u64::MAX),
    })
}

fn path(json: &[u8], rev: &RevId) -> Option<RevPath> {
    let revisions = member(json, "_revisions")?;
    let start = natural(member(revisions, "start")?)?;
    let digests = elements(member(revisions, "ids")?).map(|id| string_value(id)?.parse().ok());
    let digests: Vec<Digest> = digests.collect::<Option<_>>()?;
    let path = RevPath::new(u32::try_from(start).ok()?, digests).ok()?;
    (path.newest() == *rev).then_some(path)
}
