//! The request as functions see it.

use bytes::Bytes;
use http::{Method, Uri, header};
use settle_access::{Action, Grant, Read};
use settle_database::Database;
use settle_index::lane::{Author, security_of};
use settle_script::{RequestBody, RequestObject};
use settle_site::DatabaseInfo;

use super::asked::Asked;
use crate::{call::Call, error::ApiError, parameters::Query, reply::to_json};

/// That a request was rewritten: from what, and how often so far.
#[derive(Debug, Clone)]
pub(super) struct Rewritten {
    pub(super) requested: Uri,
    pub(super) times: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Members {
    All,
    /// Functions of `rewrites` are told neither of the database nor of a document.
    OfRewrite,
}

/// The request object as JSON. `id` is the document's in the path.
pub(super) async fn object<A: Action>(
    call: &Call,
    asked: &Asked<A>,
    id: Option<&str>,
    body: RequestBody<'_>,
    members: Members,
) -> Result<Bytes, ApiError> {
    object_of(call, &asked.database, &asked.reading, id, body, members).await
}

/// The same, whatever the design document was found for.
pub(crate) async fn object_of(
    call: &Call,
    database: &Database,
    reading: &Grant<Read>,
    id: Option<&str>,
    body: RequestBody<'_>,
    members: Members,
) -> Result<Bytes, ApiError> {
    let (info, uuid) = match members {
        Members::All => {
            let info = database.info(reading).await?;
            let info = to_json(&DatabaseInfo::new(database, &info));
            let info = String::from_utf8(info).expect("JSON is UTF-8");
            (Some(info), Some(call.app.make_uuid()))
        }
        Members::OfRewrite => (None, None),
    };
    let uri = &call.parts.uri;
    let requested = call.parts.extensions.get::<Rewritten>().map_or(uri, |it| &it.requested);
    let peer = call.client().map_or_else(|| "127.0.0.1".to_owned(), |it| it.to_string());
    let user_ctx = Author::from(&*call.actor).user_ctx(database.name());
    let security = security_of(database);
    let form = form(call, body);
    let object = RequestObject {
        info: info.as_deref(),
        uuid: uuid.as_deref(),
        id,
        method: call.parts.method.as_str(),
        requested_path: &segments(requested),
        path: &segments(uri),
        raw_path: uri.path_and_query().map_or_else(|| uri.path(), |it| it.as_str()),
        query: &owned(call.query()),
        headers: &headers(call),
        body,
        peer: &peer,
        form: &form,
        user_ctx: &String::from_utf8_lossy(&user_ctx),
        security: &String::from_utf8_lossy(&security),
    };
    object.to_json().map_err(ApiError::internal)
}

/// A body as text. One that was not sent is `undefined`, in letters, as in CouchDB.
pub(crate) fn text_of(body: &[u8]) -> String {
    if body.is_empty() {
        return "undefined".to_owned();
    }
    String::from_utf8_lossy(body).into_owned()
}

/// The parts of a path between slashes, decoded.
pub(super) fn segments(uri: &Uri) -> Vec<String> {
    let parts = uri.path().split('/').filter(|part| !part.is_empty());
    parts.map(|part| Query::decoded(part).into_owned()).collect()
}

fn headers(call: &Call) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in call.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        match headers.iter_mut().find(|(known, _)| known == name.as_str()) {
            Some((_, known)) => {
                known.push_str(", ");
                known.push_str(&value);
            }
            None => headers.push((name.as_str().to_owned(), value.into_owned())),
        }
    }
    headers
}

fn form(call: &Call, body: RequestBody<'_>) -> Vec<(String, String)> {
    let kind = call.header(header::CONTENT_TYPE).unwrap_or_default();
    let is_form = kind.starts_with("application/x-www-form-urlencoded")
        && matches!(call.parts.method, Method::POST | Method::PUT);
    match body {
        RequestBody::Text(text) if is_form => owned(Query::new(text)),
        RequestBody::Text(_) | RequestBody::Json(_) => Vec::new(),
    }
}

pub(super) fn owned(query: Query<'_>) -> Vec<(String, String)> {
    query.pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}
