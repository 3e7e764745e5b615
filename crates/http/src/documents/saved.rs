//! Writing one document, and telling how that went.

use axum::response::Response;
use http::StatusCode;
use settle_access::{Administer, Grant, Write};
use settle_database::{Atomicity, Database, Edit, Seen, Verdict, Written};
use settle_model::{document::AnyRev, id::DocumentId, json};

use crate::{call::Call, error::ApiError, reply};

/// Design documents are programs, so they need more than the right to write.
pub(crate) fn may_write(call: &Call, database: &Database, id: &DocumentId) -> Result<(), ApiError> {
    if id.is_design() {
        call.authorize::<Administer>(database.resource())?;
    }
    Ok(())
}

pub(crate) async fn write_one(
    database: &Database,
    grant: &Grant<Write>,
    edit: Edit,
) -> Result<Written, ApiError> {
    let edit = passed(database, edit);
    let mut results = database.write(grant, vec![edit], Atomicity::EachAlone).await?;
    Ok(results.pop().expect("every edit has its result")?)
}

/// No validators are asked yet.
pub(crate) fn passed(database: &Database, edit: Edit) -> Edit {
    Edit { verdict: Verdict::passed(database.epochs(), Seen::Nothing), ..edit }
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
