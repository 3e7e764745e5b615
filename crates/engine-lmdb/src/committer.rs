//! The one thread that writes.
//!
//! It merges the batches that wait into one transaction, and one sync makes all of them durable.
//! Each batch is still atomic and sees those before it. The rules of a group:
//!
//! - Foreground batches first, in the order in which they were asked for. At least one background
//!   job goes into every group, more only while no foreground batch waits.
//! - A group takes in work for [`GROUP_TIME_MAX`] or [`GROUP_BYTES_MAX`], as long as some waits.
//! - Writers that were just answered are usually back with their next batch in a moment. A group that
//!   has fewer batches than the one before waits for the rest, for an eighth of what a commit takes:
//!   else the first to come back would have a sync to itself and the others wait for two. A single
//!   writer never waits.
//! - Preconditions are checked inside the transaction. A refused batch has written nothing.
//! - Where LMDB fails to apply a batch (the map is full), the transaction is given up and each job
//!   of the group gets one of its own, so that a batch never fails its neighbours.
//! - After a commit that may have failed in a sync, nothing is written until the store is opened
//!   again: what the operating system then says about the same pages is worth nothing.

mod queue;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use settle_engine::{Batch, Expected, Operation, Outcome, Precondition};
use tokio::sync::oneshot;

pub(crate) use queue::{Queue, QueueRefusal};

use crate::{
    clock,
    limits::{CLEAR_SLICE_BYTES_MAX, GATHER_TIME_MAX, GROUP_BYTES_MAX, GROUP_TIME_MAX},
    store::{ClearedSlice, Failure, Store, Writing},
};

/// Work for the committer, and where the answer goes. Nobody may be listening.
pub(crate) enum Job {
    Batch { batch: Batch, bytes: usize, reply: oneshot::Sender<Outcome> },
    Clear { start: Vec<u8>, end: Vec<u8>, budget_bytes: usize, reply: oneshot::Sender<ClearReply> },
}

pub(crate) type ClearReply = Result<ClearedSlice, String>;

impl Job {
    /// What it weighs against [`GROUP_BYTES_MAX`].
    fn bytes(&self) -> usize {
        match self {
            Self::Batch { bytes, .. } => *bytes,
            Self::Clear { budget_bytes, .. } => *budget_bytes,
        }
    }
}

pub(crate) struct Committer {
    store: Store,
    queue: Arc<Queue>,
    last_group: LastGroup,
}

/// What the group before tells about the next.
#[derive(Clone, Copy)]
struct LastGroup {
    jobs: usize,
    commit_time: Duration,
}

/// A job whose effect is in the open transaction.
enum Applied {
    Batch {
        batch: Batch,
        bytes: usize,
        reply: oneshot::Sender<Outcome>,
        outcome: Outcome,
    },
    Clear {
        start: Vec<u8>,
        end: Vec<u8>,
        budget_bytes: usize,
        reply: oneshot::Sender<ClearReply>,
        slice: ClearedSlice,
    },
}

impl Committer {
    pub(crate) fn new(store: Store, queue: Arc<Queue>) -> Self {
        let last_group = LastGroup { jobs: 1, commit_time: Duration::ZERO };
        Self { store, queue, last_group }
    }

    /// Serves the queue until it is closed and empty.
    pub(crate) fn run(mut self) {
        while let Some(first) = self.queue.wait() {
            match self.queue.halted() {
                Some(reason) => reject(first, &not_applied(&halt_message(&reason), false)),
                None => self.serve(first),
            }
        }
    }

    fn serve(&mut self, first: Job) {
        let group = Group { started: clock::now(), bytes: 0, applied: Vec::new() };
        match self.gather(group, first) {
            Ok(()) => {}
            Err(alone) => {
                for job in alone {
                    self.serve_alone(job);
                }
            }
        }
    }

    /// Fills a transaction and commits it, or gives back the jobs for which another way is needed.
    fn gather(&mut self, mut group: Group, first: Job) -> Result<(), Vec<Job>> {
        let mut writing = match self.store.write() {
            Ok(writing) => writing,
            Err(error) => {
                self.lose(vec![first], &error);
                return Ok(());
            }
        };
        let mut has_waited = false;
        let mut next = Some(first);
        while let Some(job) = next {
            group.bytes += job.bytes();
            match apply(&mut writing, job) {
                Ok(applied) => group.applied.push(applied),
                Err((job, _)) => {
                    drop(writing);
                    return Err(group.into_jobs().chain([job]).collect());
                }
            }
            next = self.queue.take(group.is_closed());
            let missing = self.last_group.jobs.saturating_sub(group.applied.len());
            if next.is_none() && missing > 0 && !has_waited && !group.is_closed() {
                has_waited = true;
                let time = (self.last_group.commit_time / 8).min(GATHER_TIME_MAX);
                self.queue.expect(missing, time);
                next = self.queue.take(false);
            }
        }
        let jobs = group.applied.len();
        let started = clock::now();
        let finished = self.finish(writing, group);
        self.last_group = LastGroup { jobs, commit_time: clock::now() - started };
        finished
    }

    fn finish(&self, writing: Writing<'_>, group: Group) -> Result<(), Vec<Job>> {
        let is_empty = !group.applied.iter().any(Applied::has_written);
        match writing.commit() {
            Ok(()) => {
                self.queue.counters().note_commit(group.applied.len(), is_empty);
                group.applied.into_iter().for_each(Applied::answer);
                Ok(())
            }
            Err(error) => match self.judge(&error) {
                Failure::Full | Failure::Refused => Err(group.into_jobs().collect()),
                Failure::Unclear => {
                    self.lose(group.into_jobs().collect(), &error);
                    Ok(())
                }
            },
        }
    }

