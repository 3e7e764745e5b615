//! Indexes beside a store in memory: what an index shows is what its documents make, whatever
//! happened on the way.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod beside;
mod builds;
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
