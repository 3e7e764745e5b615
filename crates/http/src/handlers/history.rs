//! The past of a database: snapshots, how long what is kept, versions of a document, what changed between two moments,
//! going back, and another database made of what one was. None of it is CouchDB's.
//!
//! A moment is the name of a snapshot, a sequence, or a time; in all other reads it is the parameter `at`.

mod revert;
mod versions;

use std::time::Duration;

use axum::response::Response;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use settle_access::{Administer, Grant, Read};
use settle_database::{
    At, Database, Moment, Retention, Snapshot, SnapshotName, Tombstones,
    limits::{CHECKPOINTS_DEFAULT, TOMBSTONES_MAX, TOMBSTONES_MIN},
};
use settle_model::{date, json, sequence::SequenceToken};
use settle_query::selector::Selector;

pub(crate) use self::{
    revert::{fork, revert},
    versions::{difference, versions},
};
use crate::{
    call::{Call, from_json},
    error::ApiError,
    limits,
    open::open,
    reply,
};

/// The moment that a request is about; `None` for the present.
pub(crate) async fn moment(
    call: &Call,
    database: &Database,
    grant: &Grant<Read>,
) -> Result<Option<Moment>, ApiError> {
    match call.query().get("at") {
        None => Ok(None),
        Some(at) => named(database, grant, &at).await.map(Some),
    }
}

async fn named(database: &Database, grant: &Grant<Read>, at: &str) -> Result<Moment, ApiError> {
    Ok(database.moment(grant, &at.parse::<At>()?).await?)
}

/// A snapshot as it is shown.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    seq: String,
    taken: String,
}

impl<'a> Shown<'a> {
    fn new(database: &Database, name: &'a str, snapshot: &Snapshot) -> Self {
        let seq = database.token(snapshot.sequence).to_string();
        Self { name, seq, taken: date::iso(snapshot.taken) }
    }
}

/// `GET /{db}/_snapshots`
pub(crate) async fn snapshots(call: Call) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct All<'a> {
        snapshots: Vec<Shown<'a>>,
    }
    let (database, grant) = open::<Read>(&call).await?;
    let all = database.snapshots(&grant).await?;
    let shown = all.iter().map(|(name, snapshot)| Shown::new(&database, name, snapshot));
    Ok(reply::json(StatusCode::OK, &All { snapshots: shown.collect() }))
}

/// `GET /{db}/_snapshots/{name}`
pub(crate) async fn snapshot(call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Read>(&call).await?;
    let name = name(&call)?;
    let all = database.snapshots(&grant).await?;
    let found = all.iter().find(|(taken, _)| taken == name.as_str());
    let (name, snapshot) = found.ok_or(settle_database::KeepError::Missing)?;
    Ok(reply::json(StatusCode::OK, &Shown::new(&database, name, snapshot)))
}

/// `PUT /{db}/_snapshots/{name}`
pub(crate) async fn take(call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Administer>(&call).await?;
    let name = name(&call)?;
    let read = grant.internally::<Read>("to find the moment that is given a name");
    let moment = moment(&call, &database, &read).await?;
    let snapshot = database.take_snapshot(&grant, name.clone(), moment).await?;
    let shown = Shown::new(&database, name.as_str(), &snapshot);
    let mut response = reply::json(StatusCode::CREATED, &shown);
    let location = call.absolute(call.raw_path());
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// `DELETE /{db}/_snapshots/{name}`
pub(crate) async fn forget(call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Administer>(&call).await?;
    database.forget_snapshot(&grant, name(&call)?).await?;
    Ok(reply::ok(StatusCode::OK))
}

fn name(call: &Call) -> Result<SnapshotName, ApiError> {
    Ok(call.segment(1)?.parse()?)
}

/// `GET /{db}/_history`
pub(crate) async fn retention(call: Call) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Kept {
        window_seconds: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        append_only: Option<Box<RawValue>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tombstone_seconds: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        checkpoint_seconds: Option<u64>,
        kept_from: SequenceText,
    }
    let (database, grant) = open::<Read>(&call).await?;
    let retention = database.retention(&grant).await?;
    let append_only = retention.append_only.and_then(|it| String::from_utf8(it).ok());
    let kept = Kept {
        window_seconds: retention.window.as_secs(),
        append_only: append_only.and_then(|it| RawValue::from_string(it).ok()),
        tombstone_seconds: retention.tombstones.map(|it| it.kept.as_secs()),
        checkpoint_seconds: retention.tombstones.map(|it| it.checkpoints.as_secs()),
        kept_from: SequenceText(database.token(database.kept_from(&grant).await?)),
    };
    Ok(reply::json(StatusCode::OK, &kept))
}

/// `PUT /{db}/_history`
pub(crate) async fn set_retention(mut call: Call) -> Result<Response, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        #[serde(default)]
        window_seconds: u64,
        append_only: Option<Box<RawValue>>,
        tombstone_seconds: Option<u64>,
        checkpoint_seconds: Option<u64>,
    }
    let (database, grant) = open::<Administer>(&call).await?;
    let text = call.bytes(limits::SMALL_BODY_MAX).await?;
    let form = "`window_seconds`, `tombstone_seconds` and `checkpoint_seconds` must be numbers of \
                seconds, `append_only` a selector";
    let wanted: Wanted = from_json(&text, form)?;
    let append_only = wanted.append_only.map(|it| selector(&it)).transpose()?;
    let retention = Retention {
        window: Duration::from_secs(wanted.window_seconds.min(limits::WINDOW_SECONDS_MAX)),
        append_only: append_only.map(|(json, _)| json),
        tombstones: tombstones(wanted.tombstone_seconds, wanted.checkpoint_seconds)?,
    };
    database.set_retention(&grant, retention).await?;
    Ok(reply::ok(StatusCode::OK))
}

/// `None` where tombstones stay.
fn tombstones(kept: Option<u64>, checkpoints: Option<u64>) -> Result<Option<Tombstones>, ApiError> {
    let Some(kept) = kept else {
        return match checkpoints {
            None => Ok(None),
            Some(_) => Err(ApiError::bad_request(
                "`checkpoint_seconds` means nothing without `tombstone_seconds`",
            )),
        };
    };
    let (least, most) = (TOMBSTONES_MIN.as_secs(), TOMBSTONES_MAX.as_secs());
    let checked = |name: &str, seconds: u64| match seconds {
        seconds if (least..=most).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => {
            Err(ApiError::bad_request(format!("`{name}` must be a number from {least} to {most}")))
        }
    };
    let checkpoints = checkpoints.unwrap_or(CHECKPOINTS_DEFAULT.as_secs());
    Ok(Some(Tombstones {
        kept: checked("tombstone_seconds", kept)?,
        checkpoints: checked("checkpoint_seconds", checkpoints)?,
    }))
}

/// A selector, minified and parsed.
fn selector(json: &RawValue) -> Result<(Vec<u8>, Selector), ApiError> {
    let json = json::minify(json.get().as_bytes());
    let json = json.map_err(|error| ApiError::bad_request(error.reason()))?.into_owned();
    let selector = Selector::parse(&json)?;
    Ok((json, selector))
}

/// A sequence as clients see it.
struct SequenceText(SequenceToken);

impl Serialize for SequenceText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