    /// One job, one transaction: what fails here fails for good.
    fn serve_alone(&self, job: Job) {
        if let Some(reason) = self.queue.halted() {
            return reject(job, &not_applied(&halt_message(&reason), false));
        }
        let mut writing = match self.store.write() {
            Ok(writing) => writing,
            Err(error) => return self.lose(vec![job], &error),
        };
        let (job, error, failure) = match apply(&mut writing, job) {
            Err((job, error)) => {
                drop(writing);
                let failure = Failure::of_call(&error);
                (job, error, failure)
            }
            Ok(applied) => {
                let is_empty = !applied.has_written();
                match writing.commit() {
                    Ok(()) => {
                        self.queue.counters().note_commit(1, is_empty);
                        return applied.answer();
                    }
                    Err(error) => {
                        let failure = self.judge(&error);
                        (applied.into_job(), error, failure)
                    }
                }
            }
        };
        match failure {
            Failure::Full => reject(job, &not_applied(&error.to_string(), true)),
            Failure::Refused => reject(job, &not_applied(&error.to_string(), false)),
            Failure::Unclear => self.lose(vec![job], &error),
        }
    }

    /// What a failed commit means. LMDB marks the environment when it was the meta page that could
    /// not be written, and then begins no transaction any more.
    fn judge(&self, error: &heed::Error) -> Failure {
        let failure = Failure::of_commit(error);
        if failure != Failure::Unclear && self.store.write().is_err() {
            return Failure::Unclear;
        }
        failure
    }

    /// Answers `Unknown`, and writes nothing more.
    fn lose(&self, jobs: Vec<Job>, error: &heed::Error) {
        let reason = error.to_string();
        tracing::error!(reason, "a commit failed; the store takes no more until it is reopened");
        self.queue.halt(&reason);
        let outcome = Outcome::Unknown { reason };
        for job in jobs {
            reject(job, &outcome);
        }
    }
}

/// A transaction under construction.
struct Group {
    started: Instant,
    bytes: usize,
    applied: Vec<Applied>,
}

impl Group {
    fn is_closed(&self) -> bool {
        self.bytes >= GROUP_BYTES_MAX || clock::now() - self.started >= GROUP_TIME_MAX
    }

    fn into_jobs(self) -> impl Iterator<Item = Job> {
        self.applied.into_iter().map(Applied::into_job)
    }
}

impl Applied {
    fn has_written(&self) -> bool {
        match self {
            Self::Batch { batch, outcome, .. } => {
                *outcome == Outcome::Committed && !batch.operations.is_empty()
            }
            Self::Clear { slice, .. } => slice.rows > 0,
        }
    }

    /// After the commit.
    fn answer(self) {
        match self {
            Self::Batch { reply, outcome, .. } => drop(reply.send(outcome)),
            Self::Clear { reply, slice, .. } => drop(reply.send(Ok(slice))),
        }
    }

    /// After a transaction that was given up.
    fn into_job(self) -> Job {
        match self {
            Self::Batch { batch, bytes, reply, .. } => Job::Batch { batch, bytes, reply },
            Self::Clear { start, end, budget_bytes, reply, .. } => {
                Job::Clear { start, end, budget_bytes, reply }
            }
        }
    }
}

fn apply(writing: &mut Writing<'_>, job: Job) -> Result<Applied, (Job, heed::Error)> {
    match job {
        Job::Batch { batch, bytes, reply } => match apply_batch(writing, &batch) {
            Ok(outcome) => Ok(Applied::Batch { batch, bytes, reply, outcome }),
            Err(error) => Err((Job::Batch { batch, bytes, reply }, error)),
        },
        Job::Clear { start, end, budget_bytes, reply } => {
            match writing.clear(&start, &end, budget_bytes.min(CLEAR_SLICE_BYTES_MAX)) {
                Ok(slice) => Ok(Applied::Clear { start, end, budget_bytes, reply, slice }),
                Err(error) => Err((Job::Clear { start, end, budget_bytes, reply }, error)),
            }
        }
    }
}

fn apply_batch(writing: &mut Writing<'_>, batch: &Batch) -> heed::Result<Outcome> {
    for (precondition, asked) in batch.preconditions.iter().enumerate() {
        if !holds(writing, asked)? {
            return Ok(Outcome::Refused { precondition });
        }
    }
    for operation in &batch.operations {
        match operation {
            Operation::Put { key, value } => writing.put(key, value)?,
            Operation::Delete { key } => drop(writing.delete(key)?),
        }
    }
    Ok(Outcome::Committed)
}

fn holds(writing: &Writing<'_>, precondition: &Precondition) -> heed::Result<bool> {
    let value = writing.get(&precondition.key)?;
    Ok(match &precondition.expected {
        Expected::Absent => value.is_none(),
        Expected::Present => value.is_some(),
        Expected::Equals(expected) => value == Some(expected),
    })
}

fn reject(job: Job, outcome: &Outcome) {
    match job {
        Job::Batch { reply, .. } => drop(reply.send(outcome.clone())),
        Job::Clear { reply, .. } => {
            let reason = match outcome {
                Outcome::NotApplied { reason, .. } | Outcome::Unknown { reason } => reason.clone(),
                Outcome::Committed | Outcome::Refused { .. } => unreachable!("no rejection"),
            };
            drop(reply.send(Err(reason)));
        }
    }
}

pub(crate) fn not_applied(reason: &str, storage_full: bool) -> Outcome {
    Outcome::NotApplied { reason: reason.to_owned(), storage_full }
}

fn halt_message(reason: &str) -> String {
    format!("an earlier commit failed ({reason}); the store has to be reopened")
}
