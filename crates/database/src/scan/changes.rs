//! The feed of a database: one row for each document, at its newest sequence.

use std::ops::Bound;

use settle_access::{Grant, Read};
use settle_engine::{Direction, Plan, Progress, Resume, Scan, Step, Visit, Visitor};
use settle_model::revision::RevId;

use super::{
    ChangeCursor, ChangeFilter, ChangeRow, ChangeScan, DocumentContent, Failure, More, Next, Sink,
    documents::winner_and_conflicts,
};
use crate::{
    Database,
    database::Inner,
    error::StorageError,
    keys::{self, Keys},
    record::{
        body::{decode_payload, decode_record},
        change::ChangeView,
        head::{BodyView, HeadView},
        later::{BUCKET_BITS, decode_count},
    },
    revision::Times,
};

impl Database {
    /// One slice of the changes in a range: until the sink has enough, or the engine's budget is
    /// used up.
    pub async fn scan_changes<S>(
        &self,
        grant: &Grant<Read>,
        scan: &ChangeScan,
        sink: S,
    ) -> Result<(S, Next<ChangeCursor>), StorageError>
    where
        S: for<'r> Sink<ChangeRow<'r>>,
    {
        self.inner.check(grant);
        if scan.since >= scan.until {
            return Ok((sink, Next::Done));
        }
        let keys = self.inner.keys;
        let range = Scan {
            start: Bound::Excluded(keys.change(scan.since)),
            end: Bound::Included(keys.change(scan.until)),
            direction: scan.direction,
        };
        let rows = Rows {
            keys,
            content: scan.content,
            times: scan.times,
            only: scan.only.clone(),
            sink,
            row: Row::default(),
            failure: Failure::default(),
        };
        let plan = Plan::new(vec![Step::Scan(range)]);
        let (rows, progress) = self.inner.shared.engine.read(plan, rows).await?;
        self.inner.check_alive()?;
        rows.failure.check()?;
        let next = match progress {
            Progress::Done => Next::Done,
            Progress::Paused(resume) => Next::Go(scan.cursor_after(&resume)),
        };
        Ok((rows.sink, next))
    }

    /// How many documents have a change after this sequence.
    pub async fn pending(&self, grant: &Grant<Read>, after: u64) -> Result<u64, StorageError> {
        self.inner.check(grant);
        if after >= self.sequence() {
            return Ok(0);
        }
        let keys = self.inner.keys;
        // The first bucket that counts as a whole. No change has the sequence 0.
        let bucket = if after == 0 { 0 } else { (after >> BUCKET_BITS) + 1 };
        let rest = Scan {
            start: Bound::Excluded(keys.change(after)),
            end: Bound::Excluded(keys.change(bucket << BUCKET_BITS)),
            direction: Direction::Ascending,
        };
        let all = Scan::prefix(&keys.family(keys::family::CHANGE_COUNT), Direction::Ascending);
        let counts = Scan { start: Bound::Included(keys.change_count(bucket)), ..all };
        let plan = Plan::new(vec![Step::Scan(rest), Step::Scan(counts)]);
        let count = Count { rows: 0, failure: Failure::default() };
        let count = self.inner.shared.engine.read_to_end(plan, count).await?;
        self.inner.check_alive()?;
        count.failure.check()?;
        Ok(count.rows)
    }
}

impl Inner {
    /// The documents that changed after this sequence; `None` where there are more than so many.
    pub(crate) async fn changed_after(
        &self,
        after: u64,
        count_max: usize,
    ) -> Result<Option<Vec<String>>, StorageError> {
        let range = Scan {
            start: Bound::Excluded(self.keys.change(after)),
            end: Bound::Included(self.keys.change(u64::MAX)),
            direction: Direction::Ascending,
        };
        let changed = Changed { ids: Vec::new(), count_max, failure: Failure::default() };
        let plan = Plan::new(vec![Step::Scan(range)]);
        let changed = self.shared.engine.read_to_end(plan, changed).await?;
        changed.failure.check()?;
        Ok((changed.ids.len() <= count_max).then_some(changed.ids))
    }
}

struct Changed {
    ids: Vec<String>,
    count_max: usize,
    failure: Failure,
}

impl Visitor for Changed {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        match ChangeView::decode(key, value.unwrap_or_default()) {
            Ok(change) => {
                self.ids.push(change.id.to_owned());
                if self.ids.len() > self.count_max { Visit::Stop } else { Visit::Next }
            }
            Err(error) => self.failure.stop(error),
        }
    }
}

struct Rows<S> {
    keys: Keys,
    content: bool,
    times: bool,
    only: ChangeFilter,
    sink: S,
    /// Kept from one row to the next for its buffers.
    row: Row,
    failure: Failure,
}

/// A row under way: its document's head, then its body, may have to be visited first.
#[derive(Default)]
struct Row {
    stage: Stage,
    sequence: u64,
    id: String,
    leaves: Vec<(RevId, bool)>,
    times: Option<Times>,
    conflicts: Vec<RevId>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Change,
    Head,
    Body,
}

