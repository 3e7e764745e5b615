//! The second half of a revision's name.

use std::{cmp::Ordering, fmt, str::FromStr, sync::Arc};

use super::RevisionError;
use crate::limits::DIGEST_TEXT_BYTES_MAX;

/// An md5 sum, or up to 64 visible ASCII characters other than `"` and `\`; CouchDB's clients also
/// send none at all (`1-`).
///
/// So it can stand in an `ETag` and in a JSON string as it is. Ordered by its bytes, those of an md5
/// sum being its 16 raw bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Digest(Kind);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Kind {
    Md5([u8; 16]),
    Text(Arc<str>),
}

impl Digest {
    pub fn md5(sum: [u8; 16]) -> Self {
        Self(Kind::Md5(sum))
    }

    pub fn is_md5(&self) -> bool {
        match self.0 {
            Kind::Md5(_) => true,
            Kind::Text(_) => false,
        }
    }

    /// What digests are ordered by and stored as.
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Kind::Md5(sum) => sum,
            Kind::Text(text) => text.as_bytes(),
        }
    }

    /// The inverse of [`Digest::bytes`] and [`Digest::is_md5`]; `None` for what no digest can be.
    pub fn from_stored(bytes: &[u8], is_md5: bool) -> Option<Self> {
        if is_md5 {
            return Some(Self::md5(bytes.try_into().ok()?));
        }
        let text = str::from_utf8(bytes).ok()?;
        is_text(text).then(|| Self(Kind::Text(text.into())))
    }

    /// Appends the text: 32 lower-case hex digits for an md5 sum.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Kind::Md5(sum) => out.extend_from_slice(&hex(sum)),
            Kind::Text(text) => out.extend_from_slice(text.as_bytes()),
        }
    }
}

impl FromStr for Digest {
    type Err = RevisionError;

    fn from_str(text: &str) -> Result<Self, RevisionError> {
        if let Ok(digits) = text.as_bytes().try_into() {
            return unhex(digits).map(Self::md5).ok_or(RevisionError::NotARevision);
        }
        if is_text(text) {
            return Ok(Self(Kind::Text(text.into())));
        }
        Err(RevisionError::NotARevision)
    }
}

/// 32 characters are taken for an md5 sum, so they are never a text.
fn is_text(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    text.len() <= DIGEST_TEXT_BYTES_MAX && text.len() != 32 && text.bytes().all(allowed)
}

/// Two characters for each byte.
const HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
};

/// The value of each hex digit of either case, [`NOT_HEX`] for every other byte.
const UNHEX: [u8; 256] = {
    let mut table = [NOT_HEX; 256];
    let mut value = 0;
    while value < 16 {
        let digit = HEX[value as usize][1];
        table[digit as usize] = value;
        table[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    table
};

const NOT_HEX: u8 = 0xFF;

fn hex(sum: &[u8; 16]) -> [u8; 32] {
    let mut text = [0; 32];
    for (pair, &byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(sum) {
        *pair = HEX[usize::from(byte)];
    }
    text
}

fn unhex(text: &[u8; 32]) -> Option<[u8; 16]> {
    let mut sum = [0; 16];
    let mut seen = 0;
    for (byte, pair) in sum.iter_mut().zip(text.as_chunks::<2>().0) {
        let (high, low) = (UNHEX[usize::from(pair[0])], UNHEX[usize::from(pair[1])]);
        seen |= high | low;
        *byte = high << 4 | low & 15;
    }
    (seen != NOT_HEX).then_some(sum)
}

impl Ord for Digest {
    fn cmp(&self, other: &Self) -> Ordering {
        // A text of 16 bytes may hold the bytes of a sum; it is greater, so that only equals tie.
        self.bytes().cmp(other.bytes()).then_with(|| other.is_md5().cmp(&self.is_md5()))
    }
}

impl PartialOrd for Digest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Md5(sum) => f.write_str(str::from_utf8(&hex(sum)).expect("hex digits are ASCII")),
            Kind::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
