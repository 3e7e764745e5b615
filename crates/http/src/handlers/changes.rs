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

use std::{collections::VecDeque, time::Duration};

use axum::response::Response;
use http::{HeaderValue, header};
use settle_access::{Grant, Read};
use settle_database::{
    ChangeCursor, ChangeScan, Database, Direction, LeafForm, Moment, Next, StorageError,
    Subscription,
};
use settle_model::sequence::Sequence;
use settle_site::filter::{Judge, Shown};

use self::rows::{Changes, Copies, Whole, Writer, write_passed};
use crate::{
    call::Call,
    documents::{rows::COPIED_BYTES_MAX, times::has_timestamps},
    error::ApiError,
    feed::{self, End, Progress, Rows, Source},
    limits,
    open::open,
    parameters::{ChangesParameters, Feed as Kind, Heartbeat},
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
    let shown = filter::of(&call, &database, &grant, &parameters, body).await?;
    let moment = moment(&database, &grant, &parameters, &shown).await?;
    let end = moment.map_or_else(|| database.sequence(), Moment::sequence);
    let mut etag = None;
    if parameters.feed == Kind::Normal && shown.judge.as_ref().is_none_or(Judge::is_stable) {
        // A sequence stands for all that the list can say.
        let tag = HeaderValue::try_from(format!("\"{}\"", database.token(end)));
        let tag = tag.expect("sequences are ASCII");
        if call.has_current(&tag) {
            return Ok(reply::not_modified(tag));
        }
        etag = Some(tag);
    }
    let (timelines, present) = (database.timelines(), Sequence(database.sequence()));
    let since =
        parameters.since.map_or(Sequence::ZERO, |since| since.resolve_on(timelines, present));
    let direction =
        if parameters.descending { Direction::Descending } else { Direction::Ascending };
    let range = (if parameters.descending { 0 } else { since.0 }, end);
    let few = match moment {
        // What changed since stands elsewhere in the feed now.
        Some(_) => None,
        None => call.app.site.few_changes(&database, &grant, &shown, range).await?,
    };
    let few = few.map(|mut sequences| {
        if parameters.descending {
            sequences.reverse();
        }
        VecDeque::from(sequences)
    });
    let Shown { only, judge } = shown;
    let scan = ChangeScan {
        since: range.0,
        until: end,
        direction,
        content: parameters.include_docs,
        times: parameters.timestamps && has_timestamps(&call, &database).await?,
        only,
    };
    let is_judged = judge.is_some();
    let source = Followed {
        moment,
        few,
        scan,
        judge,
        heartbeat: parameters.heartbeat.map(|heartbeat| match heartbeat {
            Heartbeat::Default => feed::WAIT_MAX,
            Heartbeat::Every(duration) => duration,
        }),
        spoke: call.app.site.clock.monotonic(),
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
    let mut response = if is_judged {
        feed::reply_when_read(&call.app, source, &parameters).await?
    } else {
        feed::reply(&call.app, source, &parameters)?
    };
    if let Some(etag) = etag {
        response.headers_mut().insert(header::ETAG, etag);
    }
    Ok(response)
}

/// The moment at which the feed is looked at; `None` for the present.
async fn moment(
    database: &Database,
    grant: &Grant<Read>,
    parameters: &ChangesParameters,
    shown: &Shown,
) -> Result<Option<Moment>, ApiError> {
    let Some(at) = &parameters.at else { return Ok(None) };
    if parameters.feed != Kind::Normal {
        return Err(ApiError::query("`at` goes with `feed=normal` alone"));
    }
    if shown.judge.is_some() {
        return Err(ApiError::query("`at` goes with `_doc_ids` and `_design` of all filters"));
    }
    Ok(Some(database.moment(grant, at).await?))
}

/// A database's changes from one sequence on.
struct Followed {
    moment: Option<Moment>,
    call: std::sync::Arc<crate::AppState>,
    database: Database,
    grant: Grant<Read>,
    subscription: Subscription,
    /// What is still to be looked at: up to where the database was when that was last asked.
    scan: ChangeScan,
    /// Where changes of that are, while not all of them have been looked at.
    few: Option<VecDeque<u64>>,
    judge: Option<Judge>,
    heartbeat: Option<Duration>,
    /// When a row, or word that there is none, was last handed on.
    spoke: Duration,
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
        if let Some(few) = &mut self.few {
            let Some(sequence) = few.pop_front() else {
                self.few = None;
                return Ok((rows, false));
            };
            let one = ChangeScan { since: sequence - 1, until: sequence, ..self.scan.clone() };
            let (rows, _) = self.take(&one, rows).await?;
            return Ok((rows, true));
        }
        let scan = self.scan.clone();
        let (rows, next) = self.take(&scan, rows).await?;
        let Next::Go(cursor) = next else { return Ok((rows, false)) };
        match self.scan.direction {
            Direction::Ascending => self.scan.since = cursor.at,
            Direction::Descending => self.scan.until = cursor.at - 1,
        }
        Ok((rows, true))
    }

    /// Writes what one slice of `scan` finds.
    async fn take(
        &mut self,
        scan: &ChangeScan,
        rows: Rows,
    ) -> Result<(Rows, Next<ChangeCursor>), ApiError> {
        if self.judge.is_some() {
            return self.take_judged(scan, rows).await;
        }
        let Self { database, grant, moment, .. } = self;
        let changes = std::mem::take(&mut self.rows);
        if scan.content && changes.needs_copies() {
            let copies = Copies::new(changes, self.left);
            let (copies, next) = match moment {
                None => database.scan_changes(grant, scan, copies).await?,
                Some(moment) => database.scan_changes_at(grant, *moment, scan, copies).await?,
            };
            let (mut changes, copied) = copies.into_parts();
            let mut rows = rows;
            for copy in copied {
                copy.write(&mut changes, self.call.site.store.blobs(), &mut rows).await?;
                self.left -= 1;
                self.sent += 1;
                self.last = copy.sequence;
            }
            self.rows = changes;
            return Ok((rows, next));
        }
        let before = rows.count();
        let writer = Writer::new(changes, rows, self.left, self.last);
        let (writer, next) = match moment {
            None => database.scan_changes(grant, scan, writer).await?,
            Some(moment) => database.scan_changes_at(grant, *moment, scan, writer).await?,
        };
        let (changes, rows, last) = writer.into_parts();
        let count = rows.count() - before;
        self.left -= count;
        self.sent += count;
        self.last = last;
        self.rows = changes;
        Ok((rows, next))
    }

    /// The same, of what a judge lets through.
    async fn take_judged(
        &mut self,
        scan: &ChangeScan,
        mut rows: Rows,
    ) -> Result<(Rows, Next<ChangeCursor>), ApiError> {
        let Some(judge) = &self.judge else { return Ok((rows, Next::Done)) };
        let form = LeafForm {
            all: self.rows.shows_all(),
            ancestors: judge.ancestors(),
            count_max: limits::FILTERED_COUNT_MAX,
            bytes_max: COPIED_BYTES_MAX,
        };
        let (changes, next) = self.database.scan_leaves(&self.grant, scan, form).await?;
        let documents = changes.iter().flat_map(|change| change.documents.iter().cloned());
        let passed = judge.ask(documents.collect()).await?;
        let mut passed = passed.into_iter();
        let whole = scan
            .content
            .then(|| Whole { blobs: self.call.site.store.blobs(), fields: judge.fields() });
        for change in changes {
            let leaves = change.leaves.iter().take(change.documents.len()).zip(passed.by_ref());
            let leaves: Vec<_> =
                leaves.filter(|(_, passed)| *passed).map(|(leaf, _)| leaf.clone()).collect();
            if leaves.is_empty() {
                continue;
            }
            write_passed(&mut self.rows, &mut rows, &change, &leaves, scan.times, whole).await?;
            self.left -= 1;
            self.sent += 1;
            self.last = change.sequence;
            if self.left == 0 {
                break;
            }
        }
        Ok((rows, next))
    }

    /// What to say while there is more to look at.
    fn more(&mut self, has_rows: bool) -> Progress {
        let now = self.call.site.clock.monotonic();
        if has_rows {
            self.spoke = now;
            return Progress::More;
        }
        match self.heartbeat {
            Some(pace) if now.saturating_sub(self.spoke) >= pace => {
                self.spoke = now;
                Progress::Quiet
            }
            Some(_) | None => Progress::More,
        }
    }

    /// The last row there may be has been sent.
    async fn ended(&mut self) -> Result<Progress, StorageError> {
        if self.moment.is_some() {
            // Nobody has counted what there was.
            return Ok(Progress::Ended);
        }
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
            if self.scan.direction == Direction::Ascending && self.few.is_none() {
                self.scan.until = self.database.sequence();
            }
        }
        let before = rows.count();
        let mut looked_at = 0;
        loop {
            let more;
            (rows, more) = self.slice(rows).await?;
            looked_at += 1;
            if self.left == 0 {
                return Ok((rows, self.ended().await?));
            }
            if !more {
                return Ok((rows, self.caught_up()));
            }
            // One by one, some are looked at together.
            if self.few.is_some() && looked_at < limits::FILTERED_COUNT_MAX && !rows.is_full() {
                continue;
            }
            // What a filter of ids leaves out is passed over at once; asking a judge takes longer.
            let has_rows = rows.count() > before;
            if has_rows || self.judge.is_some() {
                return Ok((rows, self.more(has_rows)));
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
