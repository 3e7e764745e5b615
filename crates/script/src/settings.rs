//! What can be set about the pool.

use std::time::Duration;

/// See `scripts.*` in `docs/configuration.md`.
#[derive(Debug, Clone)]
pub struct ScriptSettings {
    /// Processes at most.
    pub workers: usize,
    /// Of one runtime, which one design document has in one worker.
    pub runtime_bytes_max: usize,
    /// Of all runtimes of a worker; the least recently used ones go.
    pub worker_bytes_max: usize,
    /// How long one function may run on one document.
    pub deadline: Duration,
    pub reduce_limit: ReduceLimit,
}

/// What happens where a reduce function's result does not shrink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReduceLimit {
    /// The call fails with `reduce_overflow_error`.
    Refuse,
    /// A line in the log.
    Log,
    Off,
}

impl Default for ScriptSettings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            workers: cores.max(2),
            runtime_bytes_max: 64 << 20,
            worker_bytes_max: 256 << 20,
            deadline: Duration::from_secs(5),
            reduce_limit: ReduceLimit::Refuse,
        }
    }
}
