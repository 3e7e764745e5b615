//! Stored payloads of indexes, of the same pieces as those of documents (`docs/formats.md`).

pub(crate) use settle_database::codec::{Reader, put_bytes, put_number, put_text};

/// The version that every record of indexes has for the present.
pub(crate) const VERSION: u8 = 1;

/// Writes a whole value: `fill` appends the payload.
pub(crate) fn sealed(key: &[u8], fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut value = settle_engine::value::begin(VERSION);
    fill(&mut value);
    settle_engine::value::seal(key, value)
}
