//! Lists of documents by id: `_all_docs`, `_design_docs`, `_local_docs`, and several of one kind in one
//! request.
//!
//! A list is sent while it is read: each piece shows one state of the database, two pieces may show two.
//! What stands before the rows, the number of all rows and that of rows passed over, is of the moment
//! at which the list begins.
//!
//! Source: `chttpd_db:all_docs_view/4`, `fabric_view_all_docs.erl`, `couch_mrview_http:view_cb/2`. As
//! there, ids compare by bytes, and JSON other than text lies before all of them.

mod keys;
mod local;
mod query;
mod range;

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;
use settle_access::{Grant, Read};
use settle_database::Database;

use self::query::{Namespace, Plan, Query};
use crate::{
    call::{Call, from_json},
    error::ApiError,
    limits,
    open::open,
    parameters::ViewParameters,
    pieces::{self, PIECE_BYTES, Piece, Pieces},
    reply,
};

/// `GET /{db}/_all_docs`
pub(crate) async fn all_docs(call: Call) -> Result<Response, ApiError> {
    of_query(call, Namespace::All).await
}

/// `GET /{db}/_design_docs`
pub(crate) async fn design_docs(call: Call) -> Result<Response, ApiError> {
    of_query(call, Namespace::Design).await
}

/// `GET /{db}/_local_docs`
pub(crate) async fn local_docs(call: Call) -> Result<Response, ApiError> {
    of_query(call, Namespace::Local).await
}

/// `POST /{db}/_all_docs`
pub(crate) async fn all_docs_of_body(call: Call) -> Result<Response, ApiError> {
    of_body(call, Namespace::All).await
}

/// `POST /{db}/_design_docs`
pub(crate) async fn design_docs_of_body(call: Call) -> Result<Response, ApiError> {
    of_body(call, Namespace::Design).await
}

/// `POST /{db}/_local_docs`
pub(crate) async fn local_docs_of_body(call: Call) -> Result<Response, ApiError> {
    of_body(call, Namespace::Local).await
}

/// `POST /{db}/_all_docs/queries`
pub(crate) async fn all_docs_queries(call: Call) -> Result<Response, ApiError> {
    of_queries(call, Namespace::All).await
}

/// `POST /{db}/_design_docs/queries`
pub(crate) async fn design_docs_queries(call: Call) -> Result<Response, ApiError> {
    of_queries(call, Namespace::Design).await
}

/// `POST /{db}/_local_docs/queries`
pub(crate) async fn local_docs_queries(call: Call) -> Result<Response, ApiError> {
    of_queries(call, Namespace::Local).await
}

async fn of_query(call: Call, namespace: Namespace) -> Result<Response, ApiError> {
    let (database, grant) = open::<Read>(&call).await?;
    let parameters = ViewParameters::of_query(call.query())?;
    let plan = Plan::new(namespace, parameters)?;
    send(List::one(call, database, grant, plan)).await
}

async fn of_body(mut call: Call, namespace: Namespace) -> Result<Response, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Read>(&call).await?;
    let body = call.bytes(limits::QUESTION_BODY_MAX).await?;
    let Value::Object(body) = from_json(&body, NOT_AN_OBJECT)? else {
        return Err(ApiError::bad_request(NOT_AN_OBJECT));
    };
    let mut parameters = ViewParameters::of_object(&body)?;
    parameters.add_query(call.query())?;
    let plan = Plan::new(namespace, parameters)?;
    send(List::one(call, database, grant, plan)).await
}

async fn of_queries(mut call: Call, namespace: Namespace) -> Result<Response, ApiError> {
    let (database, grant) = open::<Read>(&call).await?;
    let body = call.bytes(limits::QUESTION_BODY_MAX).await?;
    let Value::Object(body) = from_json(&body, NOT_AN_OBJECT)? else {
        return Err(ApiError::bad_request(NOT_AN_OBJECT));
    };
    let queries = match body.get("queries") {
        Some(Value::Array(queries)) => queries,
        Some(_) => return Err(ApiError::bad_request("`queries` member must be an array.")),
        None => {
            let reason = "POST body must include `queries` parameter.";
            return Err(ApiError::bad_request(reason));
        }
    };
    if queries.len() > limits::QUERIES_MAX {
        let reason = format!("at most {} `queries` in one request", limits::QUERIES_MAX);
        return Err(ApiError::bad_request(reason));
    }
    let base = ViewParameters::of_query(call.query())?;
    let mut plans = Vec::with_capacity(queries.len());
    for query in queries {
        let Value::Object(query) = query else {
            return Err(ApiError::bad_request("each of `queries` must be an object"));
        };
        let mut parameters = base.clone();
        parameters.add_object(query)?;
        plans.push(Plan::of_queries(namespace, parameters)?);
    }
    send(List::several(call, database, grant, plans)).await
}

const NOT_AN_OBJECT: &str = "Request body must be a JSON object";

async fn send(list: List) -> Result<Response, ApiError> {
    let body = pieces::body(list).await?;
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    const JSON: HeaderValue = reply::JSON;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    Ok(response)
}

/// A list, or several, while they are sent.
struct List {
    call: Call,
    database: Database,
    grant: Grant<Read>,
    /// Whether the lists stand in the array of a reply to `queries`.
    several: bool,
    plans: std::vec::IntoIter<Plan>,
    began: bool,
    current: Option<Query>,
}

impl List {
    fn one(call: Call, database: Database, grant: Grant<Read>, plan: Plan) -> Self {
        Self::of(call, database, grant, vec![plan], false)
    }

    fn several(call: Call, database: Database, grant: Grant<Read>, plans: Vec<Plan>) -> Self {
        Self::of(call, database, grant, plans, true)
    }

    fn of(
        call: Call,
        database: Database,
        grant: Grant<Read>,
        plans: Vec<Plan>,
        several: bool,
    ) -> Self {
        let plans = plans.into_iter();
        Self { call, database, grant, several, plans, began: false, current: None }
    }
}

impl Pieces for List {
    async fn next(&mut self) -> Result<Piece, ApiError> {
        let mut text = Vec::with_capacity(PIECE_BYTES + (PIECE_BYTES >> 4));
        loop {
            if let Some(mut query) = self.current.take() {
                let blobs = self.call.app.store.blobs();
                let more;
                (text, more) = query.read(&self.database, &self.grant, blobs, text).await?;
                if more {
                    self.current = Some(query);
                } else {
                    text.extend_from_slice(b"\r\n]}");
                }
                if text.len() >= PIECE_BYTES {
                    return Ok(Piece::More(text));
                }
                continue;
            }
            if let Some(plan) = self.plans.next() {
                match (self.several, std::mem::replace(&mut self.began, true)) {
                    (false, _) => {}
                    (true, false) => text.extend_from_slice(b"{\"results\":[\r\n"),
                    (true, true) => text.extend_from_slice(b",\r\n"),
                }
                plan.begin(&self.database, &self.grant, &mut text).await?;
                self.current = Some(plan.into_query());
                continue;
            }
            if self.several {
                text.extend_from_slice(if self.began {
                    b"\r\n]}" as &[u8]
                } else {
                    b"{\"results\":[\r\n]}"
                });
            }
            text.push(b'\n');
            return Ok(Piece::Last(text));
        }
    }
}
