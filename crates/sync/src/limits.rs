//! Every limit of this crate: the number, the reason, and what is seen when it is reached. Numbers
//! that a job may set are CouchDB's where CouchDB has them.

use std::time::Duration;

/// Bytes of a job's document or request. Its lists (ids, headers, parameters) are kept in memory as
/// long as the job runs. A client sees 413 or, in `_scheduler/docs`, the state `failed`.
pub const JOB_BYTES_MAX: usize = 8 << 20;

/// Bytes of a URL of an endpoint or a proxy. A client sees 400 `bad_request`.
pub const URL_BYTES_MAX: usize = 8_000;

/// Headers that a job adds to each request, of one endpoint. A client sees 400 `bad_request`.
pub const HEADERS_MAX: usize = 64;

/// Bytes of one header, name and value together. A client sees 400 `bad_request`.
pub const HEADER_BYTES_MAX: usize = 8_000;

/// Bytes of sealed credentials of one endpoint, as text. More cannot have been sealed here. A client
/// sees 403 `forbidden`.
pub const SEALED_BYTES_MAX: usize = 1 << 20;

/// Documents of `doc_ids`: they are sent with each page of changes. A client sees 400 `bad_request`.
pub const DOC_IDS_MAX: usize = 100_000;

/// Rows that are compared with the target at a time, where the job does not say.
pub const WORKER_BATCH_SIZE_DEFAULT: usize = 500;

/// ... and the most. A job that asks for more gets this many.
pub const WORKER_BATCH_SIZE_MAX: usize = 10_000;

/// Portions of rows that are under way at a time, where the job does not say.
pub const WORKER_PROCESSES_DEFAULT: usize = 4;

/// ... and the most. A job that asks for more gets this many.
pub const WORKER_PROCESSES_MAX: usize = 64;

/// Requests to one peer at a time, at most, where the job does not say.
pub const HTTP_CONNECTIONS_DEFAULT: usize = 20;

/// ... and the most. A job that asks for more gets this many.
pub const HTTP_CONNECTIONS_MAX: usize = 100;

/// How often a request is tried again before the job fails, where the job does not say.
pub const RETRIES_DEFAULT: u32 = 5;

/// ... and the most. A job that asks for more gets this many.
pub const RETRIES_MAX: u32 = 100;

/// How long a request may make no progress, where the job does not say.
pub const CONNECTION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// ... and the least and the most. A job that asks for less or more gets these.
pub const CONNECTION_TIMEOUT_MIN: Duration = Duration::from_secs(1);
pub const CONNECTION_TIMEOUT_MAX: Duration = Duration::from_secs(600);

/// How often a checkpoint is written, where the job does not say.
pub const CHECKPOINT_INTERVAL_DEFAULT: Duration = Duration::from_secs(30);

/// ... and the least and the most. A job that asks for less or more gets these.
pub const CHECKPOINT_INTERVAL_MIN: Duration = Duration::from_millis(100);
pub const CHECKPOINT_INTERVAL_MAX: Duration = Duration::from_secs(86_400);

/// Sessions that a checkpoint document remembers, as in CouchDB. Older ones are forgotten; replicas
/// that have none in common any more are compared from the start.
pub const HISTORY_MAX: usize = 50;

/// Bytes of a source's sequence. CouchDB's take some hundred bytes a shard. A page with a longer one
/// counts as a broken reply.
pub const SEQ_BYTES_MAX: usize = 65_536;

/// Bytes of a checkpoint document that is read. A longer one counts as none.
pub const CHECKPOINT_BYTES_MAX: usize = 8 << 20;

/// Bytes of documents that one replication holds, where its host does not say: what has been read
/// and not yet been written, and what requests under way may bring.
pub const MEMORY_BYTES_DEFAULT: usize = 32 << 20;

/// Bytes of one document without its attachments. A larger one is not copied, and counts as a failure
/// to write. One that is larger than what the replication may hold is held alone.
pub const DOCUMENT_BYTES_MAX: usize = 32 << 20;

/// Bytes that a document in memory counts for beside its text.
pub const DOCUMENT_OVERHEAD_BYTES: usize = 256;

/// Bytes of documents that one request may bring, at the start, and the least and the most that it
/// adapts to. Large enough to be worth a round trip of 300 ms, small enough that a cut link loses
/// little.
pub const REQUEST_BYTES_START: usize = 1 << 20;
pub const REQUEST_BYTES_MIN: usize = 64 << 10;
pub const REQUEST_BYTES_MAX: usize = 4 << 20;

/// Documents of one request, at the start; it adapts between one and `worker_batch_size`.
pub const REQUEST_DOCUMENTS_START: usize = 100;

/// Requests to one peer at a time, at the start; it adapts between one and `http_connections`.
pub const REQUESTS_START: usize = 4;

/// A request that takes less than this may carry more, ...
pub const REQUEST_SHORT: Duration = Duration::from_secs(1);

/// ... and one that takes longer than this shall carry less: it is lost work when the link is cut.
pub const REQUEST_LONG: Duration = Duration::from_secs(5);

/// Bytes of a document's changed attachments up to which they come inside the document. Larger ones
/// are copied one at a time, and go on where they stopped when the link is cut.
pub const ATTACHMENTS_INLINE_BYTES_MAX: u64 = 32 << 10;

/// Rows of changes that are read ahead of what is compared, for each portion that may be under way.
pub const PORTIONS_READ_AHEAD: usize = 2;

/// Rows of a page of changes, at least: small pages waste round trips.
pub const PAGE_ROWS_MIN: usize = 100;

/// How long a page of changes may wait for the first change. Most proxies cut after a minute.
pub const CHANGES_WAIT_MAX: Duration = Duration::from_secs(50);

/// The pause after a peer that was asked to wait for changes came back at once with none.
pub const EMPTY_PAGE_PAUSE: Duration = Duration::from_secs(1);

/// How often the source may say that it has not got a revision which its changes list, before the
/// job fails: a cluster may need a moment until each of its nodes has it.
pub const MISSING_MAX: u32 = 3;

/// The pause before a revision is asked for again that the source said it has not got.
pub const MISSING_PAUSE: Duration = Duration::from_secs(2);

/// How long a peer may say that it is busy before the job fails and gives its place to another one.
pub const BUSY_MAX: Duration = Duration::from_secs(300);

/// The longest `Retry-After` that is respected to the letter within a running job.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);

/// The pauses between tries of one request: the first, which doubles each time, and the longest.
pub const REQUEST_PAUSE_FIRST: Duration = Duration::from_millis(250);
pub const REQUEST_PAUSE_MAX: Duration = Duration::from_secs(30);

/// The pauses before a job that failed starts again: the first, and the longest, as in CouchDB.
pub const JOB_PAUSE_FIRST: Duration = Duration::from_secs(5);
pub const JOB_PAUSE_MAX: Duration = Duration::from_secs(8 * 3_600);
