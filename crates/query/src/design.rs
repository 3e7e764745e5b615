//! Design documents: what their members say, and what index their views need.
//!
//! A document is checked when it is saved ([`check_save`], in CouchDB's words) and read leniently
//! afterwards ([`parse`]): one may have been stored before a rule was made. Then a member that is wrong
//! counts as absent, or, where a view names a reducer that does not exist, fails when it is asked for.
//!
//! | member | read as |
//! |---|---|
//! | `language` | `javascript` unless given; `query` for Mango; others are kept and not run |
//! | `options` | `local_seq`, `include_design`, `partitioned`, and ours: `timestamps` |
//! | `autoupdate` | `true` unless it is `false` |
//! | `views` | name → `map`, `reduce`, `options.collation` (`"raw"`), `options.def` (Mango); `lib`: modules |
//! | `filters`, `updates`, `shows`, `lists`, `transactions` | name → source |
//! | `validate_doc_update` | a source, or a Mango selector over `newDoc` and `oldDoc` |
//! | `rewrites` | an array of rules, or a source |
//! | `schemas` | ours: `[{"selector": {…}, "schema": {…}}]`, JSON Schemas of the documents selected |
//!
//! Source: `couch_mrview:validate/2`, `couch_mrview_util:ddoc_to_mrst/2`, `mango_native_proc.erl`.
//! Differences: the signature of an index says nothing of the names of views and of options that change no
//! row, so more design documents share an index; a selector is a selector in whatever language the
//! rest is.

mod check;
mod signature;

use std::{collections::BTreeMap, sync::Arc};

use settle_model::json;

pub use self::check::{DesignError, check_save};
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
    /// Transaction functions; none of CouchDB's.
    pub transactions: Functions,
    pub validate: Option<Validation>,
    pub rewrites: Option<Rewrites>,
    pub schemas: Vec<SchemaRule>,
    /// The whole document, minified, without special members.
    pub source: Arc<[u8]>,
    maps: Vec<MapDefinition>,
    views: BTreeMap<String, View>,
}

/// Name to source.
pub type Functions = BTreeMap<String, Arc<str>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Language {
    JavaScript,
    /// Mango.
    Query,
    /// One that the server does not run. Such a document is kept, and its functions fail.
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
    /// A Mango selector over `{"newDoc": …, "oldDoc": …}`, as JSON. What it does not match is
    /// forbidden: "document is not valid".
    Selector(Arc<[u8]>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rewrites {
    /// An array of rules, as JSON.
    Rules(Arc<[u8]>),
    Script(Arc<str>),
}

/// Documents that the selector matches must satisfy the JSON Schema. Both as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaRule {
    pub selector: Arc<[u8]>,
    pub schema: Arc<[u8]>,
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

/// What a function of a view is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptKind {
    Map,
    Reduce,
}

impl IndexDefinition {
    /// Whether it is of Mango indexes. These keep rows for all leaves: beside those of each live winner, rows
    /// of their own for what else a filter of changes may see.
    pub fn keeps_leaves(&self) -> bool {
        self.language == Language::Query
    }

    /// How many sets of rows it has: one for each map, then, where it [keeps](Self::keeps_leaves) leaves,
    /// another for each.
    pub fn tree_count(&self) -> usize {
        if self.keeps_leaves() { 2 * self.maps.len() } else { self.maps.len() }
    }

    /// Where the rows of leaves stand that belong to a map.
    pub fn leaf_tree(&self, map: usize) -> usize {
        self.maps.len() + map
    }
}

/// Where a view's rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewPlace {
    /// In [`IndexDefinition::maps`].
    pub map: usize,
    /// In [`MapDefinition::reducers`].
    pub reducer: Option<usize>,
}

