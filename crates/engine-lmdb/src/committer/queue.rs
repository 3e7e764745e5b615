//! What waits for the committer.

use std::{
    collections::VecDeque,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use settle_engine::Urgency;
use thiserror::Error;

use super::Job;
use crate::limits::WAITING_BYTES_MAX;

#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    counters: Counters,
}

#[derive(Default)]
struct State {
    foreground: VecDeque<Job>,
    background: VecDeque<Job>,
    waiting_bytes: usize,
    /// The committer sleeps until so many jobs wait; waking it costs a system call, so it is done
    /// only then. Zero while it is awake.
    wake_at: usize,
    /// Whether the present group has its background job.
    background_is_served: bool,
    is_closed: bool,
    halted: Option<String>,
}

/// For metrics: counts since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    commits: AtomicU64,
    batches: AtomicU64,
}

/// Why a job was not taken in.
#[derive(Debug, Error)]
pub(crate) enum QueueRefusal {
    #[error("{}", super::halt_message(reason))]
    Halted { reason: String },
    #[error("the store is being closed")]
    Closed,
    #[error("more than {WAITING_BYTES_MAX} bytes wait to be committed")]
    TooMuchWaits,
}

impl Queue {
    pub(crate) fn push(&self, job: Job, urgency: Urgency) -> Result<(), QueueRefusal> {
        let mut state = self.state();
        if let Some(reason) = &state.halted {
            return Err(QueueRefusal::Halted { reason: reason.clone() });
        }
        if state.is_closed {
            return Err(QueueRefusal::Closed);
        }
        let bytes = job.bytes();
        if state.waiting_bytes > 0 && state.waiting_bytes + bytes > WAITING_BYTES_MAX {
            return Err(QueueRefusal::TooMuchWaits);
        }
        state.waiting_bytes += bytes;
        match urgency {
            Urgency::Foreground => state.foreground.push_back(job),
            Urgency::Background => state.background.push_back(job),
        }
        if state.wake_at != 0 && state.waiting() >= state.wake_at {
            state.wake_at = 0;
            drop(state);
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// The first job of a new group; `None` once the queue is closed and empty.
    pub(super) fn wait(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            state.background_is_served = false;
            if let Some(job) = state.pop(false) {
                return Some(job);
            }
            if state.is_closed {
                return None;
            }
            state.wake_at = 1;
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A further job for the present group, if one waits. A closed group takes only what background
    /// work is due.
    pub(super) fn take(&self, is_closed: bool) -> Option<Job> {
        self.state().pop(is_closed)
    }

    /// Waits until so many jobs are there, or the time is up.
    pub(super) fn expect(&self, count: usize, time: Duration) {
        let mut state = self.state();
        if state.waiting() < count && !state.is_closed {
            state.wake_at = count;
            let (mut state, _) = self
                .arrived
                .wait_timeout_while(state, time, |state| state.wake_at != 0 && !state.is_closed)
                .unwrap_or_else(PoisonError::into_inner);
            state.wake_at = 0;
        }
    }

    /// From now on, nothing is taken in.
    pub(super) fn halt(&self, reason: &str) {
        self.state().halted.get_or_insert_with(|| reason.to_owned());
    }

    pub(super) fn halted(&self) -> Option<String> {
        self.state().halted.clone()
    }

    /// Lets the committer end once it has served what waits.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        drop(state);
        self.arrived.notify_one();
    }

    pub(crate) fn waiting(&self) -> u64 {
        self.state().waiting() as u64
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    // Nothing that can panic runs under the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn waiting(&self) -> usize {
        self.foreground.len() + self.background.len()
    }

    fn pop(&mut self, group_is_closed: bool) -> Option<Job> {
        let foreground = if group_is_closed { None } else { self.foreground.pop_front() };
        let job = match foreground {
            Some(job) => job,
            None if group_is_closed && self.background_is_served => return None,
            None => {
                let job = self.background.pop_front()?;
                self.background_is_served = true;
                job
            }
        };
        self.waiting_bytes -= job.bytes();
        Some(job)
    }
}

impl Counters {
    /// `is_empty`: no batch of the group wrote anything, so nothing was synced either.
    pub(super) fn note_commit(&self, batches: usize, is_empty: bool) {
        self.commits.fetch_add(u64::from(!is_empty), Ordering::Relaxed);
        self.batches.fetch_add(batches as u64, Ordering::Relaxed);
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub(crate) fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("counters", &self.counters).finish_non_exhaustive()
    }
}
