//! Where passwords are hashed and checked: apart from the request threads, few at a time, and with a
//! bound on how many wait.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use settle_model::time::Clock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::{limits, password::Memory};

#[derive(Debug)]
pub(crate) struct Hashing {
    /// A permit for each check that runs or waits.
    waiting: Arc<Semaphore>,
    /// A permit for each check that runs, and what it works in.
    running: Arc<Semaphore>,
    memories: Arc<Mutex<Vec<Memory>>>,
    clock: Arc<dyn Clock>,
    /// Whether the last check hardly got on.
    starves: Arc<AtomicBool>,
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
    clock: Arc<dyn Clock>,
    starves: Arc<AtomicBool>,
}

impl Hashing {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            waiting: Arc::new(Semaphore::new(limits::CHECKS_WAITING_MAX)),
            running: Arc::new(Semaphore::new(limits::CHECKS_AT_ONCE)),
            memories: Arc::default(),
            clock,
            starves: Arc::default(),
        }
    }

    /// Turns come in the order in which they are asked for.
    pub(crate) async fn turn(&self) -> Result<Turn, Busy> {
        let waiting = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| Busy)?;
        let running = Arc::clone(&self.running).acquire_owned().await;
        let running = running.expect("the semaphore is never closed");
        Ok(Turn {
            _waiting: waiting,
            running,
            memories: Arc::clone(&self.memories),
            clock: Arc::clone(&self.clock),
            starves: Arc::clone(&self.starves),
        })
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
        let Self { _waiting, running, memories, clock, starves } = self;
        let (tell, told) = oneshot::channel();
        let hash = move || {
            let begun = clock.monotonic();
            yield_to_others(starves.load(Ordering::Relaxed));
            let lock = || memories.lock().unwrap_or_else(PoisonError::into_inner);
            let mut memory = lock().pop().unwrap_or_default();
            let done = work(&mut memory);
            lock().push(memory);
            let took = clock.monotonic().saturating_sub(begun);
            starves.store(took > limits::CHECK_STARVES, Ordering::Relaxed);
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

/// Whoever guesses passwords must not slow down those who are signed in: everything else goes before a check,
/// at once and not only in the long run. Where that leaves checks no time, they get a small share.
#[cfg(target_os = "linux")]
fn yield_to_others(starves: bool) {
    use thread_priority::{
        NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
        set_thread_priority_and_policy, thread_native_id,
    };
    // On Linux priorities are those of threads. Without it, hashing is as urgent as all else.
    if starves {
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10);
    } else {
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
        // Whoever waits for this core was to wait for a thread that was as urgent.
        std::thread::yield_now();
    }
}

#[cfg(not(target_os = "linux"))]
fn yield_to_others(_starves: bool) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use settle_model::time::ManualClock;
    use thread_priority::{
        NormalThreadSchedulePolicy, ThreadSchedulePolicy, thread_schedule_policy,
    };

    use super::*;

    #[tokio::test]
    async fn a_check_is_the_least_urgent_work_unless_the_last_one_starved() {
        let clock = Arc::new(ManualClock::default());
        let hashing = Hashing::new(clock.clone());
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        let other = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
        for (takes, expected) in [(1_000, idle), (1_000, other), (10, other), (10, idle)] {
            let clock = clock.clone();
            let check = move |_: &mut Memory| {
                clock.advance(Duration::from_millis(takes));
                let nice = rustix::process::getpriority_process(Some(rustix::thread::gettid()));
                (thread_schedule_policy().unwrap(), nice.unwrap())
            };
            let turn = hashing.turn().await.unwrap();
            let nice = if expected == other { 10 } else { 0 };
            assert_eq!(turn.run(check).await, (expected, nice));
        }
    }
}
