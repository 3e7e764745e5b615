//! Reading a view that is ready: rows, counts and reductions, each in slices that show one state.

use settle_database::{Next, Sink};

use super::{ReadyView, ViewError};
use crate::tree::{Group, Place, Range, ReduceScan, RowScan, TreeRow};

impl ReadyView {
    /// How many rows there are.
    pub async fn total(&self) -> Result<u64, ViewError> {
        Ok(self.tree.total(&*self.engine).await?)
    }

    /// How many rows a range has, in O(log n).
    pub async fn count(&self, range: &Range) -> Result<u64, ViewError> {
        Ok(self.tree.count(&*self.engine, range).await?)
    }

    /// One slice of the rows in a range: until the sink has enough, or the engine's budget is used
    /// up.
    pub async fn rows<S>(&self, scan: RowScan, sink: S) -> Result<(S, Next<RowScan>), ViewError>
    where
        S: for<'r> Sink<TreeRow<'r>>,
    {
        Ok(self.tree.rows(&*self.engine, scan, sink).await?)
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
        Ok(self.tree.rows_and_place(&*self.engine, scan, sink).await?)
    }

    /// One slice of the groups of a range, in O(groups · log n).
    pub async fn reduce(
        &self,
        scan: ReduceScan,
    ) -> Result<(Vec<Group>, Next<ReduceScan>), ViewError> {
        let (reduced, next) = self.tree.reduce(&*self.engine, scan).await?;
        Ok((reduced.groups, next))
    }

    /// Which of the reducers of its rows is the view's, for [`ReduceScan::reducer`]; 0 where it has
    /// none.
    pub fn reducer_number(&self) -> usize {
        self.place.reducer.unwrap_or_default()
    }
}
