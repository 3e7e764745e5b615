//! What changed between two moments: documents that were something else, in the order of their newest change before the
//! later one.

use settle_access::{Grant, Read};
use settle_engine::Direction;
use settle_model::revision::RevId;

use super::{
    documents::{Bodies, Portion, Then},
    moment::{Moment, PastError},
};
use crate::{
    Database,
    scan::{ChangeCursor, ChangeFilter, ChangeRow, ChangeScan, More, Next, Sink},
};

/// A document that was something else at another moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub id: String,
    /// Of its newest change before the later moment.
    pub sequence: u64,
    /// Its winner at the earlier moment; `None` where there was no such document.
    pub from: Option<(RevId, bool)>,
    /// Its winner at the later one.
    pub to: Option<(RevId, bool)>,
}

impl Database {
    /// One slice of the documents whose winners were not the same at two moments, of those that changed after
    /// `since`. What a purge has taken is not told.
    pub async fn difference(
        &self,
        grant: &Grant<Read>,
        from: Moment,
        to: Moment,
        since: u64,
        count_max: usize,
    ) -> Result<(Vec<Difference>, Next<ChangeCursor>), PastError> {
        self.inner.check(grant);
        let scan = ChangeScan {
            since: since.max(from.0),
            until: to.0,
            direction: Direction::Ascending,
            content: false,
            times: false,
            only: ChangeFilter::All,
        };
        let changed = Changed { count_max, rows: Vec::new() };
        let whole = (&scan, Portion::WHOLE);
        let (changed, next) = self.scan_some_changes_at(to, whole, changed).await?;
        let ids: Vec<String> = changed.rows.iter().map(|(_, id, _)| id.clone()).collect();
        let before = self.inner.then(&ids, from, Bodies::None).await?;
        let differences = changed.rows.into_iter().zip(before).map(|((sequence, id, to), from)| {
            let from = from.as_ref().map(winner);
            Difference { id, sequence, from, to: Some(to) }
        });
        let shows = |it: &Difference| it.from != it.to;
        Ok((differences.filter(shows).collect(), next))
    }
}

fn winner(then: &Then) -> (RevId, bool) {
    (then.winner().rev.clone(), then.winner().deleted)
}

/// Documents that changed, with their winners.
struct Changed {
    count_max: usize,
    rows: Vec<(u64, String, (RevId, bool))>,
}

impl Sink<ChangeRow<'_>> for Changed {
    fn row(&mut self, row: &ChangeRow<'_>) -> More {
        if let Some(winner) = row.leaves.first() {
            self.rows.push((row.sequence, row.id.to_owned(), winner.clone()));
        }
        if self.rows.len() < self.count_max { More::Yes } else { More::Enough }
    }
}
