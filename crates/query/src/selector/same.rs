//! Whether two values are the same to Erlang, which is what `$all` asks.

use settle_model::json::{elements, members, string_value, unescape};

use super::operand::number;

/// What counts as the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// `1` is not `1.0`: Erlang's `=:=`, and `lists:member`.
    AsSpelt,
    /// `1` is `1.0`: Erlang's `==`.
    AsValues,
}

/// Members of objects are compared in their order, as Erlang's JSON has one.
pub(crate) fn same(a: &[u8], b: &[u8], numbers: Numbers) -> bool {
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
                    (Some(a), Some(b)) if same(a, b, numbers) => {}
                    (Some(_), Some(_) | None) | (None, Some(_)) => return false,
                }
            }
        }
        (Some(b'{'), Some(b'{')) => {
            let (mut left, mut right) = (members(a), members(b));
            loop {
                match (left.next(), right.next()) {
                    (None, None) => return true,
                    (Some((key_a, a)), Some((key_b, b)))
                        if unescape(key_a) == unescape(key_b) && same(a, b, numbers) => {}
                    (Some(_), Some(_) | None) | (None, Some(_)) => return false,
                }
            }
        }
        (Some(_) | None, Some(_) | None) => match (number(a), number(b)) {
            (Some(left), Some(right)) => match (is_integer(a), is_integer(b)) {
                // Integers of the same double may differ beyond its digits.
                (true, true) => a == b || (is_zero(a) && is_zero(b)),
                (false, false) => left == right,
                (true, false) | (false, true) => numbers == Numbers::AsValues && left == right,
            },
            (Some(_), None) | (None, Some(_) | None) => false,
        },
    }
}

pub(crate) fn is_integer(json: &[u8]) -> bool {
    let digits = json.strip_prefix(b"-").unwrap_or(json);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

fn is_zero(integer: &[u8]) -> bool {
    matches!(integer, b"0" | b"-0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_same_as_spelt_or_as_values() {
        for (a, b, as_spelt, as_values) in [
            ("1", "1", true, true),
            ("1", "1.0", false, true),
            ("1.0", "1e0", true, true),
            ("0", "-0", true, true),
            ("9007199254740993", "9007199254740992", false, false),
            (r#"[1,{"a":"\u0061"}]"#, r#"[1,{"a":"a"}]"#, true, true),
            (r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#, false, false),
            ("[1]", "[1,2]", false, false),
            ("null", "false", false, false),
        ] {
            assert_eq!(same(a.as_bytes(), b.as_bytes(), Numbers::AsSpelt), as_spelt, "{a} {b}");
            assert_eq!(same(a.as_bytes(), b.as_bytes(), Numbers::AsValues), as_values, "{a} {b}");
        }
    }
}
