//! Mango: finding documents by selectors, and the indexes for it.
//!
//! Source: `mango_httpd.erl`, whose forms these are, to the spaces between members.

mod found;
mod indexes;

use std::borrow::Cow;

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use settle_access::Read;
use settle_model::json;
use settle_query::mango::FindRequest;

use self::found::Found;
pub(crate) use self::indexes::{create, delete, delete_several, indexes};
use crate::{call::Call, error::ApiError, limits, open::open, pieces, reply};

/// `POST /{db}/_find`
pub(crate) async fn find(call: Call) -> Result<Response, ApiError> {
    let partition = partition_of_query(&call);
    find_with(call, partition).await
}

/// `POST /{db}/_partition/{partition}/_find`
pub(crate) async fn find_in_partition(call: Call) -> Result<Response, ApiError> {
    let partition = partition_of_path(&call)?;
    find_with(call, Some(partition)).await
}

/// `POST /{db}/_explain`
pub(crate) async fn explain(call: Call) -> Result<Response, ApiError> {
    let partition = partition_of_query(&call);
    explain_with(call, partition).await
}

/// `POST /{db}/_partition/{partition}/_explain`
pub(crate) async fn explain_in_partition(call: Call) -> Result<Response, ApiError> {
    let partition = partition_of_path(&call)?;
    explain_with(call, Some(partition)).await
}

async fn find_with(mut call: Call, partition: Option<String>) -> Result<Response, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Read>(&call).await?;
    let request = request(&mut call, partition).await?;
    let shows_stats = request.execution_stats;
    let finding = call.app.indexes.find(&database, grant, request).await?;
    let body = pieces::body(Found::new(finding, shows_stats)).await?;
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    const JSON: HeaderValue = reply::JSON;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    Ok(response)
}

async fn explain_with(mut call: Call, partition: Option<String>) -> Result<Response, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Read>(&call).await?;
    let request = request(&mut call, partition).await?;
    let mut text = call.app.indexes.explain(&database, &grant, &request).await?;
    text.push(b'\n');
    Ok(reply::json_text(StatusCode::OK, text))
}

async fn request(call: &mut Call, partition: Option<String>) -> Result<FindRequest, ApiError> {
    let body = body(call).await?;
    let mut request = FindRequest::parse(&body)?;
    match (&request.partition, partition) {
        (Some(named), Some(partition)) if *named != partition => {
            let reason = format!("`partition` must be {partition:?}, as the address says");
            return Err(ApiError::bad_request(reason));
        }
        (_, None) => {}
        (_, Some(partition)) => request.partition = Some(partition),
    }
    if let Some(partition) = &request.partition {
        check_partition(partition)?;
    }
    Ok(request)
}

/// The request's body without white space between tokens.
async fn body(call: &mut Call) -> Result<Vec<u8>, ApiError> {
    let body = call.bytes(limits::QUESTION_BODY_MAX).await?;
    let small = json::minify(&body);
    let small = small.map_err(|error| ApiError::bad_request(error.reason().into_owned()))?;
    Ok(small.into_owned())
}

fn partition_of_query(call: &Call) -> Option<String> {
    call.query().get("partition").map(Cow::into_owned)
}

fn partition_of_path(call: &Call) -> Result<String, ApiError> {
    Ok(call.segment(1)?.into_owned())
}

/// Source: `couch_partition:validate_partition/1`.
fn check_partition(partition: &str) -> Result<(), ApiError> {
    if partition.starts_with('_') {
        return Err(ApiError::bad_request("Partition must not start with an underscore"));
    }
    if partition.contains(':') {
        return Err(ApiError::bad_request("Partition must not contain a colon"));
    }
    Ok(())
}
