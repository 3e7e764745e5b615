//! Indexes beside a store in memory: what an index shows is what its documents make, whatever
//! happened on the way.

mod asking;
mod beside;
mod builds;
mod changes;
mod counting;
mod damage;
mod finds;
mod gate;
mod invoices;
mod lives;
mod world;

use std::{future::Future, time::Duration};

/// Until a condition holds, which has to be soon.
async fn world_waits<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) {
    let holds = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), holds).await.expect("the condition holds soon");
}
