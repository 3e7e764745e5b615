//! One job, between its runs and during them.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use settle_model::{id::DatabaseName, time::Timestamp};
use settle_sync::{
    replication::{Ending, Outcome},
    seq::Seq,
    stats::Progress,
};

use super::{Ended, JobEvent, JobEventKind, JobState, JobStatus, Task, queue::Owner};
use crate::{limits::EVENTS_MAX, run::Watched};

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) task: Task,
    pub(super) phase: Phase,
    /// Newest first.
    events: VecDeque<JobEvent>,
    /// In a row.
    pub(super) failures: u32,
    added: Timestamp,
    /// Of the last run.
    pub(super) progress: Option<Progress>,
    leaving: Leaving,
}

#[derive(Debug)]
pub(super) enum Phase {
    Queued,
    Running(Runs),
    /// Everything up to `since` is done.
    Resting {
        source: Source,
        since: Seq,
    },
    /// It has failed, and starts again then, on the monotonic clock.
    Waiting {
        due: Duration,
    },
}

/// A run under way.
#[derive(Debug)]
pub(super) struct Runs {
    pub(super) watched: Arc<Watched>,
    /// On the monotonic clock.
    pub(super) since: Duration,
    pub(super) pid: String,
}

/// A database of this site that a job rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) name: DatabaseName,
    pub(super) number: u64,
}

#[derive(Debug)]
enum Leaving {
    No,
    /// It goes when its run has ended; then a job of the same name may take its place.
    Yes {
        next: Option<Box<(Task, Timestamp)>>,
    },
}

impl Entry {
    pub(super) fn new(task: Task, now: Timestamp) -> Self {
        let mut entry = Self {
            task,
            phase: Phase::Queued,
            events: VecDeque::new(),
            failures: 0,
            added: now,
            progress: None,
            leaving: Leaving::No,
        };
        entry.note(now, JobEventKind::Added);
        entry
    }

    pub(super) fn note(&mut self, at: Timestamp, kind: JobEventKind) {
        self.events.push_front(JobEvent { at, kind });
        self.events.truncate(EVENTS_MAX);
    }

    pub(super) fn owner(&self) -> Owner {
        match &self.task.place {
            Some(place) => Owner::Database(place.database.clone()),
            None => Owner::User(self.task.as_whom.actor.name().map(str::to_owned)),
        }
    }

    /// Has it go when its run has ended, or has the one not come that was to follow it; `false` if it does
    /// not run, or is leaving already.
    pub(super) fn leave(&mut self) -> bool {
        let Phase::Running(runs) = &self.phase else { return false };
        match &mut self.leaving {
            Leaving::Yes { next } => next.take().is_some(),
            Leaving::No => {
                self.leaving = Leaving::Yes { next: None };
                runs.watched.cancel.cancel();
                true
            }
        }
    }

    /// Whether it is no job any more for whoever asks.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.leaving, Leaving::Yes { next: None })
    }

    pub(super) fn followed_by(&mut self, task: Task, now: Timestamp) {
        self.leaving = Leaving::Yes { next: Some(Box::new((task, now))) };
    }

    /// Whether it goes now that its run has ended, and what follows it.
    pub(super) fn left(&mut self) -> Option<Option<Self>> {
        match std::mem::replace(&mut self.leaving, Leaving::No) {
            Leaving::No => None,
            Leaving::Yes { next } => Some(next.map(|next| Self::new(next.0, next.1))),
        }
    }

    pub(super) fn status(&self) -> JobStatus {
        if let Leaving::Yes { next: Some(next) } = &self.leaving {
            return Self::new(next.0.clone(), next.1).status();
        }
        let (state, pid, told) = match &self.phase {
            Phase::Queued => (JobState::Pending, None, None),
            Phase::Running(runs) => {
                (JobState::Running, Some(runs.pid.clone()), runs.watched.progress())
            }
            Phase::Resting { .. } => (JobState::Running, None, None),
            Phase::Waiting { .. } => (JobState::Crashing, None, None),
        };
        JobStatus {
            task: self.task.clone(),
            state,
            events: self.events.iter().cloned().collect(),
            failures: self.failures,
            added: self.added,
            progress: told.or_else(|| self.progress.clone()),
            pid,
        }
    }

    /// It was taken away before it ran.
    pub(super) fn cancelled(self) -> Ended {
        let outcome = Outcome { checkpoint: None, recorded: false, ending: Ending::Cancelled };
        Ended { task: self.task, outcome, progress: self.progress }
    }
}
