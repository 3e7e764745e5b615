//! Documents of replications, as an import brings them.
//!
//! A server runs what such a document asks for from the moment that it has it, unless the document says that
//! the replication has failed or is completed. So a replication that runs on the source comes with one more
//! revision on top of its own, which says *failed* and why. The next revision's id depends on nothing but
//! its content, so a second run makes the same one; and the target then knows the source's revision as an
//! ancestor.

use serde::Deserialize;
use serde_json::value::RawValue;
use settle_model::{
    json::{members, minify, string_value, unescape, write_string},
    revision::RevId,
    revision_hash,
};

use super::couch::to_json;

/// What somebody reads who asks why the replication does not run.
const REASON: &str = "it was brought here by `settle import`, which starts none: to start it, write the \
                      document without its members _replication_state and _replication_state_reason";

#[derive(Deserialize)]
struct Special<'a> {
    #[serde(rename = "_rev")]
    rev: String,
    #[serde(rename = "_revisions")]
    revisions: Revisions,
    #[serde(rename = "_deleted", default)]
    deleted: bool,
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_replication_state", default)]
    state: Option<String>,
    #[serde(rename = "_attachments", default, borrow)]
    attachments: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Revisions {
    start: u32,
    ids: Vec<String>,
}

/// The document with an owner: the one that it has, or `owner`.
pub(super) fn owned(document: &[u8], owner: &str) -> Vec<u8> {
    let Ok(text) = minify(document) else { return document.to_vec() };
    let is_plain = |name: &str| name.starts_with("_design/");
    let has_owner = |(key, value): (&str, &[u8])| match &*unescape(key) {
        "owner" => value != b"null",
        "_deleted" => value == b"true",
        "_id" => string_value(value).is_some_and(|id| is_plain(&id)),
        _ => false,
    };
    if members(&text).any(has_owner) {
        return text.into_owned();
    }
    let mut object = Object::new();
    for (key, value) in members(&text).filter(|(key, _)| unescape(key) != "owner") {
        object.member(&unescape(key), value);
    }
    object.text("owner", owner);
    object.finish()
}

/// The document in a state in which it does not run. What is deleted, settled or asks for nothing comes as
/// it is; so does what cannot be read, for the target to refuse.
pub(super) fn stopped(document: &[u8], owner: &str) -> Vec<u8> {
    let document = owned(document, owner);
    let Ok(special) = serde_json::from_slice::<Special<'_>>(&document) else { return document };
    let is_settled = matches!(special.state.as_deref(), Some("completed" | "failed"));
    if special.deleted || is_settled || special.id.starts_with("_design/") {
        return document;
    }
    stop(&document, special).unwrap_or(document)
}

fn stop(document: &[u8], special: Special<'_>) -> Option<Vec<u8>> {
    let Special { rev, revisions: Revisions { start, mut ids }, id, attachments, .. } = special;
    let mut body = Object::new();
    for (key, value) in members(document) {
        let name = unescape(key);
        if !name.starts_with('_') {
            body.member(&name, value);
        }
    }
    body.text("_replication_state", "failed");
    body.text("_replication_state_reason", REASON);
    let body = body.finish();
    let parent: RevId = rev.parse().ok()?;
    let next = revision_hash::next(false, Some(&parent), &body, &[])?.to_string();
    let (_, digest) = next.split_once('-')?;
    ids.insert(0, digest.to_owned());
    let mut stopped = Object::new();
    stopped.text("_id", &id);
    stopped.text("_rev", &next);
    let revisions = format!("{{\"start\":{},\"ids\":", start.checked_add(1)?);
    stopped.member("_revisions", &[revisions.as_bytes(), &to_json(&ids), b"}"].concat());
    if let Some(attachments) = attachments {
        stopped.member("_attachments", attachments.get().as_bytes());
    }
    for (key, value) in members(&body) {
        stopped.member(&unescape(key), value);
    }
    Some(stopped.finish())
}

/// A JSON object in the making.
struct Object(Vec<u8>);

impl Object {
    fn new() -> Self {
        Self(vec![b'{'])
    }

    fn member(&mut self, name: &str, value: &[u8]) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        write_string(&mut self.0, name);
        self.0.push(b':');
        self.0.extend_from_slice(value);
    }

    fn text(&mut self, name: &str, value: &str) {
        let mut quoted = Vec::new();
        write_string(&mut quoted, value);
        self.member(name, &quoted);
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(document: &str, expected: &Expect) {
        let shown = String::from_utf8(stopped(document.as_bytes(), "ada")).unwrap();
        assert_eq!(stopped(document.as_bytes(), "ada"), shown.as_bytes(), "made twice alike");
        expected.assert_eq(&shown);
    }

    #[test]
    fn a_replication_that_runs_gets_a_revision_that_says_failed() {
        check(
            r#"{"_id":"nightly","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]},
                "source":"https://example.org/notes","target":"notes","n":1.0,
                "_replication_state":"triggered","_replication_id":"x"}"#,
            &expect![[
                r#"{"_id":"nightly","_rev":"3-f8b3daf8908cfd4db689a69b3de89084","_revisions":{"start":3,"ids":["f8b3daf8908cfd4db689a69b3de89084","b","a"]},"source":"https://example.org/notes","target":"notes","n":1.0,"owner":"ada","_replication_state":"failed","_replication_state_reason":"it was brought here by `settle import`, which starts none: to start it, write the document without its members _replication_state and _replication_state_reason"}"#
            ]],
        );
    }

    #[test]
    fn what_does_not_run_comes_as_it_is() {
        check(
            r#"{"_id":"done","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]},"owner":"dan",
                "_replication_state":"completed"}"#,
            &expect![[
                r#"{"_id":"done","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]},"owner":"dan","_replication_state":"completed"}"#
            ]],
        );
        check(
            r#"{"_id":"gone","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]},"_deleted":true}"#,
            &expect![[
                r#"{"_id":"gone","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]},"_deleted":true}"#
            ]],
        );
        check(
            r#"{"_id":"_design/x","_rev":"1-b","_revisions":{"start":1,"ids":["b"]},"views":{}}"#,
            &expect![[
                r#"{"_id":"_design/x","_rev":"1-b","_revisions":{"start":1,"ids":["b"]},"views":{}}"#
            ]],
        );
    }
}
