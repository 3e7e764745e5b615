//! Sort keys: bytes whose order is CouchDB's collation.
//!
//! Rows of views, startkeys and Mango's values are all compared as these bytes, so that no index ever
//! calls a collator to find its way. A key is read off the JSON text in one pass; no tree of values is
//! built.
//!
//! | value | bytes |
//! |---|---|
//! | `null`, `false`, `true` | a tag |
//! | number | tag, the double, big-endian, its bits flipped so that they sort; `-0` as `0` |
//! | string | tag, the collator's sort key, `00` |
//! | array | tag, the elements, `00` |
//! | object | tag, each member's key (as a string) and value in their order, `00` |
//!
//! The collator's sort keys contain no `00`, and every tag is greater, so what ends first sorts first.
//! An integer that no double holds is ordered as the double nearest to it. Strings that collate as equal
//! (`é` as one character or as two, with control characters or without) have equal keys: rows carry the
//! key's JSON beside it.
//!
//! [`Collation::Raw`] is CouchDB's `"collation": "raw"`, the order of Erlang's terms: numbers, then
//! `false`, `null` and `true` in that order, objects, arrays, strings by their bytes. There the bytes `00` and
//! `01` of a string stand as `01 01` and `01 02`.
//!
//! Source: `couch_ejson_compare.erl` and `.c`; the order of [`Collation::Raw`] is that of
//! `couch_btree` without a comparison function (`couch_mrview_util:maybe_define_less_fun`).

mod strings;

use std::borrow::Cow;

use settle_model::json;

/// How the keys of a view are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Collation {
    /// Strings by the Unicode collation algorithm, as CouchDB does unless told otherwise.
    #[default]
    Unicode,
    /// `"collation": "raw"`: the order of Erlang's terms.
    Raw,
}

/// The collator and the encoding. An index that was built under another version is built again.
pub const VERSION: &str = "icu_collator 2.4 root, encoding 1";

/// Less than every tag.
const END: u8 = 0x00;

/// No byte of a key that begins a value or ends one is as great, so a prefix of values followed by
/// this is above every key that goes on from the prefix.
pub const ABOVE: u8 = 0xFF;

struct Tags {
    null: u8,
    r#false: u8,
    r#true: u8,
    number: u8,
    string: u8,
    array: u8,
    object: u8,
}

const UNICODE: Tags = Tags {
    null: 0x10,
    r#false: 0x20,
    r#true: 0x30,
    number: 0x40,
    string: 0x50,
    array: 0x60,
    object: 0x70,
};

const RAW: Tags = Tags {
    number: 0x10,
    r#false: 0x20,
    null: 0x30,
    r#true: 0x40,
    object: 0x50,
    array: 0x60,
    string: 0x70,
};

/// The sort key of one minified JSON value.
pub fn sort_key(json: &[u8], collation: Collation) -> Vec<u8> {
    let mut key = Vec::with_capacity(json.len() + 16);
    push_sort_key(&mut key, json, collation);
    key
}

/// Appends the sort key of one minified JSON value.
///
/// The order of the bytes is the order of the values. No key is the prefix of another, and the key of an
/// array begins with its tag and the keys of its elements, so that its first elements make a prefix of it.
///
/// Of a text that is not minified JSON the key makes less sense, but it ends.
pub fn push_sort_key(out: &mut Vec<u8>, json: &[u8], collation: Collation) {
    match collation {
        Collation::Unicode => push(out, json, &UNICODE, strings::push_collated),
        Collation::Raw => push(out, json, &RAW, push_bytes),
    }
}

/// What the sort keys of all rows of a group begin with: the group of `json` at `level`, at least 1.
///
/// An array of `level` elements or more is cut to that many and has no end mark; any other key is
/// whole. The group's rows lie from this up to this followed by [`ABOVE`].
pub fn group_prefix(json: &[u8], level: u32, collation: Collation) -> Vec<u8> {
    let cut = cut(json, level).unwrap_or(json); // without its bracket, so no end mark follows
    sort_key(cut, collation)
}

