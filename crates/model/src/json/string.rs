//! Strings: where they end, what their escapes mean, how to write one.

use std::borrow::Cow;

use super::error::JsonProblem;

/// The place of the first byte from `at` on that does not stand for itself in a string (a quote, a
/// backslash, a control character), or the end of `text`.
///
/// Looks at eight bytes at a time: subtracting one from each byte borrows only from bytes that were
/// zero, so the lowest marked byte is always a true find.
#[inline]
pub(crate) fn plain_end(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    while let Some(bytes) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*bytes);
        let quote = word ^ (ONES * 0x22);
        let backslash = word ^ (ONES * 0x5C);
        let found = word.wrapping_sub(ONES * 0x20) & !word
            | quote.wrapping_sub(ONES) & !quote
            | backslash.wrapping_sub(ONES) & !backslash;
        let found = found & HIGHS;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while text.get(at).is_some_and(|&byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        at += 1;
    }
    at
}

/// Checks the escape whose backslash is at `at` and returns the place after it.
pub(super) fn escape_end(text: &[u8], at: usize) -> Result<usize, JsonProblem> {
    match text.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => match code_unit(text, at).ok_or(JsonProblem::UnknownEscape)? {
            0xD800..=0xDBFF => match code_unit(text, at + 6) {
                Some(0xDC00..=0xDFFF) => Ok(at + 12),
                Some(_) | None => Err(JsonProblem::LoneSurrogate),
            },
            0xDC00..=0xDFFF => Err(JsonProblem::LoneSurrogate),
            _ => Ok(at + 6),
        },
        Some(_) => Err(JsonProblem::UnknownEscape),
        None => Err(JsonProblem::Ended { expected: "the rest of a string" }),
    }
}

/// The number in `\uXXXX` at `at`.
fn code_unit(text: &[u8], at: usize) -> Option<u32> {
    let escape = text.get(at..at + 6)?;
    let digits = escape.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
}

/// The text that `raw`, what a checked text has between two quotes, stands for.
pub fn unescape(raw: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut text = Vec::with_capacity(raw.len());
    unescape_into(raw.as_bytes(), &mut text);
    Cow::Owned(String::from_utf8(text).expect("checked escapes stand for whole characters"))
}

/// Appends what `raw` stands for. In a text that was not checked an escape that means nothing is
/// left as it is.
pub fn unescape_into(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(backslash) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..backslash]);
        let (character, length) = unescape_one(rest, backslash);
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = rest.get(backslash + length..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// What the escape at `at` stands for, and its length.
fn unescape_one(raw: &[u8], at: usize) -> (char, usize) {
    let character = match raw.get(at + 1) {
        Some(b'"') => '"',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'\\') => '\\',
        Some(b'u') => return unescape_unit(raw, at).unwrap_or(('\\', 1)),
        Some(_) | None => return ('\\', 1),
    };
    (character, 2)
}

fn unescape_unit(raw: &[u8], at: usize) -> Option<(char, usize)> {
    let unit = code_unit(raw, at)?;
    if let Some(character) = char::from_u32(unit) {
        return Some((character, 6));
    }
    let low = code_unit(raw, at + 6)?.checked_sub(0xDC00)?;
    let high = unit.checked_sub(0xD800)?;
    Some((char::from_u32(0x1_0000 + (high << 10) + low)?, 12))
}

/// Appends `text` as a JSON string, quotes included. Only what must be escaped is.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut from = 0;
    loop {
        let at = plain_end(bytes, from);
        out.extend_from_slice(&bytes[from..at]);
        let Some(&byte) = bytes.get(at) else { break };
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0C => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let digits = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(digits[usize::from(byte >> 4)]);
                out.push(digits[usize::from(byte & 15)]);
            }
        }
        from = at + 1;
    }
    out.push(b'"');
}
