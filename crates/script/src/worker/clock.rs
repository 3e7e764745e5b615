//! Time that a function has had: of the processor, so that a busy machine makes nobody late.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What this thread has used of the processor.
pub(super) fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}
