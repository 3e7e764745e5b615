//! `_node/{node}`: figures of the one node there is, which is also called `_local`.
//!
//! The figures are this server's own; those of CouchDB that tell of Erlang have no meaning here and are
//! left out.
//!
//! Source: `chttpd_node.erl`, `couch_stats_httpd.erl`, `couch_prometheus.erl`.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
};

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value, json};
use settle_access::{Action, Inspect, ReadMetrics, Resource};

use crate::{
    call::Call,
    error::{ApiError, Code},
    handlers::server::NODE,
    metrics::Counts,
    reply,
    state::AppState,
};

/// Refuses the names of other nodes.
pub(crate) fn check_name(call: &Call) -> Result<(), ApiError> {
    let name = call.segment(0)?;
    if name == "_local" || name == NODE {
        return Ok(());
    }
    Err(ApiError::new(Code::NotFound, format!("no such node: {name}")))
}

/// `GET /_node/{node}`
pub(crate) async fn name(call: Call) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Name {
        name: &'static str,
    }
    allow::<Inspect>(&call)?;
    Ok(reply::json(StatusCode::OK, &Name { name: NODE }))
}

/// `GET /_node/{node}/_versions`
pub(crate) async fn versions(call: Call) -> Result<Response, ApiError> {
    allow::<Inspect>(&call)?;
    let versions = json!({ "settle": { "version": env!("CARGO_PKG_VERSION") } });
    Ok(reply::json(StatusCode::OK, &versions))
}

/// `GET /_node/{node}/_stats` and below: counters as a tree, whose branches can be asked for alone.
pub(crate) async fn stats(call: Call) -> Result<Response, ApiError> {
    allow::<ReadMetrics>(&call)?;
    Ok(reply::json(StatusCode::OK, &stats_tree(&call.app.metrics.counts())))
}

/// `GET /_node/{node}/_stats/{path...}`
pub(crate) async fn stats_below(call: Call) -> Result<Response, ApiError> {
    allow::<ReadMetrics>(&call)?;
    let path = call.rest(1)?;
    let tree = stats_tree(&call.app.metrics.counts());
    let branch = path.split('/').try_fold(&tree, |branch, name| branch.get(name));
    let branch = branch.ok_or_else(ApiError::missing)?;
    Ok(reply::json(StatusCode::OK, branch))
}

/// `GET /_node/{node}/_system`
pub(crate) async fn system(call: Call) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct System {
        uptime: u64,
        memory: Memory,
        process_count: u64,
        engine: EngineFigures,
    }
    #[derive(Serialize)]
    struct Memory {
        /// Bytes that are the process's alone.
        private: Option<u64>,
    }
    allow::<ReadMetrics>(&call)?;
    let system = System {
        uptime: call.app.site.clock.monotonic().as_secs(),
        memory: Memory { private: private_memory() },
        process_count: call.app.metrics.counts().connections,
        engine: EngineFigures::of(&call.app),
    };
    Ok(reply::json(StatusCode::OK, &system))
}

