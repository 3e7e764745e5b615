//! The one writer of a database.
//!
//! Requests gather in a queue. Whoever finds the writer asleep wakes it; it takes what has
//! gathered, reads what that needs in one view, lets each request plan, and commits one batch with
//! the precondition that the state record is what it was. So all who wait at the same moment share
//! one sync, and one database is strictly serializable, also on an engine that several nodes use.
//!
//! An atomic write is never split across commits. One whose edits stand alone is, when it is large: the
//! engine serves every database of the site, and none shall hold it for long.

mod ancestry;
mod collect;
mod conflicts;
mod content;
mod edit;
mod expire;
mod foresee;
mod group;
pub(crate) mod keep;
mod once;
mod past;
mod purge;
mod restore;
pub(crate) mod revert;
mod transact;
mod turn;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use settle_engine::Outcome;
use settle_model::{id::DocumentId, revision::RevId, time::Timestamp};
use tokio::sync::oneshot;

use self::{
    group::Group,
    keep::{Keep, KeepError, Kept},
    revert::Reverted,
    transact::Asked,
    turn::Ready,
};
pub use self::{
    restore::{RestoreRefusal, RestoredDocument},
    turn::Turn,
};
use crate::{
    blobs::PlanError,
    database::Inner,
    edit::{Atomicity, Attempt, Edit, EditError, Written},
    error::StorageError,
    limits::{CLASHES_MAX, COLLECT_PAUSE, GROUP_BYTES_MAX, GROUP_EDITS_MAX},
    once::{Recorded, Recording},
    past::moment::SnapshotName,
    read::whole::PurgeEntry,
    record::{site::EventKind, state::State},
    store::failed,
    transact::Fate,
};

#[derive(Debug, Default)]
pub(crate) struct Writer {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Job>,
    awake: bool,
}

/// A request, with where its answer goes.
#[derive(Debug)]
enum Job {
    Write {
        edits: Vec<PreparedEdit>,
        atomicity: Atomicity,
        recording: Option<Recording>,
        reply: oneshot::Sender<Result<Attempt, StorageError>>,
    },
    Transact {
        asked: Asked,
        reply: oneshot::Sender<Result<Vec<Fate>, StorageError>>,
    },
    /// Somebody plans a transaction while nothing else is written.
    Turn {
        ready: Ready,
        reply: oneshot::Sender<Result<Vec<Fate>, StorageError>>,
    },
    Purge {
        items: Vec<(DocumentId, Vec<RevId>)>,
        reply: oneshot::Sender<Result<Purged, StorageError>>,
    },
    Collect {
        until: Until,
        reply: oneshot::Sender<Result<Collected, StorageError>>,
    },
    ListConflicts {
        reply: oneshot::Sender<Result<Collected, StorageError>>,
    },
    Keep {
        keep: Keep,
        reply: oneshot::Sender<Result<Result<Kept, KeepError>, StorageError>>,
    },
    Revert {
        edits: Vec<PreparedEdit>,
        snapshot: Option<SnapshotName>,
        reply: oneshot::Sender<Result<Reverted, StorageError>>,
    },
    Restore {
        documents: Vec<RestoredDocument>,
        purges: Vec<PurgeEntry>,
        reply: oneshot::Sender<Result<Restored, StorageError>>,
    },
}

type EditResult = Result<Written, EditError>;
type Restored = Result<(), RestoreRefusal>;
type Purged = Vec<(DocumentId, Vec<RevId>)>;

/// An edit, and the revision it makes if nothing unexpected is stored: computed before it waits
/// for the writer, since that is most of the work.
#[derive(Debug)]
struct PreparedEdit {
    edit: Edit,
    expected: Option<RevId>,
}

/// Up to where the past may go.
#[derive(Debug, Clone, Copy)]
enum Until {
    /// What was replaced up to this sequence, the newest when a compaction began: one that followed
    /// the writers would not end before they do.
    Sequence(u64),
    /// What has outlived the grace; the sweep queue has a row for this time.
    Grace { due: Timestamp },
}

/// Whether work that is done in slices has to go on at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Collected {
    All,
    More,
}

