//! `_index`: design documents that hold index definitions.
//!
//! A definition is laid out as CouchDB does, and named as CouchDB names it, so that an index that
//! is created on two servers is one document with one revision.
//!
//! Source: `mango_httpd:handle_index_req/2`, `mango_opts:validate_idx_create/1`, `mango_idx:new/2`,
//! `add/2` and `delete/4`.

use settle_model::{
    json::{elements, string_value, write_string},
    revision_hash::Term,
};
use sha1::{Digest as _, Sha1};

use super::{
    error::MangoError,
    index::IndexField,
    object::{member, with_member, without_member},
    request::{Options, positive, sort, use_index},
};
use crate::{
    selector::{Numbers, Selector, same},
    terms,
};

/// An index that is to be.
#[derive(Debug, Clone)]
pub struct IndexCreation {
    /// `_design/…`
    pub ddoc: String,
    pub name: String,
    partitioned: Option<bool>,
    /// As sent.
    definition: Vec<u8>,
    fields: Vec<IndexField>,
    filter: Selector,
}

/// What becomes of a design document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DesignEdit {
    /// It is as it should be.
    Unchanged,
    /// Its new body.
    Write(Vec<u8>),
    Delete,
}

/// Parses the body of `_index/_bulk_delete`: ids of design documents.
pub fn parse_bulk_delete(body: &[u8]) -> Result<Vec<String>, MangoError> {
    let options = Options::new(body)?;
    let ids = options.get("docids").ok_or(MangoError::MissingKey { key: "docids" })?;
    if ids.first() != Some(&b'[') {
        return Err(MangoError::InvalidBulkDocs { value: terms::plain(ids) });
    }
    let id = |json| {
        let invalid = || MangoError::InvalidBulkDocs { value: terms::plain(ids) };
        use_index(json)?;
        let id = string_value(json).ok_or_else(invalid)?;
        let name = id.strip_prefix("_design/").unwrap_or(&id);
        Ok(format!("_design/{name}"))
    };
    let ids = elements(ids).map(id).collect::<Result<_, MangoError>>()?;
    options.get("w").map_or(Ok(2), positive)?;
    options.no_other_than(&["docids", "w"])?;
    Ok(ids)
}

impl IndexCreation {
    /// Parses the body of a request, minified JSON.
    pub fn parse(body: &[u8]) -> Result<Self, MangoError> {
        let options = Options::new(body)?;
        let definition = options.get("index").ok_or(MangoError::MissingKey { key: "index" })?;
        let kind = options.text("type")?.unwrap_or_else(|| "json".to_owned());
        let name = name(&options, "name")?;
        let ddoc = name_of_design(&options)?;
        let w = options.get("w").map_or(Ok(2), positive)?;
        let partitioned = match options.get("partitioned") {
            None => None,
            Some(b"true") => Some(true),
            Some(b"false") => Some(false),
            Some(other) => {
                return Err(MangoError::InvalidPartitioned { value: terms::plain(other) });
            }
        };
        options.no_other_than(&["index", "type", "name", "ddoc", "w", "partitioned"])?;
        match kind.as_str() {
            "json" => {}
            "text" | "nouveau" => return Err(MangoError::SearchMissing { kind }),
            _ => return Err(MangoError::InvalidIndexType { kind }),
        }
        if definition.first() != Some(&b'{') {
            return Err(MangoError::InvalidIndexJson { value: terms::plain(definition) });
        }
        let inner = Options::new(definition)?;
        let fields = inner.get("fields").ok_or(MangoError::MissingKey { key: "fields" })?;
        let fields = sort(fields)?;
        let filter = inner.get("partial_filter_selector");
        let filter = filter.map_or_else(|| Ok(Selector::everything()), Selector::parse)?;
        inner.no_other_than(&["fields", "partial_filter_selector"])?;
        let automatic =
            default_name(definition, [ddoc.as_deref(), name.as_deref()], partitioned, w);
        Ok(Self {
            ddoc: format!("_design/{}", ddoc.as_deref().map_or(&*automatic, without_prefix)),
            name: name.unwrap_or(automatic),
            partitioned,
            definition: definition.to_vec(),
            fields,
            filter,
        })
    }

