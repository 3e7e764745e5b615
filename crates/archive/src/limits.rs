//! Limits of archives.
//!
//! One that goes beyond was not made by this program, and is refused as [`BadArchive`]
//! (400 `bad_archive`); a database that goes beyond cannot be archived, which says which document is too large.
//!
//! [`BadArchive`]: crate::BadArchive

/// Bytes of lines after which a block ends; the last line may go beyond.
pub const BLOCK_BYTES: usize = 512 << 10;

/// Bytes of one line: a body of the greatest size, beside ten thousand attachments with long names.
pub const LINE_BYTES_MAX: usize = 64 << 20;

/// Bytes of a block, unpacked: whole lines.
pub const BLOCK_BYTES_MAX: usize = BLOCK_BYTES + LINE_BYTES_MAX;

/// Bytes of a block as it is packed. What cannot be compressed grows a little.
pub const PACKED_BYTES_MAX: usize = BLOCK_BYTES_MAX + (BLOCK_BYTES_MAX >> 7) + 1_024;

/// Bytes of all leaves of one document, which is held in memory whole.
pub const DOCUMENT_BYTES_MAX: usize = 256 << 20;

/// Leaves of one document.
pub const LEAVES_MAX: usize = 100_000;

/// Bytes of an attachment in one line, before base64 makes them a third more.
pub const DATA_BYTES: usize = 48 << 10;

/// Timelines that a database may have had.
pub const TIMELINES_MAX: usize = 1_000;

/// How hard blocks are compressed. In blocks of this size level 3 makes documents of few fields no smaller, and text by a
/// twentieth, and takes up to three times as long.
pub(crate) const COMPRESSION_LEVEL: i32 = 1;

/// Local documents that are read, or restored, together.
pub(crate) const LOCALS_AT_ONCE: u64 = 16;

/// Documents that are restored in one commit, their bytes, and the attachments that they bring.
pub(crate) const RESTORED_AT_ONCE: usize = 500;
pub(crate) const RESTORED_BYTES_AT_ONCE: usize = 2 << 20;
pub(crate) const RESTORED_BLOBS_AT_ONCE: usize = 200;

/// Differences that a comparison names; further ones are counted.
pub const DIFFERENCES_MAX: usize = 100;
