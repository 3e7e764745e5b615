//! Lets the past go: comes by each database whose replaced revisions have outlived the grace.
//!
//! A database with something to forget has one row in the sweep queue, ordered by time, so that
//! idle databases cost nothing. Its own writer does the forgetting, in small commits.

use std::{sync::Arc, time::Duration};

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

/// Visits what is due; how long until the next row is, if there is one.
async fn sweep(shared: &Arc<Shared>) -> Result<Option<Duration>, StorageError> {
    let store = Store { shared: shared.clone() };
    loop {
        let scan = Scan::prefix(&keys::sweeps(), Direction::Ascending);
        let first = shared.engine.read(Plan::new(vec![Step::Scan(scan)]), First(None)).await?.0.0;
        let Some((due, number)) = first else { return Ok(None) };
        let now = shared.clock.now();
        if due > now {
            return Ok(Some(due.since(now)));
        }
        if shared.tasks.is_stopping() {
            return Ok(None);
        }
        let database = match read_live(&*shared.engine, Keys { number }).await? {
            Some(live) => match live.name.parse::<DatabaseName>() {
                Ok(name) => store.find(&name).await?.filter(|it| it.number() == number),
                Err(_) => None,
            },
            None => None,
        };
        match database {
            Some(database) => database.sweep(due).await?,
            None => forget(shared, due, number).await,
        }
    }
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
