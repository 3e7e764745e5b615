//! One item of a question: a document, maybe the revision of it, and what of it is known.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use settle_database::BulkItem;
use settle_model::{
    id::{DocumentId, DocumentIdError},
    json::write_string,
    revision::RevId,
};

use crate::{
    call::from_json,
    error::{ApiError, Code},
};

pub(super) struct Item {
    /// As JSON.
    pub(super) id: Vec<u8>,
    pub(super) wanted: Result<BulkItem, ItemError>,
    /// Attachments are sent that are newer than the newest of these.
    pub(super) atts_since: Vec<RevId>,
}

/// What stands in the place of a document. Texts that were sent are JSON as it is sent back.
#[derive(Debug, Clone)]
pub(super) struct ItemError {
    id: Vec<u8>,
    rev: Vec<u8>,
    code: Code,
    reason: Cow<'static, str>,
}

impl Item {
    /// Of one revision, as most are.
    pub(super) fn of_one_revision(&self) -> Option<BulkItem> {
        self.wanted.as_ref().ok().filter(|wanted| wanted.rev.is_some()).cloned()
    }
}

impl ItemError {
    pub(super) fn missing(id: &[u8], rev: Option<&RevId>) -> Self {
        let mut text = b"\"".to_vec();
        match rev {
            None => text.extend_from_slice(b"undefined"),
            Some(rev) => rev.write_to(&mut text),
        }
        text.push(b'"');
        Self { id: id.to_vec(), rev: text, code: Code::NotFound, reason: "missing".into() }
    }

    fn bad_request(id: &[u8], rev: &Value, reason: &'static str) -> Self {
        let rev = rev.to_string().into_bytes();
        Self { id: id.to_vec(), rev, code: Code::BadRequest, reason: reason.into() }
    }

    /// Appends the object, members in CouchDB's order.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"rev\":");
        out.extend_from_slice(&self.rev);
        out.extend_from_slice(b",\"reason\":");
        write_string(out, &self.reason);
        out.extend_from_slice(b",\"id\":");
        out.extend_from_slice(&self.id);
        out.extend_from_slice(b",\"error\":");
        write_string(out, self.code.as_str());
        out.push(b'}');
    }
}

/// The items of a body. What is wrong with one of them stands in its own entry.
pub(super) fn parse(body: &[u8]) -> Result<Vec<Item>, ApiError> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        docs: Option<Vec<&'a RawValue>>,
    }
    const NO_DOCS: &str = "Missing JSON list of 'docs'.";
    if !body.trim_ascii_start().starts_with(b"{") {
        // Whether it is JSON at all is said first.
        let _: serde::de::IgnoredAny = from_json(body, NO_DOCS)?;
        return Err(ApiError::bad_request("Request body must be a JSON object"));
    }
    let Body { docs } = from_json(body, NO_DOCS)?;
    let docs = docs.ok_or_else(|| ApiError::bad_request(NO_DOCS))?;
    Ok(docs.into_iter().map(item).collect())
}

fn item(raw: &RawValue) -> Item {
    #[derive(Deserialize)]
    struct Plain<'a> {
        #[serde(borrow)]
        id: Cow<'a, str>,
        #[serde(borrow)]
        rev: Option<Cow<'a, str>>,
        atts_since: Option<Vec<String>>,
    }
    let parsed =
        if raw.get().starts_with('{') { serde_json::from_str(raw.get()).ok() } else { None };
    let Some(Plain { id, rev, atts_since }) = parsed else { return odd_item(raw) };
    let mut text = Vec::with_capacity(id.len() + 2);
    write_string(&mut text, &id);
    let parse = |rev: &str| {
        rev.parse::<RevId>()
            .map_err(|_| ItemError::bad_request(&text, &Value::from(rev), "Invalid rev format"))
    };
    let rev = rev.as_deref().map(parse).transpose();
    let atts_since = atts_since.unwrap_or_default();
    let atts_since: Result<Vec<_>, _> = atts_since.iter().map(|rev| parse(rev)).collect();
    match (document(&id, &text, rev), atts_since) {
        (Ok(wanted), Ok(atts_since)) => Item { id: text, wanted: Ok(wanted), atts_since },
        (Err(error), _) | (Ok(_), Err(error)) => Item::wrong(text, error),
    }
}

fn document(
    id: &str,
    text: &[u8],
    rev: Result<Option<RevId>, ItemError>,
) -> Result<BulkItem, ItemError> {
    let rev = rev?;
    match id.parse::<DocumentId>() {
        Ok(id) => Ok(BulkItem { id, rev }),
        // Local documents have no revisions to be fetched.
        Err(DocumentIdError::NotADocument) => Err(ItemError::missing(text, rev.as_ref())),
        Err(error) => {
            let error = ApiError::from(error);
            let reason = error.reason().to_owned().into();
            Err(ItemError { id: text.to_vec(), rev: b"null".to_vec(), code: error.code(), reason })
        }
    }
}

/// An item of another form than they should have.
fn odd_item(raw: &RawValue) -> Item {
    const NULL: &[u8] = b"null";
    let wrong =
        |id: &[u8], rev, reason| Item::wrong(id.to_vec(), ItemError::bad_request(id, rev, reason));
    let Ok(Value::Object(item)) = serde_json::from_str(raw.get()) else {
        return wrong(NULL, &Value::Null, "document must be a JSON object");
    };
    let Some(id) = item.get("id") else {
        return wrong(NULL, &Value::Null, "document id missed");
    };
    let text = id.to_string().into_bytes();
    if !id.is_string() {
        return wrong(&text, &Value::Null, "Document id must be a string");
    }
    match item.get("rev") {
        Some(rev) if !rev.is_string() => wrong(&text, rev, "Invalid rev format"),
        Some(_) | None => {
            let since = item.get("atts_since").unwrap_or(&Value::Null);
            wrong(&text, since, "att_since value must be array of revs.")
        }
    }
}

impl Item {
    fn wrong(id: Vec<u8>, error: ItemError) -> Self {
        Self { id, wanted: Err(error), atts_since: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the items are, each has an entry, and what is written of it is JSON.
        #[test]
        fn every_item_is_wanted_or_has_its_error(
            items in proptest::collection::vec(
                (
                    prop_oneof![Just("null".to_owned()), "\"[a-z_/]{0,9}\"", "[0-9]", "[{}]{2}"],
                    prop_oneof![Just("null".to_owned()), "\"[0-3]-[a-f]{1,3}\"", "[0-9]"],
                    prop_oneof![Just("[]".to_owned()), "\\[\"[0-3]-[a-f]{1,3}\"\\]", "[0-9]"],
                ),
                0..5,
            ),
        ) {
            let texts = items.iter().map(|(id, rev, since)| {
                format!("{{\"id\":{id},\"rev\":{rev},\"atts_since\":{since}}}")
            });
            let docs = texts.collect::<Vec<_>>().join(",");
            let valid = serde_json::from_str::<Value>(&format!("[{docs}]")).is_ok();
            let parsed = parse(format!("{{\"docs\":[{docs}]}}").as_bytes());
            prop_assert_eq!(parsed.is_ok(), valid);
            let Ok(parsed) = parsed else { return Ok(()) };
            prop_assert_eq!(parsed.len(), items.len());
            for item in parsed {
                serde_json::from_slice::<Value>(&item.id).unwrap();
                if let Err(error) = item.wanted {
                    let mut out = Vec::new();
                    error.write(&mut out);
                    serde_json::from_slice::<Value>(&out).unwrap();
                }
            }
        }
    }
}
