//! Gives back the space of dropped databases, in slices, as background work.

use std::sync::Arc;

use settle_engine::{Batch, Cleared, Direction, Plan, Scan, Step, Visit, Visitor, key};
use tokio::sync::Notify;

use crate::{
    error::StorageError,
    keys::{self, Keys},
    limits::RECLAIM_SLICE_BYTES,
    store::Shared,
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
        tokio::select! {
            () = shared.tasks.stopping() => return,
            result = reclaim_all(&shared) => {
                if let Err(error) = result {
                    tracing::warn!(%error, "could not reclaim a dropped database");
                }
            }
        }
        tokio::select! {
            () = shared.tasks.stopping() => return,
            () = shared.reclaim.dropped.notified() => {}
        }
    }
}

async fn reclaim_all(shared: &Shared) -> Result<(), StorageError> {
    for number in waiting(shared).await? {
        let keys = Keys { number };
        while shared.blobs.release_all(number, RECLAIM_SLICE_BYTES).await? {}
        let start = keys.all();
        let end = key::after_prefix(&start).expect("a number's first byte is at most 8");
        loop {
            let (start, end) = (start.clone(), end.clone());
            match shared.engine.clear(start, end, RECLAIM_SLICE_BYTES).await? {
                Cleared::Done => break,
                Cleared::More => {}
            }
        }
        let mut batch = Batch { urgency: settle_engine::Urgency::Background, ..Batch::default() };
        batch.delete(keys::reclaim(number));
        // Should this not be applied, the next round finds an empty range and comes here again.
        let outcome = shared.engine.commit(batch).await;
        tracing::debug!(database = number, ?outcome, "reclaimed a dropped database");
    }
    Ok(())
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
