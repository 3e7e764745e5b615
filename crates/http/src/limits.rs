//! Every limit of this crate: the number, the reason, and what a client sees when it is reached.
//!
//! Sizes are in bytes unless the name says otherwise. Limits of documents and names stand in the
//! `model` and `database` crates, those of passwords in `accounts`.

use std::time::Duration;

/// Of the path and query of a request. `keys` in a query can be long, and proxies stop between 8 and
/// 64 KiB. Beyond: 414 `too_long`; from 65,535 on, where the parser stops, 414 without a body.
pub const URI_MAX: usize = 60_000;

/// Rows of `_scheduler/jobs` where the client does not say, as in CouchDB.
pub const SCHEDULER_JOBS_DEFAULT: usize = 100;

/// Rows of `_scheduler/jobs` and `_scheduler/docs` in one reply, which is made in memory. Beyond: as many
/// rows; the rest with `skip`.
pub const SCHEDULER_ROWS_MAX: usize = 10_000;

/// Of all headers of a request together. Beyond: the connection is closed with 431.
pub const HEADERS_MAX: usize = 128 << 10;

/// Headers of a request: the parser's number on HTTP/1. Beyond: 431 without a body there, 431
/// `too_many_headers` on HTTP/2.
pub const HEADERS_COUNT_MAX: usize = 100;

/// Of a JSON body that is read whole: a bulk request, a document with inline attachments, keys.
/// After decompression. CouchDB takes 4 GiB, and holds them in memory. Beyond: 413 `too_large`.
pub const JSON_BODY_MAX: usize = 256 << 20;

/// Of a JSON body that asks for things by their names: keys, revisions, queries.
///
/// A small name takes many times its length in memory; some 200,000 documents with a revision each
/// fit. Beyond: 413 `too_large`.
pub const QUESTION_BODY_MAX: usize = 16 << 20;

/// Of an exchange of transactions: some ten thousand of them. Beyond: 413 `too_large`; the rest goes into the next.
pub const EXCHANGE_BODY_MAX: usize = 64 << 20;

/// Changes of others in the reply to an exchange, where the client does not say and at most; and their bytes.
///
/// Beyond: `pending` says how many are left, and `_changes` has them.
pub const EXCHANGE_CHANGES_DEFAULT: u64 = 100;
pub const EXCHANGE_CHANGES_MAX: u64 = 1_000;
pub const EXCHANGE_CHANGES_BYTES_MAX: usize = 4 << 20;

/// Characters of an `Idempotency-Key`. Beyond: 400 `bad_request`.
pub const IDEMPOTENCY_KEY_MAX: usize = 200;

/// Documents in a bulk request with an `Idempotency-Key`, and bytes of its body: it is written in one commit with the
/// record of it. Beyond: 413 `too_large`.
pub const ONCE_DOCUMENTS_MAX: usize = 2_000;
pub const ONCE_BODY_MAX: usize = 8 << 20;

/// Of the JSON in a body of several parts, whose attachments have parts of their own. Beyond: 413
/// `too_large`.
pub const DOCUMENT_PART_MAX: usize = 32 << 20;

/// From here on a body needs a place among the large ones, and all of them together have so much. Who
/// gets none in time sees 503 with `Retry-After`.
pub const LARGE_BODY: usize = 1 << 20;
pub const LARGE_BODIES_MAX: usize = 1 << 30;
pub const LARGE_BODY_WAIT: Duration = Duration::from_secs(30);

/// Of a JSON body that is parsed where it arrives; a longer one, a millisecond's work and more, is
/// handed to another thread.
pub(crate) const PARSED_INLINE_MAX: usize = 1 << 20;

/// Of the body that signs somebody in: the only one that is read from just anybody. Beyond: 413
/// `too_large`.
pub const CREDENTIALS_MAX: usize = 16 << 10;

/// Of a small JSON body: a setting, a list of names. Beyond: 413 `too_large`.
pub const SMALL_BODY_MAX: usize = 1 << 20;

