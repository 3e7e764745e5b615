//! Every limit of this crate, with the reason and what the client sees when it is reached.

use std::time::Duration;

/// Passwords that are checked at one time. Each takes a core and 19 MiB; others wait.
pub const CHECKS_AT_ONCE: usize = 2;

/// The time that a check may take while it is the least urgent of all work. Beyond, the machine has no time
/// left over, and the next check is as urgent as what runs in the background.
pub const CHECK_STARVES: Duration = Duration::from_millis(250);

/// Passwords that are checked or wait for it: a few seconds of work. Beyond: 503 with
/// `Retry-After`.
pub const CHECKS_WAITING_MAX: usize = 256;

/// Credentials that are remembered as right, at about 100 bytes each. Those unused for longest are
/// forgotten first, and cost one check again.
pub const REMEMBERED_MAX: usize = 10_000;

/// How long a session lives without a request: CouchDB's default. Later requests are anonymous.
pub const SESSION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(600);

/// Bytes of a session's cookie. Beyond: 400 `Malformed AuthSession cookie`.
pub const COOKIE_BYTES_MAX: usize = 4_096;

/// Bytes of a password and of a name. Beyond: 401, as for any wrong one.
pub const PASSWORD_BYTES_MAX: usize = 1_024;
pub const NAME_BYTES_MAX: usize = 1_024;

/// Users that are kept in memory after they were read. Others cost one read of a document.
pub const USERS_REMEMBERED_MAX: usize = 10_000;

/// Rounds of a PBKDF2 hash that came from elsewhere. Beyond, the hash is none: it would hold up those
/// who wait to be checked for seconds.
pub const ITERATIONS_MAX: u32 = 2_000_000;

/// Addresses and names of which wrong passwords are counted, in each of three tables. Beyond, the older
/// half is forgotten.
pub const LOCKOUT_ENTRIES_MAX: usize = 20_000;

/// The longest that somebody has to wait after wrong passwords: 403 with `Retry-After` until then.
pub const LOCKOUT_LONGEST: Duration = Duration::from_secs(300);

/// Without a wrong password for so long, counting begins anew.
pub const LOCKOUT_FORGOTTEN_AFTER: Duration = Duration::from_secs(3_600);

/// Tokens of one user. Beyond: 403.
pub const TOKENS_MAX: u64 = 100;

/// Bytes of a token's label. Beyond: 400.
pub const TOKEN_LABEL_BYTES_MAX: usize = 200;

/// Bytes of a JSON Web Token. Beyond: 401, as for any that is malformed.
pub const JWT_BYTES_MAX: usize = 16_384;

/// Keys that JSON Web Tokens are checked with, of one set. Beyond: the set is refused.
pub const JWT_KEYS_MAX: usize = 100;

/// Requests with tokens of unknown keys that wait for newer ones. Beyond: 401 without asking for any.
pub(crate) const NEWER_KEYS_WANTED_MAX: usize = 64;

/// Databases that an account may have, while neither the settings nor an admin say another number.
/// Beyond: 403 with the reason.
pub const ACCOUNT_DATABASES_DEFAULT: u64 = 100;

/// Bytes that an account may keep, likewise. Beyond, writes get 507 with the reason; reading and deleting
/// go on.
pub const ACCOUNT_BYTES_DEFAULT: u64 = 10 << 30;

/// How long a deleted account can be taken back, while the settings say nothing else.
pub const DELETION_GRACE_DEFAULT: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Accounts that are taken away in one go; others wait for the next.
pub const DELETIONS_AT_ONCE: u64 = 1_000;

/// How old the sum of what an account keeps may be when a write is measured by it.
pub const USAGE_AGE_MAX: Duration = Duration::from_secs(10);

/// Adding up takes at most one part in so many of the time: where it takes a second, sums get a minute old.
pub const USAGE_SHARE_OF_TIME: u32 = 50;

/// Accounts that make databases at one time, roughly: those of one place wait for each other.
pub const CREATING_AT_ONCE: usize = 1_024;

/// Bytes that may be written beyond an account's quota of what a full account is read with: checkpoints, and
/// definitions of indexes. Beyond: 507 with the reason.
pub const LOCAL_BYTES_BEYOND: u64 = 1 << 20;

/// Accounts whose sums are remembered. Beyond, all are forgotten and added up again.
pub const USAGES_REMEMBERED_MAX: usize = 10_000;
