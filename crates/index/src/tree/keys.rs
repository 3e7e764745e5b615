//! Where the records of a tree stand.

use std::borrow::Cow;

use settle_engine::{Direction, Scan, key};

use super::{RowKey, Tree, error::TreeError};

/// The highest level. With 16 rows a segment it has one entry for 268 million rows.
pub(super) const TOP: u8 = 7;

/// Behind all levels, so that whoever walks off one of them still meets a record of the tree.
const ROOT: u8 = 0xFF;

/// Bytes of a sort key that stand in a row key; of a longer one, these and a label.
pub(super) const CUT: usize = 768;

/// Bytes of a label.
pub(super) const LABEL: usize = 16;

impl Tree {
    /// Level 0: a row. Above: an entry, whose row key is empty where it is the first of its level.
    pub(super) fn at(&self, level: u8, row_key: &[u8]) -> Vec<u8> {
        let mut key = self.level(level, row_key.len());
        key.extend_from_slice(row_key);
        key
    }

    /// What the keys of a level begin with, in a vector that has room for so many bytes more.
    pub(super) fn level(&self, level: u8, room: usize) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.prefix.len() + 1 + room);
        key.extend_from_slice(&self.prefix);
        key.push(level);
        key
    }

    /// The least key of the level behind the row key: [`at`](Self::at), or the next level.
    pub(super) fn end_at(&self, level: u8, row_key: Option<&[u8]>) -> Vec<u8> {
        match row_key {
            Some(row_key) => self.at(level, row_key),
            None => self.at(level + 1, b""),
        }
    }

    pub(super) fn root(&self) -> Vec<u8> {
        self.at(ROOT, b"")
    }

    pub(super) fn all(&self, direction: Direction) -> Scan {
        Scan::prefix(&self.prefix, direction)
    }

    /// Level and row key of a key of this tree. The root is above all levels.
    pub(super) fn split<'k>(&self, key: &'k [u8]) -> (u8, &'k [u8]) {
        let rest = key.get(self.prefix.len()..).unwrap_or_default();
        rest.split_first().map_or((ROOT, rest), |(&level, row_key)| (level, row_key))
    }
}

/// Bytes of an escaped document id that stand in a row key; of a longer one, these and a digest.
/// Documents whose ids have these in common are in no particular order under one key.
const ID_CUT: usize = 1_000;

/// Behind the bytes of an id that is cut. An id that ends has `00 01` there.
const ID_IS_CUT: [u8; 2] = [0, 2];
const ID_DIGEST: usize = 16;

/// A row key; `sort` is the sort key, or what it is cut to.
pub(super) fn row_key(sort: &[u8], id: &str, n: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(sort.len() + id.len() + 8);
    push_row_key(&mut key, sort, id, n);
    key
}

pub(super) fn push_row_key(key: &mut Vec<u8>, sort: &[u8], id: &str, n: u32) {
    push_document_key(key, sort, id);
    key::push_number(key, u64::from(n));
}

/// What the row keys of one document under one sort key begin with.
pub(super) fn document_key(sort: &[u8], id: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(sort.len() + id.len() + 8);
    push_document_key(&mut key, sort, id);
    key
}

fn push_document_key(key: &mut Vec<u8>, sort: &[u8], id: &str) {
    key.extend_from_slice(sort);
    match id_cut(id) {
        None => key::push_bytes(key, id.as_bytes()),
        Some(length) => {
            key::push_bytes(key, &id.as_bytes()[..length]);
            key.truncate(key.len() - ID_IS_CUT.len());
            key.extend_from_slice(&ID_IS_CUT);
            key.extend_from_slice(&blake3::hash(id.as_bytes()).as_bytes()[..ID_DIGEST]);
        }
    }
}

/// How many bytes of an id stand in row keys; `None` for all.
pub(super) fn id_cut(id: &str) -> Option<usize> {
    if id.len() <= ID_CUT / 2 {
        return None;
    }
    let mut escaped = 0;
    id.bytes().position(|byte| {
        escaped += if byte == 0 { 2 } else { 1 };
        escaped > ID_CUT
    })
}

/// The document's id in a row key whose sort key takes `sort_length` bytes; `None` where it is cut.
pub(super) fn id_of(row_key: &[u8], sort_length: usize) -> Result<Option<Cow<'_, str>>, TreeError> {
    let malformed = || TreeError::Malformed { reason: "a row key without an id" };
    let rest = row_key.get(sort_length..).ok_or_else(malformed)?;
    match key::take_bytes(rest) {
        None => Ok(None),
        Some((Cow::Borrowed(id), _)) => {
            std::str::from_utf8(id).map(|id| Some(Cow::Borrowed(id))).map_err(|_| malformed())
        }
        Some((Cow::Owned(id), _)) => {
            String::from_utf8(id).map(|id| Some(Cow::Owned(id))).map_err(|_| malformed())
        }
    }
}

/// The last part of a row key, behind the id.
pub(super) fn n_of(row_key: &[u8], sort_length: usize) -> Result<u32, TreeError> {
    let rest = row_key.get(sort_length..).unwrap_or_default();
    let number = match key::take_bytes(rest) {
        Some((_, number)) => Some(number),
        None => after_cut_id(rest),
    };
    number
        .and_then(key::take_number)
        .and_then(|(n, _)| u32::try_from(n).ok())
        .ok_or(TreeError::Malformed { reason: "a row key without its number" })
}

fn after_cut_id(rest: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        at += rest.get(at..)?.iter().position(|&byte| byte == 0)?;
        if rest.get(at..at + 2)? == ID_IS_CUT {
            return rest.get(at + 2 + ID_DIGEST..);
        }
        at += 2;
    }
}

/// The least key behind this one.
pub(super) fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// The sort key, where it is not so long that it is cut.
pub(super) fn whole(sort_key: &[u8]) -> Option<&[u8]> {
    (sort_key.len() <= CUT).then_some(sort_key)
}

/// What a longer one is cut to.
pub(super) fn labelled(sort_key: &[u8], label: u128) -> Vec<u8> {
    let mut sort = Vec::with_capacity(CUT + LABEL);
    sort.extend_from_slice(&sort_key[..CUT]);
    sort.extend_from_slice(&label.to_be_bytes());
    sort
}

impl RowKey {
    pub(super) fn in_row_key(&self, sort: &[u8]) -> Vec<u8> {
        row_key(sort, &self.id, self.n)
    }
}
