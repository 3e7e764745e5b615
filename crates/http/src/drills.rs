//! What came of restore drills: counted for the metrics, and told to the audit log.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use serde::Serialize;
use settle_model::time::Timestamp;

use crate::{audit::Cause, limits::DRILL_FAILURES_NAMED, state::AppState};

/// Archives of all databases that were made together, each restored on trial.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DrillRun {
    pub folder: String,
    pub databases: u64,
    pub documents: u64,
    /// Databases without an archive that is known to be good.
    pub failed: u64,
    /// The first of them.
    pub failures: Vec<DrillFailure>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DrillFailure {
    pub database: String,
    pub reason: String,
}

/// Since the server was started.
#[derive(Debug, Default)]
pub(crate) struct Drills {
    pub(crate) passed: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// Runs that came to no end.
    pub(crate) broken: AtomicU64,
    /// When the last run without a failure ended, in seconds since 1970; 0 for never. Of one before the start it is known
    /// when it began.
    pub(crate) last_good: AtomicU64,
}

impl DrillRun {
    pub fn fail(&mut self, failure: DrillFailure) {
        self.failed += 1;
        if self.failures.len() < DRILL_FAILURES_NAMED {
            self.failures.push(failure);
        }
    }
}

impl AppState {
    /// Counts a run, and records it, soon.
    pub fn note_drills(self: &Arc<Self>, run: &DrillRun) {
        let drills = &self.drills;
        drills.passed.fetch_add(run.databases - run.failed, Ordering::Relaxed);
        drills.failed.fetch_add(run.failed, Ordering::Relaxed);
        if run.failed == 0 {
            drills.last_good.store(self.site.clock.now().seconds(), Ordering::Relaxed);
        }
        self.note("restore_drill", run, &Cause { address: None, request: "schedule".to_owned() });
    }

    /// There is a run without a failure, which began then.
    pub fn note_proved(&self, begun: Timestamp) {
        self.drills.last_good.fetch_max(begun.seconds(), Ordering::Relaxed);
    }

    /// A run could not be made at all.
    pub fn note_failed_archives(&self) {
        self.drills.broken.fetch_add(1, Ordering::Relaxed);
    }
}
