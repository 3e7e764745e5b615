//! Finds keys that stand twice in one object.
//!
//! The keys of all open objects lie on one stack. A small object compares the hash of each new key
//! with the earlier ones, and only when a word of 64 marks says that one may be equal; a large one
//! is sorted by hash and text when it ends. So a small object costs next to nothing, and no input
//! takes more than `n log n` comparisons, whatever hashes it was made to have.

use std::{borrow::Cow, cmp::Ordering};

use super::{
    limits::{KEY_QUOTED_BYTES_MAX, KEYS_COMPARED_MAX},
    scan::Text,
    string::unescape,
};

#[derive(Debug)]
pub(super) struct Keys {
    stack: Vec<Key>,
}

#[derive(Debug, Clone, Copy)]
struct Key {
    hash: u64,
    text: Text,
}

/// The place of one open object on the stack.
#[derive(Debug)]
pub(super) struct ObjectKeys {
    base: usize,
    /// One bit for each of 64 classes of hashes seen.
    marks: u64,
}

/// The later of two equal keys.
#[derive(Debug)]
pub(super) struct Duplicate {
    pub(super) key: Text,
}

impl Keys {
    pub(super) fn new() -> Self {
        Self { stack: Vec::with_capacity(KEYS_COMPARED_MAX) }
    }

    pub(super) fn open(&self) -> ObjectKeys {
        ObjectKeys { base: self.stack.len(), marks: 0 }
    }

    #[inline(always)] // so that the key is made where it stays
    pub(super) fn add(
        &mut self,
        source: &[u8],
        object: &mut ObjectKeys,
        text: Text,
    ) -> Result<(), Duplicate> {
        let hash = if text.escaped {
            hash(unescaped(source, text).as_bytes())
        } else {
            hash_in_place(source, text)
        };
        let mark = 1 << (hash >> 58);
        if object.marks & mark != 0 && self.is_known(source, object, Key { hash, text }) {
            return Err(Duplicate { key: text });
        }
        object.marks |= mark;
        self.stack.push(Key { hash, text });
        Ok(())
    }

    /// Whether a small object has the key; of a large one [`Keys::close`] will tell.
    #[inline(never)]
    fn is_known(&self, source: &[u8], object: &ObjectKeys, key: Key) -> bool {
        let earlier = &self.stack[object.base..];
        earlier.len() < KEYS_COMPARED_MAX
            && earlier.iter().any(|it| it.hash == key.hash && compare(source, it, &key).is_eq())
    }

    #[inline]
    pub(super) fn close(&mut self, source: &[u8], object: &ObjectKeys) -> Result<(), Duplicate> {
        if self.stack.len() - object.base > KEYS_COMPARED_MAX {
            let keys = &mut self.stack[object.base..];
            keys.sort_unstable_by(|a, b| compare(source, a, b));
            let equal = |pair: &&[Key]| compare(source, &pair[0], &pair[1]).is_eq();
            if let Some(pair) = keys.windows(2).find(equal) {
                let later = if pair[0].text.start > pair[1].text.start { pair[0] } else { pair[1] };
                return Err(Duplicate { key: later.text });
            }
        }
        self.stack.truncate(object.base);
        Ok(())
    }
}

impl Duplicate {
    /// The key as a message shows it.
    pub(super) fn quoted(&self, source: &[u8]) -> String {
        let mut key = unescaped(source, self.key).into_owned();
        if key.len() > KEY_QUOTED_BYTES_MAX {
            key.truncate(key.floor_char_boundary(KEY_QUOTED_BYTES_MAX));
            key.push('…');
        }
        key
    }
}

fn compare(source: &[u8], a: &Key, b: &Key) -> Ordering {
    a.hash.cmp(&b.hash).then_with(|| unescaped(source, a.text).cmp(&unescaped(source, b.text)))
}

fn unescaped(source: &[u8], text: Text) -> Cow<'_, str> {
    unescape(text.raw(source))
}

/// [`hash`] of a key that stands in `source` as it is, reading past its end where that is quicker.
#[inline]
fn hash_in_place(source: &[u8], text: Text) -> u64 {
    let length = text.end - text.start;
    match source.get(text.start..).and_then(|rest| rest.first_chunk::<8>()) {
        Some(bytes) if (1..8).contains(&length) => {
            mix(u64::from_le_bytes(*bytes) & (u64::MAX >> (64 - 8 * length)), 0, length)
        }
        Some(_) | None => hash(&source[text.start..text.end]),
    }
}

/// The length and the bytes at both ends: all of a key of up to 16 bytes.
#[inline]
fn hash(key: &[u8]) -> u64 {
    match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(first), Some(last)) => {
            mix(u64::from_le_bytes(*first), u64::from_le_bytes(*last), key.len())
        }
        _ => {
            let mut bytes = [0; 8];
            bytes[..key.len()].copy_from_slice(key);
            mix(u64::from_le_bytes(bytes), 0, key.len())
        }
    }
}

#[inline]
fn mix(first: u64, last: u64, length: usize) -> u64 {
    let sum = first.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ last.rotate_left(32) ^ length as u64;
    (sum ^ sum >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}
