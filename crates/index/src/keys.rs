//! Where each record of the environment of indexes stands. `docs/formats.md` shows the same as tables.
//!
//! As in the environment of documents, every key begins with the number of its owner, the database,
//! or 0 for the site, then one byte for the family. Numbers of indexes are never used twice, so the
//! rows of one that is gone can be taken away at leisure.

use settle_engine::key::{push_number, take_number};

/// The number of the site itself.
const SITE_NUMBER: u64 = 0;

/// The families of the site's own records.
mod site {
    pub(super) const NUMBERS: u8 = 0x10;
    pub(super) const RECLAIM: u8 = 0x11;
}

/// The families of a database's records.
mod family {
    pub(super) const ROW: u8 = 0x30;
    pub(super) const INDEX: u8 = 0x31;
    pub(super) const CURSOR: u8 = 0x32;
    pub(super) const SERVED: u8 = 0x33;
    pub(super) const BUILD: u8 = 0x34;
}

/// The parts of an index's rows.
mod part {
    pub(super) const DOCUMENT: u8 = 0x01;
    pub(super) const MAP: u8 = 0x02;
}

/// What tells two definitions apart: equal ones have equal signatures.
pub(crate) type Signature = [u8; 16];

fn prefix(number: u64, family: u8) -> Vec<u8> {
    let mut key = Vec::with_capacity(48);
    push_number(&mut key, number);
    key.push(family);
    key
}

fn rest(key: &[u8], family: u8) -> Option<&[u8]> {
    let (_, rest) = take_number(key)?;
    let (&found, rest) = rest.split_first()?;
    (found == family).then_some(rest)
}

/// The next number that no index has had.
pub(crate) fn numbers() -> Vec<u8> {
    prefix(SITE_NUMBER, site::NUMBERS)
}

pub(crate) fn reclaims() -> Vec<u8> {
    prefix(SITE_NUMBER, site::RECLAIM)
}

/// That the rows of an index are to go; with index 0, all that a dropped database had.
pub(crate) fn reclaim(database: u64, index: u64) -> Vec<u8> {
    let mut key = reclaims();
    push_number(&mut key, database);
    push_number(&mut key, index);
    key
}

/// The database and the index of a reclaim record.
pub(crate) fn reclaim_of(key: &[u8]) -> Option<(u64, u64)> {
    let (database, rest) = take_number(rest(key, site::RECLAIM)?)?;
    Some((database, take_number(rest)?.0))
}

/// Everything of a database.
pub(crate) fn database(database: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(9);
    push_number(&mut key, database);
    key
}

/// The records of all indexes of a database.
pub(crate) fn indexes(database: u64) -> Vec<u8> {
    prefix(database, family::INDEX)
}

pub(crate) fn index(database: u64, signature: &Signature) -> Vec<u8> {
    let mut key = indexes(database);
    key.extend_from_slice(signature);
    key
}

/// The signature in an index record's key.
pub(crate) fn signature_of(key: &[u8]) -> Option<Signature> {
    rest(key, family::INDEX)?.try_into().ok()
}

/// The cursors of all indexes of a database.
pub(crate) fn cursors(database: u64) -> Vec<u8> {
    prefix(database, family::CURSOR)
}

pub(crate) fn cursor(database: u64, index: u64) -> Vec<u8> {
    let mut key = cursors(database);
    push_number(&mut key, index);
    key
}

/// Which index answers for each design document of a database.
pub(crate) fn all_served(database: u64) -> Vec<u8> {
    prefix(database, family::SERVED)
}

pub(crate) fn served(database: u64, design: &str) -> Vec<u8> {
    let mut key = all_served(database);
    key.extend_from_slice(design.as_bytes());
    key
}

/// The design document in a served record's key.
pub(crate) fn served_design(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(rest(key, family::SERVED)?).ok()
}

pub(crate) fn build(database: u64, index: u64) -> Vec<u8> {
    let mut key = prefix(database, family::BUILD);
    push_number(&mut key, index);
    key
}

/// All rows of an index.
pub(crate) fn rows(database: u64, index: u64) -> Vec<u8> {
    let mut key = prefix(database, family::ROW);
    push_number(&mut key, index);
    key
}

/// What each document made in an index.
pub(crate) fn documents(database: u64, index: u64) -> Vec<u8> {
    let mut key = rows(database, index);
    key.push(part::DOCUMENT);
    key
}

pub(crate) fn document(database: u64, index: u64, id: &str) -> Vec<u8> {
    let mut key = documents(database, index);
    key.extend_from_slice(id.as_bytes());
    key
}

/// The rows of one map and what is reduced from them; see [`tree`](crate::tree).
pub(crate) fn map(database: u64, index: u64, map: usize) -> Vec<u8> {
    let mut key = rows(database, index);
    key.push(part::MAP);
    push_number(&mut key, map as u64);
    key
}

/// Whose key it is.
pub(crate) fn database_of(key: &[u8]) -> Option<u64> {
    Some(take_number(key)?.0)
}