/// The answer to a job, kept back until its group is committed.
enum Answer {
    Write(Result<Vec<EditResult>, Recorded>),
    Transact(Vec<Fate>),
    Purge(Purged),
    Collect(Collected),
    ListConflicts(Collected),
    Keep(Result<Kept, KeepError>),
    Revert(Reverted),
    Restore(Restored),
}

impl Answer {
    /// Whether nothing of what was planned may be committed.
    fn is_refused_whole(&self) -> bool {
        matches!(self, Self::Restore(Err(_)))
    }
}

impl Writer {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Jobs are put in and taken out by single calls, so a panic elsewhere leaves it whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a job, and says whether the writer has to be woken.
    fn put(&self, job: Job) -> bool {
        let mut queue = self.lock();
        queue.waiting.push_back(job);
        !std::mem::replace(&mut queue.awake, true)
    }

    /// The next jobs that may share a commit, in order; none, and the writer is asleep.
    fn take(&self) -> Vec<Job> {
        let mut queue = self.lock();
        let mut jobs = Vec::new();
        let (mut edits, mut bytes) = (0, 0);
        while let Some(job) = queue.waiting.front() {
            let (job_edits, job_bytes) = job.weight();
            let fits = edits + job_edits <= GROUP_EDITS_MAX && bytes + job_bytes <= GROUP_BYTES_MAX;
            if !jobs.is_empty() && (job.wants_to_be_alone() || !fits) {
                break;
            }
            let alone = job.wants_to_be_alone();
            jobs.extend(queue.waiting.pop_front());
            edits += job_edits;
            bytes += job_bytes;
            if alone {
                break;
            }
        }
        if jobs.is_empty() {
            queue.awake = false;
        }
        jobs
    }
}

/// Puts the writer to sleep when a fault of the program ends its work, so that the next request
/// wakes it again. Those who wait learn of it by the end of their channels.
struct Awake<'w>(&'w Writer);

impl Drop for Awake<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut queue = self.0.lock();
            queue.awake = false;
            queue.waiting.clear();
        }
    }
}

impl Inner {
    pub(crate) async fn write(
        self: Arc<Self>,
        edits: Vec<Edit>,
        atomicity: Atomicity,
    ) -> Result<Attempt, StorageError> {
        let parts = match atomicity {
            Atomicity::AllOrNothing => vec![edits.into_iter().map(PreparedEdit::new).collect()],
            Atomicity::EachAlone => parts(edits),
        };
        // All of them are queued before the first is waited for, so they stay together.
        let answers: Vec<_> = parts
            .into_iter()
            .map(|edits| {
                let job = |reply| Job::Write { edits, atomicity, recording: None, reply };
                self.clone().queue(job)
            })
            .collect();
        let mut whole = Attempt { results: Vec::new(), overtaken: Vec::new(), recorded: None };
        for answer in answers {
            let mut part = wait(answer).await?;
            whole.results.append(&mut part.results);
            whole.overtaken.append(&mut part.overtaken);
        }
        Ok(whole)
    }

    /// As [`write`](Self::write), in one commit with the record of it.
    pub(crate) async fn write_once(
        self: Arc<Self>,
        edits: Vec<Edit>,
        atomicity: Atomicity,
        recording: Recording,
    ) -> Result<Attempt, StorageError> {
        let edits = edits.into_iter().map(PreparedEdit::new).collect();
        let recording = Some(recording);
        self.ask(|reply| Job::Write { edits, atomicity, recording, reply }).await
    }

    pub(crate) async fn purge(
        self: Arc<Self>,
        items: Vec<(DocumentId, Vec<RevId>)>,
    ) -> Result<Purged, StorageError> {
        self.ask(|reply| Job::Purge { items, reply }).await
    }

    /// Takes documents back whole, all in one commit.
    pub(crate) async fn restore(
        self: Arc<Self>,
        documents: Vec<RestoredDocument>,
        purges: Vec<PurgeEntry>,
    ) -> Result<Restored, StorageError> {
        self.ask(|reply| Job::Restore { documents, purges, reply }).await
    }

