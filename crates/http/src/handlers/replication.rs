//! Replications: one that is asked for at once, and what there is of them.
//!
//! Below an account the names are those of the account's databases, and what is shown is what runs there.
//!
//! Source: `couch_replicator_httpd.erl`, `couch_replicator_httpd_util.erl`; the members of replies, and
//! their order, are those of `couch_replicator_scheduler:job_ejson/1`, `job_summary/2`,
//! `couch_replicator_doc_processor:ejson_doc/2` and `couch_replicator:info_from_doc/2`.

mod shown;

use std::{fmt::Write as _, sync::Arc};

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use settle_access::{Inspect, Resource};
use settle_database::Database;
use settle_model::id::AccountName;
use settle_replicator::{AsWhom, Replicated};
use settle_sync::{job::ReplicateRequest, limits::JOB_BYTES_MAX};

pub(crate) use self::shown::ReplicationTask;
use self::shown::{DocumentRow, JobRow, STATES, state};
use crate::{call::Call, error::ApiError, limits, reply};

/// `POST /_replicate`
pub(crate) async fn replicate(mut call: Call) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Accepted {
        ok: bool,
        _local_id: String,
    }
    let server = call.account()?;
    if let Some(name) = &server {
        call.authorize::<Inspect>(Resource::Account { name: name.clone() })?;
    }
    call.require_json()?;
    let request = ReplicateRequest::parse(&call.bytes(JOB_BYTES_MAX).await?)?;
    let as_whom = AsWhom { server, actor: Arc::clone(&call.actor) };
    let replicated = tokio::select! {
        replicated = call.app.replicator.replicate(request, as_whom) => replicated?,
        () = call.app.shutdown.begun() => return Err(ApiError::busy("The server stops.", 5)),
    };
    let accepted = |status, id: String| reply::json(status, &Accepted { ok: true, _local_id: id });
    Ok(match replicated {
        Replicated::Continues { id } => accepted(StatusCode::ACCEPTED, id.to_string()),
        Replicated::Cancelled { id } => accepted(StatusCode::OK, id.to_string()),
        Replicated::Completed { outcome, use_checkpoints } => {
            let mut text = outcome.to_json(use_checkpoints);
            text.push(b'\n');
            reply::json_text(StatusCode::OK, text)
        }
    })
}

/// `GET /_scheduler/jobs`
pub(crate) async fn jobs(call: Call) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Jobs<'a> {
        total_rows: usize,
        offset: usize,
        jobs: Vec<JobRow<'a>>,
    }
    call.authorize::<Inspect>(call.server()?)?;
    let server = call.account()?;
    let page = Page::of(&call, limits::SCHEDULER_JOBS_DEFAULT)?;
    let jobs = call.app.replicator.jobs(server.as_ref());
    let rows = page.of_rows(&jobs).iter().map(|job| JobRow::of(job, server.as_ref()));
    let jobs =
        Jobs { total_rows: jobs.len(), offset: page.offset(jobs.len()), jobs: rows.collect() };
    Ok(reply::json(StatusCode::OK, &jobs))
}

/// `GET /_scheduler/jobs/{job}`
pub(crate) async fn job(call: Call) -> Result<Response, ApiError> {
    call.authorize::<Inspect>(call.server()?)?;
    let server = call.account()?;
    // A plus that was not encoded arrives as a space.
    let id = call.segment(0)?.replace(' ', "+");
    let job = call.app.replicator.job(server.as_ref(), &id).ok_or_else(ApiError::missing)?;
    Ok(reply::json(StatusCode::OK, &JobRow::of(&job, server.as_ref())))
}

/// `GET /_scheduler/docs`
pub(crate) async fn documents_of_own(call: Call) -> Result<Response, ApiError> {
    call.authorize::<Inspect>(call.server()?)?;
    let database = find(&call, "_replicator").await?;
    rows(&call, &database).await
}

