//! Every limit of documents as sent, beside those of JSON text and of names.

/// Bytes of a `content_type`. Types are stored with every revision, and sent as one line of a
/// reply's head. A client sees 400 `doc_validation`.
pub const CONTENT_TYPE_BYTES_MAX: usize = 1_000;
