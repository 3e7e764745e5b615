//! Objects with a member more or less, spliced from their text.

use settle_model::json::{members, unescape, write_string};

pub(crate) fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    members(object).find(|(key, _)| unescape(key) == name).map(|(_, value)| value)
}

/// The object with a member, in its place if it was there and at the end if not.
pub fn with_member(object: &[u8], name: &str, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(object.len() + name.len() + value.len() + 4);
    let mut found = false;
    for (key, old) in members(object) {
        let is_it = unescape(key) == name;
        found |= is_it;
        push_member(&mut out, |out| push_key(out, key), if is_it { value } else { old });
    }
    if !found {
        push_member(&mut out, |out| write_string(out, name), value);
    }
    close(out)
}

/// The object without a member; `None` if it has none of that name.
pub(crate) fn without_member(object: &[u8], name: &str) -> Option<Vec<u8>> {
    member(object, name)?;
    let mut out = Vec::with_capacity(object.len());
    for (key, value) in members(object).filter(|(key, _)| unescape(key) != name) {
        push_member(&mut out, |out| push_key(out, key), value);
    }
    Some(close(out))
}

fn push_key(out: &mut Vec<u8>, raw: &str) {
    out.push(b'"');
    out.extend_from_slice(raw.as_bytes());
    out.push(b'"');
}

fn push_member(out: &mut Vec<u8>, key: impl FnOnce(&mut Vec<u8>), value: &[u8]) {
    out.push(if out.is_empty() { b'{' } else { b',' });
    key(out);
    out.push(b':');
    out.extend_from_slice(value);
}

fn close(mut out: Vec<u8>) -> Vec<u8> {
    if out.is_empty() {
        out.push(b'{');
    }
    out.push(b'}');
    out
}
