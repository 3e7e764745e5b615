//! Local documents: checkpoints, and other notes that are not replicated.
//!
//! Source: `fabric:open_doc/3` and `couch_db_updater:update_local_doc_revs/1`. Different here: a revision
//! that is not the stored one is a conflict, as clients expect. The same as there: attachments that are
//! sent inside the document are passed over; only those sent by themselves are refused.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use settle_access::{Grant, Read, Write};
use settle_database::Database;
use settle_model::{
    document::{self, AnyRev, Extras, Outgoing},
    id::LocalId,
};

use crate::{
    call::Call,
    documents::{
        named,
        saved::{put_local, refuse_key, saved},
    },
    error::ApiError,
    etag, limits, location, reply,
};

pub(crate) const NO_ATTACHMENTS: &str = "_local documents do not accept attachments.";

pub(super) async fn get(
    call: &Call,
    database: &Database,
    grant: &Grant<Read>,
    id: &LocalId,
) -> Result<Response, ApiError> {
    let stored = database.local(grant, id).await?;
    let rev = AnyRev::Local(stored.revision);
    let etag = etag_of(&rev, &stored.body);
    if call.has_current(&etag) {
        return Ok(reply::not_modified(etag));
    }
    let mut text = Vec::with_capacity(id.as_str().len() + stored.body.len() + 32);
    let (id, body) = (id.as_str(), &stored.body[..]);
    Outgoing { id, rev: &rev, deleted: false, body, extras: Extras::default() }.write(&mut text);
    text.push(b'\n');
    let mut response = reply::json_text(StatusCode::OK, text);
    response.headers_mut().insert(header::ETAG, etag);
    Ok(response)
}

pub(super) async fn put(
    call: &mut Call,
    database: &Database,
    grant: &Grant<Write>,
    id: &LocalId,
) -> Result<Response, ApiError> {
    let text = call.bytes(limits::JSON_BODY_MAX).await?;
    let document = document::parse(&text)?;
    let base = counter(named::base(call, document.rev)?)?;
    if document.deleted {
        refuse_key(call)?;
        return remove(database, grant, id, base).await;
    }
    let revision = put_local(call, database, grant, id, base, &document.body).await?;
    let rev = AnyRev::Local(revision);
    let mut response = saved(StatusCode::CREATED, id.as_str(), &rev);
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag_of(&rev, &document.body));
    headers.insert(header::LOCATION, location::of_document(call, id.as_str()));
    Ok(response)
}

pub(super) async fn delete(
    call: &Call,
    database: &Database,
    grant: &Grant<Write>,
    id: &LocalId,
) -> Result<Response, ApiError> {
    refuse_key(call)?;
    let base = counter(named::base(call, None)?)?;
    remove(database, grant, id, base).await
}

async fn remove(
    database: &Database,
    grant: &Grant<Write>,
    id: &LocalId,
    base: Option<u64>,
) -> Result<Response, ApiError> {
    database.delete_local(grant, id, base).await?;
    let rev = AnyRev::Local(0);
    let mut response = saved(StatusCode::OK, id.as_str(), &rev);
    response.headers_mut().insert(header::ETAG, etag_of(&rev, b"{}"));
    Ok(response)
}

/// The counter that a request rests on. A revision of another document is never the stored one.
pub(super) fn counter(base: Option<AnyRev>) -> Result<Option<u64>, ApiError> {
    match base {
        None => Ok(None),
        Some(AnyRev::Local(count)) => Ok(Some(count)),
        Some(AnyRev::Document(_)) => Err(ApiError::conflict()),
    }
}

/// Counters begin anew when a document is deleted, so they alone would not tell contents apart.
pub(super) fn etag_of(rev: &AnyRev, body: &[u8]) -> HeaderValue {
    let mut text = Vec::with_capacity(body.len() + 24);
    rev.write_to(&mut text);
    text.extend_from_slice(body);
    etag::of(&text)
}
