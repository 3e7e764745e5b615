//! Replications as replies show them: wire types, without what is secret.

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::value::RawValue;
use settle_model::{
    date::iso_seconds,
    id::{AccountName, DatabaseName},
    json,
};
use settle_replicator::{
    DocumentState, DocumentStatus, JobEvent, JobEventKind, JobState, JobStatus,
};
use settle_sync::{
    document::Settled,
    job::{Endpoint, Job},
    stats::Progress,
};

use crate::handlers::server::NODE;

/// Every state of a document, in CouchDB's order.
pub(super) const STATES: [&str; 7] =
    ["initializing", "error", "running", "pending", "crashing", "completed", "failed"];

/// A row of `_scheduler/jobs`.
#[derive(Serialize)]
pub(super) struct JobRow<'a> {
    database: Option<&'a str>,
    id: String,
    pid: Option<&'a str>,
    source: String,
    target: String,
    user: Option<&'a str>,
    doc_id: Option<&'a str>,
    info: Option<Box<RawValue>>,
    history: Vec<EventRow<'a>>,
    node: &'static str,
    start_time: String,
}

#[derive(Serialize)]
struct EventRow<'a> {
    timestamp: String,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl<'a> JobRow<'a> {
    pub(super) fn of(job: &'a JobStatus, server: Option<&AccountName>) -> Self {
        let place = job.task.place.as_ref();
        Self {
            database: place.map(|place| name_on(&place.database, server)),
            id: job.task.id.to_string(),
            pid: job.pid.as_deref(),
            source: job.task.job.source.to_string(),
            target: job.task.job.target.to_string(),
            user: job.task.as_whom.actor.name(),
            doc_id: place.map(|place| &*place.id),
            info: job.progress.as_ref().map(progress),
            history: job.events.iter().map(EventRow::of).collect(),
            node: NODE,
            start_time: iso_seconds(job.added),
        }
    }
}

impl<'a> EventRow<'a> {
    fn of(event: &'a JobEvent) -> Self {
        let (r#type, reason) = match &event.kind {
            JobEventKind::Added => ("added", None),
            JobEventKind::Started => ("started", None),
            JobEventKind::Stopped => ("stopped", None),
            JobEventKind::Crashed { reason } => ("crashed", Some(&**reason)),
        };
        Self { timestamp: iso_seconds(event.at), r#type, reason }
    }
}

/// A row of `_scheduler/docs`. What members it has depends on how far the document has come.
pub(super) struct DocumentRow<'a> {
    status: &'a DocumentStatus,
    database: &'a str,
}

impl<'a> DocumentRow<'a> {
    pub(super) fn of(status: &'a DocumentStatus, server: Option<&AccountName>) -> Self {
        Self { status, database: name_on(&status.place.database, server) }
    }
}

/// What CouchDB calls it.
pub(super) fn state(state: &DocumentState) -> &'static str {
    match state {
        DocumentState::Initializing { .. } => "initializing",
        DocumentState::Error { .. } => "error",
        DocumentState::Scheduled(job) => match job.state {
            JobState::Running => "running",
            JobState::Pending => "pending",
            JobState::Crashing => "crashing",
        },
        DocumentState::Settled { settled: Settled::Completed, .. } => "completed",
        DocumentState::Settled { settled: Settled::Failed, .. } => "failed",
    }
}

