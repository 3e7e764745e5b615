//! Connections on which nothing is asked.
//!
//! On HTTP/1 the wait for the next request's headers ends those. What remains is a client that has not
//! said yet which protocol it speaks, and one of HTTP/2, where waiting for a request is no state.

use std::{
    future::pending,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use http::Version;
use tokio::time::sleep;

/// In the place of a count: this connection is HTTP/1, which has a limit of its own.
const HTTP_1: u64 = u64::MAX;

/// The requests of a connection.
#[derive(Debug, Default)]
pub(super) struct Requests(AtomicU64);

impl Requests {
    pub(super) fn begin(&self, version: Version) {
        if version < Version::HTTP_2 {
            self.0.store(HTTP_1, Ordering::Relaxed);
        } else {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// Ends when no request has begun for `wait`, and for twice as long at most.
    pub(super) async fn none_for(&self, wait: Duration) {
        let mut before = self.0.load(Ordering::Relaxed);
        loop {
            sleep(wait).await;
            match self.0.load(Ordering::Relaxed) {
                HTTP_1 => pending::<()>().await,
                now if now == before => return,
                now => before = now,
            }
        }
    }
}
