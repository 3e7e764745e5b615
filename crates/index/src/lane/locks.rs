//! Lanes: one for each document that somebody writes at this moment.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use settle_model::id::DocumentId;
use tokio::sync::OwnedMutexGuard;

/// Database and document.
type Key = (u64, DocumentId);
type Lane = Arc<tokio::sync::Mutex<()>>;

#[derive(Debug, Clone, Default)]
pub(super) struct Locks {
    lanes: Arc<Mutex<HashMap<Key, Lane>>>,
}

/// The lanes of some documents, until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    locks: Locks,
    held: Vec<(Key, Option<OwnedMutexGuard<()>>)>,
}

impl Locks {
    /// Waits for the lanes of these documents, one after the other in the order of their ids, so that no
    /// two writes wait for each other. Who comes first has his turn first.
    pub(super) async fn take(&self, database: u64, ids: impl Iterator<Item = DocumentId>) -> Held {
        let mut ids: Vec<DocumentId> = ids.collect();
        ids.sort_unstable();
        ids.dedup();
        let mut held = Held { locks: self.clone(), held: Vec::with_capacity(ids.len()) };
        for id in ids {
            let key = (database, id);
            let lane = self.lock().entry(key.clone()).or_default().clone();
            // Before the wait, so that the lane goes again when the wait is given up.
            held.held.push((key, None));
            let guard = lane.lock_owned().await;
            if let Some((_, place)) = held.held.last_mut() {
                *place = Some(guard);
            }
        }
        held
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Lane>> {
        // Every change to the map is one call, so a panic elsewhere leaves it whole.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut lanes = self.locks.lock();
        for (key, guard) in self.held.drain(..) {
            drop(guard);
            // Others who wait hold it as well.
            if lanes.get(&key).is_some_and(|lane| Arc::strong_count(lane) == 1) {
                lanes.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ids(text: &str) -> impl Iterator<Item = DocumentId> {
        text.split(' ').map(|id| id.parse().expect("an id"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_is_held_by_one_and_goes_when_nobody_wants_it() {
        let locks = Locks::default();
        let first = locks.take(1, ids("b a a")).await;
        drop(locks.take(1, ids("c")).await);
        drop(locks.take(2, ids("a")).await);
        let second = locks.take(1, ids("a c"));
        let mut second = Box::pin(second);
        assert!(tokio::time::timeout(Duration::from_secs(9), &mut second).await.is_err());
        drop(first);
        let second = second.await;
        let third = Box::pin(locks.take(1, ids("a c")));
        assert!(tokio::time::timeout(Duration::from_secs(9), third).await.is_err());
        drop(second);
        assert!(locks.lock().is_empty());
    }
}
