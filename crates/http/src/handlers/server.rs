//! Endpoints of the server itself: who it is, whether it is up, ids, and what a single node has to say
//! of clusters.

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use settle_access::{Inspect, Resource};
use settle_database::Compaction;
use settle_model::time::Timestamp;
use settle_replicator::JobState;

use crate::{
    call::Call, error::ApiError, etag, handlers::replication::ReplicationTask, openapi, reply,
    settings::Maintenance,
};

/// The release of CouchDB whose protocol is spoken. Clients choose what they send by it, so it is
/// CouchDB's number; this server's own stands in `vendor`.
const PROTOCOL_VERSION: &str = "3.5.2";

/// The name of the one node, as CouchDB's single nodes are called.
pub(crate) const NODE: &str = "settle@127.0.0.1";

#[derive(Serialize)]
struct Welcome<'a> {
    couchdb: &'a str,
    version: &'a str,
    git_sha: &'a str,
    uuid: String,
    features: &'a [&'a str],
    vendor: Vendor<'a>,
}

#[derive(Serialize)]
struct Vendor<'a> {
    name: &'a str,
    version: &'a str,
}

/// `GET /`
pub(crate) async fn welcome(call: Call) -> Result<Response, ApiError> {
    let uuid = match call.account()? {
        None => hex::encode(call.app.site.store.uuid()),
        Some(name) => {
            let is_own = call.actor.name() == Some(name.as_str());
            let account = call.app.site.accounts.account(&name, is_own).await?;
            account.ok_or_else(ApiError::no_database)?.uuid
        }
    };
    let welcome = Welcome {
        couchdb: "Welcome",
        version: PROTOCOL_VERSION,
        git_sha: "",
        uuid,
        features: &["access-ready", "pluggable-storage-engines"],
        vendor: Vendor { name: "Settle", version: env!("CARGO_PKG_VERSION") },
    };
    Ok(reply::json(StatusCode::OK, &welcome))
}

/// `GET /_up`
pub(crate) async fn up(call: Call) -> Result<Response, ApiError> {
    let status = |status, text: &'static str| Ok(reply::json_text(status, text));
    if call.app.shutdown.has_begun() {
        return status(StatusCode::NOT_FOUND, "{\"status\":\"nolb\"}\n");
    }
    match call.app.settings.live().maintenance {
        Maintenance::Off => status(StatusCode::OK, "{\"seeds\":{},\"status\":\"ok\"}\n"),
        Maintenance::On => status(StatusCode::NOT_FOUND, "{\"status\":\"maintenance_mode\"}\n"),
        Maintenance::NoLoadBalancer => status(StatusCode::NOT_FOUND, "{\"status\":\"nolb\"}\n"),
    }
}

/// `GET /_uuids`
pub(crate) async fn uuids(call: Call) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Uuids {
        uuids: Vec<String>,
    }
    let count = match call.query().get("count") {
        None => 1,
        Some(count) => {
            count.parse().map_err(|_| ApiError::bad_request("count must be a positive integer"))?
        }
    };
    if count > call.app.settings.live().uuid_count_max {
        return Err(ApiError::bad_request("count parameter too large"));
    }
    let uuids = Uuids { uuids: (0..count).map(|_| call.app.make_uuid()).collect() };
    let body = reply::to_json(&uuids);
    let etag = etag::of(&body);
    let mut response = reply::json_text(StatusCode::OK, body);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Long past, for caches that know nothing newer.
    let past = HeaderValue::from_static("Mon, 01 Jan 1990 00:00:00 GMT");
    headers.insert(header::EXPIRES, past);
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(header::ETAG, etag);
    Ok(response)
}

/// `GET /_active_tasks`: what a client can wait for: compactions, whose end cannot be told, builds
/// and updates of indexes, and replications that run. Cleaning up after updates is never worth waiting for, and is not listed.
pub(crate) async fn active_tasks(call: Call) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Task<'a> {
        Replication(ReplicationTask<'a>),
        Compaction {
            node: &'static str,
            r#type: &'static str,
            database: String,
            started_on: u64,
            updated_on: u64,
        },
        Indexer {
            node: &'static str,
            pid: String,
            r#type: &'static str,
            database: String,
            design_document: String,
            changes_done: u64,
            total_changes: u64,
            /// Per cent.
            progress: u8,
            /// Beyond CouchDB: when it will be done at the pace so far.
            #[serde(skip_serializing_if = "Option::is_none")]
            estimated_end: Option<u64>,
            started_on: u64,
            updated_on: u64,
        },
    }
    let grant = call.authorize::<Inspect>(Resource::Server)?;
    let now = call.app.site.clock.now().seconds();
    let compactions = call.app.site.store.compactions(&grant).into_iter();
    let compactions = compactions.map(|Compaction { database, started, .. }| Task::Compaction {
        node: NODE,
        r#type: "database_compaction",
        database: database.as_str().to_owned(),
        started_on: started.seconds(),
        updated_on: now,
    });
    let indexers = call.app.site.indexes.tasks(&grant).into_iter().map(|task| Task::Indexer {
        node: NODE,
        pid: task.pid,
        r#type: "indexer",
        database: task.database.as_str().to_owned(),
        design_document: task.design_document,
        changes_done: task.changes_done,
        total_changes: task.total_changes,
        progress: task.progress,
        estimated_end: task.estimated_end.map(Timestamp::seconds),
        started_on: task.started_on.seconds(),
        updated_on: task.updated_on.seconds(),
    });
    let jobs = call.app.replicator.jobs(None);
    let running = jobs.iter().filter(|job| job.state == JobState::Running);
    let replications =
        running.map(|job| Task::Replication(ReplicationTask { job, updated_on: now }));
    let tasks = compactions.chain(indexers).chain(replications);
    Ok(reply::json(StatusCode::OK, &tasks.collect::<Vec<_>>()))
}

/// `GET /_membership`
pub(crate) async fn membership(call: Call) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Membership {
        all_nodes: [&'static str; 1],
        cluster_nodes: [&'static str; 1],
    }
    call.authorize::<Inspect>(Resource::Server)?;
    let membership = Membership { all_nodes: [NODE], cluster_nodes: [NODE] };
    Ok(reply::json(StatusCode::OK, &membership))
}

/// `GET /_cluster_setup`: the one node is ready, and there is nothing to set up.
pub(crate) async fn cluster_setup(call: Call) -> Result<Response, ApiError> {
    call.authorize::<Inspect>(Resource::Server)?;
    Ok(reply::json_text(StatusCode::OK, "{\"state\":\"single_node_enabled\"}\n"))
}

/// `GET /favicon.ico`: there is none, and a browser need not ask again for a year.
pub(crate) async fn favicon(call: Call) -> Result<Response, ApiError> {
    const YEAR: std::time::Duration = std::time::Duration::from_secs(365 * 24 * 60 * 60);
    let mut response = Response::new(Body::from("Not found."));
    *response.status_mut() = StatusCode::NOT_FOUND;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    let cached = HeaderValue::from_static("public, max-age=31536000");
    headers.insert(header::CACHE_CONTROL, cached);
    let expires = settle_model::date::header(call.app.site.clock.now().plus(YEAR));
    let expires = HeaderValue::try_from(expires).expect("dates are ASCII");
    headers.insert(header::EXPIRES, expires);
    Ok(response)
}

/// `GET /_openapi.json`
pub(crate) async fn openapi(call: Call) -> Result<Response, ApiError> {
    drop(call);
    Ok(reply::json_text(StatusCode::OK, openapi::document()))
}
