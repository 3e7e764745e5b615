//! Letting the past go: history, superseded rows of the feed, bodies that nothing else needs.
//!
//! The feed is the queue. Rows are looked at once, in order, from the floor of history upwards; a
//! row whose update replaced something has a history record under its sequence, which names the
//! row that it superseded. So both go together, oldest first, and no index of what may go is needed.

use std::{borrow::Cow, ops::Bound};

use settle_engine::{Direction, Operation, Plan, Scan, Step, Visit, Visitor};
use settle_model::{id::DocumentId, revision::RevId, time::Timestamp};

use super::{
    Collected, Until,
    group::{Group, subtract},
};
use crate::{
    error::StorageError,
    keys::{self, Keys},
    limits::{COLLECT_BYTES_MAX, COLLECT_LOOKS_MAX, COLLECT_ROWS_MAX, TIME_MARK_EVERY},
    record::{
        body::decode_payload,
        change::ChangeView,
        head::HeadView,
        history::{History, PastBody, PastLeaf},
        later::decode_time,
    },
    scan::Failure,
};

/// A history record whose time has come.
struct Due {
    id: DocumentId,
    key: Vec<u8>,
    bytes: u64,
    history: History,
}

impl Group<'_> {
    /// Plans one slice.
    pub(super) async fn plan_collect(&mut self, until: Until) -> Result<Collected, StorageError> {
        let limit = match until {
            Until::Sequence(sequence) => sequence.min(self.state.sequence),
            Until::Grace { .. } => self.outlived().await?,
        };
        // What somebody reads stays, whatever its age.
        let held = self.inner.holds.oldest().unwrap_or(u64::MAX);
        let limit = limit.min(held).max(self.state.history_floor);
        let (due, last) = self.due(limit).await?;
        let more = last < limit;
        for due in &due {
            self.forget(due).await?;
        }
        if last > self.state.history_floor {
            self.state.history_floor = last;
            self.forget_times(last).await?;
        }
        if let (Until::Grace { due }, false) = (until, more) {
            self.delete(keys::sweep(due, self.inner.keys.number));
            if due == self.state.sweep_due {
                self.state.sweep_due = Timestamp::from_micros(0);
                // Whatever is left is younger than the grace: `finish` queues another visit.
                self.history_added = self.state.sizes.history > 0;
            }
        }
        Ok(if more { Collected::More } else { Collected::All })
    }

    /// The newest sequence that was committed before the grace began.
    async fn outlived(&self) -> Result<u64, StorageError> {
        let keys = self.inner.keys;
        let began = self.now.minus(self.live.grace);
        if self.state.time_marked.plus(TIME_MARK_EVERY) <= began {
            // A later update would have left a later mark.
            return Ok(self.state.sequence);
        }
        let range = Scan {
            start: Bound::Included(keys.family(keys::family::TIME)),
            end: Bound::Included(keys.time(began)),
            direction: Direction::Descending,
        };
        let plan = Plan::new(vec![Step::Scan(range)]);
        let times = Times { last: 1, ..Times::default() };
        let times = self.inner.shared.engine.read(plan, times).await?.0;
        times.failure.check()?;
        Ok(times.found.first().map_or(0, |(_, sequence)| *sequence))
    }

    /// What may go of the next rows of the feed, and how far that looks.
    async fn due(&self, limit: u64) -> Result<(Vec<Due>, u64), StorageError> {
        let keys = self.inner.keys;
        let range = Scan {
            start: Bound::Excluded(keys.change(self.state.history_floor)),
            end: Bound::Included(keys.change(limit)),
            direction: Direction::Ascending,
        };
        let rows = Rows {
            keys,
            rows: 0,
            bytes: 0,
            at: None,
            full: false,
            due: Vec::new(),
            failure: Failure::default(),
        };
        let plan = Plan::new(vec![Step::Scan(range)]);
        let rows = self.inner.shared.engine.read_to_end(plan, rows).await?;
        rows.failure.check()?;
        let last = match rows.at {
            Some((_, at)) if rows.full => at,
            Some(_) | None => limit,
        };
        Ok((rows.due, last))
    }

    /// Deletes a history record with what only it needs.
    async fn forget(&mut self, due: &Due) -> Result<(), StorageError> {
        let after = self.leaves_after(due).await?;
        for leaf in due.history.leaves.iter().filter(|leaf| !after.contains(&leaf.rev)) {
            self.release(&due.id, leaf).await?;
        }
        subtract(&mut self.state.sizes.history, due.bytes);
        self.delete(due.key.clone());
        self.forget_superseded(due.history.sequence).await
    }

    /// Deletes a row of the feed that has been superseded.
    pub(super) async fn forget_superseded(&mut self, sequence: u64) -> Result<(), StorageError> {
        let row = self.inner.keys.change(sequence);
        if let Some(value) = self.inner.shared.engine.get(row.clone()).await? {
            subtract(&mut self.state.sizes.history, (row.len() + value.len()) as u64);
            self.delete(row);
        }
        Ok(())
    }

    /// Gives back a past leaf's body record and its references to attachments.
    pub(super) async fn release(
        &mut self,
        id: &DocumentId,
        leaf: &PastLeaf,
    ) -> Result<(), StorageError> {
        let payload = match &leaf.body {
            PastBody::Inline(payload) => Cow::Borrowed(payload),
            PastBody::Record { number, length } => {
                let payload = self.body_record(*number).await?;
                let bytes = self.body_bytes(*number, *length);
                subtract(&mut self.state.sizes.history, bytes);
                self.delete(self.inner.keys.body(*number));
                Cow::Owned(payload)
            }
            PastBody::Later | PastBody::Erased => return Ok(()),
        };
        for attachment in decode_payload(&payload)?.0 {
            self.blobs.release(attachment.digest, id, &leaf.rev);
        }
        Ok(())
    }

    /// The leaves of the next newer state of the document.
    async fn leaves_after(&self, due: &Due) -> Result<Vec<RevId>, StorageError> {
        let keys = self.inner.keys;
        let all = Scan::prefix(&keys.histories(&due.id), Direction::Ascending);
        let later = Scan { start: Bound::Excluded(due.key.clone()), ..all };
        let steps = vec![Step::Scan(later), Step::Get(keys.head(&due.id))];
        let leaves = Leaves { leaves: Vec::new(), failure: Failure::default() };
        let leaves = self.inner.shared.engine.read_to_end(Plan::new(steps), leaves).await?;
        leaves.failure.check()?;
        Ok(leaves.leaves)
    }

    /// Deletes time records that nothing can be read by any more.
    async fn forget_times(&mut self, floor: u64) -> Result<(), StorageError> {
        let scan = Scan::prefix(&self.inner.keys.family(keys::family::TIME), Direction::Ascending);
        let times = Times { last: COLLECT_ROWS_MAX, ..Times::default() };
        let plan = Plan::new(vec![Step::Scan(scan)]);
        let times = self.inner.shared.engine.read(plan, times).await?.0;
        times.failure.check()?;
        for (key, sequence) in times.found {
            if sequence < floor {
                self.operations.push(Operation::Delete { key });
            }
        }
        Ok(())
    }
}

