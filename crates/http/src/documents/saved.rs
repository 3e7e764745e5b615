//! Writing one document, and telling how that went.

use axum::response::Response;
use http::StatusCode;
use settle_access::{Administer, Grant, Write};
use settle_accounts::limits::LOCAL_BYTES_BEYOND;
use settle_database::{Atomicity, AttachmentSource, Content, Database, Edit, Written};
use settle_index::lane::{Author, WriteResult};
use settle_model::{
    document::AnyRev,
    id::{DocumentId, LocalId},
    json,
};

use crate::{call::Call, documents::users, error::ApiError, reply};

/// Design documents are programs, so they need more than the right to write.
pub(crate) fn may_write(call: &Call, database: &Database, id: &DocumentId) -> Result<(), ApiError> {
    if id.is_design() {
        call.authorize::<Administer>(database.resource())?;
    }
    Ok(())
}

/// Refuses edits that the account of the database has no room for. Deletions always have.
async fn check_room(call: &Call, database: &Database, edits: &[Edit]) -> Result<(), ApiError> {
    if let Some(owner) = &database.protected().owner {
        let bytes = edits.iter().map(added_bytes).sum();
        if bytes > 0 {
            call.app.accounts.check_bytes(owner, bytes, 0).await?;
        }
    }
    Ok(())
}

/// About what an edit adds: nothing where it only deletes.
fn added_bytes(edit: &Edit) -> u64 {
    match &edit.content {
        Content::Whole { body, attachments } => {
            let empties = edit.deleted && attachments.is_empty() && body == b"{}";
            let body = if empties { 0 } else { body.len() as u64 };
            body + attachments.iter().map(|it| uploaded_bytes(&it.source)).sum::<u64>()
        }
        Content::Attachment { new, .. } => new.as_ref().map_or(0, uploaded_bytes),
    }
}

fn uploaded_bytes(source: &AttachmentSource) -> u64 {
    match source {
        AttachmentSource::New { blob, .. } => blob.stored_length(),
        AttachmentSource::Keep | AttachmentSource::Stored(_) => 0,
    }
}

/// Refuses to add so many bytes where the account of the database is more than full: what it is read with,
/// checkpoints and definitions of indexes, it takes a little longer.
pub(crate) async fn check_room_to_read(
    call: &Call,
    database: &Database,
    bytes: usize,
) -> Result<(), ApiError> {
    if let Some(owner) = &database.protected().owner {
        call.app.accounts.check_bytes(owner, bytes as u64, LOCAL_BYTES_BEYOND).await?;
    }
    Ok(())
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
    check_room_to_read(call, database, body.len()).await?;
    Ok(database.put_local(grant, id, base, body).await?)
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
    check_room(call, database, &edits).await?;
    let author = Author::from(&*call.actor);
    Ok(call.app.lanes.write(database, grant, &author, edits, atomicity).await?)
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
    let edits = vec![edit];
    check_room(call, database, &edits).await?;
    let author = Author::from(&*call.actor);
    call.app.lanes.write_later(database, grant, author, edits);
    Ok(())
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