/// `GET /_scheduler/docs/{path...}`: the name of a database, its slashes encoded or not, and maybe the id of
/// a document behind it.
pub(crate) async fn documents(call: Call) -> Result<Response, ApiError> {
    call.authorize::<Inspect>(call.server()?)?;
    let path = call.rest(0)?;
    let (name, id) = split(&path).ok_or_else(|| ApiError::bad_request("Invalid path"))?;
    let database = find(&call, name).await?;
    let Some(id) = id else { return rows(&call, &database).await };
    let found = call.app.replicator.document(&database, id).await?;
    let status = found.ok_or_else(ApiError::missing)?;
    Ok(reply::json(StatusCode::OK, &DocumentRow::of(&status, call.account()?.as_ref())))
}

/// The part up to the first `_replicator`, and what follows it.
fn split(path: &str) -> Option<(&str, Option<&str>)> {
    let mut end = 0;
    for segment in path.split('/') {
        end += segment.len();
        if segment == "_replicator" {
            let id = path[end..].strip_prefix('/').filter(|id| !id.is_empty());
            return Some((&path[..end], id));
        }
        end += 1;
    }
    None
}

async fn find(call: &Call, name: &str) -> Result<Database, ApiError> {
    // An admin of the site names databases of accounts as the catalog does.
    let name = match settle_model::id::DatabaseName::from_catalog(name) {
        Ok(name) if name.account().is_some() && call.account()?.is_none() => name,
        Ok(_) | Err(_) => call.database_name(name).map_err(|_| ApiError::no_database())?,
    };
    call.app.site.store.find(&name).await?.ok_or_else(ApiError::no_database)
}

async fn rows(call: &Call, database: &Database) -> Result<Response, ApiError> {
    let server: Option<AccountName> = call.account()?;
    let page = Page::of(call, limits::SCHEDULER_ROWS_MAX)?;
    let states = states(call)?;
    let (mut statuses, total) = call.app.replicator.documents(database).await?;
    if !states.is_empty() {
        statuses.retain(|status| states.contains(&state(&status.state)));
    }
    let total = usize::try_from(total).unwrap_or(usize::MAX);
    let mut text = String::new();
    write!(text, "{{\"total_rows\":{total},\"offset\":{},\"docs\":[\r\n", page.offset(total))
        .expect("a text takes everything");
    for (at, status) in page.of_rows(&statuses).iter().enumerate() {
        if at > 0 {
            text.push_str(",\r\n");
        }
        let row = serde_json::to_string(&DocumentRow::of(status, server.as_ref()));
        text.push_str(&row.expect("rows have text keys and finite numbers"));
    }
    text.push_str("\r\n]}\n");
    Ok(reply::json_text(StatusCode::OK, text))
}

/// The states that are asked for; none for all.
fn states(call: &Call) -> Result<Vec<&'static str>, ApiError> {
    let Some(asked) = call.query().get("states") else { return Ok(Vec::new()) };
    let states = asked.split(',').filter(|it| !it.is_empty()).map(|asked| {
        let known = STATES.iter().find(|state| state.eq_ignore_ascii_case(asked));
        known.copied().ok_or_else(|| {
            ApiError::query(format!("States must be one or more of [{}]", STATES.join(",")))
        })
    });
    states.collect()
}

/// Which rows are wanted.
struct Page {
    skip: usize,
    limit: usize,
}

impl Page {
    fn of(call: &Call, default: usize) -> Result<Self, ApiError> {
        let number = |name: &'static str, default| {
            let Some(text) = call.query().get(name) else { return Ok(default) };
            match text.parse::<i128>() {
                Err(_) => Err(ApiError::query(format!("{name} must be an integer"))),
                Ok(number) if number < 0 => {
                    Err(ApiError::query(format!("{name} not in range of [0,infinity]")))
                }
                Ok(number) => Ok(usize::try_from(number).unwrap_or(usize::MAX)),
            }
        };
        let (skip, limit) = (number("skip", 0)?, number("limit", default)?);
        Ok(Self { skip, limit: limit.min(limits::SCHEDULER_ROWS_MAX) })
    }

    fn offset(&self, total: usize) -> usize {
        self.skip.min(total)
    }

    fn of_rows<'a, T>(&self, rows: &'a [T]) -> &'a [T] {
        let rows = &rows[self.offset(rows.len())..];
        &rows[..self.limit.min(rows.len())]
    }
}
