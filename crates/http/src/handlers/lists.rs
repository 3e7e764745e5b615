//! Lists of documents by id: `_all_docs`, `_design_docs`, `_local_docs`, `_conflicts`, and several of one kind in
//! one request.
//!
//! A list is sent while it is read: each piece shows one state of the database, two pieces may show two.
//! What stands before the rows, the number of all rows and that of rows passed over, is of the moment
//! at which the list begins.
//!
//! `_conflicts` is not CouchDB's. It lists documents with a live leaf beside their live winner, from rows that the
//! database keeps of these alone, in the shape of the others.
//!
//! Source: `chttpd_db:all_docs_view/4`, `fabric_view_all_docs.erl`, `couch_mrview_http:view_cb/2`. As
//! there, ids compare by bytes, and JSON other than text lies before all of them.

mod keys;
mod local;
mod query;
mod range;

use std::sync::Arc;

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use settle_access::{Grant, Read};
use settle_database::Database;
use settle_model::json;

use self::query::{Namespace, Plan, Query};
use super::views;
use crate::{
    call::Call,
    error::ApiError,
    limits,
    open::open,
    parameters::ViewParameters,
    pieces::{self, PIECE_BYTES, Piece, Pieces},
    reply,
    state::AppState,
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

/// `GET /{db}/_conflicts`
pub(crate) async fn conflicts(call: Call) -> Result<Response, ApiError> {
    of_query(call, Namespace::Conflicts).await
}

/// `POST /{db}/_conflicts`
pub(crate) async fn conflicts_of_body(call: Call) -> Result<Response, ApiError> {
    of_body(call, Namespace::Conflicts).await
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

/// `GET /{db}/_partition/{partition}/_all_docs`
pub(crate) async fn partition_docs(call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Read>(&call).await?;
    let mut parameters = ViewParameters::of_query(call.query())?;
    parameters.partition = Some(views::partition_of_path(&call, &database, &grant).await?);
    let plan = Plan::new(Namespace::All, parameters)?;
    send(List::one(call, database, grant, plan)).await
}

/// `POST /{db}/_partition/{partition}/_all_docs`
pub(crate) async fn partition_docs_of_body(mut call: Call) -> Result<Response, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Read>(&call).await?;
    let body = call.object(limits::QUESTION_BODY_MAX).await?;
    let mut parameters = ViewParameters::of_object(&body)?;
    parameters.add_query(call.query())?;
    parameters.partition = Some(views::partition_of_path(&call, &database, &grant).await?);
    let plan = Plan::new(Namespace::All, parameters)?;
    send(List::one(call, database, grant, plan)).await
}

async fn of_query(call: Call, namespace: Namespace) -> Result<Response, ApiError> {
    let (database, grant) = open::<Read>(&call).await?;
    let parameters = ViewParameters::of_query(call.query())?;
    check_partition(&database, &grant, &parameters).await?;
    let plan = Plan::new(namespace, parameters)?;
    send(List::one(call, database, grant, plan)).await
}

/// Only some databases have partitions, of which one can be asked for.
async fn check_partition(
    database: &Database,
    grant: &Grant<Read>,
    parameters: &ViewParameters,
) -> Result<(), ApiError> {
    let Some(partition) = &parameters.partition else { return Ok(()) };
    if !database.info(grant).await?.partitioned {
        return Err(ApiError::query("`partition` parameter is not supported on this db"));
    }
    views::partition_name(partition)?;
    Ok(())
}

async fn of_body(mut call: Call, namespace: Namespace) -> Result<Response, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Read>(&call).await?;
    let body = call.object(limits::QUESTION_BODY_MAX).await?;
    let mut parameters = ViewParameters::of_object(&body)?;
    parameters.add_query(call.query())?;
    check_partition(&database, &grant, &parameters).await?;
    let plan = Plan::new(namespace, parameters)?;
    send(List::one(call, database, grant, plan)).await
}

async fn of_queries(mut call: Call, namespace: Namespace) -> Result<Response, ApiError> {
    let (database, grant) = open::<Read>(&call).await?;
    let base = ViewParameters::of_query(call.query())?;
    let body = call.object(limits::QUESTION_BODY_MAX).await?;
    let plans = queries(&body, &base)?.into_iter();
    let plans = plans.map(|parameters| Plan::of_queries(namespace, parameters));
    let plans = plans.collect::<Result<_, _>>()?;
    send(List::several(call, database, grant, plans)).await
}

/// The parameters of each of the `queries` of a body; `base` holds for all of them.
pub(super) fn queries(body: &[u8], base: &ViewParameters) -> Result<Vec<ViewParameters>, ApiError> {
    let queries = match json::members(body).find(|(name, _)| json::unescape(name) == "queries") {
        Some((_, queries @ [b'[', ..])) => queries,
        Some(_) => return Err(ApiError::bad_request("`queries` member must be an array.")),
        None => {
            let reason = "POST body must include `queries` parameter.";
            return Err(ApiError::bad_request(reason));
        }
    };
    if json::elements(queries).count() > limits::QUERIES_MAX {
        let reason = format!("at most {} `queries` in one request", limits::QUERIES_MAX);
        return Err(ApiError::bad_request(reason));
    }
    let of_one = |query: &[u8]| {
        if query.first() != Some(&b'{') {
            return Err(ApiError::bad_request("each of `queries` must be an object"));
        }
        let mut parameters = base.clone();
        parameters.add_object(query)?;
        Ok(parameters)
    };
    json::elements(queries).map(of_one).collect()
}

async fn send(list: List) -> Result<Response, ApiError> {
    let body = pieces::body(list).await?;
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    const JSON: HeaderValue = reply::JSON;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    Ok(response)
}

/// Rows of `_all_docs`, for who makes something else of them.
pub(crate) struct AllDocs {
    app: Arc<AppState>,
    database: Database,
    grant: Grant<Read>,
    plan: Option<Plan>,
    query: Option<Query>,
}

impl AllDocs {
    pub(crate) fn new(
        call: &Call,
        database: Database,
        grant: Grant<Read>,
        parameters: ViewParameters,
    ) -> Result<Self, ApiError> {
        let plan = Some(Plan::new(Namespace::All, parameters)?);
        Ok(Self { app: Arc::clone(&call.app), database, grant, plan, query: None })
    }

    /// What stands before the rows in a reply.
    pub(crate) async fn begin(&mut self) -> Result<Vec<u8>, ApiError> {
        let mut text = Vec::new();
        if let Some(mut plan) = self.plan.take() {
            plan.begin(&self.database, &self.grant, &mut text).await?;
            self.query = Some(plan.into_query());
        }
        Ok(text)
    }

    /// Some rows as they stand in a reply, and whether there are more.
    pub(crate) async fn next(&mut self) -> Result<(Vec<u8>, bool), ApiError> {
        let Some(query) = &mut self.query else { return Ok((Vec::new(), false)) };
        query.read(&self.database, &self.grant, self.app.site.store.blobs(), Vec::new()).await
    }
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
        let mut text = pieces::room(!self.began);
        loop {
            if let Some(mut query) = self.current.take() {
                let blobs = self.call.app.site.store.blobs();
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
            if let Some(mut plan) = self.plans.next() {
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
