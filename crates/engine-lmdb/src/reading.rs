//! Reads: a little on the caller's thread, the rest on one of their own, from the same view.

use std::{
    collections::BTreeMap,
    panic,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use settle_engine::{
    Plan, Progress, ReadError, ReadResult, Resume, Visitor,
    limits::SLICE_BYTES_MAX,
    slice::{self, Budget, End},
};
use tokio::sync::Semaphore;

use crate::{
    clock,
    limits::{INLINE_BYTES_MAX, INLINE_TIME_MAX, LONG_READ_COUNT_MAX, SLICE_TIME_MAX},
    store::{Snapshot, Store, read_error},
};

#[derive(Debug)]
pub(crate) struct Readers {
    long_reads: Arc<Semaphore>,
    views: Arc<Views>,
}

impl Readers {
    pub(crate) fn new() -> Self {
        Self { long_reads: Arc::new(Semaphore::new(LONG_READ_COUNT_MAX)), views: Arc::default() }
    }

    pub(crate) fn views(&self) -> &Arc<Views> {
        &self.views
    }

    /// One slice of a plan.
    pub(crate) async fn read(
        &self,
        store: &Store,
        mut plan: Plan,
        mut visitor: Box<dyn Visitor>,
    ) -> ReadResult {
        let view = store.snapshot()?;
        let inline = Extent { bytes_max: INLINE_BYTES_MAX, time_max: INLINE_TIME_MAX };
        let mut bytes_visited = 0;
        let resume = match inline.run(&view, &plan, &mut *visitor, &mut bytes_visited)? {
            End::Exhausted(resume) => resume,
            end @ (End::Done | End::Paused(_)) => return Ok((visitor, end.into())),
        };
        let Ok(permit) = Arc::clone(&self.long_reads).try_acquire_owned() else {
            // A view is not kept across a wait: the slice ends here, and the next one has its turn.
            drop(view);
            return self.pause(visitor, resume).await;
        };
        plan.resume = Some(resume);
        let views = Arc::clone(&self.views);
        let slice = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let _listed = views.list(view.commit());
            let whole = Extent { bytes_max: SLICE_BYTES_MAX, time_max: SLICE_TIME_MAX };
            let end = whole.run(&view, &plan, &mut *visitor, &mut bytes_visited)?;
            Ok((visitor, end.into()))
        });
        match slice.await {
            Ok(result) => result,
            Err(error) if error.is_panic() => panic::resume_unwind(error.into_panic()),
            Err(_) => Err(ReadError::Closed),
        }
    }

    async fn pause(&self, visitor: Box<dyn Visitor>, resume: Resume) -> ReadResult {
        let turn = self.long_reads.acquire().await;
        drop(turn.map_err(|_| ReadError::Closed)?);
        Ok((visitor, Progress::Paused(resume)))
    }
}

/// How far a part of a slice goes.
struct Extent {
    bytes_max: usize,
    time_max: Duration,
}

impl Extent {
    fn run(
        &self,
        view: &Snapshot,
        plan: &Plan,
        visitor: &mut dyn Visitor,
        bytes_visited: &mut usize,
    ) -> Result<End, ReadError> {
        let deadline = clock::now() + self.time_max;
        let mut budget = Budget {
            bytes_max: self.bytes_max,
            bytes_visited: *bytes_visited,
            out_of_time: &mut || clock::now() >= deadline,
        };
        let end = slice::run(view, plan, visitor, &mut budget);
        *bytes_visited = budget.bytes_visited;
        end.map_err(|error| read_error(&error))
    }
}

/// The views that last longer than an inline read, for metrics: number of views by commit.
#[derive(Debug, Default)]
pub(crate) struct Views(Mutex<BTreeMap<u64, u64>>);

/// A view that is on the list until this is dropped.
pub(crate) struct Listed<'v> {
    views: &'v Views,
    commit: u64,
}

impl Views {
    pub(crate) fn list(&self, commit: u64) -> Listed<'_> {
        self.change(|views| *views.entry(commit).or_default() += 1);
        Listed { views: self, commit }
    }

    /// How many there are, and the oldest commit that one of them sees.
    pub(crate) fn count_and_oldest(&self) -> (u64, Option<u64>) {
        self.change(|views| (views.values().sum(), views.keys().next().copied()))
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<u64, u64>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.views.change(|views| {
            if let Some(count) = views.get_mut(&self.commit) {
                *count -= 1;
                if *count == 0 {
                    views.remove(&self.commit);
                }
            }
        });
    }
}
