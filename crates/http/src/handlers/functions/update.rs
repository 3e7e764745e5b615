//! `_update`: a function turns a request, and a document or none, into a document to store and a reply.

use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use settle_access::Write;
use settle_model::{
    document::{self, AnyRev},
    id::DocumentId,
};
use settle_script::{RequestBody, Updated};
use settle_site::incoming;

use super::{
    asked::{Asked, check_has, written},
    reply::Given,
    request::{self, Members},
};
use crate::{
    call::Call,
    documents::saved::{may_write, write_one},
    error::ApiError,
    limits,
};

const NEW_REV: HeaderName = HeaderName::from_static("x-couch-update-newrev");
const ID: HeaderName = HeaderName::from_static("x-couch-id");

/// What `couch_util:url_encode/1` leaves as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.');

/// `/{db}/_design/{name}/_update/{function}`
pub(crate) async fn update(call: Call) -> Result<Response, ApiError> {
    answer(call, None).await
}

/// `/{db}/_design/{name}/_update/{function}/{docid...}`
pub(crate) async fn update_document(call: Call) -> Result<Response, ApiError> {
    let id = call.rest(3)?;
    answer(call, Some(id)).await
}

async fn answer(mut call: Call, id: Option<String>) -> Result<Response, ApiError> {
    let asked = Asked::<Write>::of(&call).await?;
    let name = call.segment(2)?.into_owned();
    let document = match &id {
        Some(id) => asked.document(id).await?,
        None => None,
    };
    check_has(&asked.entry.design.updates, "updates", &name)?;
    let body = request::text_of(&call.bytes(limits::FUNCTION_BODY_MAX).await?);
    let body = RequestBody::Text(&body);
    let request = request::object(&call, &asked, id.as_deref(), body, Members::All).await?;
    let document = document.as_ref().map(|it| written(it).into());
    let updated = call.app.site.scripts.update(&asked.program(), &name, document, request).await?;
    let Updated { document, response } = updated;
    // Anything but an object asks for nothing to be stored.
    let Some(document) = document.filter(|text| text.first() == Some(&b'{')) else {
        return Ok(Given::read(&response, StatusCode::OK)?.into_response());
    };
    // What it gives back is looked at before anything is stored.
    let given = Given::read(&response, StatusCode::CREATED)?;
    let document = document::parse(&document)?;
    let id: DocumentId = document.id.as_deref().unwrap_or_default().parse()?;
    may_write(&call, &asked.database, &id)?;
    let edit = incoming::edit(call.app.site.store.blobs(), id, document, true, []).await?;
    let id = utf8_percent_encode(edit.id.as_str(), ENCODED).to_string();
    let id = HeaderValue::try_from(id).map_err(ApiError::internal)?;
    write_one(&call, &asked.database, &asked.grant, edit, move |written| {
        let mut rev = Vec::new();
        AnyRev::from(written.rev.clone()).write_to(&mut rev);
        let rev = HeaderValue::from_maybe_shared(bytes::Bytes::from(rev))
            .expect("digests are visible ASCII without quotes");
        let mut given = given.clone();
        given.set(NEW_REV, rev);
        given.set(ID, id.clone());
        given.into_told()
    })
    .await
}
