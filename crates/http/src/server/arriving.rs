//! A request's body, whose sender may be slow, but not too slow.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use thiserror::Error;

use super::{
    left_over::LeftOver,
    pace::{Pace, Patience},
};

#[derive(Debug)]
pub(super) struct Arriving {
    /// `None` when this is dropped.
    body: Option<Incoming>,
    patience: Patience,
    /// Who takes what is not read; nobody where it will not be sent.
    left_over: Option<LeftOver>,
    /// Whether the client waits to be asked for it (`Expect: 100-continue`), which the first read does.
    waits: bool,
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
    pub(super) fn new(
        body: Incoming,
        pace: Pace,
        left_over: Option<LeftOver>,
        waits: bool,
    ) -> Self {
        Self { body: Some(body), patience: Patience::new(pace), left_over, waits }
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        if let Some(left_over) = self.left_over.take()
            && !self.waits
        {
            left_over.take(body);
        }
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
        this.waits = false;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        match Pin::new(body).poll_frame(context) {
            Poll::Ready(frame) => {
                let data = frame.as_ref().and_then(|it| it.as_ref().ok()?.data_ref());
                this.patience.moved(data.map_or(0, Bytes::len));
                Poll::Ready(frame.map(|it| it.map_err(ArrivalError::Broken)))
            }
            Poll::Pending => {
                ready!(this.patience.wait(context));
                this.left_over = None;
                Poll::Ready(Some(Err(ArrivalError::TooSlow)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}
