//! What the clients of a recording share.

use std::{
    net::SocketAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use settle_model::time::{Entropy as _, SeededEntropy};
use tokio::sync::watch;

use super::lists::Lists;
use crate::histories::Element;

/// Where the server is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// How often it has been started again.
    pub(super) start: u64,
    pub(super) address: SocketAddr,
}

#[derive(Debug)]
pub(super) struct World {
    place: watch::Receiver<Place>,
    lists: Mutex<Lists>,
    operations: u64,
    done: watch::Sender<u64>,
    clock: AtomicU64,
    elements: AtomicU32,
    answers: AtomicU64,
    repeated: AtomicU64,
    pub(super) functions: bool,
}

impl World {
    pub(super) fn new(
        place: watch::Receiver<Place>,
        lists: Lists,
        operations: u64,
        functions: bool,
    ) -> Self {
        Self {
            place,
            lists: Mutex::new(lists),
            operations,
            done: watch::Sender::new(0),
            clock: AtomicU64::new(0),
            elements: AtomicU32::new(0),
            answers: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            functions,
        }
    }

    pub(super) fn place(&self) -> watch::Receiver<Place> {
        self.place.clone()
    }

    /// A point in time behind all that were asked for before.
    pub(super) fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// One that nobody has appended.
    pub(super) fn element(&self) -> Element {
        Element(self.elements.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn lists(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_done(&self) -> bool {
        *self.done.borrow() >= self.operations
    }

    pub(super) fn count_operation(&self) {
        self.done.send_modify(|done| *done += 1);
    }

    /// Waits until so many operations are done.
    pub(super) async fn until_done(&self, count: u64) {
        let mut done = self.done.subscribe();
        // It ends with this world, which is there.
        drop(done.wait_for(|done| *done >= count).await);
    }

    pub(super) fn count_answer(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_repeated(&self) {
        self.repeated.fetch_add(1, Ordering::Relaxed);
    }

    /// Of answers, and of requests that were sent again.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.answers.load(Ordering::Relaxed), self.repeated.load(Ordering::Relaxed))
    }
}

/// Numbers that follow from a seed, others for each of those that use it.
#[derive(Debug)]
pub(super) struct Random(SeededEntropy);

impl Random {
    pub(super) fn new(seed: u64, of: u64) -> Self {
        Self(SeededEntropy::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ of.rotate_left(32)))
    }

    pub(super) fn below(&self, end: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % end
    }

    /// A place in something of this length.
    pub(super) fn index(&self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("it is below a length")
    }

    /// Once in so many times.
    pub(super) fn one_in(&self, times: u64) -> bool {
        self.below(times) == 0
    }
}