/// The key that a group at `level` is shown under: an array cut to `level` elements, and any other
/// key as it is.
pub fn group_key(json: &[u8], level: u32) -> Cow<'_, [u8]> {
    match cut(json, level) {
        Some(cut) if cut.len() + 1 < json.len() => {
            let mut key = Vec::with_capacity(cut.len() + 1);
            key.extend_from_slice(cut);
            key.push(b']');
            Cow::Owned(key)
        }
        Some(_) | None => Cow::Borrowed(json),
    }
}

/// The first `level` elements with the opening bracket, of an array that has so many.
fn cut(json: &[u8], level: u32) -> Option<&[u8]> {
    if json.first() != Some(&b'[') {
        return None;
    }
    let mut at = 1;
    let mut elements = json::elements(json);
    for taken in 0..level {
        at += elements.next()?.len() + usize::from(taken > 0); // the comma
    }
    Some(&json[..at])
}

/// Walks over the tokens. The key needs no stack: what an end mark closes follows from what came
/// before it.
fn push(out: &mut Vec<u8>, json: &[u8], tags: &Tags, push_string: fn(&mut Vec<u8>, &[u8])) {
    let mut at = 0;
    let mut depth = 0_usize;
    while let Some(&byte) = json.get(at) {
        match byte {
            b',' | b':' => {
                at += 1;
                continue;
            }
            b'"' => {
                let end = string_end(json, at + 1);
                out.push(tags.string);
                push_string(out, &json[at + 1..end]);
                out.push(END);
                at = end + 1;
            }
            b'[' | b'{' => {
                out.push(if byte == b'[' { tags.array } else { tags.object });
                depth += 1;
                at += 1;
                continue;
            }
            b']' | b'}' => {
                out.push(END);
                depth = depth.saturating_sub(1);
                at += 1;
            }
            b'n' => {
                out.push(tags.null);
                at += "null".len();
            }
            b'f' => {
                out.push(tags.r#false);
                at += "false".len();
            }
            b't' => {
                out.push(tags.r#true);
                at += "true".len();
            }
            _ => {
                let end = number_end(json, at);
                out.push(tags.number);
                out.extend_from_slice(&number_key(&json[at..end]));
                at = end;
            }
        }
        if depth == 0 {
            break;
        }
    }
}

/// The place of the closing quote of the string whose text begins at `start`.
fn string_end(json: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(rest) = json.get(at..) {
        match memchr::memchr2(b'"', b'\\', rest) {
            Some(found) if rest[found] == b'"' => return at + found,
            Some(found) => at += found + 2,
            None => break,
        }
    }
    json.len()
}

fn number_end(json: &[u8], start: usize) -> usize {
    let after = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b':');
    let rest = &json[start..];
    start + rest.iter().position(after).unwrap_or(rest.len())
}

/// Eight bytes that sort as the double that is nearest to the number.
fn number_key(number: &[u8]) -> [u8; 8] {
    let value = short_integer(number).unwrap_or_else(|| {
        str::from_utf8(number).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0)
    });
    let bits = (value + 0.0).to_bits(); // -0 becomes 0
    let flip = if bits >> 63 == 1 { u64::MAX } else { 1 << 63 };
    (bits ^ flip).to_be_bytes()
}

/// An integer that is certainly exact as a double.
fn short_integer(number: &[u8]) -> Option<f64> {
    let (negative, digits) = match number {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    let mut value = 0_i64;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(digit - b'0');
    }
    #[expect(clippy::cast_precision_loss, reason = "15 digits fit the 53 bits of a double")]
    let value = value as f64;
    Some(if negative { -value } else { value })
}

/// The bytes that a string stands for, so that none of them is [`END`].
fn push_bytes(out: &mut Vec<u8>, raw: &[u8]) {
    let from = out.len();
    json::unescape_into(raw, out);
    if memchr::memchr2(0, 1, &out[from..]).is_some() {
        let plain = out.split_off(from);
        for byte in plain {
            match byte {
                0 => out.extend_from_slice(&[1, 1]),
                1 => out.extend_from_slice(&[1, 2]),
                _ => out.push(byte),
            }
        }
    }
}
