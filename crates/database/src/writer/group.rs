//! What one commit is planned from, and what it becomes.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use settle_engine::{Batch, Expected, Operation, Plan, Step, Visit, Visitor};
use settle_model::{id::DocumentId, time::Timestamp, tree::Segment};

use super::{Answer, EditResult, Job, PreparedEdit};
use crate::{
    blobs::{BlobDigest, BlobPlan, BlobWrites, PlanError},
    database::Inner,
    edit::{Atomicity, EditError},
    error::StorageError,
    keys,
    limits::{RETENTION_DEFAULT, TIME_MARK_EVERY},
    record::{
        head::Head,
        idempotency::{Idempotency, decode_retention},
        later::{BUCKET_BITS, decode_count, encode_count, encode_time},
        live::Live,
        site::encode_mark,
        state::State,
    },
    scan::Failure,
    store::due,
};

/// Plans edits one after the other; each sees the effects of those before it.
pub(super) struct Group<'w> {
    pub(super) inner: &'w Arc<Inner>,
    pub(super) live: Arc<Live>,
    pub(super) now: Timestamp,
    before: State,
    pub(super) state: State,
    pub(super) heads: HashMap<DocumentId, Slot>,
    pub(super) operations: Vec<Operation>,
    /// By how much the count of changes in each bucket of sequences goes up or down.
    pub(super) counts: HashMap<u64, i64>,
    pub(super) blobs: BlobPlan,
    /// Blobs that edits of these jobs wanted to refer to, and that are not there.
    pub(super) missing_blobs: &'w BTreeSet<BlobDigest>,
    pub(super) design_changed: bool,
    /// Whether an earlier write of this group changed them.
    pub(super) design_changed_before: bool,
    /// Whether an edit was let in by a verdict that rests on the live record.
    pub(super) rests_on_live: bool,
    /// Sequences that documents had when the present write began, of those that it edits by a verdict or to end
    /// a conflict.
    pub(super) moved: HashMap<DocumentId, Option<u64>>,
    pub(super) history_added: bool,
    /// Records of idempotency that these jobs look for, by their keys.
    pub(super) records: HashMap<Vec<u8>, Idempotency>,
    /// How long those that are made now are kept.
    pub(super) retention: Duration,
    /// When the first of those that are left may go, where that is known.
    pub(super) records_due: Option<Timestamp>,
    /// When tombstones are to be looked at again, where that is known.
    pub(super) tombstones_due: Option<Timestamp>,
    /// Of keys and values that are put.
    pub(super) bytes: usize,
    /// Of documents that transactions look into, as often as they do.
    pub(super) looked_at: u64,
    /// Of documents that refusals of the present exchange show.
    pub(super) shown: usize,
    /// Whether the sweeper has something to do at once.
    pub(super) wakes_sweeper: bool,
    /// Whether nobody is to be told of what changes.
    pub(super) is_quiet: bool,
}

/// A document as it stands in the group.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    pub(super) head: Option<Head>,
    /// Of the head's record, key and value; 0 when there is none.
    pub(super) bytes: u64,
    /// Stored segments of its ancestry that the tree has been given back.
    pub(super) taken_in: Vec<Segment>,
    /// Whether the head in the record is that of a document in conflict.
    pub(super) in_conflict: bool,
}

/// A group that is ready.
pub(super) struct Planned {
    pub(super) batch: Batch,
    pub(super) state: State,
    pub(super) live: Option<Live>,
    /// Whether the sequence has moved, and others are told.
    pub(super) changed: bool,
    pub(super) wakes_sweeper: bool,
    /// What the batch does to attachments' blobs.
    pub(super) blobs: BlobWrites,
}

/// A sweeper that sleeps this long or less need not be woken.
const SWEEPER_NAPS: Duration = Duration::from_secs(60);

