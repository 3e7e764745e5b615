//! Writing one document, and telling how that went.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use settle_access::{Grant, Write};
use settle_database::{Atomicity, Database, Edit, Written};
use settle_index::lane::{Once, WriteResult};
use settle_model::{
    document::AnyRev,
    id::{DocumentId, LocalId},
    json,
};

use crate::{call::Call, documents::users, error::ApiError, idempotency, reply, told::Told};

/// Design documents are programs, so they need more than the right to write.
pub(crate) fn may_write(call: &Call, database: &Database, id: &DocumentId) -> Result<(), ApiError> {
    call.app.site.may_write(&call.actor, database, id)?;
    if id.is_design() {
        call.note_act();
    }
    Ok(())
}

/// Refuses to add so many bytes where the account of the database is more than full.
pub(crate) async fn check_room_to_read(
    call: &Call,
    database: &Database,
    bytes: usize,
) -> Result<(), ApiError> {
    Ok(call.app.site.check_room_to_read(database, bytes).await?)
}

/// Writes a local document; the N of its new revision `0-N`.
pub(crate) async fn put_local(
    call: &Call,
    database: &Database,
    grant: &Grant<Write>,
    id: &LocalId,
    base: Option<u64>,
    body: &[u8],
) -> Result<u64, ApiError> {
    refuse_key(call)?;
    Ok(call.app.site.put_local(database, grant, id, base, body).await?)
}

/// Local documents have no place in the order of writes, so nothing of them is remembered.
pub(crate) fn refuse_key(call: &Call) -> Result<(), ApiError> {
    if call.once.is_some() {
        let reason = "local documents are written without an Idempotency-Key";
        return Err(ApiError::bad_request(reason));
    }
    Ok(())
}

/// Makes edits, if the database's design documents have no objection. The caller has prepared those of
/// users, see [`users`].
pub(crate) async fn write(
    call: &Call,
    database: &Database,
    grant: &Grant<Write>,
    edits: Vec<Edit>,
    atomicity: Atomicity,
) -> Result<Vec<WriteResult>, ApiError> {
    Ok(call.app.site.write(&call.actor, database, grant, edits, atomicity).await?)
}

/// Makes an edit, and tells of it.
pub(crate) async fn write_one(
    call: &Call,
    database: &Database,
    grant: &Grant<Write>,
    edit: Edit,
    tell: impl Fn(&Written) -> Told + Send + Sync + 'static,
) -> Result<Response, ApiError> {
    let edits = vec![users::prepare(call, database, edit).await?];
    let tell_result = move |results: &[WriteResult]| match results {
        [Ok(written)] => Ok(tell(written)),
        [Err(error)] => Err(error.clone().into()),
        _ => unreachable!("every edit has its result"),
    };
    write_told(call, (database, grant), edits, Atomicity::EachAlone, tell_result).await
}

/// Makes edits that the caller has prepared, and tells how that went. Where the request has an `Idempotency-Key`, what
/// is told is remembered in the commit of the edits; if it is remembered already, that is all that happens.
pub(crate) async fn write_told(
    call: &Call,
    (database, grant): (&Database, &Grant<Write>),
    edits: Vec<Edit>,
    atomicity: Atomicity,
    tell: impl Fn(&[WriteResult]) -> Result<Told, ApiError> + Send + Sync + 'static,
) -> Result<Response, ApiError> {
    let Some(key) = idempotency::key_of(call).await? else {
        let results = write(call, database, grant, edits, atomicity).await?;
        return Ok(tell(&results)?.into_response());
    };
    let tell = Arc::new(tell);
    let answer = {
        let tell = tell.clone();
        move |results: &[WriteResult]| {
            let told = tell(results).unwrap_or_else(|error| Told::refusal(&error));
            told.stays.then(|| told.encode())
        }
    };
    let once = Once { key, answer: Arc::new(answer) };
    let site = &call.app.site;
    match site.write_once(&call.actor, database, grant, edits, (atomicity, &once)).await? {
        Ok(results) => Ok(tell(&results)?.into_response()),
        Err(recorded) => idempotency::told_again(recorded),
    }
}

/// Makes an edit soon: `batch=ok`. The caller has prepared that of a user.
pub(crate) async fn write_later(
    call: &Call,
    database: &Database,
    grant: &Grant<Write>,
    edit: Edit,
) -> Result<(), ApiError> {
    Ok(call.app.site.write_later(&call.actor, database, grant, edit).await?)
}

/// `{"ok":true,"id":…,"rev":…}`
pub(crate) fn saved(status: StatusCode, id: &str, rev: &AnyRev) -> Response {
    told_saved(status, id, rev).into_response()
}

/// As [`saved`], for what may be remembered.
pub(crate) fn told_saved(status: StatusCode, id: &str, rev: &AnyRev) -> Told {
    let mut text = Vec::with_capacity(id.len() + 80);
    write_saved(&mut text, id, |text| rev.write_to(text));
    text.push(b'\n');
    Told::json(status, text)
}

/// As [`saved`], for a row of many.
pub(crate) fn write_saved(out: &mut Vec<u8>, id: &str, rev: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"{\"ok\":true,\"id\":");
    json::write_string(out, id);
    out.extend_from_slice(b",\"rev\":\"");
    rev(out);
    out.extend_from_slice(b"\"}");
}

/// `{"ok":true,"id":…}`: it will be written, and nothing is promised.
pub(crate) fn accepted(id: &str) -> Response {
    let mut text = Vec::with_capacity(id.len() + 24);
    text.extend_from_slice(b"{\"ok\":true,\"id\":");
    json::write_string(&mut text, id);
    text.extend_from_slice(b"}\n");
    reply::json_text(StatusCode::ACCEPTED, text)
}
