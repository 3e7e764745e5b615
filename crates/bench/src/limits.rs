//! The bench's own bounds. Beyond them it fails and says so; the server under test has its own.

use std::time::Duration;

/// How long a process may take until it listens, or until it ends.
pub(crate) const START_WAIT: Duration = Duration::from_secs(60);

/// A reply's head; beyond it the other side does not speak HTTP.
pub(crate) const REPLY_HEAD_BYTES_MAX: usize = 64 << 10;

/// Rounds of each side that count. Before them each side plays one that does not.
pub(crate) const ROUNDS: usize = 5;

/// How long a bench waits for what replication shall bring, before it says that it never comes.
pub(crate) const ARRIVAL_WAIT: Duration = Duration::from_secs(600);
