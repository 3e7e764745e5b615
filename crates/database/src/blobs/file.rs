//! The file of a large blob: a header, then blocks that can each be checked alone, so that any range
//! is read and verified without the rest.
//!
//! Version 1; integers are little-endian.
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0 | 8 | `settlBLB` |
//! | 8 | 4 | version: 1 |
//! | 12 | 4 | bytes of a block: 65,536 |
//! | 16 | 16 | the upload's id, as in the file's name and the blob's record |
//! | 32 | 32 | BLAKE3 of the stored bytes |
//! | 64 | 8 | how many stored bytes there are |
//! | 72 | 4 | CRC-32C of offsets 0 to 71 |
//! | 76 | … | blocks: stored bytes, all but the last 65,536 of them, and their checksum (4 bytes) |
//!
//! A block's checksum is the CRC-32C of the upload's id, the block's number from 0 (8 bytes) and its
//! bytes: a block of another file or from another place is damage too. Nothing follows the last.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
};

use bytes::Bytes;
use thiserror::Error;

use super::{
    digest::BlobDigest,
    limits::{BLOCK_BYTES, STEP_BLOCKS, UNSYNCED_BYTES_MAX},
    record::UploadId,
};

const MAGIC: &[u8; 8] = b"settlBLB";
const VERSION: u32 = 1;
/// [`BLOCK_BYTES`], as the header says it.
const BLOCK_LENGTH: u32 = 65_536;
const _: () = assert!(BLOCK_LENGTH as usize == BLOCK_BYTES);
const HEADER_BYTES: usize = 76;
const CHECKSUM_BYTES: usize = 4;
/// A block with its checksum.
const BLOCK_STRIDE: u64 = (BLOCK_BYTES + CHECKSUM_BYTES) as u64;

/// What is wrong with a stored blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Damage {
    #[error("its file's header is not what was written")]
    Header,
    #[error("its file was written by a version of the program that this one does not know")]
    Version,
    #[error("its file belongs to another blob")]
    OtherBlob,
    #[error("its file is {found} bytes long instead of {expected}")]
    Length { expected: u64, found: u64 },
    #[error("block {block} of its file is not what was written")]
    Block { block: u64 },
    #[error("its file is missing")]
    NoFile,
    #[error("its data record is missing")]
    NoData,
    #[error("its bytes do not have the digest they are stored under")]
    Digest,
    #[error("its bytes cannot be unpacked to the length they had")]
    Unpacking,
}

fn file_length(stored_length: u64) -> u64 {
    let blocks = stored_length.div_ceil(BLOCK_BYTES as u64);
    HEADER_BYTES as u64 + stored_length + blocks * CHECKSUM_BYTES as u64
}

fn block_checksum(upload: UploadId, block: u64, bytes: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&upload.bytes());
    let sum = crc32c::crc32c_append(sum, &block.to_le_bytes());
    crc32c::crc32c_append(sum, bytes)
}

fn header(upload: UploadId, digest: BlobDigest, stored_length: u64) -> [u8; HEADER_BYTES] {
    let mut out = Vec::with_capacity(HEADER_BYTES);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&BLOCK_LENGTH.to_le_bytes());
    out.extend_from_slice(&upload.bytes());
    out.extend_from_slice(digest.as_bytes());
    out.extend_from_slice(&stored_length.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    out.try_into().expect("the fields above are as long as the header")
}

/// Writes a file whose digest and length are known only at the end.
pub(super) struct BlockWriter {
    file: File,
    upload: UploadId,
    blocks: u64,
    unsynced_bytes: u64,
}

impl fmt::Debug for BlockWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockWriter").field("upload", &self.upload).finish_non_exhaustive()
    }
}

impl BlockWriter {
    pub(super) fn begin(mut file: File, upload: UploadId) -> io::Result<Self> {
        file.write_all(&[0; HEADER_BYTES])?;
        Ok(Self { file, upload, blocks: 0, unsynced_bytes: 0 })
    }

