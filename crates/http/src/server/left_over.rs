//! What nobody reads of a request's body.
//!
//! Many clients read no answer before all of the body is sent. A server that answers early and closes the connection is
//! for them one that cannot be reached: what it said is lost with the connection. So the rest is taken and thrown
//! away, within bounds, beside the answer. On HTTP/1 alone: HTTP/2 says by itself that no more is wanted.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{sync::Notify, time::timeout};

use crate::limits::{LEFT_OVER_BYTES_MAX, LEFT_OVER_PAUSE, LEFT_OVER_WAIT};

/// What is left over on one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct LeftOver(Arc<Heap>);

#[derive(Debug, Default)]
struct Heap {
    /// One at most: the next request comes behind it.
    body: Mutex<Option<Incoming>>,
    came: Notify,
}

impl LeftOver {
    pub(super) fn take(&self, body: Incoming) {
        *self.body() = Some(body);
        self.0.came.notify_one();
    }

    /// Reads all that is taken, as long as the connection lives.
    pub(super) async fn throw_away(&self) -> Infallible {
        loop {
            self.0.came.notified().await;
            let body = self.body().take();
            if let Some(body) = body {
                // What is too long or too slow ends with the connection.
                drop(timeout(LEFT_OVER_WAIT, read(body)).await);
            }
        }
    }

    fn body(&self) -> MutexGuard<'_, Option<Incoming>> {
        self.0.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(mut body: Incoming) {
    let mut bytes = 0;
    while bytes < LEFT_OVER_BYTES_MAX {
        let Ok(Some(Ok(frame))) = timeout(LEFT_OVER_PAUSE, body.frame()).await else { return };
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
}
