//! A checkpoint of the in-memory engine: one file, `memory.dump`.
//!
//! | part | size | meaning |
//! |---|---|---|
//! | magic | 16 | `settle-memory 1\n` |
//! | rows | 8 + … each | length of key and value (u32, little-endian each), then both |
//! | trailer | 12 | `u32::MAX`, number of rows (u32), CRC-32C of all before the sum |

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use thiserror::Error;

const FILE_NAME: &str = "memory.dump";
const MAGIC: &[u8; 16] = b"settle-memory 1\n";
/// No key is this long: the mark before the trailer.
const END: u32 = u32::MAX;

/// A folder could not be opened as a checkpoint.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not a whole checkpoint of the in-memory engine", path.display())]
    Damaged { path: PathBuf },
}

/// Writes and syncs the dump; answers its length in bytes.
pub(super) fn write(dir: &Path, rows: &BTreeMap<Vec<u8>, Vec<u8>>) -> io::Result<u64> {
    let mut text = MAGIC.to_vec();
    for (key, value) in rows {
        text.extend_from_slice(&length(key)?.to_le_bytes());
        text.extend_from_slice(&length(value)?.to_le_bytes());
        text.extend_from_slice(key);
        text.extend_from_slice(value);
    }
    text.extend_from_slice(&END.to_le_bytes());
    let count = u32::try_from(rows.len()).map_err(io::Error::other)?;
    text.extend_from_slice(&count.to_le_bytes());
    text.extend_from_slice(&crc32c::crc32c(&text).to_le_bytes());
    let mut file = File::create_new(dir.join(FILE_NAME))?;
    file.write_all(&text)?;
    file.sync_all()?;
    Ok(text.len() as u64)
}

pub(super) fn read(dir: &Path) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, OpenError> {
    let path = dir.join(FILE_NAME);
    match std::fs::read(&path) {
        Ok(text) => parse(&text).ok_or(OpenError::Damaged { path }),
        Err(source) => Err(OpenError::Read { path, source }),
    }
}

fn parse(text: &[u8]) -> Option<BTreeMap<Vec<u8>, Vec<u8>>> {
    let (summed, sum) = text.split_last_chunk::<4>()?;
    if u32::from_le_bytes(*sum) != crc32c::crc32c(summed) {
        return None;
    }
    let mut rest = summed.strip_prefix(MAGIC)?;
    let mut rows = BTreeMap::new();
    loop {
        let key_length = take_number(&mut rest)?;
        let value_length = take_number(&mut rest)?;
        if key_length == END {
            let whole = rest.is_empty() && rows.len() == usize::try_from(value_length).ok()?;
            return whole.then_some(rows);
        }
        let key = take(&mut rest, key_length)?;
        let value = take(&mut rest, value_length)?;
        rows.insert(key.to_vec(), value.to_vec());
    }
}

fn take<'a>(rest: &mut &'a [u8], length: u32) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    Some(taken)
}

fn take_number(rest: &mut &[u8]) -> Option<u32> {
    let (number, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_le_bytes(*number))
}

fn length(bytes: &[u8]) -> io::Result<u32> {
    u32::try_from(bytes.len()).map_err(io::Error::other)
}
