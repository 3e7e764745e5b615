//! What nobody reads of a request's body.
//!
//! Many clients read no answer before all of the body is sent. A server that answers early and closes the connection is
//! for them one that cannot be reached: what it said is lost with the connection. So the rest is taken and thrown
//! away, within bounds, beside the answer. On HTTP/1 alone: HTTP/2 says by itself that no more is wanted.

use std::{convert::Infallible, future::pending};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};

use crate::limits::{LEFT_OVER_BYTES_MAX, LEFT_OVER_PAUSE, LEFT_OVER_WAIT};

/// Takes bodies of one connection.
#[derive(Debug, Clone)]
pub(super) struct LeftOver(UnboundedSender<Incoming>);

/// Those that were taken.
#[derive(Debug)]
pub(super) struct Heap(UnboundedReceiver<Incoming>);

pub(super) fn left_over() -> (LeftOver, Heap) {
    // There is never more than one: the next request comes behind the body.
    let (sender, receiver) = unbounded_channel();
    (LeftOver(sender), Heap(receiver))
}

impl LeftOver {
    pub(super) fn take(&self, body: Incoming) {
        // Where the connection has ended, nothing comes any more.
        drop(self.0.send(body));
    }
}

impl Heap {
    /// Reads all of it, as long as the connection lives.
    pub(super) async fn throw_away(mut self) -> Infallible {
        while let Some(body) = self.0.recv().await {
            // What is too long or too slow ends with the connection.
            drop(timeout(LEFT_OVER_WAIT, read(body)).await);
        }
        pending().await
    }
}

async fn read(mut body: Incoming) {
    let mut bytes = 0;
    while bytes < LEFT_OVER_BYTES_MAX {
        let Ok(Some(Ok(frame))) = timeout(LEFT_OVER_PAUSE, body.frame()).await else { return };
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
}
