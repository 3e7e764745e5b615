//! Limits of this crate. What a client sees at a limit stands at each.

use std::time::Duration;

/// Bytes of rows that one build sorts in memory before it writes a run: `indexes.sort_memory`.
pub const BUILD_BYTES_DEFAULT: usize = 64 << 20;

/// Less of it is not taken: every run is a file, and many small ones cost more than the memory.
pub const BUILD_BYTES_MIN: usize = 1 << 20;

/// How long after a write its indexes are warmed.
pub const AUTOUPDATE_DELAY_DEFAULT: Duration = Duration::from_millis(500);

/// How often something is tried anew when somebody else has changed what it rests on.
pub(crate) const CLASHES_MAX: usize = 16;

/// What a transaction function may ask for, and bytes of each answer. Beyond: the outcome `undecided`, and an error that
/// the function can catch.
pub(crate) const QUESTIONS_MAX: usize = 10_000;
pub const ANSWER_BYTES_MAX: usize = 16 << 20;

/// How long a transaction function may take with all that it asks for, an index that is built for it included. Beyond:
/// the outcome `undecided`.
pub(crate) const CALL_TIME: Duration = Duration::from_secs(30);

/// How often a transaction function is run on a moment that has passed when it is done, before it has the writer's turn,
/// and how long it waits before the second time; twice as long before the next.
pub(crate) const CALL_CLASHES_MAX: u32 = 3;
pub(crate) const CALL_BACKOFF: Duration = Duration::from_millis(2);

/// Index numbers are reserved in blocks. A crash loses the rest of a block.
pub(crate) const NUMBER_BLOCK: u64 = 100;
/// Bytes of the prefix of a tree: what a key has room for beside the longest sort key and id.
pub const PREFIX_LENGTH_MAX: usize = 64;

/// Bytes of the rows that one document emits in one map. One that emits more has no rows there, and
/// a line in the log says so.
pub const DOCUMENT_ROWS_BYTES_MAX: usize = 8 << 20;

/// Documents of one batch on which a map function threw that are named in the log; the others are
/// counted.
pub(crate) const LOGGED_FAILURES_MAX: usize = 3;

/// Documents and their bytes that are mapped together.
pub(crate) const MAP_COUNT_MAX: usize = 1_000;
pub(crate) const MAP_BYTES_MAX: usize = 2 << 20;

/// Batches of a build that are read and mapped at a time.
pub(crate) const MAP_BATCHES_AHEAD: usize = 3;

/// Bytes of one commit of a build: as much as one turn of a committer takes.
pub(crate) const COMMIT_BYTES: usize = 1 << 20;

/// Files that are merged at a time; each holds a block in memory.
pub(crate) const MERGE_RUNS_MAX: usize = 64;

/// Indexes whose working memory is kept although nobody uses them.
pub(crate) const OPEN_IDLE_MAX: usize = 500;

/// Versions of design documents that an index remembers to have noted that it serves them.
pub(crate) const SERVED_MAX: usize = 100;

/// Indexes that are warmed after writes at a time.
pub(crate) const WARMING_MAX: usize = 2;

/// Bytes that an index that is gone gives back in one slice.
pub(crate) const RECLAIM_SLICE_BYTES: usize = 1 << 20;

/// How long background work waits before it tries again what failed, or waits for readers to end.
pub(crate) const RETRY_DELAY: Duration = Duration::from_secs(10);

/// Rows of the store's log of events that are read at one time.
pub(crate) const EVENTS_AT_ONCE: usize = 500;

/// Edits, and bytes of them, about which a validator in JavaScript is asked in one call.
pub(crate) const ASKED_AT_ONCE_MAX: usize = 500;
pub(crate) const ASKED_AT_ONCE_BYTES_MAX: usize = 4 << 20;

/// Calls of one validator that may run into their limits before those that wait behind them are given
/// the same error without being asked about.
pub(crate) const SLOW_ANSWERS_MAX: usize = 3;

/// Bytes that a pattern of a JSON Schema may need when it is compiled. Beyond: 400 `invalid_design_doc`.
pub const SCHEMA_PATTERN_BYTES_MAX: usize = 1 << 20;

/// Bytes of what is said about a document that breaks a schema.
pub(crate) const VIOLATION_BYTES_MAX: usize = 1_000;

/// Bytes of edits up to which rules that need no JavaScript are asked on the spot.
pub(crate) const RULES_INLINE_BYTES_MAX: usize = 64 << 10;

/// Bytes of runs that an update of a tree holds at one time; a single run may be larger.
pub(crate) const APPLY_READ_BYTES: usize = 4 << 20;
/// See [`APPLY_READ_BYTES`].
pub(crate) const APPLY_READ_RUNS: usize = 512;

/// Rows that a walk over a range takes before it looks for entries.
pub(crate) const ROWS_BEFORE_LEVELS: u32 = 16;

/// Rows that are passed over by visiting them; more are passed over by counts.
pub(crate) const SKIP_BY_ROWS: u64 = 64;

/// What one slice of a reduction gathers: groups, and bytes of their keys and of what they are made
/// of.
pub(crate) const GROUPS_COUNT_MAX: usize = 4_000;
/// See [`GROUPS_COUNT_MAX`].
pub(crate) const GROUPS_BYTES_MAX: usize = 4 << 20;

/// Groups that one read finds backwards, where each takes two steps of its plan.
pub(crate) const GROUPS_DESCENDING_COUNT_MAX: usize = 256;

/// Rows that are handed to a reducer at one time, and their bytes.
pub(crate) const REDUCE_ROWS_COUNT: usize = 1_024;
/// See [`REDUCE_ROWS_COUNT`].
pub(crate) const REDUCE_ROWS_BYTES: usize = 1 << 20;

/// Documents that a `_find` reads together, and their bytes as far as these are known beforehand.
pub(crate) const FIND_BATCH_MAX: usize = 1_000;
pub(crate) const FIND_BATCH_BYTES: usize = 1 << 20;

/// Documents that are looked at without a thread of their own.
pub(crate) const FIND_INLINE_MAX: usize = 32;

/// Bytes of documents found after which they are handed on.
pub(crate) const FIND_PIECE_BYTES: usize = 64 << 10;

/// Bytes of the documents that the joins of a request put into one document. Beyond, a client sees
/// 400 `invalid_join`, or the connection cut where the reply has begun.
pub const FIND_JOINED_BYTES_MAX: usize = 16 << 20;

/// Changes that an index names to a feed with a selector. Where it has more, all changes are looked at.
pub(crate) const SELECTED_CHANGES_MAX: u64 = 100_000;

/// How many changes are looked at one after the other at the cost of one that an index names.
pub(crate) const SELECTED_COST: u64 = 4;
