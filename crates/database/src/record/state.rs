//! The *state* record: what every document write changes. It is the precondition that orders the
//! writers of a database, on this node and on others.
//!
//! All fields are numbers, in the order of the struct; the nonce is 8 bytes.

use settle_model::time::Timestamp;

use crate::{
    codec::{Reader, RecordError, put_number},
    record::sealed,
};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct State {
    /// Of the newest change.
    pub(crate) sequence: u64,
    pub(crate) purge_sequence: u64,
    /// Documents whose winner is live, design documents included.
    pub(crate) doc_count: u64,
    /// Documents whose winner is a tombstone.
    pub(crate) deleted_count: u64,
    /// The number of the newest body record.
    pub(crate) body_number: u64,
    pub(crate) sizes: Sizes,
    /// No history is kept of updates up to this sequence.
    pub(crate) history_floor: u64,
    /// When a time record was last written; 0 when never.
    pub(crate) time_marked: Timestamp,
    /// When the collector of history comes by; 0 when it has nothing to do.
    pub(crate) sweep_due: Timestamp,
    /// Different in every batch, so that two batches never leave equal records.
    pub(crate) nonce: u64,
}

/// Bytes, kept exactly: a count over all records gives the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sizes {
    /// Keys and values of heads, segments, bodies of leaves, changes, local documents excluded.
    pub(crate) active: u64,
    /// Keys and values that only the past needs: history, and bodies nothing else refers to.
    pub(crate) history: u64,
    /// Bodies of all leaves as JSON, and the lengths of their attachments.
    pub(crate) external: u64,
}

impl State {
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        sealed(key, |out| {
            put_number(out, self.sequence);
            put_number(out, self.purge_sequence);
            put_number(out, self.doc_count);
            put_number(out, self.deleted_count);
            put_number(out, self.body_number);
            put_number(out, self.sizes.active);
            put_number(out, self.sizes.history);
            put_number(out, self.sizes.external);
            put_number(out, self.history_floor);
            put_number(out, self.time_marked.micros());
            put_number(out, self.sweep_due.micros());
            out.extend_from_slice(&self.nonce.to_le_bytes());
        })
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("state", key, value)?;
        let state = Self {
            sequence: from.number()?,
            purge_sequence: from.number()?,
            doc_count: from.number()?,
            deleted_count: from.number()?,
            body_number: from.number()?,
            sizes: Sizes {
                active: from.number()?,
                history: from.number()?,
                external: from.number()?,
            },
            history_floor: from.number()?,
            time_marked: Timestamp::from_micros(from.number()?),
            sweep_due: Timestamp::from_micros(from.number()?),
            nonce: u64::from_le_bytes(from.array()?),
        };
        from.end()?;
        Ok(state)
    }
}
