//! Parameters of a query, read one by one without a map of them.
//!
//! Each endpoint, or family of them, has a struct with what it takes; unknown names are passed over, as in
//! CouchDB. Where a name comes twice, the later one counts.
//!
//! Values are spelled as people and clients do: `true`, `10`, JSON where a key is meant. The reasons for
//! refusing one are CouchDB's, word for word, and differ from family to family.
//!
//! Source: `mochiweb_util:parse_qs/1`, `couch_mrview_http:parse_param/4`,
//! `chttpd_db:parse_doc_query/2`, `chttpd_db:parse_changes_query/1`.

mod changes;
mod document;
mod view;

use std::borrow::Cow;

use percent_encoding::percent_decode;
use serde_json::Value;

pub use self::{
    changes::{ChangesParameters, Feed, Filter, Heartbeat, Style},
    document::{DocumentParameters, OpenRevisions},
    view::{Key, ViewParameters},
};
use crate::error::ApiError;

/// The part of an address behind the question mark.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    raw: &'a str,
}

impl<'a> Query<'a> {
    pub fn new(raw: &'a str) -> Self {
        Self { raw }
    }

    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Names and values in the order they came, decoded. What is not UTF-8 reads as the replacement
    /// character, and then as whatever its parameter makes of that.
    pub fn pairs(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        let pairs = self.raw.split(['&', ';']).filter(|pair| !pair.is_empty());
        pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
    }

    /// One text as it stands in an address, decoded.
    pub fn decoded(raw: &str) -> Cow<'_, str> {
        decode(raw)
    }

    /// The last value of a name.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        self.pairs().filter(|(found, _)| found == name).map(|(_, value)| value).last()
    }

    /// Whether a name has the value `true`; anything else is no, as in most of CouchDB.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value == "true")
    }
}

fn decode(raw: &str) -> Cow<'_, str> {
    if !raw.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Cow::Borrowed(raw);
    }
    let spaced = raw.replace('+', " ");
    Cow::Owned(percent_decode(spaced.as_bytes()).decode_utf8_lossy().into_owned())
}

/// A value that is JSON: a key, a list of revisions.
pub fn json(value: &str) -> Result<Value, ApiError> {
    serde_json::from_str(value).map_err(|_| ApiError::bad_request("invalid UTF-8 JSON"))
}

/// A JSON list of texts. `reason` is for JSON of another form.
pub fn json_texts(value: &str, reason: &'static str) -> Result<Vec<String>, ApiError> {
    texts(&json(value)?).ok_or_else(|| ApiError::bad_request(reason))
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let list = value.as_array()?;
    list.iter().map(|text| text.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pairs_are_decoded_after_they_are_cut() {
        let query = Query::new("a=1&b=%26%3D+x&&c&a=2;d=%C3%A9&e=%FF&f=a=b");
        let pairs: Vec<_> = query.pairs().map(|(name, value)| format!("{name}={value}")).collect();
        expect!["a=1|b=&= x|c=|a=2|d=é|e=\u{fffd}|f=a=b"].assert_eq(&pairs.join("|"));
        assert_eq!(query.get("a").as_deref(), Some("2"));
        assert_eq!(query.get("z"), None);
    }

    proptest! {
        #[test]
        fn any_text_can_be_sent_as_a_value(value in "\\PC*") {
            use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
            let raw = format!("k={}", utf8_percent_encode(&value, NON_ALPHANUMERIC));
            prop_assert_eq!(Query::new(&raw).get("k").unwrap(), value);
        }
    }
}