/// Visits rows of the feed, each followed by the history record under its sequence.
struct Rows {
    keys: Keys,
    rows: usize,
    /// Of what is due.
    bytes: u64,
    at: Option<(DocumentId, u64)>,
    full: bool,
    due: Vec<Due>,
    failure: Failure,
}

impl Rows {
    fn look(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<Visit, StorageError> {
        if let Some((id, sequence)) = keys::history_of(key) {
            if let Some(value) = value {
                let history = History::decode(key, value)?;
                let bytes = (key.len() + value.len()) as u64;
                let id = document_id(&id)?;
                debug_assert!(self.at.as_ref().is_some_and(|(_, at)| *at == sequence));
                self.bytes += bytes;
                self.due.push(Due { id, key: key.to_vec(), bytes, history });
            }
            self.rows += 1;
            self.full = self.rows >= COLLECT_LOOKS_MAX
                || self.due.len() >= COLLECT_ROWS_MAX
                || self.bytes >= COLLECT_BYTES_MAX;
            return Ok(if self.full { Visit::Stop } else { Visit::Next });
        }
        let change = ChangeView::decode(key, value.unwrap_or_default())?;
        let sequence = keys::number_of(key).unwrap_or_default();
        let id = document_id(change.id)?;
        let follow = self.keys.history(&id, sequence);
        self.at = Some((id, sequence));
        Ok(Visit::Follow(follow))
    }
}

fn document_id(id: &str) -> Result<DocumentId, StorageError> {
    id.parse().map_err(|_| StorageError::Inconsistent { reason: format!("{id:?} is no id") })
}

impl Visitor for Rows {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.look(key, value).unwrap_or_else(|error| {
            self.failure.set(error);
            Visit::Stop
        })
    }
}

/// Takes the first record of the document's later history, or its head.
struct Leaves {
    leaves: Vec<RevId>,
    failure: Failure,
}

impl Leaves {
    fn look(&mut self, step: usize, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        if step == 0 {
            let history = History::decode(key, value)?;
            self.leaves = history.leaves.into_iter().map(|leaf| leaf.rev).collect();
        } else {
            for leaf in HeadView::decode(key, value)?.leaves() {
                self.leaves.push(leaf?.rev);
            }
        }
        Ok(())
    }
}

impl Visitor for Leaves {
    fn visit(&mut self, step: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        if let Some(Err(error)) = value.map(|value| self.look(step, key, value)) {
            self.failure.set(error);
        }
        Visit::Stop
    }
}

/// Time records: keys and sequences, at most `last`.
#[derive(Default)]
struct Times {
    last: usize,
    found: Vec<(Vec<u8>, u64)>,
    failure: Failure,
}

impl Visitor for Times {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        match decode_time(key, value.unwrap_or_default()) {
            Ok(sequence) => self.found.push((key.to_vec(), sequence)),
            Err(error) => {
                self.failure.set(error);
                return Visit::Stop;
            }
        }
        if self.found.len() < self.last { Visit::Next } else { Visit::Stop }
    }
}
