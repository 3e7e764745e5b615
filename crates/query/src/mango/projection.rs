//! Parts of documents, spliced from their text.
//!
//! Source: `mango_fields:extract/2` and `mango_doc:set_field/3`.

use settle_model::json::{elements, string_value, write_string};

use super::{error::MangoError, index::IndexField};
use crate::{
    selector::{FieldPath, Found, Names, find_in},
    terms,
};

/// The fields that are wanted of a document.
#[derive(Debug, Clone)]
pub struct Projection {
    fields: Vec<Field>,
    names: Names,
}

#[derive(Debug, Clone)]
struct Field {
    name: String,
    path: FieldPath,
    slot: usize,
}

/// An object in the making.
type Object<'a> = Vec<(&'a str, Part<'a>)>;

enum Part<'a> {
    /// JSON.
    Whole(&'a [u8]),
    Members(Object<'a>),
}

impl Projection {
    /// Parses `fields` of a request; `None` for the empty array, which means whole documents.
    pub(crate) fn parse(json: &[u8]) -> Result<Option<Self>, MangoError> {
        if json.first() != Some(&b'[') {
            return Err(MangoError::InvalidFields { value: terms::plain(json) });
        }
        let names = elements(json).map(|it| match string_value(it) {
            Some(name) => Ok(name.into_owned()),
            None => Err(MangoError::InvalidField { value: terms::plain(it) }),
        });
        let names: Vec<_> = names.collect::<Result<_, _>>()?;
        if names.is_empty() { Ok(None) } else { Self::new(names).map(Some) }
    }

    /// The id alone.
    pub(crate) fn id() -> Self {
        let path = FieldPath::id();
        let mut names = Names::default();
        let slot = names.slot(&path);
        Self { fields: vec![Field { name: "_id".to_owned(), path, slot }], names }
    }

    fn new(list: Vec<String>) -> Result<Self, MangoError> {
        let mut names = Names::default();
        let fields = list.into_iter().map(|name| {
            let path = FieldPath::parse(&name)?;
            let slot = names.slot(&path);
            Ok::<_, MangoError>(Field { name, path, slot })
        });
        let fields = fields.collect::<Result<_, _>>()?;
        Ok(Self { fields, names })
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &FieldPath> {
        self.fields.iter().map(|field| &field.path)
    }

    /// As they were asked for.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.name.as_str())
    }

    /// Appends the wanted fields of `document` as an object. Those that it lacks are left out.
    pub fn push(&self, out: &mut Vec<u8>, document: &[u8]) {
        self.names.gather(document, |slots| {
            let mut object = Object::with_capacity(self.fields.len());
            for field in &self.fields {
                match find_in(&field.path, field.slot, document, slots) {
                    Found::Value(value) => set(&mut object, field.path.parts(), value),
                    Found::Missing | Found::BadPath => {}
                }
            }
            write(out, &object);
        });
    }
}

/// What an index tells of a document: its id and the fields in the row's key.
pub fn document_of_key(fields: &[IndexField], id: &str, key: &[u8]) -> Vec<u8> {
    let mut id_json = Vec::with_capacity(id.len() + 2);
    write_string(&mut id_json, id);
    let mut object = Object::with_capacity(fields.len() + 1);
    object.push(("_id", Part::Whole(&id_json)));
    for (field, value) in fields.iter().zip(elements(key)) {
        set(&mut object, field.path.parts(), value);
    }
    let mut out = Vec::with_capacity(key.len() + id.len() + 64);
    write(&mut out, &object);
    out
}

/// Puts a value where a path leads. Below what is there whole already, nothing is missing.
fn set<'a>(object: &mut Object<'a>, path: &'a [Box<str>], value: &'a [u8]) {
    let [name, rest @ ..] = path else { return };
    let place = object.iter().position(|(key, _)| **key == **name);
    match (place, rest) {
        (Some(place), []) => object[place].1 = Part::Whole(value),
        (Some(place), _) => match &mut object[place].1 {
            Part::Whole(_) => {}
            Part::Members(members) => set(members, rest, value),
        },
        (None, []) => object.push((name, Part::Whole(value))),
        (None, _) => {
            let mut members = Object::new();
            set(&mut members, rest, value);
            object.push((name, Part::Members(members)));
        }
    }
}

fn write(out: &mut Vec<u8>, object: &Object<'_>) {
    out.push(b'{');
    for (place, (key, part)) in object.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_string(out, key);
        out.push(b':');
        match part {
            Part::Whole(json) => out.extend_from_slice(json),
            Part::Members(members) => write(out, members),
        }
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &str, document: &str, expected: &str) {
        let projection = Projection::parse(fields.as_bytes()).unwrap().unwrap();
        let mut out = Vec::new();
        projection.push(&mut out, document.as_bytes());
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn fields_stand_in_the_order_asked_for() {
        check(r#"["b","_id"]"#, r#"{"_id":"x","a":1,"b":1.0}"#, r#"{"b":1.0,"_id":"x"}"#);
    }

    #[test]
    fn what_a_document_lacks_is_left_out_with_the_way_to_it() {
        check(r#"["a.b","c.d","e"]"#, r#"{"a":{"b":2},"c":{}}"#, r#"{"a":{"b":2}}"#);
    }

    #[test]
    fn fields_of_one_object_stand_together() {
        check(
            r#"["a.b","c","a.d"]"#,
            r#"{"a":{"b":1,"d":2},"c":3}"#,
            r#"{"a":{"b":1,"d":2},"c":3}"#,
        );
        check(r#"["a.b","a"]"#, r#"{"a":{"b":1,"d":2}}"#, r#"{"a":{"b":1,"d":2}}"#);
        check(r#"["a","a.b"]"#, r#"{"a":{"b":1,"d":2}}"#, r#"{"a":{"b":1,"d":2}}"#);
    }

    #[test]
    fn an_element_of_an_array_is_shown_under_its_place() {
        check(r#"["a.1"]"#, r#"{"a":[5,6]}"#, r#"{"a":{"1":6}}"#);
    }

    #[test]
    fn a_name_with_a_dot_is_one_name() {
        check(r#"["a\\.b"]"#, r#"{"a.b":1,"a":{"b":2}}"#, r#"{"a.b":1}"#);
    }
}
