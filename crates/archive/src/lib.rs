//! A database as one file, and back: compressed, checksummed, and readable without Settle.
//!
//! Unpacked by `zstd -d`, an archive is lines of JSON ([`mod@line`]): what the database is called, its local
//! documents, what it is at one sequence, and each document with all leaves, their ancestry and their
//! attachments. Packed, it is blocks of whole lines ([`block`]), each with a checksum, so that a flipped bit
//! anywhere is found, and named with its place.
//!
//! - [`Archiving`] makes the file piece by piece from a [`Point`](settle_database::Point) of a database.
//! - [`Reader`] takes the file's bytes as they come, checks them, and gives what they mean. It is plain code
//!   without I/O.
//! - [`restore`] builds a database from it beside the one that it may take the place of, and compares the two
//!   leaf by leaf; [`compare`] says in what a database differs from its archive.
//!
//! Memory is bounded by [`limits`], whatever the size of the database: a block, and one document with its leaves.
//!
//! What this crate does not know: HTTP, files, when archives are made and how long they are kept.

pub mod block;
mod compare;
pub mod limits;
pub mod line;
mod reading;
mod restore;
mod writing;

pub use self::{
    block::{Damage, Flaw},
    compare::{CompareError, Comparison, compare},
    line::{Gone, Header, Totals},
    reading::{BadArchive, Contents, Item, Reader},
    restore::{RestoreFailure, Restored, Source, restore},
    writing::{ArchiveError, Archiving},
};
