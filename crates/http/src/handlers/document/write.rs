//! Writing and deleting a document.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use settle_access::{Grant, Write};
use settle_database::{Content, Database, Edit, Origin, Verdict};
use settle_model::{document::AnyRev, id::DocumentId};
use settle_site::incoming;

use crate::{
    call::Call,
    documents::{
        named, received,
        saved::{accepted, may_write, told_saved, write_later, write_one},
        users,
    },
    error::ApiError,
    location,
    parameters::DocumentParameters,
};

pub(super) async fn put(
    call: &mut Call,
    database: &Database,
    grant: &Grant<Write>,
    id: DocumentId,
) -> Result<Response, ApiError> {
    may_write(call, database, &id)?;
    let parameters = DocumentParameters::of_query(call.query())?;
    let (mut document, following) = received::document(call).await?;
    document.rev = named::base(call, document.rev)?;
    let new_edits = parameters.new_edits.unwrap_or(true);
    let edit =
        incoming::edit(call.app.site.store.blobs(), id, document, new_edits, following).await?;
    let location = location::of_document(call, edit.id.as_str());
    write(call, database, grant, edit, (parameters.batch, Some(location))).await
}

pub(super) async fn delete(
    call: &Call,
    database: &Database,
    grant: &Grant<Write>,
    id: DocumentId,
) -> Result<Response, ApiError> {
    may_write(call, database, &id)?;
    let parameters = DocumentParameters::of_query(call.query())?;
    let origin = Origin::Interactive { base: named::document_base(call)?, must_exist: true };
    let content = Content::Whole { body: b"{}".to_vec(), attachments: Vec::new() };
    let edit = Edit { id, origin, deleted: true, content, verdict: Verdict::NONE };
    write(call, database, grant, edit, (parameters.batch, None)).await
}

async fn write(
    call: &Call,
    database: &Database,
    grant: &Grant<Write>,
    edit: Edit,
    (batch, location): (bool, Option<HeaderValue>),
) -> Result<Response, ApiError> {
    if batch {
        let response = accepted(edit.id.as_str());
        let edit = users::prepare(call, database, edit).await?;
        write_later(call, database, grant, edit).await?;
        return Ok(response);
    }
    let status = if edit.deleted { StatusCode::OK } else { StatusCode::CREATED };
    write_one(call, database, grant, edit, move |written| {
        let rev = AnyRev::from(written.rev.clone());
        let told = told_saved(status, written.id.as_str(), &rev);
        let told = told.with(header::ETAG, named::etag(&rev));
        // What is only promised is nowhere yet, and what is deleted nowhere any more.
        match &location {
            Some(location) => told.with(header::LOCATION, location.clone()),
            None => told,
        }
    })
    .await
}
