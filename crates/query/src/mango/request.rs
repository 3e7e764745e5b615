//! What a client asks of `_find` and `_explain`.
//!
//! Source: `mango_opts:validate_find/1`, whose order of checks is kept. `count`, `group`,
//! `aggregate` and `join` are ours.

use std::sync::Arc;

use settle_model::json::{elements, members, string_value, unescape};

use super::{
    aggregate::Aggregation,
    error::MangoError,
    index::{Direction, Index, IndexField, NamedIndex},
    limits::{FIND_LIMIT_DEFAULT, JOIN_LIMIT_DEFAULT, JOIN_LIMIT_MAX, JOINS_MAX},
    plan::selector_fields,
    projection::Projection,
};
use crate::{
    selector::{FieldPath, Found, Selector, is_integer, sort_key},
    terms,
};

#[derive(Debug, Clone)]
pub struct FindRequest {
    pub selector: Selector,
    /// Nothing, a design document, or a design document and an index in it.
    pub use_index: Vec<String>,
    pub bookmark: Option<String>,
    pub limit: u64,
    pub skip: u64,
    pub sort: Vec<IndexField>,
    /// `None`: whole documents.
    pub fields: Option<Projection>,
    pub partition: Option<String>,
    pub r: u64,
    pub conflicts: bool,
    /// `stale=ok`
    pub stale: bool,
    pub update: bool,
    pub stable: bool,
    pub execution_stats: bool,
    pub allow_fallback: bool,
    /// How many documents are selected is counted, whatever the limit.
    pub count: bool,
    pub aggregation: Option<Aggregation>,
    pub joins: Vec<Join>,
}

/// Documents that are put into those found.
#[derive(Debug, Clone)]
pub struct Join {
    /// The field of the document found whose value is looked for.
    pub from: FieldPath,
    /// The field that it is looked for in; `_id` for documents by their ids.
    pub to: JoinTarget,
    /// The member that what was found is put into.
    pub into: String,
    pub fields: Option<Projection>,
    pub limit: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinTarget {
    Id,
    /// An index whose first field is this one is needed.
    Field {
        name: String,
        path: FieldPath,
    },
}

const KEYS: [&str; 19] = [
    "selector",
    "use_index",
    "bookmark",
    "limit",
    "skip",
    "sort",
    "fields",
    "partition",
    "r",
    "conflicts",
    "stale",
    "update",
    "stable",
    "execution_stats",
    "allow_fallback",
    "count",
    "group",
    "aggregate",
    "join",
];

/// Members of a request by name.
pub(crate) struct Options<'a>(&'a [u8]);

impl FindRequest {
    /// All that a selector selects, in any order.
    pub fn of_selector(selector: Selector) -> Self {
        Self {
            selector,
            use_index: Vec::new(),
            bookmark: None,
            limit: u64::MAX,
            skip: 0,
            sort: Vec::new(),
            fields: None,
            partition: None,
            r: 1,
            conflicts: false,
            stale: false,
            update: true,
            stable: false,
            execution_stats: false,
            allow_fallback: true,
            count: false,
            aggregation: None,
            joins: Vec::new(),
        }
    }

    /// Parses the body of a request, minified JSON.
    pub fn parse(body: &[u8]) -> Result<Self, MangoError> {
        let options = Options::new(body)?;
        let selector = options.get("selector").ok_or(MangoError::MissingKey { key: "selector" })?;
        let selector = Selector::parse(selector)?;
        let use_index = options.get("use_index").map_or(Ok(Vec::new()), use_index)?;
        let bookmark = options.get("bookmark").map_or(Ok(None), bookmark)?;
        let limit = options.natural("limit", FIND_LIMIT_DEFAULT)?;
        let skip = options.natural("skip", 0)?;
        let sort = options.get("sort").map_or(Ok(Vec::new()), sort)?;
        let fields = options.get("fields").map_or(Ok(None), Projection::parse)?;
        let partition = options.text("partition")?.filter(|it| !it.is_empty());
        let r = options.get("r").map_or(Ok(1), positive)?;
        let conflicts = options.flag("conflicts", false)?;
        let stale = options.get("stale").map_or(Ok(false), stale)?;
        let update = options.flag("update", true)?;
        let stable = options.flag("stable", false)?;
        let execution_stats = options.flag("execution_stats", false)?;
        let allow_fallback = options.flag("allow_fallback", true)?;
        let count = options.flag("count", false)?;
        let aggregation = Aggregation::parse(options.get("group"), options.get("aggregate"))?;
        let joins = options.get("join").map_or(Ok(Vec::new()), joins)?;
        options.no_other_than(&KEYS)?;
        let request = Self {
            selector,
            use_index,
            bookmark,
            limit,
            skip,
            sort,
            fields,
            partition,
            r,
            conflicts,
            stale,
            update,
            stable,
            execution_stats,
            allow_fallback,
            count,
            aggregation,
            joins,
        };
        request.check()
    }

