//! Documents as sent: what is taken out, what is left, what is refused and with which words.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use settle_model::document::{Incoming, parse, parse_bulk};

const A: &str = "0785e9eb543380151003dc452c3a001a";
const B: &str = "8c49edca19d786e747fb5bea32c4cb91";

/// Each line is a document; A and B stand for digests. This is the only place that knows the API of
/// [`parse`].
#[track_caller]
fn check(documents: &str, expected: &Expect) {
    let mut seen = String::new();
    for line in documents.lines() {
        let text = line.replace("«A»", A).replace("«B»", B);
        match parse(text.as_bytes()) {
            Ok(document) => writeln!(seen, "{line}\n    {}", show(&document)).unwrap(),
            Err(error) => writeln!(seen, "{line}\n    ! {error}").unwrap(),
        }
    }
    expected.assert_eq(&seen);
}

fn show(document: &Incoming) -> String {
    let mut shown = String::from_utf8(document.body.clone()).unwrap();
    if let Some(id) = &document.id {
        write!(shown, " id={id:?}").unwrap();
    }
    if let Some(rev) = &document.rev {
        write!(shown, " rev={rev}").unwrap();
    }
    if let Some(path) = &document.revisions {
        let digests: Vec<_> = path.digests().iter().map(ToString::to_string).collect();
        write!(shown, " revisions={}:{}", path.start(), digests.join(",")).unwrap();
    }
    if document.deleted {
        shown.push_str(" deleted");
    }
    for (name, attachment) in &document.attachments {
        write!(shown, "\n    {name}: {attachment:?}").unwrap();
    }
    shown.replace(A, "«A»").replace(B, "«B»")
}

