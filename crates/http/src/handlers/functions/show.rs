//! `_show`: a document, or none, as whatever a function makes of it.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use settle_access::Read;
use settle_script::RequestBody;

use super::{
    asked::{Asked, check_has, check_shows_lists, written},
    reply::Given,
    request::{self, Members},
};
use crate::{call::Call, documents::named, error::ApiError, etag, limits, reply::not_modified};

/// `/{db}/_design/{name}/_show/{function}`
pub(crate) async fn show(call: Call) -> Result<Response, ApiError> {
    answer(call, None).await
}

/// `/{db}/_design/{name}/_show/{function}/{docid...}`
pub(crate) async fn show_document(call: Call) -> Result<Response, ApiError> {
    let id = call.rest(3)?;
    answer(call, Some(id)).await
}

async fn answer(mut call: Call, id: Option<String>) -> Result<Response, ApiError> {
    check_shows_lists(&call)?;
    let asked = Asked::<Read>::of(&call).await?;
    let name = call.segment(2)?.into_owned();
    let document = match &id {
        Some(id) => asked.document(id).await?,
        None => None,
    };
    check_has(&asked.entry.design.shows, "shows", &name)?;
    let revision = document.as_ref().map(|it| named::etag(&it.rev.clone().into()));
    let etag = etag_of(&call, &asked, revision.as_ref());
    if call.has_current(&etag) {
        return Ok(not_modified(etag));
    }
    let body = request::text_of(&call.bytes(limits::FUNCTION_BODY_MAX).await?);
    let body = RequestBody::Text(&body);
    let request = request::object(&call, &asked, id.as_deref(), body, Members::All).await?;
    let document = document.as_ref().map(|it| written(it).into());
    let response = call.app.site.scripts.show(&asked.program(), &name, document, request).await?;
    let mut given = Given::read(&response, StatusCode::OK)?;
    given.set(header::ETAG, etag);
    given.set(header::VARY, HeaderValue::from_static("Accept"));
    Ok(given.into_response())
}

/// A function is taken for one that says the same when document, type and roles are the same.
fn etag_of(call: &Call, asked: &Asked<Read>, revision: Option<&HeaderValue>) -> HeaderValue {
    let roles = match &*call.actor {
        settle_access::Actor::Anonymous => String::new(),
        settle_access::Actor::User { roles, .. } => roles.join("\n"),
    };
    let parts: [&[u8]; 4] = [
        &asked.entry.digest,
        revision.map_or(b"", HeaderValue::as_bytes),
        call.header(header::ACCEPT).unwrap_or_default().as_bytes(),
        roles.as_bytes(),
    ];
    etag::of(&parts.join(&0))
}
