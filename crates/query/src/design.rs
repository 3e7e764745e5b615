//! Design documents: what their members say, and what index their views need.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    collate::Collation,
    reduce::{Native, ReduceError},
};

/// A design document, as far as the server understands it.
#[derive(Debug, Clone)]
pub struct Design {
    /// Without `_design/`.
    pub name: String,
    pub language: Language,
    pub options: DesignOptions,
    /// Whether its index follows writes without being asked.
    pub autoupdate: bool,
    /// `views.lib`: CommonJS modules that map and reduce functions may require, as JSON.
    pub lib: Option<Arc<[u8]>>,
    pub filters: Functions,
    pub updates: Functions,
    pub shows: Functions,
    pub lists: Functions,
    pub validate: Option<Validation>,
    pub rewrites: Option<Rewrites>,
    pub schemas: Vec<SchemaRule>,
    /// The whole document, minified, without special members.
    pub source: Arc<[u8]>,
    views: BTreeMap<String, ViewDefinition>,
}

/// Name to source.
pub type Functions = BTreeMap<String, Arc<str>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Language {
    JavaScript,
    /// Mango.
    Query,
    /// One that the server does not run. Such a document is kept, and its functions are not found.
    Other(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DesignOptions {
    /// Map functions see `_local_seq`.
    pub local_seq: bool,
    /// Map functions see design documents.
    pub include_design: bool,
    /// `None`: as the database is.
    pub partitioned: Option<bool>,
    /// Reads and `_changes` may return when the server created and last updated a document.
    pub timestamps: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validation {
    Script(Arc<str>),
    /// A Mango selector over `{"newDoc", "oldDoc", "userCtx", "secObj"}`, as JSON.
    Selector(Arc<[u8]>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rewrites {
    /// An array of rules, as JSON.
    Rules(Arc<[u8]>),
    Script(Arc<str>),
}

/// One of `"schemas": [{"selector": {…}, "schema": {…}}]`: documents that the selector matches must
/// satisfy the JSON Schema. Both as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaRule {
    pub selector: Arc<[u8]>,
    pub schema: Arc<[u8]>,
}

#[derive(Debug, Clone)]
struct ViewDefinition {
    map: MapSource,
    reduce: Option<ReduceSource>,
    collation: Collation,
    options: Option<Arc<[u8]>>,
}

/// What a row comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum MapSource {
    /// A function's source.
    Script(Arc<str>),
    /// The definition of a Mango index, as JSON: `{"fields": {…}, "partial_filter_selector": {…}}`.
    Fields(Arc<[u8]>),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReduceSource {
    Native(Native),
    /// A function's source.
    Script(Arc<str>),
}

/// What one index keeps: all views of a design document, which are mapped together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexDefinition {
    /// Equal for equal definitions, whatever document and views are called.
    pub signature: [u8; 16],
    pub language: Language,
    pub lib: Option<Arc<[u8]>>,
    pub local_seq: bool,
    pub include_design: bool,
    pub partitioned: bool,
    /// In the order of their sources; views with the same source and collation share one.
    pub maps: Vec<MapDefinition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapDefinition {
    pub source: MapSource,
    pub collation: Collation,
    /// In the order of their sources, each once.
    pub reducers: Vec<ReduceSource>,
}

/// Where a view's rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewPlace {
    /// In [`IndexDefinition::maps`].
    pub map: usize,
    /// In [`MapDefinition::reducers`].
    pub reducer: Option<usize>,
}

/// A Mango index of a design document in language `query`.
#[derive(Debug, Clone, Copy)]
pub struct MangoView<'a> {
    pub name: &'a str,
    /// `{"fields": {…}, "partial_filter_selector": {…}}`
    pub map: &'a [u8],
    /// What `options.def` holds: the definition as it was sent.
    pub def: Option<&'a [u8]>,
}

/// Why there is no such view.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    #[error("missing_named_view")]
    Missing,
    #[error(transparent)]
    Broken(#[from] DesignError),
}

/// What is wrong with a design document, in CouchDB's words; its error is `invalid_design_doc`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DesignError {
    #[error("design document must be an object")]
    NotAnObject,
    #[error("`{path}` field must have {expected} type")]
    Type { path: String, expected: &'static str },
    #[error("View `{view}` must contain map function")]
    NoMap { view: String },
    #[error(transparent)]
    Reduce(#[from] ReduceError),
    #[error("partitioned option cannot be true in a non-partitioned database.")]
    Partitioned,
}

/// Parses a design document as it is stored. A member that is wrong counts as absent, so that it
/// breaks only itself.
pub fn parse(_name: &str, _body: &[u8]) -> Result<Design, DesignError> {
    unimplemented!()
}

/// Whether `body` may be saved as a design document. Functions are not compiled here.
pub fn check_save(_body: &[u8], _database_is_partitioned: bool) -> Result<(), DesignError> {
    unimplemented!()
}

impl Design {
    /// What the index of its views keeps; `None` when it has none that the server can build.
    pub fn index(&self, _database_is_partitioned: bool) -> Option<IndexDefinition> {
        unimplemented!()
    }

    pub fn view(&self, _name: &str) -> Result<ViewPlace, ViewError> {
        unimplemented!()
    }

    pub fn view_names(&self) -> impl Iterator<Item = &str> {
        self.views.keys().map(String::as_str)
    }

    /// The Mango indexes in it.
    pub fn mango_views(&self) -> impl Iterator<Item = MangoView<'_>> {
        std::iter::empty()
    }
}
