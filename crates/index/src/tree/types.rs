//! What is put into a tree, asked of it, and found.

use bytes::Bytes;
use settle_database::Direction;
use settle_query::collate::Collation;

/// Decides where segments begin. Random for each index and stored with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShapeKey(pub [u8; 32]);

impl std::fmt::Debug for ShapeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShapeKey(..)")
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRow {
    /// Whole, however long. No sort key of a tree is the prefix of another.
    pub sort_key: Vec<u8>,
    /// At most [`DOCUMENT_ID_BYTES_MAX`](settle_model::limits::DOCUMENT_ID_BYTES_MAX) bytes, with
    /// U+0000 counted twice.
    pub id: String,
    /// Tells rows of one document apart.
    pub n: u32,
    /// JSON.
    pub key: Bytes,
    /// JSON.
    pub value: Bytes,
}

/// A new row, lent to who loads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewRowRef<'a> {
    pub sort_key: &'a [u8],
    pub id: &'a str,
    pub n: u32,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

impl NewRow {
    pub fn lend(&self) -> NewRowRef<'_> {
        let Self { sort_key, id, n, key, value } = self;
        NewRowRef { sort_key, id, n: *n, key, value }
    }
}

/// Which row. The order of the fields is the order of rows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    pub sort_key: Vec<u8>,
    pub id: String,
    pub n: u32,
}

/// A row as it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeRow<'a> {
    pub id: &'a str,
    /// JSON, as it was emitted.
    pub key: &'a [u8],
    /// JSON, as it was emitted.
    pub value: &'a [u8],
}

/// Rows between two edges. `start` is the lower one, whatever the direction of a scan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Range {
    pub start: Edge,
    pub end: Edge,
}

/// A place between rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Edge {
    /// No row is beyond it.
    #[default]
    Open,
    /// Before all rows whose sort key begins with this; with `id`, before the rows of that document
    /// under this sort key, which is then a whole one.
    Before {
        sort_key: Vec<u8>,
        id: Option<String>,
    },
    /// After all these.
    After {
        sort_key: Vec<u8>,
        id: Option<String>,
    },
    /// Where this row stands or would stand.
    BeforeRow(RowKey),
    AfterRow(RowKey),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowScan {
    pub range: Range,
    pub direction: Direction,
    /// Rows to pass over before the first.
    pub skip: u64,
    pub limit: u64,
}

/// Where the first row of a scan is in all rows, in the scan's direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// All rows of the tree.
    pub total: u64,
    /// Rows before the first that is shown, skipped ones included.
    pub offset: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReduceScan {
    pub range: Range,
    /// In the list of the tree's reducers.
    pub reducer: usize,
    pub grouping: Grouping,
    pub direction: Direction,
    /// Groups to pass over before the first.
    pub skip: u64,
    /// Groups.
    pub limit: u64,
    /// What all sort keys of the range begin with before that of the row's own key: a partition.
    pub partition: Vec<u8>,
    pub collation: Collation,
}

/// What is reduced together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// All rows of the range, into one group; none where there is no row.
    All,
    /// Rows with equal keys.
    Exact,
    /// Rows whose keys are arrays that begin with the same so many elements; other keys as `Exact`.
    Level(u32),
}

/// A slice of a reduction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reduced {
    pub groups: Vec<Group>,
    /// Rows and entries that were read for it.
    pub visits: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// JSON; `None` for [`Grouping::All`].
    pub key: Option<Bytes>,
    /// JSON.
    pub value: Bytes,
}
