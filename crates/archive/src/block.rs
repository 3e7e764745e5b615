//! The file, block by block.
//!
//! A block is two frames of zstd. The first is one that `zstd -d` skips, and says what the second is; the second
//! holds whole lines, compressed. Numbers are little-endian.
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0 | 4 | `5D 2A 4D 18`: a frame to be skipped |
//! | 4 | 4 | 32: bytes of that frame that follow |
//! | 8 | 7 | `settle` and a zero |
//! | 15 | 1 | version of the format: 1 |
//! | 16 | 8 | number of the block, from 0 |
//! | 24 | 4 | bytes of the second frame |
//! | 28 | 4 | bytes of the lines in it |
//! | 32 | 4 | CRC-32C of the second frame |
//! | 36 | 4 | CRC-32C of the 36 bytes before |
//!
//! Every byte of the file belongs to one of the two checksums, so none can change unnoticed; the numbers show
//! blocks that are missing or have changed places. That the last block is there, the last line shows.
//!
//! Source: RFC 8878, sections 3.1.1 and 3.1.2.

use std::{fmt, io};

use bytes::{Buf as _, BytesMut};
use thiserror::Error;

use crate::limits::{BLOCK_BYTES, BLOCK_BYTES_MAX, COMPRESSION_LEVEL, PACKED_BYTES_MAX};

const HEADER_BYTES: usize = 40;
const MAGIC: [u8; 4] = [0x5D, 0x2A, 0x4D, 0x18];
const NAME: [u8; 7] = *b"settle\0";
const VERSION: u8 = 1;

/// Something is wrong with the bytes of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{flaw}, at byte {offset} (block {block}){}", Behind(.behind.as_deref()))]
pub struct Damage {
    /// Of the block's first byte.
    pub offset: u64,
    /// From 0.
    pub block: u64,
    /// What stood last in the block before.
    pub behind: Option<String>,
    pub flaw: Flaw,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Flaw {
    #[error("this is no archive of Settle")]
    NoArchive,
    #[error("this is an archive of a later form, {version}; this program reads {VERSION}")]
    Version { version: u8 },
    #[error("the beginning of a block is damaged")]
    Header,
    #[error("a block is damaged")]
    Content,
    #[error("a block cannot be unpacked")]
    Packing,
    #[error("a block is not where it should be: it has the number {number}")]
    Number { number: u64 },
    #[error("the archive breaks off")]
    Cut,
    #[error("something stands behind the end of the archive")]
    Trailing,
}

struct Behind<'a>(Option<&'a str>);

impl fmt::Display for Behind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |behind| write!(f, ", behind {behind}"))
    }
}

/// Gathers lines until they are a block.
#[derive(Debug, Default)]
pub struct Packer {
    lines: Vec<u8>,
    number: u64,
}

impl Packer {
    /// Where the next lines go, each with its newline.
    pub fn lines(&mut self) -> &mut Vec<u8> {
        &mut self.lines
    }

    pub fn is_full(&self) -> bool {
        self.lines.len() >= BLOCK_BYTES
    }

    /// The lines so far as a block.
    pub fn pack(&mut self) -> io::Result<Vec<u8>> {
        let bound = zstd::zstd_safe::compress_bound(self.lines.len());
        let mut block = vec![0; HEADER_BYTES];
        block.reserve_exact(bound);
        let mut compressor = zstd::bulk::Compressor::new(COMPRESSION_LEVEL)?;
        // So that `zstd -d` notices damage too.
        compressor.include_checksum(true)?;
        block.extend_from_slice(&compressor.compress(&self.lines)?);
        let packed = &block[HEADER_BYTES..];
        let header = Header {
            number: self.number,
            packed: u32::try_from(packed.len()).map_err(io::Error::other)?,
            unpacked: u32::try_from(self.lines.len()).map_err(io::Error::other)?,
            sum: crc32c::crc32c(packed),
        };
        block[..HEADER_BYTES].copy_from_slice(&header.encode());
        self.number += 1;
        self.lines.clear();
        Ok(block)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    number: u64,
    packed: u32,
    unpacked: u32,
    sum: u32,
}

impl Header {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&32_u32.to_le_bytes());
        bytes[8..15].copy_from_slice(&NAME);
        bytes[15] = VERSION;
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.packed.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.unpacked.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.sum.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..36]);
        bytes[36..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, Flaw> {
        let four = |at: usize| {
            u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a slice of four bytes"))
        };
        if crc32c::crc32c(&bytes[..36]) != four(36) {
            return Err(Flaw::Header);
        }
        if bytes[..4] != MAGIC || four(4) != 32 || bytes[8..15] != NAME {
            return Err(Flaw::NoArchive);
        }
        if bytes[15] != VERSION {
            return Err(Flaw::Version { version: bytes[15] });
        }
        let number = bytes[16..24].try_into().expect("a slice of eight bytes");
        let number = u64::from_le_bytes(number);
        Ok(Self { number, packed: four(24), unpacked: four(28), sum: four(32) })
    }

    fn fits(&self) -> bool {
        let fits = |bytes: u32, most: usize| usize::try_from(bytes).is_ok_and(|it| it <= most);
        fits(self.packed, PACKED_BYTES_MAX) && fits(self.unpacked, BLOCK_BYTES_MAX)
    }
}

