//! An engine that fails at any chosen operation, for tests of what stands on engines.
//!
//! It counts the operations that pass through it. A test runs once without faults, asks how many
//! there were, and then runs again for each of them with a fault there:
//!
//! ```
//! # use std::sync::Arc;
//! # use settle_engine::{Engine, faulty::{Fault, FaultyEngine, Kind}, memory::MemoryEngine};
//! let engine = FaultyEngine::new(Arc::new(MemoryEngine::new()));
//! engine.fail_at(Kind::Commit, 3, Fault::Unknown { applied: true, halts: true });
//! ```
//!
//! Operations are numbered from 0 in the order in which they were asked for, for each kind apart.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    Batch, BoxFuture, Checkpoint, CheckpointError, ClearError, Cleared, Engine, Outcome, Plan,
    ReadError, ReadResult, Stats, Visitor,
};

#[derive(Debug)]
pub struct FaultyEngine {
    inner: Arc<dyn Engine>,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Read,
    Commit,
    Clear,
    Checkpoint,
    /// Any of them, numbered together.
    Any,
}

/// What happens to the chosen operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, and the operation says so: a read error, `NotApplied`.
    Fails { storage_full: bool },
    /// A commit answers `Unknown`. `halts`: further commits are refused until [`FaultyEngine::reopen`],
    /// as an embedded engine does; a remote one goes on. On other operations, the same as `Fails`.
    Unknown { applied: bool, halts: bool },
    /// The machine stops: this operation and all that follow fail. `applied`: a commit or a clearing
    /// still reached the disk.
    Crash { applied: bool },
}

/// How many operations of each kind were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub reads: u64,
    pub commits: u64,
    pub clears: u64,
    pub checkpoints: u64,
}

#[derive(Debug, Default)]
struct State {
    counts: Counts,
    faults: Vec<(Kind, u64, Fault)>,
    condition: Condition,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Condition {
    #[default]
    Sound,
    CommitsHalted,
    Crashed,
}

impl FaultyEngine {
    pub fn new(inner: Arc<dyn Engine>) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// The `nth` operation of this kind, from 0, meets `fault`.
    pub fn fail_at(&self, kind: Kind, nth: u64, fault: Fault) {
        self.state().faults.push((kind, nth, fault));
    }

    /// The next operation of this kind meets `fault`.
    pub fn fail_next(&self, kind: Kind, fault: Fault) {
        let mut state = self.state();
        let nth = state.counts.of(kind);
        state.faults.push((kind, nth, fault));
    }

    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// What a restart finds: the same rows, no faults ahead, nothing halted. Counting goes on.
    pub fn reopen(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.condition = Condition::Sound;
    }

    pub fn is_crashed(&self) -> bool {
        self.state().condition == Condition::Crashed
    }

    /// The engine below, which never fails.
    pub fn inner(&self) -> &Arc<dyn Engine> {
        &self.inner
    }

