//! The envelope of every stored value.
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0 | 1 | version of the record's encoding |
//! | 1 | 4 | CRC-32C of key, version and payload, little-endian |
//! | 5 | … | payload |
//!
//! The key takes part in the checksum, so that a page that lands in the wrong place is noticed too.

use thiserror::Error;

/// Bytes before the payload.
pub const HEADER_LENGTH: usize = 5;

/// A value under construction: room for the header, then whatever the caller appends.
pub fn begin(version: u8) -> Vec<u8> {
    let mut value = Vec::with_capacity(64);
    value.extend_from_slice(&[version, 0, 0, 0, 0]);
    value
}

/// Fills in the checksum of a value that [`begin`] started.
pub fn seal(key: &[u8], mut value: Vec<u8>) -> Vec<u8> {
    let sum = checksum(key, value[0], &value[HEADER_LENGTH..]);
    value[1..HEADER_LENGTH].copy_from_slice(&sum.to_le_bytes());
    value
}

/// The version and the payload of a stored value, once its checksum has been found right.
pub fn open<'a>(key: &[u8], value: &'a [u8]) -> Result<(u8, &'a [u8]), Damaged> {
    let damaged = || Damaged { key: key.to_vec() };
    let (header, payload) = value.split_at_checked(HEADER_LENGTH).ok_or_else(damaged)?;
    let stored = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
    if stored == checksum(key, header[0], payload) {
        Ok((header[0], payload))
    } else {
        Err(damaged())
    }
}

/// A stored value is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the stored value of key {} is damaged", key.escape_ascii())]
pub struct Damaged {
    pub key: Vec<u8>,
}

/// Bytes up to which the three parts are put together before they are summed: most records are short, and each
/// part that begins or ends between words costs as much as ten words.
const TOGETHER: usize = 256;

#[repr(align(8))]
struct Together([u8; TOGETHER]);

fn checksum(key: &[u8], version: u8, payload: &[u8]) -> u32 {
    let length = key.len() + 1 + payload.len();
    if length > TOGETHER {
        return checksum_of_parts(key, version, payload);
    }
    let mut all = Together([0; TOGETHER]);
    let (before, after) = all.0[..length].split_at_mut(key.len());
    before.copy_from_slice(key);
    after[0] = version;
    after[1..].copy_from_slice(payload);
    crc32c::crc32c(&all.0[..length])
}

fn checksum_of_parts(key: &[u8], version: u8, payload: &[u8]) -> u32 {
    let sum = crc32c::crc32c(key);
    let sum = crc32c::crc32c_append(sum, &[version]);
    crc32c::crc32c_append(sum, payload)
}

#[cfg(test)]
mod tests {
    use super::{Damaged, TOGETHER, begin, checksum, checksum_of_parts, open, seal};

    fn sealed(key: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut value = begin(3);
        value.extend_from_slice(payload);
        seal(key, value)
    }

    #[test]
    fn what_was_sealed_opens() {
        for payload in [&b""[..], b"a", &[7; 100_000]] {
            assert_eq!(open(b"k", &sealed(b"k", payload)), Ok((3, payload)));
        }
    }

    #[test]
    fn parts_and_the_whole_have_one_sum() {
        let payload = [0xA5; 2 * TOGETHER];
        for key in [&b""[..], b"k", &[7; 50], &[7; TOGETHER]] {
            for length in 0..payload.len() {
                let payload = &payload[..length];
                assert_eq!(checksum(key, 3, payload), checksum_of_parts(key, 3, payload));
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let value = sealed(b"key", b"some payload");
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(b"key", &flipped), Err(Damaged { key: b"key".to_vec() }));
        }
        for length in 0..value.len() {
            assert!(open(b"key", &value[..length]).is_err());
        }
    }

    #[test]
    fn a_value_under_another_key_is_found() {
        assert!(open(b"yek", &sealed(b"key", b"payload")).is_err());
    }
}
