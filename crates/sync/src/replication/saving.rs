//! Checkpoints, while the replication runs and at its end.
//!
//! Both sides make durable what they have, and say that they are still who they were: a database that
//! lost writes in a crash has another `instance_start_time`. Then the documents are written, first the
//! source's. Only the sequence that was reached before the first of these requests is written.

use std::{sync::Arc, time::Duration};

use super::{
    Ending, FailureKind, Phase, Replication, ReplicationError,
    message::Side,
    task::{Task, Work},
};
use crate::{
    checkpoint::{Checkpoint, Session},
    limits::HISTORY_MAX,
    seq::Seq,
};

#[derive(Debug)]
pub(super) struct Saves {
    /// When the next checkpoint is written, if there is news.
    pub(super) due: Duration,
    pub(super) saving: Option<Saving>,
    /// Revisions of the documents, by [`Side::place`].
    pub(super) revs: [Option<String>; 2],
    /// Sessions before this one.
    history: Vec<Session>,
    /// What stands on both sides.
    pub(super) checkpoint: Option<Arc<Checkpoint>>,
    pub(super) saved_seq: Seq,
    /// Whether this run has written one.
    pub(super) recorded: bool,
    /// The source lets nobody write one.
    source_refuses: bool,
}

/// A checkpoint that is being written.
#[derive(Debug)]
pub(super) struct Saving {
    checkpoint: Arc<Checkpoint>,
    /// By [`Side::place`].
    committed: [bool; 2],
}

impl Default for Saves {
    fn default() -> Self {
        Self {
            due: Duration::ZERO,
            saving: None,
            revs: [None, None],
            history: Vec::new(),
            checkpoint: None,
            saved_seq: Seq::zero(),
            recorded: false,
            source_refuses: false,
        }
    }
}

impl Saves {
    /// What was found at the start.
    pub(super) fn open(&mut self, history: Vec<Session>, checkpoint: Option<Checkpoint>) {
        self.history = history;
        self.checkpoint = checkpoint.map(Arc::new);
    }
}

impl Replication {
    /// Whether more is done than the last checkpoint says.
    pub(super) fn has_news(&self) -> bool {
        self.job.use_checkpoints && self.through_seq != self.saves.saved_seq
    }

    pub(super) fn save_if_due(&mut self) {
        let is_due = self.now.monotonic >= self.saves.due;
        if is_due && self.saves.saving.is_none() && self.has_news() {
            self.save();
        }
    }

    pub(super) fn save(&mut self) {
        let seq = self.through_seq.clone();
        let session = Session::new(
            &self.run.session_id,
            (self.started.time_of_day, self.now.time_of_day),
            (&self.start_seq, &seq),
            self.stats,
        );
        let history = [session].into_iter().chain(self.saves.history.iter().cloned());
        let without = self.saves.source_refuses.then(|| self.start_time(Side::Source).to_owned());
        let checkpoint = Arc::new(Checkpoint {
            session_id: self.run.session_id.clone(),
            source_last_seq: seq,
            history: history.take(HISTORY_MAX).collect(),
            source_without_checkpoint: without,
        });
        self.saves.saving = Some(Saving { checkpoint, committed: [false, false] });
        for side in Side::BOTH {
            self.peer(side).queue.push_front(Work::new(Task::Commit(side)));
        }
    }

    /// `start` is the `instance_start_time`; `None` from a source that refuses to commit.
    pub(super) fn committed(&mut self, side: Side, start: Option<&str>) {
        // CouchDB before 3.3 says "0", and may be upgraded meanwhile.
        let before = self.start_time(side);
        if start.is_some_and(|start| start != before && start != "0" && before != "0") {
            return self.end(Ending::Failed(ReplicationError::InstanceChanged { side }));
        }
        let Some(saving) = &mut self.saves.saving else { return };
        saving.committed[side.place()] = true;
        if saving.committed == [true, true] {
            let first = if self.saves.source_refuses { Side::Target } else { Side::Source };
            self.write_checkpoint(first);
        }
    }

    fn write_checkpoint(&mut self, side: Side) {
        let Some(saving) = &self.saves.saving else { return };
        let checkpoint = saving.checkpoint.clone();
        let work = Work::new(Task::WriteCheckpoint { side, checkpoint });
        self.peer(side).queue.push_front(work);
    }

    pub(super) fn checkpoint_written(&mut self, side: Side, rev: String) {
        self.saves.revs[side.place()] = Some(rev);
        if side == Side::Source {
            return self.write_checkpoint(Side::Target);
        }
        let Some(saving) = self.saves.saving.take() else { return };
        self.saves.saved_seq = saving.checkpoint.source_last_seq.clone();
        self.saves.checkpoint = Some(saving.checkpoint);
        self.saves.recorded = true;
        self.saves.due = self.now.monotonic + self.job.checkpoint_interval;
        if matches!(self.phase, Phase::Ending(_)) {
            self.finish();
        }
    }

    /// Whether something could be done about it.
    pub(super) fn checkpoint_refused(
        &mut self,
        side: Side,
        kind: FailureKind,
        checkpoint: &Arc<Checkpoint>,
    ) -> bool {
        match (side, kind) {
            // Maybe an earlier try was carried out and its answer lost.
            (_, FailureKind::Conflict) => {
                self.peer(side).queue.push_front(Work::new(Task::ReadCheckpoint(side)));
                true
            }
            (
                Side::Source,
                FailureKind::Unauthorized | FailureKind::Forbidden | FailureKind::Refused,
            ) if self.saves.revs[Side::Source.place()].is_none() => {
                self.saves.source_refuses = true;
                let without = Some(self.start_time(Side::Source).to_owned());
                let mut checkpoint = Checkpoint::clone(checkpoint);
                checkpoint.source_without_checkpoint = without;
                if let Some(saving) = &mut self.saves.saving {
                    saving.checkpoint = Arc::new(checkpoint);
                }
                self.write_checkpoint(Side::Target);
                true
            }
            _ => false,
        }
    }

    /// After a conflict. The document's revision is known now.
    pub(super) fn checkpoint_read_again(&mut self, side: Side, found: Option<Checkpoint>) {
        if self.saves.saving.is_none() {
            return;
        }
        // An answer that was lost, or an earlier one of this run that came late.
        if found.is_some_and(|found| found.session_id == self.run.session_id) {
            self.write_checkpoint(side);
        } else {
            self.end(Ending::Failed(ReplicationError::CheckpointConflict { side }));
        }
    }
}