    /// What the design document becomes. `body` is that of the present one, without special members.
    pub fn edit(&self, body: Option<&[u8]>) -> Result<DesignEdit, MangoError> {
        let is_new = body.is_none();
        let body = body.unwrap_or(br#"{"language":"query"}"#);
        check_language(body)?;
        let views = member(body, "views").filter(|it| it.first() == Some(&b'{'));
        let views = with_member(views.unwrap_or(b"{}"), &self.name, &self.view());
        let mut changed = with_member(body, "views", &views);
        let options = member(body, "options").filter(|it| it.first() == Some(&b'{'));
        let present = match options.and_then(|it| member(it, "partitioned")) {
            Some(b"true") => Some(true),
            Some(b"false") => Some(false),
            Some(_) | None => None,
        };
        match self.partitioned {
            wanted if wanted == present => {}
            Some(wanted) if is_new => {
                let wanted: &[u8] = if wanted { b"true" } else { b"false" };
                let options = with_member(b"{}", "partitioned", wanted);
                changed = with_member(&changed, "options", &options);
            }
            Some(_) | None => {
                return Err(MangoError::PartitionedMismatch { design: self.ddoc.clone() });
            }
        }
        if !is_new && same(body, &changed, Numbers::AsSpelt) {
            return Ok(DesignEdit::Unchanged);
        }
        Ok(DesignEdit::Write(changed))
    }

    /// The view that keeps the index.
    fn view(&self) -> Vec<u8> {
        let mut out = b"{\"map\":{\"fields\":{".to_vec();
        for (place, field) in self.fields.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            write_string(&mut out, &field.name);
            out.push(b':');
            write_string(&mut out, field.direction.name());
        }
        out.extend_from_slice(b"},\"partial_filter_selector\":");
        out.extend_from_slice(&self.filter.to_json());
        out.extend_from_slice(b"},\"reduce\":\"_count\",\"options\":{\"def\":");
        out.extend_from_slice(&self.definition);
        out.extend_from_slice(b"}}");
        out
    }
}

/// What a design document becomes without one of its indexes; `None` if it has no such view.
pub fn without_index(body: &[u8], name: &str) -> Option<DesignEdit> {
    let views = member(body, "views")?;
    let left = without_member(views, name)?;
    let body = match &*left {
        b"{}" => without_member(body, "views")?,
        _ => with_member(body, "views", &left),
    };
    let bare = br#"{"language":"query"}"#;
    Some(if body == bare { DesignEdit::Delete } else { DesignEdit::Write(body) })
}

fn name(options: &Options<'_>, key: &str) -> Result<Option<String>, MangoError> {
    match options.text(key)? {
        Some(name) if name.is_empty() => Err(MangoError::EmptyString),
        name => Ok(name),
    }
}

fn name_of_design(options: &Options<'_>) -> Result<Option<String>, MangoError> {
    name(options, "ddoc")
}

fn without_prefix(ddoc: &str) -> &str {
    ddoc.strip_prefix("_design/").unwrap_or(ddoc)
}

/// The name of an index or a design document that was given none: the SHA-1 of CouchDB's term for
/// the whole request.
fn default_name(
    definition: &[u8],
    [ddoc, name]: [Option<&str>; 2],
    partitioned: Option<bool>,
    w: u64,
) -> String {
    let mut term = Term::with_capacity(256 + 4 * definition.len());
    term.tuple(2);
    term.json(definition);
    term.list(6);
    let named = |term: &mut Term, key: &str, value: Option<&str>| {
        term.tuple(2);
        term.atom(key);
        match value {
            Some(value) => term.binary(value.as_bytes()),
            None => term.atom("auto_name"),
        }
    };
    named(&mut term, "ddoc", ddoc);
    term.tuple(2);
    term.atom("def");
    term.json(definition);
    named(&mut term, "name", name);
    term.tuple(2);
    term.atom("partitioned");
    term.atom(match partitioned {
        Some(true) => "true",
        Some(false) => "false",
        None => "db_default",
    });
    named(&mut term, "type", Some("json"));
    term.tuple(2);
    term.atom("w");
    term.integer(i64::try_from(w).unwrap_or(i64::MAX));
    term.nil();
    hex::encode(Sha1::digest(term.finish()))
}

fn check_language(body: &[u8]) -> Result<(), MangoError> {
    match member(body, "language") {
        Some(br#""query""#) => Ok(()),
        None => Err(MangoError::DesignLanguage { language: "false".to_owned() }),
        Some(other) => {
            let language = format!("{{{},{}}}", terms::plain(b"\"language\""), terms::plain(other));
            Err(MangoError::DesignLanguage { language })
        }
    }
}
