//! The changes of a database, as a list and as feeds.
//!
//! A normal feed ends where the database was when it began. What waits for more is woken by the
//! database, not by a clock. Every row has its sequence, also with `seq_interval`, which spares
//! CouchDB work that is none here.
//!
//! A sequence that this database never gave out reads as its beginning, so that a client sees rows
//! again rather than misses some. Descending feeds begin at the end, whatever `since` says, and have
//! one.
//!
//! Source: `chttpd_db:handle_changes_req/2`, `fabric_view_changes.erl`, `couch_changes.erl`. Different
//! here: `pending` of a filtered feed that has come to its end is 0, while CouchDB counts what its
//! filter left out.

mod filter;
mod rows;

use axum::response::Response;
use http::{HeaderValue, header};
use settle_access::{Grant, Read};
use settle_database::{ChangeScan, Database, Direction, Next, StorageError, Subscription};
use settle_model::sequence::Sequence;

use self::rows::{Changes, Copies, Writer};
use crate::{
    call::Call,
    error::ApiError,
    feed::{self, End, Progress, Rows, Source},
    open::open,
    parameters::{ChangesParameters, Feed as Kind},
    reply,
};

/// `GET /{db}/_changes`
pub(crate) async fn changes(call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Read>(&call).await?;
    let parameters = ChangesParameters::of_query(call.query(), call.header(feed::LAST_EVENT_ID))?;
    send(call, database, grant, parameters, None).await
}

/// `POST /{db}/_changes`
pub(crate) async fn changes_of_body(mut call: Call) -> Result<Response, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Read>(&call).await?;
    let parameters = ChangesParameters::of_query(call.query(), call.header(feed::LAST_EVENT_ID))?;
    let body = filter::Body::read(&mut call).await?;
    send(call, database, grant, parameters, Some(body)).await
}

async fn send(
    call: Call,
    database: Database,
    grant: Grant<Read>,
    parameters: ChangesParameters,
    body: Option<filter::Body>,
) -> Result<Response, ApiError> {
    let only = filter::of(&database, &grant, &parameters, body).await?;
    let end = database.sequence();
    let mut etag = None;
    if parameters.feed == Kind::Normal {
        // A sequence stands for all that the list can say.
        let tag = HeaderValue::try_from(format!("\"{}\"", database.token(end)));
        let tag = tag.expect("sequences are ASCII");
        if call.has_current(&tag) {
            return Ok(reply::not_modified(tag));
        }
        etag = Some(tag);
    }
    let since = parameters
        .since
        .map_or(Sequence::ZERO, |since| since.resolve(database.timeline(), Sequence(end)));
    let direction =
        if parameters.descending { Direction::Descending } else { Direction::Ascending };
    let source = Followed {
        scan: ChangeScan {
            since: if parameters.descending { 0 } else { since.0 },
            until: end,
            direction,
            content: parameters.include_docs,
            only,
        },
        is_live: parameters.feed != Kind::Normal,
        left: parameters.limit.unwrap_or(u64::MAX),
        last: since.0,
        pending: None,
        sent: 0,
        rows: Changes::new(&database, &parameters),
        subscription: database.subscribe(),
        call: call.app.clone(),
        database,
        grant,
    };
    let mut response = feed::reply(&call.app, source, &parameters)?;
    if let Some(etag) = etag {
        response.headers_mut().insert(header::ETAG, etag);
    }
    Ok(response)
}

/// A database's changes from one sequence on.
struct Followed {
    call: std::sync::Arc<crate::AppState>,
    database: Database,
    grant: Grant<Read>,
    subscription: Subscription,
    /// What is still to be looked at: up to where the database was when that was last asked.
    scan: ChangeScan,
    is_live: bool,
    /// Rows until the limit.
    left: u64,
    /// Up to where a client that has all rows so far has everything.
    last: u64,
    /// How many documents come after that, where it is known.
    pending: Option<u64>,
    sent: u64,
    rows: Changes,
}

impl Followed {
    /// One slice; whether there is more of what was to be looked at.
    async fn slice(&mut self, rows: Rows) -> Result<(Rows, bool), ApiError> {
        let Self { database, grant, scan, .. } = self;
        let changes = std::mem::take(&mut self.rows);
        let next;
        let rows = if scan.content && changes.needs_copies() {
            let copies = Copies::new(changes, self.left);
            let (copies, after) = database.scan_changes(grant, scan, copies).await?;
            next = after;
            let (mut changes, copied) = copies.into_parts();
            let mut rows = rows;
            for copy in copied {
                copy.write(&mut changes, self.call.store.blobs(), &mut rows).await?;
                self.left -= 1;
                self.sent += 1;
                self.last = copy.sequence;
            }
            self.rows = changes;
            rows
        } else {
            let before = rows.count();
            let writer = Writer::new(changes, rows, self.left, self.last);
            let (writer, after) = database.scan_changes(grant, scan, writer).await?;
            next = after;
            let (changes, rows, last) = writer.into_parts();
            let count = rows.count() - before;
            self.left -= count;
            self.sent += count;
            self.last = last;
            self.rows = changes;
            rows
        };
        let Next::Go(cursor) = next else { return Ok((rows, false)) };
        match self.scan.direction {
            Direction::Ascending => self.scan.since = cursor.at,
            Direction::Descending => self.scan.until = cursor.at - 1,
        }
        Ok((rows, true))
    }

    /// The last row there may be has been sent.
    async fn ended(&mut self) -> Result<Progress, StorageError> {
        self.pending = Some(match self.scan.direction {
            Direction::Ascending => self.database.pending(&self.grant, self.last).await?,
            Direction::Descending => {
                self.database.pending(&self.grant, 0).await?.saturating_sub(self.sent)
            }
        });
        Ok(Progress::Ended)
    }

    /// Everything has been looked at.
    fn caught_up(&mut self) -> Progress {
        self.pending = Some(0);
        match self.scan.direction {
            // Backwards there is an end, and one look at it.
            Direction::Descending => Progress::Ended,
            Direction::Ascending => {
                self.last = self.scan.until;
                self.scan.since = self.scan.until;
                Progress::CaughtUp
            }
        }
    }
}

impl Source for Followed {
    async fn read(&mut self, mut rows: Rows) -> Result<(Rows, Progress), ApiError> {
        self.pending = None;
        if self.left == 0 {
            return Ok((rows, self.ended().await?));
        }
        if self.is_live {
            if self.database.is_dropped() {
                self.pending = Some(0);
                return Ok((rows, Progress::Ended));
            }
            if self.scan.direction == Direction::Ascending {
                self.scan.until = self.database.sequence();
            }
        }
        let before = rows.count();
        loop {
            let more;
            (rows, more) = self.slice(rows).await?;
            if self.left == 0 {
                return Ok((rows, self.ended().await?));
            }
            if !more {
                return Ok((rows, self.caught_up()));
            }
            // What a filter leaves out is passed over at once.
            if rows.count() > before {
                return Ok((rows, Progress::More));
            }
        }
    }

    async fn wait(&mut self) {
        // Also ends when the database is dropped, which the next look finds.
        let _: bool = self.subscription.after(self.scan.until).await;
    }

    fn end(&self) -> End {
        let last_sequence = self.database.token(self.last).to_string();
        End { last_sequence, pending: self.pending }
    }
}