impl Serialize for DocumentRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_map(None)?;
        let state = state(&self.status.state);
        row.serialize_entry("database", self.database)?;
        row.serialize_entry("doc_id", &self.status.place.id)?;
        match &self.status.state {
            DocumentState::Initializing { added } => {
                let (info, at) = (None::<()>, added.map(iso_seconds));
                row.serialize_entry("id", &None::<()>)?;
                row.serialize_entry("state", state)?;
                row.serialize_entry("info", &info)?;
                row.serialize_entry("error_count", &0)?;
                row.serialize_entry("node", NODE)?;
                row.serialize_entry("last_updated", &at)?;
                row.serialize_entry("start_time", &at)?;
            }
            DocumentState::Error { failures, reason, updated, added } => {
                row.serialize_entry("id", &None::<()>)?;
                row.serialize_entry("state", state)?;
                row.serialize_entry("info", &Failure { error: reason })?;
                row.serialize_entry("error_count", failures)?;
                row.serialize_entry("node", NODE)?;
                row.serialize_entry("last_updated", &iso_seconds(*updated))?;
                row.serialize_entry("start_time", &iso_seconds(*added))?;
            }
            DocumentState::Scheduled(job) => {
                let updated = job.events.first().map_or(job.added, |event| event.at);
                let crash = job.events.iter().find_map(|event| match &event.kind {
                    JobEventKind::Crashed { reason } => Some(reason),
                    JobEventKind::Added | JobEventKind::Started | JobEventKind::Stopped => None,
                });
                let task = &job.task;
                row.serialize_entry("id", &task.id.to_string())?;
                row.serialize_entry("node", NODE)?;
                row.serialize_entry("source", &task.job.source.to_string())?;
                row.serialize_entry("target", &task.job.target.to_string())?;
                row.serialize_entry("state", state)?;
                match (job.state, crash) {
                    (JobState::Crashing, Some(error)) => {
                        row.serialize_entry("info", &Failure { error })?;
                    }
                    (JobState::Crashing | JobState::Running | JobState::Pending, _) => {
                        row.serialize_entry("info", &job.progress.as_ref().map(progress))?;
                    }
                }
                row.serialize_entry("error_count", &job.failures)?;
                row.serialize_entry("last_updated", &iso_seconds(updated))?;
                row.serialize_entry("start_time", &iso_seconds(job.added))?;
                row.serialize_entry("source_proxy", &proxy(&task.job.source))?;
                row.serialize_entry("target_proxy", &proxy(&task.job.target))?;
            }
            DocumentState::Settled { settled, body } => {
                let job = Job::parse(body).ok();
                let member = |name: &str| {
                    let mut members = json::members(body);
                    members.find(|(key, _)| json::unescape(key) == name).map(|(_, value)| value)
                };
                let time = member("_replication_state_time").map(raw);
                let stats = member("_replication_stats").unwrap_or(b"{}");
                let (info, count, start) = match settled {
                    Settled::Completed => completed(stats),
                    Settled::Failed => {
                        let reason = member("_replication_state_reason");
                        let reason = reason.and_then(json::string_value).unwrap_or_default();
                        let info = serde_json::value::to_raw_value(&Failure { error: &reason });
                        (info.ok(), 1, time.clone())
                    }
                };
                row.serialize_entry("id", &None::<()>)?;
                let shown = |end: &Endpoint| end.to_string();
                row.serialize_entry("source", &job.as_ref().map(|job| shown(&job.source)))?;
                row.serialize_entry("target", &job.as_ref().map(|job| shown(&job.target)))?;
                row.serialize_entry("state", state)?;
                row.serialize_entry("error_count", &count)?;
                row.serialize_entry("info", &info)?;
                row.serialize_entry("start_time", &start)?;
                row.serialize_entry("last_updated", &time)?;
            }
        }
        row.end()
    }
}

#[derive(Serialize)]
struct Failure<'a> {
    error: &'a str,
}

/// What a document says of a replication that has completed: what it did, failures, and when it began.
fn completed(stats: &[u8]) -> (Option<Box<RawValue>>, u32, Option<Box<RawValue>>) {
    let (mut info, mut start) = (b"{".to_vec(), None);
    for (key, value) in json::members(stats) {
        if json::unescape(key) == "start_time" {
            start = Some(raw(value));
            continue;
        }
        if info.len() > 1 {
            info.push(b',');
        }
        info.extend_from_slice(format!("\"{key}\":").as_bytes());
        info.extend_from_slice(value);
    }
    info.push(b'}');
    (Some(raw(&info)), 0, start)
}

/// An entry of `_active_tasks`.
pub(crate) struct ReplicationTask<'a> {
    pub(crate) job: &'a JobStatus,
    pub(crate) updated_on: u64,
}

impl Serialize for ReplicationTask<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let JobStatus { task, progress, events, added, pid, .. } = self.job;
        let place = task.place.as_ref();
        let started = events.iter().find(|event| event.kind == JobEventKind::Started);
        let interval = u64::try_from(task.job.checkpoint_interval.as_millis()).unwrap_or(u64::MAX);
        let mut entry = serializer.serialize_map(None)?;
        entry.serialize_entry("node", NODE)?;
        entry.serialize_entry("pid", pid)?;
        entry.serialize_entry("type", "replication")?;
        entry.serialize_entry("replication_id", &task.id.to_string())?;
        entry.serialize_entry("user", &task.as_whom.actor.name())?;
        entry.serialize_entry("database", &place.map(|place| place.database.as_str()))?;
        entry.serialize_entry("doc_id", &place.map(|place| &*place.id))?;
        entry.serialize_entry("source", &task.job.source.to_string())?;
        entry.serialize_entry("target", &task.job.target.to_string())?;
        entry.serialize_entry("continuous", &task.job.continuous)?;
        entry.serialize_entry("checkpoint_interval", &interval)?;
        let figures = progress.as_ref().map_or_else(|| b"{}".to_vec(), Progress::to_json);
        for (name, value) in json::members(&figures) {
            entry.serialize_entry(&json::unescape(name), &raw(value))?;
        }
        let started = started.map_or(*added, |event| event.at);
        entry.serialize_entry("started_on", &started.seconds())?;
        entry.serialize_entry("updated_on", &self.updated_on)?;
        entry.end()
    }
}

fn proxy(endpoint: &Endpoint) -> Option<String> {
    match endpoint {
        Endpoint::Local(_) => None,
        Endpoint::Remote(remote) => remote.proxy.as_ref().map(ToString::to_string),
    }
}

fn progress(progress: &Progress) -> Box<RawValue> {
    raw(&progress.to_json())
}

/// JSON that was checked before.
fn raw(text: &[u8]) -> Box<RawValue> {
    let text = String::from_utf8_lossy(text).into_owned();
    RawValue::from_string(text).expect("it was stored or written as JSON")
}

/// What a database is called on a server: on its own, the name that its owner gave it.
fn name_on<'a>(name: &'a DatabaseName, server: Option<&AccountName>) -> &'a str {
    if server.is_some() { name.local() } else { name.as_str() }
}
