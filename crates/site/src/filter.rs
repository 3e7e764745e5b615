//! Which documents a feed of changes shows.
//!
//! What needs no document is left to the scan. Functions, views and selectors are *judges*: they see
//! documents, many at a time, outside of the view that these were found in. With `style=all_docs` they see
//! every leaf, tombstones included, and a row names the leaves that they let through.
//!
//! Source: `couch_changes:configure_filter/4`, `filter/3`; `couch_query_servers:filter_docs/5`.

use std::sync::Arc;

use bytes::Bytes;
use settle_access::{Grant, Read};
use settle_database::{ChangeFilter, Database, StorageError};
use settle_index::{DesignEntry, ViewError};
use settle_model::json;
use settle_query::{design::Language, mango::Projection, selector::Selector};
use settle_script::{Program, ScriptError, Scripts};
use thiserror::Error;

use crate::{Site, limits::FEW_IDS_MAX};

/// What a feed shows.
#[derive(Debug)]
pub struct Shown {
    pub only: ChangeFilter,
    pub judge: Option<Judge>,
}

/// Decides by what is in a document.
#[derive(Debug)]
pub enum Judge {
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

/// Why a function cannot filter.
#[derive(Debug, Error)]
pub enum FilterError {
    #[error("`{parameter}` must be of the form `designname/{member}name`")]
    Form { parameter: &'static str, member: &'static str },
    #[error("missing json key: {key}")]
    NoMember { key: String },
    #[error("unknown query language \"{language}\"")]
    Language { language: String },
    #[error(transparent)]
    Design(#[from] ViewError),
}

impl Judge {
    /// How many ancestors its documents tell of: CouchDB's `query_server_config/revs_limit` for code.
    pub fn ancestors(&self) -> u32 {
        match self {
            Self::Selector { .. } => 0,
            Self::Function { .. } | Self::View { .. } => 20,
        }
    }

    pub fn fields(&self) -> Option<&Projection> {
        match self {
            Self::Selector { fields, .. } => fields.as_ref(),
            Self::Function { .. } | Self::View { .. } => None,
        }
    }

    /// Whether equal addresses and sequences mean equal answers, whoever asks.
    pub fn is_stable(&self) -> bool {
        match self {
            Self::View { .. } => true,
            // It stands in the body.
            Self::Selector { .. } | Self::Function { .. } => false,
        }
    }

    /// Which of the documents pass.
    pub async fn ask(&self, documents: Vec<Bytes>) -> Result<Vec<bool>, ScriptError> {
        match self {
            Self::Selector { selector, .. } => {
                Ok(documents.iter().map(|document| selector.matches(document)).collect())
            }
            Self::Function { scripts, program, name, request } => {
                scripts.filter(program, name, documents, request.clone()).await
            }
            Self::View { scripts, program, name } => {
                scripts.map_filter(program, name, documents).await
            }
        }
    }
}

impl Site {
    /// What `filter=_view&view=design/name` asks.
    pub async fn view_judge(
        &self,
        database: &Database,
        grant: &Grant<Read>,
        view: &str,
    ) -> Result<Judge, FilterError> {
        let form = FilterError::Form { parameter: "view", member: "view" };
        let (entry, name) = self.function(database, grant, "views", view, form).await?;
        let program = program(database, &entry);
        Ok(Judge::View { scripts: self.scripts.clone(), program, name })
    }

    /// What `filter=design/name` asks. `request` makes what the function gets as its request, when the
    /// function has been found.
    pub async fn function_judge<E: From<FilterError>>(
        &self,
        database: &Database,
        grant: &Grant<Read>,
        function: &str,
        request: impl Future<Output = Result<Bytes, E>>,
    ) -> Result<Judge, E> {
        let form = FilterError::Form { parameter: "filter", member: "filter" };
        let (entry, name) = self.function(database, grant, "filters", function, form).await?;
        let program = program(database, &entry);
        Ok(Judge::Function {
            scripts: self.scripts.clone(),
            program,
            name,
            request: request.await?,
        })
    }

    /// The sequences in `since + 1 ..= until`, ascending, of all changes that may be shown, where these are
    /// so few that the feed need not be looked through for them: those of some ids, or what a selector
    /// may let through, as far as an index knows.
    pub async fn few_changes(
        &self,
        database: &Database,
        grant: &Grant<Read>,
        shown: &Shown,
        (since, until): (u64, u64),
    ) -> Result<Option<Vec<u64>>, StorageError> {
        match (&shown.only, &shown.judge) {
            (ChangeFilter::Ids(ids), _) if ids.len() <= FEW_IDS_MAX => {
                let mut sequences = database.sequences_of(grant, ids).await?;
                sequences.retain(|&sequence| sequence > since && sequence <= until);
                Ok(Some(sequences))
            }
            (ChangeFilter::All, Some(Judge::Selector { selector, .. })) => {
                self.indexes.selected_changes(database, grant, selector, (since, until)).await
            }
            (ChangeFilter::All | ChangeFilter::Ids(_) | ChangeFilter::Design, _) => Ok(None),
        }
    }

    /// The design document that `name` begins with, and the member of `group` that it ends with, which is
    /// there.
    async fn function(
        &self,
        database: &Database,
        grant: &Grant<Read>,
        group: &str,
        name: &str,
        form: FilterError,
    ) -> Result<(Arc<DesignEntry>, String), FilterError> {
        let mut parts = name.split('/').filter(|part| !part.is_empty());
        let (Some(design), Some(member), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(form);
        };
        let entry = self.indexes.design(database, grant, design).await?;
        let find = |object, wanted: &str| {
            let found = json::members(object).find(|(key, _)| json::unescape(key) == wanted);
            let missing = || FilterError::NoMember { key: wanted.to_owned() };
            found.map(|(_, value)| value).ok_or_else(missing)
        };
        find(find(&entry.source, group)?, member)?;
        match &entry.design.language {
            Language::JavaScript => Ok((entry, member.to_owned())),
            Language::Query => Err(FilterError::Language { language: "query".to_owned() }),
            Language::Other(language) => Err(FilterError::Language { language: language.clone() }),
        }
    }
}

fn program(database: &Database, entry: &DesignEntry) -> Program {
    Program {
        database: database.number(),
        design: entry.name.clone(),
        digest: entry.digest,
        source: entry.source.clone(),
    }
}
