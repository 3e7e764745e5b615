//! The rows of documents in conflict, so that finding them costs nothing for all others.
//!
//! A row is written and deleted in the commit that stores its document's head, and counted in the state record.
//! A database that was made before there were such rows gets them in slices, in the order of ids: up to where
//! that has come writes keep the rows, and beyond they leave them to the slices to come.

use std::ops::Bound;

use settle_engine::{Direction, Plan, Scan, Step, Visit, Visitor};
use settle_model::id::DocumentId;

use super::{
    Collected,
    group::{Group, subtract},
};
use crate::{
    error::StorageError,
    keys::{self, family},
    limits::{COLLECT_LOOKS_MAX, COLLECT_ROWS_MAX},
    record::{conflict, head::HeadView, state::Conflicts},
    scan::Failure,
};

impl Group<'_> {
    /// Gives a document its row, or takes it away, as its new head says.
    pub(super) fn list_conflict(&mut self, id: &DocumentId, in_conflict: bool) {
        let before = std::mem::replace(&mut self.slot(id).in_conflict, in_conflict);
        let Some(count) = self.state.conflicts.count_with(id) else { return };
        match (before, in_conflict) {
            (false, false) | (true, true) => {}
            (false, true) => {
                *count += 1;
                self.put_conflict(self.inner.keys.conflict(id));
            }
            (true, false) => {
                subtract(count, 1);
                let key = self.inner.keys.conflict(id);
                subtract(&mut self.state.sizes.active, conflict::bytes(&key));
                self.delete(key);
            }
        }
    }

    fn put_conflict(&mut self, key: Vec<u8>) {
        let mark = conflict::encode(&key);
        self.state.sizes.active += self.put(key, mark);
    }

    /// Plans the next slice of a list that is not whole yet.
    pub(super) async fn plan_listing(&mut self) -> Result<Collected, StorageError> {
        let heads = Scan::prefix(&self.inner.keys.family(family::HEAD), Direction::Ascending);
        let (start, count) = match &self.state.conflicts {
            Conflicts::Listed { .. } => return Ok(Collected::All),
            Conflicts::Unlisted => (heads.start, 0),
            Conflicts::ListedTo { id, count } => {
                (Bound::Excluded(self.inner.keys.head_at(id)), *count)
            }
        };
        let plan = Plan::new(vec![Step::Scan(Scan { start, ..heads })]);
        let heads = self.inner.shared.engine.read_to_end(plan, Heads::default()).await?;
        heads.failure.check()?;
        let count = count + heads.found.len() as u64;
        for id in &heads.found {
            self.put_conflict(self.inner.keys.document_at(family::CONFLICT, id));
        }
        if heads.full {
            self.state.conflicts = Conflicts::ListedTo { id: heads.last, count };
            Ok(Collected::More)
        } else {
            self.state.conflicts = Conflicts::Listed { count };
            Ok(Collected::All)
        }
    }
}

/// Heads of a slice, and which of them are of documents in conflict.
#[derive(Default)]
struct Heads {
    looked_at: usize,
    last: String,
    found: Vec<String>,
    full: bool,
    failure: Failure,
}

impl Heads {
    fn look(&mut self, key: &[u8], value: &[u8]) -> Result<Visit, StorageError> {
        keys::text_of(key).unwrap_or_default().clone_into(&mut self.last);
        if HeadView::decode(key, value)?.is_in_conflict()? {
            self.found.push(self.last.clone());
        }
        self.looked_at += 1;
        self.full = self.looked_at >= COLLECT_LOOKS_MAX || self.found.len() >= COLLECT_ROWS_MAX;
        Ok(if self.full { Visit::Stop } else { Visit::Next })
    }
}

impl Visitor for Heads {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.look(key, value.unwrap_or_default()).unwrap_or_else(|error| self.failure.stop(error))
    }
}
