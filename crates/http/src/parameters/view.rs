//! Parameters of lists with keys: views, `_all_docs`, `_design_docs`, `_local_docs`, `_all_dbs`,
//! `_dbs_info`, and each entry of a `queries` body.
//!
//! Keys stay as they were spelled: members of objects have an order, which keys are compared by, and
//! numbers have digits that no parser shall round twice.
//!
//! Source: `couch_mrview_http:parse_param/4`, `couch_mrview_util:validate_args_int/1`.

use serde_json::Value;
use settle_database::At;
use settle_index::{Update, tree::Grouping};
use settle_model::json::{elements, members, minify, string_value, unescape};

use super::Query;
use crate::error::ApiError;

/// A key: JSON as [`minify`] returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(pub Vec<u8>);

impl Key {
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.0).unwrap_or(Value::Null)
    }
}

/// What part of a list is wanted, and with what in its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewParameters {
    pub start_key: Option<Key>,
    pub end_key: Option<Key>,
    /// Exactly these, in this order.
    pub keys: Option<Vec<Key>>,
    pub start_key_doc_id: Option<String>,
    pub end_key_doc_id: Option<String>,
    pub inclusive_end: bool,
    pub limit: Option<u64>,
    pub skip: u64,
    pub descending: bool,
    pub include_docs: bool,
    pub conflicts: bool,
    pub attachments: bool,
    pub att_encoding_info: bool,
    pub update_seq: bool,
    /// `false` leaves out the counts of all rows and of those before the first.
    pub sorted: bool,
    /// Settle's own, of lists of documents: as they were at this moment.
    pub at: Option<At>,
    /// What a name of its own has for one endpoint alone.
    pub include_system: bool,
    /// Of views alone, like all below.
    pub reduce: Option<bool>,
    pub group: Option<bool>,
    pub group_level: Option<u64>,
    pub update: Update,
    pub partition: Option<String>,
}

impl Default for ViewParameters {
    fn default() -> Self {
        Self {
            start_key: None,
            end_key: None,
            keys: None,
            start_key_doc_id: None,
            end_key_doc_id: None,
            inclusive_end: true,
            limit: None,
            skip: 0,
            descending: false,
            include_docs: false,
            conflicts: false,
            attachments: false,
            att_encoding_info: false,
            update_seq: false,
            sorted: true,
            at: None,
            include_system: false,
            reduce: None,
            group: None,
            group_level: None,
            update: Update::Wait,
            partition: None,
        }
    }
}

impl ViewParameters {
    pub fn of_query(query: Query<'_>) -> Result<Self, ApiError> {
        let mut parameters = Self::default();
        parameters.add_query(query)?;
        Ok(parameters)
    }

    /// Takes what the query says beside a body; the query wins.
    pub fn add_query(&mut self, query: Query<'_>) -> Result<(), ApiError> {
        for (name, value) in query.pairs() {
            self.set(&name, Given::Text(&value))?;
        }
        Ok(())
    }

    /// From the body of a POST, where values are JSON and not text. `object` is minified.
    pub fn of_object(object: &[u8]) -> Result<Self, ApiError> {
        let mut parameters = Self::default();
        parameters.add_object(object)?;
        Ok(parameters)
    }

    /// Takes what one of several queries says beside what holds for them all; the one query wins.
    pub fn add_object(&mut self, object: &[u8]) -> Result<(), ApiError> {
        for (name, value) in members(object) {
            let name = unescape(name);
            let text = string_value(value).filter(|_| !is_key(&name));
            self.set(&name, text.as_deref().map_or(Given::Json(value), Given::Text))?;
        }
        Ok(())
    }

    /// What rows of a view are reduced together.
    pub fn grouping(&self) -> Result<Grouping, ApiError> {
        match (self.group, self.group_level) {
            (None | Some(false), None | Some(0)) => Ok(Grouping::All),
            (Some(false), Some(_)) => {
                Err(ApiError::query("Can't specify group=false and group_level>0 at the same time"))
            }
            (Some(true), None) => Ok(Grouping::Exact),
            (Some(true), Some(0)) => Ok(Grouping::All),
            (None | Some(true), Some(level)) => {
                Ok(Grouping::Level(u32::try_from(level).unwrap_or(u32::MAX)))
            }
        }
    }

    fn set(&mut self, name: &str, value: Given<'_>) -> Result<(), ApiError> {
        match name {
            "key" => {
                let key = value.json()?;
                self.start_key = Some(key.clone());
                self.end_key = Some(key);
            }
            "keys" => {
                let keys = value.json()?;
                if keys.0.first() != Some(&b'[') {
                    return Err(ApiError::bad_request("`keys` member must be an array."));
                }
                self.keys = Some(elements(&keys.0).map(|key| Key(key.to_vec())).collect());
            }
            "startkey" | "start_key" => self.start_key = Some(value.json()?),
            "endkey" | "end_key" => self.end_key = Some(value.json()?),
            "startkey_docid" | "start_key_doc_id" => self.start_key_doc_id = Some(value.text()),
            "endkey_docid" | "end_key_doc_id" => self.end_key_doc_id = Some(value.text()),
            "inclusive_end" => self.inclusive_end = value.boolean()?,
            "limit" => self.limit = Some(value.count()?),
            "skip" => self.skip = value.count()?,
            "descending" => self.descending = value.boolean()?,
            "include_docs" => self.include_docs = value.boolean()?,
            "conflicts" => self.conflicts = value.boolean()?,
            "attachments" => self.attachments = value.boolean()?,
            "att_encoding_info" => self.att_encoding_info = value.boolean()?,
            "update_seq" => self.update_seq = value.boolean()?,
            "sorted" => self.sorted = value.boolean()?,
            "at" => self.at = Some(value.text().parse()?),
            "include_system" => self.include_system = value.boolean()?,
            "reduce" => self.reduce = Some(value.boolean()?),
            "group" => self.group = Some(value.boolean()?),
            "group_level" => self.group_level = Some(value.count()?),
            "update" => {
                self.update = match &*value.text() {
                    "true" => Update::Wait,
                    "false" => Update::No,
                    "lazy" => Update::Lazy,
                    _ => return Err(ApiError::query("Invalid value for `update`.")),
                }
            }
            "stale" => {
                self.update = match &*value.text() {
                    "ok" => Update::No,
                    "update_after" => Update::Lazy,
                    _ => return Err(ApiError::query("Invalid value for `stale`.")),
                }
            }
            // There is one copy of each index, so every answer is from the same.
            "stable" => match &*value.text() {
                "true" | "false" => {}
                _ => return Err(ApiError::query("Invalid value for `stable`.")),
            },
            "partition" => self.partition = Some(value.text()),
            _ => {}
        }
        Ok(())
    }
}

