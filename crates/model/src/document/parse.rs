//! One document, from text.

use std::borrow::Cow;

use super::{
    AnyRev, AttachmentIn, DocumentError,
    attachment::{parse_attachments, parse_integer},
};
use crate::{
    id::AttachmentName,
    json::{
        self,
        scan::{Scanner, Text},
    },
    revision::{Digest, RevPath},
};

/// Bytes that are set aside for the body of a single document before its length is known.
const BODY_BYTES_GUESSED_MAX: usize = 64 << 10;

/// Members that CouchDB keeps with the body, though they begin with an underscore.
const KEPT_SPECIAL: [&str; 6] = [
    "_access",
    "_replication_id",
    "_replication_state",
    "_replication_state_reason",
    "_replication_state_time",
    "_replication_stats",
];

/// A document as sent, its special members taken out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Incoming {
    /// Any text: whether it may name a document is decided by [`crate::id::AnyId`].
    pub id: Option<String>,
    /// What the document was made from, or, where the client chose it, the revision that it is. The
    /// newest of `revisions` where these were sent.
    pub rev: Option<AnyRev>,
    pub deleted: bool,
    pub revisions: Option<RevPath>,
    /// In the order sent, which revision ids depend on.
    pub attachments: Vec<(AttachmentName, AttachmentIn)>,
    /// An object, as [`json::minify`] returns it.
    pub body: Vec<u8>,
}

impl Incoming {
    /// The revision that the document is, with its ancestors, where the client chose it
    /// (`new_edits=false`); `None` if it sent neither `_revisions` nor the `_rev` of a document.
    pub fn path(&self) -> Option<RevPath> {
        self.revisions.clone().or_else(|| {
            let rev = self.rev.clone().and_then(AnyRev::into_document);
            rev.map(RevPath::single)
        })
    }
}

/// Checks and takes apart one document.
pub fn parse(text: &[u8]) -> Result<Incoming, DocumentError> {
    let parse = || {
        let mut scanner = Scanner::new(text)?;
        scanner.space();
        let guess = text.len().min(BODY_BYTES_GUESSED_MAX);
        let document = parse_document(&mut scanner, guess)?;
        scanner.finish()?;
        Ok(document)
    };
    parse().map_err(|error| {
        if matches!(error, DocumentError::Json(_)) {
            return error;
        }
        json::validate(text).err().map_or(error, DocumentError::Json)
    })
}

/// The document at `scanner`. `body_bytes` is a guess that saves copying where it is right.
pub(super) fn parse_document(
    scanner: &mut Scanner<'_>,
    body_bytes: usize,
) -> Result<Incoming, DocumentError> {
    if scanner.peek() != b'{' {
        return Err(DocumentError::NotAnObject);
    }
    let mut document = Incoming::default();
    scanner.members(|scanner, key| {
        let special = special_name(scanner.text(), key);
        let Some(name) = special.filter(|name| !KEPT_SPECIAL.contains(&&**name)) else {
            keep_member(scanner, key, body_bytes);
            return Ok(scanner.member_value()?);
        };
        leave_out_member(scanner, key);
        scanner.colon()?;
        parse_special(scanner, &name, &mut document)
    })?;
    document.body = finish_body(scanner);
    Ok(document)
}

/// The key, if it begins with an underscore.
#[inline]
fn special_name(source: &[u8], key: Text) -> Option<Cow<'_, str>> {
    match source[key.start] {
        b'_' | b'\\' => {
            let name = json::unescape(key.raw(source));
            name.starts_with('_').then_some(name)
        }
        _ => None,
    }
}

/// Lets the member that begins with `key` into the body. The closing brace and commas between
/// members are kept along with them.
#[inline]
fn keep_member(scanner: &mut Scanner<'_>, key: Text, body_bytes: usize) {
    if scanner.is_keeping() {
        return;
    }
    let kept = scanner.kept();
    if kept.is_empty() {
        kept.reserve(body_bytes);
        kept.push(b'{');
    } else {
        kept.push(b',');
    }
    scanner.keep_from(key.start - 1);
}

