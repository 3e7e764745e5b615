//! Limits of the attachment store. What a client sees at a limit stands at each.

use std::time::Duration;

/// Stored bytes up to which a blob lives in the engine: one fetch with the rest of the commit, and
/// no file. Invisible to clients.
pub const INLINE_BYTES_MAX: usize = 64 << 10;

/// Stored bytes that share one checksum in a file. Part of the format.
pub const BLOCK_BYTES: usize = 64 << 10;

/// Bytes of an attachment unless the caller says otherwise, before and after compression:
/// CouchDB's default. Beyond: 413 `attachment_too_large`.
pub const LENGTH_MAX_DEFAULT: u64 = 1 << 30;

/// Bytes that an upload gathers before it asks for a thread. One batch is processed while the next
/// fills, so an upload holds about twice this and a compressor of 270 KB.
pub(super) const BATCH_BYTES: usize = 128 << 10;

/// Bytes up to which an upload is processed where it arrives: less work than changing threads is
/// worth, a few hundred microseconds at most.
pub(super) const UNTHREADED_BYTES_MAX: usize = 16 << 10;

/// Uploads that hash, compress and write at the same time; others wait. Some of them wait for the
/// disk, so this is more than there are cores on small machines.
pub(super) const UPLOAD_THREADS_MAX: usize = 8;

/// Bytes after which an upload asks the disk to take what it has, so that its last sync (and the
/// commits of others on the same disk) need not wait for a gigabyte.
pub(super) const UNSYNCED_BYTES_MAX: u64 = 16 << 20;

/// Blocks read in one step: 256 KiB. One step is read ahead, so a reader holds about twice this.
pub(super) const STEP_BLOCKS: u64 = 4;

/// Bytes that one step of unpacking gives.
pub(super) const STEP_UNPACKED_BYTES: usize = 256 << 10;

/// Contents whose lengths are read in one step when a database's attachments are counted.
pub(super) const COUNTED_AT_ONCE: usize = 512;

/// How long a blob without references stays condemned.
pub const CONDEMNED_FOR_DEFAULT: Duration = Duration::from_secs(10 * 60);

/// Checks in one slice of the collector.
pub(super) const COLLECT_CHECKS_MAX: usize = 128;

/// Longest pause between two looks at the collector's queue: one read of one key.
pub(super) const COLLECT_PAUSE_MAX: Duration = Duration::from_secs(60);

/// File names compared with records in one read.
pub(super) const SWEEP_NAMES_MAX: usize = 512;
