//! Where passwords are hashed and checked: apart from the request threads, few at a time, and with a
//! bound on how many wait.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{limits, password::Memory};

#[derive(Debug)]
pub(crate) struct Hashing {
    /// A permit for each check that runs or waits.
    waiting: Arc<Semaphore>,
    /// A permit for each check that runs, and what it works in.
    running: Arc<Semaphore>,
    memories: Arc<Mutex<Vec<Memory>>>,
}

/// So many wait that this one was not taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy;

/// A turn to hash one password.
#[derive(Debug)]
pub(crate) struct Turn {
    _waiting: OwnedSemaphorePermit,
    running: OwnedSemaphorePermit,
    memories: Arc<Mutex<Vec<Memory>>>,
}

impl Hashing {
    pub(crate) fn new() -> Self {
        Self {
            waiting: Arc::new(Semaphore::new(limits::CHECKS_WAITING_MAX)),
            running: Arc::new(Semaphore::new(limits::CHECKS_AT_ONCE)),
            memories: Arc::default(),
        }
    }

    /// Turns come in the order in which they are asked for.
    pub(crate) async fn turn(&self) -> Result<Turn, Busy> {
        let waiting = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| Busy)?;
        let running = Arc::clone(&self.running).acquire_owned().await;
        let running = running.expect("the semaphore is never closed");
        Ok(Turn { _waiting: waiting, running, memories: Arc::clone(&self.memories) })
    }

    #[cfg(test)]
    pub(crate) async fn occupy(&self) -> OwnedSemaphorePermit {
        let all = u32::try_from(limits::CHECKS_AT_ONCE).unwrap();
        Arc::clone(&self.running).acquire_many_owned(all).await.unwrap()
    }
}

impl Turn {
    /// The permit goes along, since a check runs to its end even if nobody waits for it any more.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> T {
        let Self { _waiting, running, memories } = self;
        let done = tokio::task::spawn_blocking(move || {
            let lock = || memories.lock().unwrap_or_else(PoisonError::into_inner);
            let mut memory = lock().pop().unwrap_or_default();
            let done = work(&mut memory);
            lock().push(memory);
            drop(running);
            done
        });
        done.await.expect("hashing a password does not panic")
    }
}