/// Takes the bytes of a file as they come, and gives its lines.
#[derive(Debug, Default)]
pub struct Unpacker {
    bytes: BytesMut,
    header: Option<Header>,
    lines: Vec<u8>,
    /// How much of the lines has been given.
    given: usize,
    /// Of the next block's first byte.
    offset: u64,
    /// Of the next block.
    number: u64,
    /// The first byte and the number of the block whose lines are being given.
    present: (u64, u64),
    is_at_end: bool,
}

impl Unpacker {
    /// Takes more bytes. They should be asked for only when there is no [`line`](Self::line) left.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// There will be no more bytes.
    pub fn finish(&mut self) {
        self.is_at_end = true;
    }

    /// The next line without its newline; `None` when more bytes are needed, or at the end.
    pub fn line(&mut self) -> Result<Option<&[u8]>, Damage> {
        if self.given == self.lines.len() && !self.unpack().map_err(|flaw| self.damage(flaw))? {
            return Ok(None);
        }
        let rest = &self.lines[self.given..];
        let length = memchr::memchr(b'\n', rest).expect("unpack refuses a block without one");
        let line = &rest[..length];
        self.given += length + 1;
        Ok(Some(line))
    }

    /// Whether all lines of all blocks have been given, and no bytes are left.
    pub fn is_done(&self) -> bool {
        self.is_at_end && self.bytes.is_empty() && self.given == self.lines.len()
    }

    /// The first byte and the number of the block whose lines are being given.
    pub fn place(&self) -> (u64, u64) {
        self.present
    }

    /// Something is wrong with the block that comes next.
    pub fn damage(&self, flaw: Flaw) -> Damage {
        Damage { offset: self.offset, block: self.number, behind: None, flaw }
    }

    /// Unpacks the next block, if it is there.
    fn unpack(&mut self) -> Result<bool, Flaw> {
        let Some(header) = self.header()? else { return Ok(false) };
        let length = header.packed as usize;
        if self.bytes.len() < length {
            return if self.is_at_end { Err(Flaw::Cut) } else { Ok(false) };
        }
        let packed = self.bytes.split_to(length);
        if crc32c::crc32c(&packed) != header.sum {
            return Err(Flaw::Content);
        }
        let unpacked = zstd::bulk::decompress(&packed, header.unpacked as usize);
        let lines = unpacked.map_err(|_| Flaw::Packing)?;
        let is_whole = lines.len() == header.unpacked as usize && lines.last() == Some(&b'\n');
        if !is_whole {
            return Err(Flaw::Packing);
        }
        (self.lines, self.given, self.header) = (lines, 0, None);
        self.present = (self.offset, self.number);
        self.offset += (HEADER_BYTES + length) as u64;
        self.number += 1;
        Ok(true)
    }

    fn header(&mut self) -> Result<Option<Header>, Flaw> {
        if let Some(header) = self.header {
            return Ok(Some(header));
        }
        let Some(bytes) = self.bytes.first_chunk::<HEADER_BYTES>() else {
            let begun = &self.bytes[..self.bytes.len().min(MAGIC.len())];
            return match (self.is_at_end, self.number) {
                (false, _) => Ok(None),
                (true, 1..) if self.bytes.is_empty() => Ok(None),
                (true, 0) if begun.is_empty() || !MAGIC.starts_with(begun) => Err(Flaw::NoArchive),
                (true, _) => Err(Flaw::Cut),
            };
        };
        let header = Header::decode(bytes).map_err(|flaw| match (flaw, self.number) {
            // Something else altogether, rather than an archive whose first bit has flipped.
            (Flaw::Header, 0) if bytes[..4] != MAGIC && bytes[8..15] != NAME => Flaw::NoArchive,
            (flaw, _) => flaw,
        })?;
        if header.number != self.number {
            return Err(Flaw::Number { number: header.number });
        }
        if !header.fits() {
            return Err(Flaw::Header);
        }
        self.bytes.advance(HEADER_BYTES);
        self.header = Some(header);
        Ok(self.header)
    }
}
