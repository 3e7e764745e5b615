//! Views: rows that functions made of documents, in the order of their keys, or reduced; several
//! questions at once; and what there is to say of an index.
//!
//! An answer is sent while it is read: each piece shows one state of the index, two pieces may show
//! two. The numbers before the rows are of the moment at which the answer begins.
//!
//! Source: `chttpd_view.erl`, `couch_mrview_http:view_cb/2`, `couch_mrview_util:validate_args_int/1`,
//! `chttpd_db:handle_partition_req/2`. Different here: a query whose keys lie in the wrong order is
//! refused also where one of the two is given twice.

mod documents;
mod info;
mod question;
mod rows;

use std::sync::Arc;

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use settle_access::{Grant, Read};
use settle_database::Database;
use settle_index::View;

pub(crate) use self::info::{clean_up, compact, info, partition};
use self::{question::Question, rows::Answer};
use super::lists;
use crate::{
    call::Call,
    error::{ApiError, Code},
    limits,
    open::open,
    parameters::ViewParameters,
    pieces::{self, PIECE_BYTES, Piece, Pieces},
    reply,
    state::AppState,
};

/// `GET /{db}/_design/{name}/_view/{view}`
pub(crate) async fn view(call: Call) -> Result<Response, ApiError> {
    let parameters = ViewParameters::of_query(call.query())?;
    let asked = Asked::of(&call, (0, 1, 2)).await?;
    let question = Question::new(&asked.view, parameters)?;
    asked.send(call, vec![question], false).await
}

/// `POST /{db}/_design/{name}/_view/{view}`
pub(crate) async fn view_of_body(mut call: Call) -> Result<Response, ApiError> {
    call.require_json()?;
    let asked = Asked::of(&call, (0, 1, 2)).await?;
    let parameters = body_and_query(&mut call).await?;
    let question = Question::new(&asked.view, parameters)?;
    asked.send(call, vec![question], false).await
}

/// `POST /{db}/_design/{name}/_view/{view}/queries`
pub(crate) async fn queries(mut call: Call) -> Result<Response, ApiError> {
    call.require_json()?;
    let asked = Asked::of(&call, (0, 1, 2)).await?;
    let base = ViewParameters::of_query(call.query())?;
    let body = call.object(limits::QUESTION_BODY_MAX).await?;
    let questions = lists::queries(&body, &base)?.into_iter();
    let questions = questions.map(|parameters| Question::new(&asked.view, parameters));
    let questions = questions.collect::<Result<_, _>>()?;
    asked.send(call, questions, true).await
}

/// `GET /{db}/_partition/{partition}/_design/{name}/_view/{view}`
pub(crate) async fn partition_view(call: Call) -> Result<Response, ApiError> {
    let mut parameters = ViewParameters::of_query(call.query())?;
    let asked = Asked::of(&call, (0, 2, 3)).await?;
    asked.in_partition(&call, &mut parameters).await?;
    let question = Question::new(&asked.view, parameters)?;
    asked.send(call, vec![question], false).await
}

/// `POST /{db}/_partition/{partition}/_design/{name}/_view/{view}`
pub(crate) async fn partition_view_of_body(mut call: Call) -> Result<Response, ApiError> {
    call.require_json()?;
    let asked = Asked::of(&call, (0, 2, 3)).await?;
    let mut parameters = body_and_query(&mut call).await?;
    asked.in_partition(&call, &mut parameters).await?;
    let question = Question::new(&asked.view, parameters)?;
    asked.send(call, vec![question], false).await
}

async fn body_and_query(call: &mut Call) -> Result<ViewParameters, ApiError> {
    let body = call.object(limits::QUESTION_BODY_MAX).await?;
    let queries = settle_model::json::members(&body).any(|(name, _)| name == "queries");
    if queries {
        let reason = "The `queries` parameter is no longer supported at this endpoint";
        return Err(ApiError::bad_request(reason));
    }
    let mut parameters = ViewParameters::of_object(&body)?;
    parameters.add_query(call.query())?;
    Ok(parameters)
}

/// The name of a partition, if it can be one.
///
/// Source: `couch_partition:validate_partition/1`.
pub(crate) fn partition_name(text: &str) -> Result<&str, ApiError> {
    let refuse = |reason| Err(ApiError::new(Code::IllegalPartition, reason));
    match text {
        "" => refuse("Partition must not be empty"),
        _ if text.starts_with('_') => refuse("Partition must not start with an underscore"),
        _ if text.contains(':') => refuse("Partition must not contain a colon"),
        _ => Ok(text),
    }
}

