//! Which documents a feed of changes shows.
//!
//! What needs no document is left to the scan. Functions, views and selectors are *judges*: they see
//! documents, many at a time, outside of the view that these were found in. With `style=all_docs` they see
//! every leaf, tombstones included, and a row names the leaves that they let through.
//!
//! Source: `couch_changes:configure_filter/4`, `filter/3`; `couch_query_servers:filter_docs/5`.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use settle_access::{Grant, Read};
use settle_database::{ChangeFilter, Database};
use settle_index::DesignEntry;
use settle_model::json;
use settle_query::{design::Language, mango::Projection, selector::Selector};
use settle_script::{Program, RequestBody, Scripts};

use crate::{
    call::{Call, from_json},
    error::{ApiError, Code},
    handlers::functions::request::{Members, object_of, text_of},
    limits,
    parameters::{ChangesParameters, Filter},
};

/// What a feed shows.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) only: ChangeFilter,
    pub(super) judge: Option<Judge>,
}

/// Decides by what is in a document.
#[derive(Debug)]
pub(super) enum Judge {
    Selector {
        selector: Selector,
        /// What is sent of a document with `include_docs`.
        fields: Option<Projection>,
    },
    /// A function of `filters`.
    Function { scripts: Scripts, program: Program, name: String, request: Bytes },
    /// Documents for which a view's map emits something.
    View { scripts: Scripts, program: Program, name: String },
}

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

impl Judge {
    /// How many ancestors its documents tell of: CouchDB's `query_server_config/revs_limit` for code.
    pub(super) fn ancestors(&self) -> u32 {
        match self {
            Self::Selector { .. } => 0,
            Self::Function { .. } | Self::View { .. } => 20,
        }
    }

    pub(super) fn fields(&self) -> Option<&Projection> {
        match self {
            Self::Selector { fields, .. } => fields.as_ref(),
            Self::Function { .. } | Self::View { .. } => None,
        }
    }

    /// Whether equal addresses and sequences mean equal answers, whoever asks.
    pub(super) fn is_stable(&self) -> bool {
        match self {
            Self::View { .. } => true,
            // It stands in the body.
            Self::Selector { .. } | Self::Function { .. } => false,
        }
    }

    /// Which of the documents pass.
    pub(super) async fn ask(&self, documents: Vec<Bytes>) -> Result<Vec<bool>, ApiError> {
        let passed = match self {
            Self::Selector { selector, .. } => {
                documents.iter().map(|document| selector.matches(document)).collect()
            }
            Self::Function { scripts, program, name, request } => {
                scripts.filter(program, name, documents, request.clone()).await?
            }
            Self::View { scripts, program, name } => {
                scripts.map_filter(program, name, documents).await?
            }
        };
        Ok(passed)
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
            let form = "`view` must be of the form `designname/viewname`";
            let (entry, name) = member(call, database, grant, "views", view, form).await?;
            let (scripts, program) = (call.app.scripts.clone(), program(database, &entry));
            judged(Judge::View { scripts, program, name })
        }
        Some(Filter::Function(name)) => {
            let form = "`filter` must be of the form `designname/filtername`";
            let (entry, name) = member(call, database, grant, "filters", name, form).await?;
            let text = text_of(body.as_ref().map_or(&[], |body| &body.text));
            let body = RequestBody::Text(&text);
            let request = object_of(call, database, grant, None, body, Members::All).await?;
            let (scripts, program) = (call.app.scripts.clone(), program(database, &entry));
            judged(Judge::Function { scripts, program, name, request })
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

fn program(database: &Database, entry: &DesignEntry) -> Program {
    Program {
        database: database.number(),
        design: entry.name.clone(),
        digest: entry.digest,
        source: entry.source.clone(),
    }
}

/// The design document that `name` begins with, and the member of `group` that it ends with, which is there.
async fn member(
    call: &Call,
    database: &Database,
    grant: &Grant<Read>,
    group: &str,
    name: &str,
    form: &'static str,
) -> Result<(Arc<DesignEntry>, String), ApiError> {
    let mut parts = name.split('/').filter(|part| !part.is_empty());
    let (Some(design), Some(member), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(ApiError::bad_request(form));
    };
    let entry = call.app.indexes.design(database, grant, design).await?;
    let find = |object, wanted: &str| {
        let found = json::members(object).find(|(key, _)| json::unescape(key) == wanted);
        let missing = || ApiError::new(Code::NotFound, format!("missing json key: {wanted}"));
        found.map(|(_, value)| value).ok_or_else(missing)
    };
    find(find(&entry.source, group)?, member)?;
    let language = match &entry.design.language {
        Language::JavaScript => return Ok((entry, member.to_owned())),
        Language::Query => "query",
        Language::Other(language) => language,
    };
    let reason = format!("unknown query language \"{language}\"");
    Err(ApiError::new(Code::UnknownQueryLanguage, reason))
}
