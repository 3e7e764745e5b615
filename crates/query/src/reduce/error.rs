//! What can be wrong with a reducer or with what it is given, in CouchDB's words.

use super::limits::RANK_MAX;

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
