//! Where passwords are hashed and checked: apart from the request threads, few at a time, and with a
//! bound on how many wait.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

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
        let (tell, told) = oneshot::channel();
        let hash = move || {
            yield_to_others();
            let lock = || memories.lock().unwrap_or_else(PoisonError::into_inner);
            let mut memory = lock().pop().unwrap_or_default();
            let done = work(&mut memory);
            lock().push(memory);
            drop(running);
            // Nobody may wait any more.
            drop(tell.send(done));
        };
        // A thread of its own costs a thousandth of what it does, and does not hand its low priority on.
        let thread = std::thread::Builder::new().name("password".to_owned()).spawn(hash);
        thread.expect("there is room for a thread");
        told.await.expect("hashing a password does not panic")
    }
}

/// Whoever guesses passwords must not slow down those who are signed in.
#[cfg(target_os = "linux")]
fn yield_to_others() {
    // On Linux priorities are those of threads. Without it, hashing is as urgent as all else.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10);
}

#[cfg(not(target_os = "linux"))]
fn yield_to_others() {}
