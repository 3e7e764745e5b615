//! Documents: `/{db}/{id}`, `/{db}/_design/{name}`, `/{db}/_local/{name}`.
//!
//! Source: `chttpd_db:db_doc_req/3`.

mod copy;
mod form;
mod local;
mod read;
mod resolve;
mod write;

use axum::response::Response;
use settle_access::{Read, Write};
use settle_model::id::AnyId;

pub(crate) use self::local::NO_ATTACHMENTS;
use crate::{
    call::Call,
    documents::{named, users},
    error::ApiError,
    open::{find, open, open_for_document},
    reply,
};

pub(crate) async fn get(call: Call) -> Result<Response, ApiError> {
    if let Some(response) = public(&call).await? {
        return Ok(response);
    }
    let (database, grant, id) = open_for_document::<Read>(&call, named::existing_id).await?;
    match id {
        AnyId::Document(id) => {
            if let Some(location) = plain_design_path(&call) {
                return Ok(reply::moved(location));
            }
            read::get(&call, &database, &grant, &id).await
        }
        AnyId::Local(id) => local::get(&call, &database, &grant, &id).await,
    }
}

pub(crate) async fn put(mut call: Call) -> Result<Response, ApiError> {
    let (database, grant, id) = open_for_document::<Write>(&call, named::id).await?;
    match id {
        AnyId::Document(id) => write::put(&mut call, &database, &grant, id).await,
        AnyId::Local(id) => local::put(&mut call, &database, &grant, &id).await,
    }
}

pub(crate) async fn delete(call: Call) -> Result<Response, ApiError> {
    let (database, grant, id) = open_for_document::<Write>(&call, named::existing_id).await?;
    match id {
        AnyId::Document(id) => write::delete(&call, &database, &grant, id).await,
        AnyId::Local(id) => local::delete(&call, &database, &grant, &id).await,
    }
}

pub(crate) async fn copy(call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Write>(&call).await?;
    let source = named::existing_id(&call)?;
    copy::copy(&call, &database, &grant, &source).await
}

/// Where an HTML form sends a document, or attachments for one. What is posted to a name that no document
/// can have is for an endpoint that is not here.
pub(crate) async fn post(mut call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Write>(&call).await?;
    match named::existing_id(&call)? {
        AnyId::Document(id) => form::post(&mut call, &database, &grant, id).await,
        AnyId::Local(_) => Err(ApiError::bad_request(NO_ATTACHMENTS)),
    }
}

/// `POST /{db}/{id}/_resolve`
pub(crate) async fn resolve(mut call: Call) -> Result<Response, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Write>(&call).await?;
    match named::existing_id(&call)? {
        AnyId::Document(id) => resolve::resolve(&mut call, &database, &grant, id).await,
        AnyId::Local(_) => Err(ApiError::bad_request("local documents have no conflicts")),
    }
}

/// What somebody sees of another user, where the settings show anything.
async fn public(call: &Call) -> Result<Option<Response>, ApiError> {
    if call.app.settings.live().public_fields.is_empty() || call.actor.is_server_admin() {
        return Ok(None);
    }
    match named::existing_id(call) {
        Ok(id) => users::public(call, &find(call).await?, &id).await,
        Err(_) => Ok(None),
    }
}

/// Design documents are read with a plain slash, so that the relative links of their attachments work.
fn plain_design_path(call: &Call) -> Option<http::HeaderValue> {
    let raw = call.raw_segment(1);
    let escaped = raw.get(.."_design%2F".len())?;
    if !escaped.eq_ignore_ascii_case("_design%2F") {
        return None;
    }
    let name = &raw[escaped.len()..];
    let query = call.parts.uri.query().map_or_else(String::new, |query| format!("?{query}"));
    Some(call.absolute(&format!("{}/{}/_design/{name}{query}", call.root(), call.raw_segment(0))))
}
