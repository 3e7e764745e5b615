//! Every limit of this crate: the number, the reason, and what is seen when it is reached.

use std::time::Duration;

/// Events that a job remembers, newest first; `_scheduler/jobs` shows them. CouchDB's `max_history`.
pub const EVENTS_MAX: usize = 20;

/// Bytes of a peer's reply that is a list: a page of changes, what is missing, what was not written. The
/// job fails with a longer one, and `_scheduler/docs` says so.
pub const REPLY_BYTES_MAX: usize = 32 << 20;

/// Bytes of a peer's reply that says one thing. The job fails with a longer one.
pub const REPLY_SMALL_BYTES_MAX: usize = 1 << 20;

/// Bytes that are read of a reply that says what went wrong. The rest is not looked at.
pub const PROBLEM_BYTES_MAX: usize = 64 << 10;

/// Characters of a peer's reason that are kept and shown. The rest is cut.
pub const REASON_CHARS_MAX: usize = 1_000;

/// How often one request is redirected. A peer that goes on makes the job fail.
pub const REDIRECTS_MAX: usize = 10;

/// Bytes of a body that are handed to the connection at a time. Each piece that is taken is a sign of
/// life, so on the slowest link one piece must go out within a job's `connection_timeout`.
pub const UPLOAD_PIECE_BYTES: usize = 32 << 10;

/// How long a connection waits for its next request. Less than what proxies and CouchDB wait.
pub const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(20);

/// Connections to one peer that wait for their next request. Those beyond are closed after use.
pub const CONNECTIONS_IDLE_MAX: usize = 100;

/// Bytes of attachments that are on their way, of all jobs. What belongs to jobs that do not run goes first;
/// if that is not enough, a job waits, and fails if it waits too long, with the reason.
pub const SPOOL_BYTES_MAX: u64 = 8 << 30;

/// How long attachments are kept of a job that was not seen since. It begins them anew then.
pub const SPOOL_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// Bytes of an attachment that are read from the spool at a time.
pub const SPOOL_READ_BYTES: usize = 64 << 10;

/// Revisions that are read in one view of a database, before their number of bytes is looked at.
pub const FETCHED_TOGETHER_MAX: usize = 32;

/// Changes, and bytes of their documents, that a filter is asked about in one call.
pub const JUDGED_COUNT_MAX: usize = 500;
pub const JUDGED_BYTES_MAX: usize = 2 << 20;

/// How often a run tells how far it is while it works. `_scheduler/jobs` is as old as that at most.
pub const PROGRESS_TOLD_EVERY: Duration = Duration::from_millis(250);

/// How long a continuous job that has caught up with a database of this site goes on waiting in a run before it
/// rests. Beginning again costs some reads and two checkpoints; waiting costs some kilobytes.
pub const REST_AFTER: Duration = Duration::from_secs(2);

/// Jobs that run at a time where the settings do not say; the others wait for their turn, and
/// `_scheduler/jobs` calls them pending. Jobs that rest do not count. CouchDB's `max_jobs` is 500.
pub const JOBS_RUNNING_DEFAULT: usize = 1_000;

/// While others wait: how long a job that works keeps its place, and one that only waits for changes.
pub const TURN: Duration = Duration::from_secs(60);
pub const TURN_OF_WAITING: Duration = Duration::from_secs(5);

/// How often it is looked at whose turn is over, while others wait.
pub const TURNS_LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

/// A run that has lasted so long was well: a failure after it is the first again. CouchDB's
/// `health_threshold`.
pub const WELL_AFTER: Duration = Duration::from_secs(120);

/// Bytes of documents that all runs hold together, where the settings do not say, and the least that each may.
pub const MEMORY_BYTES_DEFAULT: usize = 128 << 20;
pub const MEMORY_BYTES_EACH_MIN: usize = 64 << 10;

/// How long a stop waits for last checkpoints. What is not written is copied again, and found to be there.
pub const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Documents that are being made into jobs at a time: for a filter, a source is asked for its code.
/// Others wait, in the state `initializing`.
pub const STARTS_AT_ONCE: usize = 16;

/// Changes of a database of replications that are read at a time, with their documents.
pub const CHANGES_AT_ONCE: usize = 256;

/// Names of databases that are read at a time, when those of replications are looked for.
pub const NAMES_AT_ONCE: usize = 1_000;

/// Events of the store that are read at a time.
pub const EVENTS_AT_ONCE: usize = 1_000;

/// The pause after the storage has failed, before changes are looked for again.
pub const RETRY_PAUSE: Duration = Duration::from_secs(1);
