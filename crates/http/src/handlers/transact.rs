//! Exchanges of transactions.
//!
//! A request holds all that the server needs to know: it remembers nothing of earlier ones but outcomes, by which a
//! client that did not hear an answer learns it by asking again. The reply is 200 whenever the exchange was
//! understood, since each transaction has its own outcome; an outcome that is worth asking for again has `retry`.

mod asked;
mod changes;

use std::{collections::HashMap, time::Duration};

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use settle_access::{Administer, Grant, Read, Write};
use settle_database::{Database, Fate};
use settle_index::lane::{Reading, TransactResult};
use settle_model::json::{members, string_value, unescape, write_string};
use settle_transact::{Exchange, Transaction};

use self::{asked::Indexes, changes::Wanted};
use crate::{
    call::Call,
    error::{ApiError, Code},
    limits,
    open::open,
    reply,
};

/// Documents that the client knows as they are now, with their revisions: it has sent the whole of them.
type Own = HashMap<String, String>;

/// `POST /{db}/_transact`
pub(crate) async fn transact(mut call: Call) -> Result<Response, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Write>(&call).await?;
    let read: Grant<Read> = call.authorize(database.resource())?;
    let text = call.bytes(limits::EXCHANGE_BODY_MAX).await?;
    let Exchange { client, since, mode, changes_limit, include_docs, transactions } =
        parse(text).await?;
    let limit = changes_limit.unwrap_or(limits::EXCHANGE_CHANGES_DEFAULT);
    let limit = limit.min(limits::EXCHANGE_CHANGES_MAX);
    let named: Vec<Named> = transactions.iter().map(Named::of).collect();
    let site = &call.app.site;
    let indexes = Indexes { app: call.app.clone(), grant: read.clone() };
    let reading = Reading { grant: &read, indexes: &indexes };
    let results = site
        .transact(&call.actor, &database, (&grant, reading), (client, mode), transactions)
        .await?;

    let mut out = b"{\"seq\":\"".to_vec();
    let end = database.sequence();
    out.extend_from_slice(database.token(end).to_string().as_bytes());
    out.extend_from_slice(b"\",\"transactions\":[");
    let mut own = Own::new();
    for (at, (named, result)) in named.into_iter().zip(results).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_outcome(&mut out, &named, result, &mut own)?;
    }
    out.push(b']');
    if let Some(since) = since {
        let wanted = Wanted { since, end, limit, include_docs, own };
        out.extend_from_slice(b",\"changes\":");
        wanted.write(&mut out, &database, &read).await?;
    }
    out.extend_from_slice(b"}\n");
    Ok(reply::json_text(StatusCode::OK, out))
}

/// Large bodies are parsed where they hold up nobody else.
async fn parse(text: Bytes) -> Result<Exchange, ApiError> {
    if text.len() <= limits::PARSED_INLINE_MAX {
        return Ok(Exchange::parse(&text)?);
    }
    let parsed = tokio::task::spawn_blocking(move || Exchange::parse(&text)).await;
    Ok(parsed.map_err(ApiError::internal)??)
}

/// What is needed of a transaction once it has been decided.
struct Named {
    id: String,
    /// Documents that it writes as a whole.
    whole: Vec<String>,
}

impl Named {
    fn of(transaction: &Transaction) -> Self {
        let whole = transaction.writes.iter().filter(|write| write.kind.is_whole());
        let whole = whole.map(|write| write.id.to_string()).collect();
        Self { id: transaction.id.clone(), whole }
    }
}

/// The outcome as it is recorded, with the transaction's id before it.
fn write_outcome(
    out: &mut Vec<u8>,
    named: &Named,
    result: TransactResult,
    own: &mut Own,
) -> Result<(), ApiError> {
    out.extend_from_slice(b"{\"id\":");
    write_string(out, &named.id);
    match result {
        Ok(Fate::Decided { answer, .. }) => {
            out.push(b',');
            out.extend_from_slice(answer.get(1..).unwrap_or_default());
            note_own(own, named, &answer);
            return Ok(());
        }
        Ok(Fate::Reused) => {
            let reason = format!("the id {:?} was used for another transaction", named.id);
            return Err(ApiError::new(Code::IdReused, reason));
        }
        Ok(Fate::Aborted) => undecided(out, "aborted", None),
        Ok(Fate::NotAttempted) => undecided(out, "not_attempted", None),
        Ok(Fate::Overtaken | Fate::Later) => {
            let error = ApiError::from(settle_index::lane::WriteError::Contended);
            undecided(out, "undecided", Some(&error));
        }
        Err(error) => undecided(out, "undecided", Some(&ApiError::from(error))),
    }
    Ok(())
}

/// Nothing is recorded of it, so that it can be sent again under its id.
fn undecided(out: &mut Vec<u8>, reason: &str, error: Option<&ApiError>) {
    out.extend_from_slice(b",\"accepted\":false,\"reason\":");
    write_string(out, reason);
    if let Some(error) = error {
        out.extend_from_slice(b",\"detail\":{\"error\":");
        write_string(out, error.name());
        out.extend_from_slice(b",\"problem\":");
        write_string(out, error.reason());
        out.push(b'}');
    }
    out.extend_from_slice(b",\"retry\":true}");
}

fn note_own(own: &mut Own, named: &Named, answer: &[u8]) {
    let revs = members(answer).find(|(name, _)| *name == "revs").map(|(_, revs)| revs);
    for (id, rev) in members(revs.unwrap_or_default()) {
        let (id, rev) = (unescape(id), string_value(rev).unwrap_or_default());
        if named.whole.iter().any(|whole| *whole == id) {
            own.insert(id.into_owned(), rev.into_owned());
        }
    }
}

/// `GET /{db}/_outcome_retention`
pub(crate) async fn outcome_retention(call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Read>(&call).await?;
    let seconds = database.outcome_retention(&grant).await?.as_secs();
    Ok(reply::json(StatusCode::OK, &seconds))
}

/// `PUT /{db}/_outcome_retention`
pub(crate) async fn put_outcome_retention(mut call: Call) -> Result<Response, ApiError> {
    let (database, grant): (Database, Grant<Administer>) = open(&call).await?;
    let seconds: u64 = call.json("Request body must be a number of seconds").await?;
    database.set_outcome_retention(&grant, Duration::from_secs(seconds)).await?;
    Ok(reply::ok(StatusCode::OK))
}
