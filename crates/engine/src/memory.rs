//! The in-memory engine: for tests, and the model that other engines are measured against.
//!
//! One ordered map under a lock. Reads hold the lock for a slice, commits for a batch, so a view is
//! consistent and a batch atomic by construction. It has no clock, so slices end by bytes alone.
//! Durable it is not; a checkpoint is a real one, though, and opens again.

mod dump;

use std::{
    collections::{BTreeMap, btree_map},
    convert::Infallible,
    iter::Rev,
    ops::Bound,
    path::Path,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use crate::{
    Batch, BoxFuture, Checkpoint, CheckpointError, ClearError, Cleared, Direction, Engine,
    Expected, Operation, Outcome, Plan, Precondition, ReadResult, Stats, Visitor, checked,
    limits::SLICE_BYTES_MAX,
    slice::{self, Budget, View},
};

pub use dump::OpenError;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug, Default)]
pub struct MemoryEngine {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    rows: Rows,
    bytes: u64,
    commits: u64,
}

impl MemoryEngine {
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a checkpoint that another in-memory engine has written.
    pub fn open(checkpoint: &Path) -> Result<Self, OpenError> {
        let rows = dump::read(checkpoint)?;
        let bytes = rows.iter().map(|(key, value)| row_bytes(key, value)).sum();
        Ok(Self { state: RwLock::new(State { rows, bytes, commits: 0 }) })
    }

    // A visitor that panics leaves the rows as they were: poisoning says nothing here.
    fn shared(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn exclusive(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, batch: Batch) -> Outcome {
        if let Some(outcome) = checked::refusal(&batch) {
            return outcome;
        }
        let mut state = self.exclusive();
        let broken =
            batch.preconditions.iter().position(|condition| !holds(&state.rows, condition));
        if let Some(precondition) = broken {
            return Outcome::Refused { precondition };
        }
        for operation in batch.operations {
            match operation {
                Operation::Put { key, value } => state.put(key, value),
                Operation::Delete { key } => state.delete(&key),
            }
        }
        state.commits += 1;
        Outcome::Committed
    }
}

impl Engine for MemoryEngine {
    fn read_boxed(&self, plan: Plan, mut visitor: Box<dyn Visitor>) -> BoxFuture<'_, ReadResult> {
        Box::pin(async move {
            let end = {
                let state = self.shared();
                let mut budget = Budget {
                    bytes_max: SLICE_BYTES_MAX,
                    bytes_visited: 0,
                    out_of_time: &mut || false,
                };
                let Ok(end) = slice::run(&state.rows, &plan, &mut *visitor, &mut budget);
                end
            };
            Ok((visitor, end.into()))
        })
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'static, Outcome> {
        let outcome = self.apply(batch);
        Box::pin(async move { outcome })
    }

    fn clear(
        &self,
        start: Vec<u8>,
        end: Vec<u8>,
        budget_bytes: usize,
    ) -> BoxFuture<'_, Result<Cleared, ClearError>> {
        Box::pin(async move {
            if start >= end {
                return Ok(Cleared::Done);
            }
            let mut state = self.exclusive();
            let mut doomed = Vec::new();
            let mut bytes = 0;
            let mut cleared = Cleared::Done;
            let range = (Bound::Included(start), Bound::Excluded(end));
            for (key, value) in state.rows.range::<Vec<u8>, _>(range) {
                if bytes >= budget_bytes && !doomed.is_empty() {
                    cleared = Cleared::More;
                    break;
                }
                bytes += key.len() + value.len();
                doomed.push(key.clone());
            }
            for key in doomed {
                state.delete(&key);
            }
            state.commits += 1;
            Ok(cleared)
        })
    }

    fn checkpoint<'a>(
        &'a self,
        to: &'a Path,
    ) -> BoxFuture<'a, Result<Checkpoint, CheckpointError>> {
        Box::pin(async move {
            let rows = self.shared().rows.clone();
            dump::write(to, &rows).map(|bytes| Checkpoint { bytes }).map_err(|error| {
                CheckpointError::Failed { to: to.to_path_buf(), reason: error.to_string() }
            })
        })
    }

    fn stats(&self) -> Stats {
        let state = self.shared();
        Stats {
            file_bytes: state.bytes,
            keys: state.rows.len() as u64,
            commits: state.commits,
            batches: state.commits,
            ..Stats::default()
        }
    }
}

impl State {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.delete(&key);
        self.bytes += row_bytes(&key, &value);
        self.rows.insert(key, value);
    }

    fn delete(&mut self, key: &[u8]) {
        if let Some(value) = self.rows.remove(key) {
            self.bytes -= row_bytes(key, &value);
        }
    }
}

fn row_bytes(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}

fn holds(rows: &Rows, precondition: &Precondition) -> bool {
    let value = rows.get(&precondition.key);
    match &precondition.expected {
        Expected::Absent => value.is_none(),
        Expected::Present => value.is_some(),
        Expected::Equals(expected) => value == Some(expected),
    }
}

impl View for Rows {
    type Error = Infallible;
    type Rows<'v> = MemoryRows<'v>;

    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, Infallible> {
        Ok(self.get(key).map(Vec::as_slice))
    }

    fn rows(
        &self,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
        direction: Direction,
    ) -> Result<MemoryRows<'_>, Infallible> {
        let range = self.range::<[u8], _>((start, end));
        Ok(match direction {
            Direction::Ascending => MemoryRows::Ascending(range),
            Direction::Descending => MemoryRows::Descending(range.rev()),
        })
    }
}

/// Rows of a range, either way.
#[derive(Debug)]
pub enum MemoryRows<'v> {
    Ascending(btree_map::Range<'v, Vec<u8>, Vec<u8>>),
    Descending(Rev<btree_map::Range<'v, Vec<u8>, Vec<u8>>>),
}

impl<'v> Iterator for MemoryRows<'v> {
    type Item = Result<(&'v [u8], &'v [u8]), Infallible>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = match self {
            Self::Ascending(rows) => rows.next(),
            Self::Descending(rows) => rows.next(),
        };
        row.map(|(key, value)| Ok((key.as_slice(), value.as_slice())))
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use super::MemoryEngine;
    use crate::{
        Engine,
        conformance::{self, Maker},
    };

    struct Memory;

    impl Maker for Memory {
        fn create(&self) -> Arc<dyn Engine> {
            Arc::new(MemoryEngine::new())
        }

        fn open(&self, checkpoint: &Path) -> Arc<dyn Engine> {
            Arc::new(MemoryEngine::open(checkpoint).expect("a checkpoint opens"))
        }
    }

    #[test]
    fn it_keeps_the_contract() {
        conformance::run(&Memory);
    }

    #[test]
    fn a_checkpoint_that_lost_or_changed_a_byte_does_not_open() {
        let folder = tempfile::tempdir().unwrap();
        super::dump::write(folder.path(), &[(b"k".to_vec(), b"v".to_vec())].into()).unwrap();
        let path = folder.path().join("memory.dump");
        let whole = std::fs::read(&path).unwrap();
        for index in 0..whole.len() {
            let mut changed = whole.clone();
            changed[index] ^= 1;
            for text in [&changed[..], &whole[..index]] {
                std::fs::write(&path, text).unwrap();
                assert!(MemoryEngine::open(folder.path()).is_err(), "byte {index}");
            }
        }
        std::fs::write(&path, whole).unwrap();
        MemoryEngine::open(folder.path()).unwrap();
    }
}
