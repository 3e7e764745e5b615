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
/// | layout | number: how its rows are laid out; not there in the first indexes |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexRecord {
    pub(crate) number: u64,
    pub(crate) state: State,
    pub(crate) created: Timestamp,
    pub(crate) collator: String,
    pub(crate) timeline: Timeline,
    pub(crate) shape: ShapeKey,
    pub(crate) layout: u64,
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
            put_number(out, self.layout);
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
            layout: if from.is_empty() { 0 } else { from.number()? },
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
pub(crate) struct BuildRecord {
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

impl BuildRecord {
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

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::keys;

    /// The stored form, which must not change unnoticed; the checksum is left out.
    fn check<R: PartialEq + std::fmt::Debug>(
        key: &[u8],
        record: &R,
        encode: impl Fn(&R, &[u8]) -> Vec<u8>,
        decode: impl Fn(&[u8], &[u8]) -> Result<R, RecordError>,
        expected: Expect,
    ) {
        let value = encode(record, key);
        assert_eq!(&decode(key, &value).expect("it is as it was written"), record);
        let text = format!(
            "{} = {}.{}",
            key.escape_ascii(),
            value[0],
            value[settle_engine::value::HEADER_LENGTH..].escape_ascii()
        );
        expected.assert_eq(&text);
        for length in 0..value.len() {
            assert!(decode(key, &value[..length]).is_err(), "cut at {length}");
        }
    }

    const CURSOR: CursorRecord =
        CursorRecord { sequence: 300, purge_sequence: 2, rows: 7, external: 128, active: 1 };

    #[test]
    fn records_keep_their_form() {
        let record = IndexRecord {
            number: 5,
            state: State::Ready,
            created: Timestamp::from_micros(1_000),
            collator: "c 1".to_owned(),
            timeline: Timeline(*b"timeline"),
            shape: ShapeKey([b's'; 32]),
            layout: 1,
        };
        check(
            &keys::index(3, b"sixteen bytes ok"),
            &record,
            IndexRecord::encode,
            IndexRecord::decode,
            expect![[
                r#"\x01\x031sixteen bytes ok = 1.\x05\x01\xe8\x07\x03c 1timelinessssssssssssssssssssssssssssssss\x01"#
            ]],
        );
        check(
            &keys::cursor(3, 5),
            &CURSOR,
            CursorRecord::encode,
            CursorRecord::decode,
            expect![[r#"\x01\x032\x01\x05 = 1.\xac\x02\x02\x07\x80\x01\x01"#]],
        );
        let record =
            ServedRecord { signature: *b"sixteen bytes ok", index: 5, source: b"{}".to_vec() };
        check(
            &keys::served(3, "d"),
            &record,
            ServedRecord::encode,
            ServedRecord::decode,
            expect![[r#"\x01\x033d = 1.sixteen bytes ok\x05\x02{}"#]],
        );
        let run = RunRecord { file: 1, rows: 2, bytes: 200 };
        let record = BuildRecord {
            cursor: CURSOR,
            documents: 9,
            after: "z".to_owned(),
            scanned: true,
            maps: vec![vec![run], vec![]],
        };
        check(
            &keys::build(3, 5),
            &record,
            BuildRecord::encode,
            BuildRecord::decode,
            expect![[
                r#"\x01\x034\x01\x05 = 1.\xac\x02\x02\x07\x80\x01\x01\t\x01z\x01\x02\x01\x01\x02\xc8\x01\x00"#
            ]],
        );
    }
}
