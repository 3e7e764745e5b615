//! Pieces that keys are made of, encoded so that the order of the bytes is the order of the values.

use std::borrow::Cow;

/// Bytes. Four kibibyte pages leave room for this much in the embedded engine; the longest
/// document id, escaped, fits with all that stands round it.
pub const LENGTH_MAX: usize = 1_900;

/// A number in as few bytes as it needs: one byte that says how many follow, then big-endian.
pub fn push_number(key: &mut Vec<u8>, number: u64) {
    let bytes = number.to_be_bytes();
    let skip = usize::try_from(number.leading_zeros() / 8).expect("at most 8");
    key.push(u8::try_from(8 - skip).expect("at most 8"));
    key.extend_from_slice(&bytes[skip..]);
}

/// The inverse of [`push_number`]: the number and the rest, or `None` where there is none.
pub fn take_number(key: &[u8]) -> Option<(u64, &[u8])> {
    let (&length, rest) = key.split_first()?;
    let length = usize::from(length);
    if length > 8 || rest.len() < length {
        return None;
    }
    let (digits, rest) = rest.split_at(length);
    let number = digits.iter().fold(0, |sum, &digit| sum << 8 | u64::from(digit));
    Some((number, rest))
}

/// Text or bytes that something follows: each `00` becomes `00 FF`, and `00 01` ends it, so that a
/// shorter text sorts before its extensions.
pub fn push_bytes(key: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes;
    while let Some(zero) = rest.iter().position(|&byte| byte == 0) {
        key.extend_from_slice(&rest[..=zero]);
        key.push(0xFF);
        rest = &rest[zero + 1..];
    }
    key.extend_from_slice(rest);
    key.extend_from_slice(&[0, 1]);
}

/// The inverse of [`push_bytes`]: the bytes, borrowed where none is zero, and the rest; `None` where the end
/// is missing.
pub fn take_bytes(key: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut bytes = Cow::Borrowed(&[][..]);
    let mut rest = key;
    loop {
        let zero = rest.iter().position(|&byte| byte == 0)?;
        let mark = *rest.get(zero + 1)?;
        let part = &rest[..zero + usize::from(mark == 0xFF)];
        if bytes.is_empty() {
            bytes = Cow::Borrowed(part);
        } else {
            bytes.to_mut().extend_from_slice(part);
        }
        rest = &rest[zero + 2..];
        match mark {
            0xFF => {}
            1 => return Some((bytes, rest)),
            _ => return None,
        }
    }
}

/// The least key that is greater than every key beginning with `prefix`; `None` when there is none.
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xFF {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{after_prefix, push_bytes, push_number, take_bytes, take_number};

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0), Just(1), Just(0xFF), any::<u8>()];
        proptest::collection::vec(byte, 0..12)
    }

    fn number_key(number: u64) -> Vec<u8> {
        let mut key = Vec::new();
        push_number(&mut key, number);
        key
    }

    fn bytes_key(bytes: &[u8]) -> Vec<u8> {
        let mut key = Vec::new();
        push_bytes(&mut key, bytes);
        key
    }

    #[test]
    fn numbers_take_as_many_bytes_as_they_need() {
        for (number, key) in [
            (0, &[0][..]),
            (1, &[1, 1]),
            (255, &[1, 255]),
            (256, &[2, 1, 0]),
            (u64::MAX, &[8, 255, 255, 255, 255, 255, 255, 255, 255]),
        ] {
            assert_eq!(number_key(number), key);
        }
    }

    #[test]
    fn what_is_no_number_and_no_bytes_is_not_taken() {
        assert_eq!(take_number(&[]), None);
        assert_eq!(take_number(&[2, 1]), None);
        assert_eq!(take_number(&[9, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(take_bytes(b"a"), None);
        assert_eq!(take_bytes(b"a\0"), None);
        assert_eq!(take_bytes(b"a\0\x02"), None);
    }

    proptest! {
        #[test]
        fn numbers_order_as_their_keys(left: u64, right: u64, shift in 0_u32..64) {
            let (left, right) = (left >> shift, right >> shift);
            prop_assert_eq!(left.cmp(&right), number_key(left).cmp(&number_key(right)));
        }

        #[test]
        fn bytes_order_as_their_keys_whatever_follows(
            left in bytes(), right in bytes(), after_left in bytes(), after_right in bytes(),
        ) {
            prop_assume!(left != right);
            let left_key = [bytes_key(&left), after_left].concat();
            let right_key = [bytes_key(&right), after_right].concat();
            prop_assert_eq!(left.cmp(&right), left_key.cmp(&right_key));
        }

        #[test]
        fn what_is_pushed_is_taken(number: u64, shift in 0_u32..64, text in bytes(), rest in bytes()) {
            let number = number >> shift;
            let mut key = number_key(number);
            push_bytes(&mut key, &text);
            key.extend_from_slice(&rest);
            let (taken, after) = take_number(&key).unwrap();
            prop_assert_eq!(taken, number);
            prop_assert_eq!(take_bytes(after), Some((text.into(), rest.as_slice())));
        }

        #[test]
        fn the_end_of_a_prefix_is_above_all_that_begin_with_it(prefix in bytes(), rest in bytes(), other in bytes()) {
            let extended = [prefix.as_slice(), &rest].concat();
            match after_prefix(&prefix) {
                Some(end) => {
                    prop_assert!(extended < end);
                    prop_assert!(other < prefix || other >= end || other.starts_with(&prefix));
                }
                None => prop_assert!(prefix.iter().all(|&byte| byte == 0xFF)),
            }
        }
    }
}
