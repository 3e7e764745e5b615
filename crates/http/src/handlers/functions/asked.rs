//! The design document that a path names, and the function in it.

use std::sync::Arc;

use settle_access::{Action, Grant, Read};
use settle_database::{Database, Extras, GetError, Revision, Select};
use settle_index::{DesignEntry, ViewError};
use settle_model::id::DocumentId;
use settle_query::design::{Functions, Language};
use settle_script::Program;

use crate::{
    call::Call,
    documents::outgoing::Form,
    error::{ApiError, Code},
    open::open,
};

/// Ancestors that functions see of a document: CouchDB's `query_server_config/revs_limit`.
const ANCESTORS: u32 = 20;

pub(super) struct Asked<A: Action> {
    pub(super) database: Database,
    pub(super) grant: Grant<A>,
    pub(super) reading: Grant<Read>,
    pub(super) entry: Arc<DesignEntry>,
}

impl<A: Action> Asked<A> {
    /// The first two open parts of the path name the database and the design document.
    pub(super) async fn of(call: &Call) -> Result<Self, ApiError> {
        let (database, grant) = open::<A>(call).await?;
        let reading = call.authorize::<Read>(database.resource())?;
        let name = call.segment(1)?;
        let entry = call.app.site.indexes.design(&database, &reading, &name).await?;
        match &entry.design.language {
            Language::JavaScript => {}
            Language::Query => return Err(unknown("query")),
            Language::Other(language) => return Err(unknown(language)),
        }
        Ok(Self { database, grant, reading, entry })
    }

    pub(super) fn program(&self) -> Program {
        self.entry.program(self.database.number())
    }

    /// The newest revision of a document as its functions see it; none where there is none.
    pub(super) async fn document(&self, id: &str) -> Result<Option<Revision>, ApiError> {
        let Ok(id) = id.parse::<DocumentId>() else { return Ok(None) };
        let extras = Extras { path: true, conflicts: true, ..Extras::default() };
        match self.database.get(&self.reading, &id, &Select::Winner, extras).await {
            Ok(mut revision) => {
                if let Some(path) = &mut revision.path {
                    path.truncate(ANCESTORS);
                }
                Ok(Some(revision))
            }
            Err(GetError::Missing | GetError::Deleted) => Ok(None),
            Err(error @ GetError::Storage(_)) => Err(error.into()),
        }
    }
}

fn unknown(language: &str) -> ApiError {
    ViewError::UnknownLanguage { language: language.to_owned() }.into()
}

/// A document as JSON, attachments as stubs.
pub(super) fn written(revision: &Revision) -> Vec<u8> {
    let mut text = Vec::with_capacity(revision.body.len() + 200);
    Form { revisions: true, ..Form::default() }.write(&mut text, revision, &Vec::new());
    text
}

/// Refuses a function that is not there, in CouchDB's words.
pub(super) fn check_has(functions: &Functions, kind: &str, name: &str) -> Result<(), ApiError> {
    if functions.contains_key(name) {
        return Ok(());
    }
    let missing = if functions.is_empty() { kind } else { name };
    Err(ApiError::new(Code::NotFound, format!("missing json key: {missing}")))
}

/// Show and list functions can be switched off.
pub(super) fn check_shows_lists(call: &Call) -> Result<(), ApiError> {
    if call.app.shows_lists {
        return Ok(());
    }
    let reason = "Show and list functions are switched off by the setting `scripts.shows_lists`.";
    Err(ApiError::new(Code::NotImplemented, reason))
}