impl<'w> Group<'w> {
    /// Reads all that the jobs are sure to need in one view.
    pub(super) async fn begin(
        inner: &'w Arc<Inner>,
        jobs: &[Job],
        missing_blobs: &'w BTreeSet<BlobDigest>,
    ) -> Result<Group<'w>, StorageError> {
        let (mut ids, mut records) = (Vec::new(), Vec::new());
        for job in jobs {
            match job {
                Job::Transact { asked, .. } => {
                    ids.extend(asked.heads().cloned());
                    let keys = asked.range.clone();
                    records.extend(keys.map(|at| asked.transactions.key(inner.keys, at)));
                }
                Job::Write { edits, recording, .. } => {
                    ids.extend(edits.iter().map(|it| it.edit.id.clone()));
                    records.extend(recording.iter().map(|it| it.key.record(inner.keys)));
                }
                Job::Purge { items, .. } => ids.extend(items.iter().map(|(id, _)| id.clone())),
                Job::Revert { edits, .. } => ids.extend(edits.iter().map(|it| it.edit.id.clone())),
                Job::Restore { documents, .. } => {
                    ids.extend(documents.iter().map(|it| it.document.id.clone()));
                }
                Job::Turn { .. }
                | Job::Collect { .. }
                | Job::ListConflicts { .. }
                | Job::Keep { .. } => {}
            }
        }
        Self::over(inner, ids, records, missing_blobs).await
    }

    /// Reads these documents and records of idempotency in one view.
    pub(super) async fn over(
        inner: &'w Arc<Inner>,
        mut ids: Vec<DocumentId>,
        records: Vec<Vec<u8>>,
        missing_blobs: &'w BTreeSet<BlobDigest>,
    ) -> Result<Group<'w>, StorageError> {
        // In order, so that neighbours are read from the same page.
        ids.sort_unstable();
        ids.dedup();
        let keys = inner.keys;
        let mut steps = Vec::with_capacity(2 + ids.len() + records.len());
        steps.push(Step::Get(keys.state()));
        steps.extend(ids.iter().map(|id| Step::Get(keys.head(id))));
        if !records.is_empty() {
            steps.extend(records.into_iter().map(Step::Get));
            steps.push(Step::Get(keys.outcomes()));
        }
        let last = steps.len() - 1;
        let heads = HashMap::with_capacity(ids.len());
        let visitor = Stored {
            ids,
            last,
            state: None,
            heads,
            records: HashMap::new(),
            retention: RETENTION_DEFAULT,
            failure: Failure::default(),
        };
        let found = inner.shared.engine.read_to_end(Plan::new(steps), visitor).await?;
        found.failure.check()?;
        let state = found.state.ok_or(StorageError::Gone)?;
        Ok(Self {
            live: inner.live(),
            now: inner.shared.clock.now(),
            before: state.clone(),
            state,
            heads: found.heads,
            operations: Vec::new(),
            counts: HashMap::new(),
            blobs: BlobPlan::new(inner.keys.number),
            missing_blobs,
            design_changed: false,
            design_changed_before: false,
            rests_on_live: false,
            moved: HashMap::new(),
            history_added: false,
            records: found.records,
            retention: found.retention,
            records_due: None,
            tombstones_due: None,
            bytes: 0,
            looked_at: 0,
            shown: 0,
            wakes_sweeper: false,
            is_quiet: false,
            inner,
        })
    }

    pub(super) async fn plan(&mut self, job: &Job) -> Result<Answer, StorageError> {
        self.design_changed_before = self.design_changed;
        self.moved.clear();
        match job {
            Job::Write { edits, atomicity, recording: None, .. } => {
                Ok(Answer::Write(Ok(self.plan_edits(edits, *atomicity).await?)))
            }
            Job::Write { edits, atomicity, recording: Some(recording), .. } => {
                Ok(Answer::Write(self.plan_once(edits, *atomicity, recording).await?))
            }
            Job::Transact { asked, .. } => {
                Ok(Answer::Transact(self.plan_transactions(asked).await?))
            }
            Job::Turn { .. } => unreachable!("it has been given away before"),
            Job::Purge { items, .. } => Ok(Answer::Purge(self.plan_purge(items).await?)),
            Job::Collect { until, .. } => Ok(Answer::Collect(self.plan_collect(*until).await?)),
            Job::ListConflicts { .. } => Ok(Answer::ListConflicts(self.plan_listing().await?)),
            Job::Keep { keep, .. } => Ok(Answer::Keep(self.plan_keep(keep).await?)),
            Job::Revert { edits, snapshot, .. } => {
                Ok(Answer::Revert(self.plan_revert(edits, snapshot.as_ref()).await?))
            }
            Job::Restore { documents, purges, .. } => {
                Ok(Answer::Restore(self.plan_restore(documents, purges).await?))
            }
        }
    }

    pub(super) async fn plan_edits(
        &mut self,
        edits: &[PreparedEdit],
        atomicity: Atomicity,
    ) -> Result<Vec<EditResult>, StorageError> {
        match atomicity {
            Atomicity::EachAlone => {
                let mut results = Vec::with_capacity(edits.len());
                for edit in edits {
                    results.push(self.plan_edit(edit).await?);
                }
                Ok(results)
            }
            Atomicity::AllOrNothing => self.plan_whole(edits).await,
        }
    }

    /// Plans edits that stand or fall together.
    pub(super) async fn plan_whole(
        &mut self,
        edits: &[PreparedEdit],
    ) -> Result<Vec<EditResult>, StorageError> {
        let before = self.save(edits.iter().map(|it| &it.edit.id));
        let mut results = Vec::with_capacity(edits.len());
        for edit in edits {
            results.push(self.plan_edit(edit).await?);
        }
        if results.iter().any(Result::is_err) {
            self.restore(before);
            for result in &mut results {
                if result.is_ok() {
                    *result = Err(EditError::Aborted);
                }
            }
        }
        Ok(results)
    }

    /// What [`restore`](Self::restore) goes back to; `ids` are the documents that may be changed meanwhile.
    pub(super) fn save<'i>(&self, ids: impl Iterator<Item = &'i DocumentId>) -> Saved {
        let slots = ids.map(|id| (id.clone(), self.heads.get(id).cloned().unwrap_or_default()));
        Saved {
            state: self.state.clone(),
            operations: self.operations.len(),
            slots: slots.collect(),
            counts: self.counts.clone(),
            blobs: self.blobs.clone(),
            design_changed: self.design_changed,
            history_added: self.history_added,
            bytes: self.bytes,
        }
    }

    pub(super) fn restore(&mut self, saved: Saved) {
        self.state = saved.state;
        self.operations.truncate(saved.operations);
        self.heads.extend(saved.slots);
        self.counts = saved.counts;
        self.blobs = saved.blobs;
        self.design_changed = saved.design_changed;
        self.history_added = saved.history_added;
        self.bytes = saved.bytes;
    }

    /// Forgets all that was planned, for a job that is alone.
    pub(super) fn abandon(&mut self) {
        self.operations.clear();
        self.state = self.before.clone();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.operations.is_empty() && self.state == self.before
    }

    pub(super) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> u64 {
        let bytes = key.len() + value.len();
        self.bytes += bytes;
        self.operations.push(Operation::Put { key, value });
        bytes as u64
    }

    pub(super) fn delete(&mut self, key: Vec<u8>) {
        self.operations.push(Operation::Delete { key });
    }

    /// The place of a document that the caller has put into the group.
    pub(super) fn slot(&mut self, id: &DocumentId) -> &mut Slot {
        self.heads.get_mut(id).expect("the caller has put the document there")
    }

    /// The sequence of the next change, which is one of this document.
    pub(super) fn next_sequence(&mut self, id: &DocumentId) -> u64 {
        self.design_changed |= id.is_design();
        self.state.sequence += 1;
        self.state.sequence
    }

    /// Whether a body record of this number is part of the group, and not stored yet.
    pub(super) fn is_planned_body(&self, number: u64) -> bool {
        number > self.before.body_number
    }

    pub(super) fn count(&mut self, sequence: u64, by: i64) {
        *self.counts.entry(sequence >> BUCKET_BITS).or_default() += by;
    }

    /// Adds what belongs to the commit as a whole.
    pub(super) async fn finish(mut self) -> Result<Planned, PlanError> {
        let keys = self.inner.keys;
        self.finish_counts().await?;
        let empty = BlobPlan::new(keys.number);
        let plan = std::mem::replace(&mut self.blobs, empty);
        let engine = &*self.inner.shared.engine;
        if !plan.is_empty() && self.state.sizes.attached.is_none() {
            let attached = self.inner.attached_bytes().await?;
            self.state.sizes.attached = Some(attached);
        }
        let blobs = plan.resolve(engine, self.now).await?;
        if let Some(attached) = &mut self.state.sizes.attached {
            *attached = blobs.attached_after(*attached);
        }
        let mut wakes_sweeper = self.wakes_sweeper;
        if self.history_added && self.state.time_marked.plus(TIME_MARK_EVERY) <= self.now {
            let key = keys.time(self.now);
            self.put(key.clone(), encode_time(&key, self.before.sequence));
            self.state.time_marked = self.now;
        }
        if let Some(when) = self.sweep_wanted() {
            let queued = self.state.sweep_due;
            if queued.micros() == 0 || when < queued {
                if queued.micros() > 0 {
                    self.delete(keys::sweep(queued, keys.number));
                }
                self.queue_sweep(when);
                wakes_sweeper |= when.since(self.now) < SWEEPER_NAPS;
            }
        }
        let live_key = keys.live();
        let mut new_live = None;
        let live_expected = if self.design_changed {
            let mut live = Live::clone(&self.live);
            live.design_epoch += 1;
            let before = self.live.encode(&live_key);
            self.put(live_key.clone(), live.encode(&live_key));
            new_live = Some(live);
            Expected::Equals(before)
        } else if self.rests_on_live {
            Expected::Equals(self.live.encode(&live_key))
        } else {
            Expected::Present
        };
        let state_key = keys.state();
        self.state.nonce = self.inner.shared.nonce();
        let expected = Expected::Equals(self.before.encode(&state_key));
        self.put(state_key.clone(), self.state.encode(&state_key));
        let mut batch = Batch { operations: self.operations, ..Batch::default() };
        batch.require(live_key, live_expected);
        batch.require(state_key, expected);
        blobs.append_to(&mut batch);
        let changed = self.state.sequence != self.before.sequence && !self.is_quiet;
        Ok(Planned { batch, state: self.state, live: new_live, changed, wakes_sweeper, blobs })
    }

    /// When the sweeper is to come by for what this group leaves behind.
    fn sweep_wanted(&self) -> Option<Timestamp> {
        let history = self.history_added.then(|| due(self.now, self.live.grace));
        let others = self.records_due.into_iter().chain(self.tombstones_due);
        let others = others.map(|it| it.max(due(self.now, Duration::ZERO)));
        history.into_iter().chain(others).min()
    }

    /// Puts the database on the sweep queue, where it is not yet.
    pub(super) fn queue_sweep(&mut self, when: Timestamp) {
        let key = keys::sweep(when, self.inner.keys.number);
        let value = encode_mark(&key);
        self.put(key, value);
        self.state.sweep_due = when;
    }

    async fn finish_counts(&mut self) -> Result<(), StorageError> {
        let mut buckets: Vec<(u64, i64)> = std::mem::take(&mut self.counts).into_iter().collect();
        buckets.retain(|(_, by)| *by != 0);
        if buckets.is_empty() {
            return Ok(());
        }
        let keys = self.inner.keys;
        let steps = buckets.iter().map(|(bucket, _)| Step::Get(keys.change_count(*bucket)));
        let plan = Plan::new(steps.collect());
        let found = self.inner.shared.engine.read_to_end(plan, Counts::default()).await?;
        found.failure.check()?;
        for ((bucket, by), count) in buckets.into_iter().zip(found.counts) {
            let key = keys.change_count(bucket);
            let wrong = || StorageError::Inconsistent { reason: format!("bucket {bucket} < 0") };
            match count.checked_add_signed(by).ok_or_else(wrong)? {
                0 => self.delete(key),
                count => {
                    let value = encode_count(&key, count);
                    self.put(key, value);
                }
            }
        }
        Ok(())
    }
}