/// `GET /_node/{node}/_prometheus`
pub(crate) async fn prometheus(call: Call) -> Result<Response, ApiError> {
    allow::<ReadMetrics>(&call)?;
    let text = prometheus_text(&call.app);
    let mut response = Response::new(Body::from(text));
    let kind = HeaderValue::from_static("text/plain; version=2.0");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

fn allow<A: Action>(call: &Call) -> Result<(), ApiError> {
    call.authorize::<A>(Resource::Server)?;
    check_name(call)
}

#[derive(Serialize)]
struct EngineFigures {
    file_bytes: u64,
    free_bytes: u64,
    keys: u64,
    readers: u64,
    oldest_reader_lag: u64,
    commits: u64,
    syncs: u64,
    batches: u64,
    batches_waiting: u64,
}

impl EngineFigures {
    fn of(state: &AppState) -> Self {
        let stats = state.site.store.engine().stats();
        Self {
            file_bytes: stats.file_bytes,
            free_bytes: stats.free_bytes,
            keys: stats.keys,
            readers: stats.readers,
            oldest_reader_lag: stats.oldest_reader_lag,
            commits: stats.commits,
            syncs: stats.syncs,
            batches: stats.batches,
            batches_waiting: stats.batches_waiting,
        }
    }
}

fn counter(value: u64, description: &str) -> Value {
    json!({ "value": value, "type": "counter", "desc": description })
}

fn stats_tree(counts: &Counts) -> Value {
    let methods = counts.methods.iter().map(|(method, count)| {
        ((*method).to_owned(), counter(*count, &format!("number of HTTP {method} requests")))
    });
    let statuses = counts.statuses.iter().map(|(status, count)| {
        (status.to_string(), counter(*count, &format!("number of HTTP {status} responses")))
    });
    let (methods, statuses): (Map<_, _>, Map<_, _>) = (methods.collect(), statuses.collect());
    let mean = if counts.requests == 0 {
        0.0
    } else {
        counts.duration_sum.as_secs_f64() * 1_000.0 / f64_of(counts.requests)
    };
    let time = json!({
        "value": { "n": counts.requests, "arithmetic_mean": mean },
        "type": "histogram",
        "desc": "milliseconds until the head of a reply",
    });
    json!({
        "couchdb": {
            "httpd": {
                "aborted_requests": counter(counts.aborted, "number of aborted requests"),
                "requests": counter(counts.requests, "number of HTTP requests"),
            },
            "httpd_request_methods": methods,
            "httpd_status_codes": statuses,
            "request_time": time,
        },
    })
}

#[expect(clippy::cast_precision_loss, reason = "a mean of more than 2^53 requests may be rounded")]
fn f64_of(count: u64) -> f64 {
    count as f64
}

fn prometheus_text(state: &AppState) -> String {
    let counts = state.metrics.counts();
    let mut text = String::with_capacity(4_096);
    let mut family = |name: &str, kind: &str, rows: &[(String, String)]| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# TYPE {name} {kind}");
        for (labels, value) in rows {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let one = |value: u64| [(String::new(), value.to_string())];
    let up = state.site.clock.monotonic().as_secs();
    family("couchdb_uptime_seconds", "counter", &one(up));
    family("couchdb_httpd_aborted_requests_total", "counter", &one(counts.aborted));
    family("couchdb_httpd_requests_total", "counter", &one(counts.requests));
    let methods = counts.methods.iter();
    let methods = methods.map(|(name, n)| (format!("{{method=\"{name}\"}}"), n.to_string()));
    family("couchdb_httpd_request_methods", "counter", &methods.collect::<Vec<_>>());
    let statuses = counts.statuses.iter();
    let statuses = statuses.map(|(code, n)| (format!("{{code=\"{code}\"}}"), n.to_string()));
    family("couchdb_httpd_status_codes", "counter", &statuses.collect::<Vec<_>>());
    family("settle_requests_in_flight", "gauge", &one(counts.in_flight));
    family("settle_connections", "gauge", &one(counts.connections));
    let damaged = state.site.indexes.damaged_count();
    family("settle_damaged_indexes_total", "counter", &one(damaged));

    let drills = &state.drills;
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed).to_string();
    let outcomes = [
        ("{outcome=\"passed\"}".to_owned(), count(&drills.passed)),
        ("{outcome=\"failed\"}".to_owned(), count(&drills.failed)),
    ];
    family("settle_restore_drills_total", "counter", &outcomes);
    let broken = [(String::new(), count(&drills.broken))];
    family("settle_archive_runs_failed_total", "counter", &broken);
    let last_good = [(String::new(), count(&drills.last_good))];
    family("settle_archives_proved_timestamp_seconds", "gauge", &last_good);

    let name = "settle_request_duration_seconds";
    let seconds = |micros: u64| f64_of(micros) / 1e6;
    let buckets = counts.durations.iter();
    let buckets =
        buckets.map(|(end, n)| (format!("_bucket{{le=\"{}\"}}", seconds(*end)), n.to_string()));
    let mut rows: Vec<_> = buckets.collect();
    rows.push(("_bucket{le=\"+Inf\"}".to_owned(), counts.requests.to_string()));
    rows.push(("_sum".to_owned(), counts.duration_sum.as_secs_f64().to_string()));
    rows.push(("_count".to_owned(), counts.requests.to_string()));
    family(name, "histogram", &rows);

    let engine = EngineFigures::of(state);
    for (name, kind, value) in [
        ("settle_engine_file_bytes", "gauge", engine.file_bytes),
        ("settle_engine_free_bytes", "gauge", engine.free_bytes),
        ("settle_engine_keys", "gauge", engine.keys),
        ("settle_engine_readers", "gauge", engine.readers),
        ("settle_engine_oldest_reader_lag", "gauge", engine.oldest_reader_lag),
        ("settle_engine_commits_total", "counter", engine.commits),
        ("settle_engine_syncs_total", "counter", engine.syncs),
        ("settle_engine_batches_total", "counter", engine.batches),
        ("settle_engine_batches_waiting", "gauge", engine.batches_waiting),
    ] {
        family(name, kind, &one(value));
    }
    if let Some(bytes) = private_memory() {
        family("settle_private_memory_bytes", "gauge", &one(bytes));
    }
    text
}

/// Bytes of memory that are this process's alone, where the system tells.
fn private_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}
