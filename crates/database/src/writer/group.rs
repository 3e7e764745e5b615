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
    limits::TIME_MARK_EVERY,
    record::{
        head::Head,
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
        let mut ids = Vec::new();
        for job in jobs {
            match job {
                Job::Write { edits, .. } => ids.extend(edits.iter().map(|it| it.edit.id.clone())),
                Job::Purge { items, .. } => ids.extend(items.iter().map(|(id, _)| id.clone())),
                Job::Restore { documents, .. } => {
                    ids.extend(documents.iter().map(|it| it.document.id.clone()));
                }
                Job::Collect { .. } | Job::ListConflicts { .. } => {}
            }
        }
        Self::over(inner, ids, missing_blobs).await
    }

    /// Reads these documents in one view.
    pub(super) async fn over(
        inner: &'w Arc<Inner>,
        mut ids: Vec<DocumentId>,
        missing_blobs: &'w BTreeSet<BlobDigest>,
    ) -> Result<Group<'w>, StorageError> {
        // In order, so that neighbours are read from the same page.
        ids.sort_unstable();
        ids.dedup();
        let keys = inner.keys;
        let mut steps = Vec::with_capacity(1 + ids.len());
        steps.push(Step::Get(keys.state()));
        steps.extend(ids.iter().map(|id| Step::Get(keys.head(id))));
        let heads = HashMap::with_capacity(ids.len());
        let visitor = Stored { ids, state: None, heads, failure: Failure::default() };
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
            is_quiet: false,
            inner,
        })
    }

    pub(super) async fn plan(&mut self, job: &Job) -> Result<Answer, StorageError> {
        self.design_changed_before = self.design_changed;
        self.moved.clear();
        match job {
            Job::Write { edits, atomicity: Atomicity::EachAlone, .. } => {
                let mut results = Vec::with_capacity(edits.len());
                for edit in edits {
                    results.push(self.plan_edit(edit).await?);
                }
                Ok(Answer::Write(results))
            }
            Job::Write { edits, atomicity: Atomicity::AllOrNothing, .. } => {
                Ok(Answer::Write(self.plan_whole(edits).await?))
            }
            Job::Purge { items, .. } => Ok(Answer::Purge(self.plan_purge(items).await?)),
            Job::Collect { until, .. } => Ok(Answer::Collect(self.plan_collect(*until).await?)),
            Job::ListConflicts { .. } => Ok(Answer::ListConflicts(self.plan_listing().await?)),
            Job::Restore { documents, purges, .. } => {
                Ok(Answer::Restore(self.plan_restore(documents, purges).await?))
            }
        }
    }

    /// Plans edits that stand or fall together.
    async fn plan_whole(
        &mut self,
        edits: &[PreparedEdit],
    ) -> Result<Vec<EditResult>, StorageError> {
        let before = self.save(edits);
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

    fn save(&self, edits: &[PreparedEdit]) -> Saved {
        let slots = edits.iter().map(|it| {
            let id = &it.edit.id;
            (id.clone(), self.heads.get(id).cloned().unwrap_or_default())
        });
        Saved {
            state: self.state.clone(),
            operations: self.operations.len(),
            slots: slots.collect(),
            counts: self.counts.clone(),
            blobs: self.blobs.clone(),
            design_changed: self.design_changed,
            history_added: self.history_added,
        }
    }

    fn restore(&mut self, saved: Saved) {
        self.state = saved.state;
        self.operations.truncate(saved.operations);
        self.heads.extend(saved.slots);
        self.counts = saved.counts;
        self.blobs = saved.blobs;
        self.design_changed = saved.design_changed;
        self.history_added = saved.history_added;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.operations.is_empty() && self.state == self.before
    }

    pub(super) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> u64 {
        let bytes = (key.len() + value.len()) as u64;
        self.operations.push(Operation::Put { key, value });
        bytes
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
        let blobs = plan.resolve(engine, self.now).await?;
        let mut wakes_sweeper = false;
        if self.history_added {
            if self.state.time_marked.plus(TIME_MARK_EVERY) <= self.now {
                let key = keys.time(self.now);
                self.put(key.clone(), encode_time(&key, self.before.sequence));
                self.state.time_marked = self.now;
            }
            if self.state.sweep_due.micros() == 0 {
                let when = due(self.now, self.live.grace);
                self.queue_sweep(when);
                wakes_sweeper = self.live.grace < SWEEPER_NAPS;
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
struct Saved {
    state: State,
    operations: usize,
    slots: Vec<(DocumentId, Slot)>,
    counts: HashMap<u64, i64>,
    blobs: BlobPlan,
    design_changed: bool,
    history_added: bool,
}

/// The first step is the state, the others are heads in the order of the ids.
struct Stored {
    ids: Vec<DocumentId>,
    state: Option<State>,
    heads: HashMap<DocumentId, Slot>,
    failure: Failure,
}

impl Visitor for Stored {
    fn visit(&mut self, step: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        let Some(value) = value else { return Visit::Next };
        let read = match step {
            0 => State::decode(key, value).map(|state| self.state = Some(state)),
            _ => Head::decode(key, value).map(|head| {
                let bytes = (key.len() + value.len()) as u64;
                let in_conflict = head.tree.conflicts().next().is_some();
                let slot = Slot { head: Some(head), bytes, taken_in: Vec::new(), in_conflict };
                self.heads.insert(self.ids[step - 1].clone(), slot);
            }),
        };
        match read {
            Ok(()) => Visit::Next,
            Err(error) => {
                self.failure.set(error);
                Visit::Stop
            }
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
            Err(error) => {
                self.failure.set(error);
                Visit::Stop
            }
        }
    }
}
