//! Index definitions: what they say, and the key of a document.
//!
//! Source: `mango_idx_view.erl`, `mango_idx_special.erl`, and `mango_native_proc.erl` for the keys.

use std::sync::Arc;

use settle_model::json::{members, string_value, unescape, write_string};

use super::error::MangoError;
use crate::{
    selector::{FieldPath, Found, Names, Selector, find_in},
    terms,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Ascending,
    Descending,
}

/// One field of an index or of a sort.
#[derive(Debug, Clone)]
pub struct IndexField {
    /// As it was written, with escapes.
    pub name: String,
    pub path: FieldPath,
    pub direction: Direction,
    slot: usize,
}

/// What the map of an index says: `{"fields": {"a": "asc"}, "partial_filter_selector": {…}}`.
#[derive(Debug, Clone)]
pub struct MangoIndex {
    fields: Vec<IndexField>,
    filter: Option<Selector>,
    names: Names,
    /// As stored.
    json: Arc<[u8]>,
}

/// An index that can be chosen.
#[derive(Debug, Clone)]
pub enum Index {
    /// All documents by id.
    AllDocs,
    /// Those in conflict, by id. The database keeps it; it is there for requests that look for no others.
    Conflicts,
    Json(Box<NamedIndex>),
}

/// A Mango index and where it is.
#[derive(Debug, Clone)]
pub struct NamedIndex {
    /// `_design/…`
    pub ddoc: String,
    pub name: String,
    pub partitioned: bool,
    pub definition: MangoIndex,
}

impl Direction {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ascending => "asc",
            Self::Descending => "desc",
        }
    }

    fn parse(json: &[u8]) -> Option<Self> {
        match json {
            b"\"asc\"" => Some(Self::Ascending),
            b"\"desc\"" => Some(Self::Descending),
            _ => None,
        }
    }
}

impl IndexField {
    /// One element of a sort or of an index's fields as sent: `"a"` or `{"a": "desc"}`.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, MangoError> {
        let bad = || MangoError::InvalidSortField { value: terms::pretty(json) };
        let mut all = members(json);
        let (name, direction) = match (string_value(json), all.next(), all.next()) {
            (Some(name), ..) if !name.is_empty() => (name, Direction::Ascending),
            (None, Some((key, direction)), None) => {
                (unescape(key), Direction::parse(direction).ok_or_else(bad)?)
            }
            (_, _, _) => return Err(bad()),
        };
        Self::new(&name, direction)
    }

    fn new(name: &str, direction: Direction) -> Result<Self, MangoError> {
        let path = FieldPath::parse(name)?;
        Ok(Self { name: name.to_owned(), path, direction, slot: 0 })
    }

    /// `{"a":"asc"}`
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        write_string(out, &self.name);
        out.push(b':');
        write_string(out, self.direction.name());
        out.push(b'}');
    }
}

impl MangoIndex {
    /// Parses the map of a view in a design document of language `query`.
    pub fn parse(map: &[u8]) -> Result<Self, MangoError> {
        let invalid = || MangoError::InvalidIndexJson { value: terms::plain(map) };
        if map.first() != Some(&b'{') {
            return Err(invalid());
        }
        let (mut fields, mut filter) = (None, None);
        for (key, value) in members(map) {
            match &*unescape(key) {
                "fields" if value.first() == Some(&b'{') => {
                    let parse = |(name, direction): (&str, &[u8])| {
                        let direction = Direction::parse(direction).unwrap_or(Direction::Ascending);
                        IndexField::new(&unescape(name), direction)
                    };
                    fields = Some(members(value).map(parse).collect::<Result<Vec<_>, _>>()?);
                }
                // What text indexes called it once.
                "partial_filter_selector" | "selector" if value != b"{}" => {
                    filter = Some(Selector::parse(value)?);
                }
                _ => {}
            }
        }
        let mut names = Names::default();
        let mut fields = fields.ok_or_else(invalid)?;
        for field in &mut fields {
            field.slot = names.slot(&field.path);
        }
        Ok(Self { fields, filter, names, json: map.into() })
    }

    pub fn fields(&self) -> &[IndexField] {
        &self.fields
    }

    /// Only documents that it selects are indexed.
    pub fn filter(&self) -> Option<&Selector> {
        self.filter.as_ref()
    }

