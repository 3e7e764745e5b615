//! The indexes of a database: listed, created, deleted.

use axum::response::Response;
use http::StatusCode;
use settle_access::{Administer, Read};
use settle_index::{DefinitionError, IndexDeletion};
use settle_model::json;
use settle_query::mango::{IndexCreation, list_json, parse_bulk_delete};

use crate::{
    call::Call, documents::saved::check_room_to_read, error::ApiError, limits, open::open, reply,
};

/// `GET /{db}/_index`
pub(crate) async fn indexes(call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Read>(&call).await?;
    let skip = number(&call, "skip", 0)?.unwrap_or(0);
    let limit = number(&call, "limit", 1)?;
    let indexes = call.app.site.indexes.mango_indexes(&database, &grant).await?;
    let mut text = list_json(&indexes, skip, limit);
    text.push(b'\n');
    Ok(reply::json_text(StatusCode::OK, text))
}

/// CouchDB answers 500 to what is too small.
fn number(call: &Call, name: &str, least: usize) -> Result<Option<usize>, ApiError> {
    let Some(value) = call.query().get(name) else { return Ok(None) };
    match value.parse() {
        Ok(number) if number >= least => Ok(Some(number)),
        Ok(_) | Err(_) => Err(ApiError::query("Index parameter ranges: limit > 0, skip >= 0")),
    }
}

/// `POST /{db}/_index`
pub(crate) async fn create(mut call: Call) -> Result<Response, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Administer>(&call).await?;
    let definition = call.object(limits::SMALL_BODY_MAX).await?;
    let creation = IndexCreation::parse(&definition)?;
    check_room_to_read(&call, &database, definition.len()).await?;
    let created = call.app.site.indexes.create_index(&database, &grant, &creation).await?;
    let mut text = b"{\"result\":".to_vec();
    json::write_string(&mut text, if created { "created" } else { "exists" });
    text.extend_from_slice(b",\"id\":");
    json::write_string(&mut text, &creation.ddoc);
    text.extend_from_slice(b",\"name\":");
    json::write_string(&mut text, &creation.name);
    text.extend_from_slice(b"}\n");
    Ok(reply::json_text(StatusCode::OK, text))
}

/// `DELETE /{db}/_index/{ddoc}/{type}/{name}`, with `_design/` before the document's name or
/// without.
pub(crate) async fn delete(call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Administer>(&call).await?;
    let ddoc = call.segment(1)?;
    let ddoc = format!("_design/{}", ddoc.strip_prefix("_design/").unwrap_or(&ddoc));
    if call.segment(2)? != "json" {
        return Err(ApiError::missing());
    }
    let name = call.segment(3)?;
    let which = IndexDeletion::Named(&name);
    call.app.site.indexes.delete_index(&database, &grant, &ddoc, which).await?;
    Ok(reply::ok(StatusCode::OK))
}

/// `POST /{db}/_index/_bulk_delete`
pub(crate) async fn delete_several(mut call: Call) -> Result<Response, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Administer>(&call).await?;
    let ddocs = parse_bulk_delete(&call.object(limits::SMALL_BODY_MAX).await?)?;
    let (mut success, mut fail) = (Vec::new(), Vec::new());
    for ddoc in &ddocs {
        let deleted =
            call.app.site.indexes.delete_index(&database, &grant, ddoc, IndexDeletion::All);
        let (list, outcome) = match deleted.await {
            Ok(()) => (&mut success, "\"ok\":true".to_owned()),
            Err(DefinitionError::Storage(error)) => return Err(error.into()),
            Err(error) => {
                let error = ApiError::from(error);
                (&mut fail, format!("\"error\":\"{}\"", error.code().as_str()))
            }
        };
        list.extend_from_slice(if list.is_empty() { b"{\"id\":" } else { b",{\"id\":" });
        json::write_string(list, ddoc);
        list.extend_from_slice(format!(",{outcome}}}").as_bytes());
    }
    let text = [b"{\"success\":[" as &[u8], &success, b"],\"fail\":[", &fail, b"]}\n"].concat();
    Ok(reply::json_text(StatusCode::OK, text))
}
