//! The embedded engine, on LMDB.
//!
//! A copy-on-write tree in one memory-mapped file: reads are pointers into the map, a commit writes
//! new pages, syncs them, and then writes and syncs one of two meta pages, so a crash at any instant
//! leaves a whole store. Why LMDB, and what it asks of us, is in `docs/decisions/0002-lmdb.md`.
//!
//! What this crate does not know: what the rows mean.

pub mod limits;

mod clock;
mod committer;
mod engine;
mod folder;
mod identity;
mod offline;
mod options;
mod reading;
mod store;
mod verify;

pub use engine::LmdbEngine;
pub use identity::Identity;
pub use offline::{CompactError, Compacted, CopyError, backup, compact};
pub use options::{OpenError, OpenOptions};
pub use verify::{Verified, VerifyError, verify};
