//! Reading a view that is ready: rows, counts and reductions, each in slices that show one state.

use settle_database::{Next, Sink};

use super::{ReadyView, ViewError};
use crate::tree::{Group, Place, Range, ReduceScan, RowScan, TreeError, TreeRow};

impl ReadyView {
    /// How many rows there are.
    pub async fn total(&self) -> Result<u64, ViewError> {
        self.checked(self.tree.total(&*self.engine).await).await
    }

    /// How many rows a range has, in O(log n).
    pub async fn count(&self, range: &Range) -> Result<u64, ViewError> {
        self.checked(self.tree.count(&*self.engine, range).await).await
    }

    /// One slice of the rows in a range: until the sink has enough, or the engine's budget is used
    /// up.
    pub async fn rows<S>(&self, scan: RowScan, sink: S) -> Result<(S, Next<RowScan>), ViewError>
    where
        S: for<'r> Sink<TreeRow<'r>>,
    {
        self.checked(self.tree.rows(&*self.engine, scan, sink).await).await
    }

    /// As [`rows`](Self::rows), for the first slice, with the place of its first row in all rows, as
    /// of the same state.
    pub async fn rows_and_place<S>(
        &self,
        scan: RowScan,
        sink: S,
    ) -> Result<(S, Place, Next<RowScan>), ViewError>
    where
        S: for<'r> Sink<TreeRow<'r>>,
    {
        self.checked(self.tree.rows_and_place(&*self.engine, scan, sink).await).await
    }

    /// One slice of the groups of a range, in O(groups · log n).
    pub async fn reduce(
        &self,
        scan: ReduceScan,
    ) -> Result<(Vec<Group>, Next<ReduceScan>), ViewError> {
        let reduced = self.tree.reduce(&*self.engine, scan).await;
        let (reduced, next) = self.checked(reduced).await?;
        Ok((reduced.groups, next))
    }

    /// The rows of a range that other leaves than live winners have, in an index that keeps them.
    pub(crate) async fn leaf_count(&self, range: &Range) -> Result<u64, ViewError> {
        match &self.leaves {
            None => Ok(0),
            Some(leaves) => self.checked(leaves.count(&*self.engine, range).await).await,
        }
    }

    /// As [`rows`](Self::rows), of other leaves than live winners.
    pub(crate) async fn leaf_rows<S>(
        &self,
        scan: RowScan,
        sink: S,
    ) -> Result<(S, Next<RowScan>), ViewError>
    where
        S: for<'r> Sink<TreeRow<'r>>,
    {
        match &self.leaves {
            None => Ok((sink, Next::Done)),
            Some(leaves) => self.checked(leaves.rows(&*self.engine, scan, sink).await).await,
        }
    }

    /// Lets go of the index where it is found to be damaged; it is built again for the next one who asks.
    async fn checked<T>(&self, read: Result<T, TreeError>) -> Result<T, ViewError> {
        let error = match read {
            Ok(read) => return Ok(read),
            Err(error) => ViewError::from(error),
        };
        if let ViewError::Damaged { reason } = &error {
            let (database, signature) = (self.database.number(), &self.definition.signature);
            let shared = &self.indexes.shared;
            shared.let_go_damaged(database, signature, Some(self.number), reason).await;
        }
        Err(error)
    }

    /// Which of the reducers of its rows is the view's, for [`ReduceScan::reducer`]; 0 where it has
    /// none.
    pub fn reducer_number(&self) -> usize {
        self.place.reducer.unwrap_or_default()
    }
}
