//! Mango: finding documents by selectors, and the indexes for it.
//!
//! Source: `mango_httpd.erl`, whose forms these are, to the spaces between members.

mod found;
mod indexes;

use std::borrow::Cow;

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use settle_access::{Grant, Read};
use settle_database::Database;
use settle_query::mango::FindRequest;

pub(crate) use self::found::Found;
pub(crate) use self::indexes::{create, delete, delete_several, indexes};
use super::{
    history,
    views::{partition_name, partition_of_path},
};
use crate::{call::Call, error::ApiError, limits, open::open, pieces, reply};

/// `POST /{db}/_find`
pub(crate) async fn find(call: Call) -> Result<Response, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Read>(&call).await?;
    let partition = call.query().get("partition").map(Cow::into_owned);
    find_with(call, database, grant, partition).await
}

/// `POST /{db}/_partition/{partition}/_find`
pub(crate) async fn find_in_partition(call: Call) -> Result<Response, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Read>(&call).await?;
    let partition = partition_of_path(&call, &database, &grant).await?;
    find_with(call, database, grant, Some(partition)).await
}

/// `POST /{db}/_explain`
pub(crate) async fn explain(call: Call) -> Result<Response, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Read>(&call).await?;
    let partition = call.query().get("partition").map(Cow::into_owned);
    explain_with(call, database, grant, partition).await
}

/// `POST /{db}/_partition/{partition}/_explain`
pub(crate) async fn explain_in_partition(call: Call) -> Result<Response, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Read>(&call).await?;
    let partition = partition_of_path(&call, &database, &grant).await?;
    explain_with(call, database, grant, Some(partition)).await
}

async fn find_with(
    mut call: Call,
    database: Database,
    grant: Grant<Read>,
    partition: Option<String>,
) -> Result<Response, ApiError> {
    let request = request(&mut call, partition).await?;
    let shows_stats = request.execution_stats;
    let indexes = &call.app.site.indexes;
    let finding = match history::moment(&call, &database, &grant).await? {
        None => indexes.find(&database, grant, request).await?,
        Some(moment) => indexes.find_at(&database, grant, request, moment).await?,
    };
    let body = pieces::body(Found::new(finding, shows_stats)).await?;
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    const JSON: HeaderValue = reply::JSON;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    Ok(response)
}

async fn explain_with(
    mut call: Call,
    database: Database,
    grant: Grant<Read>,
    partition: Option<String>,
) -> Result<Response, ApiError> {
    let request = request(&mut call, partition).await?;
    let mut text = call.app.site.indexes.explain(&database, &grant, &request).await?;
    text.push(b'\n');
    Ok(reply::json_text(StatusCode::OK, text))
}

/// The request, with the partition that the address names.
async fn request(call: &mut Call, partition: Option<String>) -> Result<FindRequest, ApiError> {
    let mut request = FindRequest::parse(&call.object(limits::QUESTION_BODY_MAX).await?)?;
    match (&request.partition, partition) {
        (Some(named), Some(partition)) if *named != partition => {
            let reason = format!("`partition` must be {partition:?}, as the address says");
            return Err(ApiError::bad_request(reason));
        }
        (_, None) => {}
        (_, Some(partition)) => request.partition = Some(partition),
    }
    if let Some(partition) = &request.partition {
        partition_name(partition)?;
    }
    Ok(request)
}