#[derive(Debug, Clone)]
struct View {
    place: Result<ViewPlace, DesignError>,
    /// `options.def`, as JSON.
    def: Option<Arc<[u8]>>,
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
    #[error("unknown query language \"{language}\"")]
    UnknownLanguage { language: String },
    #[error(transparent)]
    Broken(#[from] DesignError),
}

/// Parses a design document as it is stored. Only what is no object is refused.
pub fn parse(name: &str, body: &[u8]) -> Result<Design, DesignError> {
    if body.first() != Some(&b'{') {
        return Err(DesignError::NotAnObject);
    }
    let views = member(body, "views").unwrap_or_default();
    let language = Language::of(body);
    let (maps, views_by_name) = read_views(views, &language);
    Ok(Design {
        name: name.to_owned(),
        options: DesignOptions::of(member(body, "options").unwrap_or_default()),
        autoupdate: member(body, "autoupdate") != Some(b"false"),
        lib: member(views, "lib").filter(|it| is_object(it)).map(Arc::from),
        filters: functions(body, "filters"),
        updates: functions(body, "updates"),
        shows: functions(body, "shows"),
        lists: functions(body, "lists"),
        transactions: functions(body, "transactions"),
        validate: member(body, "validate_doc_update").and_then(Validation::of),
        rewrites: member(body, "rewrites").and_then(Rewrites::of),
        schemas: schemas(body),
        source: body.into(),
        language,
        maps,
        views: views_by_name,
    })
}

impl Design {
    /// What the index of its views keeps; `None` when it has none that the server can build.
    pub fn index(&self, database_is_partitioned: bool) -> Option<IndexDefinition> {
        if self.maps.is_empty() {
            return None;
        }
        let mut index = IndexDefinition {
            signature: [0; 16],
            language: self.language.clone(),
            lib: self.lib.clone(),
            local_seq: self.options.local_seq,
            include_design: self.options.include_design,
            partitioned: database_is_partitioned && self.options.partitioned.unwrap_or(true),
            maps: self.maps.clone(),
        };
        index.signature = signature::of(&index);
        Some(index)
    }

    /// Where the rows of a view are in [`Design::index`].
    pub fn view(&self, name: &str) -> Result<ViewPlace, ViewError> {
        if let Language::Other(language) = &self.language {
            return Err(ViewError::UnknownLanguage { language: language.clone() });
        }
        let view = self.views.get(name).ok_or(ViewError::Missing)?;
        view.place.clone().map_err(ViewError::Broken)
    }

    /// The names of all views that have a map.
    pub fn view_names(&self) -> impl Iterator<Item = &str> {
        self.views.keys().map(String::as_str)
    }

    /// The map and reduce functions in JavaScript: the name of the view, what the function is, its source.
    pub fn script_views(&self) -> impl Iterator<Item = (&str, ScriptKind, &str)> {
        let views = match self.language {
            Language::JavaScript => Some(&self.views),
            Language::Query | Language::Other(_) => None,
        };
        views.into_iter().flatten().flat_map(|(name, view)| {
            let place = view.place.as_ref().ok();
            let definition = place.map(|place| &self.maps[place.map]);
            let map = definition.and_then(|it| match &it.source {
                MapSource::Script(source) => Some((&**name, ScriptKind::Map, &**source)),
                MapSource::Fields(_) => None,
            });
            let reducer = place.and_then(|it| it.reducer).zip(definition);
            let reduce = reducer.and_then(|(at, definition)| match &definition.reducers[at] {
                ReduceSource::Script(source) => Some((&**name, ScriptKind::Reduce, &**source)),
                ReduceSource::Native(_) => None,
            });
            map.into_iter().chain(reduce)
        })
    }

    /// The Mango indexes in it.
    pub fn mango_views(&self) -> impl Iterator<Item = MangoView<'_>> {
        self.views.iter().filter_map(|(name, view)| {
            let place = view.place.as_ref().ok()?;
            match &self.maps[place.map].source {
                MapSource::Fields(map) => Some(MangoView { name, map, def: view.def.as_deref() }),
                MapSource::Script(_) => None,
            }
        })
    }
}

impl Language {
    fn of(body: &[u8]) -> Self {
        match member(body, "language").and_then(json::string_value).as_deref() {
            None | Some("javascript") => Self::JavaScript,
            Some("query") => Self::Query,
            Some(other) => Self::Other(other.to_owned()),
        }
    }
}

impl DesignOptions {
    fn of(options: &[u8]) -> Self {
        let flag = |name| match member(options, name) {
            Some(b"true") => Some(true),
            Some(b"false") => Some(false),
            Some(_) | None => None,
        };
        Self {
            local_seq: flag("local_seq").unwrap_or(false),
            include_design: flag("include_design").unwrap_or(false),
            partitioned: flag("partitioned"),
            timestamps: flag("timestamps").unwrap_or(false),
        }
    }
}

