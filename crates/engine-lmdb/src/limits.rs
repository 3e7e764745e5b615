//! What the engine bounds, why, and what its callers see at the bound.

use std::time::Duration;

/// Fixed in the format: a store opens on any machine, whatever its own page size, or not at all.
pub const PAGE_LENGTH: u32 = 4096;

/// Address space reserved for the map, never resized while open. Sparse: nothing is occupied by it.
/// A store that reaches it answers `NotApplied` with `storage_full`.
pub const MAP_BYTES_DEFAULT: u64 = 1 << 40;

/// Slots in the reader table, shared by all processes. Inline reads take one for each thread that
/// reads, scans one for each permit, so only foreign processes could fill it; reads then fail.
pub const READER_COUNT_MAX: u32 = 1024;

/// Scans that run on threads of their own at one time. Further ones pause until one of these ends.
pub const LONG_READ_COUNT_MAX: usize = 16;

/// How long one reader may pin old pages; the slice pauses then.
pub const SLICE_TIME_MAX: Duration = Duration::from_millis(20);

/// What a read does on its caller's thread before it moves to one of its own: less than the move
/// costs in latency, and little enough for other tasks not to notice.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;
/// See [`INLINE_BYTES_MAX`].
pub const INLINE_TIME_MAX: Duration = Duration::from_micros(200);

/// Work that one transaction takes in before it is synced, so that the first of a group does not
/// wait long for the last. A single larger batch is a group of its own.
pub const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// See [`GROUP_BYTES_MAX`].
pub const GROUP_TIME_MAX: Duration = Duration::from_millis(5);

/// How long a group at most waits for writers that are on their way back; usually far less.
pub const GATHER_TIME_MAX: Duration = Duration::from_micros(500);

/// What one transaction clears at most: some thousand deletions, about 2 ms.
pub const CLEAR_SLICE_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of batches that wait for the committer. Further ones are `NotApplied`.
pub const WAITING_BYTES_MAX: usize = 512 * 1024 * 1024;

/// How long opening waits for the lock of a process that is on its way out.
pub const LOCK_WAIT_DEFAULT: Duration = Duration::from_secs(1);
