//! Reading the catalog, and giving numbers.

use std::{ops::Range, sync::Arc};

use settle_database::{RecordError, StorageError};
use settle_engine::{
    Batch, Direction, Engine, Expected, Outcome, Plan, Scan, Step, Urgency, Visit, Visitor,
};

use super::{BuildRecord, CursorRecord, IndexRecord, ServedRecord};
use crate::{
    codec::{Reader, put_number, sealed},
    keys::{self, Signature},
    limits::{CLASHES_MAX, NUMBER_BLOCK},
};

/// A stored record, and the bytes that a precondition on it names.
#[derive(Debug, Clone)]
pub(crate) struct Stored<R> {
    pub(crate) record: R,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Catalog {
    engine: Arc<dyn Engine>,
    /// Numbers that are reserved and not given yet.
    numbers: tokio::sync::Mutex<Range<u64>>,
}

impl Catalog {
    pub(crate) fn new(engine: Arc<dyn Engine>) -> Self {
        Self { engine, numbers: tokio::sync::Mutex::new(0..0) }
    }

    /// A number that no index has had. Reserved in blocks, so that a small index costs one commit.
    pub(crate) async fn next_number(&self) -> Result<u64, StorageError> {
        let mut numbers = self.numbers.lock().await;
        if numbers.is_empty() {
            *numbers = self.reserve().await?;
        }
        let number = numbers.start;
        numbers.start += 1;
        Ok(number)
    }

    async fn reserve(&self) -> Result<Range<u64>, StorageError> {
        let key = keys::numbers();
        for _ in 0..CLASHES_MAX {
            let stored = self.engine.get(key.clone()).await?;
            let (next, expected) = match stored {
                None => (1, Expected::Absent),
                Some(value) => (decode_next(&key, &value)?, Expected::Equals(value)),
            };
            let mut batch = Batch::default();
            batch.require(key.clone(), expected);
            let end = next + NUMBER_BLOCK;
            batch.put(key.clone(), sealed(&key, |out| put_number(out, end)));
            if committed(self.engine.commit(batch).await)? {
                return Ok(next..end);
            }
        }
        Err(StorageError::Contended)
    }

    pub(crate) async fn index(
        &self,
        database: u64,
        signature: &Signature,
    ) -> Result<Option<Stored<IndexRecord>>, StorageError> {
        self.stored(keys::index(database, signature), IndexRecord::decode).await
    }

    pub(crate) async fn cursor(
        &self,
        database: u64,
        index: u64,
    ) -> Result<Option<Stored<CursorRecord>>, StorageError> {
        self.stored(keys::cursor(database, index), CursorRecord::decode).await
    }

    /// Of all indexes of a database: bytes that are stored for their rows.
    pub(crate) async fn active_bytes(&self, database: u64) -> Result<u64, StorageError> {
        let rows = self.rows(keys::cursors(database)).await?;
        let each = rows.into_iter().map(|(key, bytes)| CursorRecord::decode(&key, &bytes));
        Ok(each.map(|record| record.map(|it| it.active)).sum::<Result<_, RecordError>>()?)
    }

    /// Up to where all indexes of a database have taken its changes in; `u64::MAX` where there are none.
    pub(crate) async fn position(&self, database: u64) -> Result<u64, StorageError> {
        let mut position = u64::MAX;
        for (_, index) in self.indexes(database).await? {
            // One that is being built has none until its rows are there.
            let cursor = self.cursor(database, index.record.number).await?;
            position = position.min(cursor.map_or(0, |cursor| cursor.record.sequence));
        }
        Ok(position)
    }

    pub(crate) async fn build(
        &self,
        database: u64,
        index: u64,
    ) -> Result<Option<Stored<BuildRecord>>, StorageError> {
        self.stored(keys::build(database, index), BuildRecord::decode).await
    }

    pub(crate) async fn served(
        &self,
        database: u64,
        design: &str,
    ) -> Result<Option<Stored<ServedRecord>>, StorageError> {
        self.stored(keys::served(database, design), ServedRecord::decode).await
    }

    /// All indexes of a database.
    pub(crate) async fn indexes(
        &self,
        database: u64,
    ) -> Result<Vec<(Signature, Stored<IndexRecord>)>, StorageError> {
        let rows = self.rows(keys::indexes(database)).await?;
        let decoded = rows.into_iter().filter_map(|(key, bytes)| {
            let signature = keys::signature_of(&key)?;
            let record = IndexRecord::decode(&key, &bytes);
            Some(record.map(|record| (signature, Stored { record, bytes })))
        });
        Ok(decoded.collect::<Result<_, RecordError>>()?)
    }

