//! Changes, as a list and as feeds.

use std::time::Duration;

use axum::{body::Body, response::Response};
use expect_test::{Expect, expect};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::asked::{ask, body, check_on, member, told, without_timelines};
use crate::support::TestServer;

/// Sequences: 2 `gone`, 3 `_design/x`, 5 `a` with a conflict and an attachment.
async fn filled() -> TestServer {
    let server = crate::story::begin().await;
    let requests = [
        r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "gone", "_rev": "1-a"}, {"_id": "gone", "_deleted": true, "why": "x", "_revisions": {"start": 2, "ids": ["b", "a"]}}]}"#,
        r#"POST /d/_bulk_docs {"docs": [{"_id": "_design/x", "filters": {"f": "function(doc, req) { return doc.v == 1 || doc._deleted; }"}, "views": {"v": {"map": "function(doc) { if (doc.v) emit(null); }"}}}, {"_id": "_local/l"}]}"#,
        r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "a", "_rev": "1-a"}, {"_id": "a", "_rev": "1-b", "v": 1.0, "_attachments": {"x": {"content_type": "image/x", "data": "eHg="}}}]}"#,
    ];
    for request in requests {
        assert_eq!(ask(&server, request).await.status(), 201);
    }
    server
}

async fn check(requests: &[&str], expected: Expect) {
    check_on(&filled().await, requests, expected).await;
}

