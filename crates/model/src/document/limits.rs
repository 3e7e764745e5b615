//! Every limit of documents as sent, beside those of JSON text and of names.

/// Bytes of a `content_type`. Types are stored with every revision, and sent as one line of a
/// reply's head. A client sees 400 `doc_validation`.
pub const CONTENT_TYPE_BYTES_MAX: usize = 1_000;

/// Documents of one bulk request. Each takes some hundred bytes of memory, however short its text is.
/// A client sees 413 `too_large`.
pub const BULK_DOCUMENTS_MAX: usize = 250_000;
