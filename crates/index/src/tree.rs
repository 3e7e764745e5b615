//! The rows of one map in key order, with counts and partial reductions in levels.
//!
//! Level 0 holds the rows. They are cut into *segments* of some 16, each segment has an *entry* on
//! level 1 with the number of its rows and what each reducer makes of them, the entries of level 1
//! are cut into segments alike, and so on. The count of any range, its reduction, and the row at
//! any position are found by reading some rows at the ends and some entries of each level between:
//! O(log n).
//!
//! **Shape.** A segment begins where a keyed hash of the row's identity has enough zero bits (on
//! average every 16th element of each level), at the least of all possible keys, and, where none of
//! these comes for long, at every 64th element of such a natural run. So the shape depends on the
//! set of rows alone, not on the order in which they came, nobody who does not know the key can
//! choose rows that make it bad, and a change of one row changes one segment of each level, or two.
//!
//! **Order.** Everything is combined strictly in key order, so reducers need only be associative.
//!
//! | key | value |
//! |---|---|
//! | prefix, 0, row key | row: rank, key JSON, value JSON |
//! | prefix, level 1–7, row key or nothing | entry: rank, count of rows, a partial for each reducer |
//! | prefix, FF | root: count of rows |
//!
//! A *row key* is the sort key, the document id (`push_bytes`) and n (`push_number`). A sort key of
//! more than 768 bytes is cut there, and a *label* of 16 bytes follows: see `tree::cut`.
//! Entries stand under the key of the first row of their segment; the first of each level stands
//! under nothing. Reading and writing are in the modules below; [`audit`](Tree::audit) computes all
//! anew and compares.

mod error;
mod reducers;
mod types;

mod apply;
mod audit;
mod loader;
mod reduce;
mod rows;
mod walk;

mod cut;
mod element;
mod keys;
mod record;
mod shape;

pub use self::{
    audit::{AuditError, Shape},
    error::TreeError,
    loader::Loader,
    reducers::Reducers,
    types::{
        Edge, Group, Grouping, NewRow, NewRowRef, Place, Range, ReduceScan, Reduced, RowKey,
        RowScan, ShapeKey, TreeRow,
    },
};

use std::sync::Arc;

/// What stands in the record of an index whose rows are laid out as here. Whoever changes where segments
/// begin, or what rows there are, changes this, so that indexes of before are built anew.
pub(crate) const LAYOUT: u64 = 1;

/// The rows of one map. Cheap to make and to clone: it holds nothing but names.
#[derive(Debug, Clone)]
pub struct Tree {
    prefix: Arc<[u8]>,
    reducers: Reducers,
}

impl Tree {
    /// `prefix`: what all its keys begin with, at most [`limits::PREFIX_LENGTH_MAX`] bytes. No key
    /// that does not belong to it may begin so.
    ///
    /// [`limits::PREFIX_LENGTH_MAX`]: crate::limits::PREFIX_LENGTH_MAX
    pub fn new(prefix: impl Into<Arc<[u8]>>, reducers: Reducers) -> Self {
        Self { prefix: prefix.into(), reducers }
    }
}
