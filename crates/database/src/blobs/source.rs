//! The bytes of a stored blob, step by step, verified. Plain blocking code; [`read`](super::read)
//! decides where it runs.
//!
//! Each block of a file is checked before any byte of it is handed on. A read of the whole blob also
//! compares the BLAKE3 digest, and does so before it hands on the last bytes, so that a reply with a
//! length can still be cut short. The md5 was made of the same bytes and stands in a record with a
//! checksum of its own, so it is not computed again.

use std::{collections::VecDeque, ops::Range};

use bytes::Bytes;

use super::{
    compress::Unpacker,
    digest::BlobDigest,
    file::{BlockReader, Damage, FileReadError},
    limits::STEP_UNPACKED_BYTES,
};

#[derive(Debug)]
pub(super) struct Source {
    stored: Stored,
    unpack: Option<Unpack>,
}

/// What one step gives.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) pieces: VecDeque<Bytes>,
    pub(super) is_last: bool,
}

#[derive(Debug)]
struct Stored {
    digest: BlobDigest,
    from: From,
    /// Only of a whole read.
    hasher: Option<Box<blake3::Hasher>>,
    /// Bytes of the first block that stand before the range.
    skip: usize,
    /// Bytes still to be given.
    remaining: u64,
}

#[derive(Debug)]
enum From {
    Memory(Bytes),
    File(BlockReader),
}

#[derive(Debug)]
struct Unpack {
    unpacker: Unpacker,
    packed: VecDeque<Bytes>,
    is_packed_at_end: bool,
    /// Bytes still to be given.
    remaining: u64,
}

impl Source {
    /// Stored bytes `range` of a blob that is in memory, of which all are given.
    pub(super) fn memory(digest: BlobDigest, bytes: Bytes, range: Range<u64>) -> Self {
        let is_whole = range == (0..bytes.len() as u64);
        let skip = usize::try_from(range.start).expect("the range lies within the bytes");
        Self::new(digest, From::Memory(bytes), is_whole, skip, range)
    }

    /// Stored bytes `range` of a file whose reader was opened for them.
    pub(super) fn file(
        digest: BlobDigest,
        reader: BlockReader,
        stored_length: u64,
        range: Range<u64>,
    ) -> Self {
        let is_whole = range == (0..stored_length);
        let skip = range.start % super::limits::BLOCK_BYTES as u64;
        let skip = usize::try_from(skip).expect("less than a block");
        Self::new(digest, From::File(reader), is_whole, skip, range)
    }

    fn new(digest: BlobDigest, from: From, is_whole: bool, skip: usize, range: Range<u64>) -> Self {
        let hasher = is_whole.then(|| Box::new(blake3::Hasher::new()));
        let remaining = range.end - range.start;
        Self { stored: Stored { digest, from, hasher, skip, remaining }, unpack: None }
    }

    /// Gives the unpacked bytes instead, of which there are `length`. For whole reads.
    pub(super) fn unpacked(mut self, length: u64) -> Self {
        self.unpack = Some(Unpack {
            unpacker: Unpacker::new(),
            packed: VecDeque::new(),
            is_packed_at_end: false,
            remaining: length,
        });
        self
    }

    pub(super) fn step(&mut self) -> Result<Step, FileReadError> {
        match &mut self.unpack {
            None => self.stored.step(),
            Some(unpack) => unpack.step(&mut self.stored),
        }
    }
}

impl Stored {
    fn step(&mut self) -> Result<Step, FileReadError> {
        let mut pieces = VecDeque::new();
        let is_last = match &mut self.from {
            From::Memory(bytes) => {
                pieces.push_back(std::mem::take(bytes));
                true
            }
            From::File(reader) => {
                pieces.extend(reader.step()?);
                reader.is_at_end()
            }
        };
        if let Some(hasher) = &mut self.hasher {
            for piece in &pieces {
                hasher.update(piece);
            }
            if is_last && hasher.finalize() != *self.digest.as_bytes() {
                return Err(Damage::Digest.into());
            }
        }
        for piece in &mut pieces {
            drop(piece.split_to(std::mem::take(&mut self.skip)));
            let wanted = usize::try_from(self.remaining).unwrap_or(usize::MAX);
            piece.truncate(wanted);
            self.remaining -= piece.len() as u64;
        }
        pieces.retain(|piece| !piece.is_empty());
        Ok(Step { pieces, is_last })
    }
}

impl Unpack {
    fn step(&mut self, stored: &mut Stored) -> Result<Step, FileReadError> {
        // The last step has room for one byte more than is due: so a surplus shows, and the end of
        // the packed bytes is reached, before the last bytes are given.
        let room = match usize::try_from(self.remaining) {
            Ok(remaining) if remaining <= STEP_UNPACKED_BYTES => remaining + 1,
            Ok(_) | Err(_) => STEP_UNPACKED_BYTES,
        };
        let mut out = vec![0; room];
        let mut made = 0;
        let is_last = loop {
            if self.packed.is_empty() && !self.is_packed_at_end {
                let step = stored.step()?;
                self.packed = step.pieces;
                self.is_packed_at_end = step.is_last;
            }
            let mut input = self.packed.front().map_or(&[][..], |piece| &piece[..]);
            let before = input.len();
            let unpacked = self.unpacker.run(&mut input, &mut out[made..]);
            made += unpacked.map_err(|_| Damage::Unpacking)?;
            let taken = before - input.len();
            if let Some(piece) = self.packed.front_mut() {
                drop(piece.split_to(taken));
                if piece.is_empty() {
                    self.packed.pop_front();
                }
            }
            let is_input_used_up = self.packed.is_empty() && self.is_packed_at_end;
            if is_input_used_up && self.unpacker.is_complete() {
                break true;
            }
            if made == out.len() {
                break false;
            }
            if is_input_used_up {
                // It took everything, there is room, and still it waits for more.
                return Err(Damage::Unpacking.into());
            }
        };
        let given = made as u64;
        if given > self.remaining || (is_last && given < self.remaining) {
            return Err(Damage::Unpacking.into());
        }
        self.remaining -= given;
        out.truncate(made);
        let pieces = if out.is_empty() { VecDeque::new() } else { VecDeque::from([out.into()]) };
        Ok(Step { pieces, is_last })
    }
}
