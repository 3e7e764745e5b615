//! Endpoints over all databases: their names, information on many, what happened to them.
//!
//! Source: `chttpd_misc:handle_all_dbs_req/1`, `handle_dbs_info_req/1`; `global_changes_httpd.erl`.

use std::ops::Bound;

use axum::{body::Body, response::Response};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use settle_access::{Grant, Inspect, Read};
use settle_database::{Direction, EventKind, EventScan, NameScan, StorageError, Store};
use settle_model::sequence::{Sequence, Timeline};
use settle_site::DatabaseInfo;

use crate::{
    call::Call,
    error::{ApiError, Code},
    etag,
    feed::{self, End, FeedBroken, Progress, Rows, Source},
    limits,
    parameters::{ChangesParameters, Key, ViewParameters},
    reply,
};

/// Rows of `_db_updates` that are read at one time.
const EVENTS_AT_ONCE: usize = 500;

/// `GET /_all_dbs`
pub(crate) async fn all(call: Call) -> Result<Response, ApiError> {
    let grant = call.authorize::<Inspect>(call.server()?)?;
    let names = names(&call, &grant).await?;
    let body = reply::to_json(&names);
    let etag = etag::of(&body);
    if call.has_current(&etag) {
        return Ok(reply::not_modified(etag));
    }
    let mut response = reply::json_text(StatusCode::OK, body);
    response.headers_mut().insert(header::ETAG, etag);
    Ok(response)
}

/// `GET /_dbs_info`
pub(crate) async fn info_of_range(call: Call) -> Result<Response, ApiError> {
    let grant = call.authorize::<Inspect>(call.server()?)?;
    let names = names(&call, &grant).await?;
    // One after the other, while they are sent: there may be a million.
    let rows = Infos { call, names: names.into_iter(), began: false, ended: false };
    let body = Body::from_stream(futures_util::stream::unfold(rows, |mut rows| async move {
        let piece = rows.next_piece().await?;
        Some((piece, rows))
    }));
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, reply::JSON);
    Ok(response)
}

/// `POST /_dbs_info`
pub(crate) async fn info_of_keys(mut call: Call) -> Result<Response, ApiError> {
    #[derive(Deserialize)]
    struct Keys {
        keys: Option<Vec<String>>,
    }
    call.authorize::<Inspect>(call.server()?)?;
    call.require_json()?;
    let Keys { keys } = call.json("`keys` member must be an array.").await?;
    let keys = keys.ok_or_else(|| ApiError::bad_request("`keys` member must exist."))?;
    if keys.len() > limits::DBS_INFO_KEYS_MAX {
        return Err(ApiError::bad_request("too_many_keys"));
    }
    let mut text = b"[".to_vec();
    for (at, key) in keys.iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        if !write_info(&call, key, &mut text).await? {
            #[derive(Serialize)]
            struct Missing<'a> {
                key: &'a str,
                error: &'static str,
            }
            write_json(&mut text, &Missing { key, error: Code::NotFound.as_str() });
        }
    }
    text.extend_from_slice(b"]\n");
    Ok(reply::json_text(StatusCode::OK, text))
}

/// `GET /_db_updates`
pub(crate) async fn updates(call: Call) -> Result<Response, ApiError> {
    let grant = call.authorize::<Inspect>(call.server()?)?;
    let parameters = ChangesParameters::of_query(call.query(), call.header(feed::LAST_EVENT_ID))?;
    let store = call.app.site.store.clone();
    let timeline = site_timeline(&store);
    let newest =
        EventScan { since: 0, until: u64::MAX, direction: Direction::Descending, limit: 1 };
    let end = store.events(&grant, newest).await?.end;
    let since = parameters.since.map_or(Sequence::ZERO, |it| it.resolve(timeline, Sequence(end)));
    let source = Updates {
        store,
        grant,
        timeline,
        since: if parameters.descending { 0 } else { since.0 },
        until: u64::MAX,
        last: since.0,
        left: parameters.limit.unwrap_or(u64::MAX),
        direction: if parameters.descending { Direction::Descending } else { Direction::Ascending },
    };
    feed::reply(&call.app, source, &parameters)
}

async fn names(call: &Call, grant: &Grant<Inspect>) -> Result<Vec<String>, ApiError> {
    let scan = name_scan(&ViewParameters::of_query(call.query())?);
    Ok(call.app.site.store.names(grant, scan).await?)
}

/// Keys that are no texts sort before all names or after them, as JSON values do.
fn name_scan(parameters: &ViewParameters) -> NameScan {
    let bound = |key: &Option<Key>, inclusive| match key.as_ref().map(Key::value) {
        None => Bound::Unbounded,
        Some(Value::String(name)) if inclusive => Bound::Included(name),
        Some(Value::String(name)) => Bound::Excluded(name),
        Some(Value::Array(_) | Value::Object(_)) => Bound::Included("\u{10FFFF}".to_owned()),
        Some(Value::Null | Value::Bool(_) | Value::Number(_)) => Bound::Included(String::new()),
    };
    let first = bound(&parameters.start_key, true);
    let last = bound(&parameters.end_key, parameters.inclusive_end);
    let (start, end, direction) = if parameters.descending {
        (last, first, Direction::Descending)
    } else {
        (first, last, Direction::Ascending)
    };
    let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    NameScan {
        start,
        end,
        direction,
        skip: number(parameters.skip),
        limit: parameters.limit.map_or(usize::MAX, number),
    }
}