    /// Lets go of everything that only the past needs. It counts as running from the call on.
    pub(crate) fn compact(
        self: Arc<Self>,
    ) -> impl Future<Output = Result<(), StorageError>> + Send {
        let now = self.shared.clock.now();
        let compacting = self.shared.compactions.begin(self.name.clone(), self.keys.number, now);
        let until = Until::Sequence(self.committed.borrow().sequence);
        async move {
            let _compacting = compacting;
            self.collect(until).await
        }
    }

    /// Lets go of what has outlived the grace, and takes the row off the sweep queue or puts it
    /// back for later.
    pub(crate) async fn sweep(self: Arc<Self>, due: Timestamp) -> Result<(), StorageError> {
        self.collect(Until::Grace { due }).await
    }

    /// Changes what is kept of the past.
    pub(crate) async fn keep(self: Arc<Self>, keep: Keep) -> Result<Kept, KeepError> {
        self.ask(|reply| Job::Keep { keep, reply }).await?
    }

    /// Makes edits that bring back what was, all of them or none; with a snapshot of what was there before them.
    pub(crate) async fn revert(
        self: Arc<Self>,
        edits: Vec<Edit>,
        snapshot: Option<SnapshotName>,
    ) -> Result<Reverted, StorageError> {
        let edits = edits.into_iter().map(PreparedEdit::new).collect();
        self.ask(|reply| Job::Revert { edits, snapshot, reply }).await
    }

    /// Lists the documents in conflict of a database that was made before they were listed; at once where they
    /// are. One asks the writer, whoever else wants it waits.
    pub(crate) async fn list_conflicts(self: &Arc<Self>) -> Result<(), StorageError> {
        let list = || async {
            let ask = || self.clone().ask(|reply| Job::ListConflicts { reply });
            while ask().await? == Collected::More {}
            Ok(())
        };
        self.conflicts_listed.get_or_try_init(list).await.copied()
    }

    async fn collect(self: Arc<Self>, until: Until) -> Result<(), StorageError> {
        while self.clone().ask(|reply| Job::Collect { until, reply }).await? == Collected::More {
            if matches!(until, Until::Grace { .. }) {
                tokio::time::sleep(COLLECT_PAUSE).await;
            }
        }
        Ok(())
    }

    async fn ask<T>(
        self: Arc<Self>,
        job: impl FnOnce(oneshot::Sender<Result<T, StorageError>>) -> Job,
    ) -> Result<T, StorageError> {
        wait(self.queue(job)).await
    }

    fn queue<T>(
        self: Arc<Self>,
        job: impl FnOnce(oneshot::Sender<Result<T, StorageError>>) -> Job,
    ) -> oneshot::Receiver<Result<T, StorageError>> {
        let (reply, answer) = oneshot::channel();
        if self.writer.put(job(reply)) {
            self.shared.tasks.spawn(run(self.clone()));
        }
        answer
    }
}

async fn wait<T>(answer: oneshot::Receiver<Result<T, StorageError>>) -> Result<T, StorageError> {
    let lost = || StorageError::NotWritten { reason: "the writer stopped".to_owned() };
    answer.await.unwrap_or_else(|_| Err(lost()))
}

/// Cuts edits where a commit has enough of them.
fn parts(edits: Vec<Edit>) -> Vec<Vec<PreparedEdit>> {
    let mut parts = vec![Vec::with_capacity(edits.len().min(GROUP_EDITS_MAX))];
    let mut bytes = 0;
    for edit in edits {
        let part = parts.last().expect("there is one from the beginning");
        bytes += edit.bytes();
        if !part.is_empty() && (part.len() >= GROUP_EDITS_MAX || bytes > GROUP_BYTES_MAX) {
            parts.push(Vec::new());
            bytes = edit.bytes();
        }
        let part = parts.last_mut().expect("there is one from the beginning");
        part.push(PreparedEdit::new(edit));
    }
    parts
}

/// The edits that are to be judged again.
fn overtaken(edits: Vec<PreparedEdit>, atomicity: Atomicity, results: &[EditResult]) -> Vec<Edit> {
    let is_overtaken = |result: &EditResult| matches!(result, Err(EditError::Overtaken));
    if !results.iter().any(is_overtaken) {
        return Vec::new();
    }
    let edits = edits.into_iter().zip(results);
    let concerned = edits.filter(|(_, result)| match atomicity {
        Atomicity::EachAlone => is_overtaken(result),
        Atomicity::AllOrNothing => true,
    });
    concerned.map(|(prepared, _)| prepared.edit).collect()
}