/// Whether a row is not one of `_changes`.
pub(super) fn is_hidden(change: &ChangeView<'_>) -> bool {
    change.superseded_by.is_some() || (change.purge && change.leaf_count == 0)
}

impl ChangeScan {
    /// Where a slice that paused goes on.
    pub(crate) fn cursor_after(&self, resume: &Resume) -> ChangeCursor {
        let from = match self.direction {
            Direction::Ascending => self.since,
            // One above the first row to come.
            Direction::Descending => self.until + 1,
        };
        ChangeCursor { at: resume.after().and_then(keys::number_of).unwrap_or(from) }
    }
}

impl ChangeFilter {
    pub(crate) fn admits(&self, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Ids(ids) => ids.binary_search_by(|it| it.as_str().cmp(id)).is_ok(),
            Self::Design => id.starts_with("_design/"),
        }
    }
}

impl<S> Rows<S>
where
    S: for<'r> Sink<ChangeRow<'r>>,
{
    fn look(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<Visit, StorageError> {
        match self.row.stage {
            Stage::Change => self.change(key, value.unwrap_or_default()),
            Stage::Head => {
                self.row.stage = Stage::Change;
                let value = value.ok_or_else(|| self.lost())?;
                self.head(&HeadView::decode(key, value)?)
            }
            Stage::Body => {
                self.row.stage = Stage::Change;
                let payload = decode_record(key, value.ok_or_else(|| self.lost())?)?;
                self.emit_with(payload)
            }
        }
    }

    fn change(&mut self, key: &[u8], value: &[u8]) -> Result<Visit, StorageError> {
        let change = ChangeView::decode(key, value)?;
        if is_hidden(&change) || !self.only.admits(change.id) {
            return Ok(Visit::Next);
        }
        let row = &mut self.row;
        row.sequence = keys::number_of(key).unwrap_or_default();
        row.leaves.clear();
        if !change.more_leaves {
            for leaf in change.leaves() {
                row.leaves.push(leaf?);
            }
        }
        if self.content || self.times || change.more_leaves {
            row.stage = Stage::Head;
            row.id.clear();
            row.id.push_str(change.id);
            return Ok(Visit::Follow(self.keys.head_at(change.id)));
        }
        let (sequence, leaves) = (row.sequence, row.leaves.as_slice());
        let row = ChangeRow { sequence, id: change.id, leaves, times: None, content: None };
        Ok(passed(self.sink.row(&row)))
    }

    fn head(&mut self, head: &HeadView<'_>) -> Result<Visit, StorageError> {
        let row = &mut self.row;
        row.times = self.times.then(|| head.times());
        if row.leaves.is_empty() {
            for leaf in head.leaves() {
                let leaf = leaf?;
                row.leaves.push((leaf.rev, leaf.deleted));
            }
        }
        if !self.content {
            let (sequence, leaves) = (row.sequence, row.leaves.as_slice());
            let row = ChangeRow { sequence, id: &row.id, leaves, times: row.times, content: None };
            return Ok(passed(self.sink.row(&row)));
        }
        row.conflicts = winner_and_conflicts(head)?.1;
        match head.winner()?.body {
            BodyView::Inline(payload) => self.emit_with(payload),
            BodyView::Record { number, .. } => {
                row.stage = Stage::Body;
                Ok(Visit::Follow(self.keys.body(number)))
            }
        }
    }

    fn emit_with(&mut self, payload: &[u8]) -> Result<Visit, StorageError> {
        let (attachments, body) = decode_payload(payload)?;
        let Row { sequence, id, leaves, times, conflicts, .. } = &self.row;
        let sequence = *sequence;
        let content = DocumentContent { body, attachments: &attachments, conflicts, sequence };
        let row = ChangeRow { sequence, id, leaves, times: *times, content: Some(content) };
        Ok(passed(self.sink.row(&row)))
    }

    fn lost(&self) -> StorageError {
        StorageError::Inconsistent { reason: format!("a record of {:?} is gone", self.row.id) }
    }
}

fn passed(more: More) -> Visit {
    match more {
        More::Yes => Visit::Next,
        More::Enough => Visit::Pause,
    }
}

impl<S> Visitor for Rows<S>
where
    S: for<'r> Sink<ChangeRow<'r>>,
{
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.look(key, value).unwrap_or_else(|error| self.failure.stop(error))
    }
}

/// Counts rows of the feed in the first step, and adds up buckets in the second.
struct Count {
    rows: u64,
    failure: Failure,
}

impl Count {
    fn look(&mut self, step: usize, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        if step == 0 {
            let change = ChangeView::decode(key, value)?;
            self.rows += u64::from(!is_hidden(&change));
        } else {
            self.rows += decode_count(key, value)?;
        }
        Ok(())
    }
}

impl Visitor for Count {
    fn visit(&mut self, step: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        match self.look(step, key, value.unwrap_or_default()) {
            Ok(()) => Visit::Next,
            Err(error) => self.failure.stop(error),
        }
    }
}
