//! The catalog's records. `docs/formats.md` has the table of where they stand.

use settle_database::RecordError;
use settle_model::{sequence::Timeline, time::Timestamp};

use crate::{
    codec::{Reader, put_bytes, put_number, put_text, sealed},
    keys::Signature,
};

/// What a definition's index is.
///
/// | field | form |
/// |---|---|
/// | number | number: of its rows |
/// | state | byte: 0 building, 1 ready |
/// | created | number, microseconds |
/// | collator | text: the version of the sort keys |
/// | timeline | 8 bytes: of the database when the index was begun |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexRecord {
    pub(crate) number: u64,
    pub(crate) state: State,
    pub(crate) created: Timestamp,
    pub(crate) collator: String,
    pub(crate) timeline: Timeline,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Its rows are not all there; nobody reads them unless there is nothing else.
    Building,
    Ready,
}

impl IndexRecord {
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        sealed(key, |out| {
            put_number(out, self.number);
            out.push(match self.state {
                State::Building => 0,
                State::Ready => 1,
            });
            put_number(out, self.created.micros());
            put_text(out, &self.collator);
            out.extend_from_slice(&self.timeline.0);
        })
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("index", key, value)?;
        let record = Self {
            number: from.number()?,
            state: match from.byte()? {
                0 => State::Building,
                1 => State::Ready,
                _ => return Err(from.malformed("no such state")),
            },
            created: Timestamp::from_micros(from.number()?),
            collator: from.text()?.to_owned(),
            timeline: Timeline(from.array()?),
        };
        from.end()?;
        Ok(record)
    }
}

/// How far an index has come. Written in the batch of the rows that it tells of.
///
/// | field | form |
/// |---|---|
/// | sequence | number: the rows are those of the documents as they were there |
/// | purge sequence | number |
/// | rows | number: of all its maps |
/// | bytes | number: of the keys and values of its rows, as JSON |
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CursorRecord {
    pub(crate) sequence: u64,
    pub(crate) purge_sequence: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

impl CursorRecord {
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        sealed(key, |out| {
            for number in [self.sequence, self.purge_sequence, self.rows, self.bytes] {
                put_number(out, number);
            }
        })
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("index cursor", key, value)?;
        let record = Self {
            sequence: from.number()?,
            purge_sequence: from.number()?,
            rows: from.number()?,
            bytes: from.number()?,
        };
        from.end()?;
        Ok(record)
    }
}

/// Which index answers for a design document, and as what.
///
/// | field | form |
/// |---|---|
/// | signature | 16 bytes |
/// | index | number |
/// | source | bytes: the design document that the index was made for, as JSON |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServedRecord {
    pub(crate) signature: Signature,
    pub(crate) index: u64,
    pub(crate) source: Vec<u8>,
}

impl ServedRecord {
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        sealed(key, |out| {
            out.extend_from_slice(&self.signature);
            put_number(out, self.index);
            put_bytes(out, &self.source);
        })
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("served index", key, value)?;
        let record = Self {
            signature: from.array()?,
            index: from.number()?,
            source: from.bytes()?.to_vec(),
        };
        from.end()?;
        Ok(record)
    }
}

/// How far the first build of an index has come, so that a restart need not begin again.
///
/// | field | form |
/// |---|---|
/// | sequence, purge sequence | numbers: of the database when the scan began |
/// | documents | number: that have been mapped |
/// | bytes | number: of the rows so far |
/// | after | text: the last document that has been mapped |
/// | scanned | byte: 1 when that was the last of all |
/// | maps | count, then for each its runs: count, then each: number of the file, its rows, its bytes |
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CheckpointRecord {
    pub(crate) sequence: u64,
    pub(crate) purge_sequence: u64,
    pub(crate) documents: u64,
    pub(crate) bytes: u64,
    pub(crate) after: String,
    pub(crate) scanned: bool,
    pub(crate) maps: Vec<Vec<RunRecord>>,
}

/// One file of rows in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunRecord {
    pub(crate) file: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

impl CheckpointRecord {
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        sealed(key, |out| {
            for number in [self.sequence, self.purge_sequence, self.documents, self.bytes] {
                put_number(out, number);
            }
            put_text(out, &self.after);
            out.push(u8::from(self.scanned));
            put_number(out, self.maps.len() as u64);
            for runs in &self.maps {
                put_number(out, runs.len() as u64);
                for run in runs {
                    for number in [run.file, run.rows, run.bytes] {
                        put_number(out, number);
                    }
                }
            }
        })
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("build", key, value)?;
        let mut record = Self {
            sequence: from.number()?,
            purge_sequence: from.number()?,
            documents: from.number()?,
            bytes: from.number()?,
            after: from.text()?.to_owned(),
            scanned: from.byte()? == 1,
            maps: Vec::new(),
        };
        for _ in 0..from.count()? {
            let mut runs = Vec::new();
            for _ in 0..from.count()? {
                let (file, rows, bytes) = (from.number()?, from.number()?, from.number()?);
                runs.push(RunRecord { file, rows, bytes });
            }
            record.maps.push(runs);
        }
        from.end()?;
        Ok(record)
    }
}

/// How far the store's log of events has been followed.
///
/// | field | form |
/// |---|---|
/// | site | 16 bytes: uuid |
/// | event | number |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventsRecord {
    pub(crate) site: [u8; 16],
    pub(crate) event: u64,
}

impl EventsRecord {
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        sealed(key, |out| {
            out.extend_from_slice(&self.site);
            put_number(out, self.event);
        })
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("events", key, value)?;
        let record = Self { site: from.array()?, event: from.number()? };
        from.end()?;
        Ok(record)
    }
}
