//! Every limit of this crate: the number, the reason, and what a client sees when it is reached.
//!
//! Sizes are in bytes unless the name says otherwise. Limits of documents and names stand in the
//! `model` and `database` crates, those of passwords in `accounts`.

use std::time::Duration;

/// Of the path and query of a request. `keys` in a query can be long, and proxies stop between 8 and
/// 64 KiB. Beyond: 414 `too_long`; from 65,535 on, where the parser stops, 414 without a body.
pub const URI_MAX: usize = 60_000;

/// Of all headers of a request together. Beyond: the connection is closed with 431.
pub const HEADERS_MAX: usize = 128 << 10;

/// Of a JSON body that is read whole: a bulk request, a document with inline attachments, keys.
/// After decompression. CouchDB takes 4 GiB, and holds them in memory. Beyond: 413 `too_large`.
pub const JSON_BODY_MAX: usize = 256 << 20;

/// Of a JSON body that is parsed where it arrives; a longer one, a millisecond's work and more, is
/// handed to another thread.
pub(crate) const PARSED_INLINE_MAX: usize = 1 << 20;

/// Of a small JSON body: a session, a setting, a list of names. Beyond: 413 `too_large`.
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

/// Segments of a path that routes look at one by one.
pub(crate) const CAPTURES_MAX: usize = 4;

/// Characters of an `X-Couch-Request-ID` that a client chooses. Beyond: the server chooses one.
pub(crate) const REQUEST_ID_MAX: usize = 36;

/// Until a connection has sent the headers of its next request, idle time between requests included:
/// what holds a socket without asking for anything is cut off.
pub const HEADERS_WAIT: Duration = Duration::from_secs(75);

/// Connections that are served at one time. Further ones wait in the system's queue.
pub const CONNECTIONS_MAX: usize = 16_384;

/// Requests that run at one time on one HTTP/2 connection. Further ones wait for their turn.
pub const STREAMS_MAX: u32 = 250;

/// How long a stopping server waits for replies that are being sent. Then connections are cut.
pub const STOP_WAIT: Duration = Duration::from_secs(10);

/// Until the next attempt, when the system refuses to accept a connection (no more descriptors).
pub(crate) const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Bytes of a setting's value. Beyond: 400 `bad_request`.
pub const SETTING_MAX: usize = 4 << 10;
