//! Where the attachment store's records stand.
//!
//! The site's, under number 0:
//!
//! | family | key behind it | value |
//! |---|---|---|
//! | `40` blob | digest | [`BlobRecord`](super::BlobRecord) |
//! | `41` blob data | digest | the stored bytes of a blob that has no file |
//! | `42` site reference | digest, database's number | nothing: the database has references |
//! | `43` check | due time, digest | nothing: the collector looks at the blob then |
//!
//! A database's, under its number:
//!
//! | family | key behind it | value |
//! |---|---|---|
//! | `20` reference | digest, document id escaped, revision | nothing |
//!
//! Digests are 32 bytes, numbers [`push_number`], times microseconds as a number, so that checks
//! stand in the order in which they are due. "Nothing" is an envelope without a payload.

use settle_engine::key::{push_bytes, push_number, take_number};
use settle_model::{id::DocumentId, revision::RevId, time::Timestamp};

use super::digest::BlobDigest;
use crate::codec::put_rev;

const SITE: u64 = 0;
const BLOB: u8 = 0x40;
const DATA: u8 = 0x41;
const SITE_REFERENCE: u8 = 0x42;
const CHECK: u8 = 0x43;
const REFERENCE: u8 = 0x20;

fn prefix(number: u64, family: u8) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    push_number(&mut key, number);
    key.push(family);
    key
}

fn with_digest(number: u64, family: u8, digest: BlobDigest) -> Vec<u8> {
    let mut key = prefix(number, family);
    key.extend_from_slice(digest.as_bytes());
    key
}

pub(super) fn blob(digest: BlobDigest) -> Vec<u8> {
    with_digest(SITE, BLOB, digest)
}

pub(super) fn data(digest: BlobDigest) -> Vec<u8> {
    with_digest(SITE, DATA, digest)
}

pub(super) fn site_references(digest: BlobDigest) -> Vec<u8> {
    with_digest(SITE, SITE_REFERENCE, digest)
}

pub(super) fn site_reference(digest: BlobDigest, database: u64) -> Vec<u8> {
    let mut key = site_references(digest);
    push_number(&mut key, database);
    key
}

pub(super) fn checks() -> Vec<u8> {
    prefix(SITE, CHECK)
}

/// The first key that is due later than `now`.
pub(super) fn checks_after(now: Timestamp) -> Vec<u8> {
    let mut key = checks();
    push_number(&mut key, now.micros().saturating_add(1));
    key
}

pub(super) fn check(due: Timestamp, digest: BlobDigest) -> Vec<u8> {
    let mut key = checks();
    push_number(&mut key, due.micros());
    key.extend_from_slice(digest.as_bytes());
    key
}

pub(super) fn check_of(key: &[u8]) -> Option<(Timestamp, BlobDigest)> {
    let rest = key.strip_prefix(checks().as_slice())?;
    let (due, digest) = take_number(rest)?;
    Some((Timestamp::from_micros(due), BlobDigest::from_bytes(digest.try_into().ok()?)))
}

pub(super) fn references(database: u64) -> Vec<u8> {
    prefix(database, REFERENCE)
}

pub(super) fn references_to(database: u64, digest: BlobDigest) -> Vec<u8> {
    with_digest(database, REFERENCE, digest)
}

pub(super) fn reference(
    database: u64,
    digest: BlobDigest,
    document: &DocumentId,
    rev: &RevId,
) -> Vec<u8> {
    let mut key = references_to(database, digest);
    push_bytes(&mut key, document.as_str().as_bytes());
    put_rev(&mut key, rev);
    key
}

pub(super) fn referred_of(database: u64, key: &[u8]) -> Option<BlobDigest> {
    let digest = key.strip_prefix(references(database).as_slice())?.first_chunk()?;
    Some(BlobDigest::from_bytes(*digest))
}
