//! Feeds: rows that are there, and rows that come.
//!
//! How rows are framed and how long a feed waits is the same for the changes of a database and for the
//! events of the site; where rows come from is a [`Source`].
//!
//! | kind | a row | between rows | at the end | heartbeat |
//! |---|---|---|---|---|
//! | normal, longpoll | JSON | `,\r\n` | `\n],\n"last_seq":…,"pending":…}\n\n` | `\n` |
//! | continuous | JSON and `\n` | | `{"last_seq":…,"pending":…}\n` | `\n` |
//! | eventsource | `data: ` JSON, `\nid: ` sequence, `\n\n` | | `\n` | `event: heartbeat\ndata: \n\n` |
//!
//! A normal feed ends when it has sent all there is; a longpoll then waits if that was nothing; the others
//! wait for more. Waiting ends with a row, with the timeout unless there is a heartbeat, or when the server
//! stops; each time the feed ends with its last line.
//!
//! Source: `chttpd_db:changes_callback/2`, `fabric_view_changes:go/5`.

use std::{future::Future, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use tokio::{sync::OwnedSemaphorePermit, time::sleep};

use crate::{
    error::ApiError,
    parameters::{ChangesParameters, Feed as Kind, Heartbeat},
    reply,
    shutdown::Shutdown,
    state::AppState,
};

/// Where an event source that comes back says where it was.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// CouchDB's `changes_timeout`: the longest wait without a heartbeat, and the pace of heartbeats
/// whose pace was not said.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);

/// The reply of an endpoint that is a feed.
pub(crate) fn reply(
    app: &AppState,
    source: impl Source,
    parameters: &ChangesParameters,
) -> Result<Response, ApiError> {
    Ok(respond(begin(app, source, parameters)?, parameters))
}

/// The same, for a source whose first look may fail because of what was asked for.
pub(crate) async fn reply_when_read(
    app: &AppState,
    source: impl Source,
    parameters: &ChangesParameters,
) -> Result<Response, ApiError> {
    let mut feed = begin(app, source, parameters)?;
    feed.prime().await?;
    Ok(respond(feed, parameters))
}

fn begin<S: Source>(
    app: &AppState,
    source: S,
    parameters: &ChangesParameters,
) -> Result<Feed<S>, ApiError> {
    let place = app.feeds.clone().try_acquire_owned();
    let place = place.map_err(|_| ApiError::busy("Too many feeds are open.", 30))?;
    let mut feed = Feed::new(source, parameters, app.shutdown.clone());
    feed.place = Some(place);
    Ok(feed)
}

fn respond(feed: Feed<impl Source>, parameters: &ChangesParameters) -> Response {
    let mut response = Response::new(feed.into_body());
    let headers = response.headers_mut();
    match parameters.feed {
        Kind::Normal | Kind::LongPoll | Kind::Continuous => {
            headers.insert(header::CONTENT_TYPE, reply::JSON);
        }
        Kind::EventSource => {
            let kind = HeaderValue::from_static("text/event-stream");
            headers.insert(header::CONTENT_TYPE, kind);
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
    }
    response
}

/// Where the rows of a feed come from.
pub(crate) trait Source: Send + 'static {
    /// Writes rows that are there, about [`Rows::is_full`] of them, and gives the writer back.
    fn read(
        &mut self,
        rows: Rows,
    ) -> impl Future<Output = Result<(Rows, Progress), ApiError>> + Send;

    /// Ends when there may be more rows than were read. May be dropped and asked for again.
    fn wait(&mut self) -> impl Future<Output = ()> + Send;

    /// What the last line says.
    fn end(&self) -> End;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There are more rows at once.
    More,
    /// There may be, but so long nothing was found that a client who wants to hear that the feed is alive
    /// shall hear it.
    Quiet,
    /// That was all there is.
    CaughtUp,
    /// There will be no more: the limit is reached, or what was followed is gone.
    Ended,
}

#[derive(Debug)]
pub(crate) struct End {
    pub(crate) last_sequence: String,
    pub(crate) pending: Option<u64>,
}

/// Rows in the form of one kind of feed.
#[derive(Debug)]
pub(crate) struct Rows {
    kind: Kind,
    count: u64,
    text: Vec<u8>,
}

/// A feed that is being sent.
#[derive(Debug)]
pub(crate) struct Feed<S> {
    source: S,
    kind: Kind,
    heartbeat: Option<Duration>,
    timeout: Duration,
    shutdown: Shutdown,
    stage: Stage,
    /// Whether the source has said since the last piece that there may be more.
    woken: bool,
    /// Of rows, over the whole feed.
    count: u64,
    /// Among the feeds that may be open at one time.
    place: Option<OwnedSemaphorePermit>,
    /// What was read before the reply began.
    primed: Option<(Rows, Progress)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Begin,
    Read,
    Wait,
    Done,
}

/// Bytes of rows after which a piece is sent.
const PIECE: usize = 64 << 10;

impl Rows {
    /// `sequence` as it stands in the row, its quotes included.
    pub(crate) fn push(&mut self, sequence: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        match self.kind {
            Kind::Normal | Kind::LongPoll => {
                if self.count > 0 {
                    self.text.extend_from_slice(b",\r\n");
                }
                write(&mut self.text);
            }
            Kind::Continuous => {
                write(&mut self.text);
                self.text.push(b'\n');
            }
            Kind::EventSource => {
                self.text.extend_from_slice(b"data: ");
                write(&mut self.text);
                self.text.extend_from_slice(b"\nid: ");
                self.text.extend_from_slice(sequence);
                self.text.extend_from_slice(b"\n\n");
            }
        }
        self.count += 1;
    }

    /// Whether what was written should be sent before more is read.
    pub(crate) fn is_full(&self) -> bool {
        self.text.len() >= PIECE
    }

    /// Over the whole feed.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

impl<S: Source> Feed<S> {
    pub(crate) fn new(source: S, parameters: &ChangesParameters, shutdown: Shutdown) -> Self {
        let heartbeat = parameters.heartbeat.map(|heartbeat| match heartbeat {
            Heartbeat::Default => WAIT_MAX,
            Heartbeat::Every(duration) => duration,
        });
        let timeout = parameters.timeout.map_or(WAIT_MAX, |timeout| timeout.min(WAIT_MAX));
        let kind = parameters.feed;
        Self {
            source,
            kind,
            heartbeat,
            timeout,
            shutdown,
            stage: Stage::Begin,
            woken: false,
            count: 0,
            place: None,
            primed: None,
        }
    }

    /// Reads the first rows. What fails here is an error like any other.
    async fn prime(&mut self) -> Result<(), ApiError> {
        let rows = Rows { kind: self.kind, count: 0, text: Vec::new() };
        self.primed = Some(self.source.read(rows).await?);
        Ok(())
    }

    pub(crate) fn into_body(self) -> Body {
        Body::from_stream(futures_util::stream::unfold(self, |mut feed| async move {
            let piece = feed.next_piece().await?;
            Some((piece, feed))
        }))
    }

    async fn next_piece(&mut self) -> Option<Result<Bytes, FeedBroken>> {
        match self.piece().await {
            Ok(piece) => piece.map(|piece| Ok(piece.into())),
            Err(error) => {
                // The head has been sent, so cutting the connection is the only way to say it.
                self.stage = Stage::Done;
                Some(Err(FeedBroken::log(&error)))
            }
        }
    }

    async fn piece(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        let mut text = Vec::new();
        if self.stage == Stage::Begin {
            self.stage = Stage::Read;
            if self.is_object() {
                text.extend_from_slice(b"{\"results\":[\n");
            }
        }
        match self.stage {
            Stage::Begin | Stage::Done => return Ok(None),
            Stage::Read => self.read(&mut text).await?,
            Stage::Wait => self.wait(&mut text).await,
        }
        Ok(Some(text))
    }

    async fn read(&mut self, text: &mut Vec<u8>) -> Result<(), ApiError> {
        let (rows, progress) = match self.primed.take() {
            Some(primed) => primed,
            None => {
                let rows = Rows { kind: self.kind, count: self.count, text: Vec::new() };
                self.source.read(rows).await?
            }
        };
        let grown = rows.count > self.count;
        self.count = rows.count;
        if text.is_empty() {
            *text = rows.text;
        } else {
            text.extend_from_slice(&rows.text);
        }
        let ended = match (progress, self.kind) {
            (Progress::More | Progress::Quiet, _) => false,
            (Progress::Ended, _) | (Progress::CaughtUp, Kind::Normal) => true,
            (Progress::CaughtUp, Kind::LongPoll) => self.count > 0,
            (Progress::CaughtUp, Kind::Continuous | Kind::EventSource) => false,
        };
        if ended || self.shutdown.has_begun() {
            self.finish(text);
        } else if progress == Progress::Quiet && self.heartbeat.is_some() {
            self.beat(text);
        } else if progress == Progress::CaughtUp {
            self.stage = Stage::Wait;
            if !grown && self.kind == Kind::LongPoll {
                text.push(b'\n');
            } else if !grown && self.woken && self.heartbeat.is_some() {
                // What a filter leaves out wakes the feed too; its client hears of that much.
                self.beat(text);
            }
        }
        self.woken = false;
        Ok(())
    }

    async fn wait(&mut self, text: &mut Vec<u8>) {
        let pause = self.heartbeat.unwrap_or(self.timeout);
        tokio::select! {
            biased;
            () = self.shutdown.begun() => self.finish(text),
            () = self.source.wait() => {
                self.stage = Stage::Read;
                self.woken = true;
            }
            () = sleep(pause) => match self.heartbeat {
                None => self.finish(text),
                Some(_) => self.beat(text),
            },
        }
    }

    fn beat(&self, text: &mut Vec<u8>) {
        match self.kind {
            Kind::EventSource => text.extend_from_slice(b"event: heartbeat\ndata: \n\n"),
            Kind::Normal | Kind::LongPoll | Kind::Continuous => text.push(b'\n'),
        }
    }

    fn finish(&mut self, text: &mut Vec<u8>) {
        self.stage = Stage::Done;
        let End { last_sequence, pending } = self.source.end();
        let pending = pending.map(|pending| format!(",\"pending\":{pending}")).unwrap_or_default();
        let end = match self.kind {
            Kind::Normal | Kind::LongPoll => {
                format!("\n],\n\"last_seq\":\"{last_sequence}\"{pending}}}\n\n")
            }
            Kind::Continuous => format!("{{\"last_seq\":\"{last_sequence}\"{pending}}}\n"),
            Kind::EventSource => "\n".to_owned(),
        };
        text.extend_from_slice(end.as_bytes());
    }

    fn is_object(&self) -> bool {
        matches!(self.kind, Kind::Normal | Kind::LongPoll)
    }
}

/// Tells the server that the rest of a reply cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("the feed broke off")]
pub(crate) struct FeedBroken;

impl FeedBroken {
    /// The one place where the failure of a reply that has begun is logged.
    pub(crate) fn log(error: &ApiError) -> Self {
        let cause = error.cause().map(tracing::field::display);
        tracing::error!(reason = error.reason(), cause, "a reply broke off");
        Self
    }
}

#[cfg(test)]
mod tests;