    /// The map as it is stored.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// Appends the key of `document`, minified JSON with its special members: an array of its
    /// fields. A document that lacks one of them, that the index leaves out, or that is a design
    /// document has no key; then nothing is appended.
    pub fn push_key(&self, out: &mut Vec<u8>, document: &[u8]) -> bool {
        if is_design(document) || self.filter.as_ref().is_some_and(|it| !it.matches(document)) {
            return false;
        }
        let start = out.len();
        let complete = self.names.gather(document, |slots| {
            out.push(b'[');
            self.fields.iter().enumerate().all(|(index, field)| {
                if index > 0 {
                    out.push(b',');
                }
                match find_in(&field.path, field.slot, document, slots) {
                    Found::Value(value) => {
                        out.extend_from_slice(value);
                        true
                    }
                    Found::Missing | Found::BadPath => false,
                }
            })
        });
        if complete {
            out.push(b']');
        } else {
            out.truncate(start);
        }
        complete
    }
}

fn is_design(document: &[u8]) -> bool {
    // The id stands first in whatever the database renders.
    let id = members(document).find(|(key, _)| *key == "_id");
    id.is_some_and(|(_, id)| id.starts_with(b"\"_design/"))
}

impl Index {
    /// `_design/…`; none for what needs no design document.
    pub fn ddoc(&self) -> Option<&str> {
        match self {
            Self::AllDocs | Self::Conflicts => None,
            Self::Json(index) => Some(&index.ddoc),
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::AllDocs => "_all_docs",
            Self::Conflicts => "_conflicts",
            Self::Json(index) => &index.name,
        }
    }

    pub fn is_partial(&self) -> bool {
        match self {
            Self::AllDocs | Self::Conflicts => false,
            Self::Json(index) => index.definition.filter.is_some(),
        }
    }

    /// Its fields, in their order.
    pub(crate) fn paths(&self) -> Vec<FieldPath> {
        match self {
            Self::AllDocs | Self::Conflicts => vec![FieldPath::id()],
            Self::Json(index) => index.definition.fields.iter().map(|it| it.path.clone()).collect(),
        }
    }

    /// Whether it holds all of `fields`, so that no document has to be read.
    pub(crate) fn covers(&self, fields: Option<&[FieldPath]>) -> bool {
        match (self, fields) {
            (Self::AllDocs | Self::Conflicts, _) | (_, None) => false,
            (Self::Json(_), Some(fields)) => {
                let columns = self.paths();
                fields.iter().all(|field| *field == FieldPath::id() || columns.contains(field))
            }
        }
    }

    /// As `GET /{db}/_index` lists it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let index = match self {
            Self::AllDocs | Self::Conflicts => {
                out.extend_from_slice(b"{\"ddoc\":null,\"name\":");
                write_string(out, self.name());
                let definition = br#","type":"special","def":{"fields":[{"_id":"asc"}]}}"#;
                return out.extend_from_slice(definition);
            }
            Self::Json(index) => index,
        };
        out.extend_from_slice(b"{\"ddoc\":");
        write_string(out, &index.ddoc);
        out.extend_from_slice(b",\"name\":");
        write_string(out, &index.name);
        out.extend_from_slice(b",\"type\":\"json\",\"partitioned\":");
        out.extend_from_slice(if index.partitioned { b"true" } else { b"false" });
        out.extend_from_slice(b",\"def\":{");
        let mut first = true;
        for (key, value) in members(&index.definition.json) {
            if key == "partial_filter_selector" && value == b"{}" {
                continue;
            }
            out.extend_from_slice(if first { b"\"" } else { b",\"" });
            first = false;
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(b"\":");
            if key == "fields" {
                out.push(b'[');
                for (place, field) in index.definition.fields.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    field.write(out);
                }
                out.push(b']');
            } else {
                out.extend_from_slice(value);
            }
        }
        out.extend_from_slice(b"}}");
    }
}

impl NamedIndex {
    /// The index that a view of a design document of language `query` is; `None` if it is none.
    pub fn of_view(ddoc: &str, name: &str, map: &[u8], partitioned: bool) -> Option<Self> {
        let definition = MangoIndex::parse(map).ok()?;
        Some(Self { ddoc: ddoc.to_owned(), name: name.to_owned(), partitioned, definition })
    }
}

/// Puts indexes in the order in which they are listed and looked at.
pub fn sort_indexes(indexes: &mut [Arc<Index>]) {
    indexes.sort_by(|a, b| (a.ddoc(), a.name()).cmp(&(b.ddoc(), b.name())));
}

/// The reply of `GET /{db}/_index`.
pub fn list_json(indexes: &[Arc<Index>], skip: usize, limit: Option<usize>) -> Vec<u8> {
    let mut out = format!("{{\"total_rows\":{},\"indexes\":[", indexes.len()).into_bytes();
    let shown = indexes.iter().skip(skip).take(limit.unwrap_or(usize::MAX));
    for (place, index) in shown.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        index.write(&mut out);
    }
    out.extend_from_slice(b"]}");
    out
}