    /// Writes one block and leaves `block` empty. All blocks but the last are [`BLOCK_BYTES`] long.
    pub(super) fn push(&mut self, block: &mut Vec<u8>) -> io::Result<()> {
        let sum = block_checksum(self.upload, self.blocks, block);
        block.extend_from_slice(&sum.to_le_bytes());
        self.file.write_all(block)?;
        self.blocks += 1;
        self.unsynced_bytes += block.len() as u64;
        block.clear();
        if self.unsynced_bytes >= UNSYNCED_BYTES_MAX {
            self.file.sync_data()?;
            self.unsynced_bytes = 0;
        }
        Ok(())
    }

    /// Writes the header and waits until the disk has everything.
    pub(super) fn finish(mut self, digest: BlobDigest, stored_length: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header(self.upload, digest, stored_length))?;
        self.file.sync_all()
    }
}

/// Reads and verifies blocks of a file, one after another.
pub(super) struct BlockReader {
    file: File,
    upload: UploadId,
    stored_length: u64,
    next: u64,
    end: u64,
}

impl fmt::Debug for BlockReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockReader")
            .field("upload", &self.upload)
            .field("blocks", &(self.next..self.end))
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Error)]
pub(super) enum FileReadError {
    #[error(transparent)]
    Damaged(#[from] Damage),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl BlockReader {
    /// Prepares to read the blocks that hold stored bytes `from..to`, after a look at the header.
    pub(super) fn open(
        mut file: File,
        upload: UploadId,
        digest: BlobDigest,
        stored_length: u64,
        from: u64,
        to: u64,
    ) -> Result<Self, FileReadError> {
        let (expected, found) = (file_length(stored_length), file.metadata()?.len());
        if found != expected {
            return Err(Damage::Length { expected, found }.into());
        }
        let mut bytes = [0; HEADER_BYTES];
        file.read_exact(&mut bytes)?;
        check_header(&bytes, &header(upload, digest, stored_length))?;
        let next = from / BLOCK_BYTES as u64;
        let end = to.div_ceil(BLOCK_BYTES as u64).max(next);
        if next > 0 {
            file.seek(SeekFrom::Start(HEADER_BYTES as u64 + next * BLOCK_STRIDE))?;
        }
        Ok(Self { file, upload, stored_length, next, end })
    }

    /// The bytes of the next few blocks, one piece each; none at the end.
    pub(super) fn step(&mut self) -> Result<Vec<Bytes>, FileReadError> {
        let first = self.next;
        let until = self.end.min(first + STEP_BLOCKS);
        let lengths = (first..until).map(|block| self.block_length(block));
        let total: usize = lengths.clone().map(|length| length + CHECKSUM_BYTES).sum();
        let mut read = Vec::with_capacity(total);
        let found = (&self.file).take(total as u64).read_to_end(&mut read)?;
        if found < total {
            // It had its full length when it was opened, and nobody changes such files.
            return Err(Damage::Block { block: first }.into());
        }
        let mut rest = Bytes::from(read);
        let mut blocks = Vec::with_capacity(lengths.clone().count());
        for (block, length) in (first..until).zip(lengths) {
            let bytes = rest.split_to(length);
            let stored = rest.split_to(CHECKSUM_BYTES);
            if stored != block_checksum(self.upload, block, &bytes).to_le_bytes()[..] {
                return Err(Damage::Block { block }.into());
            }
            blocks.push(bytes);
        }
        self.next = until;
        Ok(blocks)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.next == self.end
    }

    fn block_length(&self, block: u64) -> usize {
        let rest = self.stored_length - block * BLOCK_BYTES as u64;
        usize::try_from(rest).map_or(BLOCK_BYTES, |rest| rest.min(BLOCK_BYTES))
    }
}

/// Tells apart what can be told apart, so that a person knows what to look for.
fn check_header(found: &[u8; HEADER_BYTES], expected: &[u8; HEADER_BYTES]) -> Result<(), Damage> {
    if found == expected {
        return Ok(());
    }
    let (fields, sum) = found.split_at(HEADER_BYTES - CHECKSUM_BYTES);
    if &found[..8] != MAGIC || sum != crc32c::crc32c(fields).to_le_bytes() {
        Err(Damage::Header)
    } else if found[8..16] != expected[8..16] {
        Err(Damage::Version)
    } else {
        Err(Damage::OtherBlob)
    }
}
