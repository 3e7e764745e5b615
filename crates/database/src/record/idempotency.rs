//! Records of *idempotency*: what was answered to a request that may come again. They are written in the batch of the
//! request's effect, so that there is never one without the other.
//!
//! | field | form |
//! |---|---|
//! | payload | 32 bytes: BLAKE3 of what was asked for |
//! | expires | number, microseconds: when the record may go; a row in the order of time says it too |
//! | answer | bytes |
//!
//! How long records are kept is a record of its own, a number of milliseconds.

use std::time::Duration;

use settle_model::time::Timestamp;

use crate::{
    codec::{Reader, RecordError, put_bytes, put_number},
    record::sealed,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Idempotency {
    pub(crate) payload: [u8; 32],
    pub(crate) expires: Timestamp,
    pub(crate) answer: Vec<u8>,
}

impl Idempotency {
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        sealed(key, |out| {
            out.extend_from_slice(&self.payload);
            put_number(out, self.expires.micros());
            put_bytes(out, &self.answer);
        })
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("idempotency", key, value)?;
        let payload = from.array()?;
        let expires = Timestamp::from_micros(from.number()?);
        let record = Self { payload, expires, answer: from.bytes()?.to_vec() };
        from.end()?;
        Ok(record)
    }
}

pub(crate) fn encode_retention(key: &[u8], retention: Duration) -> Vec<u8> {
    let millis = u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
    sealed(key, |out| put_number(out, millis))
}

pub(crate) fn decode_retention(key: &[u8], value: &[u8]) -> Result<Duration, RecordError> {
    let mut from = Reader::open("retention", key, value)?;
    let millis = from.number()?;
    from.end()?;
    Ok(Duration::from_millis(millis))
}
