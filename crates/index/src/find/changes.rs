//! Which changes a selector may let through, where an index says so.
//!
//! A filter of changes sees more than a query: tombstones, leaves that have not won, design documents. Of the
//! leaves an index keeps rows of their own ([`keeps_leaves`]); design documents, which it does not have, are few,
//! and each of them is looked at. So what is left out here is nothing that the selector would let through.
//!
//! [`keeps_leaves`]: settle_query::design::IndexDefinition::keeps_leaves

use std::{collections::VecDeque, ops::Bound};

use settle_access::{Grant, Read};
use settle_database::{Database, DocumentForm, Next, RenderedScan, StorageError};
use settle_query::{
    mango::{FindRequest, Index, Purpose},
    selector::Selector,
};

use super::{
    FindError,
    reader::{self, Rows},
};
use crate::{
    Indexes, ReadyView, Update, ViewError,
    limits::{FIND_BATCH_MAX, MAP_BYTES_MAX, MAP_COUNT_MAX, SELECTED_CHANGES_MAX, SELECTED_COST},
    tree::RowScan,
};

impl Indexes {
    /// The sequences in `since + 1 ..= until` of all changes that `selector` may let through, ascending. `None`
    /// where no index that is built narrows them to so few that looking at each costs less than looking at
    /// every change. `until` is not beyond where the database is.
    pub async fn selected_changes(
        &self,
        database: &Database,
        grant: &Grant<Read>,
        selector: &Selector,
        (since, until): (u64, u64),
    ) -> Result<Option<Vec<u64>>, StorageError> {
        match self.try_selected_changes(database, grant, selector, (since, until)).await {
            Ok(found) => Ok(found),
            // The changes are there whatever the index says.
            Err(FindError::View(ViewError::Storage(error @ StorageError::Gone))) => Err(error),
            Err(error) => {
                tracing::warn!(%error, "an index could not say which changes are selected");
                Ok(None)
            }
        }
    }

    async fn try_selected_changes(
        &self,
        database: &Database,
        grant: &Grant<Read>,
        selector: &Selector,
        (since, until): (u64, u64),
    ) -> Result<Option<Vec<u64>>, FindError> {
        let request = FindRequest::of_selector(selector.clone());
        let (_, plan) = match self.planned(database, grant, &request, Purpose::Find).await {
            Err(FindError::Request(_)) => return Ok(None),
            planned => planned?,
        };
        let Some(Index::Json(named)) = plan.index.as_deref() else { return Ok(None) };
        if plan.ranges.is_empty() || !self.is_built(database, grant, named).await? {
            return Ok(None);
        }
        let view = reader::ready(self, database, grant, named, Update::Wait).await?;
        let scan = reader::rows(&request, &plan, None);
        let count = view.count(&scan.range).await? + view.leaf_count(&scan.range).await?;
        let changes = database.pending(grant, since).await?;
        if count > SELECTED_CHANGES_MAX || count.saturating_mul(SELECTED_COST) > changes {
            return Ok(None);
        }
        let mut sequences = of_rows(database, grant, &view, scan).await?;
        of_designs(database, grant, &mut sequences).await?;
        sequences.retain(|&sequence| sequence > since && sequence <= until);
        sequences.sort_unstable();
        sequences.dedup();
        Ok(Some(sequences))
    }
}

async fn of_rows(
    database: &Database,
    grant: &Grant<Read>,
    view: &ReadyView,
    scan: RowScan,
) -> Result<Vec<u64>, FindError> {
    let mut sequences = Vec::new();
    for of_leaves in [false, true] {
        let mut next = Next::Go(scan.clone());
        while let Next::Go(scan) = next {
            let rows = Rows { wanted: FIND_BATCH_MAX, found: VecDeque::new() };
            let found;
            (found, next) = match of_leaves {
                false => view.rows(scan, rows).await?,
                true => view.leaf_rows(scan, rows).await?,
            };
            let ids: Vec<_> = found.found.into_iter().map(|row| row.id).collect();
            sequences.extend(database.sequences_of(grant, &ids).await?);
        }
    }
    Ok(sequences)
}

async fn of_designs(
    database: &Database,
    grant: &Grant<Read>,
    sequences: &mut Vec<u64>,
) -> Result<(), StorageError> {
    let mut next = Next::Go(RenderedScan {
        start: Bound::Included("_design/".to_owned()),
        // `0` is what follows `/`.
        end: Bound::Excluded("_design0".to_owned()),
        form: DocumentForm { tombstones: true, ..DocumentForm::default() },
        in_conflict: false,
        count_max: MAP_COUNT_MAX,
        bytes_max: MAP_BYTES_MAX,
    });
    while let Next::Go(scan) = next {
        let designs;
        (designs, next) = database.scan_rendered(grant, scan).await?;
        sequences.extend(designs.iter().map(|design| design.sequence));
    }
    Ok(())
}
