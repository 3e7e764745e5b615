//! Small helpers to read and write JSON objects, on the rules of [`settle_model::json`].

use settle_model::json::{elements, members, string_value, unescape, write_string};

/// An object that is written member by member.
#[derive(Debug, Default)]
pub(crate) struct Object(Vec<u8>);

impl Object {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// `value` is JSON.
    pub(crate) fn raw(&mut self, name: &str, value: &[u8]) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        write_string(&mut self.0, name);
        self.0.push(b':');
        self.0.extend_from_slice(value);
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.raw(name, &quoted(value));
    }

    pub(crate) fn number(&mut self, name: &str, value: u64) {
        self.raw(name, value.to_string().as_bytes());
    }

    pub(crate) fn flag(&mut self, name: &str, value: bool) {
        self.raw(name, if value { b"true" } else { b"false" });
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        if self.0.is_empty() {
            self.0.push(b'{');
        }
        self.0.push(b'}');
        self.0
    }
}

pub(crate) fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_string(&mut out, text);
    out
}

/// Writes `items` as an array, each as `write` does.
pub(crate) fn array<T>(
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) -> Vec<u8> {
    let mut out = vec![b'['];
    for item in items {
        if out.len() > 1 {
            out.push(b',');
        }
        write(&mut out, item);
    }
    out.push(b']');
    out
}

/// The value of a member of an object that was checked before.
pub(crate) fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    members(object).find(|(key, _)| unescape(key) == name).map(|(_, value)| value)
}

pub(crate) fn text_member(object: &[u8], name: &str) -> Option<String> {
    Some(string_value(member(object, name)?)?.into_owned())
}

/// A whole number that is not negative.
pub(crate) fn natural(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    digits.then(|| str::from_utf8(value).ok()?.parse().ok()).flatten()
}

/// The value with the members of every object in order of their names, and strings in one spelling,
/// so that equal values are equal bytes. Numbers stay as they were written.
pub(crate) fn canonical(value: &[u8]) -> Vec<u8> {
    match value.first() {
        Some(b'{') => {
            let mut sorted: Vec<_> =
                members(value).map(|(key, value)| (unescape(key), value)).collect();
            sorted.sort();
            let mut object = Object::new();
            for (key, value) in sorted {
                object.raw(&key, &canonical(value));
            }
            object.finish()
        }
        Some(b'[') => array(elements(value), |out, it| out.extend_from_slice(&canonical(it))),
        Some(b'"') => string_value(value).map_or_else(|| value.to_vec(), |text| quoted(&text)),
        Some(_) | None => value.to_vec(),
    }
}
