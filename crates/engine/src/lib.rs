//! Ordered bytes to bytes: the storage below everything.
//!
//! The contract is coarse because a remote engine pays a round trip for each operation. It has
//! three promises: a read sees one consistent view, a commit is atomic and synced before it is
//! answered, and preconditions are checked inside the write itself, so that two writers can never
//! both act on the same state. Every engine passes the suite in `conformance`.
//!
//! What this crate does not know: documents, databases, who asks.

pub mod key;
pub mod value;

mod contract;

pub mod checked;
pub mod limits;
pub mod slice;

pub mod around;
pub mod faulty;
pub mod memory;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

pub use contract::{
    Batch, BoxFuture, Checkpoint, CheckpointError, ClearError, Cleared, Direction, Engine,
    Expected, Operation, Outcome, Place, Plan, Precondition, Progress, ReadError, ReadResult,
    Resume, Scan, Stats, Step, Urgency, Visit, Visitor,
};
