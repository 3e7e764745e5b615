//! Numbers that are added without rounding.
//!
//! A double is an integer times a power of two, and so is every sum and product of doubles. Such a
//! number is kept as just that, so adding is associative and the order of rows does not show. Nearly
//! all sums fit 128 bits; the others are as long as they must be, which for doubles is some 2,200 bits
//! and their squares twice that.
//!
//! An exact number remembers whether a double went into it. If not, it is an integer and shown with
//! all its digits, as CouchDB does; otherwise it is rounded to the nearest double and shown as
//! JavaScript shows it.

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};

use super::bytes::{Reader, push_bytes, push_varint};

/// `mantissa` × 2^`exponent`. In the shortest form only while it is being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exact {
    /// A number with a fraction or an exponent went into it.
    double: bool,
    exponent: i32,
    mantissa: Mantissa,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Mantissa {
    Short(i128),
    Long(Box<BigInt>),
}

use Mantissa::{Long, Short};

const DOUBLE_FRACTION_BITS: u32 = 52;
const DOUBLE_EXPONENT_BIAS: i32 = 1075;
/// Bits of a long mantissa that rounding looks at one by one; the rest only as a whole.
const ROUNDED_BITS: u64 = 120;

impl Exact {
    pub const ZERO: Self = Self::integer(0);

    pub const fn integer(value: i128) -> Self {
        Self { double: false, exponent: 0, mantissa: Short(value) }
    }