/// Works until nothing is left to do. Runs to its end whatever becomes of those who asked.
async fn run(inner: Arc<Inner>) {
    let _awake = Awake(&inner.writer);
    loop {
        let jobs = inner.writer.take();
        if jobs.is_empty() {
            return;
        }
        let jobs = turn::give(jobs).await;
        commit(&inner, jobs).await;
    }
}

async fn commit(inner: &Arc<Inner>, mut jobs: Vec<Job>) {
    match commit_together(inner, &jobs).await {
        Ok(answers) => {
            for (job, answer) in jobs.into_iter().zip(answers) {
                job.answer(Ok(answer));
            }
        }
        // One of them may be what storage cannot take; the others shall not suffer for it.
        Err(StorageError::NotWritten { .. }) if jobs.len() > 1 => {
            for job in jobs {
                Box::pin(commit(inner, vec![job])).await;
            }
        }
        Err(error) => {
            if let Some(last) = jobs.pop() {
                for job in jobs {
                    job.answer(Err(error.clone()));
                }
                last.answer(Err(error));
            }
        }
    }
}

/// Plans and commits until the outcome is known.
async fn commit_together(inner: &Arc<Inner>, jobs: &[Job]) -> Result<Vec<Answer>, StorageError> {
    let mut missing_blobs = BTreeSet::new();
    let mut clashes = 0;
    while clashes < CLASHES_MAX {
        let mut group = Group::begin(inner, jobs, &missing_blobs).await?;
        let mut answers = Vec::with_capacity(jobs.len());
        for job in jobs {
            answers.push(group.plan(job).await?);
        }
        if answers.iter().any(Answer::is_refused_whole) {
            return Ok(answers);
        }
        if group.is_empty() {
            return Ok(answers);
        }
        let planned = match group.finish().await {
            Ok(planned) => planned,
            Err(PlanError::Storage(error)) => return Err(error),
            // Edits that need it are refused when all is planned again.
            Err(PlanError::Missing { digest }) if missing_blobs.insert(digest) => continue,
            Err(PlanError::Missing { digest }) => {
                let reason = format!("attachment data {digest} is gone");
                return Err(StorageError::Inconsistent { reason });
            }
        };
        clashes += 1;
        let state = planned.state;
        let order = match planned.live {
            Some(_) => Some(inner.live_order.lock().await),
            None => None,
        };
        match inner.shared.engine.commit(planned.batch).await {
            Outcome::Committed => planned.blobs.keep(),
            Outcome::Refused { precondition: 0 } => {
                drop(order);
                if is_gone(inner).await? {
                    return Err(StorageError::Gone);
                }
                continue;
            }
            Outcome::Refused { .. } => continue,
            Outcome::Unknown { reason } => {
                planned.blobs.keep();
                if read_state(inner).await.ok().flatten().as_ref() != Some(&state) {
                    return Err(StorageError::Unknown { reason });
                }
            }
            outcome @ Outcome::NotApplied { .. } => return Err(failed(outcome)),
        }
        if let Some(live) = planned.live {
            inner.set_live(live);
        }
        drop(order);
        if planned.changed {
            inner.advance(state.sequence);
            inner.shared.tell_changed(inner.keys.number, &inner.name, Some(state.sequence));
            let events = &inner.shared.events;
            events.note(EventKind::Updated, inner.keys.number, &inner.name, state.sequence);
        }
        if planned.wakes_sweeper {
            inner.shared.sweep.wake();
        }
        return Ok(answers);
    }
    Err(StorageError::Contended)
}

async fn read_state(inner: &Inner) -> Result<Option<State>, StorageError> {
    let key = inner.keys.state();
    let value = inner.shared.engine.get(key.clone()).await?;
    Ok(value.map(|value| State::decode(&key, &value)).transpose()?)
}

