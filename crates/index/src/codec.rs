//! Pieces of stored payloads, as in the environment of documents (`docs/formats.md`).

use settle_database::RecordError;

/// The version that every record of indexes has for the present.
pub(crate) const VERSION: u8 = 1;

/// Writes a whole value: `fill` appends the payload.
pub(crate) fn sealed(key: &[u8], fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut value = settle_engine::value::begin(VERSION);
    fill(&mut value);
    settle_engine::value::seal(key, value)
}

/// Unsigned LEB128: seven bits a byte, the lowest first.
pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
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

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

/// Reads what the functions above wrote.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    record: &'static str,
}

impl<'a> Reader<'a> {
    /// Opens the value of `key`, which must have version 1, the only one so far.
    pub(crate) fn open(
        record: &'static str,
        key: &[u8],
        value: &'a [u8],
    ) -> Result<Self, RecordError> {
        let (version, rest) = settle_engine::value::open(key, value)?;
        if version == VERSION {
            Ok(Self { rest, record })
        } else {
            Err(RecordError::Version { record, version })
        }
    }

    pub(crate) fn over(record: &'static str, rest: &'a [u8]) -> Self {
        Self { rest, record }
    }

    pub(crate) fn malformed(&self, reason: &'static str) -> RecordError {
        RecordError::Malformed { record: self.record, reason }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> Result<u8, RecordError> {
        let (&byte, rest) = self.rest.split_first().ok_or_else(|| self.malformed("too short"))?;
        self.rest = rest;
        Ok(byte)
    }

    pub(crate) fn number(&mut self) -> Result<u64, RecordError> {
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

    pub(crate) fn count(&mut self) -> Result<usize, RecordError> {
        let number = self.number()?;
        usize::try_from(number).map_err(|_| self.malformed("a count is too large"))
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) =
            self.rest.split_at_checked(length).ok_or_else(|| self.malformed("too short"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], RecordError> {
        let length = self.count()?;
        self.take(length)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, RecordError> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed("a text is not UTF-8"))
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        Ok(self.take(N)?.try_into().expect("take returns what was asked for"))
    }

    pub(crate) fn remaining(&self) -> &'a [u8] {
        self.rest
    }

    /// Says that the record should be used up.
    pub(crate) fn end(self) -> Result<(), RecordError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed("too long")) }
    }
}