/// The partition that the path names, in a database that has some.
pub(crate) async fn partition_of_path(
    call: &Call,
    database: &Database,
    grant: &Grant<Read>,
) -> Result<String, ApiError> {
    if !database.info(grant).await?.partitioned {
        return Err(ApiError::bad_request("database is not partitioned"));
    }
    let name = call.segment(1)?;
    let name = partition_name(&name)?;
    if call.query().get("partition").is_some_and(|given| given != name) {
        let reason = "Conflicting value for `partition` in query string";
        return Err(ApiError::bad_request(reason));
    }
    Ok(name.to_owned())
}

/// The view that is asked.
struct Asked {
    database: Database,
    grant: Grant<Read>,
    view: View,
}

impl Asked {
    /// The numbers of the open parts of the path that name the database, the design document, the view.
    async fn of(call: &Call, (_, design, view): (usize, usize, usize)) -> Result<Self, ApiError> {
        let (database, grant) = open::<Read>(call).await?;
        let (design, view) = (call.segment(design)?, call.segment(view)?);
        let view = call.app.site.indexes.view(&database, &grant, &design, &view).await?;
        Ok(Self { database, grant, view })
    }

    async fn in_partition(
        &self,
        call: &Call,
        parameters: &mut ViewParameters,
    ) -> Result<(), ApiError> {
        let partition = partition_of_path(call, &self.database, &self.grant).await?;
        parameters.partition = Some(partition);
        Ok(())
    }

    async fn send(
        self,
        call: Call,
        questions: Vec<Question>,
        several: bool,
    ) -> Result<Response, ApiError> {
        let questions = questions.into_iter();
        let sending =
            Sending { call, asked: self, several, questions, began: false, current: None };
        let mut response = Response::new(pieces::body(sending).await?);
        *response.status_mut() = StatusCode::OK;
        const JSON: HeaderValue = reply::JSON;
        response.headers_mut().insert(header::CONTENT_TYPE, JSON);
        Ok(response)
    }
}

/// Rows of a view, for who makes something else of them.
pub(crate) struct ViewRows {
    app: Arc<AppState>,
    asked: Asked,
    question: Option<Question>,
    answer: Option<Answer>,
}

impl ViewRows {
    /// `names` are those of the design document and the view.
    pub(crate) async fn new(
        app: &Arc<AppState>,
        database: Database,
        grant: Grant<Read>,
        (design, view): (&str, &str),
        parameters: ViewParameters,
    ) -> Result<Self, ApiError> {
        let view = app.site.indexes.view(&database, &grant, design, view).await?;
        let question = Some(Question::new(&view, parameters)?);
        let asked = Asked { database, grant, view };
        Ok(Self { app: Arc::clone(app), asked, question, answer: None })
    }

    /// What stands before the rows in a reply.
    pub(crate) async fn begin(&mut self) -> Result<Vec<u8>, ApiError> {
        let mut text = Vec::new();
        if let Some(question) = self.question.take() {
            let ready = self.asked.view.ready(question.update).await?;
            self.answer = Some(Answer::begin(ready, question, &mut text).await?);
        }
        Ok(text)
    }

    /// Some rows as they stand in a reply, and whether there are more.
    pub(crate) async fn next(&mut self) -> Result<(Vec<u8>, bool), ApiError> {
        let Some(answer) = &mut self.answer else { return Ok((Vec::new(), false)) };
        let Asked { database, grant, .. } = &self.asked;
        answer.read(database, grant, self.app.site.store.blobs(), Vec::new()).await
    }
}

/// Answers while they are sent.
struct Sending {
    call: Call,
    asked: Asked,
    /// Whether the answers stand in the array of a reply to `queries`.
    several: bool,
    questions: std::vec::IntoIter<Question>,
    began: bool,
    current: Option<Answer>,
}

impl Pieces for Sending {
    async fn next(&mut self) -> Result<Piece, ApiError> {
        let mut text = pieces::room(!self.began);
        loop {
            if let Some(mut answer) = self.current.take() {
                let Asked { database, grant, .. } = &self.asked;
                let blobs = self.call.app.site.store.blobs();
                let more;
                (text, more) = answer.read(database, grant, blobs, text).await?;
                if more {
                    self.current = Some(answer);
                } else {
                    text.extend_from_slice(b"\r\n]}");
                }
                if text.len() >= PIECE_BYTES {
                    return Ok(Piece::More(text));
                }
                continue;
            }
            if let Some(question) = self.questions.next() {
                match (self.several, std::mem::replace(&mut self.began, true)) {
                    (false, _) => {}
                    (true, false) => text.extend_from_slice(b"{\"results\":[\r\n"),
                    (true, true) => text.extend_from_slice(b",\r\n"),
                }
                let ready = self.asked.view.ready(question.update).await?;
                self.current = Some(Answer::begin(ready, question, &mut text).await?);
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
