//! Every limit of this crate: the number, the reason, and what a caller sees when it is reached.
//! What can be set is in [`ScriptSettings`](crate::ScriptSettings).

use std::time::Duration;

/// Bytes of one message between host and worker, either way.
///
/// Room for a document of 32 MB before and after an edit. A caller sees [`TooLarge`](crate::ScriptError::TooLarge), a peer that claims more
/// is cut off.
pub const FRAME_BYTES_MAX: usize = 96 << 20;

/// Bytes of one document, request object or argument. A caller sees
/// [`TooLarge`](crate::ScriptError::TooLarge); of a document to map, a row in the log, and it emits nothing.
pub const INPUT_BYTES_MAX: usize = 32 << 20;

/// Bytes that a map function may emit for one document, or any function give back. The function
/// sees a `RangeError`.
pub const OUTPUT_BYTES_MAX: usize = 16 << 20;

/// Bytes of output after which a worker gives back what it has of a batch.
pub const BATCH_OUTPUT_BYTES: usize = 8 << 20;

/// Time after which a worker gives back what it has of a batch, so that others get their turn.
pub const BATCH_TIME: Duration = Duration::from_millis(50);

/// Bytes of documents or rows that are sent at once: some 20 ms of a simple map function.
pub const BATCH_INPUT_BYTES: usize = 1 << 20;

/// Documents, groups or edits that are sent at once.
pub const BATCH_ITEMS_MAX: usize = 1_000;

/// Bytes of input up to which a call counts as short. Short calls find a worker that long ones may not
/// take.
pub const SHORT_INPUT_BYTES: usize = 64 << 10;

/// Entries of any list in a message. More are a damaged message.
pub const LIST_ENTRIES_MAX: usize = 10_000_000;

/// Levels of arrays and objects in what goes in and out; as deep as stored documents may be. A function
/// that gives back more sees a `RangeError`.
pub const JSON_DEPTH_MAX: usize = settle_model::json::limits::JSON_DEPTH_MAX;

/// Log lines of one call that are kept. Later ones are dropped.
pub const LOG_LINES_MAX: usize = 100;

/// Bytes of one log line. The rest is cut.
pub const LOG_LINE_BYTES_MAX: usize = 2_000;

/// Bytes of an error's text, which may hold the source of a function. The rest is cut.
pub const ERROR_TEXT_BYTES_MAX: usize = 4_000;

/// Calls that wait for a worker. A caller sees [`Busy`](crate::ScriptError::Busy).
pub const WAITING_CALLS_MAX: usize = 4_096;

/// Bytes of all calls that wait. A caller sees [`Busy`](crate::ScriptError::Busy).
pub const WAITING_BYTES_MAX: usize = 256 << 20;

/// A call that runs this long is *slow*: it no longer keeps its place among the workers, and no other
/// call of its database starts until it has ended.
pub const SLOW_AFTER: Duration = Duration::from_millis(250);

/// After this the process of a slow call runs with less priority, and ends with the call: no process
/// may take back what it has given up.
pub const RENICE_AFTER: Duration = Duration::from_secs(1);

/// Processes of slow calls at once. Further ones keep their place.
pub const SLOW_PROCESSES_MAX: usize = 8;

/// List functions that run at once, each in a process of its own because the client decides when it
/// goes on. Others wait.
pub const LIST_PROCESSES_MAX: usize = 8;

/// Transaction functions that run at once, each in a process of its own since others may have to run for what it
/// asks. Others wait.
pub const TRANSACTION_PROCESSES_MAX: usize = 8;

/// Of these, and of those of list functions, as many as one database has at once: some are left for others.
pub const PROCESSES_OF_ONE_MAX: usize = 6;

/// How long after the deadline of a function its process is killed. Until then the engine stops the function
/// by itself, unless that is in a native built-in.
pub const KILL_GRACE: Duration = Duration::from_secs(1);

/// How long a worker without work is kept.
pub const IDLE_TIME: Duration = Duration::from_secs(60);

/// How long a process may take to start.
pub const START_TIME_MAX: Duration = Duration::from_secs(10);

/// Runtimes of one worker. The least recently used one goes.
pub const RUNTIMES_MAX: usize = 256;

/// Compiled functions that a runtime keeps. Beyond that it compiles anew.
pub const FUNCTIONS_MAX: usize = 512;

/// Different object keys that one batch remembers.
pub const CACHED_KEYS: usize = 1_024;

/// Bytes of the stack of JavaScript functions. A function that recurses deeper sees a `RangeError`.
pub const STACK_BYTES: usize = 4 << 20;

/// CouchDB's `reduce_limit_threshold`: results of a reduce function up to this many bytes may be any.
pub const REDUCE_OUTPUT_BYTES: usize = 5_000;

/// CouchDB's `reduce_limit_ratio`: beyond that, this many times the result must be less than the rows.
pub const REDUCE_RATIO: usize = 2;
