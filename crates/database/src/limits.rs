//! Limits of this crate. What a client sees at a limit stands at each.

use std::time::Duration;

/// Bytes of a document's body as JSON, without special members and attachments: CouchDB's default.
/// Beyond: 413 `document_too_large`.
pub const BODY_BYTES_MAX: usize = 8_000_000;

/// Attachments of one revision; each costs about a hundred bytes in its document's record.
/// Beyond: 413 `too_many_attachments`.
pub const ATTACHMENTS_MAX: usize = 10_000;

/// Bytes of a head with its key up to which the winner's body stands inside. Larger values take
/// whole pages of their own in the embedded engine.
pub(crate) const HEAD_INLINE_BYTES_MAX: usize = 1_900;

/// Revisions of each branch that stay in a head.
pub(crate) const HEAD_ANCESTORS: u32 = 32;

/// Revisions in one segment of older ancestry.
pub(crate) const SEGMENT_REVISIONS: u32 = 64;

/// What one commit of a writer gathers, so that a flood of requests neither holds a lock for long
/// nor makes the first of them wait for the last.
pub(crate) const GROUP_EDITS_MAX: usize = 2_000;
pub(crate) const GROUP_BYTES_MAX: usize = 4 << 20;

/// How often a write is planned anew when somebody else has changed what it rests on.
pub(crate) const CLASHES_MAX: usize = 16;

/// How long what an update replaced stays readable, unless the database says otherwise.
pub const GRACE_DEFAULT: Duration = Duration::from_secs(60 * 60);

/// A database that comes back from an archive keeps replaced revisions no longer than this, whatever the archive
/// says: else one could be made that never lets go of anything.
pub(crate) const GRACE_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// CouchDB's defaults, and its smallest and greatest values. Outside: 400.
pub const REVS_LIMIT_DEFAULT: u32 = 1_000;
pub const PURGED_INFOS_LIMIT_DEFAULT: u32 = 1_000;

/// Bytes of a security object. Beyond: 413.
pub const SECURITY_BYTES_MAX: usize = 64 << 10;

/// Bytes of a local document's body; checkpoints are small. Beyond: 413 `document_too_large`.
pub const LOCAL_BODY_BYTES_MAX: usize = BODY_BYTES_MAX;

/// Documents that are visited, deleted ones too, at most, to say at which offset a list of documents begins. A list that
/// begins further on has `"offset": null`.
pub const OFFSET_COUNT_MAX: u64 = 10_000;

/// Open databases whose working memory is kept although nobody uses them.
pub(crate) const HANDLES_IDLE_MAX: usize = 1_000;

/// Database numbers are reserved in blocks, so that creating one writes no shared record. A crash
/// loses the rest of a block.
pub(crate) const NUMBER_BLOCK: u64 = 1_000;

/// How long `updated` events gather before they are written to the site's log.
pub(crate) const EVENT_DELAY: Duration = Duration::from_millis(250);

/// What is read in one slice of whole documents: so many of them, or so many bytes of their bodies. The last
/// one may go beyond.
pub(crate) const WHOLE_DOCUMENTS_MAX: usize = 1_000;
pub(crate) const WHOLE_BYTES_MAX: usize = 1 << 20;

/// What a document counts there that has moved on, and is looked up behind the slice, as far as that has room.
pub(crate) const WHOLE_ELSEWHERE_BYTES: usize = 16 << 10;

/// Timelines that a database remembers; a `since` of one before them reads as the start.
pub(crate) const TIMELINES_MAX: usize = 100;

/// The greatest sequence that a database comes back with, far beyond all that one can have counted to. An archive
/// with a greater one is refused: 400 `bad_archive`.
pub(crate) const SEQUENCE_MAX: u64 = 1 << 60;

/// How long background work waits before it tries again what storage refused.
pub(crate) const RETRY_DELAY: Duration = Duration::from_secs(10);

/// History records that one commit of a collector forgets, their bytes, and the rows of the feed that
/// it looks at for them: a writer does nothing else meanwhile. Listing the documents in conflict of a database
/// from before they were listed goes in steps of as many rows and heads.
pub(crate) const COLLECT_ROWS_MAX: usize = 500;
pub(crate) const COLLECT_BYTES_MAX: u64 = 4 << 20;
pub(crate) const COLLECT_LOOKS_MAX: usize = 5_000;

/// Time records are written no more often than this.
pub(crate) const TIME_MARK_EVERY: Duration = Duration::from_secs(10);

/// Commits that a listener of [`Store::changed`](crate::Store::changed) may be behind before it misses
/// some.
pub(crate) const CHANGED_WAITING_MAX: usize = 1_024;

/// Bytes that a dropped database gives back in one slice.
pub(crate) const RECLAIM_SLICE_BYTES: usize = 1 << 20;

