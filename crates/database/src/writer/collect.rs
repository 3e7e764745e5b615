//! Letting the past go: history, superseded rows of the feed, bodies that nothing else needs.
//!
//! The feed is the queue. Rows are looked at once, in order, from the floor of history upwards; a
//! row whose update replaced something has a history record under its sequence, which names the
//! row that it superseded. So both go together, oldest first, and no index of what may go is needed.
//!
//! A window holds the floor back. A snapshot or a pin does not: what it needs is passed over, each state that began at its
//! sequence or before and was replaced after it. When it goes, the rows are looked at again that stood before it and
//! after the next older one; each that is superseded names the update that replaced what it stands for, and so the
//! record.
//!
//! The body of a leaf stands in the newest record that has the leaf. When that goes, the body is handed down to the next
//! older record that stays.

use std::{borrow::Cow, collections::HashSet, ops::Bound, time::Duration};

use settle_engine::{Direction, Operation, Plan, Scan, Step, Visit, Visitor};
use settle_model::{id::DocumentId, revision::RevId, time::Timestamp};

use super::{
    Collected, Until,
    group::{Group, subtract},
};
use crate::{
    error::StorageError,
    keys::{self, Keys},
    limits::{
        COLLECT_BYTES_MAX, COLLECT_LOOKS_MAX, COLLECT_ROWS_MAX, EXPIRE_ROWS_MAX, TIME_MARK_EVERY,
    },
    past::moment::Needed,
    record::{
        body::decode_payload,
        change::ChangeView,
        head::{BodyView, HeadView},
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
        let needed = self.needed_now().await?;
        let mut points: Vec<u64> = needed.points().collect();
        points.sort_unstable();
        let gone = HashSet::new();
        let mut forgetting = Forgetting { looks_back: !points.is_empty(), gone };
        if self.look_again(&points, &mut forgetting).await? {
            return Ok(Collected::More);
        }
        let limit = self.may_go(until, needed.retention.window).await?;
        let (due, last) = self.due(limit, points).await?;
        let more = last < limit;
        for due in &due {
            self.forget(due, &mut forgetting).await?;
        }
        if last > self.state.history_floor {
            self.state.history_floor = last;
            self.forget_times(last).await?;
        }
        if !more && let Some(past) = &mut self.state.past {
            past.floor_time = past.floor_time.max(self.now.minus(needed.retention.window));
        }
        let in_grace = matches!(until, Until::Grace { .. });
        let more = more || in_grace && self.expire_records().await?;
        let more = more || in_grace && self.expire_tombstones(&needed).await?;
        if let (Until::Grace { due }, false) = (until, more) {
            self.delete(keys::sweep(due, self.inner.keys.number));
            if due == self.state.sweep_due {
                self.state.sweep_due = Timestamp::from_micros(0);
                // Whatever else is left is kept for snapshots; `finish` queues another visit.
                let is_young = self.state.sizes.history > 0 && limit < self.state.sequence;
                self.history_added = is_young || !needed.pins.is_empty();
            }
        }
        Ok(if more { Collected::More } else { Collected::All })
    }

    /// Forgets outcomes whose time has come; whether there may be more of them.
    async fn expire_records(&mut self) -> Result<bool, StorageError> {
        let keys = self.inner.keys;
        let scan = Scan::prefix(&keys.family(keys::family::EXPIRY), Direction::Ascending);
        let rows = Expired { keys, now: self.now, found: Vec::new(), next: None };
        let plan = Plan::new(vec![Step::Scan(scan)]);
        let Expired { found, next, .. } = self.inner.shared.engine.read_to_end(plan, rows).await?;
        let more = found.len() >= EXPIRE_ROWS_MAX;
        for (row, record) in found {
            self.delete(row);
            self.delete(record);
        }
        self.records_due = next;
        Ok(more)
    }

    /// What is kept of the past and for whom, without the pins that have run out: these are taken away.
    async fn needed_now(&mut self) -> Result<Needed, StorageError> {
        let mut needed = self.inner.needed().await?;
        let now = self.now;
        let (held, expired): (Vec<_>, _) =
            std::mem::take(&mut needed.pins).into_iter().partition(|(_, pin)| pin.expires > now);
        needed.pins = held;
        let points: Vec<u64> = needed.points().collect();
        for (number, pin) in expired {
            self.delete(self.inner.keys.pin(number));
            self.no_longer_needs(pin.sequence, &points);
        }
        Ok(needed)
    }

    /// Looks at some rows again whose snapshot or pin has gone; whether there were any.
    async fn look_again(
        &mut self,
        points: &[u64],
        forgetting: &mut Forgetting,
    ) -> Result<bool, StorageError> {
        let Some((after, until)) = self.state.past.map(|past| past.again) else { return Ok(false) };
        if after == until {
            return Ok(false);
        }
        let keys = self.inner.keys;
        let range = Scan {
            start: Bound::Excluded(keys.change(after)),
            end: Bound::Included(keys.change(until)),
            direction: Direction::Ascending,
        };
        let rows = Rows::again(keys, points.to_vec(), self.state.history_floor);
        let (due, last) = self.read_due(range, rows, until).await?;
        forgetting.looks_back = true;
        for due in &due {
            self.forget(due, forgetting).await?;
        }
        if let Some(past) = &mut self.state.past {
            past.again = if last < until { (last, until) } else { (0, 0) };
        }
        Ok(true)
    }

    /// Up to where nothing is needed but by snapshots and pins.
    async fn may_go(&self, until: Until, window: Duration) -> Result<u64, StorageError> {
        let mut limit = match until {
            Until::Sequence(sequence) => sequence.min(self.state.sequence),
            Until::Grace { .. } => self.outlived().await?,
        };
        if !window.is_zero() && limit > self.state.history_floor {
            let began = self.now.minus(window);
            let newest = self.inner.sequence_at(&self.state, began).await?;
            // The state at the beginning of the window is in it.
            limit = limit.min(newest.unwrap_or(0));
        }
        Ok(limit.max(self.state.history_floor))
    }

    /// The newest sequence that was committed before the grace began.
    async fn outlived(&self) -> Result<u64, StorageError> {
        let keys = self.inner.keys;
        let began = self.now.minus(self.live.grace);
        if self.state.time_marked.plus(TIME_MARK_EVERY) <= began {
            // A later update would have left a later mark. What is new leaves none, and what was before it can be asked for.
            let newest = self.inner.sequence_at(&self.state, began).await?;
            return Ok(newest.unwrap_or(0));
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
    async fn due(&self, limit: u64, points: Vec<u64>) -> Result<(Vec<Due>, u64), StorageError> {
        let keys = self.inner.keys;
        let range = Scan {
            start: Bound::Excluded(keys.change(self.state.history_floor)),
            end: Bound::Included(keys.change(limit)),
            direction: Direction::Ascending,
        };
        self.read_due(range, Rows::new(keys, points), limit).await
    }

    async fn read_due(
        &self,
        range: Scan,
        rows: Rows,
        limit: u64,
    ) -> Result<(Vec<Due>, u64), StorageError> {
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
    async fn forget(&mut self, due: &Due, forgetting: &mut Forgetting) -> Result<(), StorageError> {
        let after = self.records_after(due).await?;
        // What stands inside of the record was replaced by this very update: nothing later has it.
        let is_only_here = |leaf: &&PastLeaf| match leaf.body {
            PastBody::Inline(_) => true,
            PastBody::Record { number, .. } => !after.contains(&number),
            PastBody::Later | PastBody::Erased => false,
        };
        let mut gone: Vec<&PastLeaf> = due.history.leaves.iter().filter(is_only_here).collect();
        if forgetting.looks_back && !gone.is_empty() {
            self.hand_down(due, &mut gone, forgetting).await?;
        }
        for leaf in gone {
            self.release(&due.id, leaf).await?;
        }
        subtract(&mut self.state.sizes.history, due.bytes);
        self.delete(due.key.clone());
        forgetting.gone.insert(due.key.clone());
        self.forget_superseded(due.history.sequence).await
    }

    /// Gives bodies to older records that are kept and have the same leaves; what is left in `leaves` nothing needs.
    async fn hand_down(
        &mut self,
        due: &Due,
        leaves: &mut Vec<&PastLeaf>,
        forgetting: &mut Forgetting,
    ) -> Result<(), StorageError> {
        let all = Scan::prefix(&self.inner.keys.histories(&due.id), Direction::Descending);
        let older = Scan { end: Bound::Excluded(due.key.clone()), ..all };
        let older_records = Older {
            gone: std::mem::take(&mut forgetting.gone),
            wanted: leaves.iter().map(|leaf| leaf.rev.clone()).collect(),
            found: Vec::new(),
            failure: Failure::default(),
        };
        let plan = Plan::new(vec![Step::Scan(older)]);
        let older = self.inner.shared.engine.read_to_end(plan, older_records).await?;
        forgetting.gone = older.gone;
        older.failure.check()?;
        for (key, stored) in older.found {
            // It may have been given something else in this commit.
            let value = self.planned(&key).unwrap_or(stored);
            let mut history = History::decode(&key, &value)?;
            let mut changed = false;
            leaves.retain(|leaf| {
                let same = history.leaves.iter_mut().find(|it| it.rev == leaf.rev);
                match same {
                    Some(same) if same.body == PastBody::Later => {
                        same.body = leaf.body.clone();
                        changed = true;
                        false
                    }
                    // A revision that was stemmed and sent again has had a body of its own before.
                    Some(same) => same.body.record().is_none() || same.body != leaf.body,
                    None => true,
                }
            });
            if changed {
                subtract(&mut self.state.sizes.history, (key.len() + value.len()) as u64);
                let value = history.encode(&key);
                self.state.sizes.history += self.put(key, value);
            }
        }
        Ok(())
    }

    /// What has been planned to stand under a key.
    fn planned(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.operations.iter().rev().find_map(|operation| match operation {
            Operation::Put { key: put, value } if put == key => Some(value.clone()),
            Operation::Put { .. } | Operation::Delete { .. } => None,
        })
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

    /// The body records of the next newer state of the document.
    async fn records_after(&self, due: &Due) -> Result<HashSet<u64>, StorageError> {
        let keys = self.inner.keys;
        let all = Scan::prefix(&keys.histories(&due.id), Direction::Ascending);
        let later = Scan { start: Bound::Excluded(due.key.clone()), ..all };
        let steps = vec![Step::Scan(later), Step::Get(keys.head(&due.id))];
        let records = Records { numbers: HashSet::new(), failure: Failure::default() };
        let records = self.inner.shared.engine.read_to_end(Plan::new(steps), records).await?;
        records.failure.check()?;
        Ok(records.numbers)
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

/// What one commit forgets.
struct Forgetting {
    /// Whether there may be older records that something needs.
    looks_back: bool,
    /// Keys of the records that are forgotten.
    gone: HashSet<Vec<u8>>,
}

/// Visits rows of the feed, each followed by a history record: that under its sequence, or that of the update which
/// superseded it.
struct Rows {
    keys: Keys,
    /// Sequences at which the past is needed, in order.
    points: Vec<u64>,
    /// Where rows are looked at again: up to where they have been looked at before.
    again: Option<u64>,
    rows: usize,
    /// Of what is due.
    bytes: u64,
    at: Option<(DocumentId, u64)>,
    full: bool,
    due: Vec<Due>,
    failure: Failure,
}

impl Rows {
    fn new(keys: Keys, points: Vec<u64>) -> Self {
        let (due, failure) = (Vec::new(), Failure::default());
        Self { keys, points, again: None, rows: 0, bytes: 0, at: None, full: false, due, failure }
    }

    fn again(keys: Keys, points: Vec<u64>, floor: u64) -> Self {
        Self { again: Some(floor), ..Self::new(keys, points) }
    }

    /// Whether a state is needed that began at one sequence and was replaced at another.
    fn is_needed(&self, began: u64, replaced: u64) -> bool {
        let next = self.points.partition_point(|point| *point < began);
        self.points.get(next).is_some_and(|point| *point < replaced)
    }

    fn look(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<Visit, StorageError> {
        if let Some((id, sequence)) = keys::history_of(key) {
            if let Some(value) = value {
                let history = History::decode(key, value)?;
                if !self.is_needed(history.sequence, sequence) {
                    let bytes = (key.len() + value.len()) as u64;
                    let id = document_id(&id)?;
                    self.bytes += bytes;
                    self.due.push(Due { id, key: key.to_vec(), bytes, history });
                }
            }
            return Ok(self.go_on());
        }
        let change = ChangeView::decode(key, value.unwrap_or_default())?;
        let sequence = keys::number_of(key).unwrap_or_default();
        let id = document_id(change.id)?;
        let by = match (self.again, change.superseded_by) {
            (None, _) => Some(sequence),
            (Some(floor), by) => by.filter(|by| *by <= floor),
        };
        let follow = by.map(|by| self.keys.history(&id, by));
        self.at = Some((id, sequence));
        Ok(follow.map_or_else(|| self.go_on(), Visit::Follow))
    }

    fn go_on(&mut self) -> Visit {
        self.rows += 1;
        self.full = self.rows >= COLLECT_LOOKS_MAX
            || self.due.len() >= COLLECT_ROWS_MAX
            || self.bytes >= COLLECT_BYTES_MAX;
        if self.full { Visit::Stop } else { Visit::Next }
    }
}

fn document_id(id: &str) -> Result<DocumentId, StorageError> {
    id.parse().map_err(|_| StorageError::Inconsistent { reason: format!("{id:?} is no id") })
}

impl Visitor for Rows {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.look(key, value).unwrap_or_else(|error| self.failure.stop(error))
    }
}

/// Takes the first record of the document's later history, or its head.
struct Records {
    numbers: HashSet<u64>,
    failure: Failure,
}

impl Records {
    fn look(&mut self, step: usize, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        if step == 0 {
            let history = History::decode(key, value)?;
            self.numbers.extend(history.leaves.iter().filter_map(|leaf| leaf.body.record()));
        } else {
            for leaf in HeadView::decode(key, value)?.leaves() {
                if let BodyView::Record { number, .. } = leaf?.body {
                    self.numbers.insert(number);
                }
            }
        }
        Ok(())
    }
}

impl Visitor for Records {
    fn visit(&mut self, step: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        if let Some(Err(error)) = value.map(|value| self.look(step, key, value)) {
            self.failure.set(error);
        }
        Visit::Stop
    }
}

/// Rows of outcomes that may go, each with the key of its record, and when the next may.
struct Expired {
    keys: Keys,
    now: Timestamp,
    found: Vec<(Vec<u8>, Vec<u8>)>,
    next: Option<Timestamp>,
}

impl Visitor for Expired {
    fn visit(&mut self, _: usize, key: &[u8], _: Option<&[u8]>) -> Visit {
        let Some((expires, record)) = self.keys.expiry_of(key) else { return Visit::Stop };
        if expires > self.now || self.found.len() >= EXPIRE_ROWS_MAX {
            self.next = Some(expires);
            return Visit::Stop;
        }
        self.found.push((key.to_vec(), record));
        Visit::Next
    }
}

/// Records of a document, newest first, until each of the wanted leaves has been found.
struct Older {
    /// What is forgotten in this commit.
    gone: HashSet<Vec<u8>>,
    wanted: Vec<RevId>,
    found: Vec<(Vec<u8>, Vec<u8>)>,
    failure: Failure,
}

impl Visitor for Older {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        if self.gone.contains(key) {
            return Visit::Next;
        }
        let value = value.unwrap_or_default();
        match History::decode(key, value) {
            Ok(history) => {
                let before = self.wanted.len();
                self.wanted.retain(|rev| history.leaves.iter().all(|leaf| leaf.rev != *rev));
                if self.wanted.len() < before {
                    self.found.push((key.to_vec(), value.to_vec()));
                }
                if self.wanted.is_empty() { Visit::Stop } else { Visit::Next }
            }
            Err(error) => self.failure.stop(error),
        }
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
                return self.failure.stop(error);
            }
        }
        if self.found.len() < self.last { Visit::Next } else { Visit::Stop }
    }
}
