//! What a design document must be like to be saved.
//!
//! Source: `couch_mrview:validate/2`, whose words clients and their tests know. Functions are not
//! compiled here.

use std::{borrow::Cow, fmt};

use settle_model::json;

use super::{Language, member};
use crate::reduce::{Native, ReduceError};

/// What is wrong with a design document, in CouchDB's words; its error is `invalid_design_doc`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DesignError {
    #[error("design document must be an object")]
    NotAnObject,
    #[error("`{path}` field must have {expected} type")]
    Type { path: String, expected: &'static str },
    #[error("View `{view}` must contain map function")]
    NoMap { view: String },
    #[error("`{path}` field is missing")]
    Missing { path: String },
    #[error(transparent)]
    Reduce(#[from] ReduceError),
    #[error("partitioned option cannot be true in a non-partitioned database.")]
    Partitioned,
}

/// What a value may be; the name is as CouchDB writes it.
#[derive(Debug, Clone, Copy)]
struct Type {
    name: &'static str,
    begins: &'static [u8],
}

const STRING: Type = Type { name: "string", begins: b"\"" };
const OBJECT: Type = Type { name: "object", begins: b"{" };
const ARRAY: Type = Type { name: "array", begins: b"[" };
const BOOLEAN: Type = Type { name: "boolean", begins: b"tf" };
const FUNCTIONS: Type = Type { name: "string or object", begins: b"\"{" };
const VALIDATION: Type = Type { name: "object or string", begins: b"\"{" };
const REWRITES: Type = Type { name: "array or string", begins: b"\"[" };
const SCHEMA: Type = Type { name: "object or boolean", begins: b"{tf" };

/// Where a value is: the names of the members that lead to it.
struct Path<'a> {
    above: Option<&'a Self>,
    name: Cow<'a, str>,
}

/// Whether `body`, minified, may be saved as a design document. Functions are not compiled.
pub fn check_save(body: &[u8], database_is_partitioned: bool) -> Result<(), DesignError> {
    if !body.starts_with(OBJECT.begins) {
        return Err(DesignError::NotAnObject);
    }
    for name in ["filters", "lists", "shows", "transactions", "updates"] {
        let path = Path::of(name);
        path.each_of(path.optional(body, OBJECT)?, FUNCTIONS, |_, _| Ok(()))?;
    }
    Path::of("language").optional(body, STRING)?;
    Path::of("rewrites").optional(body, REWRITES)?;
    Path::of("validate_doc_update").optional(body, VALIDATION)?;
    check_options(body, database_is_partitioned)?;
    check_schemas(body)?;
    check_views(body)
}

fn check_options(body: &[u8], database_is_partitioned: bool) -> Result<(), DesignError> {
    let path = Path::of("options");
    let options = path.optional(body, OBJECT)?;
    for name in ["include_design", "local_seq", "partitioned", "timestamps"] {
        path.below(name).optional(options, BOOLEAN)?;
    }
    if !database_is_partitioned && member(options, "partitioned") == Some(b"true") {
        return Err(DesignError::Partitioned);
    }
    Ok(())
}

fn check_schemas(body: &[u8]) -> Result<(), DesignError> {
    let path = Path::of("schemas");
    let schemas = path.optional(body, ARRAY)?;
    for (at, rule) in json::elements(schemas).enumerate() {
        let path = Path { above: Some(&path), name: at.to_string().into() };
        path.must_be(rule, OBJECT)?;
        for (name, expected) in [("selector", OBJECT), ("schema", SCHEMA)] {
            let path = path.below(name);
            let value = member(rule, name)
                .ok_or_else(|| DesignError::Missing { path: path.to_string() })?;
            path.must_be(value, expected)?;
        }
    }
    Ok(())
}

fn check_views(body: &[u8]) -> Result<(), DesignError> {
    let language = Language::of(body);
    let map = if language == Language::Query { OBJECT } else { STRING };
    let path = Path::of("views");
    let views = path.optional(body, OBJECT)?;
    path.each_of(views, OBJECT, |path, view| {
        path.below("map").optional(view, map)?;
        path.below("reduce").optional(view, STRING).map(drop)
    })?;
    for (key, view) in json::members(views) {
        let name = json::unescape(key);
        if name == "lib" {
            continue;
        }
        if member(view, "map").is_none() {
            return Err(DesignError::NoMap { view: name.into_owned() });
        }
        let reduce = member(view, "reduce").and_then(json::string_value);
        match (&language, reduce.as_deref().and_then(Native::parse)) {
            (Language::JavaScript | Language::Query, Some(native)) => drop(native?),
            (Language::JavaScript | Language::Query, None) | (Language::Other(_), _) => {}
        }
    }
    Ok(())
}

impl<'a> Path<'a> {
    fn of(name: &'a str) -> Self {
        Self { above: None, name: name.into() }
    }

    fn below<'b>(&'b self, name: &'b str) -> Path<'b> {
        Path { above: Some(self), name: name.into() }
    }

    /// The member of `object` at the end of this path, or nothing.
    fn optional<'o>(&self, object: &'o [u8], expected: Type) -> Result<&'o [u8], DesignError> {
        match member(object, &self.name) {
            None => Ok(&[]),
            Some(value) => self.must_be(value, expected).map(|()| value),
        }
    }

    fn must_be(&self, value: &[u8], expected: Type) -> Result<(), DesignError> {
        if value.first().is_some_and(|first| expected.begins.contains(first)) {
            return Ok(());
        }
        Err(DesignError::Type { path: self.to_string(), expected: expected.name })
    }

    /// Checks each member of `object`, which is at this path.
    fn each_of(
        &self,
        object: &[u8],
        expected: Type,
        check: impl Fn(&Path<'_>, &[u8]) -> Result<(), DesignError>,
    ) -> Result<(), DesignError> {
        for (key, value) in json::members(object) {
            let path = Path { above: Some(self), name: json::unescape(key) };
            path.must_be(value, expected)?;
            check(&path, value)?;
        }
        Ok(())
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(above) = self.above {
            write!(f, "{above}.")?;
        }
        f.write_str(&self.name)
    }
}
