//! Reads what was checked before, without checking it again.
//!
//! The text must be what [`super::minify`] returned, or a part of it that these functions returned.
//! Of any other text they make less sense, but they end, and never panic.

use std::{borrow::Cow, iter::FusedIterator};

use super::string::unescape;

/// The members of an object, in order: the key as it stands between its quotes, and the value.
/// Anything but an object has none.
pub fn members(object: &[u8]) -> Members<'_> {
    Members { rest: inside(object, b'{', b'}') }
}

/// The elements of an array, in order. Anything but an array has none.
pub fn elements(array: &[u8]) -> Elements<'_> {
    Elements { rest: inside(array, b'[', b']') }
}

/// The text that a string stands for; `None` of any other value.
pub fn string_value(value: &[u8]) -> Option<Cow<'_, str>> {
    let raw = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    Some(unescape(str::from_utf8(raw).ok()?))
}

#[derive(Debug, Clone)]
pub struct Members<'a> {
    rest: &'a [u8],
}

#[derive(Debug, Clone)]
pub struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, rest) = self.rest.split_at(value_end(self.rest));
        let rest = rest.strip_prefix(b":").unwrap_or_default();
        let (value, rest) = rest.split_at(value_end(rest));
        self.rest = rest.strip_prefix(b",").unwrap_or_default();
        let key = key.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        Some((str::from_utf8(key).ok()?, value))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (value, rest) = self.rest.split_at(value_end(self.rest));
        self.rest = rest.strip_prefix(b",").unwrap_or_default();
        Some(value)
    }
}

impl FusedIterator for Members<'_> {}
impl FusedIterator for Elements<'_> {}

fn inside(text: &[u8], open: u8, close: u8) -> &[u8] {
    match text {
        [first, inner @ .., last] if *first == open && *last == close => inner,
        _ => &[],
    }
}

/// The place after the value that `text` begins with.
fn value_end(text: &[u8]) -> usize {
    match text.first() {
        Some(b'"') => string_end(text, 0),
        Some(b'{' | b'[') => {
            let mut depth = 0_usize;
            let mut at = 0;
            while let Some(&byte) = text.get(at) {
                match byte {
                    b'"' => {
                        at = string_end(text, at);
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return at;
                }
            }
            text.len()
        }
        Some(_) | None => {
            let after = |byte: &u8| matches!(byte, b',' | b':' | b'}' | b']');
            text.iter().position(after).unwrap_or(text.len())
        }
    }
}

/// The place after the string whose opening quote is at `start`.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        match memchr::memchr2(b'"', b'\\', rest) {
            Some(found) if rest[found] == b'"' => return at + found + 1,
            Some(found) => at += found + 2,
            None => return text.len(),
        }
    }
}
