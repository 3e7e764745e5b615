//! Which code a call runs.

use std::sync::Arc;

use bytes::Bytes;

use crate::message::ProgramKey;

/// A design document of one database, as its functions see it.
#[derive(Debug, Clone)]
pub struct Program {
    /// The internal number of the database, which is never given twice.
    pub database: u64,
    /// The name behind `_design/`.
    pub design: Arc<str>,
    /// Of `source`: equal digests of one database mean equal sources.
    pub digest: [u8; 16],
    /// The whole design document as JSON: `this` of most functions, and what `require` looks in.
    /// A missing `_id` is added.
    pub source: Bytes,
}

impl Program {
    pub(crate) fn key(&self) -> ProgramKey {
        ProgramKey { database: self.database, digest: self.digest }
    }
}
