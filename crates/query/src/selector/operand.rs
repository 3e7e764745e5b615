//! The value on the right of a comparison, made ready once.
//!
//! Values compare as keys of a view do: by type, then numbers as doubles, strings by Unicode
//! collation. Most comparisons are decided by the type, by a number, or by two ASCII strings being
//! equal or not; the rest compares sort keys.

use std::cmp::Ordering;

use settle_model::json::elements;

use crate::collate::{self, Collation};

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Operand {
    json: Box<[u8]>,
    sort_key: Box<[u8]>,
    number: Option<f64>,
}

impl Operand {
    pub(crate) fn new(json: &[u8]) -> Self {
        Self { json: json.into(), sort_key: sort_key(json).into(), number: number(json) }
    }

    pub(crate) fn json(&self) -> &[u8] {
        &self.json
    }

    pub(crate) fn sort_key(&self) -> &[u8] {
        &self.sort_key
    }

    /// How `value` compares with this.
    pub(crate) fn compare(&self, value: &[u8]) -> Ordering {
        if let Some(decided) = self.compare_quickly(value) {
            return decided;
        }
        sort_key(value).as_slice().cmp(&self.sort_key)
    }

    /// Whether `value` collates as this.
    pub(crate) fn equals(&self, value: &[u8]) -> bool {
        match self.compare_quickly(value) {
            Some(decided) => decided.is_eq(),
            None if is_plain(value) && is_plain(&self.json) => false,
            None => sort_key(value).as_slice() == &*self.sort_key,
        }
    }

    #[inline]
    fn compare_quickly(&self, value: &[u8]) -> Option<Ordering> {
        if value == &*self.json {
            return Some(Ordering::Equal);
        }
        let by_type = rank(value).cmp(&rank(&self.json));
        if by_type.is_ne() {
            return Some(by_type);
        }
        let (own, other) = (self.number?, number(value)?);
        own.is_finite().then_some(())?;
        other.partial_cmp(&own)
    }
}

/// Several values, of which one may be met.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Operands {
    json: Box<[u8]>,
    /// In order.
    sort_keys: Box<[Box<[u8]>]>,
    /// The one value where there is only one.
    single: Option<Operand>,
}

impl Operands {
    /// Of the elements of an array.
    pub(crate) fn new(array: &[u8]) -> Self {
        let mut sort_keys: Vec<Box<[u8]>> = elements(array).map(|it| sort_key(it).into()).collect();
        sort_keys.sort_unstable();
        sort_keys.dedup();
        let mut all = elements(array);
        let single = match (all.next(), all.next()) {
            (Some(only), None) => Some(Operand::new(only)),
            (Some(_), Some(_)) | (None, _) => None,
        };
        Self { json: array.into(), sort_keys: sort_keys.into(), single }
    }

    pub(crate) fn json(&self) -> &[u8] {
        &self.json
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sort_keys.is_empty()
    }

    /// Whether one of them collates as `value` does.
    pub(crate) fn contain(&self, value: &[u8]) -> bool {
        match &self.single {
            Some(single) => single.equals(value),
            None => {
                let key = sort_key(value);
                self.sort_keys.binary_search_by(|it| (**it).cmp(&key)).is_ok()
            }
        }
    }
}

pub(crate) fn sort_key(json: &[u8]) -> Vec<u8> {
    collate::sort_key(json, Collation::Unicode)
}

/// Types in the order of collation, with `false` and `true` apart.
#[inline]
fn rank(json: &[u8]) -> u8 {
    match json.first() {
        Some(b'n') | None => 0,
        Some(b'f') => 1,
        Some(b't') => 2,
        Some(b'"') => 4,
        Some(b'[') => 5,
        Some(b'{') => 6,
        Some(_) => 3,
    }
}

/// The double that a number stands for; `None` of anything else.
#[inline]
pub(super) fn number(json: &[u8]) -> Option<f64> {
    match json.first() {
        Some(b'-' | b'0'..=b'9') => str::from_utf8(json).ok()?.parse().ok(),
        Some(_) | None => None,
    }
}

/// Whether `json` is a string of printable ASCII characters without escapes. No two of these
/// collate alike.
#[inline]
fn is_plain(json: &[u8]) -> bool {
    json.first() == Some(&b'"')
        && json.iter().all(|&byte| matches!(byte, b' '..=b'~') && byte != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparing_quickly_decides_as_sort_keys_do() {
        let values: &[&str] = &[
            "null",
            "false",
            "true",
            "-1",
            "0",
            "-0",
            "0.0",
            "1",
            "1.0",
            "1e0",
            "10",
            "1e300",
            r#""""#,
            r#"" ""#,
            r#""a""#,
            r#""A""#,
            r#""b""#,
            r#""\u0061""#,
            r#""é""#,
            r#""e\u0301""#,
            r#""\u0001""#,
            "[]",
            "[1]",
            "[1.0]",
            "{}",
            r#"{"a":1}"#,
        ];
        for right in values {
            let operand = Operand::new(right.as_bytes());
            for left in values {
                let slow = sort_key(left.as_bytes()).cmp(&sort_key(right.as_bytes()));
                assert_eq!(operand.compare(left.as_bytes()), slow, "{left} {right}");
                assert_eq!(operand.equals(left.as_bytes()), slow.is_eq(), "{left} = {right}");
            }
        }
    }
}
