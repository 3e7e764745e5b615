//! The rules of documents: how they are named, how their revisions grow, what JSON they hold.
//!
//! Plain values and functions. Nothing here reads or writes, asks the time or draws random
//! numbers; what needs those takes a [`time::Clock`] or a [`time::Entropy`]. Everything that comes
//! from outside is parsed here, once, into values that are right afterwards.

pub mod date;
pub mod document;
pub mod id;
pub mod json;
pub mod limits;
pub mod revision;
pub mod revision_hash;
pub mod sequence;
pub mod time;
pub mod tree;
