//! Bytes of a message: a version, a kind, and fields with their lengths before them.
//!
//! | bytes | meaning |
//! |---|---|
//! | 4 | length of what follows, little endian |
//! | 1 | version of this protocol, 1 |
//! | 1 | kind of message |
//! | … | its fields, in [`message`](crate::message) |
//!
//! Both ends are the same binary, so versions differ only when one was replaced while it ran. Nothing
//! here is trusted: a length is checked before it is used, and a worker that sends nonsense is killed.

use std::str;

use thiserror::Error;

use crate::limits;

/// The first byte of each message.
pub(crate) const VERSION: u8 = 1;

/// Bytes of the length in front of a message.
pub(crate) const LENGTH_BYTES: usize = 4;

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    #[error("the message ends too early")]
    Short,
    #[error("the message has {0} bytes too many")]
    Long(usize),
    #[error("the message is of version {0}")]
    Version(u8),
    #[error("{what} cannot be {value}")]
    Unknown { what: &'static str, value: u8 },
    #[error("a text is not UTF-8")]
    Text,
    #[error("a list has {0} entries")]
    Entries(usize),
    #[error("a message of {0} bytes")]
    Size(usize),
}

/// How many bytes follow this length.
pub(crate) fn body_length(length: [u8; LENGTH_BYTES]) -> Result<usize, FrameError> {
    let length = u32::from_le_bytes(length) as usize;
    if length > limits::FRAME_BYTES_MAX { Err(FrameError::Size(length)) } else { Ok(length) }
}

/// Writes one message.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(kind: u8) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&[0; LENGTH_BYTES]);
        bytes.extend_from_slice(&[VERSION, kind]);
        Self { bytes }
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn flag(&mut self, value: bool) {
        self.bytes.push(u8::from(value));
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A count of entries or bytes.
    pub(crate) fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).expect("messages are below 4 GiB"));
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn optional(&mut self, bytes: Option<&[u8]>) {
        self.flag(bytes.is_some());
        if let Some(bytes) = bytes {
            self.bytes(bytes);
        }
    }

    /// The whole message with its length, or its size if that is over the limit.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, FrameError> {
        let length = self.bytes.len() - LENGTH_BYTES;
        if length > limits::FRAME_BYTES_MAX {
            return Err(FrameError::Size(length));
        }
        let length = u32::try_from(length).expect("the limit is below 4 GiB");
        self.bytes[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
        Ok(self.bytes)
    }
}

/// Reads one message without its length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// The fields, and the kind of message.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<(Self, u8), FrameError> {
        let mut reader = Self { bytes, at: 0 };
        let version = reader.u8()?;
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        let kind = reader.u8()?;
        Ok((reader, kind))
    }

    /// Fields alone.
    pub(crate) fn of_fields(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Where the next field begins in the message.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn raw(&mut self, length: usize) -> Result<&'a [u8], FrameError> {
        let end = self.at.checked_add(length).ok_or(FrameError::Short)?;
        let bytes = self.bytes.get(self.at..end).ok_or(FrameError::Short)?;
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let bytes = self.raw(N)?;
        Ok(bytes.try_into().expect("as many were read"))
    }

    pub(crate) fn digest(&mut self) -> Result<[u8; 16], FrameError> {
        self.array()
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FrameError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn flag(&mut self) -> Result<bool, FrameError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(FrameError::Unknown { what: "a flag", value }),
        }
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FrameError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FrameError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A count of entries, of which each takes at least `bytes_min` bytes.
    pub(crate) fn count(&mut self, bytes_min: usize) -> Result<usize, FrameError> {
        let count = self.u32()? as usize;
        if count > limits::LIST_ENTRIES_MAX {
            return Err(FrameError::Entries(count));
        }
        if count * bytes_min > self.bytes.len() - self.at {
            return Err(FrameError::Short);
        }
        Ok(count)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], FrameError> {
        let length = self.u32()? as usize;
        self.raw(length)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, FrameError> {
        str::from_utf8(self.bytes()?).map_err(|_| FrameError::Text)
    }

    pub(crate) fn optional(&mut self) -> Result<Option<&'a [u8]>, FrameError> {
        Ok(if self.flag()? { Some(self.bytes()?) } else { None })
    }

    /// A list whose entries take at least `bytes_min` bytes each.
    pub(crate) fn list<T>(
        &mut self,
        bytes_min: usize,
        mut entry: impl FnMut(&mut Self) -> Result<T, FrameError>,
    ) -> Result<Vec<T>, FrameError> {
        let count = self.count(bytes_min)?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push(entry(self)?);
        }
        Ok(entries)
    }

    pub(crate) fn end(&self) -> Result<(), FrameError> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => Err(FrameError::Long(left)),
        }
    }
}
