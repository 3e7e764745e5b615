//! Which documents a feed of changes shows, as a request says it. What that comes to is in
//! [`settle_site::filter`].

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use settle_access::{Grant, Read};
use settle_database::{ChangeFilter, Database};
use settle_model::json;
use settle_query::{mango::Projection, selector::Selector};
use settle_script::RequestBody;
use settle_site::filter::{Judge, Shown};

use crate::{
    call::{Call, from_json},
    error::ApiError,
    handlers::functions::request::{Members, object_of, text_of},
    limits,
    parameters::{ChangesParameters, Filter},
};

/// What a posted body says.
#[derive(Debug, Default)]
pub(super) struct Body {
    text: Bytes,
    members: BodyMembers,
}

#[derive(Debug, Default, Deserialize)]
struct BodyMembers {
    doc_ids: Option<Box<RawValue>>,
    selector: Option<Box<RawValue>>,
    fields: Option<Box<RawValue>>,
}

impl Body {
    /// An empty body says nothing.
    pub(super) async fn read(call: &mut Call) -> Result<Self, ApiError> {
        let text = call.bytes(limits::QUESTION_BODY_MAX).await?;
        if text.is_empty() {
            return Ok(Self::default());
        }
        let members = from_json(&text, "Request body must be a JSON object")?;
        Ok(Self { text, members })
    }
}

/// `body` is that of a POST.
pub(super) async fn of(
    call: &Call,
    database: &Database,
    grant: &Grant<Read>,
    parameters: &ChangesParameters,
    body: Option<Body>,
) -> Result<Shown, ApiError> {
    let plain = |only| Ok(Shown { only, judge: None });
    let judged = |judge| Ok(Shown { only: ChangeFilter::All, judge: Some(judge) });
    match &parameters.filter {
        None => plain(ChangeFilter::All),
        Some(Filter::Design) => plain(ChangeFilter::Design),
        Some(Filter::DocIds) => {
            let ids = match body {
                Some(body) => body.members.doc_ids.map(|ids| texts(&ids)).transpose()?,
                None => parameters.doc_ids.clone(),
            };
            let reason = "`doc_ids` filter parameter is not a JSON array.";
            let mut ids = ids.ok_or_else(|| ApiError::bad_request(reason))?;
            ids.sort_unstable();
            ids.dedup();
            plain(ChangeFilter::Ids(Arc::from(ids)))
        }
        Some(Filter::Selector) => match body {
            Some(body) => judged(selector(&body.members)?),
            None => Err(ApiError::bad_request("Selector must be specified in POST payload")),
        },
        Some(Filter::View) => {
            let view = parameters.view.as_deref().unwrap_or_default();
            if view.is_empty() {
                return Err(ApiError::bad_request("`view` filter parameter is not provided."));
            }
            judged(call.app.site.view_judge(database, grant, view).await?)
        }
        Some(Filter::Function(name)) => {
            let text = text_of(body.as_ref().map_or(&[], |body| &body.text));
            let body = RequestBody::Text(&text);
            let request = object_of(call, database, grant, None, body, Members::All);
            judged(call.app.site.function_judge(database, grant, name, request).await?)
        }
    }
}

fn selector(members: &BodyMembers) -> Result<Judge, ApiError> {
    let object = members.selector.as_deref().filter(|it| it.get().starts_with('{'));
    let object =
        object.ok_or_else(|| ApiError::bad_request("Selector error: expected a JSON object"))?;
    let minified = |json: &RawValue| {
        let json = json::minify(json.get().as_bytes());
        json.map(std::borrow::Cow::into_owned)
            .map_err(|error| ApiError::bad_request(error.reason()))
    };
    let selector = Selector::parse(&minified(object)?);
    let selector = selector.map_err(|error| ApiError::bad_request(error.to_string()))?;
    let fields = match members.fields.as_deref() {
        None => None,
        Some(fields) => Projection::parse(&minified(fields)?)
            .map_err(|_| ApiError::bad_request("Selector error: fields must be JSON array"))?,
    };
    Ok(Judge::Selector { selector, fields })
}

fn texts(ids: &RawValue) -> Result<Vec<String>, ApiError> {
    if !ids.get().starts_with('[') {
        let reason = "`doc_ids` filter parameter is not a JSON array.";
        return Err(ApiError::bad_request(reason));
    }
    let reason = "`doc_ids` filter parameter is not a list of doc ids.";
    serde_json::from_str(ids.get()).map_err(|_| ApiError::bad_request(reason))
}