#[test]
fn special_members_are_taken_out_wherever_they_stand() {
    check(
        r#"{}
{"a":1}
 { "a" : 1 , "b" : [ 1 , 2 ] } 
{"_id":"x","a":1,"b":2}
{"a":1,"_id":"x","b":2}
{"a":1,"b":2,"_id":"x"}
{"_id":"x","_rev":"1-«A»","a":1,"_deleted":true}
{ "_id" : "x" , "a" : 1 , "_rev" : "1-«A»" , "b" : { "c" : [ ] } , "_deleted" : false }
{"_id":"x","_deleted":true}
{"\u005fid":"a\u0062","_\u0072ev":"1-x","\u0061":1}
{"nested":{"_id":"stays","_x":1}}
{"a":"1.0","n":[1.0,1e2,12345678901234567890],"s":"\u00e9\/"}"#,
        &expect![[r#"
            {}
                {}
            {"a":1}
                {"a":1}
             { "a" : 1 , "b" : [ 1 , 2 ] } 
                {"a":1,"b":[1,2]}
            {"_id":"x","a":1,"b":2}
                {"a":1,"b":2} id="x"
            {"a":1,"_id":"x","b":2}
                {"a":1,"b":2} id="x"
            {"a":1,"b":2,"_id":"x"}
                {"a":1,"b":2} id="x"
            {"_id":"x","_rev":"1-«A»","a":1,"_deleted":true}
                {"a":1} id="x" rev=1-«A» deleted
            { "_id" : "x" , "a" : 1 , "_rev" : "1-«A»" , "b" : { "c" : [ ] } , "_deleted" : false }
                {"a":1,"b":{"c":[]}} id="x" rev=1-«A»
            {"_id":"x","_deleted":true}
                {} id="x" deleted
            {"\u005fid":"a\u0062","_\u0072ev":"1-x","\u0061":1}
                {"\u0061":1} id="ab" rev=1-x
            {"nested":{"_id":"stays","_x":1}}
                {"nested":{"_id":"stays","_x":1}}
            {"a":"1.0","n":[1.0,1e2,12345678901234567890],"s":"\u00e9\/"}
                {"a":"1.0","n":[1.0,1e2,12345678901234567890],"s":"\u00e9\/"}
        "#]],
    );
}

#[test]
fn what_the_server_adds_is_accepted_back_and_dropped() {
    check(
        r#"{"_revs_info":[1],"_local_seq":7,"a":1,"_conflicts":[],"_deleted_conflicts":null}
{"_replication_id":"r","_replication_state":"s","_replication_state_time":1}
{"_access":["x"],"_replication_stats":{},"_replication_state_reason":""}"#,
        &expect![[r#"
            {"_revs_info":[1],"_local_seq":7,"a":1,"_conflicts":[],"_deleted_conflicts":null}
                {"a":1}
            {"_replication_id":"r","_replication_state":"s","_replication_state_time":1}
                {"_replication_id":"r","_replication_state":"s","_replication_state_time":1}
            {"_access":["x"],"_replication_stats":{},"_replication_state_reason":""}
                {"_access":["x"],"_replication_stats":{},"_replication_state_reason":""}
        "#]],
    );
}

#[test]
fn a_member_with_an_underscore_that_nobody_knows_is_refused() {
    check(
        r#"{"_x":1}
{"a":1,"_":1}
{"_ID":"x"}
{"\u005fx":1}
{"_replication_x":1}
{"_deleted":1}
{"_attachments":[]}
{"_revisions":null}"#,
        &expect![[r#"
            {"_x":1}
                ! Bad special document member: _x
            {"a":1,"_":1}
                ! Bad special document member: _
            {"_ID":"x"}
                ! Bad special document member: _ID
            {"\u005fx":1}
                ! Bad special document member: _x
            {"_replication_x":1}
                ! Bad special document member: _replication_x
            {"_deleted":1}
                ! Bad special document member: _deleted
            {"_attachments":[]}
                ! Bad special document member: _attachments
            {"_revisions":null}
                ! Bad special document member: _revisions
        "#]],
    );
}

#[test]
fn a_document_is_an_object_with_a_text_as_id() {
    check(
        "[1]\n1\n\"x\"\nnull\n{\"_id\":1}\n{\"_id\":null}\n{\"_id\":\"\"}",
        &expect![[r#"
        [1]
            ! Document must be a JSON object
        1
            ! Document must be a JSON object
        "x"
            ! Document must be a JSON object
        null
            ! Document must be a JSON object
        {"_id":1}
            ! Document id must be a string
        {"_id":null}
            ! Document id must be a string
        {"_id":""}
            {} id=""
    "#]],
    );
}

#[test]
fn a_revision_has_a_generation_and_a_digest() {
    check(
        r#"{"_rev":"1-«A»"}
{"_rev":"12-abc"}
{"_rev":"0-3"}
{"_rev":"0-x"}
{"_rev":1}
{"_rev":"abc"}
{"_rev":""}
{"_rev":null}
{"_rev":"-1-a"}
{"_rev":"1-zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"}"#,
        &expect![[r#"
            {"_rev":"1-«A»"}
                {} rev=1-«A»
            {"_rev":"12-abc"}
                {} rev=12-abc
            {"_rev":"0-3"}
                {} rev=0-3
            {"_rev":"0-x"}
                ! Invalid rev format
            {"_rev":1}
                ! Invalid rev format
            {"_rev":"abc"}
                ! Invalid rev format
            {"_rev":""}
                ! Invalid rev format
            {"_rev":null}
                ! Invalid rev format
            {"_rev":"-1-a"}
                ! Invalid rev format
            {"_rev":"1-zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"}
                ! Invalid rev format
        "#]],
    );
}

#[test]
fn revisions_take_the_place_of_the_revision() {
    check(
        r#"{"_revisions":{"start":2,"ids":["«B»","«A»"]}}
{"_rev":"9-x","_revisions":{"ids":["«B»"],"start":2}}
{"_revisions":{"start":2,"ids":["«B»"],"more":{}},"_rev":"not read"}
{"_revisions":{"start":0,"ids":[]}}
{"_revisions":{}}
{"_revisions":{"start":"2","ids":[]}}
{"_revisions":{"start":2.0,"ids":[]}}
{"_revisions":{"start":-1,"ids":[]}}
{"_revisions":{"start":2}}
{"_revisions":{"start":2,"ids":{}}}
{"_revisions":{"start":2,"ids":["a",1]}}
{"_revisions":{"start":2,"ids":["zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"]}}
{"_revisions":{"start":1,"ids":["b","a"]}}
{"_revisions":{"start":1,"ids":[]}}"#,
        &expect![[r#"
            {"_revisions":{"start":2,"ids":["«B»","«A»"]}}
                {} rev=2-«B» revisions=2:«B»,«A»
            {"_rev":"9-x","_revisions":{"ids":["«B»"],"start":2}}
                {} rev=2-«B» revisions=2:«B»
            {"_revisions":{"start":2,"ids":["«B»"],"more":{}},"_rev":"not read"}
                {} rev=2-«B» revisions=2:«B»
            {"_revisions":{"start":0,"ids":[]}}
                {}
            {"_revisions":{}}
                ! _revisions.start isn't an integer.
            {"_revisions":{"start":"2","ids":[]}}
                ! _revisions.start isn't an integer.
            {"_revisions":{"start":2.0,"ids":[]}}
                ! _revisions.start isn't an integer.
            {"_revisions":{"start":-1,"ids":[]}}
                ! _revisions.start isn't an integer.
            {"_revisions":{"start":2}}
                ! _revisions.ids isn't a array.
            {"_revisions":{"start":2,"ids":{}}}
                ! _revisions.ids isn't a array.
            {"_revisions":{"start":2,"ids":["a",1]}}
                ! RevId isn't a string
            {"_revisions":{"start":2,"ids":["zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"]}}
                ! RevId isn't a valid hexadecimal
            {"_revisions":{"start":1,"ids":["b","a"]}}
                ! _revisions.ids does not fit _revisions.start: 2 digests do not fit between generations 1 and 1
            {"_revisions":{"start":1,"ids":[]}}
                ! _revisions.ids does not fit _revisions.start: 0 digests do not fit between generations 1 and 1
        "#]],
    );
}

#[test]
fn a_text_that_is_not_json_is_reported_before_anything_else() {
    check(
        "{\"_x\":1\n{\"_rev\":1,}\n\n[1\n{\"_id\":1,\"a\":1,\"a\":2}",
        &expect![[r#"
            {"_x":1
                ! invalid UTF-8 JSON
            {"_rev":1,}
                ! invalid UTF-8 JSON

                ! invalid UTF-8 JSON
            [1
                ! invalid UTF-8 JSON
            {"_id":1,"a":1,"a":2}
                ! a second member "a" in one object at byte 15
        "#]],
    );
}

#[test]
fn an_attachment_comes_inside_or_behind_or_from_the_revision_before() {
    check(
        r#"{"_attachments":{}}
{"a":1,"_attachments":{"t.txt":{"content_type":"text/plain","data":"aGVsbG8="}},"b":2}
{"_attachments":{"z":{"data":""},"a/b c":{"data":"aGVs\nbG8=","revpos":3}}}
{"_attachments":{"php":{"data":"\/\/8="}}}
{"_attachments":{"s":{"stub":true}}}
{"_attachments":{"s":{"stub":true,"revpos":2,"digest":"md5-XUFAKrxLKna5cZ2REBfFkg==","length":5,"data":"!"}}}
{"_attachments":{"s":{"stub":false,"follows":true,"content_type":"text/css","length":9,"encoding":"gzip","encoded_length":7,"revpos":1,"digest":"sha256-x"}}}"#,
        &expect![[r#"
            {"_attachments":{}}
                {}
            {"a":1,"_attachments":{"t.txt":{"content_type":"text/plain","data":"aGVsbG8="}},"b":2}
                {"a":1,"b":2}
                t.txt: Inline { content_type: "text/plain", revpos: 0, data: [104, 101, 108, 108, 111] }
            {"_attachments":{"z":{"data":""},"a/b c":{"data":"aGVs\nbG8=","revpos":3}}}
                {}
                z: Inline { content_type: "application/octet-stream", revpos: 0, data: [] }
                a/b c: Inline { content_type: "application/octet-stream", revpos: 3, data: [104, 101, 108, 108, 111] }
            {"_attachments":{"php":{"data":"\/\/8="}}}
                {}
                php: Inline { content_type: "application/octet-stream", revpos: 0, data: [255, 255] }
            {"_attachments":{"s":{"stub":true}}}
                {}
                s: Stub { content_type: "application/octet-stream", revpos: None, digest: None, length: None, encoding: Identity, encoded_length: None }
            {"_attachments":{"s":{"stub":true,"revpos":2,"digest":"md5-XUFAKrxLKna5cZ2REBfFkg==","length":5,"data":"!"}}}
                {}
                s: Stub { content_type: "application/octet-stream", revpos: Some(2), digest: Some([93, 65, 64, 42, 188, 75, 42, 118, 185, 113, 157, 145, 16, 23, 197, 146]), length: Some(5), encoding: Identity, encoded_length: None }
            {"_attachments":{"s":{"stub":false,"follows":true,"content_type":"text/css","length":9,"encoding":"gzip","encoded_length":7,"revpos":1,"digest":"sha256-x"}}}
                {}
                s: Follows { content_type: "text/css", revpos: 1, digest: None, length: Some(9), encoding: Gzip, encoded_length: Some(7) }
        "#]],
    );
}

#[test]
fn an_attachment_that_makes_no_sense_is_refused() {
    check(
        r#"{"_attachments":{"_x":{"data":""}}}
{"_attachments":{"":{"data":""}}}
{"_attachments":{"x":1}}
{"_attachments":{"x":{}}}
{"_attachments":{"x":{"data":"a"}}}
{"_attachments":{"x":{"data":"a!=="}}}
{"_attachments":{"x":{"data":5}}}
{"_attachments":{"x":{"stub":true,"revpos":-1}}}
{"_attachments":{"x":{"stub":true,"digest":"md5-x"}}}
{"_attachments":{"x":{"follows":true,"length":"5"}}}
{"_attachments":{"x":{"follows":true,"length":5,"encoding":"br"}}}
{"_attachments":{"x":{"data":"","content_type":null}}}
{"_attachments":{"x":{"data":"","content_type":"text/html\r\nSet-Cookie: a"}}}
{"_attachments":{"x":{"data":""},"x":{"data":""}}}"#,
        &expect![[r#"
            {"_attachments":{"_x":{"data":""}}}
                ! Attachment name '_x' starts with prohibited character '_'
            {"_attachments":{"":{"data":""}}}
                ! Attachment name must not be empty
            {"_attachments":{"x":1}}
                ! Attachment 'x' must be a JSON object
            {"_attachments":{"x":{}}}
                ! Invalid attachment data for x
            {"_attachments":{"x":{"data":"a"}}}
                ! Invalid attachment data for x
            {"_attachments":{"x":{"data":"a!=="}}}
                ! Invalid attachment data for x
            {"_attachments":{"x":{"data":5}}}
                ! Invalid attachment data for x
            {"_attachments":{"x":{"stub":true,"revpos":-1}}}
                ! Attachment 'x' has a bad `revpos`: expected a generation
            {"_attachments":{"x":{"stub":true,"digest":"md5-x"}}}
                ! Attachment 'x' has a bad `digest`: expected `md5-` and 16 bytes in base64
            {"_attachments":{"x":{"follows":true,"length":"5"}}}
                ! Attachment 'x' has a bad `length`: expected a number of bytes
            {"_attachments":{"x":{"follows":true,"length":5,"encoding":"br"}}}
                ! Attachment 'x' has a bad `encoding`: expected `gzip` or `identity`
            {"_attachments":{"x":{"data":"","content_type":null}}}
                ! Attachment 'x' has a bad `content_type`: expected a text that can stand in an HTTP header
            {"_attachments":{"x":{"data":"","content_type":"text/html\r\nSet-Cookie: a"}}}
                ! Attachment 'x' has a bad `content_type`: expected a text that can stand in an HTTP header
            {"_attachments":{"x":{"data":""},"x":{"data":""}}}
                ! a second member "x" in one object at byte 33
        "#]],
    );
}

/// Each line is the body of a `_bulk_docs` request.
#[track_caller]
fn check_bulk(bodies: &str, expected: &Expect) {
    let mut seen = String::new();
    for line in bodies.lines() {
        match parse_bulk(line.as_bytes()) {
            Ok(bulk) => {
                let docs: Vec<_> = bulk.docs.iter().map(show).collect();
                let docs = docs.join("; ");
                let (new_edits, together) = (bulk.new_edits, bulk.all_or_nothing);
                writeln!(seen, "{line}\n    [{docs}] {new_edits:?} {together:?}").unwrap();
            }
            Err(error) => writeln!(seen, "{line}\n    ! {error}").unwrap(),
        }
    }
    expected.assert_eq(&seen);
}

#[test]
fn many_documents_come_in_one_body() {
    check_bulk(
        r#"{"docs":[]}
{"docs":[{"_id":"a","v":1},{"v":2},{}]}
{ "new_edits" : false , "docs" : [ { "_id" : "a" , "v" : [ 1 ] } , { "v" : 2 } ] , "w" : 3 }
{"docs":[{"v":1}],"all_or_nothing":true,"new_edits":true}"#,
        &expect![[r#"
            {"docs":[]}
                [] None None
            {"docs":[{"_id":"a","v":1},{"v":2},{}]}
                [{"v":1} id="a"; {"v":2}; {}] None None
            { "new_edits" : false , "docs" : [ { "_id" : "a" , "v" : [ 1 ] } , { "v" : 2 } ] , "w" : 3 }
                [{"v":[1]} id="a"; {"v":2}] Some(false) None
            {"docs":[{"v":1}],"all_or_nothing":true,"new_edits":true}
                [{"v":1}] Some(true) Some(true)
        "#]],
    );
}

#[test]
fn one_bad_document_fails_them_all() {
    check_bulk(
        r#"{}
{"docs":1}
[]

{"docs":[1]}
{"docs":[{"_id":"ok1"},{"_bad":1},{"_rev":1}]}
{"new_edits":false,"docs":[{"_id":"b9","_rev":"1-a"},{"_rev":"x"}]}
{"docs":[],"new_edits":1}
{"docs":[{"_bad":1}],}
{"docs":[],"docs":[]}"#,
        &expect![[r#"
            {}
                ! POST body must include `docs` parameter.
            {"docs":1}
                ! `docs` parameter must be an array.
            []
                ! Request body must be a JSON object

                ! invalid UTF-8 JSON
            {"docs":[1]}
                ! Document must be a JSON object
            {"docs":[{"_id":"ok1"},{"_bad":1},{"_rev":1}]}
                ! Bad special document member: _bad
            {"new_edits":false,"docs":[{"_id":"b9","_rev":"1-a"},{"_rev":"x"}]}
                ! Invalid rev format
            {"docs":[],"new_edits":1}
                ! `new_edits` parameter must be a boolean.
            {"docs":[{"_bad":1}],}
                ! invalid UTF-8 JSON
            {"docs":[],"docs":[]}
                ! a second member "docs" in one object at byte 11
        "#]],
    );
}

#[test]
fn a_document_may_be_as_deep_in_a_bulk_as_alone() {
    let document = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    parse(document(256).as_bytes()).unwrap();
    parse(document(257).as_bytes()).unwrap_err();
    let bulk = |depth: usize| format!("{{\"docs\":[{0},{0}]}}", document(depth));
    parse_bulk(bulk(256).as_bytes()).unwrap();
    parse_bulk(bulk(257).as_bytes()).unwrap_err();
}
