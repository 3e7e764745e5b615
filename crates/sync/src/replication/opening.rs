//! The first requests: who the two databases are, and where to start.

use super::{
    Phase, Replication,
    message::{Info, Side},
    task::{Task, Work},
};
use crate::checkpoint::{Ancestor, Checkpoint, common_ancestor};

#[derive(Debug, Default)]
pub(super) struct Opening {
    /// By [`Side::place`].
    pub(super) infos: [Option<Info>; 2],
    /// `Some` when it was read, with or without a checkpoint in it.
    checkpoints: [Option<Option<Checkpoint>>; 2],
}

impl Replication {
    pub(super) fn open(&mut self) {
        if self.job.create_target {
            self.peer(Side::Target).queue.push_back(Work::new(Task::Create));
        } else {
            self.ask_info(Side::Target);
        }
        self.ask_info(Side::Source);
    }

    pub(super) fn ask_info(&mut self, side: Side) {
        self.peer(side).queue.push_back(Work::new(Task::Info(side)));
    }

    pub(super) fn got_info(&mut self, side: Side, info: Info) {
        self.opening.infos[side.place()] = Some(info);
        self.peer(side).queue.push_back(Work::new(Task::ReadCheckpoint(side)));
    }

    /// The document that was found, and its revision.
    pub(super) fn got_checkpoint(
        &mut self,
        side: Side,
        found: Option<(String, Option<Checkpoint>)>,
    ) {
        let (rev, checkpoint) = match found {
            None => (None, None),
            Some((rev, checkpoint)) => (Some(rev), checkpoint),
        };
        self.saves.revs[side.place()] = rev;
        if self.phase != Phase::Opening {
            return self.checkpoint_read_again(side, checkpoint);
        }
        self.opening.checkpoints[side.place()] = Some(checkpoint);
        let [Some(source), Some(target)] = &mut self.opening.checkpoints else { return };
        let (source, target) = (source.take(), target.take());
        let start = self.start_time(Side::Source).to_owned();
        let Ancestor { seq, history } = common_ancestor(source.as_ref(), target.as_ref(), &start);
        let seq = seq.or_else(|| self.job.since_seq.clone());
        if let Some(seq) = seq {
            self.feed.since = seq.clone();
            self.start_seq = seq.clone();
            self.source_seq = seq.clone();
            self.saves.saved_seq = seq.clone();
            self.through_seq = seq;
        }
        self.saves.open(history, source.or(target));
        self.saves.due = self.now.monotonic + self.job.checkpoint_interval;
        self.phase = Phase::Running;
    }

    /// The `instance_start_time` that the database had when it was asked first.
    pub(super) fn start_time(&self, side: Side) -> &str {
        let info = self.opening.infos[side.place()].as_ref();
        info.map_or("", |info| &*info.instance_start_time)
    }
}