impl Validation {
    fn of(value: &[u8]) -> Option<Self> {
        if is_object(value) {
            return Some(Self::Selector(value.into()));
        }
        text(value).map(Self::Script)
    }
}

impl Rewrites {
    fn of(value: &[u8]) -> Option<Self> {
        if value.first() == Some(&b'[') {
            return Some(Self::Rules(value.into()));
        }
        text(value).map(Self::Script)
    }
}

/// One view as it is written, before equal maps are put together.
struct Written {
    name: String,
    map: (MapSource, Collation),
    reduce: Option<Result<ReduceSource, DesignError>>,
    def: Option<Arc<[u8]>>,
}

fn read_views(views: &[u8], language: &Language) -> (Vec<MapDefinition>, BTreeMap<String, View>) {
    let written: Vec<Written> =
        json::members(views).filter_map(|(key, view)| Written::of(key, view, language)).collect();
    let mut reducers = BTreeMap::<_, Vec<&ReduceSource>>::new();
    for view in &written {
        let reducers = reducers.entry(&view.map).or_default();
        if let Some(Ok(reduce)) = &view.reduce
            && let Err(place) = reducers.binary_search(&reduce)
        {
            reducers.insert(place, reduce);
        }
    }
    let place_of = |view: &Written| {
        let map = reducers.keys().position(|map| **map == view.map).expect("entered above");
        let reducer = match &view.reduce {
            None => None,
            Some(Ok(reduce)) => reducers[&view.map].binary_search(&reduce).ok(),
            Some(Err(error)) => return Err(error.clone()),
        };
        Ok(ViewPlace { map, reducer })
    };
    let views = written
        .iter()
        .map(|view| (view.name.clone(), View { place: place_of(view), def: view.def.clone() }))
        .collect();
    let maps = reducers
        .iter()
        .map(|((source, collation), reducers)| MapDefinition {
            source: source.clone(),
            collation: *collation,
            reducers: reducers.iter().copied().cloned().collect(),
        })
        .collect();
    (maps, views)
}

impl Written {
    fn of(key: &str, view: &[u8], language: &Language) -> Option<Self> {
        let name = json::unescape(key).into_owned();
        let map = member(view, "map").filter(|_| name != "lib")?;
        let options = member(view, "options").unwrap_or_default();
        let raw = member(options, "collation").and_then(json::string_value);
        let map = match language {
            Language::JavaScript if raw.as_deref() == Some("raw") => {
                (MapSource::Script(text(map)?), Collation::Raw)
            }
            Language::JavaScript => (MapSource::Script(text(map)?), Collation::Unicode),
            Language::Query if is_object(map) => {
                (MapSource::Fields(map.into()), Collation::Unicode)
            }
            Language::Query | Language::Other(_) => return None,
        };
        let reduce = member(view, "reduce").map(|reduce| {
            let path = || format!("views.{name}.reduce");
            let source = text(reduce)
                .ok_or_else(|| DesignError::Type { path: path(), expected: "string" })?;
            ReduceSource::of(source).map_err(DesignError::Reduce)
        });
        let def = member(options, "def").map(Arc::from);
        Some(Self { name, map, reduce, def })
    }
}

impl ReduceSource {
    fn of(source: Arc<str>) -> Result<Self, ReduceError> {
        Native::parse(&source).map_or(Ok(Self::Script(source)), |native| native.map(Self::Native))
    }
}

fn functions(body: &[u8], name: &str) -> Functions {
    json::members(member(body, name).unwrap_or_default())
        .filter_map(|(key, value)| Some((json::unescape(key).into_owned(), text(value)?)))
        .collect()
}

fn schemas(body: &[u8]) -> Vec<SchemaRule> {
    json::elements(member(body, "schemas").unwrap_or_default())
        .filter_map(|rule| {
            Some(SchemaRule {
                selector: member(rule, "selector").filter(|it| is_object(it))?.into(),
                schema: member(rule, "schema")?.into(),
            })
        })
        .collect()
}

fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    json::members(object).find(|(key, _)| json::unescape(key) == name).map(|(_, value)| value)
}

fn text(value: &[u8]) -> Option<Arc<str>> {
    json::string_value(value).map(|text| Arc::from(&*text))
}

fn is_object(value: &[u8]) -> bool {
    value.first() == Some(&b'{')
}
