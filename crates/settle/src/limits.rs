//! Every limit of this crate, why it is there, and what a person sees at it.

use std::time::Duration;

/// Bytes of one document in a file that is loaded, inline attachments included. Bounds the memory
/// of `settle load`; a longer one ends the load with its place in the file.
pub const LOAD_DOCUMENT_BYTES_MAX: usize = 256 << 20;

/// Documents that `settle load` sends in one request: enough to share a sync, few enough for the
/// progress bar to move.
pub const LOAD_BATCH_COUNT_MAX: usize = 1_000;

/// Bytes after which a request is sent whatever the count. A longer document goes alone.
pub const LOAD_BATCH_BYTES_MAX: usize = 4 << 20;

/// Bytes read from a file at once.
pub const LOAD_READ_BYTES: u64 = 256 << 10;

/// Bytes of one reply that `settle load` reads. Replies name each document, with a reason.
pub const LOAD_REPLY_BYTES_MAX: u64 = 16 << 20;

/// Refusals that are printed in full; the rest is counted.
pub const LOAD_REFUSALS_SHOWN: usize = 10;

/// How long a server may think about a file that it is asked to take, before the file is sent without its word.
pub const FILE_WAIT: Duration = Duration::from_secs(10);

/// How long `settle load` waits for a connection.
pub const LOAD_CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// Databases that `settle import` brings at the same time, if nothing else is said, and at most: each is a
/// replication on the target, with connections to the source.
pub const IMPORT_CONCURRENCY: usize = 4;
pub const IMPORT_CONCURRENCY_MAX: usize = 64;

/// How long `settle import` waits for a connection, and for an answer to anything but a replication. A
/// database whose server takes longer is said to have failed, and can be tried again.
pub const IMPORT_CONNECT_PATIENCE: Duration = Duration::from_secs(10);
pub const IMPORT_PATIENCE: Duration = Duration::from_secs(300);

/// Bytes of one answer that `settle import` reads. A document of the databases of users or replications, or one that
/// was refused, that has more with its attachments is told as refused.
pub const IMPORT_REPLY_BYTES_MAX: usize = 64 << 20;

/// Changes that `settle import` asks for at once when it compares. They and the answer to what is asked
/// about them are in memory, for each database that is brought.
pub const IMPORT_CHANGES_AT_ONCE: usize = 2_000;

/// Documents that `settle import` copies at once where it copies them itself.
pub const IMPORT_REVISIONS_AT_ONCE: usize = 50;

/// Documents with leaves that the other side does not have which `settle import` remembers of a database, to
/// try those once more that are missing; the rest is counted.
pub const IMPORT_REVISIONS_NAMED: usize = 1_000;

/// Documents of each kind that `settle import` names for a database; the rest is counted.
pub const IMPORT_NAMES_SHOWN: usize = 10;

/// Characters of an id that `settle import` shows; ids that are refused may be of any length.
pub const IMPORT_ID_CHARACTERS_SHOWN: usize = 100;

/// How often `settle import` brings a database that changes meanwhile, before it says so and goes on.
pub const IMPORT_ROUNDS: usize = 3;

/// How often `settle import` asks the target how far it is.
pub const IMPORT_PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// How long `settle doctor` waits for each answer; then it says that there was none.
pub const DOCTOR_PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of an answer that `settle doctor` reads: settings are a few KB.
pub const DOCTOR_REPLY_BYTES_MAX: usize = 1 << 20;

/// Between the server's clock and that of the machine where `settle doctor` runs. Beyond: a warning.
pub const DOCTOR_CLOCK_SKEW_MAX: Duration = Duration::from_secs(10);

/// Free bytes, and percent, on the disk of the data folder. Below: a warning.
pub const DOCTOR_DISK_FREE_MIN: u64 = 1 << 30;
pub const DOCTOR_DISK_FREE_PERCENT_MIN: u64 = 5;

/// How often the file of keys for JSON Web Tokens is looked at.
pub const KEYS_LOOKED_AT_EVERY: Duration = Duration::from_secs(5);

/// How often keys are fetched from a URL though no token asks for others: how long a key that was taken
/// away there is still good here.
pub const KEYS_FETCHED_EVERY: Duration = Duration::from_secs(600);

/// Between two attempts to fetch keys, whatever tokens name.
///
/// Who makes names of keys up does not make this server ask another all the time. A token of a new key that
/// comes sooner than that after an attempt is refused with 401 until then.
pub const KEYS_FETCHED_AGAIN_AFTER: Duration = Duration::from_secs(15);

/// How long an attempt to fetch keys may take. Requests with tokens of unknown keys wait for it.
pub const KEYS_PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of a key set that is fetched. Beyond: as if it could not be fetched.
pub const KEYS_BYTES_MAX: usize = 1 << 20;

/// How long fetched keys are good while their URL does not answer. Then tokens that they signed are refused:
/// keys may have been taken away for a reason.
pub const KEYS_KEPT_FOR: Duration = Duration::from_secs(24 * 3_600);

/// How often accounts are looked for whose time has come.
pub const DELETIONS_LOOKED_AT_EVERY: Duration = Duration::from_secs(600);

/// How often it is asked whether the secret of sessions is old enough to be replaced.
pub const SECRET_LOOKED_AT_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// Connections that `settle slow-proxy` carries at once. More wait until one has ended.
pub const SLOW_PROXY_CONNECTIONS_MAX: usize = 512;

/// Bytes on their way, in each direction of a connection of `settle slow-proxy`.
///
/// The most that it keeps in memory. Whoever sends more is held back, so a connection carries at most this
/// much in each latency.
pub const SLOW_PROXY_WINDOW_BYTES: usize = 256 << 10;

/// What goes onto the link of `settle slow-proxy` at once: as much as it carries in this time, within these
/// bounds. Connections take turns by pieces.
pub const SLOW_PROXY_PIECE_TIME: Duration = Duration::from_millis(20);
pub const SLOW_PROXY_PIECE_BYTES_MIN: u32 = 512;
pub const SLOW_PROXY_PIECE_BYTES_MAX: u32 = 16 << 10;

/// How late a timer may wake without making the link of `settle slow-proxy` slower.
pub const SLOW_PROXY_TIMER_SLACK: Duration = Duration::from_millis(5);

/// How long `settle slow-proxy` waits after it could not accept a connection.
pub const SLOW_PROXY_ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The shortest time between two cuts of `settle slow-proxy`. Less is wrong usage.
pub const SLOW_PROXY_CUT_EVERY_MIN: Duration = Duration::from_millis(10);

/// How often it is asked whether archives are due.
pub const ARCHIVES_LOOKED_AT_EVERY: Duration = Duration::from_secs(60);

/// Names of databases that are read at a time while all of them are archived.
pub const ARCHIVED_NAMES_AT_ONCE: usize = 1_000;

/// Bytes of an archive that are read at a time.
pub const ARCHIVE_READ_BYTES: usize = 64 << 10;
