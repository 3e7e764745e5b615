//! Which data file this is: what notices that a folder was copied.
//!
//! A file is itself as long as its inode and the time of its birth stay. A copy has others, whatever
//! made it, unless the whole file system was copied. Compaction makes a new file on purpose, so it
//! notes which file the new one stands for.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path, time::UNIX_EPOCH};

use crate::{
    OpenError,
    folder::{DATA_FILE, failing, write_whole},
};

const FILE: &str = "engine.identity";

/// Compared with what was stored, a different one means that the folder is a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity(pub [u8; 16]);

/// The identity that the data file of a store is known by.
pub(crate) fn of_store(dir: &Path) -> Result<Identity, OpenError> {
    let actual = of_file(&dir.join(DATA_FILE))?;
    let known = pairs(dir)?.into_iter().find(|(file, _)| *file == actual);
    Ok(known.map_or(actual, |(_, known)| known))
}

/// Notes that the data file that is about to become `file` stands for the present one.
pub(crate) fn hand_over(dir: &Path, file: &Path) -> Result<(), OpenError> {
    let present = of_file(&dir.join(DATA_FILE))?;
    let known = of_store(dir)?;
    // Both are kept: which file is in place is decided by the move that follows.
    let lines = [(present, known), (of_file(file)?, known)]
        .map(|(file, known)| format!("{} {}\n", to_hex(file), to_hex(known)));
    write_whole(dir, FILE, lines.concat().as_bytes())
}

fn of_file(path: &Path) -> Result<Identity, OpenError> {
    let metadata = fs::metadata(path).map_err(failing("look at", path))?;
    // Where the file system keeps no time of birth, the inode has to do.
    let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    let nanoseconds = born.map_or(0, |born| born.as_nanos());
    let bits = (u128::from(metadata.ino()) << 64) | (nanoseconds & u128::from(u64::MAX));
    Ok(Identity(bits.to_be_bytes()))
}

fn pairs(dir: &Path) -> Result<Vec<(Identity, Identity)>, OpenError> {
    let path = dir.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failing("read", &path)(error)),
    };
    let pair = |line: &str| {
        let (file, known) = line.split_once(' ')?;
        Some((from_hex(file)?, from_hex(known)?))
    };
    Ok(text.lines().filter_map(pair).collect())
}

fn to_hex(identity: Identity) -> String {
    format!("{:032x}", u128::from_be_bytes(identity.0))
}

fn from_hex(text: &str) -> Option<Identity> {
    u128::from_str_radix(text, 16).ok().map(|bits| Identity(bits.to_be_bytes()))
}