#[tokio::test]
async fn every_document_has_one_row_at_its_newest_sequence() {
    check(
        &[
            "GET /d/_changes",
            "GET /d/_changes?style=all_docs",
            "GET /d/_changes?since=2&limit=1",
            "GET /d/_changes?since=now",
            "GET /d/_changes?limit=0",
            "GET /d/_changes?descending=true&limit=2&since=4",
            "GET /d/_changes?descending=true",
            "GET /d/_changes?since=99",
            "GET /d/_changes?since=5-g1AAAA",
            "GET /d/_changes?seq_interval=2&since=3",
            "GET /none/_changes",
        ],
        expect![[r#"
            > GET /d/_changes
            200 OK
            etag: "5-t"
            {"results":[
            {"seq":"2-t","id":"gone","changes":[{"rev":"2-b"}],"deleted":true},
            {"seq":"3-t","id":"_design/x","changes":[{"rev":"1-4b5ce5f04af101f8be3bf92da0969a14"}]},
            {"seq":"5-t","id":"a","changes":[{"rev":"1-b"}]}
            ],
            "last_seq":"5-t","pending":0}

            > GET /d/_changes?style=all_docs
            200 OK
            etag: "5-t"
            {"results":[
            {"seq":"2-t","id":"gone","changes":[{"rev":"2-b"}],"deleted":true},
            {"seq":"3-t","id":"_design/x","changes":[{"rev":"1-4b5ce5f04af101f8be3bf92da0969a14"}]},
            {"seq":"5-t","id":"a","changes":[{"rev":"1-b"},{"rev":"1-a"}]}
            ],
            "last_seq":"5-t","pending":0}

            > GET /d/_changes?since=2&limit=1
            200 OK
            etag: "5-t"
            {"results":[
            {"seq":"3-t","id":"_design/x","changes":[{"rev":"1-4b5ce5f04af101f8be3bf92da0969a14"}]}
            ],
            "last_seq":"3-t","pending":1}

            > GET /d/_changes?since=now
            200 OK
            etag: "5-t"
            {"results":[

            ],
            "last_seq":"5-t","pending":0}

            > GET /d/_changes?limit=0
            200 OK
            etag: "5-t"
            {"results":[

            ],
            "last_seq":"0-t","pending":3}

            > GET /d/_changes?descending=true&limit=2&since=4
            200 OK
            etag: "5-t"
            {"results":[
            {"seq":"5-t","id":"a","changes":[{"rev":"1-b"}]},
            {"seq":"3-t","id":"_design/x","changes":[{"rev":"1-4b5ce5f04af101f8be3bf92da0969a14"}]}
            ],
            "last_seq":"3-t","pending":1}

            > GET /d/_changes?descending=true
            200 OK
            etag: "5-t"
            {"results":[
            {"seq":"5-t","id":"a","changes":[{"rev":"1-b"}]},
            {"seq":"3-t","id":"_design/x","changes":[{"rev":"1-4b5ce5f04af101f8be3bf92da0969a14"}]},
            {"seq":"2-t","id":"gone","changes":[{"rev":"2-b"}],"deleted":true}
            ],
            "last_seq":"2-t","pending":0}

            > GET /d/_changes?since=99
            200 OK
            etag: "5-t"
            {"results":[
            {"seq":"2-t","id":"gone","changes":[{"rev":"2-b"}],"deleted":true},
            {"seq":"3-t","id":"_design/x","changes":[{"rev":"1-4b5ce5f04af101f8be3bf92da0969a14"}]},
            {"seq":"5-t","id":"a","changes":[{"rev":"1-b"}]}
            ],
            "last_seq":"5-t","pending":0}

            > GET /d/_changes?since=5-g1AAAA
            200 OK
            etag: "5-t"
            {"results":[
            {"seq":"2-t","id":"gone","changes":[{"rev":"2-b"}],"deleted":true},
            {"seq":"3-t","id":"_design/x","changes":[{"rev":"1-4b5ce5f04af101f8be3bf92da0969a14"}]},
            {"seq":"5-t","id":"a","changes":[{"rev":"1-b"}]}
            ],
            "last_seq":"5-t","pending":0}

            > GET /d/_changes?seq_interval=2&since=3
            200 OK
            etag: "5-t"
            {"results":[
            {"seq":"5-t","id":"a","changes":[{"rev":"1-b"}]}
            ],
            "last_seq":"5-t","pending":0}

            > GET /none/_changes
            404 Not Found
            {"error":"not_found","reason":"Database does not exist."}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn rows_hold_documents_with_what_was_asked_for() {
    check(
        &[
            "GET /d/_changes?include_docs=true",
            "GET /d/_changes?include_docs=true&conflicts=true&att_encoding_info=true&since=3",
            "GET /d/_changes?include_docs=true&attachments=true&limit=2&since=2",
        ],
        expect![[r#"
            > GET /d/_changes?include_docs=true
            200 OK
            etag: "5-t"
            {"results":[
            {"seq":"2-t","id":"gone","changes":[{"rev":"2-b"}],"deleted":true,"doc":{"_id":"gone","_rev":"2-b","why":"x","_deleted":true}},
            {"seq":"3-t","id":"_design/x","changes":[{"rev":"1-4b5ce5f04af101f8be3bf92da0969a14"}],"doc":{"_id":"_design/x","_rev":"1-4b5ce5f04af101f8be3bf92da0969a14","filters":{"f":"function(doc, req) { return doc.v == 1 || doc._deleted; }"},"views":{"v":{"map":"function(doc) { if (doc.v) emit(null); }"}}}},
            {"seq":"5-t","id":"a","changes":[{"rev":"1-b"}],"doc":{"_id":"a","_rev":"1-b","v":1.0,"_attachments":{"x":{"content_type":"image/x","revpos":1,"digest":"md5-kzbr8lCH2RyBjubp7Cn4wQ==","length":2,"stub":true}}}}
            ],
            "last_seq":"5-t","pending":0}

            > GET /d/_changes?include_docs=true&conflicts=true&att_encoding_info=true&since=3
            200 OK
            etag: "5-t"
            {"results":[
            {"seq":"5-t","id":"a","changes":[{"rev":"1-b"}],"doc":{"_id":"a","_rev":"1-b","v":1.0,"_conflicts":["1-a"],"_attachments":{"x":{"content_type":"image/x","revpos":1,"digest":"md5-kzbr8lCH2RyBjubp7Cn4wQ==","length":2,"stub":true}}}}
            ],
            "last_seq":"5-t","pending":0}

            > GET /d/_changes?include_docs=true&attachments=true&limit=2&since=2
            200 OK
            etag: "5-t"
            {"results":[
            {"seq":"3-t","id":"_design/x","changes":[{"rev":"1-4b5ce5f04af101f8be3bf92da0969a14"}],"doc":{"_id":"_design/x","_rev":"1-4b5ce5f04af101f8be3bf92da0969a14","filters":{"f":"function(doc, req) { return doc.v == 1 || doc._deleted; }"},"views":{"v":{"map":"function(doc) { if (doc.v) emit(null); }"}}}},
            {"seq":"5-t","id":"a","changes":[{"rev":"1-b"}],"doc":{"_id":"a","_rev":"1-b","v":1.0,"_attachments":{"x":{"content_type":"image/x","revpos":1,"digest":"md5-kzbr8lCH2RyBjubp7Cn4wQ==","data":"eHg="}}}}
            ],
            "last_seq":"5-t","pending":0}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn filters_choose_documents_or_are_refused() {
    check(
        &[
            "GET /d/_changes?filter=_design",
            "GET /d/_changes?filter=_doc_ids&doc_ids=%5B%22gone%22,%22none%22%5D",
            r#"POST /d/_changes?filter=_doc_ids {"doc_ids": ["a", "gone", "a"]}"#,
            r#"POST /d/_changes?filter=_doc_ids&limit=1 {"doc_ids": ["a", "gone"]}"#,
            r#"POST /d/_changes?filter=_doc_ids {"doc_ids": "a"}"#,
            r#"POST /d/_changes?filter=_doc_ids {"doc_ids": [1]}"#,
            r#"POST /d/_changes?filter=_doc_ids {}"#,
            "GET /d/_changes?filter=_doc_ids",
            r#"POST /d/_changes?filter=_selector {"selector": {"v": 1}}"#,
            r#"POST /d/_changes?filter=_selector {"selector": {"v": {"$what": 1}}}"#,
            r#"POST /d/_changes?filter=_selector {"selector": 1}"#,
            r#"POST /d/_changes?filter=_selector {}"#,
            "GET /d/_changes?filter=_selector",
            "GET /d/_changes?filter=_view",
            "GET /d/_changes?filter=_view&view=x/v",
            "GET /d/_changes?filter=none/f",
            "GET /d/_changes?filter=x/none",
            "GET /d/_changes?filter=x/f",
            "GET /d/_changes?filter=x/f/g",
            "POST /d/_changes?since=3\ncontent-type: application/json",
            "POST /d/_changes\n\n{}",
        ],
        expect![[r#"
            > GET /d/_changes?filter=_design
            200 OK
            etag: "5-t"
            {"results":[
            {"seq":"3-t","id":"_design/x","changes":[{"rev":"1-4b5ce5f04af101f8be3bf92da0969a14"}]}
            ],
            "last_seq":"5-t","pending":0}

            > GET /d/_changes?filter=_doc_ids&doc_ids=%5B%22gone%22,%22none%22%5D
            200 OK
            etag: "5-t"
            {"results":[
            {"seq":"2-t","id":"gone","changes":[{"rev":"2-b"}],"deleted":true}
            ],
            "last_seq":"5-t","pending":0}

            > POST /d/_changes?filter=_doc_ids {"doc_ids": ["a", "gone", "a"]}
            200 OK
            etag: "5-t"
            {"results":[
            {"seq":"2-t","id":"gone","changes":[{"rev":"2-b"}],"deleted":true},
            {"seq":"5-t","id":"a","changes":[{"rev":"1-b"}]}
            ],
            "last_seq":"5-t","pending":0}

            > POST /d/_changes?filter=_doc_ids&limit=1 {"doc_ids": ["a", "gone"]}
            200 OK
            etag: "5-t"
            {"results":[
            {"seq":"2-t","id":"gone","changes":[{"rev":"2-b"}],"deleted":true}
            ],
            "last_seq":"2-t","pending":2}

            > POST /d/_changes?filter=_doc_ids {"doc_ids": "a"}
            400 Bad Request
            {"error":"bad_request","reason":"`doc_ids` filter parameter is not a JSON array."}

            > POST /d/_changes?filter=_doc_ids {"doc_ids": [1]}
            400 Bad Request
            {"error":"bad_request","reason":"`doc_ids` filter parameter is not a list of doc ids."}

            > POST /d/_changes?filter=_doc_ids {}
            400 Bad Request
            {"error":"bad_request","reason":"`doc_ids` filter parameter is not a JSON array."}

            > GET /d/_changes?filter=_doc_ids
            400 Bad Request
            {"error":"bad_request","reason":"`doc_ids` filter parameter is not a JSON array."}

            > POST /d/_changes?filter=_selector {"selector": {"v": 1}}
            200 OK
            {"results":[
            {"seq":"5-t","id":"a","changes":[{"rev":"1-b"}]}
            ],
            "last_seq":"5-t","pending":0}

            > POST /d/_changes?filter=_selector {"selector": {"v": {"$what": 1}}}
            400 Bad Request
            {"error":"bad_request","reason":"Invalid operator: $what"}

            > POST /d/_changes?filter=_selector {"selector": 1}
            400 Bad Request
            {"error":"bad_request","reason":"Selector error: expected a JSON object"}

            > POST /d/_changes?filter=_selector {}
            400 Bad Request
            {"error":"bad_request","reason":"Selector error: expected a JSON object"}

            > GET /d/_changes?filter=_selector
            400 Bad Request
            {"error":"bad_request","reason":"Selector must be specified in POST payload"}

            > GET /d/_changes?filter=_view
            400 Bad Request
            {"error":"bad_request","reason":"`view` filter parameter is not provided."}

            > GET /d/_changes?filter=_view&view=x/v
            200 OK
            etag: "5-t"
            {"results":[
            {"seq":"5-t","id":"a","changes":[{"rev":"1-b"}]}
            ],
            "last_seq":"5-t","pending":0}

            > GET /d/_changes?filter=none/f
            404 Not Found
            {"error":"not_found","reason":"missing"}

            > GET /d/_changes?filter=x/none
            404 Not Found
            {"error":"not_found","reason":"missing json key: none"}

            > GET /d/_changes?filter=x/f
            200 OK
            {"results":[
            {"seq":"2-t","id":"gone","changes":[{"rev":"2-b"}],"deleted":true},
            {"seq":"5-t","id":"a","changes":[{"rev":"1-b"}]}
            ],
            "last_seq":"5-t","pending":0}

            > GET /d/_changes?filter=x/f/g
            400 Bad Request
            {"error":"bad_request","reason":"`filter` must be of the form `designname/filtername`"}

            > POST /d/_changes?since=3
            content-type: application/json
            200 OK
            etag: "5-t"
            {"results":[
            {"seq":"5-t","id":"a","changes":[{"rev":"1-b"}]}
            ],
            "last_seq":"5-t","pending":0}

            > POST /d/_changes

            {}
            415 Unsupported Media Type
            {"error":"bad_content_type","reason":"Content-Type must be application/json"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_list_that_is_known_is_not_sent_again() {
    let server = filled().await;
    let reply = server.send("GET /d/_changes").await;
    let etag = reply.headers()["etag"].to_str().unwrap().to_owned();
    let again = format!("GET /d/_changes\nif-none-match: {etag}");
    assert_eq!(server.send(&again).await.status(), 304);
    assert_eq!(ask(&server, "PUT /d/b {}").await.status(), 201);
    assert_eq!(server.send(&again).await.status(), 200);
}

#[tokio::test]
async fn feeds_end_at_their_limit_or_when_nothing_comes() {
    check(
        &[
            "GET /d/_changes?feed=longpoll&since=3",
            "GET /d/_changes?feed=longpoll&since=now&timeout=20",
            "GET /d/_changes?feed=continuous&limit=2",
            "GET /d/_changes?feed=continuous&since=2&timeout=20",
            "GET /d/_changes?feed=eventsource&limit=1&since=3",
            "GET /d/_changes?feed=eventsource&limit=1&since=now\nlast-event-id: 2",
            "GET /d/_changes?feed=continuous&descending=true&limit=1",
            "GET /d/_changes?feed=longpoll&descending=true",
        ],
        expect![[r#"
            > GET /d/_changes?feed=longpoll&since=3
            200 OK
            {"results":[
            {"seq":"5-t","id":"a","changes":[{"rev":"1-b"}]}
            ],
            "last_seq":"5-t","pending":0}

            > GET /d/_changes?feed=longpoll&since=now&timeout=20
            200 OK
            {"results":[


            ],
            "last_seq":"5-t","pending":0}

            > GET /d/_changes?feed=continuous&limit=2
            200 OK
            {"seq":"2-t","id":"gone","changes":[{"rev":"2-b"}],"deleted":true}
            {"seq":"3-t","id":"_design/x","changes":[{"rev":"1-4b5ce5f04af101f8be3bf92da0969a14"}]}
            {"last_seq":"3-t","pending":1}

            > GET /d/_changes?feed=continuous&since=2&timeout=20
            200 OK
            {"seq":"3-t","id":"_design/x","changes":[{"rev":"1-4b5ce5f04af101f8be3bf92da0969a14"}]}
            {"seq":"5-t","id":"a","changes":[{"rev":"1-b"}]}
            {"last_seq":"5-t","pending":0}

            > GET /d/_changes?feed=eventsource&limit=1&since=3
            200 OK
            content-type: text/event-stream
            data: {"seq":"5-t","id":"a","changes":[{"rev":"1-b"}]}
            id: "5-t"

            > GET /d/_changes?feed=eventsource&limit=1&since=now
            last-event-id: 2
            200 OK
            content-type: text/event-stream
            data: {"seq":"3-t","id":"_design/x","changes":[{"rev":"1-4b5ce5f04af101f8be3bf92da0969a14"}]}
            id: "3-t"

            > GET /d/_changes?feed=continuous&descending=true&limit=1
            200 OK
            {"seq":"5-t","id":"a","changes":[{"rev":"1-b"}]}
            {"last_seq":"5-t","pending":2}

            > GET /d/_changes?feed=longpoll&descending=true
            200 OK
            {"results":[
            {"seq":"5-t","id":"a","changes":[{"rev":"1-b"}]},
            {"seq":"3-t","id":"_design/x","changes":[{"rev":"1-4b5ce5f04af101f8be3bf92da0969a14"}]},
            {"seq":"2-t","id":"gone","changes":[{"rev":"2-b"}],"deleted":true}
            ],
            "last_seq":"2-t","pending":0}

        "#]],
    )
    .await;
}

/// The next bytes of a feed that say something, without a pause to wait for.
async fn next(feed: &mut Response<Body>) -> Option<String> {
    loop {
        let frame = timeout(Duration::from_secs(10), feed.body_mut().frame()).await.unwrap();
        let bytes = frame?.unwrap().into_data().unwrap();
        let text = without_timelines(str::from_utf8(&bytes).unwrap());
        if !text.trim().is_empty() {
            return Some(text);
        }
    }
}

#[tokio::test]
async fn a_feed_is_woken_by_the_change_it_waits_for() {
    let server = filled().await;
    let mut feed = server.send("GET /d/_changes?feed=continuous&since=now&heartbeat=60000").await;
    let mut filtered =
        server.send("GET /d/_changes?feed=longpoll&since=now&heartbeat=60000&filter=_design").await;
    let story = async {
        let mut heard = String::new();
        for request in ["PUT /d/b {}", "PUT /d/_design/y {}", "PUT /d/c {}"] {
            assert_eq!(ask(&server, request).await.status(), 201);
            heard += &next(&mut feed).await.unwrap();
        }
        heard
    };
    let polled = async {
        let mut heard = String::new();
        while let Some(text) = next(&mut filtered).await {
            heard += &text;
        }
        heard
    };
    let (story, polled) = tokio::join!(story, polled);
    expect![[r#"
        {"seq":"6-t","id":"b","changes":[{"rev":"1-967a00dff5e02add41819138abb3284d"}]}
        {"seq":"7-t","id":"_design/y","changes":[{"rev":"1-967a00dff5e02add41819138abb3284d"}]}
        {"seq":"8-t","id":"c","changes":[{"rev":"1-967a00dff5e02add41819138abb3284d"}]}
    "#]]
    .assert_eq(&story);
    expect![[r#"
        {"results":[

        {"seq":"7-t","id":"_design/y","changes":[{"rev":"1-967a00dff5e02add41819138abb3284d"}]}
        ],
        "last_seq":"7-t","pending":0}

    "#]]
    .assert_eq(&polled);
}

#[tokio::test]
async fn a_feed_ends_with_its_last_line_when_its_database_is_dropped() {
    let server = filled().await;
    let mut feed = server.send("GET /d/_changes?feed=continuous&since=3&heartbeat=60000").await;
    let mut heard = next(&mut feed).await.unwrap();
    let (end, dropped) = tokio::join!(next(&mut feed), server.send("DELETE /d"));
    assert_eq!(dropped.status(), 200);
    heard += &end.unwrap();
    assert_eq!(next(&mut feed).await, None);
    expect![[r#"
        {"seq":"5-t","id":"a","changes":[{"rev":"1-b"}]}
        {"last_seq":"5-t","pending":0}
    "#]]
    .assert_eq(&heard);
}

#[tokio::test]
async fn a_long_list_has_every_change_once_in_both_directions() {
    let server = crate::story::begin().await;
    let docs: Vec<_> = (0..5_000).map(|n| format!("{{\"_id\":\"{n}\"}}")).collect();
    let request = format!("POST /d/_bulk_docs {{\"docs\":[{}]}}", docs.join(","));
    assert_eq!(ask(&server, &request).await.status(), 201);
    let sequences = async |query: &str| {
        let reply = member(&server, &format!("GET /d/_changes?{query}"), "results").await;
        let rows = reply.as_array().unwrap().iter();
        let sequence = |row: &serde_json::Value| {
            row["seq"].as_str().unwrap().split('-').next().unwrap().parse::<u64>().unwrap()
        };
        rows.map(sequence).collect::<Vec<_>>()
    };
    let all: Vec<u64> = (1..=5_000).collect();
    assert_eq!(sequences("").await, all);
    assert_eq!(sequences("include_docs=true").await, all);
    assert_eq!(sequences("include_docs=true&attachments=true").await, all);
    assert_eq!(sequences("since=1000&limit=2000").await, all[1_000..3_000]);
    let backwards: Vec<u64> = all.into_iter().rev().collect();
    assert_eq!(sequences("descending=true").await, backwards);
    assert_eq!(sequences("descending=true&limit=3000").await, backwards[..3_000]);
}

/// A client that reads in steps sees what one that reads at once sees, and is told how much is left.
#[tokio::test]
async fn pages_join_up_and_say_what_is_pending() {
    let server = filled().await;
    let mut since = "0".to_owned();
    let mut pages = Vec::new();
    loop {
        let request = format!("GET /d/_changes?limit=1&since={since}");
        let page: serde_json::Value =
            serde_json::from_str(&body(ask(&server, &request).await).await).unwrap();
        let Some(row) = page["results"].as_array().unwrap().first() else { break };
        pages.push(format!("{} then {}", row["id"], page["pending"]));
        since = page["last_seq"].as_str().unwrap().to_owned();
    }
    expect![[r#"
        "gone" then 2
        "_design/x" then 1
        "a" then 0"#]]
    .assert_eq(&pages.join("\n"));
    expect![[r#"
        200 OK
        etag: "5-t"

    "#]]
    .assert_eq(&told(ask(&server, "HEAD /d/_changes").await).await);
}
