//! JSON Merge Patch. Source: RFC 7386, section 2.

use std::{borrow::Cow, collections::HashMap};

use settle_model::json::{members, unescape};

/// `target` with `patch` applied; both are minified, and so is the outcome. Members that stay keep their place and
/// their spelling, new ones come behind them.
pub fn merge(target: &[u8], patch: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(target.len() + patch.len());
    push(&mut out, target, patch);
    out
}

fn push(out: &mut Vec<u8>, target: &[u8], patch: &[u8]) {
    if patch.first() != Some(&b'{') {
        out.extend_from_slice(patch);
        return;
    }
    let patches: Vec<(&str, &[u8])> = members(patch).collect();
    let places: HashMap<Cow<'_, str>, usize> =
        patches.iter().enumerate().map(|(at, (key, _))| (unescape(key), at)).collect();
    let mut used = vec![false; patches.len()];
    out.push(b'{');
    let start = out.len();
    // Anything but an object has no members.
    for (key, value) in members(target) {
        let at = places.get(&*unescape(key)).copied();
        let patch = at.map(|at| {
            used[at] = true;
            patches[at].1
        });
        match patch {
            None => push_member(out, start, key, |out| out.extend_from_slice(value)),
            Some(b"null") => {}
            Some(patch) => push_member(out, start, key, |out| push(out, value, patch)),
        }
    }
    for (at, (key, patch)) in patches.into_iter().enumerate() {
        if !used[at] && patch != b"null" {
            push_member(out, start, key, |out| push(out, b"{}", patch));
        }
    }
    out.push(b'}');
}

fn push_member(out: &mut Vec<u8>, start: usize, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(if out.len() > start { b",\"" } else { b"\"" });
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
    value(out);
}
