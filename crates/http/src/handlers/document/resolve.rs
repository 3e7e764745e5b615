//! Ending the conflict of a document: `{"keep": "3-…"}` keeps a live leaf as it is, `{"doc": {…}}` puts a merged
//! body on the one that its `_rev` names, or on the winner; all other live leaves get tombstones, in the same
//! atomic write. With `"revs"` it is done only if these are the live leaves, in whatever order.
//!
//! CouchDB has no such endpoint: there a client writes the edit and each tombstone, and others see the states in
//! between. What is made here are the same revisions.

use axum::response::Response;
use http::{StatusCode, header};
use settle_access::{Grant, Write};
use settle_database::{Atomicity, Content, Database, Edit, EditError, Origin};
use settle_index::lane::{WriteError, WriteResult};
use settle_model::{
    document::{self, AnyRev},
    id::DocumentId,
    json::{elements, members, string_value, unescape, write_string},
    revision::RevId,
};
use settle_site::incoming;

use crate::{
    call::Call,
    documents::{
        named,
        saved::{may_write, write_told},
        users,
    },
    error::ApiError,
    limits, location,
    told::Told,
};

/// What the body asks for.
struct Request {
    /// The leaf that stays or is edited; the winner where none is named.
    kept: Option<RevId>,
    merged: Option<Content>,
    /// The live leaves that the client has seen.
    seen: Option<Vec<RevId>>,
}

pub(super) async fn resolve(
    call: &mut Call,
    database: &Database,
    grant: &Grant<Write>,
    id: DocumentId,
) -> Result<Response, ApiError> {
    may_write(call, database, &id)?;
    let Request { kept, merged, seen } = request(call, &id).await?;
    let (kept, seen) = (kept.as_ref(), seen.as_deref());
    let planned = database.plan_resolution(grant, &id, kept, seen).await??;
    let is_edited = merged.is_some();
    let mut edits = Vec::new();
    for edit in planned.edits(merged) {
        edits.push(users::prepare(call, database, edit).await?);
    }
    let resolution = planned.resolution;
    let location = location::of_document(call, id.as_str());
    let tell = move |results: &[WriteResult]| {
        let rev = match made(results)? {
            Some(merged) if is_edited => merged,
            Some(_) | None => resolution.kept.clone(),
        };
        let rev = AnyRev::from(rev);
        let told = Told::json(StatusCode::CREATED, resolved(&id, &rev, &resolution.closed));
        let told = told.with(header::ETAG, named::etag(&rev));
        Ok(told.with(header::LOCATION, location.clone()))
    };
    if edits.is_empty() {
        return Ok(tell(&[])?.into_response());
    }
    write_told(call, (database, grant), edits, Atomicity::AllOrNothing, tell).await
}

async fn request(call: &mut Call, id: &DocumentId) -> Result<Request, ApiError> {
    let body = call.object(limits::JSON_BODY_MAX).await?;
    let (mut keep, mut merged, mut seen) = (None, None, None);
    for (name, value) in members(&body) {
        match &*unescape(name) {
            "keep" => keep = Some(rev(value)?),
            "doc" => merged = Some(merge(call, id, value).await?),
            "revs" if value.first() == Some(&b'[') => {
                seen = Some(elements(value).map(rev).collect::<Result<Vec<_>, _>>()?);
            }
            "revs" => return Err(ApiError::bad_request("`revs` must be an array of revisions")),
            other => {
                let reason =
                    format!("`{other}` means nothing here: send `keep` or `doc`, and `revs`");
                return Err(ApiError::bad_request(reason));
            }
        }
    }
    match (keep, merged) {
        (Some(kept), None) => Ok(Request { kept: Some(kept), merged: None, seen }),
        (None, Some((kept, content))) => Ok(Request { kept, merged: Some(content), seen }),
        (None, None) | (Some(_), Some(_)) => {
            let reason = "send either `keep`, a revision, or `doc`, a merged document";
            Err(ApiError::bad_request(reason))
        }
    }
}

fn rev(json: &[u8]) -> Result<RevId, ApiError> {
    let rev = string_value(json).and_then(|rev| rev.parse().ok());
    rev.ok_or_else(|| ApiError::bad_request("Invalid rev format"))
}

/// A merged body, and the leaf that it names as what it is made from.
async fn merge(
    call: &Call,
    id: &DocumentId,
    json: &[u8],
) -> Result<(Option<RevId>, Content), ApiError> {
    let document = document::parse(json)?;
    let blobs = call.app.site.store.blobs();
    let Edit { origin, deleted, content, .. } =
        incoming::edit(blobs, id.clone(), document, true, []).await?;
    if deleted {
        let reason = "`doc` is what stays, so it cannot be deleted: delete each leaf instead";
        return Err(ApiError::bad_request(reason));
    }
    match origin {
        Origin::Interactive { base, .. } => Ok((base, content)),
        Origin::Resolution { .. } | Origin::Replicated { .. } => {
            unreachable!("an edit of a client with `new_edits` is interactive")
        }
    }
}

/// The first revision that was made, if all could be.
fn made(results: &[WriteResult]) -> Result<Option<RevId>, ApiError> {
    let mut aborted = None;
    for result in results {
        match result {
            Ok(_) => {}
            // The reason stands at another of them.
            Err(error @ WriteError::Edit(EditError::Aborted)) => aborted = Some(error),
            Err(error) => return Err(error.clone().into()),
        }
    }
    match (aborted, results.first()) {
        (Some(error), _) => Err(error.clone().into()),
        (None, Some(Ok(written))) => Ok(Some(written.rev.clone())),
        (None, _) => Ok(None),
    }
}

/// `{"ok":true,"id":…,"rev":…,"closed":[…]}`
fn resolved(id: &DocumentId, rev: &AnyRev, closed: &[RevId]) -> Vec<u8> {
    let mut out = b"{\"ok\":true,\"id\":".to_vec();
    write_string(&mut out, id.as_str());
    out.extend_from_slice(b",\"rev\":\"");
    rev.write_to(&mut out);
    out.extend_from_slice(b"\",\"closed\":[");
    for (place, rev) in closed.iter().enumerate() {
        out.extend_from_slice(if place > 0 { b",\"" } else { b"\"" });
        rev.write_to(&mut out);
        out.push(b'"');
    }
    out.extend_from_slice(b"]}\n");
    out
}
