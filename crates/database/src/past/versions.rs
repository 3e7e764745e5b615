//! All that is kept of one document: what it is, and what it was.

use std::ops::Bound;

use settle_access::{Grant, Read};
use settle_engine::{Direction, Plan, Scan, Step, Visit, Visitor};
use settle_model::{id::DocumentId, revision::RevId, time::Timestamp};

use crate::{
    Database,
    error::StorageError,
    keys,
    record::{
        head::HeadView,
        history::{History, PastBody},
    },
    scan::Failure,
};

/// A state of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Of the change that made it so.
    pub sequence: u64,
    /// When that was.
    pub updated: Timestamp,
    pub rev: RevId,
    pub deleted: bool,
    /// Live leaves other than the winner.
    pub conflicts: Vec<RevId>,
    /// Of the change that replaced it; `None` of the present one.
    pub replaced_by: Option<u64>,
}

impl Database {
    /// What is kept of a document, newest first: states that began before the sequence `before`, and whether there are
    /// more. Between two of them may have been others, which nothing keeps any more.
    pub async fn versions(
        &self,
        grant: &Grant<Read>,
        id: &DocumentId,
        before: Option<u64>,
        count_max: usize,
    ) -> Result<(Vec<Version>, bool), StorageError> {
        self.inner.check(grant);
        let keys = self.inner.keys;
        let all = Scan::prefix(&keys.histories(id), Direction::Descending);
        // What began before a sequence was replaced by it or by an earlier one.
        let end = before.map_or(all.end, |before| Bound::Included(keys.history(id, before)));
        let steps = vec![Step::Get(keys.head(id)), Step::Scan(Scan { end, ..all })];
        let found = Vec::new();
        let before = before.unwrap_or(u64::MAX);
        let versions =
            Versions { before, count_max, found, more: false, failure: Failure::default() };
        let versions = self.inner.shared.engine.read_to_end(Plan::new(steps), versions).await?;
        self.inner.check_alive()?;
        versions.failure.check()?;
        Ok((versions.found, versions.more))
    }
}

struct Versions {
    before: u64,
    count_max: usize,
    found: Vec<Version>,
    more: bool,
    failure: Failure,
}

impl Versions {
    fn look(&mut self, step: usize, key: &[u8], value: &[u8]) -> Result<Visit, StorageError> {
        let version = match step {
            0 => Version::of_head(&HeadView::decode(key, value)?)?,
            _ => {
                let by = keys::history_of(key).map(|(_, sequence)| sequence);
                Version::of_history(History::decode(key, value)?, by)
            }
        };
        let Some(version) = version.filter(|it| it.sequence < self.before) else {
            return Ok(Visit::Next);
        };
        // An update between two views leaves what was the head among the records.
        if self.found.last().is_some_and(|it| it.sequence <= version.sequence) {
            return Ok(Visit::Next);
        }
        if self.found.len() == self.count_max {
            self.more = true;
            return Ok(Visit::Stop);
        }
        self.found.push(version);
        Ok(Visit::Next)
    }
}

impl Visitor for Versions {
    fn visit(&mut self, step: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        let Some(value) = value else { return Visit::Next };
        self.look(step, key, value).unwrap_or_else(|error| self.failure.stop(error))
    }
}

impl Version {
    fn of_head(head: &HeadView<'_>) -> Result<Option<Self>, StorageError> {
        let mut leaves = Vec::with_capacity(head.leaf_count());
        for leaf in head.leaves() {
            let leaf = leaf?;
            leaves.push((leaf.rev, leaf.deleted));
        }
        Ok(Self::of(head.sequence, head.updated, leaves, None))
    }

    fn of_history(history: History, replaced_by: Option<u64>) -> Option<Self> {
        let left = history.leaves.into_iter().filter(|leaf| leaf.body != PastBody::Erased);
        let leaves = left.map(|leaf| (leaf.rev, leaf.deleted)).collect();
        Self::of(history.sequence, history.updated, leaves, replaced_by)
    }

    /// `None` without leaves: a purge has taken all of it.
    fn of(
        sequence: u64,
        updated: Timestamp,
        leaves: Vec<(RevId, bool)>,
        replaced_by: Option<u64>,
    ) -> Option<Self> {
        let mut leaves = leaves.into_iter();
        let (rev, deleted) = leaves.next()?;
        let conflicts = leaves.filter(|(_, deleted)| !deleted).map(|(rev, _)| rev).collect();
        Some(Self { sequence, updated, rev, deleted, conflicts, replaced_by })
    }
}
