//! Stored records: one module a family, which owns its encoding. `docs/formats.md` has the tables.
//!
//! Each value stands in the envelope of [`settle_engine::value`]: version, checksum, payload.

pub(crate) mod body;
pub(crate) mod change;
pub(crate) mod conflict;
pub(crate) mod expiring;
pub(crate) mod head;
pub(crate) mod history;
pub(crate) mod idempotency;
pub(crate) mod later;
pub(crate) mod live;
pub(crate) mod local;
pub(crate) mod purge;
pub(crate) mod retention;
pub(crate) mod segment;
pub(crate) mod site;
pub(crate) mod state;
#[cfg(test)]
mod tests;

/// The version that a record has whose form has never changed.
pub(crate) const VERSION: u8 = 1;

/// Writes a whole value: `fill` appends the payload.
pub(crate) fn sealed(key: &[u8], fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    sealed_as(VERSION, key, fill)
}

/// As [`sealed`], for a record that has had several versions.
pub(crate) fn sealed_as(version: u8, key: &[u8], fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut value = settle_engine::value::begin(version);
    fill(&mut value);
    settle_engine::value::seal(key, value)
}
