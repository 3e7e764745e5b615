//! The row of a document *in conflict*: one with a live leaf beside its live winner. The row is a mark; what
//! the document is stands in its head, which is written in the same commit.

use settle_engine::value::HEADER_LENGTH;

use crate::record::sealed;

pub(crate) fn encode(key: &[u8]) -> Vec<u8> {
    sealed(key, |_| {})
}

/// Of key and value.
pub(crate) fn bytes(key: &[u8]) -> u64 {
    (key.len() + HEADER_LENGTH) as u64
}
