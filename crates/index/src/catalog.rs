//! Which indexes exist, and how far each has come.
//!
//! One record for each definition of a database ([`IndexRecord`]), one cursor for each index that
//! has rows ([`CursorRecord`]), and for each design document the index that answers for it
//! ([`ServedRecord`]). While a changed definition builds, the old index is still the served one; the
//! commit that makes the new one ready also makes it the served one.

mod records;
mod store;

pub(crate) use self::{
    records::{CheckpointRecord, CursorRecord, IndexRecord, RunRecord, ServedRecord, State},
    store::{Catalog, Stored, background, committed, get_many},
};
