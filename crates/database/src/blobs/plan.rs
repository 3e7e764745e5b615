//! What a write of one database does to the blobs it refers to.
//!
//! A writer notes which revisions begin and cease to refer to which blobs, lets [`BlobPlan::resolve`]
//! read what that depends on, and appends the outcome to its own batch. All of a batch goes through
//! one plan, since its parts depend on each other: one revision may give up the blob that the next
//! takes on, and two may bring the same new content.
//!
//! Why this is safe. A database's references are changed by its writer alone, whose batch is refused
//! when the database's state has moved on since it was read; so "this was the last reference" stays
//! true until the commit. Where the database already has a reference, the blob cannot go. Where it
//! has none, the batch requires the blob's record to be the one that was read, and a condemned one is
//! reprieved by writing it anew; the collector's deletion requires the condemned one. Whichever
//! commits first makes the other read again.

use std::{collections::BTreeMap, sync::Arc};

use settle_engine::{
    Batch, Direction, Engine, Expected, Operation, Plan, Precondition, Scan, Step, Visit, Visitor,
};
use settle_model::{id::DocumentId, revision::RevId, time::Timestamp};
use thiserror::Error;

use super::{
    digest::BlobDigest,
    keys,
    record::{BlobRecord, encode_data, mark},
    staged::StagedBlob,
};
use crate::error::StorageError;

/// References that begin and cease in one batch of one database.
#[derive(Debug, Clone)]
pub struct BlobPlan {
    database: u64,
    blobs: BTreeMap<BlobDigest, Changes>,
}

#[derive(Debug, Clone, Default)]
struct Changes {
    staged: Option<Arc<StagedBlob>>,
    /// By key of the reference: whether it is there afterwards.
    rows: BTreeMap<Vec<u8>, bool>,
}

/// What to add to the batch.
#[derive(Debug, Default)]
pub struct BlobWrites {
    preconditions: Vec<Precondition>,
    operations: Vec<Operation>,
    used: Vec<Arc<StagedBlob>>,
    /// Stored bytes of the blobs that the database refers to from now on, and of those that it does not any more.
    gained: u64,
    lost: u64,
}

