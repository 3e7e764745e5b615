//! What can be wrong with a reducer or with what it is given, in CouchDB's words.

use settle_model::json;

use super::{bytes::quoted, limits::RANK_MAX};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReduceError {
    #[error("`{name}` is not a supported reduce function.")]
    Unsupported { name: String },
    #[error("invalid rank reducer")]
    RankNotANumber,
    #[error("rank value must be between 1 and {RANK_MAX}")]
    RankOutOfRange,
    /// Among the rows is a value that the reducer cannot take; CouchDB's `invalid_value`.
    #[error("{reason}")]
    InvalidValue { reason: String },
    /// Stored bytes that are not a partial of this reducer.
    #[error("a stored partial reduction is damaged")]
    Damaged,
}

/// What clients see in place of a value that there is none of, as JSON.
pub(super) fn error_json(reason: &str, cause: Option<&[u8]>) -> Vec<u8> {
    let mut out = br#"{"error":"builtin_reduce_error","reason":"#.to_vec();
    json::write_string(&mut out, reason);
    if let Some(cause) = cause {
        out.extend_from_slice(b",\"caused_by\":");
        let shown = quoted(cause);
        if shown.as_bytes() == cause {
            out.extend_from_slice(cause);
        } else {
            json::write_string(&mut out, &shown);
        }
    }
    out.push(b'}');
    out
}
