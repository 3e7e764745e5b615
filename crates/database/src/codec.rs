//! The pieces that stored records are written with, those of indexes too.
//!
//! Numbers of one to ten bytes, and bytes behind their length. `settle_engine::value` puts version and checksum round the
//! whole.

use settle_engine::value::Damaged;
use settle_model::revision::{Digest, RevId};
use thiserror::Error;

/// A stored record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The checksum is right, so another version of the program wrote it, or ours has a fault.
    #[error("the stored {record} record cannot be understood: {reason}")]
    Malformed { record: &'static str, reason: &'static str },
    #[error("the stored {record} record has version {version}, which this program does not know")]
    Version { record: &'static str, version: u8 },
}

/// Unsigned LEB128: seven bits a byte, the lowest first.
pub fn put_number(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = number.to_le_bytes()[0];
        number >>= 7;
        if number == 0 {
            out.push(low & 0x7F);
            return;
        }
        out.push(low | 0x80);
    }
}

/// How many bytes [`put_number`] writes.
pub(crate) fn number_length(number: u64) -> u64 {
    u64::from((u64::BITS - (number | 1).leading_zeros()).div_ceil(7))
}

/// The length, then the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

/// A digest: its length, then its bytes. Sixteen bytes are CouchDB's md5; a client's own text of
/// sixteen bytes has 128 added to its length, so that the two kinds stay apart.
pub(crate) fn put_digest(out: &mut Vec<u8>, digest: &Digest) {
    let bytes = digest.bytes();
    let mark = if digest.is_md5() { 0 } else { 0x80 };
    let length = u8::try_from(bytes.len()).expect("a digest has at most 64 bytes");
    out.push(length | mark);
    out.extend_from_slice(bytes);
}

pub(crate) fn put_rev(out: &mut Vec<u8>, rev: &RevId) {
    put_number(out, u64::from(rev.generation()));
    put_digest(out, rev.digest());
}

/// Reads what the functions above wrote.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
    record: &'static str,
}

impl<'a> Reader<'a> {
    /// Opens the value of `key`, which must have version 1, the only one of most records.
    pub fn open(record: &'static str, key: &[u8], value: &'a [u8]) -> Result<Self, RecordError> {
        Ok(Self::open_any(record, key, value, 1)?.1)
    }

    /// Opens the value of a record that has had several versions; which one it is, too.
    pub(crate) fn open_any(
        record: &'static str,
        key: &[u8],
        value: &'a [u8],
        newest: u8,
    ) -> Result<(u8, Self), RecordError> {
        let (version, rest) = settle_engine::value::open(key, value)?;
        if (1..=newest).contains(&version) {
            Ok((version, Self { rest, record }))
        } else {
            Err(RecordError::Version { record, version })
        }
    }

    /// Reads a payload, or a part of one, that has been opened.
    pub fn over(record: &'static str, rest: &'a [u8]) -> Self {
        Self { rest, record }
    }

    /// The error for what is written as it should be, and means nothing.
    pub fn malformed(&self, reason: &'static str) -> RecordError {
        RecordError::Malformed { record: self.record, reason }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn byte(&mut self) -> Result<u8, RecordError> {
        let (&byte, rest) = self.rest.split_first().ok_or_else(|| self.malformed("too short"))?;
        self.rest = rest;
        Ok(byte)
    }

    pub fn number(&mut self) -> Result<u64, RecordError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.malformed("a number is too long"))
    }

    pub fn count(&mut self) -> Result<usize, RecordError> {
        let number = self.number()?;
        usize::try_from(number).map_err(|_| self.malformed("a count is too large"))
    }

    pub(crate) fn small(&mut self) -> Result<u32, RecordError> {
        let number = self.number()?;
        u32::try_from(number).map_err(|_| self.malformed("a number is too large"))
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) =
            self.rest.split_at_checked(length).ok_or_else(|| self.malformed("too short"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], RecordError> {
        let length = self.count()?;
        self.take(length)
    }

    pub fn text(&mut self) -> Result<&'a str, RecordError> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed("a text is not UTF-8"))
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        Ok(self.take(N)?.try_into().expect("take returns what was asked for"))
    }

    pub(crate) fn digest(&mut self) -> Result<Digest, RecordError> {
        let mark = self.byte()?;
        let bytes = self.take(usize::from(mark & 0x7F))?;
        Digest::from_stored(bytes, mark == 16).ok_or_else(|| self.malformed("not a digest"))
    }

    pub(crate) fn rev(&mut self) -> Result<RevId, RecordError> {
        let generation = self.small()?;
        let digest = self.digest()?;
        RevId::new(generation, digest).ok_or_else(|| self.malformed("generation 0"))
    }

    pub fn remaining(&self) -> &'a [u8] {
        self.rest
    }

    /// Says that the record should be used up.
    pub fn end(self) -> Result<(), RecordError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed("too long")) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Reader, number_length, put_number};

    proptest! {
        #[test]
        fn a_number_is_read_as_it_was_written(number: u64, shift in 0_u32..64) {
            let number = number >> shift;
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            prop_assert_eq!(bytes.len() as u64, number_length(number));
            prop_assert_eq!(Reader::over("test", &bytes).number(), Ok(number));
        }
    }
}
