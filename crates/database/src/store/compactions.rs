//! Which databases are being compacted, for those who want to know.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use settle_model::{id::DatabaseName, time::Timestamp};

/// A compaction that somebody asked for and that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compaction {
    pub database: DatabaseName,
    pub started: Timestamp,
    /// Of the database: tells it from others that had its name.
    number: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Compactions(Arc<Mutex<Running>>);

/// In the order in which they began.
#[derive(Debug, Default)]
struct Running {
    next: u64,
    all: BTreeMap<u64, Compaction>,
}

/// That one is running; over when this is dropped.
pub(crate) struct Compacting {
    compactions: Compactions,
    id: u64,
}

impl Compactions {
    pub(crate) fn begin(
        &self,
        database: DatabaseName,
        number: u64,
        started: Timestamp,
    ) -> Compacting {
        let mut running = self.lock();
        let id = running.next;
        running.next += 1;
        running.all.insert(id, Compaction { database, started, number });
        drop(running);
        Compacting { compactions: Self(Arc::clone(&self.0)), id }
    }

    pub(crate) fn has(&self, number: u64) -> bool {
        self.lock().all.values().any(|compaction| compaction.number == number)
    }

    pub(super) fn all(&self) -> Vec<Compaction> {
        self.lock().all.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        // Every change to the map is one call, so a panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Compacting {
    fn drop(&mut self) {
        self.compactions.lock().all.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compaction_is_told_of_until_it_ends_however_it_ends() {
        let compactions = Compactions::default();
        let name: DatabaseName = "d".parse().expect("a name");
        let first = compactions.begin(name.clone(), 1, Timestamp::from_seconds(5));
        let second = compactions.begin(name, 2, Timestamp::from_seconds(6));
        assert_eq!(compactions.all().iter().map(|it| it.number).collect::<Vec<_>>(), [1, 2]);
        drop(first);
        assert!(!compactions.has(1) && compactions.has(2));
        drop(second);
        assert_eq!(compactions.all(), []);
    }
}
