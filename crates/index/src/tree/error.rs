//! What can go wrong with a tree.

use settle_engine::{ReadError, value::Damaged};
use settle_query::reduce::ReduceError;
use settle_script::ScriptError;
use thiserror::Error;

/// Cheap to clone: one failure may end many requests.
#[derive(Debug, Clone, Error)]
pub enum TreeError {
    #[error("the index could not be read")]
    Read(#[from] ReadError),
    #[error("a stored record of the index is unusable")]
    Damaged(#[from] Damaged),
    /// The checksum is right, so another version of the program wrote it, or ours has a fault.
    #[error("a stored record of the index cannot be understood: {reason}")]
    Malformed { reason: &'static str },
    /// A reduce function failed, now or when the index was brought up to date.
    #[error("a reduce function failed")]
    Script(#[from] ScriptError),
    /// A value that a built-in reducer cannot take.
    #[error("a built-in reducer failed")]
    Reduce(#[from] ReduceError),
    /// The caller of a loader did not keep the order.
    #[error("rows do not come in order")]
    Disorder,
}