/// Of a body that is streamed: CouchDB's `max_http_request_size`. Beyond: 413 `too_large`.
pub const STREAMED_BODY_MAX: u64 = 4 << 30;

/// Of the piece that is decompressed before the size of what came out is looked at. Deflate grows
/// at most 1032-fold, so memory overshoots a limit by at most four MiB.
pub(crate) const INFLATE_STEP: usize = 4 << 10;

/// Of the headers of one part of a multipart body. Beyond: 400 `bad_request`.
pub const PART_HEADERS_MAX: usize = 16 << 10;

/// Of a multipart boundary. RFC 2046 allows 70. Beyond: 400 `bad_request`.
pub const BOUNDARY_MAX: usize = 200;

/// Ranges of an attachment in one request, less one: CouchDB's number. From here on the whole attachment
/// is sent.
pub const RANGES_MAX: usize = 10;

/// Ids that `_uuids` makes in one request: CouchDB's `uuids/max_count`. Beyond: 400 `bad_request`.
pub const UUIDS_MAX: usize = 1_000;

/// Databases that one `_dbs_info` asks for: CouchDB's number. Beyond: 400 `bad_request`.
pub const DBS_INFO_KEYS_MAX: usize = 100;

/// Lists in one request to `_all_docs/queries` and its like. Beyond: 400 `bad_request`.
pub const QUERIES_MAX: usize = 1_000;

/// Of a body that a function of a design document is given, as text. Beyond: 413 `too_large`.
pub const FUNCTION_BODY_MAX: usize = 16 << 20;

/// How often a request is rewritten: CouchDB's `rewrite_limit`. Then: 400 `bad_request`.
pub(crate) const REWRITES_MAX: u32 = 100;

/// Segments of a path that routes look at one by one.
pub(crate) const CAPTURES_MAX: usize = 5;

/// Characters of an `X-Couch-Request-ID` that a client chooses. Beyond: the server chooses one.
pub(crate) const REQUEST_ID_MAX: usize = 36;

/// Until a connection has sent the headers of its next request, idle time between requests included:
/// what holds a socket without asking for anything is cut off.
pub const HEADERS_WAIT: Duration = Duration::from_secs(75);

/// Until TLS is agreed on. Then the connection is cut.
pub const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);

/// Until a connection that has never sent anything is cut, and until one of HTTP/2 without new requests
/// is told to go away, once what runs on it has ended. It may take up to twice as long.
pub const IDLE_WAIT: Duration = Duration::from_secs(150);

/// Until the next piece of a request's body. Then: 408 `request_timeout`, and the connection ends.
pub const BODY_WAIT: Duration = Duration::from_secs(60);

/// A body that comes slower than a modem of 1990 sends it is there to hold a place.
///
/// Time that was waited for it is owed, and paid back at this rate; who owes [`BODY_WAIT`] sees 408
/// `request_timeout`, and the connection ends.
pub const BODY_BYTES_PER_SECOND_MIN: u32 = 1 << 10;

/// So much of a body that nobody reads is taken and thrown away, in so much time, as long as the next piece comes soon.
///
/// A client that reads no answer before it has sent everything gets to it that way. Beyond, the connection ends, and
/// that is all that such a client sees.
pub const LEFT_OVER_BYTES_MAX: usize = 16 << 20;
pub const LEFT_OVER_WAIT: Duration = Duration::from_secs(5);
pub const LEFT_OVER_PAUSE: Duration = Duration::from_secs(1);

/// Until a client takes the next piece of what is sent to it. Then the connection is cut.
pub const WRITE_WAIT: Duration = Duration::from_secs(120);

/// The same for what is taken: who owes [`WRITE_WAIT`] is cut off. A feed with nothing to send owes
/// nothing.
pub const REPLY_BYTES_PER_SECOND_MIN: u32 = 1 << 10;

/// Archives that are read or written at one time: each takes a core, and memory for one document with all its
/// leaves. Beyond: 503 with `Retry-After`.
pub const ARCHIVES_MAX: usize = 4;

