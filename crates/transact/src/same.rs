//! Whether two values are equal as RFC 6902 has it: numbers by value, members in any order.

use std::borrow::Cow;

use settle_model::json::{elements, members, string_value, unescape};

use crate::decimal::Decimal;

/// A value that many are compared with. What is no array or object is read once.
pub(crate) struct Wanted<'a> {
    json: &'a [u8],
    number: Option<Decimal>,
    text: Option<Cow<'a, str>>,
}

impl<'a> Wanted<'a> {
    /// Minified, as the others are.
    pub(crate) fn new(json: &'a [u8]) -> Self {
        Self { json, number: Decimal::parse(json), text: string_value(json) }
    }

    pub(crate) fn is(&self, other: &[u8]) -> bool {
        if other == self.json {
            return true;
        }
        match (other.first(), &self.number, &self.text) {
            (Some(b'"'), _, Some(text)) => string_value(other).as_ref() == Some(text),
            (Some(b'-' | b'0'..=b'9'), Some(number), _) => {
                Decimal::parse(other).is_some_and(|other| other.compare(number).is_eq())
            }
            (Some(b'[' | b'{'), None, None) => same(other, self.json),
            (Some(_) | None, _, _) => false,
        }
    }
}

/// Both are minified.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true;
    }
    match (a.first(), b.first()) {
        (Some(b'"'), Some(b'"')) => string_value(a) == string_value(b),
        (Some(b'['), Some(b'[')) => {
            let (mut left, mut right) = (elements(a), elements(b));
            loop {
                match (left.next(), right.next()) {
                    (None, None) => return true,
                    (Some(a), Some(b)) if same(a, b) => {}
                    (Some(_), Some(_) | None) | (None, Some(_)) => return false,
                }
            }
        }
        (Some(b'{'), Some(b'{')) => {
            let (left, right) = (by_key(a), by_key(b));
            left.len() == right.len()
                && left.iter().zip(&right).all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
        }
        (Some(_) | None, Some(_) | None) => match (Decimal::parse(a), Decimal::parse(b)) {
            (Some(a), Some(b)) => a.compare(&b).is_eq(),
            (Some(_), None) | (None, Some(_) | None) => false,
        },
    }
}

fn by_key(object: &[u8]) -> Vec<(Cow<'_, str>, &[u8])> {
    let mut all: Vec<_> = members(object).map(|(key, value)| (unescape(key), value)).collect();
    all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    all
}

#[cfg(test)]
mod tests {
    use super::{Wanted, same};

    #[test]
    fn numbers_are_the_same_by_value_and_members_in_any_order() {
        for (a, b, expected) in [
            ("1", "1.0", true),
            ("100", "1e2", true),
            ("9007199254740993", "9007199254740992", false),
            (r#"{"a":1,"b":[2]}"#, r#"{"b":[2.0],"\u0061":1}"#, true),
            (r#"{"a":1}"#, r#"{"a":1,"b":2}"#, false),
            ("[1,2]", "[2,1]", false),
            (r#""\u00e9""#, r#""é""#, true),
            ("null", "false", false),
            ("\"1\"", "1", false),
        ] {
            assert_eq!(same(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
            assert_eq!(Wanted::new(b.as_bytes()).is(a.as_bytes()), expected, "{a} {b}");
            assert_eq!(Wanted::new(a.as_bytes()).is(b.as_bytes()), expected, "{b} {a}");
        }
    }
}
