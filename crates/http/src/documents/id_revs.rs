//! Bodies of the form `{"id": ["rev", …], …}`: what `_revs_diff`, `_missing_revs` and `_purge` are
//! asked about.
//!
//! An id that no document can have is kept as text; of such a document nothing is here.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use settle_model::{id::DocumentId, json::write_string, revision::RevId};

use crate::{call::from_json, error::ApiError};

#[derive(Debug)]
pub(crate) struct IdRevs {
    pub(crate) id: String,
    pub(crate) revs: Vec<RevId>,
}

impl IdRevs {
    pub(crate) fn document(&self) -> Option<DocumentId> {
        self.id.parse().ok()
    }
}

/// In the order in which they were sent.
pub(crate) fn parse(text: &[u8]) -> Result<Vec<IdRevs>, ApiError> {
    if !text.trim_ascii_start().starts_with(b"{") {
        // Whether it is JSON at all is said first.
        let _: serde::de::IgnoredAny = from_json(text, "invalid UTF-8 JSON")?;
        return Err(ApiError::bad_request("Request body must be a JSON object"));
    }
    let form = "each document's revisions must be an array of strings";
    let Sent(sent) = from_json(text, form)?;
    let checked = sent.into_iter().map(|(id, revs)| {
        let revs = revs.ok_or_else(|| ApiError::bad_request("Invalid rev format"))?;
        Ok(IdRevs { id: id.into_owned(), revs })
    });
    checked.collect()
}

/// Appends `["rev", …]`.
pub(crate) fn write_revs(out: &mut Vec<u8>, revs: &[RevId]) {
    out.push(b'[');
    for (index, rev) in revs.iter().enumerate() {
        out.extend_from_slice(if index > 0 { b",\"" } else { b"\"" });
        rev.write_to(out);
        out.push(b'"');
    }
    out.push(b']');
}

/// Writes `"id":value` members between braces.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
}

impl<'a> Members<'a> {
    pub(crate) fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_first: true }
    }

    /// The place for the value of the member `key`.
    pub(crate) fn add(&mut self, key: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
        write_string(self.out, key);
        self.out.push(b':');
        self.out
    }

    pub(crate) fn close(self) {
        self.out.push(b'}');
    }
}

/// `None` where one of the revisions is none.
struct Sent<'a>(Vec<(Cow<'a, str>, Option<Vec<RevId>>)>);

impl<'de> Deserialize<'de> for Sent<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Documents)
    }
}

struct Documents;

impl<'de> Visitor<'de> for Documents {
    type Value = Sent<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with lists of revisions")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut sent = Vec::new();
        while let Some(Text(id)) = members.next_key()? {
            sent.push((id, members.next_value_seed(Revs)?));
        }
        Ok(Sent(sent))
    }
}

struct Revs;

impl<'de> DeserializeSeed<'de> for Revs {
    type Value = Option<Vec<RevId>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let texts: Vec<Text<'de>> = Vec::deserialize(deserializer)?;
        Ok(texts.iter().map(|Text(rev)| rev.parse().ok()).collect())
    }
}

/// Borrowed where it has no escapes, which serde does for `Cow` only when told so.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: serde::de::Error>(
                self,
                text: &'de str,
            ) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Read).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reason(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().reason().to_owned()
    }

    #[test]
    fn what_is_not_a_list_of_revisions_is_refused_in_words() {
        assert_eq!(reason(""), "invalid UTF-8 JSON");
        assert_eq!(reason("{"), "invalid UTF-8 JSON");
        assert_eq!(reason("[]"), "Request body must be a JSON object");
        assert_eq!(reason(r#"{"a":["x"]}"#), "Invalid rev format");
        let form = "each document's revisions must be an array of strings";
        assert_eq!(reason(r#"{"a":["1-x",1]}"#), form);
        assert_eq!(reason(r#"{"a":null}"#), form);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_in_its_order(
            sent in proptest::collection::vec(
                (any::<String>(), proptest::collection::vec("[1-9][0-9]{0,3}-[a-z0-9]{1,20}", 0..4)),
                0..5,
            ),
        ) {
            let mut out = Vec::new();
            let mut members = Members::open(&mut out);
            for (id, revs) in &sent {
                let revs: Vec<RevId> = revs.iter().map(|rev| rev.parse().unwrap()).collect();
                write_revs(members.add(id), &revs);
            }
            members.close();
            let read = parse(&out).unwrap().into_iter().map(|IdRevs { id, revs }| {
                (id, revs.iter().map(RevId::to_string).collect::<Vec<_>>())
            });
            prop_assert_eq!(read.collect::<Vec<_>>(), sent);
        }

        #[test]
        fn any_text_is_taken_or_refused(text in "[\\[\\]{}\",:0-9a-z\\\\ -]{0,40}") {
            drop(parse(text.as_bytes()));
        }
    }
}