fn is_key(name: &str) -> bool {
    matches!(name, "key" | "keys" | "startkey" | "start_key" | "endkey" | "end_key")
}

/// A value as it came: text from a query, JSON from a body.
#[derive(Clone, Copy)]
enum Given<'a> {
    Text(&'a str),
    /// Minified.
    Json(&'a [u8]),
}

impl Given<'_> {
    fn json(self) -> Result<Key, ApiError> {
        match self {
            Self::Text(text) => {
                let minified = minify(text.as_bytes());
                Ok(Key(minified.map_err(|error| ApiError::bad_request(error.reason()))?.into()))
            }
            Self::Json(value) => Ok(Key(value.to_vec())),
        }
    }

    /// As the value was spelled.
    fn text(self) -> String {
        match self {
            Self::Text(text) => text.to_owned(),
            Self::Json(value) => String::from_utf8_lossy(value).into_owned(),
        }
    }

    fn boolean(self) -> Result<bool, ApiError> {
        match self {
            Self::Json(b"true") => Ok(true),
            Self::Json(b"false") => Ok(false),
            Self::Text(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Self::Text(_) | Self::Json(_) => {
                Err(ApiError::query(format!("Invalid boolean parameter: {:?}", self.text())))
            }
        }
    }

    /// Beyond 64 bits there are not so many rows, so the greatest number serves.
    fn count(self) -> Result<u64, ApiError> {
        let text = self.text();
        let digits = text.strip_prefix('+').unwrap_or(&text);
        let is_number =
            |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if is_number(digits) {
            return Ok(digits.parse().unwrap_or(u64::MAX));
        }
        let kind = match text.strip_prefix('-') {
            Some(digits) if is_number(digits) => {
                if digits.bytes().all(|byte| byte == b'0') {
                    return Ok(0);
                }
                "positive integer"
            }
            Some(_) | None => "integer",
        };
        Err(ApiError::query(format!("Invalid value for {kind}: {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn refusal(query: &str) -> String {
        let error = ViewParameters::of_query(Query::new(query)).unwrap_err();
        format!("{}: {}", error.code().as_str(), error.reason())
    }

    #[test]
    fn refusals_are_couchdbs() {
        let all = [
            refusal("limit=x"),
            refusal("limit=-1"),
            refusal("skip=1.5"),
            refusal("descending=yes"),
            refusal("key="),
            refusal("startkey=a"),
            refusal("keys={}"),
        ];
        expect![[r#"
            [
                "query_parse_error: Invalid value for integer: \"x\"",
                "query_parse_error: Invalid value for positive integer: \"-1\"",
                "query_parse_error: Invalid value for integer: \"1.5\"",
                "query_parse_error: Invalid boolean parameter: \"yes\"",
                "bad_request: invalid UTF-8 JSON",
                "bad_request: invalid UTF-8 JSON",
                "bad_request: `keys` member must be an array.",
            ]
        "#]]
        .assert_debug_eq(&all);
    }

    #[test]
    fn both_spellings_of_a_name_mean_the_same() {
        let of = |query| ViewParameters::of_query(Query::new(query)).unwrap();
        assert_eq!(of("startkey=%22a%22&endkey=1"), of("start_key=%22a%22&end_key=1"));
        assert_eq!(of("key=1"), of("startkey=1&endkey=1"));
        assert_eq!(of("limit=%2B3").limit, Some(3));
        assert_eq!(of("limit=-0&unknown=%22").limit, Some(0));
        assert_eq!(of("limit=99999999999999999999").limit, Some(u64::MAX));
    }

    #[test]
    fn a_body_has_json_where_a_query_has_text() {
        let body = serde_json::json!({
            "keys": ["a", 1], "startkey": "1", "limit": 3, "skip": "2", "descending": true,
            "include_docs": "true",
        });
        let of_body = ViewParameters::of_object(body.to_string().as_bytes()).unwrap();
        let query =
            "keys=[\"a\",1]&startkey=\"1\"&limit=3&skip=2&descending=true&include_docs=true";
        assert_eq!(of_body, ViewParameters::of_query(Query::new(query)).unwrap());
        let bad = serde_json::json!({"limit": "x"});
        let error = ViewParameters::of_object(bad.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.reason(), "Invalid value for integer: \"x\"");
    }
}