    /// The number that `json` is; `None` of anything else, and of a double that is out of range.
    pub fn parse(json: &[u8]) -> Option<Self> {
        if !matches!(json.first()?, b'-' | b'0'..=b'9') {
            return None;
        }
        let text = str::from_utf8(json).ok()?;
        if json.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
            return Self::double(text.parse().ok()?);
        }
        match text.parse() {
            Ok(value) => Some(Self::integer(value)),
            Err(_) => {
                let value = text.parse::<BigInt>().ok()?;
                Some(Self { double: false, exponent: 0, mantissa: Long(Box::new(value)) })
            }
        }
    }

    /// `None` of infinities and what is not a number.
    pub fn double(value: f64) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        let bits = value.to_bits();
        let fraction = i128::from(bits & ((1 << DOUBLE_FRACTION_BITS) - 1));
        let biased = i32::try_from(bits >> DOUBLE_FRACTION_BITS & 0x7FF).expect("11 bits");
        let (mantissa, exponent) = if biased == 0 {
            (fraction, 1 - DOUBLE_EXPONENT_BIAS)
        } else {
            (fraction | 1 << DOUBLE_FRACTION_BITS, biased - DOUBLE_EXPONENT_BIAS)
        };
        let mantissa = if bits >> 63 == 1 { -mantissa } else { mantissa };
        let mut number = Self { double: true, exponent, mantissa: Short(mantissa) };
        number.shorten();
        Some(number)
    }

    pub fn add(&mut self, other: &Self) {
        self.double |= other.double;
        if other.is_zero() {
            return;
        }
        if self.is_zero() {
            self.exponent = other.exponent;
            self.mantissa = other.mantissa.clone();
            return;
        }
        let exponent = self.exponent.min(other.exponent);
        let (one, two) = (self.shift_to(exponent), other.shift_to(exponent));
        self.mantissa = match (self.mantissa.shifted(one), other.mantissa.shifted(two)) {
            (Short(one), Short(two)) => match one.checked_add(two) {
                Some(sum) => Short(sum),
                None => Long(Box::new(BigInt::from(one) + two)),
            },
            (one, two) => Long(Box::new(one.into_long() + two.into_long())),
        };
        self.exponent = exponent;
    }

    #[must_use]
    pub fn square(&self) -> Self {
        let mantissa = match &self.mantissa {
            Short(value) => match value.checked_mul(*value) {
                Some(square) => Short(square),
                None => Long(Box::new(BigInt::from(*value) * value)),
            },
            Long(value) => Long(Box::new(&**value * &**value)),
        };
        Self { double: self.double, exponent: self.exponent * 2, mantissa }
    }

    pub fn compare(&self, other: &Self) -> Ordering {
        if self.is_zero() || other.is_zero() {
            return self.sign().cmp(&other.sign());
        }
        let exponent = self.exponent.min(other.exponent);
        let one = self.mantissa.shifted(self.shift_to(exponent));
        let two = other.mantissa.shifted(other.shift_to(exponent));
        match (one, two) {
            (Short(one), Short(two)) => one.cmp(&two),
            (one, two) => one.into_long().cmp(&two.into_long()),
        }
    }

    /// As JSON. `None` where doubles went in and no double is as great.
    pub fn to_json(&self) -> Option<String> {
        if self.double {
            let value = self.to_double();
            return value
                .is_finite()
                .then(|| ryu_js::Buffer::new().format_finite(value).to_owned());
        }
        Some(match self.mantissa.shifted(self.shift_to(0)) {
            Short(value) => value.to_string(),
            Long(value) => value.to_string(),
        })
    }

    /// The nearest double.
    pub fn to_double(&self) -> f64 {
        let (mantissa, exponent) = match &self.mantissa {
            Short(value) => (*value, self.exponent),
            Long(value) => {
                let dropped = value.bits().saturating_sub(ROUNDED_BITS);
                let top = value.magnitude() >> dropped;
                // Below the bits that stay, all that matters for rounding is whether there is anything.
                let rest = value.magnitude().trailing_zeros().is_some_and(|zeros| zeros < dropped);
                let top = i128::try_from(top).expect("120 bits") | i128::from(rest);
                let dropped = i32::try_from(dropped).expect("a number has thousands of bits");
                let negative = value.sign() == Sign::Minus;
                (if negative { -top } else { top }, self.exponent + dropped)
            }
        };
        #[expect(clippy::cast_precision_loss, reason = "this is the rounding that is asked for")]
        let mut value = mantissa as f64;
        let mut exponent = exponent;
        while exponent != 0 && value != 0.0 && value.is_finite() {
            let step = exponent.clamp(-1000, 1000);
            value *= 2_f64.powi(step);
            exponent -= step;
        }
        value
    }

    /// Whether a number with a fraction or an exponent went into it.
    pub fn is_double(&self) -> bool {
        self.double
    }

    fn is_zero(&self) -> bool {
        self.sign() == 0
    }

    fn sign(&self) -> i128 {
        match &self.mantissa {
            Short(value) => value.signum(),
            Long(value) => match value.sign() {
                Sign::Minus => -1,
                Sign::NoSign => 0,
                Sign::Plus => 1,
            },
        }
    }

    /// By how many bits the mantissa moves up where the exponent goes down to `exponent`.
    fn shift_to(&self, exponent: i32) -> u32 {
        u32::try_from(self.exponent - exponent).expect("goes down")
    }

    /// Equal numbers get equal fields.
    fn shorten(&mut self) {
        if let Long(value) = &self.mantissa
            && let Ok(value) = i128::try_from(&**value)
        {
            self.mantissa = Short(value);
        }
        let zeros = match &self.mantissa {
            Short(0) => {
                self.exponent = 0;
                return;
            }
            Short(value) => u64::from(value.trailing_zeros()),
            Long(value) => value.trailing_zeros().unwrap_or(0),
        };
        match &mut self.mantissa {
            Short(value) => *value >>= zeros,
            Long(value) => **value >>= zeros,
        }
        self.exponent += i32::try_from(zeros).expect("a number has thousands of bits");
        if let Long(value) = &self.mantissa
            && let Ok(value) = i128::try_from(&**value)
        {
            self.mantissa = Short(value);
        }
    }

    /// Whether a double went in, exponent, mantissa; equal numbers give equal bytes.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut short = self.clone();
        short.shorten();
        let zigzag = (short.exponent << 1) ^ (short.exponent >> 31);
        push_varint(out, u64::from(zigzag.cast_unsigned()) << 1 | u64::from(short.double));
        match &short.mantissa {
            Short(value) => {
                let bytes = value.to_le_bytes();
                let sign = if *value < 0 { 0xFF } else { 0 };
                let mut length = bytes.len();
                while length > 1
                    && bytes[length - 1] == sign
                    && (bytes[length - 2] ^ sign) & 0x80 == 0
                {
                    length -= 1;
                }
                push_bytes(out, &bytes[..length]);
            }
            Long(value) => push_bytes(out, &value.to_signed_bytes_le()),
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let head = reader.varint()?;
        let zigzag = u32::try_from(head >> 1).ok()?;
        let exponent = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        if !(-10_000..=10_000).contains(&exponent) {
            return None;
        }
        let bytes = reader.bytes()?;
        let mantissa = if let (1..=16, Some(last)) = (bytes.len(), bytes.last()) {
            let mut whole = [if last & 0x80 == 0 { 0 } else { 0xFF }; 16];
            whole[..bytes.len()].copy_from_slice(bytes);
            Short(i128::from_le_bytes(whole))
        } else {
            Long(Box::new(BigInt::from_signed_bytes_le(bytes)))
        };
        Some(Self { double: head & 1 == 1, exponent, mantissa })
    }
}

impl Mantissa {
    fn shifted(&self, bits: u32) -> Self {
        match self {
            Short(0) => Short(0),
            Short(value) if value.unsigned_abs().leading_zeros() > bits + 1 => Short(value << bits),
            Short(value) => Long(Box::new(BigInt::from(*value) << bits)),
            Long(value) => Long(Box::new(&**value << bits)),
        }
    }

