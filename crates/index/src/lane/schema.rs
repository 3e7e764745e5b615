//! JSON Schemas of design documents: what documents of a kind look like.
//!
//! `"schemas": [{"selector": {…}, "schema": {…}}]`: a document that the selector matches, special members
//! included, must satisfy the schema without its special members. Tombstones are exempt. Schemas refer to
//! nothing outside of themselves, and their patterns run in time that is linear in the text.

use serde_json::Value;
use settle_model::json;
use settle_query::{design::SchemaRule, selector::Selector};

use crate::limits::{SCHEMA_PATTERN_BYTES_MAX, VIOLATION_BYTES_MAX};

#[derive(Debug)]
pub(super) struct Schema {
    selector: Selector,
    validator: jsonschema::Validator,
}

impl Schema {
    /// The error is for people.
    pub(super) fn compile(rule: &SchemaRule) -> Result<Self, String> {
        let selector = Selector::parse(&rule.selector).map_err(|error| error.to_string())?;
        let schema: Value = serde_json::from_slice(&rule.schema)
            .map_err(|error| format!("the schema cannot be read: {error}"))?;
        let patterns = jsonschema::PatternOptions::regex()
            .size_limit(SCHEMA_PATTERN_BYTES_MAX)
            .dfa_size_limit(SCHEMA_PATTERN_BYTES_MAX);
        let validator =
            jsonschema::options().offline().with_pattern_options(patterns).build(&schema).map_err(
                |error| format!("the schema is none: {}", cut(error.masked().to_string())),
            )?;
        Ok(Self { selector, validator })
    }

    /// Says where `document` breaks which rule. `members` is the document without special members, read
    /// when first needed.
    pub(super) fn check(
        &self,
        document: &[u8],
        members: &mut Option<Result<Value, String>>,
    ) -> Result<(), String> {
        if !self.selector.matches(document) {
            return Ok(());
        }
        let value =
            members.get_or_insert_with(|| read(document)).as_ref().map_err(String::clone)?;
        self.validator.validate(value).map_err(|error| {
            let at = match error.instance_path().as_str() {
                "" => "/",
                path => path,
            };
            let rule = error.schema_path().as_str().to_owned();
            cut(format!("{at}: {} (rule {rule})", error.masked()))
        })
    }
}

/// The members of a document whose names do not begin with `_`.
fn read(document: &[u8]) -> Result<Value, String> {
    let mut members = serde_json::Map::new();
    for (name, value) in json::members(document) {
        let name = json::unescape(name);
        if name.starts_with('_') {
            continue;
        }
        let value = serde_json::from_slice(value)
            .map_err(|_| format!("/{name}: nested too deeply for a schema"))?;
        members.insert(name.into_owned(), value);
    }
    Ok(Value::Object(members))
}

/// Names of members are as long as their authors like.
fn cut(mut text: String) -> String {
    if text.len() > VIOLATION_BYTES_MAX {
        let at = (0..=VIOLATION_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(at.unwrap_or(0));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: &str, document: &str) -> String {
        let rule = SchemaRule {
            selector: br#"{"type":"invoice"}"#.as_slice().into(),
            schema: schema.as_bytes().into(),
        };
        match Schema::compile(&rule) {
            Err(reason) => reason,
            Ok(schema) => match schema.check(document.as_bytes(), &mut None) {
                Ok(()) => "fine".to_owned(),
                Err(reason) => reason,
            },
        }
    }

    const INVOICE: &str = r#"{
        "type": "object",
        "required": ["total"],
        "additionalProperties": false,
        "properties": {
            "type": {},
            "total": {"type": "number"},
            "lines": {"type": "array", "items": {"properties": {"n": {"minimum": 1}}}}
        }
    }"#;

    #[test]
    fn a_violation_says_where_and_which_rule() {
        let check = |document| check(INVOICE, document);
        assert_eq!(check(r#"{"_id":"a","_rev":"1-a","type":"invoice","total":1.5}"#), "fine");
        assert_eq!(
            check(r#"{"_id":"a","type":"invoice","total":"much"}"#),
            r#"/total: value is not of type "number" (rule /properties/total/type)"#
        );
        assert_eq!(
            check(r#"{"_id":"a","type":"invoice"}"#),
            r#"/: "total" is a required property (rule /required)"#
        );
        assert_eq!(
            check(r#"{"type":"invoice","total":1,"lines":[{"n":1},{"n":0}]}"#),
            "/lines/1/n: value is less than the minimum of 1 (rule /properties/lines/items/properties/n/minimum)"
        );
        assert!(
            check(r#"{"type":"invoice","total":1,"x":1}"#)
                .ends_with("(rule /additionalProperties)")
        );
    }

    #[test]
    fn documents_that_are_not_selected_may_be_as_they_like() {
        assert_eq!(check(INVOICE, r#"{"type":"note"}"#), "fine");
    }

    #[test]
    fn a_schema_reaches_for_nothing_outside() {
        for reference in ["http://localhost/x", "file:///etc/passwd", "other.json"] {
            let schema = format!(r#"{{"$ref":"{reference}"}}"#);
            let reason = check(&schema, r#"{"type":"invoice"}"#);
            assert!(reason.starts_with("the schema is none"), "{reason}");
        }
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for schema in [r#"{"type":"text"}"#, "[]", r#"{"pattern":"("}"#, "{"] {
            let reason = check(schema, r#"{"type":"invoice"}"#);
            assert!(reason.starts_with("the schema "), "{schema}: {reason}");
        }
    }

    #[test]
    fn a_pattern_takes_time_that_is_linear_in_the_text() {
        let schema = r#"{"properties":{"a":{"pattern":"^(a+)+$"}}}"#;
        let document = format!(r#"{{"type":"invoice","a":"{}!"}}"#, "a".repeat(100_000));
        assert!(check(schema, &document).ends_with("(rule /properties/a/pattern)"));
    }

    #[test]
    fn a_message_does_not_grow_with_the_document() {
        let schema = r#"{"additionalProperties":false}"#;
        let document = format!(r#"{{"type":"invoice","{}":1}}"#, "ä".repeat(100_000));
        assert!(check(schema, &document).len() < 2_000);
    }
}