/// How long the outcome of a transaction is remembered, unless the database says otherwise: long enough for a phone
/// that was off for a holiday. What can be set ends at a year. Outside: 400 `bad_request`.
pub const RETENTION_DEFAULT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
pub const RETENTION_MIN: Duration = Duration::from_secs(60);
pub const RETENTION_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// How long a tombstone stays at the least in a database that lets them go, and how long a checkpoint counts: both have
/// the same bounds. Outside: 400 `bad_request`.
pub const TOMBSTONES_MIN: Duration = Duration::from_secs(60);
pub const TOMBSTONES_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// How long a checkpoint counts, unless the database says otherwise.
pub const CHECKPOINTS_DEFAULT: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// How often tombstones are looked at that something has not passed yet.
pub(crate) const TOMBSTONES_LOOKED_AT_EVERY: Duration = Duration::from_secs(60 * 60);

/// Bytes of a user's name in a key of what is remembered of them. A longer one stands there as a digest.
pub(crate) const PRINCIPAL_BYTES_MAX: usize = 200;

/// Bytes of the document on which a transaction failed, up to which it is told and remembered. A larger one has to
/// be read.
pub(crate) const CURRENT_BYTES_MAX: usize = 64 << 10;

/// Bytes that one transaction, or all that are all in one, may put into a commit, documents that they replace
/// included. Beyond: the refusal `too_large`.
pub(crate) const ATOMIC_BYTES_MAX: usize = 64 << 20;

/// Bytes of the documents into which one transaction looks, by a selector or to change them in part: they are in memory
/// together. And how many bytes that is with each document counted for each selector and operation, since the writer
/// does nothing else meanwhile. Beyond: the refusal `too_large`. As much of the latter as this is in one commit.
pub(crate) const LOADED_BYTES_MAX: u64 = 32 << 20;
pub(crate) const LOOKED_AT_BYTES_MAX: u64 = 256 << 20;

/// Bytes of documents that the refusals of one exchange show in one commit, as they are remembered with these. Further
/// ones have to be read.
pub(crate) const SHOWN_BYTES_MAX: usize = 1 << 20;

/// Documents, and beginnings of ids, that a transaction function may read before it counts as having read the whole
/// database; and changes behind its moment that a writer looks through for the latter. With more it is run again.
pub(crate) const READ_DOCUMENTS_MAX: usize = 1_000;
pub(crate) const READ_PREFIXES_MAX: usize = 100;
pub(crate) const READ_CHANGES_MAX: usize = 1_000;

/// How long a database's writer waits for whoever has its turn: nothing else is written meanwhile. Beyond: the outcome
/// `undecided`.
pub(crate) const TURN_TIME: Duration = Duration::from_millis(100);

/// Outcomes that one commit of a collector forgets.
pub(crate) const EXPIRE_ROWS_MAX: usize = 1_000;
/// Bytes of a snapshot's name. Beyond: 400.
pub const SNAPSHOT_NAME_BYTES_MAX: usize = 100;

/// Snapshots of one database: letting the past go looks at all of them in each of its commits. Beyond: 413
/// `too_many_snapshots`.
pub const SNAPSHOTS_MAX: usize = 1_000;

/// Pins of one database at a time, for the same reason. Beyond: 503.
pub const PINS_MAX: usize = 100;

/// How long a pin holds the past if whoever took it does not come back, and how old it is when it is renewed.
pub const PIN_TIME: Duration = Duration::from_secs(15 * 60);
pub(crate) const PIN_RENEWED_AFTER: Duration = Duration::from_secs(5 * 60);

/// How long letting the past go waits between two of its commits, so that it never has more than a part of the
/// engine's time.
pub(crate) const COLLECT_PAUSE: Duration = Duration::from_millis(5);

/// Documents, and bytes of what is found, that one slice of a read of the past brings together: rows may have to be looked
/// up one by one before the first is handed on.
pub(crate) const PAST_ROWS_MAX: usize = 500;
pub(crate) const PAST_BYTES_MAX: usize = 4 << 20;

/// The same of a list that is handed on row by row: a part of the 64 KiB after which replies are sent, since what does
/// not fit is read again.
pub(crate) const LISTED_ROWS_MAX: usize = 100;
pub(crate) const LISTED_BYTES_MAX: usize = 16 << 10;

/// Documents that a slice looks at however few are wanted, since some of them may not have been there.
pub(crate) const PAST_ROWS_MIN: usize = 16;

/// Documents that one revert changes, and bytes of what they become: it is one commit, and nothing else is written
/// meanwhile. Beyond: 413 `revert_too_large`.
pub const REVERT_DOCUMENTS_MAX: usize = 20_000;
pub const REVERT_BYTES_MAX: usize = 64 << 20;
