//! Gives back the space of dropped databases, in slices, as background work.

use std::sync::Arc;

use settle_engine::{
    Batch, Cleared, Direction, Outcome, Plan, Scan, Step, Urgency, Visit, Visitor, key,
};
use tokio::sync::Notify;

use crate::{
    error::StorageError,
    keys::{self, Keys},
    limits::{RECLAIM_SLICE_BYTES, RETRY_DELAY},
    store::{Shared, failed},
};

#[derive(Debug, Default)]
pub(super) struct Signal {
    dropped: Notify,
}

impl Signal {
    pub(super) fn wake(&self) {
        self.dropped.notify_one();
    }
}

/// Runs until the store stops. What a stop or a crash interrupts is taken up at the next start.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        let is_done = tokio::select! {
            () = shared.tasks.stopping() => return,
            is_done = reclaim_all(&shared) => is_done,
        };
        let again = async {
            if is_done {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(RETRY_DELAY).await;
        };
        tokio::select! {
            () = shared.tasks.stopping() => return,
            () = shared.reclaim.dropped.notified() => {}
            () = again => {}
        }
    }
}

/// Whether nothing is left. A database that cannot be reclaimed does not hold up the others.
async fn reclaim_all(shared: &Shared) -> bool {
    let waiting = match waiting(shared).await {
        Ok(waiting) => waiting,
        Err(error) => {
            tracing::warn!(%error, "could not look for dropped databases");
            return false;
        }
    };
    let mut is_done = true;
    for number in waiting {
        if let Err(error) = reclaim(shared, number).await {
            tracing::warn!(database = number, %error, "could not reclaim a dropped database");
            is_done = false;
        }
    }
    is_done
}

async fn reclaim(shared: &Shared, number: u64) -> Result<(), StorageError> {
    let keys = Keys { number };
    while shared.blobs.release_all(number, RECLAIM_SLICE_BYTES).await? {}
    let start = keys.all();
    let end = key::after_prefix(&start).expect("a number's first byte is at most 8");
    while shared.engine.clear(start.clone(), end.clone(), RECLAIM_SLICE_BYTES).await?
        == Cleared::More
    {}
    let mut batch = Batch { urgency: Urgency::Background, ..Batch::default() };
    batch.delete(keys::reclaim(number));
    match shared.engine.commit(batch).await {
        Outcome::Committed => Ok(()),
        outcome @ (Outcome::Refused { .. }
        | Outcome::NotApplied { .. }
        | Outcome::Unknown { .. }) => Err(failed(outcome)),
    }
}

async fn waiting(shared: &Shared) -> Result<Vec<u64>, StorageError> {
    let scan = Scan::prefix(&keys::reclaims(), Direction::Ascending);
    let plan = Plan::new(vec![Step::Scan(scan)]);
    Ok(shared.engine.read_to_end(plan, Numbers(Vec::new())).await?.0)
}

struct Numbers(Vec<u64>);

impl Visitor for Numbers {
    fn visit(&mut self, _: usize, key: &[u8], _: Option<&[u8]>) -> Visit {
        self.0.extend(keys::reclaim_database(key));
        Visit::Next
    }
}
