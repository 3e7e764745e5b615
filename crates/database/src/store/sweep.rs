//! Lets the past go: comes by each database whose replaced revisions have outlived the grace.
//!
//! A database with something to forget has one row in the sweep queue, ordered by time, so that
//! idle databases cost nothing. Its own writer does the forgetting, in small commits.

use std::{ops::Bound, sync::Arc, time::Duration};

use settle_engine::{Batch, Direction, Plan, Scan, Step, Urgency, Visit, Visitor};
use settle_model::{id::DatabaseName, time::Timestamp};
use tokio::sync::Notify;

use crate::{
    error::StorageError,
    keys::{self, Keys},
    store::{Shared, Store, read_live},
};

/// How long the sweeper sleeps when nothing is due; a new row wakes it only if it is due earlier.
const SLEEP_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct Signal {
    queued: Notify,
}

impl Signal {
    /// A row was queued that is due sooner than the sweeper's longest sleep.
    pub(crate) fn wake(&self) {
        self.queued.notify_one();
    }
}

pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        let sleep = match sweep(&shared).await {
            Ok(next) => next.unwrap_or(SLEEP_MAX).min(SLEEP_MAX),
            Err(error) => {
                tracing::warn!(%error, "could not let old revisions go");
                SLEEP_MAX
            }
        };
        tokio::select! {
            () = shared.tasks.stopping() => return,
            () = shared.sweep.queued.notified() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// Visits what is due; how long until the next row is, if there is one. A database that cannot be
/// swept keeps its row for the next round, and does not hold up the others.
async fn sweep(shared: &Arc<Shared>) -> Result<Option<Duration>, StorageError> {
    let mut passed = keys::sweeps();
    while let Some((due, number)) = first_after(shared, passed).await? {
        let now = shared.clock.now();
        if due > now {
            return Ok(Some(due.since(now)));
        }
        if shared.tasks.is_stopping() {
            return Ok(None);
        }
        if let Err(error) = visit(shared, due, number).await {
            tracing::warn!(database = number, %error, "could not let old revisions go");
        }
        passed = keys::sweep(due, number);
    }
    Ok(None)
}

async fn first_after(
    shared: &Shared,
    passed: Vec<u8>,
) -> Result<Option<(Timestamp, u64)>, StorageError> {
    let all = Scan::prefix(&keys::sweeps(), Direction::Ascending);
    let scan = Scan { start: Bound::Excluded(passed), ..all };
    let plan = Plan::new(vec![Step::Scan(scan)]);
    Ok(shared.engine.read_to_end(plan, First(None)).await?.0)
}

async fn visit(shared: &Arc<Shared>, due: Timestamp, number: u64) -> Result<(), StorageError> {
    let live = read_live(&*shared.engine, Keys { number }).await?;
    // A name that is not one can only be left by damage, which reads report.
    let name = live.and_then(|live| DatabaseName::from_catalog(&live.name).ok());
    let store = Store { shared: shared.clone() };
    let database = match name {
        Some(name) => store.find(&name).await?.filter(|it| it.number() == number),
        None => None,
    };
    match database {
        Some(database) => match database.sweep(due).await {
            // It was dropped in this moment.
            Err(StorageError::Gone) => forget(shared, due, number).await,
            result => return result,
        },
        None => forget(shared, due, number).await,
    }
    Ok(())
}

async fn forget(shared: &Shared, due: Timestamp, number: u64) {
    let mut batch = Batch { urgency: Urgency::Background, ..Batch::default() };
    batch.delete(keys::sweep(due, number));
    let outcome = shared.engine.commit(batch).await;
    tracing::debug!(database = number, ?outcome, "took a dropped database from the sweep queue");
}

struct First(Option<(Timestamp, u64)>);

impl Visitor for First {
    fn visit(&mut self, _: usize, key: &[u8], _: Option<&[u8]>) -> Visit {
        self.0 = keys::sweep_of(key);
        Visit::Stop
    }
}
