//! The rows of one map in key order, with counts and partial reductions in levels.
//!
//! Level 0 holds the rows. They are cut into *segments* of some 64, each segment has an *entry* on
//! level 1 with the number of its rows and what each reducer makes of them, the entries of level 1
//! are cut into segments alike, and so on. The count of any range, its reduction, and the row at
//! any position are found by reading some rows at the ends and some entries of each level between:
//! O(log n).
//!
//! **Shape.** A segment begins where a keyed hash of the row's identity has enough zero bits (on
//! average every 64th element of each level), at the least of all possible keys, and, where none of
//! these comes for long, at every 256th element of such a natural run. So the shape depends on the
//! set of rows alone, not on the order in which they came, nobody who does not know the key can
//! choose rows that make it bad, and a change of one row changes one segment of each level, or two.
//!
//! **Order.** Everything is combined strictly in key order, so reducers need only be associative.
//!
//! | key | value |
//! |---|---|
//! | prefix, 0, row key | row: rank, key JSON, value JSON |
//! | prefix, level 1–5, row key or nothing | entry: rank, count of rows, a partial for each reducer |
//! | prefix, FF | root: count of rows |
//!
//! A *row key* is the sort key, the document id (`push_bytes`) and n (`push_number`). A sort key of
//! more than 768 bytes is cut there, and a *label* of 16 bytes follows: see [`cut`](self::cut).
//! Entries stand under the key of the first row of their segment; the first of each level stands
//! under nothing. Reading and writing are in the modules below; [`audit`](Tree::audit) computes all
//! anew and compares.

mod error;
mod reducers;
mod types;

pub use self::{
    error::TreeError,
    reducers::Reducers,
    types::{
        Edge, Group, Grouping, NewRow, Place, Range, ReduceScan, Reduced, RowKey, RowScan,
        ShapeKey, TreeRow,
    },
};

use settle_database::{Direction, Next, Sink};
use settle_engine::{Engine, Operation};

/// The rows of one map. Cheap to make: it holds nothing but names.
#[derive(Debug, Clone)]
pub struct Tree {
    prefix: Vec<u8>,
    reducers: Reducers,
}

/// Makes a tree from rows that come in key order. See [`Tree::loader`].
#[derive(Debug)]
pub struct Loader {
    _tree: Tree,
}

impl Tree {
    /// `prefix`: what all its keys begin with, at most [`limits::PREFIX_LENGTH_MAX`] bytes. No key
    /// that does not belong to it may begin so.
    ///
    /// [`limits::PREFIX_LENGTH_MAX`]: crate::limits::PREFIX_LENGTH_MAX
    pub fn new(prefix: Vec<u8>, reducers: Reducers) -> Self {
        Self { prefix, reducers }
    }

    /// Appends what deletes and puts rows, and brings counts and partials up to date. A delete of a
    /// row that is not there is no error; a put replaces, also one that is deleted in the same call.
    /// The caller commits the operations, and lets no other `apply` of this tree run meanwhile.
    pub async fn apply(
        &self,
        _engine: &dyn Engine,
        _shape: &ShapeKey,
        _puts: Vec<NewRow>,
        _deletes: Vec<RowKey>,
        _operations: &mut Vec<Operation>,
    ) -> Result<(), TreeError> {
        unimplemented!()
    }

    /// For an empty tree: rows in, in the order of (sort key, id, n), operations out.
    pub fn loader(&self, _shape: &ShapeKey) -> Loader {
        unimplemented!()
    }

    /// Goes on where a loader stood at a [`checkpoint`](Loader::checkpoint) whose operations are
    /// committed. Rows that were pushed after it are pushed again.
    pub async fn resume(
        &self,
        _engine: &dyn Engine,
        _shape: &ShapeKey,
        _checkpoint: &[u8],
    ) -> Result<Loader, TreeError> {
        unimplemented!()
    }

    /// How many rows there are, in O(1).
    pub async fn total(&self, _engine: &dyn Engine) -> Result<u64, TreeError> {
        unimplemented!()
    }

    /// How many rows a range has, in O(log n).
    pub async fn count(&self, _engine: &dyn Engine, _range: &Range) -> Result<u64, TreeError> {
        unimplemented!()
    }

    /// One slice of the rows in a range: until the sink has enough, or the engine's budget is used
    /// up. Each slice shows one state; two slices may show two. Long skips cost O(log n).
    pub async fn rows<S>(
        &self,
        _engine: &dyn Engine,
        _scan: RowScan,
        _sink: S,
    ) -> Result<(S, Next<RowScan>), TreeError>
    where
        S: for<'r> Sink<TreeRow<'r>>,
    {
        unimplemented!()
    }

    /// As [`rows`](Self::rows), for the first slice, with the place of its first row in all rows, as
    /// of the same state.
    pub async fn rows_and_place<S>(
        &self,
        _engine: &dyn Engine,
        _scan: RowScan,
        _sink: S,
    ) -> Result<(S, Place, Next<RowScan>), TreeError>
    where
        S: for<'r> Sink<TreeRow<'r>>,
    {
        unimplemented!()
    }

    /// One slice of the groups of a range, in order, in O(groups · log n).
    pub async fn reduce(
        &self,
        _engine: &dyn Engine,
        _scan: ReduceScan,
    ) -> Result<(Reduced, Next<ReduceScan>), TreeError> {
        unimplemented!()
    }

    fn _unused(&self) -> (&[u8], &Reducers, Direction) {
        (&self.prefix, &self.reducers, Direction::Ascending)
    }
}

impl Loader {
    /// The next row; rows come in the order of (sort key, id, n), each once.
    pub fn push(&mut self, _row: NewRow) -> Result<(), TreeError> {
        unimplemented!()
    }

    /// Bytes of keys and values of operations that [`drain`](Self::drain) would give.
    pub fn waiting_bytes(&self) -> usize {
        unimplemented!()
    }

    /// Appends the operations for what was pushed since the last time.
    pub async fn drain(&mut self, _operations: &mut Vec<Operation>) -> Result<(), TreeError> {
        unimplemented!()
    }

    /// Where it stands after a [`drain`](Self::drain), to be committed with its operations.
    pub fn checkpoint(&self) -> Vec<u8> {
        unimplemented!()
    }

    /// Appends the operations for all that is left. The tree is whole once they are committed.
    pub async fn finish(self, _operations: &mut Vec<Operation>) -> Result<(), TreeError> {
        unimplemented!()
    }
}
