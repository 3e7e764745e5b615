//! Names of fields: `a.b.0`, with `\.` for a dot that belongs to a name.
//!
//! Source: `mango_util:parse_field/1` and `mango_doc:get_field/2`.

use std::fmt;

use settle_model::json::{elements, members, unescape};

use super::error::SelectorError;

/// Where a field is: names of members from the outside in. A number is a place in an array, where
/// there is an array.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FieldPath {
    parts: Vec<Box<str>>,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    Value(&'a [u8]),
    /// An object on the way has no such member.
    Missing,
    /// Something on the way is neither an object nor an array that long.
    BadPath,
}

impl FieldPath {
    pub fn parse(name: &str) -> Result<Self, SelectorError> {
        let bytes = name.as_bytes();
        let mut parts = Vec::new();
        let mut start = 0;
        let ends = bytes.iter().enumerate().filter(|&(at, &byte)| {
            byte == b'.' && at.checked_sub(1).is_none_or(|before| bytes[before] != b'\\')
        });
        for end in ends.map(|(at, _)| at).chain([bytes.len()]) {
            let part = &name[start..end];
            if part.is_empty() {
                return Err(SelectorError::InvalidFieldName { field: name.to_owned() });
            }
            parts.push(part.replace('\\', "").into_boxed_str());
            start = end + 1;
        }
        Ok(Self { parts })
    }

    /// `_id`
    pub(crate) fn id() -> Self {
        Self { parts: vec!["_id".into()] }
    }

    pub fn parts(&self) -> &[Box<str>] {
        &self.parts
    }

    /// Whether this is the value itself, as in `{"$elemMatch": {"$gt": 5}}`.
    pub fn is_root(&self) -> bool {
        self.parts.is_empty()
    }

    /// This path, and `inner` from there.
    pub(crate) fn join(&self, inner: &Self) -> Self {
        Self { parts: self.parts.iter().chain(&inner.parts).cloned().collect() }
    }

    pub fn find<'a>(&self, value: &'a [u8]) -> Found<'a> {
        find(value, &self.parts)
    }
}

/// A name that [`FieldPath::parse`] reads back. CouchDB shows it without the escapes.
impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            let is_operator = index == 0 && part.starts_with('$');
            f.write_str(if index > 0 {
                "."
            } else if is_operator {
                "\\"
            } else {
                ""
            })?;
            for (place, piece) in part.split('.').enumerate() {
                f.write_str(if place == 0 { "" } else { "\\." })?;
                f.write_str(piece)?;
            }
        }
        Ok(())
    }
}

/// What `parts` lead to from `value`.
pub(super) fn find<'a>(mut value: &'a [u8], parts: &[Box<str>]) -> Found<'a> {
    for part in parts {
        let next = match value.first() {
            Some(b'{') => members(value).find(|(key, _)| is_key(key, part)).map(|(_, it)| it),
            Some(b'[') => match part.parse().ok().and_then(|place| elements(value).nth(place)) {
                Some(element) => Some(element),
                None => return Found::BadPath,
            },
            Some(_) | None => return Found::BadPath,
        };
        match next {
            Some(next) => value = next,
            None => return Found::Missing,
        }
    }
    Found::Value(value)
}

/// Whether `raw`, a key between its quotes, spells `name`.
#[inline]
pub(crate) fn is_key(raw: &str, name: &str) -> bool {
    raw == name || (memchr::memchr(b'\\', raw.as_bytes()).is_some() && unescape(raw) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(name: &str) -> Vec<String> {
        FieldPath::parse(name).unwrap().parts.iter().map(|it| it.to_string()).collect()
    }

    #[test]
    fn a_dot_separates_unless_it_is_escaped() {
        assert_eq!(parts("a.b"), ["a", "b"]);
        assert_eq!(parts(r"a\.b"), ["a.b"]);
        assert_eq!(parts(r"a\.b.c"), ["a.b", "c"]);
        assert_eq!(parts(r"\$and"), ["$and"]);
    }

    #[test]
    fn a_shown_path_reads_back() {
        for name in ["a.b", r"a\.b.c", r"\$and", r"\$a\.b.$c", r"a\..b"] {
            assert_eq!(FieldPath::parse(name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn a_name_without_letters_is_refused() {
        for name in ["", ".", "a.", ".a", "a..b"] {
            assert!(FieldPath::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_number_is_a_place_in_an_array_and_a_name_in_an_object() {
        let find = |name: &str, value: &'static str| {
            FieldPath::parse(name).unwrap().find(value.as_bytes())
        };
        assert_eq!(find("a.1", r#"{"a":[1,2]}"#), Found::Value(b"2"));
        assert_eq!(find("a.1", r#"{"a":{"1":3}}"#), Found::Value(b"3"));
        assert_eq!(find("a.2", r#"{"a":[1,2]}"#), Found::BadPath);
        assert_eq!(find("a.b", r#"{"a":[1,2]}"#), Found::BadPath);
        assert_eq!(find("a.b", r#"{"a":7}"#), Found::BadPath);
        assert_eq!(find("a.b", r#"{"a":{}}"#), Found::Missing);
        assert_eq!(find("é", r#"{"\u00e9":1}"#), Found::Value(b"1"));
    }
}
