//! The layout of LMDB's pages (data version 1, 64-bit, native byte order), after `mdb.c`.
//!
//! | offset | size | page header |
//! |---|---|---|
//! | 0 | 8 | number of the page |
//! | 8 | 2 | unused |
//! | 10 | 2 | 1 branch, 2 leaf, 4 overflow, 8 meta |
//! | 12 | 2 + 2 | end of the node offsets, start of the nodes; in overflow pages, their number (4) |
//! | 16 | 2 each | offsets of the nodes in the page |
//!
//! | offset | size | node |
//! |---|---|---|
//! | 0 | 2 + 2 | low and high half of the value's length, or of the child's page number |
//! | 4 | 2 | branch: the child's number goes on; leaf: 1 if the value is on overflow pages |
//! | 6 | 2 | length of the key |
//! | 8 | … | key, then value, or the number of the first overflow page (8) |
//!
//! | offset | size | meta page, after the page header |
//! |---|---|---|
//! | 0 | 4 + 4 | magic, version |
//! | 8 | 8 + 8 | fixed address, length of the map |
//! | 24, 72 | 48 each | tree of free pages, tree of rows |
//! | 120 | 8 + 8 | last page, commit |

use std::cmp::Ordering;

use crate::limits::PAGE_LENGTH;

pub(super) const PAGE: usize = PAGE_LENGTH as usize;
const HEADER: usize = 16;
const NODE_HEADER: usize = 8;
const MAGIC: u32 = 0xBEEF_C0DE;
const VERSION: u32 = 1;
const DEPTH_MAX: u16 = 32;

const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const OVERFLOW: u16 = 4;
const META: u16 = 8;
const VALUE_ON_OVERFLOW: u16 = 1;

/// What a tree holds, which decides how its keys are ordered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Contents {
    Rows,
    /// Commit → pages that it freed; the commit is a native integer.
    FreePages,
}

impl Contents {
    pub(super) fn order(self, left: &[u8], right: &[u8]) -> Ordering {
        match self {
            Self::Rows => left.cmp(right),
            Self::FreePages => long(left, 0).cmp(&long(right, 0)),
        }
    }

    fn is_key_length(self, length: usize) -> bool {
        match self {
            Self::Rows => (1..PAGE).contains(&length),
            Self::FreePages => length == 8,
        }
    }
}

pub(super) struct Meta {
    pub(super) free: Tree,
    pub(super) rows: Tree,
    pub(super) last_page: u64,
    pub(super) commit: u64,
}

pub(super) struct Tree {
    pub(super) depth: u16,
    pub(super) branch_pages: u64,
    pub(super) leaf_pages: u64,
    pub(super) overflow_pages: u64,
    pub(super) entries: u64,
    /// `None` for an empty tree.
    pub(super) root: Option<u64>,
}

impl Meta {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        if short(bytes, 10) & META == 0 {
            return Err("it is no meta page");
        }
        let meta = &bytes[HEADER..];
        if word(meta, 0) != MAGIC || word(meta, 4) != VERSION {
            return Err("it is no meta page of a known version");
        }
        if word(meta, 24) != PAGE_LENGTH {
            return Err("it names another page length");
        }
        let (free, rows) = (Tree::parse(&meta[24..])?, Tree::parse(&meta[72..])?);
        let last_page = long(meta, 120);
        if last_page < 1 || last_page > (1 << 48) / PAGE as u64 {
            return Err("its last page lies outside any file");
        }
        Ok(Self { free, rows, last_page, commit: long(meta, 128) })
    }
}

impl Tree {
    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let depth = short(bytes, 6);
        if depth > DEPTH_MAX {
            return Err("it names a tree of impossible depth");
        }
        Ok(Self {
            depth,
            branch_pages: long(bytes, 8),
            leaf_pages: long(bytes, 16),
            overflow_pages: long(bytes, 24),
            entries: long(bytes, 32),
            root: Some(long(bytes, 40)).filter(|root| *root != u64::MAX),
        })
    }
}

pub(super) struct Page<'b> {
    pub(super) is_leaf: bool,
    bytes: &'b [u8],
    /// Where the offsets of nodes end and the nodes begin.
    lower: usize,
    upper: usize,
}

