//! Two clocks: what a function has had of the processor, so that a busy machine makes nobody late, and
//! how long a batch has taken.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What this thread has used of the processor. Asks the kernel.
pub(super) fn spent() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// Time since some moment. Cheap.
pub(super) fn now() -> Duration {
    read(ClockId::Monotonic)
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}
