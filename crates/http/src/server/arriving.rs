//! A request's body, whose sender may be slow, but not too slow.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use thiserror::Error;

use super::pace::{Pace, Patience};

#[derive(Debug)]
pub(super) struct Arriving {
    body: Incoming,
    patience: Patience,
}

/// Why a body ended before its end.
#[derive(Debug, Error)]
pub(crate) enum ArrivalError {
    #[error("the body arrived too slowly")]
    TooSlow,
    #[error("the connection failed")]
    Broken(#[source] hyper::Error),
}

impl Arriving {
    pub(super) fn new(body: Incoming, pace: Pace) -> Self {
        Self { body, patience: Patience::new(pace) }
    }
}

impl ArrivalError {
    /// Axum's bodies wrap the errors of those they are made of.
    pub(crate) fn of(error: &axum::Error) -> Option<&Self> {
        std::error::Error::source(error)?.downcast_ref()
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = ArrivalError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ArrivalError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(frame) => {
                let data = frame.as_ref().and_then(|it| it.as_ref().ok()?.data_ref());
                this.patience.moved(data.map_or(0, Bytes::len));
                Poll::Ready(frame.map(|it| it.map_err(ArrivalError::Broken)))
            }
            Poll::Pending => {
                ready!(this.patience.wait(context));
                Poll::Ready(Some(Err(ArrivalError::TooSlow)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
