//! `_list`: the rows of a view, or of `_all_docs`, as whatever a function makes of them, while they are read.
//!
//! The reply begins with the first text that the function sends; until then it may change status and
//! headers.

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use serde_json::value::RawValue;
use settle_access::Read;
use settle_script::{ListOutput, RequestBody};

use super::{
    asked::{Asked, check_has, check_shows_lists},
    reply::Given,
    request::{self, Members},
};
use crate::{
    call::Call,
    error::ApiError,
    feed::FeedBroken,
    handlers::{lists::AllDocs, views::ViewRows},
    limits,
    open::open,
    parameters::ViewParameters,
};

/// Where in the path the names are of the design document with the view, and of the view.
#[derive(Clone, Copy)]
struct Places {
    design: usize,
    view: usize,
}

const OWN: Places = Places { design: 1, view: 3 };
const OTHER: Places = Places { design: 3, view: 4 };

/// `GET /{db}/_design/{name}/_list/{function}/{view}`
pub(crate) async fn list(call: Call) -> Result<Response, ApiError> {
    of_query(call, OWN).await
}

/// `POST /{db}/_design/{name}/_list/{function}/{view}`
pub(crate) async fn list_of_body(call: Call) -> Result<Response, ApiError> {
    of_body(call, OWN).await
}

/// `GET /{db}/_design/{name}/_list/{function}/{ddoc}/{view}`
pub(crate) async fn list_of_other(call: Call) -> Result<Response, ApiError> {
    of_query(call, OTHER).await
}

/// `POST /{db}/_design/{name}/_list/{function}/{ddoc}/{view}`
pub(crate) async fn list_of_other_of_body(call: Call) -> Result<Response, ApiError> {
    of_body(call, OTHER).await
}

async fn of_query(mut call: Call, places: Places) -> Result<Response, ApiError> {
    open::<Read>(&call).await?;
    let parameters = ViewParameters::of_query(call.query())?;
    let body = call.bytes(limits::FUNCTION_BODY_MAX).await?;
    answer(call, places, parameters, RequestBody::Text(&request::text_of(&body))).await
}

async fn of_body(mut call: Call, places: Places) -> Result<Response, ApiError> {
    call.require_json()?;
    // Nobody is read at length who may not ask.
    open::<Read>(&call).await?;
    let body = call.object(limits::QUESTION_BODY_MAX).await?;
    let mut parameters = ViewParameters::of_object(&body)?;
    parameters.add_query(call.query())?;
    let body = String::from_utf8(body).map_err(ApiError::internal)?;
    answer(call, places, parameters, RequestBody::Json(&body)).await
}

/// Rows that a list function is given.
enum Rows {
    View(Box<ViewRows>),
    AllDocs(Box<AllDocs>),
}

impl Rows {
    /// What stands before the rows, as text that ends with `"rows":[`.
    async fn begin(&mut self) -> Result<Vec<u8>, ApiError> {
        match self {
            Self::View(rows) => rows.begin().await,
            Self::AllDocs(rows) => rows.begin().await,
        }
    }

    /// Some rows between commas, and whether there are more.
    async fn next(&mut self) -> Result<(Vec<u8>, bool), ApiError> {
        match self {
            Self::View(rows) => rows.next().await,
            Self::AllDocs(rows) => rows.next().await,
        }
    }
}

async fn answer(
    call: Call,
    places: Places,
    parameters: ViewParameters,
    body: RequestBody<'_>,
) -> Result<Response, ApiError> {
    check_shows_lists(&call)?;
    let asked = Asked::<Read>::of(&call).await?;
    let name = call.segment(2)?.into_owned();
    check_has(&asked.entry.design.lists, "lists", &name)?;
    let view = call.segment(places.view)?.into_owned();
    let design = call.segment(places.design)?.into_owned();
    let (database, grant) = (asked.database.clone(), call.authorize(asked.database.resource())?);
    let mut rows = match view.as_str() {
        "_all_docs" => Rows::AllDocs(Box::new(AllDocs::new(&call, database, grant, parameters)?)),
        _ => {
            let names = (&*design, &*view);
            let rows = ViewRows::new(&call.app, database, grant, names, parameters).await?;
            Rows::View(Box::new(rows))
        }
    };
    let head = head(&rows.begin().await?);
    let request = request::object(&call, &asked, None, body, Members::All).await?;
    let scripts = &call.app.site.scripts;
    let (list, output) = scripts.list(&asked.program(), &name, head.into(), request).await?;
    let mut listing = Listing { rows, list: Some(list), has_more: true };
    let mut given = Given::read(b"{}", StatusCode::OK)?;
    let mut output = Some(output);
    let mut first = Bytes::new();
    while let Some(ListOutput { response, chunk, ended }) = output.take() {
        if let Some(response) = response {
            given = Given::read(&response, StatusCode::OK)?;
        }
        if ended {
            listing.list = None;
        }
        if !chunk.is_empty() {
            first = chunk;
            break;
        }
        output = listing.next().await?;
    }
    let rest = stream::unfold(Some(listing), |listing| async {
        let mut listing = listing?;
        match listing.next_chunk().await {
            Ok(Some(chunk)) => Some((Ok(chunk), Some(listing))),
            Ok(None) => None,
            Err(error) => Some((Err(FeedBroken::log(&error)), None)),
        }
    });
    Ok(given.with_body(Body::from_stream(stream::once(async { Ok(first) }).chain(rest))))
}

/// The members before the rows: those that lists are told.
fn head(begun: &[u8]) -> Vec<u8> {
    let before = begun.strip_suffix(b"\"rows\":[\r\n").unwrap_or(begun);
    let mut head = before.strip_suffix(b",").unwrap_or(before).to_vec();
    head.push(b'}');
    head
}

/// A list function under way, and the rows that it has not seen.
struct Listing {
    rows: Rows,
    /// None after its end.
    list: Option<settle_script::List>,
    has_more: bool,
}

impl Listing {
    /// Gives the function some rows, or tells it that there are no more; none after its end.
    async fn next(&mut self) -> Result<Option<ListOutput>, ApiError> {
        loop {
            let Some(mut list) = self.list.take() else { return Ok(None) };
            if !self.has_more {
                return Ok(Some(list.end().await?));
            }
            let (text, has_more) = self.rows.next().await?;
            self.has_more = has_more;
            let rows = split(&text)?;
            if rows.is_empty() {
                self.list = Some(list);
                continue;
            }
            let output = list.rows(rows).await?;
            if !output.ended {
                self.list = Some(list);
            }
            return Ok(Some(output));
        }
    }

    /// The next text that is not empty.
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, ApiError> {
        while let Some(ListOutput { chunk, .. }) = self.next().await? {
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }
}

/// Rows as they stand in a reply, one by one.
fn split(text: &[u8]) -> Result<Vec<Bytes>, ApiError> {
    let rows = text.strip_prefix(b",\r\n").unwrap_or(text);
    let mut array = Vec::with_capacity(rows.len() + 2);
    array.push(b'[');
    array.extend_from_slice(rows);
    array.push(b']');
    let rows: Vec<Box<RawValue>> = serde_json::from_slice(&array).map_err(ApiError::internal)?;
    Ok(rows.into_iter().map(|row| String::from(Box::<str>::from(row)).into()).collect())
}
