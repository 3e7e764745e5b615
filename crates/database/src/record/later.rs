//! Small records: counts of changes, times, snapshots and pins. One more is for later work, whose form is fixed now, so
//! that no stored format has to be rewritten: followers need cursors.

use settle_model::time::Timestamp;

use crate::{
    codec::{Reader, RecordError, put_bytes, put_number, put_text},
    record::sealed,
};

/// How many changes each bucket of sequences holds, so that `pending` costs no scan of the feed.
/// A bucket is 1,024 sequences; only rows that are neither superseded nor purges count.
pub(crate) const BUCKET_BITS: u32 = 10;

pub(crate) fn encode_count(key: &[u8], count: u64) -> Vec<u8> {
    sealed(key, |out| put_number(out, count))
}

pub(crate) fn decode_count(key: &[u8], value: &[u8]) -> Result<u64, RecordError> {
    let mut from = Reader::open("change count", key, value)?;
    let count = from.number()?;
    from.end()?;
    Ok(count)
}

/// Under a time, the newest sequence that had been committed before it.
pub(crate) fn encode_time(key: &[u8], sequence: u64) -> Vec<u8> {
    sealed(key, |out| put_number(out, sequence))
}

pub(crate) fn decode_time(key: &[u8], value: &[u8]) -> Result<u64, RecordError> {
    let mut from = Reader::open("time", key, value)?;
    let sequence = from.number()?;
    from.end()?;
    Ok(sequence)
}

/// A named state of a database: `…/snapshot/{name}` → sequence and the time it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub sequence: u64,
    pub taken: Timestamp,
}

/// Something that needs the past for a while: sequence, when the pin runs out, and who holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    pub sequence: u64,
    pub expires: Timestamp,
    pub holder: String,
}

/// How far a follower has come, and what it keeps with that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub sequence: u64,
    pub memory: Vec<u8>,
}

impl Snapshot {
    pub fn encode(&self, key: &[u8]) -> Vec<u8> {
        sealed(key, |out| {
            put_number(out, self.sequence);
            put_number(out, self.taken.micros());
        })
    }

    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("snapshot", key, value)?;
        let sequence = from.number()?;
        let snapshot = Self { sequence, taken: Timestamp::from_micros(from.number()?) };
        from.end()?;
        Ok(snapshot)
    }
}

impl Pin {
    pub fn encode(&self, key: &[u8]) -> Vec<u8> {
        sealed(key, |out| {
            put_number(out, self.sequence);
            put_number(out, self.expires.micros());
            put_text(out, &self.holder);
        })
    }

    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("pin", key, value)?;
        let sequence = from.number()?;
        let expires = Timestamp::from_micros(from.number()?);
        let pin = Self { sequence, expires, holder: from.text()?.to_owned() };
        from.end()?;
        Ok(pin)
    }
}

impl Cursor {
    pub fn encode(&self, key: &[u8]) -> Vec<u8> {
        sealed(key, |out| {
            put_number(out, self.sequence);
            put_bytes(out, &self.memory);
        })
    }

    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("cursor", key, value)?;
        let sequence = from.number()?;
        let cursor = Self { sequence, memory: from.bytes()?.to_vec() };
        from.end()?;
        Ok(cursor)
    }
}
