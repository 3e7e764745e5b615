//! How long is waited for somebody who is slow.
//!
//! Time that was spent waiting is owed, and each byte that moves pays a little of it back. Who owes more
//! than the pace allows is given up: one who stands still after [`Pace::wait`], one who sends a byte now
//! and then to look alive at about the same time, one with a slow line never.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

/// What is asked of one who sends or receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// What may be owed at most, and thus the longest standstill.
    pub wait: Duration,
    /// Slower than this, the debt grows.
    pub bytes_per_second_min: u32,
}

/// One who is waited for.
#[derive(Debug)]
pub(super) struct Patience {
    pace: Pace,
    owed: Duration,
    /// Since when, and until when at most.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Patience {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, owed: Duration::ZERO, waiting: None }
    }

    /// Nothing moves. Ready when it has been so for too long.
    pub(super) fn wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let left = self.pace.wait.saturating_sub(self.owed);
        let (_, end) = self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
        ready!(end.as_mut().poll(context));
        Poll::Ready(())
    }

    /// Something moved.
    pub(super) fn moved(&mut self, bytes: usize) {
        if let Some((since, _)) = self.waiting.take() {
            self.owed += since.elapsed();
        }
        if self.owed.is_zero() {
            return;
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let rate = u64::from(self.pace.bytes_per_second_min.max(1));
        let paid = Duration::from_micros(bytes.saturating_mul(1_000_000) / rate);
        self.owed = self.owed.saturating_sub(paid);
    }
}
