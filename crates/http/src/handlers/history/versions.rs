//! Versions of a document, and what changed between two moments.

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use settle_access::Read;
use settle_database::{Difference, Next, Version};
use settle_model::{date, id::AnyId, revision::RevId, sequence::Since};

use super::{SequenceText, named};
use crate::{
    call::Call,
    documents::named as names,
    error::ApiError,
    limits,
    open::{open, open_for_document},
    reply,
};

/// `GET /{db}/{id}/_history`
pub(crate) async fn versions(call: Call) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Row {
        seq: SequenceText,
        time: String,
        rev: String,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        deleted: bool,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        conflicts: Vec<String>,
        /// The sequence that put another in its place.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<SequenceText>,
    }
    #[derive(Serialize)]
    struct Versions {
        id: String,
        versions: Vec<Row>,
        /// Whether there are older ones: `before` the last sequence of these.
        more: bool,
    }
    let (database, grant, id) = open_for_document::<Read>(&call, names::existing_id).await?;
    let AnyId::Document(id) = id else {
        return Err(ApiError::bad_request("local documents have no history"));
    };
    let before = match call.query().get("before") {
        None => None,
        Some(text) => match text.parse()? {
            Since::Token(token) => Some(token.sequence.0),
            Since::Now | Since::Foreign => None,
        },
    };
    let limit = limit(&call)?;
    let (found, more) = database.versions(&grant, &id, before, limit).await?;
    if found.is_empty() && before.is_none() && limit > 0 {
        return Err(ApiError::missing());
    }
    let token = |sequence| SequenceText(database.token(sequence));
    let row = |it: Version| Row {
        seq: token(it.sequence),
        time: date::iso(it.updated),
        rev: it.rev.to_string(),
        deleted: it.deleted,
        conflicts: it.conflicts.iter().map(RevId::to_string).collect(),
        until: it.replaced_by.map(token),
    };
    let versions = found.into_iter().map(row).collect();
    let versions = Versions { id: id.as_str().to_owned(), versions, more };
    Ok(reply::json(StatusCode::OK, &versions))
}

/// A winner as it is shown.
#[derive(Serialize)]
struct Winner {
    rev: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
}

impl Winner {
    fn new((rev, deleted): (RevId, bool)) -> Self {
        Self { rev: rev.to_string(), deleted }
    }
}

/// `GET /{db}/_difference`
pub(crate) async fn difference(call: Call) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Row {
        id: String,
        seq: SequenceText,
        from: Option<Winner>,
        to: Option<Winner>,
    }
    #[derive(Serialize)]
    struct Found {
        from: SequenceText,
        to: SequenceText,
        results: Vec<Row>,
        /// Where the next page begins.
        #[serde(skip_serializing_if = "Option::is_none")]
        since: Option<SequenceText>,
    }
    let (database, grant) = open::<Read>(&call).await?;
    let from = call.query().get("from").ok_or_else(|| ApiError::query("`from` is needed"))?;
    let from = named(&database, &grant, &from).await?;
    let to = call.query().get("to");
    let to = named(&database, &grant, to.as_deref().unwrap_or("now")).await?;
    if from > to {
        return Err(ApiError::query("`from` must not come after `to`"));
    }
    let mut since = match call.query().get("since") {
        None => 0,
        Some(text) => match text.parse()? {
            Since::Token(token) => token.sequence.0,
            Since::Now | Since::Foreign => 0,
        },
    };
    let limit = limit(&call)?;
    let mut found: Vec<Difference> = Vec::new();
    let mut next = None;
    while found.len() < limit {
        let left = limit - found.len();
        let (some, after) = database.difference(&grant, from, to, since, left).await?;
        found.extend(some);
        next = match after {
            Next::Done => None,
            Next::Go(cursor) => Some(cursor.at),
        };
        let Some(at) = next else { break };
        since = at;
    }
    let token = |sequence| SequenceText(database.token(sequence));
    let row = |it: Difference| Row {
        id: it.id,
        seq: token(it.sequence),
        from: it.from.map(Winner::new),
        to: it.to.map(Winner::new),
    };
    let results = found.into_iter().map(row).collect();
    let (from, to) = (token(from.sequence()), token(to.sequence()));
    let found = Found { from, to, results, since: next.map(token) };
    Ok(reply::json(StatusCode::OK, &found))
}

fn limit(call: &Call) -> Result<usize, ApiError> {
    let Some(limit) = call.query().get("limit") else { return Ok(limits::HISTORY_ROWS_MAX) };
    let limit: usize = limit.parse().map_err(|_| ApiError::query("`limit` must be a number"))?;
    if limit == 0 {
        return Err(ApiError::query("`limit` must be greater than zero"));
    }
    Ok(limit.min(limits::HISTORY_ROWS_MAX))
}