#[derive(Debug, Error)]
pub enum PlanError {
    /// Neither stored nor freshly uploaded. The writer refuses the edits that need it and plans again.
    #[error("attachment data {digest} is not stored here")]
    Missing { digest: BlobDigest },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl BlobPlan {
    pub fn new(database: u64) -> Self {
        Self { database, blobs: BTreeMap::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// A revision refers to the blob from now on. `staged` is needed unless the blob is stored.
    pub fn reference(
        &mut self,
        digest: BlobDigest,
        document: &DocumentId,
        rev: &RevId,
        staged: Option<&Arc<StagedBlob>>,
    ) {
        debug_assert!(staged.is_none_or(|staged| staged.digest() == digest));
        let changes = self.blobs.entry(digest).or_default();
        if changes.staged.is_none() {
            changes.staged = staged.cloned();
        }
        changes.rows.insert(keys::reference(self.database, digest, document, rev), true);
    }

    /// A revision does not refer to the blob any more, whether it did or not.
    pub fn release(&mut self, digest: BlobDigest, document: &DocumentId, rev: &RevId) {
        let row = keys::reference(self.database, digest, document, rev);
        self.blobs.entry(digest).or_default().rows.insert(row, false);
    }

    /// Reads what the plan depends on and says what to write. An empty plan reads nothing.
    pub async fn resolve(
        self,
        engine: &dyn Engine,
        now: Timestamp,
    ) -> Result<BlobWrites, PlanError> {
        if self.is_empty() {
            return Ok(BlobWrites::default());
        }
        let found = vec![Found::default(); self.blobs.len()];
        let plan = self.reads();
        let look = Look { blobs: self.blobs.into_iter().collect(), found };
        let look = engine.read_to_end(plan, look).await.map_err(StorageError::from)?;
        let mut writes = BlobWrites::default();
        for ((digest, changes), found) in look.blobs.into_iter().zip(look.found) {
            writes.add(self.database, digest, changes, found, now)?;
        }
        Ok(writes)
    }

    /// Three steps for each blob, see [`Look`].
    fn reads(&self) -> Plan {
        let mut steps = Vec::with_capacity(3 * self.blobs.len());
        for (&digest, changes) in &self.blobs {
            steps.push(Step::Get(keys::site_reference(digest, self.database)));
            steps.push(Step::Get(keys::blob(digest)));
            let references = keys::references_to(self.database, digest);
            steps.push(match changes.adds() {
                // What else refers to it does not matter; a get keeps the steps aligned.
                true => Step::Get(references),
                false => Step::Scan(Scan::prefix(&references, Direction::Ascending)),
            });
        }
        Plan::new(steps)
    }
}

impl Changes {
    fn adds(&self) -> bool {
        self.rows.values().any(|&is_there| is_there)
    }
}

/// What the engine has of one blob.
#[derive(Debug, Clone, Default)]
struct Found {
    is_referred: bool,
    record: Option<Vec<u8>>,
    /// Whether a reference of this database stays that the plan does not name.
    has_others: bool,
}

/// Steps 3n, 3n+1 and 3n+2 are the database's site reference to the nth blob, the blob's record, and
/// the database's references to it.
struct Look {
    blobs: Vec<(BlobDigest, Changes)>,
    found: Vec<Found>,
}

impl Visitor for Look {
    fn visit(&mut self, step: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        let found = &mut self.found[step / 3];
        match step % 3 {
            0 => found.is_referred = value.is_some(),
            1 => found.record = value.map(<[u8]>::to_vec),
            _ if value.is_none() || self.blobs[step / 3].1.rows.contains_key(key) => {}
            _ => {
                found.has_others = true;
                return Visit::NextStep;
            }
        }
        Visit::Next
    }
}

impl BlobWrites {
    /// Adds preconditions and operations behind those that the batch has.
    pub fn append_to(&self, batch: &mut Batch) {
        batch.preconditions.extend_from_slice(&self.preconditions);
        batch.operations.extend_from_slice(&self.operations);
    }

    /// To be called when the batch has been committed, and also when its outcome stays unknown:
    /// the files it refers to stay. When it was not applied, dropping this is right.
    pub fn keep(self) {
        for staged in &self.used {
            staged.keep();
        }
    }

    /// What the database's attachments take after the commit, each content once, when they took `before`.
    pub fn attached_after(&self, before: u64) -> u64 {
        (before + self.gained).saturating_sub(self.lost)
    }

    /// How many bytes of keys and values are written.
    pub fn bytes(&self) -> usize {
        let bytes = |operation: &Operation| match operation {
            Operation::Put { key, value } => key.len() + value.len(),
            Operation::Delete { key } => key.len(),
        };
        self.operations.iter().map(bytes).sum()
    }

    fn add(
        &mut self,
        database: u64,
        digest: BlobDigest,
        changes: Changes,
        found: Found,
        now: Timestamp,
    ) -> Result<(), PlanError> {
        let site_reference = keys::site_reference(digest, database);
        if changes.adds() && !found.is_referred {
            self.gained += self.require_blob(digest, changes.staged, found.record)?;
            self.put_mark(site_reference);
        } else if !changes.adds() && !found.has_others && found.is_referred {
            // Nobody is kept from giving up a blob because its record is damaged; its bytes then stay in the count.
            let record = found.record.map(|it| BlobRecord::decode(digest, &it));
            if let Some(Ok(record)) = record {
                self.lost += record.stored_length;
            }
            self.delete(site_reference);
            self.put_mark(keys::check(now, digest));
        }
        for (row, is_there) in changes.rows {
            if is_there { self.put_mark(row) } else { self.delete(row) }
        }
        Ok(())
    }

    /// The blob is there after the commit, and not condemned; its stored bytes.
    fn require_blob(
        &mut self,
        digest: BlobDigest,
        staged: Option<Arc<StagedBlob>>,
        stored: Option<Vec<u8>>,
    ) -> Result<u64, PlanError> {
        let require = |expected| Precondition { key: keys::blob(digest), expected };
        let Some(stored) = stored else {
            let staged = staged.filter(|it| it.is_usable());
            let staged = staged.ok_or(PlanError::Missing { digest })?;
            self.preconditions.push(require(Expected::Absent));
            let record = staged.record();
            self.put(record.encode(digest));
            if let Some(bytes) = staged.inline() {
                let key = keys::data(digest);
                let value = encode_data(&key, bytes);
                self.put((key, value));
            }
            self.used.push(staged);
            return Ok(record.stored_length);
        };
        let record = BlobRecord::decode(digest, &stored).map_err(StorageError::from)?;
        self.preconditions.push(require(Expected::Equals(stored)));
        if record.condemned_at.is_some() {
            self.put(record.reprieved().encode(digest));
        }
        Ok(record.stored_length)
    }

    fn put(&mut self, (key, value): (Vec<u8>, Vec<u8>)) {
        self.operations.push(Operation::Put { key, value });
    }

    fn put_mark(&mut self, key: Vec<u8>) {
        let value = mark(&key);
        self.put((key, value));
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.operations.push(Operation::Delete { key });
    }
}
