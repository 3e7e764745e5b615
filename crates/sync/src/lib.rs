//! Replication: the protocol that CouchDB, PouchDB and their relatives speak, as a state machine.
//!
//! A [`Job`](job::Job) says what is to be replicated. A [`Replication`](replication::Replication) does
//! it: replies, failures and the time go in, requests come out. Whoever drives it carries the
//! requests to the two databases, over HTTP or within the process; nothing here reads, writes, asks
//! the time or draws random numbers. [`wire`] has the JSON that travels, for those who need it.
//!
//! What is promised: once the source is quiet and requests get through, every leaf of the source that
//! is selected is on the target, or has been reported as refused; a checkpoint never says more than
//! what the target has said to be durable; memory is bounded.

mod backoff;
pub mod checkpoint;
pub mod document;
pub mod id;
pub mod job;
mod json;
pub mod limits;
mod pace;
pub mod replication;
pub mod sealing;
pub mod seq;
pub mod stats;
pub mod wire;

pub use backoff::job_pause;
