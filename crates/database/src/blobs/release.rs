//! Takes away all references of a dropped database, in slices.

use settle_engine::{
    Batch, Direction, Outcome, Plan, Progress, Scan, Step, Urgency, Visit, Visitor,
};

use super::{BlobStore, digest::BlobDigest, keys, record::mark};
use crate::error::StorageError;

impl BlobStore {
    /// Takes away about `budget_bytes` of references, and says whether there may be more. For a
    /// database without a writer: it is dropped, and its number is never used again.
    pub async fn release_all(
        &self,
        database: u64,
        budget_bytes: usize,
    ) -> Result<bool, StorageError> {
        let scan = Scan::prefix(&keys::references(database), Direction::Ascending);
        let plan = Plan::new(vec![Step::Scan(scan)]);
        let rows = Rows { database, budget_bytes, rows: Vec::new() };
        let (mut found, progress) = self.engine.read(plan, rows).await?;
        let has_more = progress != Progress::Done;
        let mut batch = Batch { urgency: Urgency::Background, ..Batch::default() };
        // More rows of the last blob may follow, so one stays to begin the next slice with: a blob's
        // site reference goes together with the last of its rows.
        let kept = if has_more { found.rows.pop() } else { None };
        let kept = kept.map(|(digest, _)| digest);
        let now = self.clock.now();
        let mut previous = None;
        for (digest, row) in found.rows {
            if previous != Some(digest) && kept != Some(digest) {
                batch.delete(keys::site_reference(digest, database));
                let check = keys::check(now, digest);
                let value = mark(&check);
                batch.put(check, value);
            }
            previous = Some(digest);
            batch.delete(row);
        }
        if batch.operations.is_empty() {
            return Ok(has_more);
        }
        committed(self.engine.commit(batch).await)?;
        Ok(has_more)
    }
}

/// Of a batch without preconditions.
fn committed(outcome: Outcome) -> Result<(), StorageError> {
    match outcome {
        Outcome::Committed => Ok(()),
        Outcome::Refused { .. } => Err(StorageError::Contended),
        Outcome::NotApplied { reason, storage_full: true } => Err(StorageError::Full { reason }),
        Outcome::NotApplied { reason, storage_full: false } => {
            Err(StorageError::NotWritten { reason })
        }
        Outcome::Unknown { reason } => Err(StorageError::Unknown { reason }),
    }
}

struct Rows {
    database: u64,
    budget_bytes: usize,
    rows: Vec<(BlobDigest, Vec<u8>)>,
}

impl Visitor for Rows {
    fn visit(&mut self, _: usize, key: &[u8], _: Option<&[u8]>) -> Visit {
        let Some(digest) = keys::referred_of(self.database, key) else { return Visit::Next };
        self.rows.push((digest, key.to_vec()));
        self.budget_bytes = self.budget_bytes.saturating_sub(key.len());
        // Two rows at least, since one stays.
        if self.budget_bytes == 0 && self.rows.len() > 1 { Visit::Pause } else { Visit::Next }
    }
}
