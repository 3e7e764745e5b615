//! Stored records: one module a family, which owns its encoding. `docs/formats.md` has the tables.
//!
//! Each value stands in the envelope of [`settle_engine::value`]: version, checksum, payload.

pub(crate) mod body;
pub(crate) mod change;
pub(crate) mod head;
pub(crate) mod history;
pub(crate) mod later;
pub(crate) mod live;
pub(crate) mod local;
pub(crate) mod purge;
pub(crate) mod segment;
pub(crate) mod site;
pub(crate) mod state;
#[cfg(test)]
mod tests;

/// The version that every record has for the present.
pub(crate) const VERSION: u8 = 1;

/// Writes a whole value: `fill` appends the payload.
pub(crate) fn sealed(key: &[u8], fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut value = settle_engine::value::begin(VERSION);
    fill(&mut value);
    settle_engine::value::seal(key, value)
}
