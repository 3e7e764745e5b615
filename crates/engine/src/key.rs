//! Pieces that keys are made of, encoded so that the order of the bytes is the order of the values.

/// Bytes. Four kibibyte pages leave room for this much in the embedded engine; a document id of
/// 1,000 bytes, escaped in the worst case, does not fit twice, but once with all that goes round it.
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
    for &byte in bytes {
        key.push(byte);
        if byte == 0 {
            key.push(0xFF);
        }
    }
    key.extend_from_slice(&[0, 1]);
}

/// The inverse of [`push_bytes`]: the bytes and the rest, or `None` where the end is missing.
pub fn take_bytes(key: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut bytes = Vec::new();
    let mut rest = key;
    loop {
        let (&byte, after) = rest.split_first()?;
        if byte != 0 {
            bytes.push(byte);
            rest = after;
            continue;
        }
        let (&mark, after) = after.split_first()?;
        match mark {
            0xFF => bytes.push(0),
            1 => return Some((bytes, after)),
            _ => return None,
        }
        rest = after;
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