/// Takes a record's bytes or a document off a count that has it.
pub(super) fn subtract(count: &mut u64, what: u64) {
    debug_assert!(*count >= what, "{what} was never added to {count}");
    // A count that is wrong is found by the audit; nobody shall be unable to write because of it.
    *count = count.saturating_sub(what);
}

/// What an atomic write goes back to.
pub(super) struct Saved {
    state: State,
    operations: usize,
    slots: Vec<(DocumentId, Slot)>,
    counts: HashMap<u64, i64>,
    blobs: BlobPlan,
    design_changed: bool,
    history_added: bool,
    bytes: usize,
}

/// The first step is the state, then come heads in the order of the ids, then records of idempotency, if there are
/// any, and at last how long these are kept.
struct Stored {
    ids: Vec<DocumentId>,
    last: usize,
    state: Option<State>,
    heads: HashMap<DocumentId, Slot>,
    records: HashMap<Vec<u8>, Idempotency>,
    retention: Duration,
    failure: Failure,
}

impl Visitor for Stored {
    fn visit(&mut self, step: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        let Some(value) = value else { return Visit::Next };
        let read = match step {
            0 => State::decode(key, value).map(|state| self.state = Some(state)),
            step if step > self.ids.len() && step == self.last => {
                decode_retention(key, value).map(|retention| self.retention = retention)
            }
            step if step > self.ids.len() => Idempotency::decode(key, value)
                .map(|record| drop(self.records.insert(key.to_vec(), record))),
            _ => Head::decode(key, value).map(|head| {
                let bytes = (key.len() + value.len()) as u64;
                let in_conflict = head.tree.conflicts().next().is_some();
                let slot = Slot { head: Some(head), bytes, taken_in: Vec::new(), in_conflict };
                self.heads.insert(self.ids[step - 1].clone(), slot);
            }),
        };
        match read {
            Ok(()) => Visit::Next,
            Err(error) => self.failure.stop(error),
        }
    }
}

#[derive(Default)]
struct Counts {
    counts: Vec<u64>,
    failure: Failure,
}

impl Visitor for Counts {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        match value.map_or(Ok(0), |value| decode_count(key, value)) {
            Ok(count) => {
                self.counts.push(count);
                Visit::Next
            }
            Err(error) => self.failure.stop(error),
        }
    }
}
