//! Numbers: the grammar, and the range.

use super::{error::JsonProblem, limits::JSON_INTEGER_DIGITS_MAX};

/// More integer digits than this may be beyond a double; so may any exponent.
const SAFE_INTEGER_DIGITS: usize = 308;

/// Checks the number that begins at `start`, a digit or a minus sign, and returns the place after
/// it; on failure the place that is wrong.
#[inline]
pub(super) fn number_end(text: &[u8], start: usize) -> Result<usize, (usize, JsonProblem)> {
    let peek = |at: usize| text.get(at).copied().unwrap_or(0);
    let mut at = start + usize::from(text[start] == b'-');
    let digits_start = at;
    if peek(at) == b'0' {
        at += 1;
    } else {
        at = digits_end(text, at)?;
    }
    let integer_digits = at - digits_start;
    let (mut fraction, mut exponent) = (false, false);
    if peek(at) == b'.' {
        fraction = true;
        at = digits_end(text, at + 1)?;
    }
    if peek(at) | 0x20 == b'e' {
        exponent = true;
        at += 1;
        at += usize::from(matches!(peek(at), b'+' | b'-'));
        at = digits_end(text, at)?;
    }
    if !fraction && !exponent {
        if integer_digits > JSON_INTEGER_DIGITS_MAX {
            return Err((start, JsonProblem::IntegerTooLong));
        }
    } else if (exponent || integer_digits > SAFE_INTEGER_DIGITS) && !is_finite(&text[start..at]) {
        return Err((start, JsonProblem::NumberOutOfRange));
    }
    Ok(at)
}

/// The place after the digits at `at`, of which there must be one.
#[inline]
fn digits_end(text: &[u8], at: usize) -> Result<usize, (usize, JsonProblem)> {
    let mut end = at;
    while text.get(end).is_some_and(u8::is_ascii_digit) {
        end += 1;
    }
    match end {
        _ if end > at => Ok(end),
        _ if end == text.len() => Err((at, JsonProblem::Ended { expected: "a digit" })),
        _ => Err((at, JsonProblem::Expected { expected: "a digit" })),
    }
}

fn is_finite(number: &[u8]) -> bool {
    let number = str::from_utf8(number).expect("digits, signs and points are ASCII");
    number.parse::<f64>().is_ok_and(f64::is_finite)
}
