//! JavaScript of design documents, run in worker processes.
//!
//! A worker is this same binary, started with a hidden subcommand and a Unix stream socket as its
//! standard input. It has no environment, no files and no network, a memory limit, and a deadline after
//! which it is killed, since a native built-in of the engine (one `indexOf` on long strings) can
//! burn half a minute and no interrupt reaches it. So whatever a function does, it costs its caller
//! an error and nobody else more than a moment.
//!
//! [`Scripts`] is the pool. It starts workers on demand, gives each one call at a time, keeps one free
//! of long work for short calls, and runs again elsewhere what waited behind a worker that died. A
//! worker keeps one runtime for each (database, design document), so that no document is ever seen by
//! a function of another database (CVE-2023-26268).
//!
//! The dialect, the helpers and all limits are told to users in `docs/javascript.md`. Semantics are
//! those of CouchDB 3.5's `share/server/*.js`.
//!
//! *Does not know* documents as records, HTTP, what a view is: it takes JSON and gives JSON.

mod error;
mod frame;
mod launcher;
pub mod limits;
pub mod message;
mod program;
mod request;
mod rows;
mod scripts;
mod settings;
pub mod worker;

pub use self::{
    error::{ScriptError, Thrown},
    frame::FrameError,
    launcher::{Launcher, SUBCOMMAND},
    message::FunctionKind,
    program::Program,
    request::{RequestBody, RequestObject, scrub},
    rows::{DocRows, MapFailure, Row, Rows},
    scripts::{List, ListOutput, Scripts, Transaction, TransactionOutput, Updated, ValidateEdit},
    settings::{ReduceLimit, ScriptSettings},
};
