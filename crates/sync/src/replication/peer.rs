//! What is known of one of the two databases, and what waits to be asked of it.

use std::{collections::VecDeque, time::Duration};

use super::{message::FailureKind, task::Work};
use crate::{
    backoff::request_pause,
    limits::{BUSY_MAX, RETRY_AFTER_MAX},
    pace::Pace,
};

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) queue: VecDeque<Work>,
    /// Requests under way that take a place.
    pub(super) in_flight: usize,
    pub(super) pace: Pace,
    /// Nothing is asked until then.
    pub(super) not_before: Duration,
    /// Failures since the last answer. Requests that were under way together count once.
    pub(super) failures: u32,
    failed_at: Option<Duration>,
    /// Since when it has said nothing but that it is busy.
    busy_since: Option<Duration>,
}

impl Peer {
    pub(super) fn new(documents_max: usize, together_max: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            in_flight: 0,
            pace: Pace::new(documents_max, together_max),
            not_before: Duration::ZERO,
            failures: 0,
            failed_at: None,
            busy_since: None,
        }
    }

    /// It has answered, or sent something.
    pub(super) fn is_alive(&mut self) {
        self.failures = 0;
        self.busy_since = None;
    }

    /// A request that was sent at `sent` has failed and may be tried again.
    pub(super) fn failed(&mut self, now: Duration, sent: Duration, kind: FailureKind, chance: u64) {
        if self.failed_at.is_some_and(|at| sent < at) {
            return; // it met what the one before met
        }
        self.failed_at = Some(now);
        self.failures += 1;
        self.pace.failed();
        let mut pause = request_pause(self.failures, chance);
        if let FailureKind::Busy { retry_after } = kind {
            self.busy_since.get_or_insert(now);
            pause = pause.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX));
        }
        self.not_before = self.not_before.max(now + pause);
    }

    pub(super) fn is_busy_too_long(&self, now: Duration) -> bool {
        self.busy_since.is_some_and(|since| now.saturating_sub(since) > BUSY_MAX)
    }

    /// When something in the queue may be sent that waits for a time.
    pub(super) fn wake_at(&self, now: Duration) -> Option<Duration> {
        let times = self.queue.iter().map(|work| work.not_before.max(self.not_before));
        times.filter(|time| *time > now).min()
    }
}
