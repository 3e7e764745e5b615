//! A run: a file of rows in order.
//!
//! | part | form |
//! |---|---|
//! | mark | 8 bytes: `STLRUN1\n` |
//! | blocks | each: length (4 bytes, little-endian), CRC-32C of the block (4 bytes), rows |
//! | end | a block of length 0, whose checksum place holds the CRC-32C of the number of rows (8 bytes) that follows |
//!
//! A row is two LEB128 lengths, key and payload. No row spans two blocks. A run is complete when it
//! has its end; one without is what a crash left, and nothing refers to it.

use std::{
    fs::File,
    io::{BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
};

use super::SortError;
use crate::codec::put_number;

const MARK: &[u8; 8] = b"STLRUN1\n";
const BLOCK_BYTES: usize = 256 << 10;
/// A block is longer than [`BLOCK_BYTES`] only by its last row.
const BLOCK_BYTES_MAX: usize = 1 << 30;

#[derive(Debug)]
pub(crate) struct RunWriter {
    file: File,
    path: PathBuf,
    block: Vec<u8>,
    rows: u64,
    bytes: u64,
}

impl RunWriter {
    pub(crate) fn create(path: &Path) -> Result<Self, SortError> {
        let mut writer = Self {
            file: File::create(path).map_err(|source| write_error(path, source))?,
            path: path.to_owned(),
            block: Vec::with_capacity(BLOCK_BYTES + (4 << 10)),
            rows: 0,
            bytes: 0,
        };
        writer.write(MARK)?;
        Ok(writer)
    }

    /// Keys come in order.
    pub(crate) fn push(&mut self, key: &[u8], payload: &[u8]) -> Result<(), SortError> {
        put_number(&mut self.block, key.len() as u64);
        put_number(&mut self.block, payload.len() as u64);
        self.block.extend_from_slice(key);
        self.block.extend_from_slice(payload);
        self.rows += 1;
        if self.block.len() >= BLOCK_BYTES { self.flush() } else { Ok(()) }
    }

    /// Ends the run and syncs it; its rows and its bytes.
    pub(crate) fn finish(mut self) -> Result<(u64, u64), SortError> {
        self.flush()?;
        let rows = self.rows.to_le_bytes();
        self.write(&0_u32.to_le_bytes())?;
        self.write(&crc32c::crc32c(&rows).to_le_bytes())?;
        self.write(&rows)?;
        let synced = self.file.sync_all().and_then(|()| match self.path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        });
        synced.map_err(|source| write_error(&self.path, source))?;
        Ok((self.rows, self.bytes))
    }

    fn flush(&mut self) -> Result<(), SortError> {
        if self.block.is_empty() {
            return Ok(());
        }
        let block = std::mem::take(&mut self.block);
        let length = u32::try_from(block.len()).expect("a row is below 1 GiB");
        self.write(&length.to_le_bytes())?;
        self.write(&crc32c::crc32c(&block).to_le_bytes())?;
        self.write(&block)?;
        self.block = block;
        self.block.clear();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SortError> {
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|source| write_error(&self.path, source))
    }
}

/// Reads a run, one block in memory.
#[derive(Debug)]
pub(crate) struct RunReader {
    file: BufReader<File>,
    path: PathBuf,
    block: Vec<u8>,
    /// Where the present row's key and payload stand in the block; `None` at the end.
    row: Option<Row>,
    rows: u64,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    key: usize,
    payload: usize,
    end: usize,
}

impl RunReader {
    /// Opens a run and stands on its first row.
    pub(crate) fn open(path: &Path) -> Result<Self, SortError> {
        let file =
            File::open(path).map_err(|source| SortError::Read { path: path.to_owned(), source })?;
        let mut reader = Self {
            file: BufReader::with_capacity(16 << 10, file),
            path: path.to_owned(),
            block: Vec::new(),
            row: Some(Row { key: 0, payload: 0, end: 0 }),
            rows: 0,
        };
        let mut mark = [0; 8];
        reader.read(&mut mark)?;
        if &mark != MARK {
            return Err(reader.damaged());
        }
        reader.advance()?;
        Ok(reader)
    }

    /// The present row.
    pub(crate) fn row(&self) -> Option<(&[u8], &[u8])> {
        let row = self.row?;
        Some((&self.block[row.key..row.payload], &self.block[row.payload..row.end]))
    }

    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.row().map(|(key, _)| key)
    }

    pub(crate) fn advance(&mut self) -> Result<(), SortError> {
        let Some(before) = self.row else { return Ok(()) };
        let mut at = before.end;
        if at == self.block.len() {
            if !self.next_block()? {
                self.row = None;
                return Ok(());
            }
            at = 0;
        }
        let (key_length, at) = self.number(at)?;
        let (payload_length, key) = self.number(at)?;
        let payload = key.checked_add(key_length).ok_or_else(|| self.damaged())?;
        let end = payload.checked_add(payload_length).ok_or_else(|| self.damaged())?;
        if end > self.block.len() {
            return Err(self.damaged());
        }
        self.rows += 1;
        self.row = Some(Row { key, payload, end });
        Ok(())
    }

    /// Whether there is another block.
    fn next_block(&mut self) -> Result<bool, SortError> {
        let (mut length, mut sum) = ([0; 4], [0; 4]);
        self.read(&mut length)?;
        self.read(&mut sum)?;
        let (length, sum) = (u32::from_le_bytes(length) as usize, u32::from_le_bytes(sum));
        if length == 0 {
            let mut rows = [0; 8];
            self.read(&mut rows)?;
            let is_whole = crc32c::crc32c(&rows) == sum && u64::from_le_bytes(rows) == self.rows;
            return if is_whole { Ok(false) } else { Err(self.damaged()) };
        }
        if length > BLOCK_BYTES_MAX {
            return Err(self.damaged());
        }
        let mut block = std::mem::take(&mut self.block);
        block.resize(length, 0);
        self.read(&mut block)?;
        self.block = block;
        if crc32c::crc32c(&self.block) == sum { Ok(true) } else { Err(self.damaged()) }
    }

    fn number(&self, at: usize) -> Result<(usize, usize), SortError> {
        let mut number = 0;
        for (byte, shift) in self.block[at..].iter().zip((0..63).step_by(7)) {
            number |= u64::from(byte & 0x7F) << shift;
            if *byte < 0x80 {
                let number = usize::try_from(number).map_err(|_| self.damaged())?;
                return Ok((number, at + shift / 7 + 1));
            }
        }
        Err(self.damaged())
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), SortError> {
        let path = &self.path;
        self.file.read_exact(bytes).map_err(|source| SortError::Read { path: path.clone(), source })
    }

    fn damaged(&self) -> SortError {
        SortError::Damaged { path: self.path.clone() }
    }
}

fn write_error(path: &Path, source: std::io::Error) -> SortError {
    SortError::Write { path: path.to_owned(), source }
}
