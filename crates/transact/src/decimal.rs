//! Numbers of JSON as decimals: what is added and compared is what is written, not the double that is nearest.
//!
//! Units: a value is `digits × 10^-scale`.

use std::cmp::Ordering;

use num_bigint::BigInt;

use crate::limits::{DIGITS_MAX, EXPONENT_MAX};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decimal {
    digits: BigInt,
    scale: u32,
}

impl Decimal {
    /// Of a number as JSON spells it; `None` of anything else, and of what has more digits than the limits say.
    pub(crate) fn parse(json: &[u8]) -> Option<Self> {
        let text = str::from_utf8(json).ok()?;
        let starts = text.strip_prefix('-').unwrap_or(text).as_bytes().first()?;
        if !starts.is_ascii_digit() || text.len() > 2 * DIGITS_MAX {
            return None;
        }
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if exponent.unsigned_abs() > u64::from(EXPONENT_MAX)
            || whole.len() > DIGITS_MAX
            || fraction.len() > DIGITS_MAX
        {
            return None;
        }
        let digits = BigInt::parse_bytes(format!("{whole}{fraction}").as_bytes(), 10)?;
        let scale = i64::try_from(fraction.len()).ok()? - exponent;
        Some(match u32::try_from(scale) {
            Ok(scale) => Self { digits, scale },
            Err(_) => {
                let zeros = u32::try_from(scale.unsigned_abs()).ok()?;
                Self { digits: digits * power(zeros), scale: 0 }
            }
        })
    }

    pub(crate) fn zero() -> Self {
        Self { digits: BigInt::ZERO, scale: 0 }
    }

    pub(crate) fn is_negative(&self) -> bool {
        self.digits < BigInt::ZERO
    }

    /// With as many places behind the point as the one of both that has more, so that `1.10` and `0.10` are `1.20`.
    #[must_use]
    pub(crate) fn plus(&self, other: &Self) -> Self {
        let scale = self.scale.max(other.scale);
        Self { digits: self.at(scale) + other.at(scale), scale }
    }

    #[must_use]
    pub(crate) fn minus(&self, other: &Self) -> Self {
        self.plus(&Self { digits: -other.digits.clone(), scale: other.scale })
    }

    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        let scale = self.scale.max(other.scale);
        self.at(scale).cmp(&other.at(scale))
    }

    /// Appends the number as JSON, without an exponent.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        let text = self.digits.to_string();
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", &*text),
        };
        let scale = self.scale as usize;
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        out.extend_from_slice(sign.as_bytes());
        out.extend_from_slice(whole.as_bytes());
        if !fraction.is_empty() {
            out.push(b'.');
            out.extend_from_slice(fraction.as_bytes());
        }
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_to(&mut out);
        out
    }

    fn at(&self, scale: u32) -> BigInt {
        &self.digits * power(scale - self.scale)
    }
}

fn power(zeros: u32) -> BigInt {
    BigInt::from(10).pow(zeros)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(a: &str, b: &str) -> String {
        let parse = |text: &str| Decimal::parse(text.as_bytes()).unwrap();
        String::from_utf8(parse(a).plus(&parse(b)).to_json()).unwrap()
    }

    #[test]
    fn no_digit_is_lost() {
        assert_eq!(sum("0.1", "0.2"), "0.3");
        assert_eq!(sum("1.10", "0.1"), "1.20");
        assert_eq!(sum("12345678901234567890", "1"), "12345678901234567891");
        assert_eq!(sum("1e2", "1"), "101");
        assert_eq!(sum("1.5e-3", "-0.0015"), "0.0000");
        assert_eq!(sum("-0", "0"), "0");
        assert_eq!(sum("-1.25", "1"), "-0.25");
    }

    #[test]
    fn what_is_no_number_or_too_long_is_none() {
        for text in ["\"1\"", "null", "", "-", "[1]", "1e999999999", "0e-401"] {
            assert_eq!(Decimal::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Decimal::parse("1".repeat(DIGITS_MAX + 1).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn integers_add_as_integers_do(a: i64, b: i64) {
            prop_assert_eq!(sum(&a.to_string(), &b.to_string()), (i128::from(a) + i128::from(b)).to_string());
        }

        #[test]
        fn what_is_added_can_be_taken_away(a in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,9})?(e-?[0-9]{1,2})?", b in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,9})?") {
            let (a, b) = (Decimal::parse(a.as_bytes()).unwrap(), Decimal::parse(b.as_bytes()).unwrap());
            prop_assert_eq!(a.plus(&b).minus(&b).compare(&a), Ordering::Equal);
            let again = Decimal::parse(&a.to_json()).unwrap();
            prop_assert_eq!(again.compare(&a), Ordering::Equal);
        }
    }
}