/// Whether there is such a database; if so, its row was written.
async fn write_info(call: &Call, name: &str, text: &mut Vec<u8>) -> Result<bool, ApiError> {
    #[derive(Serialize)]
    struct Row<'a> {
        key: &'a str,
        info: DatabaseInfo<'a>,
    }
    let Ok(parsed) = call.database_name(name) else { return Ok(false) };
    let Some(database) = call.app.site.store.find(&parsed).await? else { return Ok(false) };
    let grant = call.authorize::<Read>(database.resource())?;
    let info = match database.info(&grant).await {
        Ok(info) => info,
        // Dropped in between.
        Err(StorageError::Gone) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let info = DatabaseInfo::new(&database, &info);
    write_json(text, &Row { key: name, info });
    Ok(true)
}

fn write_json(text: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(text, value).expect("rows have text keys and finite numbers");
}

/// The rows of `GET /_dbs_info`, as they are sent.
struct Infos {
    call: Call,
    names: std::vec::IntoIter<String>,
    began: bool,
    ended: bool,
}

impl Infos {
    async fn next_piece(&mut self) -> Option<Result<Vec<u8>, FeedBroken>> {
        const ROWS_AT_ONCE: usize = 100;
        if self.ended {
            return None;
        }
        let mut text = Vec::new();
        for _ in 0..ROWS_AT_ONCE {
            let Some(name) = self.names.next() else {
                text.extend_from_slice(if self.began { b"]\n" } else { b"[]\n" });
                self.ended = true;
                return Some(Ok(text));
            };
            let before = text.len();
            text.push(if self.began { b',' } else { b'[' });
            match write_info(&self.call, &name, &mut text).await {
                Ok(true) => self.began = true,
                Ok(false) => text.truncate(before),
                Err(error) => {
                    self.ended = true;
                    return Some(Err(FeedBroken::log(&error)));
                }
            }
        }
        Some(Ok(text))
    }
}

/// Positions in the site's events look like those in a database; what another site counted reads as
/// the start.
fn site_timeline(store: &Store) -> Timeline {
    let uuid = store.uuid();
    Timeline(*uuid.first_chunk().expect("a uuid is longer than a timeline"))
}

struct Updates {
    store: Store,
    grant: Grant<Inspect>,
    timeline: Timeline,
    /// What is still to be looked at.
    since: u64,
    until: u64,
    /// The row that was sent last.
    last: u64,
    left: u64,
    direction: Direction,
}

impl Source for Updates {
    async fn read(&mut self, mut rows: Rows) -> Result<(Rows, Progress), ApiError> {
        #[derive(Serialize)]
        struct Row<'a> {
            db_name: &'a str,
            r#type: &'static str,
            seq: &'a str,
        }
        loop {
            let left = usize::try_from(self.left).unwrap_or(usize::MAX);
            let limit = left.min(EVENTS_AT_ONCE);
            if limit == 0 {
                return Ok((rows, Progress::Ended));
            }
            let scan = EventScan {
                since: self.since,
                until: self.until,
                direction: self.direction,
                limit,
            };
            let page = self.store.events(&self.grant, scan).await?;
            for event in &page.events {
                let token = Sequence(event.sequence).token(self.timeline).to_string();
                let kind = match event.kind {
                    EventKind::Created => "created",
                    EventKind::Updated => "updated",
                    EventKind::Deleted => "deleted",
                };
                let row = Row { db_name: &event.name, r#type: kind, seq: &token };
                rows.push(format!("\"{token}\"").as_bytes(), |text| write_json(text, &row));
                self.last = event.sequence;
            }
            let read = u64::try_from(page.events.len()).unwrap_or(u64::MAX);
            self.left = self.left.saturating_sub(read);
            match self.direction {
                // Backwards there is an end.
                Direction::Descending => self.until = self.last.saturating_sub(1),
                Direction::Ascending => self.since = self.last,
            }
            if page.events.len() < limit {
                // Everything was looked at, events of other servers too: they are not waited for again.
                if self.direction == Direction::Ascending {
                    self.last = self.last.max(page.end);
                    self.since = self.last;
                }
                return Ok((
                    rows,
                    match self.direction {
                        Direction::Descending => Progress::Ended,
                        Direction::Ascending => Progress::CaughtUp,
                    },
                ));
            }
            if rows.is_full() {
                return Ok((rows, Progress::More));
            }
        }
    }

    async fn wait(&mut self) {
        self.store.events_after(self.since).await;
    }

    fn end(&self) -> End {
        let last_sequence = Sequence(self.last).token(self.timeline).to_string();
        End { last_sequence, pending: None }
    }
}
