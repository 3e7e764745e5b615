//! Filters of changes that look into documents.

use std::time::Duration;

use axum::{body::Body, response::Response};
use expect_test::{Expect, expect};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::asked::{ask, check_on, told};
use crate::support::TestServer;

const DESIGN: &str = r#"PUT /d/_design/x {
    "filters": {
        "kind": "function(doc, req) { return doc.kind == req.query.kind; }",
        "all": "function() { return true; }",
        "asks": "function(doc, req) { return req.method + req.path.join('/') + req.userCtx.name + req.body + req.headers.Authorization + doc._id == 'GETd/_changesadminundefinedundefinedb'; }",
        "revs": "function(doc) { return doc._revisions.ids.length == 2 && doc._conflicts && doc._conflicts.length == 1; }",
        "fails": "function(doc) { return doc.nothing.here; }",
        "broken": "function("
    },
    "views": {"b": {"map": "function(doc) { if (doc.kind == 'b') emit(null); }"}}
}"#;

/// Sequences: 1 `_design/x`; 3 `a`, with a conflict; 4 `b`; 5 `gone`, deleted.
async fn filled() -> TestServer {
    let server = crate::story::begin().await;
    assert_eq!(ask(&server, &DESIGN.replace("\n", " ")).await.status(), 201);
    let docs = r#"POST /d/_bulk_docs {"new_edits": false, "docs": [
        {"_id": "a", "_revisions": {"start": 2, "ids": ["c", "a"]}, "kind": "a"},
        {"_id": "a", "_revisions": {"start": 2, "ids": ["b", "a"]}, "kind": "b"},
        {"_id": "b", "_rev": "1-a", "kind": "b", "n": 1.0},
        {"_id": "gone", "_rev": "1-a", "_deleted": true, "kind": "b"}
    ]}"#;
    assert_eq!(ask(&server, &docs.replace("\n", " ")).await.status(), 201);
    server
}

async fn check(requests: &[&str], expected: Expect) {
    check_on(&filled().await, requests, expected).await;
}

