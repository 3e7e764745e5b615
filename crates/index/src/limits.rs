//! Limits of this crate. What a client sees at a limit stands at each.

use std::time::Duration;

/// Bytes of rows that one build sorts in memory before it writes a run.
pub const BUILD_BYTES_DEFAULT: usize = 64 << 20;

/// How long after a write its indexes are warmed.
pub const AUTOUPDATE_DELAY_DEFAULT: Duration = Duration::from_millis(500);

/// How often something is tried anew when somebody else has changed what it rests on.
pub(crate) const CLASHES_MAX: usize = 16;

/// Index numbers are reserved in blocks. A crash loses the rest of a block.
pub(crate) const NUMBER_BLOCK: u64 = 100;
/// Bytes of the prefix of a tree: what a key has room for beside the longest sort key and id.
pub const PREFIX_LENGTH_MAX: usize = 64;

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