fn leave_out_member(scanner: &mut Scanner<'_>, key: Text) {
    if scanner.is_keeping() {
        scanner.keep_until(key.start - 1);
        let comma = scanner.kept().pop();
        debug_assert_eq!(comma, Some(b','), "a kept member ends with the comma before this one");
    }
}

fn finish_body(scanner: &mut Scanner<'_>) -> Vec<u8> {
    if scanner.is_keeping() {
        scanner.keep_until(scanner.at());
    } else if scanner.kept().is_empty() {
        scanner.kept().extend_from_slice(b"{}");
    } else {
        scanner.kept().push(b'}');
    }
    scanner.take_kept()
}

/// The value of a special member, which the scanner has come to.
fn parse_special(
    scanner: &mut Scanner<'_>,
    name: &str,
    document: &mut Incoming,
) -> Result<(), DocumentError> {
    match (name, scanner.peek()) {
        ("_id", b'"') => {
            let text = scanner.string()?;
            document.id = Some(json::unescape(text.raw(scanner.text())).into_owned());
        }
        ("_id", _) => return Err(DocumentError::IdNotAString),
        ("_rev", _) if document.revisions.is_some() => scanner.value()?,
        ("_rev", b'"') => {
            let text = scanner.string()?;
            let rev = json::unescape(text.raw(scanner.text())).parse();
            document.rev = Some(rev.map_err(|_| DocumentError::Rev)?);
        }
        ("_rev", _) => return Err(DocumentError::Rev),
        ("_deleted", first @ (b't' | b'f')) => {
            scanner.value()?;
            document.deleted = first == b't';
        }
        ("_revisions", b'{') => {
            document.revisions = parse_revisions(scanner)?;
            if let Some(path) = &document.revisions {
                document.rev = Some(path.newest().into());
            }
        }
        ("_attachments", b'{') => document.attachments = parse_attachments(scanner)?,
        ("_revs_info" | "_local_seq" | "_conflicts" | "_deleted_conflicts" | "_timestamps", _) => {
            scanner.value()?;
        }
        _ => return Err(DocumentError::BadMember { name: name.to_owned() }),
    }
    Ok(())
}

/// `{"start": 2, "ids": [newest, …]}`; `None` for generation 0, which is that of no revision but of
/// local documents, whose history nobody keeps.
fn parse_revisions(scanner: &mut Scanner<'_>) -> Result<Option<RevPath>, DocumentError> {
    let mut start = Err(DocumentError::RevisionsStart);
    let mut ids = Err(DocumentError::RevisionsIds);
    scanner.members(|scanner, key| {
        scanner.colon()?;
        match (&*json::unescape(key.raw(scanner.text())), scanner.peek()) {
            ("start", _) => {
                start = parse_integer(scanner)?.ok_or(DocumentError::RevisionsStart);
            }
            ("ids", b'[') => ids = parse_digests(scanner)?,
            _ => scanner.value()?,
        }
        Ok::<_, DocumentError>(())
    })?;
    let (start, ids) = (start?, ids?);
    if start == 0 {
        return Ok(None);
    }
    let start = u32::try_from(start).map_err(|_| DocumentError::RevisionsStart)?;
    RevPath::new(start, ids).map(Some).map_err(DocumentError::RevisionsLength)
}

/// The digests, or what is wrong with the first that is not one; the outer error ends the parsing.
fn parse_digests(
    scanner: &mut Scanner<'_>,
) -> Result<Result<Vec<Digest>, DocumentError>, json::JsonError> {
    let mut digests = Ok(Vec::new());
    scanner.elements(|scanner| {
        let digest = if scanner.peek() == b'"' {
            let text = scanner.string()?;
            let digest = json::unescape(text.raw(scanner.text())).parse();
            digest.map_err(|_| DocumentError::RevisionsIdNotHex)
        } else {
            scanner.value()?;
            Err(DocumentError::RevisionsIdNotAString)
        };
        match (&mut digests, digest) {
            (Ok(list), Ok(digest)) => list.push(digest),
            (Ok(_), Err(error)) => digests = Err(error),
            (Err(_), _) => {}
        }
        Ok::<_, json::JsonError>(())
    })?;
    Ok(digests)
}
