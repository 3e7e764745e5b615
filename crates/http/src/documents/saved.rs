//! Writing one document, and telling how that went.

use axum::response::Response;
use http::StatusCode;
use settle_access::{Grant, Write};
use settle_database::{Atomicity, Database, Edit, Written};
use settle_index::lane::WriteResult;
use settle_model::{
    document::AnyRev,
    id::{DocumentId, LocalId},
    json,
};

use crate::{call::Call, documents::users, error::ApiError, reply};

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
    Ok(call.app.site.put_local(database, grant, id, base, body).await?)
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

pub(crate) async fn write_one(
    call: &Call,
    database: &Database,
    grant: &Grant<Write>,
    edit: Edit,
) -> Result<Written, ApiError> {
    let edit = users::prepare(call, database, edit).await?;
    let mut results = write(call, database, grant, vec![edit], Atomicity::EachAlone).await?;
    Ok(results.pop().expect("every edit has its result")?)
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
    let mut text = Vec::with_capacity(id.len() + 80);
    write_saved(&mut text, id, |text| rev.write_to(text));
    text.push(b'\n');
    reply::json_text(status, text)
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
