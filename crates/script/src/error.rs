//! What can go wrong with a call.

use std::{io, sync::Arc, time::Duration};

use thiserror::Error;

/// Why a call has no result. Cheap to clone: one failure may end many requests that waited for it.
#[derive(Debug, Clone, Error)]
pub enum ScriptError {
    /// The source is no function, or does not parse. CouchDB's `compilation_error`.
    #[error("{message}")]
    Compilation { function: String, message: String },
    /// The design document has no such function. CouchDB's `not_found`.
    #[error("missing {kind} function {name} on design doc _design/{design}")]
    Missing { kind: String, name: String, design: String },
    /// The function threw.
    #[error("{0}")]
    Thrown(Thrown),
    /// The function took longer than it may, and was stopped.
    #[error("{function} did not end within {} ms", .after.as_millis())]
    Deadline { function: String, after: Duration },
    /// The function asked for more memory than there is for it.
    #[error("{function} needed more than {limit_bytes} bytes of memory")]
    Memory { function: String, limit_bytes: usize },
    /// What the function gave back, or what it is called with, is larger than a call carries.
    #[error("{what} has more than {max_bytes} bytes")]
    TooLarge { what: &'static str, max_bytes: usize },
    /// The function gave back what cannot be used.
    #[error("{function} {problem}")]
    BadResult { function: String, problem: String },
    /// The worker process ended under this call, and not because of a limit that we know.
    #[error("the process that ran {function} ended: {status}")]
    Died { function: String, status: String },
    /// More calls wait than may.
    #[error("too many calls of JavaScript functions wait")]
    Busy,
    /// The pool is closed, since the server stops.
    #[error("the server stops")]
    Closed,
    #[error("start a process for JavaScript")]
    Launch(#[source] Arc<io::Error>),
}

/// What a function threw, in the form of an error reply.
///
/// `throw({forbidden: "no"})` is (`forbidden`, `no`), and alike for `unauthorized`;
/// `throw(["error", "not_found", "gone"])` and `throw({error: "not_found", reason: "gone"})` are
/// (`not_found`, `gone`); an `Error` has its name and message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct Thrown {
    pub error: String,
    pub reason: String,
}