/// Failures of restore drills that the record of their run names. Further ones are counted, and in the log.
pub const DRILL_FAILURES_NAMED: usize = 100;

/// Feeds that are open at one time. Beyond: 503 with `Retry-After`.
pub const FEEDS_MAX: usize = 65_536;

/// Connections that are served at one time. Further ones wait in the system's queue.
pub const CONNECTIONS_MAX: usize = 16_384;

/// Of one address, or one /64 of IPv6. A reverse proxy is one address, so this is generous, and one on the
/// loopback address may have all. Further ones are closed as soon as they are opened.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 4_096;

/// Requests that run at one time on one HTTP/2 connection. Further ones wait for their turn.
pub const STREAMS_MAX: u32 = 250;

/// How long a stopping server waits for replies that are being sent. Then connections are cut.
pub const STOP_WAIT: Duration = Duration::from_secs(10);

/// Until the next attempt, when the system refuses to accept a connection (no more descriptors).
pub(crate) const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Origins that may be listed for CORS, and methods and headers. Beyond: 400 `bad_request`.
pub const CORS_LIST_MAX: usize = 100;

/// Seconds that a browser may be told to remember what a preflight said. Browsers stop at a day.
/// Beyond: 400 `bad_request`.
pub const CORS_MAX_AGE_MAX: u64 = 24 * 60 * 60;

/// Seconds in which a browser may be told to come by TLS alone: two years, as lists of browsers ask for.
/// Beyond: 400 `bad_request`.
pub const STRICT_TRANSPORT_MAX: u64 = 2 * 365 * 24 * 60 * 60;

/// Addresses and accounts whose rate is counted at one time, in parts that are locked apart; some 2 MiB.
/// Beyond: those who could send at full rate anyway are forgotten, then everybody of a part.
pub(crate) const RATES_PARTS: usize = 16;
pub(crate) const RATES_IN_PART_MAX: usize = 4_096;

/// Requests a second that a rate can be set to, and seconds of a burst. Beyond: 400 `bad_request`.
pub const RATE_MAX: u64 = 1_000_000;
pub const RATE_BURST_MAX: u64 = 3_600;

/// Proxies that may be trusted. Beyond: 400 `bad_request`.
pub const PROXIES_MAX: usize = 100;

/// Sign-ins of which the audit log has a record each, a minute. Beyond: counted, and the count stands in
/// the next record. Guessing passwords thus costs a disk 30 MB a day at most.
pub(crate) const AUDIT_SIGNED_IN_A_MINUTE: u32 = 600;
pub(crate) const AUDIT_REFUSED_A_MINUTE: u32 = 60;

/// Records of sign-ins that wait to be written. Beyond: counted, as above.
pub(crate) const AUDIT_WAITING_MAX: usize = 4_096;

/// Records in one commit, and old ones that are erased in one step.
pub(crate) const AUDIT_BATCH_MAX: usize = 500;

/// Bytes of a name or a path in the audit log. Beyond: cut.
pub(crate) const AUDIT_TEXT_MAX: usize = 512;

/// Between two looks for records that are too old, when something is recorded.
pub(crate) const AUDIT_TRIM_EVERY: Duration = Duration::from_secs(600);

/// Bytes of a setting's value. Beyond: 400 `bad_request`.
pub const SETTING_MAX: usize = 4 << 10;

/// Characters that a new password of a user has at least, while nobody sets another number. Below: 400.
pub const PASSWORD_LENGTH_MIN_DEFAULT: usize = 8;

/// Changes about which a filter is asked together.
pub const FILTERED_COUNT_MAX: usize = 500;

/// Versions of a document, or documents that differ, in one reply; more are asked for page by page.
pub const HISTORY_ROWS_MAX: usize = 1_000;

/// The longest window of history that can be set, a century; a longer one is as good as this.
pub const WINDOW_SECONDS_MAX: u64 = 100 * 366 * 24 * 60 * 60;
