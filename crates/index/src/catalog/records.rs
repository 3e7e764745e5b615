//! The catalog's records. `docs/formats.md` has the table of where they stand.

use settle_database::RecordError;
use settle_model::{sequence::Timeline, time::Timestamp};

use crate::{
    codec::{Reader, put_bytes, put_number, put_text, sealed},
    keys::Signature,
    tree::ShapeKey,
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
/// | shape | 32 bytes: the key that decides the shape of its trees |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexRecord {
    pub(crate) number: u64,
    pub(crate) state: State,
    pub(crate) created: Timestamp,
    pub(crate) collator: String,
    pub(crate) timeline: Timeline,
    pub(crate) shape: ShapeKey,
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
            out.extend_from_slice(&self.shape.0);
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
            shape: ShapeKey(from.array()?),
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
/// | external | number: bytes of the keys and values of its rows, as JSON |
/// | active | number: bytes of all that is stored for its rows, but for reductions |
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CursorRecord {
    pub(crate) sequence: u64,
    pub(crate) purge_sequence: u64,
    pub(crate) rows: u64,
    pub(crate) external: u64,
    pub(crate) active: u64,
}

impl CursorRecord {
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        sealed(key, |out| self.put(out))
    }

    fn put(&self, out: &mut Vec<u8>) {
        let Self { sequence, purge_sequence, rows, external, active } = *self;
        for number in [sequence, purge_sequence, rows, external, active] {
            put_number(out, number);
        }
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("index cursor", key, value)?;
        let record = Self::take(&mut from)?;
        from.end()?;
        Ok(record)
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, RecordError> {
        Ok(Self {
            sequence: from.number()?,
            purge_sequence: from.number()?,
            rows: from.number()?,
            external: from.number()?,
            active: from.number()?,
        })
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
/// | cursor | as in the index's cursor: the sequences are those when the scan began, the rows those so far |
/// | documents | number: that have been mapped |
/// | after | text: the last document that has been mapped |
/// | scanned | byte: 1 when that was the last of all |
/// | maps | count, then for each its runs: count, then each: number of the file, its rows, its bytes |
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CheckpointRecord {
    pub(crate) cursor: CursorRecord,
    pub(crate) documents: u64,
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
            self.cursor.put(out);
            put_number(out, self.documents);
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
            cursor: CursorRecord::take(&mut from)?,
            documents: from.number()?,
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