    fn into_long(self) -> BigInt {
        match self {
            Short(value) => BigInt::from(value),
            Long(value) => *value,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(json: &str) -> Exact {
        Exact::parse(json.as_bytes()).unwrap()
    }

    fn sum(numbers: &[&str]) -> String {
        let mut sum = Exact::ZERO;
        for json in numbers {
            sum.add(&number(json));
        }
        sum.to_json().unwrap()
    }

    #[test]
    fn integers_keep_all_digits() {
        assert_eq!(sum(&["9007199254740993", "1"]), "9007199254740994");
        assert_eq!(
            sum(&["170141183460469231731687303715884105727", "1"]),
            "170141183460469231731687303715884105728"
        );
        assert_eq!(sum(&[&"9".repeat(200), "1"]), format!("1{}", "0".repeat(200)));
        assert_eq!(sum(&["-5", "5"]), "0");
        assert_eq!(sum(&["-0"]), "0");
    }

    #[test]
    fn doubles_are_rounded_once_and_shown_as_javascript_shows_them() {
        assert_eq!(sum(&["0.1", "0.2"]), "0.30000000000000004");
        assert_eq!(sum(&["0.1"; 10]), "1"); // adding one after the other gives 0.9999999999999999
        assert_eq!(sum(&["1.5", "1.5"]), "3");
        assert_eq!(sum(&["1.0"]), "1");
        assert_eq!(sum(&["1e300", "1", "-1e300"]), "1");
        assert_eq!(sum(&["1e21"]), "1e+21");
        assert_eq!(sum(&["5e-324"]), "5e-324");
        assert_eq!(sum(&["-0.0"]), "0");
        assert_eq!(sum(&["9007199254740993", "0.0"]), "9007199254740992");
    }

    #[test]
    fn a_sum_beyond_all_doubles_comes_back_from_there() {
        let mut sum = number("1.7e308");
        sum.add(&number("1.7e308"));
        assert_eq!(sum.to_json(), None);
        sum.add(&number("-1.7e308"));
        assert_eq!(sum.to_json().unwrap(), "1.7e+308");
    }

    #[test]
    fn what_is_no_number_is_not_taken() {
        for json in ["", "\"1\"", "null", "[1]", "1e400", "inf", "-", "1x"] {
            assert_eq!(Exact::parse(json.as_bytes()), None, "{json}");
        }
    }

    fn written(number: &Exact) -> Vec<u8> {
        let mut out = Vec::new();
        number.write(&mut out);
        out
    }

    fn any_number() -> impl Strategy<Value = Exact> {
        prop_oneof![
            any::<f64>().prop_filter_map("finite", Exact::double),
            (-10_000..10_000_i32).prop_map(|it| Exact::double(f64::from(it) / 100.0).unwrap()),
            any::<i64>().prop_map(|it| Exact::integer(it.into())),
            any::<i128>().prop_map(Exact::integer),
            "-?[1-9][0-9]{0,120}".prop_map(|it| number(&it)),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(one in any_number(), two in any_number()) {
            let mut sum = one.square();
            sum.add(&two);
            let bytes = written(&sum);
            let mut reader = Reader::new(&bytes);
            let read = Exact::read(&mut reader).unwrap();
            prop_assert!(reader.is_at_end());
            prop_assert_eq!(written(&read), bytes);
            prop_assert_eq!(read.compare(&sum), Ordering::Equal);
            prop_assert_eq!(read.to_json(), sum.to_json());
        }

        #[test]
        fn sums_do_not_depend_on_their_order(numbers in prop::collection::vec(any_number(), 0..12)) {
            let (mut up, mut down) = (Exact::ZERO, Exact::ZERO);
            numbers.iter().for_each(|it| up.add(it));
            numbers.iter().rev().for_each(|it| down.add(it));
            prop_assert_eq!(written(&up), written(&down));
        }

        #[test]
        fn two_doubles_add_and_compare_as_the_machine_does_it(a in any::<f64>(), b in any::<f64>()) {
            prop_assume!(a.is_finite() && b.is_finite() && (a + b).is_finite());
            let (mut one, two) = (Exact::double(a).unwrap(), Exact::double(b).unwrap());
            prop_assert_eq!(Some(one.compare(&two)), a.partial_cmp(&b));
            one.add(&two);
            prop_assert_eq!(one.to_double().abs(), (a + b).abs());
            let square = Exact::double(a).unwrap().square().to_double();
            if a * a > f64::MIN_POSITIVE {
                prop_assert_eq!(square, a * a);
            }
        }
    }
}