    /// What makes no sense together.
    fn check(self) -> Result<Self, MangoError> {
        let Some(aggregation) = &self.aggregation else { return Ok(self) };
        let clash = |key: &str| {
            let reason = format!("`{key}` cannot be asked for together with `aggregate`");
            Err(MangoError::InvalidAggregate { reason })
        };
        if self.fields.is_some() {
            return clash("fields");
        }
        if self.bookmark.is_some() {
            return clash("bookmark");
        }
        if !self.joins.is_empty() {
            return clash("join");
        }
        if let Some(field) = self.sort.iter().find(|it| !aggregation.has_column(&it.name)) {
            let reason = format!("the groups have no member {:?} to be sorted by", field.name);
            return Err(MangoError::InvalidAggregate { reason });
        }
        Ok(self)
    }

    /// The request without what makes groups of its documents, as it is planned.
    #[must_use]
    pub fn of_documents(&self) -> Self {
        match &self.aggregation {
            None => self.clone(),
            Some(_) => Self { sort: Vec::new(), ..self.clone() },
        }
    }

    /// The request as it is planned to count all that is selected.
    #[must_use]
    pub fn to_count(&self) -> Self {
        Self {
            sort: Vec::new(),
            fields: Some(Projection::id()),
            aggregation: None,
            joins: Vec::new(),
            ..self.clone()
        }
    }

    pub(crate) fn sort_descends(&self) -> bool {
        self.sort.first().is_some_and(|it| it.direction == Direction::Descending)
    }

    /// All fields that are looked at; `None` if whole documents are.
    pub(crate) fn required_fields(&self) -> Option<Vec<FieldPath>> {
        let mut fields = match (&self.fields, &self.aggregation) {
            (_, Some(aggregation)) => aggregation.paths(),
            (Some(fields), None) => fields.paths().cloned().collect(),
            (None, None) => return None,
        };
        fields.extend(selector_fields(&self.selector));
        fields.extend(self.joins.iter().map(|join| join.from.clone()));
        Some(fields)
    }
}

impl<'a> Options<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Result<Self, MangoError> {
        if body.first() == Some(&b'{') { Ok(Self(body)) } else { Err(MangoError::NotAnObject) }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a [u8]> {
        members(self.0).find(|(key, _)| unescape(key) == name).map(|(_, value)| value)
    }

    pub(crate) fn no_other_than(&self, names: &[&str]) -> Result<(), MangoError> {
        let mut keys = members(self.0).map(|(key, _)| unescape(key));
        match keys.find(|key| !names.contains(&&**key)) {
            Some(key) => Err(MangoError::InvalidKey { key: key.into_owned() }),
            None => Ok(()),
        }
    }

    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool, MangoError> {
        match self.get(name) {
            None => Ok(default),
            Some(b"true") => Ok(true),
            Some(b"false") => Ok(false),
            Some(other) => Err(MangoError::InvalidBoolean { value: terms::plain(other) }),
        }
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, MangoError> {
        let Some(json) = self.get(name) else { return Ok(None) };
        match string_value(json) {
            Some(text) => Ok(Some(text.into_owned())),
            None => Err(MangoError::InvalidString { value: terms::plain(json) }),
        }
    }

    fn natural(&self, name: &str, default: u64) -> Result<u64, MangoError> {
        let Some(json) = self.get(name) else { return Ok(default) };
        natural(json).ok_or_else(|| MangoError::InvalidNonNegative { value: terms::plain(json) })
    }
}

/// An integer that is not negative; more than 64 bits count as the most that they hold.
fn natural(json: &[u8]) -> Option<u64> {
    if !is_integer(json) || (json.starts_with(b"-") && json != b"-0") {
        return None;
    }
    let digits = str::from_utf8(json).ok()?.trim_start_matches('-');
    Some(digits.parse().unwrap_or(u64::MAX))
}

pub(crate) fn positive(json: &[u8]) -> Result<u64, MangoError> {
    match natural(json) {
        Some(value) if value > 0 => Ok(value),
        Some(_) | None => Err(MangoError::InvalidPositive { value: terms::plain(json) }),
    }
}

fn stale(json: &[u8]) -> Result<bool, MangoError> {
    match json {
        b"\"ok\"" => Ok(true),
        b"\"false\"" | b"false" => Ok(false),
        _ => Err(MangoError::InvalidStale { value: terms::plain(json) }),
    }
}

fn bookmark(json: &[u8]) -> Result<Option<String>, MangoError> {
    match string_value(json) {
        Some(text) => Ok((!text.is_empty()).then(|| text.into_owned())),
        None if json == b"null" => Ok(None),
        None => Err(MangoError::InvalidBookmark { bookmark: terms::plain(json) }),
    }
}