    /// Which index answers for which design document of a database.
    pub(crate) async fn all_served(
        &self,
        database: u64,
    ) -> Result<Vec<(String, Stored<ServedRecord>)>, StorageError> {
        let rows = self.rows(keys::all_served(database)).await?;
        let decoded = rows.into_iter().filter_map(|(key, bytes)| {
            let design = keys::served_design(&key)?.to_owned();
            let record = ServedRecord::decode(&key, &bytes);
            Some(record.map(|record| (design, Stored { record, bytes })))
        });
        Ok(decoded.collect::<Result<_, RecordError>>()?)
    }

    /// What waits to be cleared: databases and indexes.
    pub(crate) async fn reclaims(&self) -> Result<Vec<(u64, u64)>, StorageError> {
        let rows = self.rows(keys::reclaims()).await?;
        Ok(rows.into_iter().filter_map(|(key, _)| keys::reclaim_of(&key)).collect())
    }

    /// Whether there is anything of a database.
    pub(crate) async fn has(&self, database: u64) -> Result<bool, StorageError> {
        let scan = Scan::prefix(&keys::database(database), Direction::Ascending);
        let plan = Plan::new(vec![Step::Scan(scan)]);
        Ok(self.engine.read_to_end(plan, Any(false)).await?.0)
    }

    /// The databases that have anything here, in order.
    pub(crate) async fn databases(&self) -> Result<Vec<u64>, StorageError> {
        let scan = Scan {
            start: std::ops::Bound::Included(keys::database(1)),
            end: std::ops::Bound::Unbounded,
            direction: Direction::Ascending,
        };
        let plan = Plan::new(vec![Step::Scan(scan)]);
        Ok(self.engine.read_to_end(plan, Databases(Vec::new())).await?.0)
    }

    async fn stored<R>(
        &self,
        key: Vec<u8>,
        decode: impl FnOnce(&[u8], &[u8]) -> Result<R, RecordError>,
    ) -> Result<Option<Stored<R>>, StorageError> {
        let Some(bytes) = self.engine.get(key.clone()).await? else { return Ok(None) };
        Ok(Some(Stored { record: decode(&key, &bytes)?, bytes }))
    }

    async fn rows(&self, prefix: Vec<u8>) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StorageError> {
        let scan = Scan::prefix(&prefix, Direction::Ascending);
        let plan = Plan::new(vec![Step::Scan(scan)]);
        Ok(self.engine.read_to_end(plan, Rows(Vec::new())).await?.0)
    }
}

/// Whether a batch was committed; `false` where a precondition did not hold.
pub(crate) fn committed(outcome: Outcome) -> Result<bool, StorageError> {
    match outcome {
        Outcome::Committed => Ok(true),
        Outcome::Refused { .. } => Ok(false),
        Outcome::NotApplied { reason, storage_full: true } => Err(StorageError::Full { reason }),
        Outcome::NotApplied { reason, storage_full: false } => {
            Err(StorageError::NotWritten { reason })
        }
        Outcome::Unknown { reason } => Err(StorageError::Unknown { reason }),
    }
}

/// A batch that gives way to what people wait for.
pub(crate) fn background() -> Batch {
    Batch { urgency: Urgency::Background, ..Batch::default() }
}

/// The values of many keys, in their order.
pub(crate) async fn get_many(
    engine: &dyn Engine,
    keys: Vec<Vec<u8>>,
) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
    let found = Vec::with_capacity(keys.len());
    let plan = Plan::new(keys.into_iter().map(Step::Get).collect());
    Ok(engine.read_to_end(plan, Values(found)).await?.0)
}

fn decode_next(key: &[u8], value: &[u8]) -> Result<u64, RecordError> {
    let mut from = Reader::open("index numbers", key, value)?;
    let next = from.number()?;
    from.end()?;
    Ok(next)
}

struct Values(Vec<Option<Vec<u8>>>);

impl Visitor for Values {
    fn visit(&mut self, _: usize, _: &[u8], value: Option<&[u8]>) -> Visit {
        self.0.push(value.map(<[u8]>::to_vec));
        Visit::Next
    }
}

struct Rows(Vec<(Vec<u8>, Vec<u8>)>);

impl Visitor for Rows {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.0.push((key.to_vec(), value.unwrap_or_default().to_vec()));
        Visit::Next
    }
}

struct Any(bool);

impl Visitor for Any {
    fn visit(&mut self, _: usize, _: &[u8], _: Option<&[u8]>) -> Visit {
        self.0 = true;
        Visit::Stop
    }
}

/// Jumps from one database to the next.
struct Databases(Vec<u64>);

impl Visitor for Databases {
    fn visit(&mut self, _: usize, key: &[u8], _: Option<&[u8]>) -> Visit {
        let Some(database) = keys::database_of(key) else { return Visit::Next };
        self.0.push(database);
        Visit::Seek(keys::database(database + 1))
    }
}
