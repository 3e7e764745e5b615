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
