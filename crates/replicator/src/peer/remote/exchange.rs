//! One request and its reply.
//!
//! Redirects are followed as CouchDB's replicator does: the method and the body stay, but for 303, which asks
//! for a `GET`. Credentials and headers of the job go to the origin that the job names, and nowhere else:
//! once a redirect has led to another one, they are left out for good.
//!
//! Bodies of replies are read up to a bound. Whatever moves, either way, is told as progress.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use reqwest::{Body, Client, Url};
use settle_model::time::Timestamp;
use settle_sync::replication::Failure;
use tokio::sync::Notify;

use super::{
    failure::{self, broken},
    related::Related,
};
use crate::{
    limits::{PROBLEM_BYTES_MAX, REDIRECTS_MAX, UPLOAD_PIECE_BYTES},
    peer::Progress,
};

/// A request as it may be sent several times.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) url: Url,
    /// Of this kind of request.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Payload,
}

#[derive(Debug)]
pub(super) enum Payload {
    Nothing,
    Json(Bytes),
    /// A document and the attachments behind it.
    Related(Related),
}

/// What only the origin of the job may be told.
#[derive(Debug)]
pub(super) struct Secrets {
    /// Those of the job, and who asks.
    pub(super) headers: HeaderMap,
}

/// A reply whose body has not been read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) response: reqwest::Response,
}

/// A body as far as it came.
#[derive(Debug)]
pub(super) struct Collected {
    pub(super) bytes: Bytes,
    pub(super) end: End,
}

#[derive(Debug)]
pub(super) enum End {
    Whole,
    /// There is more than may be read.
    TooLong,
    Lost(Failure),
}

impl Asked {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: Vec::new(), body: Payload::Nothing }
    }

    #[must_use]
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    #[must_use]
    pub(super) fn json(self, body: Vec<u8>) -> Self {
        Self { body: Payload::Json(body.into()), ..self }
    }

    /// Asks, and follows where the peer points.
    pub(super) async fn send(
        mut self,
        client: &Client,
        secrets: &Secrets,
        progress: &Progress<'_>,
    ) -> Result<Answer, Failure> {
        let home = self.url.origin();
        let mut is_home = true;
        for _ in 0..=REDIRECTS_MAX {
            let response = self.send_once(client, is_home.then_some(secrets), progress).await?;
            let status = response.status();
            let target = match status.as_u16() {
                301 | 302 | 303 | 307 | 308 => redirected(&self.url, response.headers())?,
                _ => {
                    let headers = response.headers().clone();
                    return Ok(Answer { status, headers, response });
                }
            };
            if status == StatusCode::SEE_OTHER && self.method != Method::HEAD {
                (self.method, self.body) = (Method::GET, Payload::Nothing);
            }
            is_home &= target.origin() == home;
            self.url = target;
        }
        Err(broken(&format!("the peer redirects more than {REDIRECTS_MAX} times")))
    }

    async fn send_once(
        &self,
        client: &Client,
        secrets: Option<&Secrets>,
        progress: &Progress<'_>,
    ) -> Result<reqwest::Response, Failure> {
        let moved = Arc::new(Notify::new());
        let request = client.request(self.method.clone(), self.url.clone());
        let mut headers = secrets.map(|it| it.headers.clone()).unwrap_or_default();
        headers.extend(self.headers.iter().cloned());
        headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        let request = self.body.add_to(request.headers(headers), &moved);
        let reply = request.send();
        tokio::pin!(reply);
        loop {
            tokio::select! {
                reply = &mut reply => return reply.map_err(failure::of_network),
                () = moved.notified() => progress(),
            }
        }
    }
}

impl Payload {
    /// `moved` is notified of each piece that is taken to be sent.
    fn add_to(
        &self,
        request: reqwest::RequestBuilder,
        moved: &Arc<Notify>,
    ) -> reqwest::RequestBuilder {
        // Some servers and proxies want to know how long a body is, so none is sent in chunks.
        match self {
            Self::Nothing => request,
            Self::Json(bytes) => request
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::CONTENT_LENGTH, bytes.len())
                .body(in_pieces(bytes.clone(), moved.clone())),
            Self::Related(related) => {
                let moved = moved.clone();
                let bytes = related.read().inspect(move |_| moved.notify_one());
                request
                    .header(header::CONTENT_TYPE, related.content_type())
                    .header(header::CONTENT_LENGTH, related.length())
                    .body(Body::wrap_stream(bytes))
            }
        }
    }
}

fn in_pieces(mut bytes: Bytes, moved: Arc<Notify>) -> Body {
    if bytes.len() <= UPLOAD_PIECE_BYTES {
        return Body::from(bytes);
    }
    Body::wrap_stream(stream::iter(std::iter::from_fn(move || {
        moved.notify_one();
        let piece = bytes.split_to(UPLOAD_PIECE_BYTES.min(bytes.len()));
        (!piece.is_empty()).then_some(Ok::<_, std::convert::Infallible>(piece))
    })))
}

fn redirected(from: &Url, headers: &HeaderMap) -> Result<Url, Failure> {
    let location = headers.get(header::LOCATION).and_then(|it| it.to_str().ok());
    let location = location.ok_or_else(|| broken("the peer redirects, and does not say where"))?;
    let target = from.join(location).ok().filter(|it| matches!(it.scheme(), "http" | "https"));
    let Some(mut target) = target else {
        return Err(broken("the peer redirects to what is no address of a peer"));
    };
    if from.scheme() == "https" && target.scheme() == "http" {
        return Err(broken("the peer redirects from https to http, where anybody could listen"));
    }
    // A user in there would be the peer's word on who asks.
    let has_user = !target.username().is_empty() || target.password().is_some();
    if has_user && (target.set_username("").is_err() || target.set_password(None).is_err()) {
        return Err(broken("the peer redirects to what is no address of a peer"));
    }
    Ok(target)
}

impl Answer {
    /// The reply, if its status is one of these.
    pub(super) async fn expect(
        self,
        statuses: &[u16],
        now: Timestamp,
        progress: &Progress<'_>,
    ) -> Result<Self, Failure> {
        if statuses.contains(&self.status.as_u16()) {
            return Ok(self);
        }
        let (status, headers) = (self.status, self.headers.clone());
        let body = self.collect(PROBLEM_BYTES_MAX, progress).await.bytes;
        Err(failure::of_status(status, &headers, &body, now))
    }

    /// The body, up to `bytes_max`.
    pub(super) async fn collect(mut self, bytes_max: usize, progress: &Progress<'_>) -> Collected {
        let mut bytes = BytesMut::new();
        let end = loop {
            match self.response.chunk().await {
                Ok(None) => break End::Whole,
                Ok(Some(chunk)) => {
                    progress();
                    let room = bytes_max - bytes.len();
                    bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
                    if chunk.len() > room {
                        break End::TooLong;
                    }
                }
                Err(error) => break End::Lost(failure::of_network(error)),
            }
        };
        Collected { bytes: bytes.freeze(), end }
    }

    /// The whole body, which must not be longer than `bytes_max`.
    pub(super) async fn whole(
        self,
        bytes_max: usize,
        progress: &Progress<'_>,
    ) -> Result<Bytes, Failure> {
        let collected = self.collect(bytes_max, progress).await;
        match collected.end {
            End::Whole => Ok(collected.bytes),
            End::TooLong => {
                Err(broken(&format!("the peer's reply is longer than {bytes_max} bytes")))
            }
            End::Lost(failure) => Err(failure),
        }
    }
}
