//! Every limit of this crate: the number, the reason, and what a client sees when it is reached.

/// Transactions of one exchange. Beyond: 413 `too_large`; the rest goes into the next exchange.
pub const TRANSACTIONS_MAX: usize = 10_000;

/// Requirements and writes of one transaction: it is never split across commits, so all of it is planned and
/// synced while others wait. Beyond: 413 `too_large`.
pub const REQUIREMENTS_MAX: usize = 1_000;
pub const WRITES_MAX: usize = 1_000;

/// Writes of all transactions together that are all in one. Beyond: 413 `too_large`, or the outcome `undecided` with the
/// error `os_process_error` for the function that wrote too much.
pub const WRITES_TOGETHER_MAX: usize = 2_000;

/// Calls of functions that are all in one: what those before it would write is planned anew for each. Beyond: 413
/// `too_large`.
pub const CALLS_TOGETHER_MAX: usize = 100;

/// Operations on fields of one document, and steps of one JSON Patch. Each may look at all of the document.
/// Beyond: 413 `too_large`.
pub const OPERATIONS_MAX: usize = 200;

/// Bytes of what a transaction function gives back, or of why it refuses: that is remembered with the outcome.
/// Beyond: the outcome `undecided` with the error `os_process_error`.
pub const RESULT_BYTES_MAX: usize = 64 << 10;

/// Bytes of the name of a client, and of a transaction's id: they stand in a key. Beyond: 400 `bad_request`.
pub const CLIENT_BYTES_MAX: usize = 100;
pub const ID_BYTES_MAX: usize = 200;

/// Bytes of a document that is changed in part. A larger one is put whole. The client sees the refusal `too_large`.
///
/// Each array and object that is looked into takes some forty bytes for each of its elements meanwhile.
pub const CHANGED_BYTES_MAX: usize = 1 << 20;

/// Bytes that the steps `copy` of one JSON Patch may add. Beyond: the refusal `patch`.
pub const COPIED_BYTES_MAX: usize = 8 << 20;

/// Names in the path of a field, and in a JSON Pointer, as deep as JSON may be. Beyond: 400 `bad_request`.
pub const PATH_NAMES_MAX: usize = settle_model::json::limits::JSON_DEPTH_MAX;

/// Digits of a number that is calculated with, on both sides of its point, and of its exponent. Beyond: the
/// refusal `operation`.
pub const DIGITS_MAX: usize = 1_000;
pub const EXPONENT_MAX: u32 = 400;