/// Whether the live record is missing, and not merely other than expected.
async fn is_gone(inner: &Inner) -> Result<bool, StorageError> {
    let _order = inner.live_order.lock().await;
    match crate::store::read_live(&*inner.shared.engine, inner.keys).await? {
        None => {
            inner.mark_dropped();
            Ok(true)
        }
        Some(live) => {
            inner.set_live(live);
            Ok(false)
        }
    }
}

impl Job {
    /// Edits and bytes, roughly.
    fn weight(&self) -> (usize, usize) {
        match self {
            Self::Write { edits, .. } => {
                (edits.len(), edits.iter().map(|prepared| prepared.edit.bytes()).sum())
            }
            Self::Transact { asked, .. } => asked.weight(),
            Self::Purge { items, .. } => (items.len(), 0),
            Self::Revert { edits, .. } => {
                (edits.len(), edits.iter().map(|prepared| prepared.edit.bytes()).sum())
            }
            Self::Turn { .. }
            | Self::Collect { .. }
            | Self::ListConflicts { .. }
            | Self::Keep { .. } => (0, 0),
            Self::Restore { documents, .. } => {
                (documents.len(), documents.iter().map(RestoredDocument::bytes).sum())
            }
        }
    }

    /// All but writes read rows that edits of the same group would be changing; a turn is one that nobody shares.
    fn wants_to_be_alone(&self) -> bool {
        match self {
            Self::Write { .. } | Self::Transact { .. } => false,
            Self::Turn { .. }
            | Self::Purge { .. }
            | Self::Collect { .. }
            | Self::ListConflicts { .. }
            | Self::Keep { .. }
            | Self::Revert { .. }
            | Self::Restore { .. } => true,
        }
    }

    /// Whoever asked may have gone away; that is no matter.
    fn answer(self, answer: Result<Answer, StorageError>) {
        match (self, answer) {
            (Self::Write { edits, atomicity, reply, .. }, Ok(Answer::Write(Ok(results)))) => {
                let overtaken = overtaken(edits, atomicity, &results);
                drop(reply.send(Ok(Attempt { results, overtaken, recorded: None })));
            }
            (Self::Write { reply, .. }, Ok(Answer::Write(Err(recorded)))) => {
                let (results, overtaken) = (Vec::new(), Vec::new());
                drop(reply.send(Ok(Attempt { results, overtaken, recorded: Some(recorded) })));
            }
            (Self::Transact { reply, .. }, Ok(Answer::Transact(fates))) => {
                drop(reply.send(Ok(fates)));
            }
            (Self::Purge { reply, .. }, Ok(Answer::Purge(purged))) => drop(reply.send(Ok(purged))),
            (Self::Collect { reply, .. }, Ok(Answer::Collect(more))) => {
                drop(reply.send(Ok(more)));
            }
            (Self::ListConflicts { reply }, Ok(Answer::ListConflicts(more))) => {
                drop(reply.send(Ok(more)));
            }
            (Self::Keep { reply, .. }, Ok(Answer::Keep(kept))) => drop(reply.send(Ok(kept))),
            (Self::Revert { reply, .. }, Ok(Answer::Revert(reverted))) => {
                drop(reply.send(Ok(reverted)));
            }
            (Self::Keep { reply, .. }, Err(error)) => drop(reply.send(Err(error))),
            (Self::Revert { reply, .. }, Err(error)) => drop(reply.send(Err(error))),
            (Self::Restore { reply, .. }, Ok(Answer::Restore(restored))) => {
                drop(reply.send(Ok(restored)));
            }
            (Self::Restore { reply, .. }, Err(error)) => drop(reply.send(Err(error))),
            (Self::Write { reply, .. }, Err(error)) => drop(reply.send(Err(error))),
            (Self::Transact { reply, .. } | Self::Turn { reply, .. }, Err(error)) => {
                drop(reply.send(Err(error)));
            }
            (Self::Purge { reply, .. }, Err(error)) => drop(reply.send(Err(error))),
            (Self::Collect { reply, .. } | Self::ListConflicts { reply }, Err(error)) => {
                drop(reply.send(Err(error)));
            }
            (_, Ok(_)) => unreachable!("each job is given the answer that it planned"),
        }
    }
}
