//! Which documents a feed of changes shows.
//!
//! Filters that run code, and selectors, are refused once it is certain that they exist: a feed that
//! passed them over would show what its reader asked not to see.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use settle_access::{Grant, Read};
use settle_database::{ChangeFilter, Database, Extras, Select};
use settle_model::{id::DocumentId, json};

use crate::{
    call::{Call, from_json},
    error::{ApiError, Code},
    limits,
    parameters::{ChangesParameters, Filter},
};

/// What a posted body says.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Body {
    doc_ids: Option<Value>,
    selector: Option<IgnoredAny>,
}

impl Body {
    /// An empty body says nothing.
    pub(super) async fn read(call: &mut Call) -> Result<Self, ApiError> {
        let body = call.bytes(limits::QUESTION_BODY_MAX).await?;
        if body.is_empty() {
            return Ok(Self::default());
        }
        from_json(&body, "Request body must be a JSON object")
    }
}

/// `body` is that of a POST.
pub(super) async fn of(
    database: &Database,
    grant: &Grant<Read>,
    parameters: &ChangesParameters,
    body: Option<Body>,
) -> Result<ChangeFilter, ApiError> {
    match &parameters.filter {
        None => Ok(ChangeFilter::All),
        Some(Filter::Design) => Ok(ChangeFilter::Design),
        Some(Filter::DocIds) => {
            let ids = match body {
                Some(body) => body.doc_ids.map(texts).transpose()?,
                None => parameters.doc_ids.clone(),
            };
            let reason = "`doc_ids` filter parameter is not a JSON array.";
            let mut ids = ids.ok_or_else(|| ApiError::bad_request(reason))?;
            ids.sort_unstable();
            ids.dedup();
            Ok(ChangeFilter::Ids(Arc::from(ids)))
        }
        Some(Filter::Selector) => {
            if body.and_then(|body| body.selector).is_none() {
                let reason = "Selector must be specified in POST payload";
                return Err(ApiError::bad_request(reason));
            }
            Err(not_here("selectors"))
        }
        Some(Filter::View) => {
            let view = parameters.view.as_deref().unwrap_or_default();
            if view.is_empty() {
                return Err(ApiError::bad_request("`view` filter parameter is not provided."));
            }
            let form = "`view` must be of the form `designname/viewname`";
            check_member(database, grant, "views", view, form).await?;
            Err(not_here("views"))
        }
        Some(Filter::Function(name)) => {
            let form = "`filter` must be of the form `designname/filtername`";
            check_member(database, grant, "filters", name, form).await?;
            Err(not_here("filter functions"))
        }
    }
}

fn not_here(what: &str) -> ApiError {
    let reason = format!("This server does not filter changes by {what}.");
    ApiError::new(Code::NotImplemented, reason)
}

fn texts(ids: Value) -> Result<Vec<String>, ApiError> {
    let Value::Array(ids) = ids else {
        let reason = "`doc_ids` filter parameter is not a JSON array.";
        return Err(ApiError::bad_request(reason));
    };
    let text = |id| match id {
        Value::String(id) => Ok(id),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            let reason = "`doc_ids` filter parameter is not a list of doc ids.";
            Err(ApiError::bad_request(reason))
        }
    };
    ids.into_iter().map(text).collect()
}

/// Whether the design document that `name` begins with has the member of `group` that it ends with.
async fn check_member(
    database: &Database,
    grant: &Grant<Read>,
    group: &str,
    name: &str,
    form: &'static str,
) -> Result<(), ApiError> {
    let mut parts = name.split('/').filter(|part| !part.is_empty());
    let (Some(design), Some(member), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(ApiError::bad_request(form));
    };
    let id: DocumentId = format!("_design/{design}").parse()?;
    let document = database.get(grant, &id, &Select::Winner, Extras::default()).await?;
    let find = |object, wanted: &str| {
        let found = json::members(object).find(|(key, _)| json::unescape(key) == wanted);
        let missing = || ApiError::new(Code::NotFound, format!("missing json key: {wanted}"));
        found.map(|(_, value)| value).ok_or_else(missing)
    };
    find(find(&document.body, group)?, member)?;
    Ok(())
}