/// A row of a leaf, or a child of a branch.
pub(super) struct Node<'b> {
    pub(super) key: &'b [u8],
    /// `None` where it is on overflow pages, and in branches.
    pub(super) value: Option<&'b [u8]>,
    /// Of the value.
    pub(super) length: usize,
    /// The child of a branch, or the first overflow page.
    pub(super) child: u64,
}

impl<'b> Page<'b> {
    pub(super) fn parse(number: u64, bytes: &'b [u8]) -> Result<Self, &'static str> {
        if long(bytes, 0) != number {
            return Err("it says that it is another page");
        }
        let is_leaf = match short(bytes, 10) {
            LEAF => true,
            BRANCH => false,
            _ => return Err("it is of the wrong kind"),
        };
        let (lower, upper) = (usize::from(short(bytes, 12)), usize::from(short(bytes, 14)));
        if lower <= HEADER || lower % 2 != 0 || lower > upper || upper > PAGE {
            return Err("its free space is impossible");
        }
        Ok(Self { is_leaf, bytes, lower, upper })
    }

    pub(super) fn nodes(&self, contents: Contents) -> Result<Vec<Node<'b>>, &'static str> {
        (HEADER..self.lower)
            .step_by(2)
            .map(|at| self.node(usize::from(short(self.bytes, at)), at == HEADER, contents))
            .collect()
    }

    fn node(
        &self,
        at: usize,
        is_first: bool,
        contents: Contents,
    ) -> Result<Node<'b>, &'static str> {
        const OUTSIDE: &str = "a node lies outside of it";
        if at < self.upper || at + NODE_HEADER > PAGE {
            return Err(OUTSIDE);
        }
        let node = &self.bytes[at..];
        let (low, high, flags) = (short(node, 0), short(node, 2), short(node, 4));
        let key_length = usize::from(short(node, 6));
        let (key, rest) = node[NODE_HEADER..].split_at_checked(key_length).ok_or(OUTSIDE)?;
        let length = usize::from(low) | usize::from(high) << 16;
        if !self.is_leaf {
            // The first key of a branch is never compared, and may be missing.
            if !is_first && !contents.is_key_length(key_length) {
                return Err("a key has an impossible length");
            }
            let child = length as u64 | u64::from(flags) << 32;
            return Ok(Node { key, value: None, length: 0, child });
        }
        if !contents.is_key_length(key_length) {
            return Err("a key has an impossible length");
        }
        match flags {
            0 => {
                let value = rest.get(..length).ok_or(OUTSIDE)?;
                Ok(Node { key, value: Some(value), length, child: 0 })
            }
            VALUE_ON_OVERFLOW => {
                let child = rest.get(..8).map(|number| long(number, 0)).ok_or(OUTSIDE)?;
                Ok(Node { key, value: None, length, child })
            }
            _ => Err("a node is of an unknown kind"),
        }
    }
}

/// How many pages a value needs that is kept outside its leaf.
pub(super) fn overflow_count(length: usize) -> usize {
    (HEADER + length).div_ceil(PAGE)
}

/// The value, and how many pages it has: a shorter value keeps the pages of the one it replaced.
pub(super) fn overflow_value(
    number: u64,
    bytes: &[u8],
    length: usize,
) -> Result<(&[u8], u64), &'static str> {
    if long(bytes, 0) != number {
        return Err("it says that it is another page");
    }
    if short(bytes, 10) != OVERFLOW {
        return Err("it is of the wrong kind");
    }
    let count = word(bytes, 12);
    if (count as usize) < overflow_count(length) {
        return Err("the value on it is longer than it is");
    }
    Ok((&bytes[HEADER..HEADER + length], count.into()))
}

/// The pages of one record of the tree of free pages: their count, then that many.
pub(super) fn free_list(value: &[u8]) -> Result<Vec<u64>, &'static str> {
    const PROBLEM: &str = "a list of free pages has the wrong length";
    let count = value.get(..8).map(|count| long(count, 0)).ok_or(PROBLEM)?;
    let end = usize::try_from(count).ok().and_then(|count| count.checked_add(1)?.checked_mul(8));
    let numbers = end.and_then(|end| value.get(8..end)).ok_or(PROBLEM)?;
    Ok(numbers.chunks_exact(8).map(|number| long(number, 0)).collect())
}

// The callers have checked the lengths.

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