/// A design document, a design document with an index, as text or as an array.
pub(crate) fn use_index(json: &[u8]) -> Result<Vec<String>, MangoError> {
    let invalid = || MangoError::InvalidIndexName { value: terms::plain(json) };
    if json == b"null" {
        return Ok(Vec::new());
    }
    if let Some(text) = string_value(json) {
        let parts: Vec<_> = text.split('/').collect();
        let parts = match parts[..] {
            ["_design", design] | [design] => vec![design],
            ["_design", design, view] | [design, view] => vec![design, view],
            _ => return Err(invalid()),
        };
        return Ok(parts.into_iter().map(str::to_owned).collect());
    }
    if json.first() != Some(&b'[') {
        return Err(invalid());
    }
    let parts = elements(json).map(|it| Some(string_value(it)?.into_owned()));
    let parts: Vec<_> = parts.collect::<Option<_>>().ok_or_else(invalid)?;
    if parts.len() > 2 { Err(invalid()) } else { Ok(parts) }
}

/// A sort, or the fields of an index.
pub(crate) fn sort(json: &[u8]) -> Result<Vec<IndexField>, MangoError> {
    if json.first() != Some(&b'[') {
        return Err(MangoError::InvalidSort { value: terms::pretty(json) });
    }
    let fields: Vec<_> = elements(json).map(IndexField::parse).collect::<Result<_, _>>()?;
    let mixed = fields.windows(2).any(|pair| pair[0].direction != pair[1].direction);
    if mixed { Err(MangoError::MixedSort) } else { Ok(fields) }
}

fn joins(json: &[u8]) -> Result<Vec<Join>, MangoError> {
    let invalid = |reason: String| MangoError::InvalidJoin { reason };
    if json.first() != Some(&b'[') {
        return Err(invalid("`join` must be an array of objects".to_owned()));
    }
    let joins: Vec<_> = elements(json).map(Join::parse).collect::<Result<_, _>>()?;
    if joins.len() > JOINS_MAX {
        return Err(invalid(format!("`join` has more than {JOINS_MAX} elements")));
    }
    for (place, join) in joins.iter().enumerate() {
        if joins[..place].iter().any(|it| it.into == join.into) {
            return Err(invalid(format!("two joins are put into {:?}", join.into)));
        }
    }
    Ok(joins)
}

impl Join {
    /// The value that is looked for, of a document found.
    pub fn value(&self, document: &[u8]) -> Option<Vec<u8>> {
        match self.from.find(document) {
            Found::Value(value) => Some(value.to_vec()),
            Found::Missing | Found::BadPath => None,
        }
    }

    /// Whether `document` has `value` where this looks for it.
    pub fn leads_to(&self, document: &[u8], value: &[u8]) -> bool {
        let path = match &self.to {
            JoinTarget::Id => &FieldPath::id(),
            JoinTarget::Field { path, .. } => path,
        };
        match path.find(document) {
            Found::Value(found) => sort_key(found) == sort_key(value),
            Found::Missing | Found::BadPath => false,
        }
    }

    /// The index by which it looks: one that has every document with the field, and this field alone.
    pub fn index<'a>(&self, all: &'a [Arc<Index>], in_partition: bool) -> Option<&'a NamedIndex> {
        let JoinTarget::Field { path, .. } = &self.to else { return None };
        all.iter().find_map(|index| match &**index {
            Index::AllDocs | Index::Conflicts => None,
            Index::Json(index) => {
                let definition = &index.definition;
                let serves = index.partitioned == in_partition
                    && definition.filter().is_none()
                    && matches!(definition.fields(), [only] if only.path == *path);
                serves.then_some(&**index)
            }
        })
    }

    fn parse(json: &[u8]) -> Result<Self, MangoError> {
        let invalid = |reason: &str| MangoError::InvalidJoin { reason: reason.to_owned() };
        let options =
            Options::new(json).map_err(|_| invalid("`join` must be an array of objects"))?;
        options.no_other_than(&["from", "to", "as", "fields", "limit"])?;
        let name = |key: &str| match options.get(key).map(string_value) {
            Some(Some(name)) if !name.is_empty() => Ok(name.into_owned()),
            Some(_) | None => Err(invalid(&format!("a join needs a field's name in `{key}`"))),
        };
        let from = FieldPath::parse(&name("from")?)?;
        let to = match name("to")? {
            id if id == "_id" => JoinTarget::Id,
            field => JoinTarget::Field { path: FieldPath::parse(&field)?, name: field },
        };
        let into = name("as")?;
        if into.starts_with('_') {
            return Err(invalid("`as` of a join must not begin with an underscore"));
        }
        let fields = options.get("fields").map_or(Ok(None), Projection::parse)?;
        let limit = match options.get("limit").map(natural) {
            None => JOIN_LIMIT_DEFAULT,
            Some(Some(limit @ 1..=JOIN_LIMIT_MAX)) => limit,
            Some(_) => {
                let reason = format!("`limit` of a join must be 1 to {JOIN_LIMIT_MAX}");
                return Err(invalid(&reason));
            }
        };
        Ok(Self { from, to, into, fields, limit })
    }
}