    /// Counts an operation and says what becomes of it.
    fn meet(&self, kind: Kind) -> Verdict {
        let mut state = self.state();
        let nth = state.counts.of(kind);
        let nth_of_any = state.counts.of(Kind::Any);
        state.counts.count(kind);
        match state.condition {
            Condition::Crashed => return Verdict::Down(CRASHED),
            Condition::CommitsHalted if kind == Kind::Commit || kind == Kind::Clear => {
                return Verdict::Down(HALTED);
            }
            Condition::CommitsHalted | Condition::Sound => {}
        }
        let fault = state.faults.iter().find_map(|&(at, count, fault)| {
            let is_this = (at == kind && count == nth) || (at == Kind::Any && count == nth_of_any);
            is_this.then_some(fault)
        });
        match fault {
            Some(Fault::Crash { .. }) => state.condition = Condition::Crashed,
            Some(Fault::Unknown { halts: true, .. }) if kind == Kind::Commit => {
                state.condition = Condition::CommitsHalted;
            }
            Some(Fault::Fails { .. } | Fault::Unknown { .. }) | None => {}
        }
        fault.map_or(Verdict::Sound, Verdict::Fault)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const CHOSEN: &str = "a fault was chosen here";
const CRASHED: &str = "the machine has stopped";
const HALTED: &str = "an earlier commit failed, the engine has to be reopened";

enum Verdict {
    Sound,
    Down(&'static str),
    Fault(Fault),
}

impl Verdict {
    /// For operations that have no outcome between done and not done.
    fn failure(&self) -> Option<&'static str> {
        match self {
            Self::Sound => None,
            Self::Down(reason) => Some(reason),
            Self::Fault(Fault::Crash { .. }) => Some(CRASHED),
            Self::Fault(Fault::Fails { .. } | Fault::Unknown { .. }) => Some(CHOSEN),
        }
    }
}

impl Counts {
    fn of(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Read => self.reads,
            Kind::Commit => self.commits,
            Kind::Clear => self.clears,
            Kind::Checkpoint => self.checkpoints,
            Kind::Any => self.reads + self.commits + self.clears + self.checkpoints,
        }
    }

    fn count(&mut self, kind: Kind) {
        match kind {
            Kind::Read => self.reads += 1,
            Kind::Commit => self.commits += 1,
            Kind::Clear => self.clears += 1,
            Kind::Checkpoint => self.checkpoints += 1,
            Kind::Any => unreachable!("an operation has a kind"),
        }
    }
}

impl Engine for FaultyEngine {
    fn read_boxed(&self, plan: Plan, visitor: Box<dyn Visitor>) -> BoxFuture<'_, ReadResult> {
        match self.meet(Kind::Read).failure() {
            None => self.inner.read_boxed(plan, visitor),
            Some(reason) => {
                Box::pin(async move { Err(ReadError::Failed { reason: reason.to_owned() }) })
            }
        }
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'static, Outcome> {
        let not_applied = |reason: &str, storage_full| Outcome::NotApplied {
            reason: reason.to_owned(),
            storage_full,
        };
        let (is_applied, outcome) = match self.meet(Kind::Commit) {
            Verdict::Sound => return self.inner.commit(batch),
            Verdict::Down(reason) => (false, not_applied(reason, false)),
            Verdict::Fault(Fault::Fails { storage_full }) => {
                (false, not_applied(CHOSEN, storage_full))
            }
            Verdict::Fault(Fault::Unknown { applied, .. }) => {
                (applied, Outcome::Unknown { reason: CHOSEN.to_owned() })
            }
            Verdict::Fault(Fault::Crash { applied }) => {
                (applied, Outcome::Unknown { reason: CRASHED.to_owned() })
            }
        };
        let applying = is_applied.then(|| self.inner.commit(batch));
        Box::pin(async move {
            match applying {
                None => outcome,
                Some(applying) => match applying.await {
                    Outcome::Committed => outcome,
                    // What could not have been applied is refused in spite of the fault.
                    other @ (Outcome::Refused { .. }
                    | Outcome::NotApplied { .. }
                    | Outcome::Unknown { .. }) => other,
                },
            }
        })
    }

    fn clear(
        &self,
        start: Vec<u8>,
        end: Vec<u8>,
        budget_bytes: usize,
    ) -> BoxFuture<'_, Result<Cleared, ClearError>> {
        let verdict = self.meet(Kind::Clear);
        let is_applied = matches!(
            verdict,
            Verdict::Sound
                | Verdict::Fault(
                    Fault::Unknown { applied: true, .. } | Fault::Crash { applied: true }
                )
        );
        let failure = verdict.failure();
        Box::pin(async move {
            let done = if is_applied {
                Some(self.inner.clear(start, end, budget_bytes).await?)
            } else {
                None
            };
            match (failure, done) {
                (None, Some(cleared)) => Ok(cleared),
                (reason, _) => {
                    let reason = reason.unwrap_or(CHOSEN).to_owned();
                    Err(ClearError::Failed { reason })
                }
            }
        })
    }

    fn checkpoint<'a>(
        &'a self,
        to: &'a Path,
    ) -> BoxFuture<'a, Result<Checkpoint, CheckpointError>> {
        match self.meet(Kind::Checkpoint).failure() {
            None => self.inner.checkpoint(to),
            Some(reason) => {
                let failed =
                    CheckpointError::Failed { to: to.to_path_buf(), reason: reason.to_owned() };
                Box::pin(async move { Err(failed) })
            }
        }
    }

    fn stats(&self) -> Stats {
        self.inner.stats()
    }
}

#[cfg(test)]
mod tests;