#[tokio::test]
async fn a_function_chooses_by_document_and_request() {
    check(
        &[
            "GET /d/_changes?filter=x/kind&kind=b",
            "GET /d/_changes?filter=x/kind&kind=b&style=all_docs",
            "GET /d/_changes?filter=x/kind&kind=b&include_docs=true&limit=1",
            "GET /d/_changes?filter=x/kind&kind=b&descending=true",
            "GET /d/_changes?filter=x/kind&kind=none",
            "GET /d/_changes?filter=x/asks",
            "GET /d/_changes?filter=x/revs",
            "GET /d/_changes?filter=x/fails",
            "GET /d/_changes?filter=x/broken",
            "GET /d/_changes?filter=x/missing",
            "GET /d/_changes?filter=y/missing",
        ],
        expect![[r#"
            > GET /d/_changes?filter=x/kind&kind=b
            200 OK
            {"results":[
            {"seq":"4-t","id":"b","changes":[{"rev":"1-a"}]},
            {"seq":"5-t","id":"gone","changes":[{"rev":"1-a"}],"deleted":true}
            ],
            "last_seq":"5-t","pending":0}

            > GET /d/_changes?filter=x/kind&kind=b&style=all_docs
            200 OK
            {"results":[
            {"seq":"3-t","id":"a","changes":[{"rev":"2-b"}]},
            {"seq":"4-t","id":"b","changes":[{"rev":"1-a"}]},
            {"seq":"5-t","id":"gone","changes":[{"rev":"1-a"}],"deleted":true}
            ],
            "last_seq":"5-t","pending":0}

            > GET /d/_changes?filter=x/kind&kind=b&include_docs=true&limit=1
            200 OK
            {"results":[
            {"seq":"4-t","id":"b","changes":[{"rev":"1-a"}],"doc":{"_id":"b","_rev":"1-a","kind":"b","n":1.0}}
            ],
            "last_seq":"4-t","pending":1}

            > GET /d/_changes?filter=x/kind&kind=b&descending=true
            200 OK
            {"results":[
            {"seq":"5-t","id":"gone","changes":[{"rev":"1-a"}],"deleted":true},
            {"seq":"4-t","id":"b","changes":[{"rev":"1-a"}]}
            ],
            "last_seq":"4-t","pending":0}

            > GET /d/_changes?filter=x/kind&kind=none
            200 OK
            {"results":[

            ],
            "last_seq":"5-t","pending":0}

            > GET /d/_changes?filter=x/asks
            200 OK
            {"results":[
            {"seq":"4-t","id":"b","changes":[{"rev":"1-a"}]}
            ],
            "last_seq":"5-t","pending":0}

            > GET /d/_changes?filter=x/revs
            200 OK
            {"results":[
            {"seq":"3-t","id":"a","changes":[{"rev":"2-c"}]}
            ],
            "last_seq":"5-t","pending":0}

            > GET /d/_changes?filter=x/fails
            500 Internal Server Error
            {"error":"TypeError","reason":"cannot read property 'here' of undefined"}

            > GET /d/_changes?filter=x/broken
            400 Bad Request
            {"error":"compilation_error","reason":"SyntaxError: Unexpected end of input (function()"}

            > GET /d/_changes?filter=x/missing
            404 Not Found
            {"error":"not_found","reason":"missing json key: missing"}

            > GET /d/_changes?filter=y/missing
            404 Not Found
            {"error":"not_found","reason":"missing"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_view_and_a_selector_choose_as_well() {
    check(
        &[
            "GET /d/_changes?filter=_view&view=x/b",
            "GET /d/_changes?filter=_view&view=x/b&style=all_docs",
            r#"POST /d/_changes?filter=_selector {"selector": {"kind": "b"}}"#,
            r#"POST /d/_changes?filter=_selector&style=all_docs {"selector": {"kind": "b"}}"#,
            r#"POST /d/_changes?filter=_selector&include_docs=true {"selector": {"kind": "b"}, "fields": ["n", "_id"]}"#,
            r#"POST /d/_changes?filter=_selector {"selector": {"_deleted": true}}"#,
            r#"POST /d/_changes?filter=_selector {"selector": {}, "fields": 1}"#,
        ],
        expect![[r#"
            > GET /d/_changes?filter=_view&view=x/b
            200 OK
            etag: "5-t"
            {"results":[
            {"seq":"4-t","id":"b","changes":[{"rev":"1-a"}]},
            {"seq":"5-t","id":"gone","changes":[{"rev":"1-a"}],"deleted":true}
            ],
            "last_seq":"5-t","pending":0}

            > GET /d/_changes?filter=_view&view=x/b&style=all_docs
            200 OK
            etag: "5-t"
            {"results":[
            {"seq":"3-t","id":"a","changes":[{"rev":"2-b"}]},
            {"seq":"4-t","id":"b","changes":[{"rev":"1-a"}]},
            {"seq":"5-t","id":"gone","changes":[{"rev":"1-a"}],"deleted":true}
            ],
            "last_seq":"5-t","pending":0}

            > POST /d/_changes?filter=_selector {"selector": {"kind": "b"}}
            200 OK
            {"results":[
            {"seq":"4-t","id":"b","changes":[{"rev":"1-a"}]},
            {"seq":"5-t","id":"gone","changes":[{"rev":"1-a"}],"deleted":true}
            ],
            "last_seq":"5-t","pending":0}

            > POST /d/_changes?filter=_selector&style=all_docs {"selector": {"kind": "b"}}
            200 OK
            {"results":[
            {"seq":"3-t","id":"a","changes":[{"rev":"2-b"}]},
            {"seq":"4-t","id":"b","changes":[{"rev":"1-a"}]},
            {"seq":"5-t","id":"gone","changes":[{"rev":"1-a"}],"deleted":true}
            ],
            "last_seq":"5-t","pending":0}

            > POST /d/_changes?filter=_selector&include_docs=true {"selector": {"kind": "b"}, "fields": ["n", "_id"]}
            200 OK
            {"results":[
            {"seq":"4-t","id":"b","changes":[{"rev":"1-a"}],"doc":{"n":1.0,"_id":"b"}},
            {"seq":"5-t","id":"gone","changes":[{"rev":"1-a"}],"deleted":true,"doc":{"_id":"gone"}}
            ],
            "last_seq":"5-t","pending":0}

            > POST /d/_changes?filter=_selector {"selector": {"_deleted": true}}
            200 OK
            {"results":[
            {"seq":"5-t","id":"gone","changes":[{"rev":"1-a"}],"deleted":true}
            ],
            "last_seq":"5-t","pending":0}

            > POST /d/_changes?filter=_selector {"selector": {}, "fields": 1}
            400 Bad Request
            {"error":"bad_request","reason":"Selector error: fields must be JSON array"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn few_ids_are_looked_up_and_then_followed() {
    let server = filled().await;
    check_on(
        &server,
        &[
            r#"POST /d/_changes?filter=_doc_ids&since=3 {"doc_ids": ["gone", "a", "b", "none"]}"#,
            r#"POST /d/_changes?filter=_doc_ids&descending=true&limit=2 {"doc_ids": ["gone", "a", "b"]}"#,
            r#"POST /d/_changes?filter=_doc_ids&include_docs=true {"doc_ids": ["b"]}"#,
        ],
        expect![[r#"
            > POST /d/_changes?filter=_doc_ids&since=3 {"doc_ids": ["gone", "a", "b", "none"]}
            200 OK
            etag: "5-t"
            {"results":[
            {"seq":"4-t","id":"b","changes":[{"rev":"1-a"}]},
            {"seq":"5-t","id":"gone","changes":[{"rev":"1-a"}],"deleted":true}
            ],
            "last_seq":"5-t","pending":0}

            > POST /d/_changes?filter=_doc_ids&descending=true&limit=2 {"doc_ids": ["gone", "a", "b"]}
            200 OK
            etag: "5-t"
            {"results":[
            {"seq":"5-t","id":"gone","changes":[{"rev":"1-a"}],"deleted":true},
            {"seq":"4-t","id":"b","changes":[{"rev":"1-a"}]}
            ],
            "last_seq":"4-t","pending":2}

            > POST /d/_changes?filter=_doc_ids&include_docs=true {"doc_ids": ["b"]}
            200 OK
            etag: "5-t"
            {"results":[
            {"seq":"4-t","id":"b","changes":[{"rev":"1-a"}],"doc":{"_id":"b","_rev":"1-a","kind":"b","n":1.0}}
            ],
            "last_seq":"5-t","pending":0}

        "#]],
    )
    .await;
    let mut feed = ask(
        &server,
        r#"POST /d/_changes?filter=_doc_ids&feed=continuous {"doc_ids": ["b", "new"]}"#,
    )
    .await;
    assert!(next(&mut feed).await.contains(r#""id":"b""#));
    for id in ["other", "new"] {
        ask(&server, &format!("PUT /d/{id} {{}}")).await;
    }
    assert!(next(&mut feed).await.contains(r#""id":"new""#));
}

#[tokio::test]
async fn a_live_feed_shows_what_its_filter_lets_through_as_it_comes() {
    let server = filled().await;
    for query in ["filter=x/kind&kind=b", "filter=_view&view=x/b"] {
        let request = format!("GET /d/_changes?feed=continuous&since=now&{query}");
        let mut feed = ask(&server, &request).await;
        for (id, kind) in [("no", "a"), ("yes", "b")] {
            let id = format!("{id}-{}", query.len());
            ask(&server, &format!(r#"PUT /d/{id} {{"kind": "{kind}"}}"#)).await;
        }
        assert!(next(&mut feed).await.contains(r#""id":"yes"#));
    }
    let mut feed =
        ask(&server, "GET /d/_changes?feed=longpoll&since=now&filter=x/kind&kind=c").await;
    for kind in ["a", "c"] {
        ask(&server, &format!(r#"PUT /d/poll-{kind} {{"kind": "{kind}"}}"#)).await;
    }
    let mut text = String::new();
    while let Some(piece) = piece(&mut feed).await {
        text.push_str(&piece);
    }
    assert!(text.contains("poll-c") && !text.contains("poll-a"), "{text}");
    assert!(text.contains("last_seq"), "{text}");
}

/// A filter that many documents do not pass is asked about them in batches; the rows are the same.
#[tokio::test]
async fn a_filter_goes_over_many_batches() {
    let server = filled().await;
    for round in 0..3 {
        let docs: Vec<_> = (0..400)
            .map(|n| {
                format!(
                    r#"{{"_id": "{round}-{n}", "kind": "{}"}}"#,
                    if n == 399 { "z" } else { "y" }
                )
            })
            .collect();
        ask(&server, &format!(r#"POST /d/_bulk_docs {{"docs": [{}]}}"#, docs.join(","))).await;
    }
    let found = told(ask(&server, "GET /d/_changes?filter=x/kind&kind=z").await).await;
    for round in 0..3 {
        assert!(found.contains(&format!("{round}-399")), "{found}");
    }
    assert_eq!(found.matches("\"seq\"").count(), 3);
}

async fn piece(feed: &mut Response<Body>) -> Option<String> {
    let frame = timeout(Duration::from_secs(30), feed.body_mut().frame()).await.unwrap()?;
    let data = frame.unwrap().into_data().unwrap();
    Some(String::from_utf8(data.to_vec()).unwrap())
}

/// The next piece that has something to say.
async fn next(feed: &mut Response<Body>) -> String {
    loop {
        let text = piece(feed).await.unwrap();
        if !text.trim().is_empty() {
            return text;
        }
    }
}

/// Two databases with the same changes: an index of `d` knows the selector's documents, those of `e` are all
/// looked at.
#[tokio::test]
async fn an_index_changes_nothing_in_what_a_selector_lets_through() {
    let server = crate::story::begin().await;
    let mut docs: Vec<String> =
        (0..60).map(|n| format!(r#"{{"_id":"n{n}","_rev":"1-a","kind":"{}"}}"#, n % 30)).collect();
    docs.extend(
        [
            r#"{"_id":"torn","_revisions":{"start":2,"ids":["c","a"]},"kind":"29"}"#,
            r#"{"_id":"torn","_revisions":{"start":2,"ids":["b","a"]},"kind":"7","x":1}"#,
            r#"{"_id":"won","_revisions":{"start":2,"ids":["c","a"]},"kind":"7","x":2}"#,
            r#"{"_id":"won","_revisions":{"start":2,"ids":["b","a"]},"_deleted":true,"kind":"7"}"#,
            r#"{"_id":"gone","_rev":"1-a","_deleted":true,"kind":"7"}"#,
            r#"{"_id":"bare","_rev":"1-a","_deleted":true}"#,
            r#"{"_id":"_design/z","_rev":"1-a","kind":"7"}"#,
            r#"{"_id":"n7","_revisions":{"start":2,"ids":["b","a"]},"kind":"8"}"#,
            r#"{"_id":"n8","_revisions":{"start":2,"ids":["b","a"]},"kind":"7"}"#,
        ]
        .map(str::to_owned),
    );
    let docs = format!(r#"{{"new_edits": false, "docs": [{}]}}"#, docs.join(","));
    assert_eq!(ask(&server, "PUT /e").await.status(), 201);
    for (database, field) in [("d", "kind"), ("e", "other")] {
        assert_eq!(
            ask(&server, &format!("POST /{database}/_bulk_docs {docs}")).await.status(),
            201
        );
        let index = format!(
            r#"PUT /{database}/_design/i {{"language": "query", "views": {{"v": {{"map": {{"fields": {{"{field}": "asc"}}}}, "reduce": "_count", "options": {{"def": {{"fields": ["{field}"]}}}}}}}}}}"#
        );
        assert_eq!(ask(&server, &index).await.status(), 201);
    }
    let find =
        r#"POST /d/_find {"selector": {"kind": "7"}, "use_index": "i", "allow_fallback": false}"#;
    assert_eq!(ask(&server, find).await.status(), 200);
    let selectors = [
        r#"{"kind": "7"}"#,
        r#"{"kind": {"$in": ["7", "8"]}}"#,
        r#"{"kind": "7", "_deleted": true}"#,
        r#"{"kind": "7", "x": {"$exists": true}}"#,
        r#"{"kind": "none"}"#,
    ];
    let queries = [
        "",
        "&style=all_docs",
        "&include_docs=true",
        "&include_docs=true&style=all_docs&conflicts=true",
        "&descending=true",
        "&descending=true&limit=2",
        "&limit=1",
        "&limit=3&since=5",
        "&since=39",
        "&feed=longpoll&timeout=1",
        "&feed=continuous&timeout=1",
        "&feed=eventsource&timeout=1&style=all_docs&limit=4",
    ];
    for selector in selectors {
        for query in queries {
            let told_of = async |database: &str| {
                let request = format!(
                    r#"POST /{database}/_changes?filter=_selector{query} {{"selector": {selector}}}"#
                );
                told(ask(&server, &request).await).await
            };
            let (with, without) = (told_of("d").await, told_of("e").await);
            // The two index documents differ.
            let revs = |text: &str| text.replace(|it: char| it.is_ascii_whitespace(), "");
            assert_eq!(revs(&with), revs(&without), "{selector} {query}");
        }
    }
}
