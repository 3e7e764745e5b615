//! Revision ids against those that CouchDB 3.5.2 gave to the same edits (`recorded/`).

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compress, Compression, FlushCompress, Status};
use md5::{Digest as _, Md5};
use serde_json::Value;
use settle_model::{
    document::{self, AttachmentIn, Incoming},
    json,
    revision::RevId,
    revision_hash::{AttachmentEdit, next},
};

const BODIES: &str = include_str!("recorded/revision-ids.jsonl");
const ATTACHMENTS: &str = include_str!("recorded/attachment-revision-ids.jsonl");

/// An attachment as CouchDB stores it.
#[derive(Clone)]
struct Stored {
    name: String,
    content_type: String,
    md5: [u8; 16],
}

fn lines(text: &str) -> impl Iterator<Item = Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap())
}

fn rev(text: &Value) -> RevId {
    text.as_str().unwrap().parse().unwrap()
}

fn revise(parent: Option<&RevId>, document: &Incoming, attachments: &[Stored]) -> RevId {
    let edits: Vec<_> = attachments
        .iter()
        .map(|it| AttachmentEdit { name: &it.name, content_type: &it.content_type, md5: it.md5 })
        .collect();
    next(document.deleted, parent, &document.body, &edits).unwrap()
}

fn store(name: &str, content_type: &str, data: &[u8]) -> Stored {
    let compressible = content_type.starts_with("text/") || content_type == "application/json";
    let sum = if compressible { Md5::digest(gzip(data)) } else { Md5::digest(data) };
    Stored { name: name.to_owned(), content_type: content_type.to_owned(), md5: sum.into() }
}

/// Level 8 with the header that zlib itself writes, as `couch_stream` has it.
fn gzip(data: &[u8]) -> Vec<u8> {
    let mut compress = Compress::new_gzip(Compression::new(8), 15);
    let mut out = Vec::with_capacity(data.len() + 100);
    let status = compress.compress_vec(data, &mut out, FlushCompress::Finish).unwrap();
    assert_eq!(status, Status::StreamEnd, "there is room for all of it");
    out
}

/// Attachments of `document`, stubs taken from `before`.
fn store_all(document: &Incoming, before: &[Stored]) -> Vec<Stored> {
    let store =
        |(name, attachment): &(settle_model::id::AttachmentName, AttachmentIn)| match attachment {
            AttachmentIn::Stub { .. } => {
                before.iter().find(|it| it.name == name.as_str()).unwrap().clone()
            }
            AttachmentIn::Inline { content_type, data, .. } => {
                store(name.as_str(), content_type, data)
            }
            AttachmentIn::Follows { .. } => panic!("nothing follows in these recordings"),
        };
    document.attachments.iter().map(store).collect()
}

fn assert_stored(stored: &[Stored], expected: &Value) {
    for it in stored {
        let digest = format!("md5-{}", STANDARD.encode(it.md5));
        assert_eq!(digest, expected[&it.name]["digest"], "{}", it.name);
    }
}

/// `w(k)` of the recording's description: a letter repeated, then `k`.
fn long_text() -> String {
    let word = |k: usize| {
        let letter = b"abcdefghijklmnopqrstuvwxyz"[k % 26];
        format!("{}{k}", char::from(letter).to_string().repeat(1 + k % 5))
    };
    let words: Vec<String> = (0..17_000).map(|i| word((7 * i * i + 13 * i) % 900)).collect();
    let text = words.join(" ");
    assert_eq!(text.len(), 116_205);
    text
}

