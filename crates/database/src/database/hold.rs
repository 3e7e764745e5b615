//! What of a database's past has to stay because somebody reads it: an archive that is being written.
//!
//! Held in the memory of this node. The collector of history stops before what is held; should another node
//! have collected it all the same, the reader finds the floor of history above its sequence, and fails.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The sequences that are held, each with how often.
#[derive(Debug, Default)]
pub(crate) struct Holds(Mutex<BTreeMap<u64, usize>>);

/// Keeps what updates after its sequence replaced, until it is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    holds: Arc<Holds>,
    sequence: u64,
}

impl Hold {
    pub(crate) fn new(holds: &Arc<Holds>, sequence: u64) -> Self {
        *holds.lock().entry(sequence).or_default() += 1;
        Self { holds: holds.clone(), sequence }
    }
}

impl Holds {
    /// The oldest sequence that is held: what was replaced up to it may go.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.lock().keys().next().copied()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, usize>> {
        // Every change to the map is one call, so a panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut holds = self.holds.lock();
        if let Some(count) = holds.get_mut(&self.sequence) {
            *count -= 1;
            if *count == 0 {
                holds.remove(&self.sequence);
            }
        }
    }
}