#[test]
fn every_recorded_body_gets_the_ids_that_couchdb_gave() {
    let mut count = 0;
    for case in lines(BODIES).filter(|case| case["same_body_again"].is_string()) {
        let text = match case["body"].as_str() {
            Some(body) => body.to_owned(),
            None => format!("{{\"a\":[{}]}}", vec!["7"; 70_000].join(",")),
        };
        let document = document::parse(text.as_bytes()).unwrap();
        let tombstone = document::parse(br#"{"_deleted":true}"#).unwrap();
        let created = revise(None, &document, &[]);
        let again = revise(Some(&created), &document, &[]);
        let deleted = revise(Some(&again), &tombstone, &[]);
        let recreated = revise(Some(&deleted), &document, &[]);
        let expected = ["created", "same_body_again", "deleted", "recreated_without_rev"];
        let expected = expected.map(|key| rev(&case[key]));
        assert_eq!([created, again, deleted, recreated], expected, "{text:.200}");
        count += 1;
    }
    assert_eq!(count, 47);
}

#[test]
fn a_tombstone_with_a_body_gets_the_id_that_couchdb_gave() {
    let case = lines(BODIES).find(|case| case["status"] == 200).unwrap();
    let document = document::parse(case["body"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(revise(None, &document, &[]), rev(&case["created"]));
}

#[test]
fn one_attachment_is_part_of_the_id() {
    let mut count = 0;
    for case in lines(BODIES).filter(|case| case["attachments_of"].is_object()) {
        let document = document::parse(case["attachments_of"].to_string().as_bytes()).unwrap();
        let stored = store_all(&document, &[]);
        assert_stored(&stored, &case["stored"]);
        let created = revise(None, &document, &stored);
        assert_eq!(created, rev(&case["created"]));

        let update = document::parse(br#"{"x":2}"#).unwrap();
        let updated = revise(Some(&created), &update, &stored);
        assert_eq!(updated, rev(&case["updated_x_to_2_with_stub"]));
        count += 1;
    }
    assert_eq!(count, 5);
}

#[test]
fn attachments_count_in_the_order_of_the_document() {
    let mut before = Vec::new();
    let mut parent: Option<RevId> = None;
    let mut count = 0;
    for case in lines(ATTACHMENTS).filter(|case| case["document"].is_object()) {
        let mut text = in_recorded_order(&case);
        let long = long_text();
        assert_eq!(long.len(), 116_205);
        if text.contains("three times") || case["note"].as_str().unwrap().starts_with("three times")
        {
            let list = serde_json::to_string(&[&long; 3]).unwrap().replace("\",\"", "\", \"");
            text = with_data(&text, &list);
        } else if case["note"].as_str().unwrap().starts_with("long") {
            text = with_data(&text, &long);
        }
        let document = document::parse(text.as_bytes()).unwrap();
        let stored = store_all(&document, &before);
        assert_stored(&stored, &case["stored"]);
        let base = if document.rev.is_some() { parent.as_ref() } else { None };
        let created = revise(base, &document, &stored);
        assert_eq!(created, rev(&case["created"]), "{}", case["note"]);
        (before, parent) = (stored, Some(created));
        count += 1;
    }
    assert_eq!(count, 6);
}

#[test]
fn two_attachments_of_a_document_without_members_get_the_recorded_id() {
    let case = lines(BODIES).find(|case| case["two_attachments_b_then_a"].is_string()).unwrap();
    let empty = document::parse(b"{}").unwrap();
    let store = |name: &str, data: &[u8]| store(name, "application/octet-stream", data);
    let id = revise(None, &empty, &[store("b.bin", b"bb"), store("a.bin", b"aa")]);
    assert_eq!(id, rev(&case["created"]));
}

#[test]
fn an_attachment_uploaded_alone_makes_the_same_edit() {
    let created = |name: &str| {
        let case = lines(ATTACHMENTS).find(|it| it["note"].as_str().unwrap().contains(name));
        rev(&case.unwrap()["created"])
    };
    let empty = document::parse(b"{}").unwrap();
    let bytes = store("f.bin", "application/octet-stream", b"0123456789");
    assert_eq!(revise(None, &empty, &[bytes]), created("/direct/f.bin"));

    let text = store("f.txt", "text/plain", b"hello hello hello");
    let first = revise(None, &empty, &[text]);
    assert_eq!(first, created("/direct2/f.txt"));
    assert_eq!(revise(Some(&first), &empty, &[]), created("DELETE"));
}

/// The document as it was sent: `serde_json` sorts the members of objects.
fn in_recorded_order(case: &Value) -> String {
    let note = case["note"].to_string();
    let line = ATTACHMENTS.lines().find(|line| line.contains(&note)).unwrap();
    let line = json::minify(line.as_bytes()).unwrap();
    let (_, document) = json::members(&line).find(|(key, _)| *key == "document").unwrap();
    String::from_utf8(document.to_vec()).unwrap()
}

fn with_data(document: &str, data: &str) -> String {
    let (head, rest) = document.split_once("\"data\":\"").unwrap();
    let (_, tail) = rest.split_once('"').unwrap();
    format!("{head}\"data\":\"{}\"{tail}", STANDARD.encode(data))
}

#[test]
fn spellings_of_one_value_are_one_edit() {
    let id = |body: &str| next(false, None, body.as_bytes(), &[]).unwrap();
    assert_eq!(id(r#"{"a":1e2}"#), id(r#"{"a":100.0}"#));
    assert_eq!(id(r#"{"a":"\u0041\/"}"#), id(r#"{"a":"A/"}"#));
    assert_eq!(id(r#"{"\u0061":-0}"#), id(r#"{"a":0}"#));
    assert_ne!(id(r#"{"a":1}"#), id(r#"{"a":1.0}"#));
    assert_ne!(id(r#"{"a":1,"b":2}"#), id(r#"{"b":2,"a":1}"#));
}

#[test]
fn the_last_generation_has_no_successor() {
    let last: RevId = format!("{}-a", u32::MAX).parse().unwrap();
    assert_eq!(next(false, Some(&last), b"{}", &[]), None);
}
