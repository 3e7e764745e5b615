//! What other implementations of the protocol usually get wrong, item by item: those of whole databases
//! and of many documents at once. Single documents have theirs in `checklist_documents`.

use std::time::Duration;

use expect_test::{Expect, expect};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::time::timeout;

use crate::asked::{ask, body, member, without_timelines};
use crate::story::begin;
use crate::support::TestServer;

/// Each request with the status and body of its reply, in one line.
async fn check(requests: &[&str], expected: Expect) {
    check_on(&begin().await, requests, expected).await;
}

async fn check_on(server: &TestServer, requests: &[&str], expected: Expect) {
    let mut story = String::new();
    for request in requests {
        let reply = ask(server, request).await;
        let status = reply.status().as_u16();
        let text = body(reply).await.replace("\r\n", "").replace('\n', "");
        let line = request.split_once(" {").map_or(*request, |(line, _)| line);
        story.push_str(&without_timelines(&format!("{line} {status} {text}")));
        story.push('\n');
    }
    expected.assert_eq(&story);
}

#[tokio::test]
async fn item_01_bulk_get_answers_an_object_that_holds_results_alone() {
    let server = begin().await;
    let reply = body(ask(&server, r#"POST /d/_bulk_get {"docs": [{"id": "a"}]}"#).await).await;
    let reply: Value = serde_json::from_str(&reply).unwrap();
    assert_eq!(reply.as_object().unwrap().keys().collect::<Vec<_>>(), ["results"]);
}

#[tokio::test]
async fn item_02_bulk_get_answers_item_by_item_in_their_order() {
    check(
        &[
            r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "b", "_rev": "1-x"}, {"_id": "a", "_rev": "1-y"}, {"_id": "b", "_rev": "1-z"}]}"#,
            r#"POST /d/_bulk_get {"docs": [{"id": "b", "rev": "1-x"}, {"id": "a", "rev": "1-y"}, {"id": "b", "rev": "1-z"}, {"id": "b", "rev": "1-x"}]}"#,
        ],
        expect![[r#"
            POST /d/_bulk_docs 201 []
            POST /d/_bulk_get 200 {"results":[{"id":"b","docs":[{"ok":{"_id":"b","_rev":"1-x"}}]},{"id":"a","docs":[{"ok":{"_id":"a","_rev":"1-y"}}]},{"id":"b","docs":[{"ok":{"_id":"b","_rev":"1-z"}}]},{"id":"b","docs":[{"ok":{"_id":"b","_rev":"1-x"}}]}]}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn item_03_bulk_docs_answers_201_and_of_replicated_documents_the_failures_alone() {
    check(
        &[
            r#"POST /d/_bulk_docs {"docs": [{"_id": "a"}, {"_id": "a"}]}"#,
            r#"POST /d/_bulk_docs {"docs": []}"#,
            r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "b", "_rev": "1-x"}, {"_id": "c", "_rev": "1-x", "_attachments": {"f": {"stub": true}}}]}"#,
            r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "b", "_rev": "1-y"}]}"#,
        ],
        expect![[r#"
            POST /d/_bulk_docs 201 [{"ok":true,"id":"a","rev":"1-967a00dff5e02add41819138abb3284d"},{"id":"a","error":"conflict","reason":"Document update conflict."}]
            POST /d/_bulk_docs 201 []
            POST /d/_bulk_docs 201 [{"id":"c","rev":"1-x","error":"missing_stub","reason":"Invalid attachment stub for f"}]
            POST /d/_bulk_docs 201 []
        "#]],
    )
    .await;
}

#[tokio::test]
async fn in_bulk_item_04_a_replicated_document_needs_a_revision_or_its_ancestry() {
    check(
        &[
            r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "a", "_rev": "3-x"}]}"#,
            "GET /d/a?revs=true",
            r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "b", "_rev": "3-x"}, {"_id": "c"}]}"#,
            "GET /d/b",
        ],
        expect![[r#"
            POST /d/_bulk_docs 201 []
            GET /d/a?revs=true 200 {"_id":"a","_rev":"3-x","_revisions":{"start":3,"ids":["x"]}}
            POST /d/_bulk_docs 400 {"error":"bad_request","reason":"When `new_edits: false`, the document needs `_rev` or `_revisions` specified"}
            GET /d/b 404 {"error":"not_found","reason":"missing"}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn in_bulk_item_05_a_known_revision_is_silent_success_and_no_change() {
    let known = r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "a", "_revisions": {"start": 2, "ids": ["b", "a"]}}]}"#;
    let older = r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "a", "_rev": "1-a"}]}"#;
    check(&[known, known, older, "GET /d/_changes?style=all_docs"], expect![[r#"
        POST /d/_bulk_docs 201 []
        POST /d/_bulk_docs 201 []
        POST /d/_bulk_docs 201 []
        GET /d/_changes?style=all_docs 200 {"results":[{"seq":"1-t","id":"a","changes":[{"rev":"2-b"}]}],"last_seq":"1-t","pending":0}
    "#]]).await;
}

#[tokio::test]
async fn item_06_a_full_commit_tells_the_same_start_time_as_the_database() {
    let server = begin().await;
    let reply = ask(&server, "POST /d/_ensure_full_commit {}").await;
    assert_eq!(reply.status(), 201);
    let reply: Value = serde_json::from_str(&body(reply).await).unwrap();
    let start = member(&server, "GET /d", "instance_start_time").await;
    assert_eq!(reply["instance_start_time"], start);
    assert!(start.is_string());
}

#[tokio::test]
async fn item_07_sequences_are_texts_that_begin_with_a_number_and_need_no_encoding() {
    let server = begin().await;
    assert_eq!(ask(&server, "PUT /d/a {}").await.status(), 201);
    let update = member(&server, "GET /d", "update_seq").await;
    let last = member(&server, "GET /d/_changes", "last_seq").await;
    let row = member(&server, "GET /d/_changes", "results").await;
    assert_eq!([&update, &last], [&row[0]["seq"]; 2]);
    let text = update.as_str().unwrap();
    assert_eq!(text.split_once('-').unwrap().0, "1");
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
    for since in [text.to_owned(), format!("%22{text}%22"), "1".to_owned()] {
        let rows = member(&server, &format!("GET /d/_changes?since={since}"), "results").await;
        assert_eq!(rows, serde_json::json!([]), "{since}");
    }
}

#[tokio::test]
async fn in_lists_item_08_local_documents_stand_in_no_list_but_their_own() {
    check(
        &[
            r#"POST /d/_bulk_docs {"docs": [{"_id": "_local/a.b_c~d", "n": 1}]}"#,
            "GET /d/_all_docs",
            "GET /d/_changes",
            "GET /d/_local_docs",
        ],
        expect![[r#"
            POST /d/_bulk_docs 201 [{"ok":true,"id":"_local/a.b_c~d","rev":"0-1"}]
            GET /d/_all_docs 200 {"total_rows":0,"offset":0,"rows":[]}
            GET /d/_changes 200 {"results":[],"last_seq":"0-t","pending":0}
            GET /d/_local_docs 200 {"total_rows":null,"offset":null,"rows":[{"id":"_local/a.b_c~d","key":"_local/a.b_c~d","value":{"rev":"0-1"}}]}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn in_bulk_item_12_bulk_get_answers_json_unless_only_parts_are_accepted() {
    let server = begin().await;
    for (accept, expected) in [
        ("application/json", "application/json"),
        ("multipart/mixed, */*", "application/json"),
        ("multipart/mixed", "multipart/mixed"),
    ] {
        let request = format!(
            "POST /d/_bulk_get\naccept: {accept}\ncontent-type: application/json\n\n{{\"docs\":[]}}"
        );
        let reply = server.send(&request).await;
        assert!(
            reply.headers()["content-type"].to_str().unwrap().starts_with(expected),
            "{accept}"
        );
    }
}

#[tokio::test]
async fn item_13_attachments_that_are_known_are_not_sent_again() {
    check(
        &[
            r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "a", "_revisions": {"start": 2, "ids": ["b", "a"]}, "_attachments": {"old": {"revpos": 1, "data": "eA=="}, "new": {"revpos": 2, "data": "eQ=="}}}]}"#,
            r#"POST /d/_bulk_get {"docs": [{"id": "a", "rev": "2-b", "atts_since": ["1-a"]}]}"#,
        ],
        expect![[r#"
            POST /d/_bulk_docs 201 []
            POST /d/_bulk_get 200 {"results":[{"id":"a","docs":[{"ok":{"_id":"a","_rev":"2-b","_attachments":{"old":{"content_type":"application/octet-stream","revpos":1,"digest":"md5-ndTkYSaMgDT1yFZOFVxnpg==","length":1,"stub":true},"new":{"content_type":"application/octet-stream","revpos":2,"digest":"md5-QVKQdpWURg4uSFkikE80XQ==","data":"eQ=="}}}}]}]}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn in_feeds_item_15_tombstones_with_bodies_are_kept_and_fed() {
    check(
        &[
            r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "a", "_rev": "1-a", "_deleted": true, "why": "x"}]}"#,
            "GET /d/_changes?include_docs=true",
            r#"POST /d/_bulk_get {"docs": [{"id": "a", "rev": "1-a"}]}"#,
        ],
        expect![[r#"
            POST /d/_bulk_docs 201 []
            GET /d/_changes?include_docs=true 200 {"results":[{"seq":"1-t","id":"a","changes":[{"rev":"1-a"}],"deleted":true,"doc":{"_id":"a","_rev":"1-a","why":"x","_deleted":true}}],"last_seq":"1-t","pending":0}
            POST /d/_bulk_get 200 {"results":[{"id":"a","docs":[{"ok":{"_id":"a","_rev":"1-a","why":"x","_deleted":true}}]}]}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn in_bulk_item_18_the_second_of_two_documents_with_one_id_is_a_conflict() {
    check(
        &[
            r#"POST /d/_bulk_docs {"docs": [{"_id": "a", "v": 1}, {"_id": "a", "v": 2}]}"#,
            "GET /d/a?conflicts=true",
        ],
        expect![[r#"
            POST /d/_bulk_docs 201 [{"ok":true,"id":"a","rev":"1-7a7e4b29f3af401e69b6f86e4c26b727"},{"id":"a","error":"conflict","reason":"Document update conflict."}]
            GET /d/a?conflicts=true 200 {"_id":"a","_rev":"1-7a7e4b29f3af401e69b6f86e4c26b727","v":1}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn item_19_revs_diff_knows_inner_revisions_and_names_older_leaves() {
    check(
        &[
            r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "a", "_revisions": {"start": 3, "ids": ["c", "b", "a"]}}]}"#,
            r#"POST /d/_revs_diff {"a": ["1-a", "2-b", "3-c", "3-d", "4-e"], "new": ["1-a"]}"#,
            r#"POST /d/_revs_diff {"a": ["2-b"]}"#,
        ],
        expect![[r#"
            POST /d/_bulk_docs 201 []
            POST /d/_revs_diff 200 {"a":{"missing":["3-d","4-e"],"possible_ancestors":["3-c"]},"new":{"missing":["1-a"]}}
            POST /d/_revs_diff 200 {}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn item_20_pending_counts_what_is_left_also_without_a_row() {
    check(
        &[
            r#"POST /d/_bulk_docs {"docs": [{"_id": "a"}, {"_id": "b"}, {"_id": "c"}]}"#,
            r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "a", "_rev": "2-x"}]}"#,
            "GET /d/_changes?limit=0",
            "GET /d/_changes?limit=2",
            "GET /d/_changes?limit=3",
        ],
        expect![[r#"
            POST /d/_bulk_docs 201 [{"ok":true,"id":"a","rev":"1-967a00dff5e02add41819138abb3284d"},{"ok":true,"id":"b","rev":"1-967a00dff5e02add41819138abb3284d"},{"ok":true,"id":"c","rev":"1-967a00dff5e02add41819138abb3284d"}]
            POST /d/_bulk_docs 201 []
            GET /d/_changes?limit=0 200 {"results":[],"last_seq":"0-t","pending":3}
            GET /d/_changes?limit=2 200 {"results":[{"seq":"2-t","id":"b","changes":[{"rev":"1-967a00dff5e02add41819138abb3284d"}]},{"seq":"3-t","id":"c","changes":[{"rev":"1-967a00dff5e02add41819138abb3284d"}]}],"last_seq":"3-t","pending":1}
            GET /d/_changes?limit=3 200 {"results":[{"seq":"2-t","id":"b","changes":[{"rev":"1-967a00dff5e02add41819138abb3284d"}]},{"seq":"3-t","id":"c","changes":[{"rev":"1-967a00dff5e02add41819138abb3284d"}]},{"seq":"4-t","id":"a","changes":[{"rev":"2-x"}]}],"last_seq":"4-t","pending":0}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn item_21_a_long_poll_answers_at_once_when_there_is_something() {
    let server = begin().await;
    assert_eq!(ask(&server, "PUT /d/a {}").await.status(), 201);
    let poll = async |since: &str| {
        let request = format!("GET /d/_changes?feed=longpoll&heartbeat=10&since={since}");
        server.send(&request).await
    };
    let there = timeout(Duration::from_secs(5), body(poll("0").await)).await.unwrap();
    let there: Value = serde_json::from_str(&there).unwrap();
    assert_eq!(there["results"][0]["id"], "a");
    // First bytes come early, heartbeats stand where JSON has white space.
    let mut waiting = poll("now").await;
    let mut text = Vec::new();
    while text.iter().filter(|byte| **byte == b'\n').count() < 5 {
        text.extend(waiting.body_mut().frame().await.unwrap().unwrap().into_data().unwrap());
    }
    assert_eq!(ask(&server, "PUT /d/b {}").await.status(), 201);
    while let Some(frame) = waiting.body_mut().frame().await {
        text.extend(frame.unwrap().into_data().unwrap());
    }
    let whole: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(whole["results"][0]["id"], "b");
}

#[tokio::test]
async fn item_22_heartbeats_are_sent_each_by_itself() {
    let server = begin().await;
    let mut feed = server.send("GET /d/_changes?feed=continuous&heartbeat=5").await;
    for _ in 0..3 {
        let frame = timeout(Duration::from_secs(5), async {
            loop {
                let frame = feed.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
                if !frame.is_empty() {
                    return frame;
                }
            }
        });
        assert_eq!(&*frame.await.unwrap(), b"\n");
    }
}

#[tokio::test]
async fn in_filters_item_22_a_feed_is_not_silent_while_its_filter_passes_over_changes() {
    let server = begin().await;
    let request = "GET /d/_changes?feed=continuous&heartbeat=60000&filter=_design&since=now";
    let mut feed = server.send(request).await;
    for id in ["a", "b"] {
        let heard = async {
            loop {
                let frame = feed.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
                if !frame.is_empty() {
                    return frame;
                }
            }
        };
        let request = format!("PUT /d/{id} {{}}");
        let (heard, written) =
            tokio::join!(timeout(Duration::from_secs(5), heard), ask(&server, &request));
        assert_eq!(written.status(), 201);
        assert_eq!(&*heard.unwrap(), b"\n");
    }
}

#[tokio::test]
async fn item_23_a_continuous_feed_is_one_object_a_line_and_ends_with_the_sequence() {
    let server = begin().await;
    let request = r#"POST /d/_bulk_docs {"docs": [{"_id": "a"}, {"_id": "b"}]}"#;
    assert_eq!(ask(&server, request).await.status(), 201);
    let feed = body(server.send("GET /d/_changes?feed=continuous&timeout=5").await).await;
    let lines: Vec<Value> = feed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[2]["last_seq"], &lines[2]["pending"]), (&lines[1]["seq"], &0.into()));
}

#[tokio::test]
async fn item_24_descending_passes_over_since_and_ends() {
    check(
        &[
            r#"POST /d/_bulk_docs {"docs": [{"_id": "a"}, {"_id": "b"}]}"#,
            "GET /d/_changes?descending=true&since=2",
            "GET /d/_changes?descending=true&since=now&feed=continuous",
        ],
        expect![[r#"
            POST /d/_bulk_docs 201 [{"ok":true,"id":"a","rev":"1-967a00dff5e02add41819138abb3284d"},{"ok":true,"id":"b","rev":"1-967a00dff5e02add41819138abb3284d"}]
            GET /d/_changes?descending=true&since=2 200 {"results":[{"seq":"2-t","id":"b","changes":[{"rev":"1-967a00dff5e02add41819138abb3284d"}]},{"seq":"1-t","id":"a","changes":[{"rev":"1-967a00dff5e02add41819138abb3284d"}]}],"last_seq":"1-t","pending":0}
            GET /d/_changes?descending=true&since=now&feed=continuous 200 {"seq":"2-t","id":"b","changes":[{"rev":"1-967a00dff5e02add41819138abb3284d"}]}{"seq":"1-t","id":"a","changes":[{"rev":"1-967a00dff5e02add41819138abb3284d"}]}{"last_seq":"1-t","pending":0}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn item_25_filters_are_found_by_name_or_refused_by_what_is_wrong() {
    check(
        &[
            "GET /d/_changes?filter=_nope",
            "GET /d/_changes?filter=nope",
            "GET /d/_changes?filter=d/none",
            "GET /d/_changes?filter=_view",
            "GET /d/_changes?filter=_doc_ids&doc_ids=a",
            "GET /d/_changes?filter=_doc_ids&doc_ids=%5B%22a%22%5D",
        ],
        expect![[r#"
            GET /d/_changes?filter=_nope 400 {"error":"bad_request","reason":"unknown builtin filter name"}
            GET /d/_changes?filter=nope 400 {"error":"bad_request","reason":"filter parameter must be of the form `designname/filtername`"}
            GET /d/_changes?filter=d/none 404 {"error":"not_found","reason":"missing"}
            GET /d/_changes?filter=_view 400 {"error":"bad_request","reason":"`view` filter parameter is not provided."}
            GET /d/_changes?filter=_doc_ids&doc_ids=a 400 {"error":"bad_request","reason":"invalid UTF-8 JSON"}
            GET /d/_changes?filter=_doc_ids&doc_ids=%5B%22a%22%5D 200 {"results":[],"last_seq":"0-t","pending":0}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn item_26_filters_see_deleted_documents_too() {
    check(
        &[
            r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "a", "_rev": "1-a", "_deleted": true}, {"_id": "_design/d", "_rev": "1-a", "_deleted": true}]}"#,
            r#"POST /d/_changes?filter=_doc_ids {"doc_ids": ["a"]}"#,
            "GET /d/_changes?filter=_design",
        ],
        expect![[r#"
            POST /d/_bulk_docs 201 []
            POST /d/_changes?filter=_doc_ids 200 {"results":[{"seq":"1-t","id":"a","changes":[{"rev":"1-a"}],"deleted":true}],"last_seq":"2-t","pending":0}
            GET /d/_changes?filter=_design 200 {"results":[{"seq":"2-t","id":"_design/d","changes":[{"rev":"1-a"}],"deleted":true}],"last_seq":"2-t","pending":0}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn in_bulk_item_30_a_document_of_a_bulk_that_is_too_large_fails_alone() {
    let server = begin().await;
    let long = "x".repeat(8_000_001);
    let request = format!(
        r#"POST /d/_bulk_docs {{"docs": [{{"_id": "a", "x": "{long}"}}, {{"_id": "b"}}]}}"#
    );
    check_on(&server, &[&request], expect![[r#"
        POST /d/_bulk_docs 201 [{"id":"a","error":"document_too_large","reason":"the document's body has 8000009 bytes, more than the 8000000 allowed"},{"ok":true,"id":"b","rev":"1-967a00dff5e02add41819138abb3284d"}]
    "#]]).await;
}

#[tokio::test]
async fn in_bulk_item_32_ids_of_many_documents_are_any_text() {
    check(
        &[
            r#"POST /d/_bulk_docs {"docs": [{"_id": "a/b c+d%20\"\\\u0001"}, {"_id": "\ud83d\ude00"}]}"#,
            "GET /d/_all_docs",
            "GET /d/a%2Fb%20c%2Bd%2520%22%5C%01",
        ],
        expect![[r#"
            POST /d/_bulk_docs 201 [{"ok":true,"id":"a/b c+d%20\"\\\u0001","rev":"1-967a00dff5e02add41819138abb3284d"},{"ok":true,"id":"😀","rev":"1-967a00dff5e02add41819138abb3284d"}]
            GET /d/_all_docs 200 {"total_rows":2,"offset":0,"rows":[{"id":"a/b c+d%20\"\\\u0001","key":"a/b c+d%20\"\\\u0001","value":{"rev":"1-967a00dff5e02add41819138abb3284d"}},{"id":"😀","key":"😀","value":{"rev":"1-967a00dff5e02add41819138abb3284d"}}]}
            GET /d/a%2Fb%20c%2Bd%2520%22%5C%01 200 {"_id":"a/b c+d%20\"\\\u0001","_rev":"1-967a00dff5e02add41819138abb3284d"}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn in_lists_item_33_members_are_kept_in_order_and_spelling_wherever_documents_are_sent() {
    check(
        &[
            r#"POST /d/_bulk_docs {"docs": [{"_id": "a", "z": 1.0, "a": 12345678901234567890, "m": 1e2}]}"#,
            "GET /d/_all_docs?include_docs=true",
            "GET /d/_changes?include_docs=true",
        ],
        expect![[r#"
            POST /d/_bulk_docs 201 [{"ok":true,"id":"a","rev":"1-6fe2077744286b224c2b759d7c7cb0db"}]
            GET /d/_all_docs?include_docs=true 200 {"total_rows":1,"offset":0,"rows":[{"id":"a","key":"a","value":{"rev":"1-6fe2077744286b224c2b759d7c7cb0db"},"doc":{"_id":"a","_rev":"1-6fe2077744286b224c2b759d7c7cb0db","z":1.0,"a":12345678901234567890,"m":1e2}}]}
            GET /d/_changes?include_docs=true 200 {"results":[{"seq":"1-t","id":"a","changes":[{"rev":"1-6fe2077744286b224c2b759d7c7cb0db"}],"doc":{"_id":"a","_rev":"1-6fe2077744286b224c2b759d7c7cb0db","z":1.0,"a":12345678901234567890,"m":1e2}}],"last_seq":"1-t","pending":0}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn item_34_all_docs_are_ordered_by_bytes() {
    check(
        &[
            r#"POST /d/_bulk_docs {"docs": [{"_id": "b"}, {"_id": "B"}, {"_id": "_design/d"}, {"_id": "ä"}, {"_id": "10"}, {"_id": "9"}]}"#,
            "GET /d/_all_docs?sorted=false",
        ],
        expect![[r#"
            POST /d/_bulk_docs 201 [{"ok":true,"id":"b","rev":"1-967a00dff5e02add41819138abb3284d"},{"ok":true,"id":"B","rev":"1-967a00dff5e02add41819138abb3284d"},{"ok":true,"id":"_design/d","rev":"1-967a00dff5e02add41819138abb3284d"},{"ok":true,"id":"ä","rev":"1-967a00dff5e02add41819138abb3284d"},{"ok":true,"id":"10","rev":"1-967a00dff5e02add41819138abb3284d"},{"ok":true,"id":"9","rev":"1-967a00dff5e02add41819138abb3284d"}]
            GET /d/_all_docs?sorted=false 200 {"rows":[{"id":"10","key":"10","value":{"rev":"1-967a00dff5e02add41819138abb3284d"}},{"id":"9","key":"9","value":{"rev":"1-967a00dff5e02add41819138abb3284d"}},{"id":"B","key":"B","value":{"rev":"1-967a00dff5e02add41819138abb3284d"}},{"id":"_design/d","key":"_design/d","value":{"rev":"1-967a00dff5e02add41819138abb3284d"}},{"id":"b","key":"b","value":{"rev":"1-967a00dff5e02add41819138abb3284d"}},{"id":"ä","key":"ä","value":{"rev":"1-967a00dff5e02add41819138abb3284d"}}]}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn item_35_keys_keep_their_order_and_what_is_missing_or_deleted_says_so() {
    check(
        &[
            r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "a", "_rev": "1-a"}, {"_id": "gone", "_rev": "2-b", "_deleted": true}]}"#,
            r#"POST /d/_all_docs {"keys": ["x", "gone", "a", "a"], "include_docs": true}"#,
        ],
        expect![[r#"
            POST /d/_bulk_docs 201 []
            POST /d/_all_docs 200 {"total_rows":1,"offset":null,"rows":[{"key":"x","error":"not_found"},{"id":"gone","key":"gone","value":{"rev":"2-b","deleted":true},"doc":null},{"id":"a","key":"a","value":{"rev":"1-a"},"doc":{"_id":"a","_rev":"1-a"}},{"id":"a","key":"a","value":{"rev":"1-a"},"doc":{"_id":"a","_rev":"1-a"}}]}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn item_41_a_purge_reuses_no_sequence_and_checkpoints_stay_valid() {
    check(
        &[
            r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "a", "_rev": "1-a"}, {"_id": "b", "_rev": "1-b"}]}"#,
            r#"POST /d/_purge {"b": ["1-b"]}"#,
            r#"PUT /d/c {}"#,
            "GET /d/_changes?since=2",
            r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "b", "_rev": "1-b"}]}"#,
            "GET /d/_changes?since=4",
        ],
        expect![[r#"
            POST /d/_bulk_docs 201 []
            POST /d/_purge 201 {"purge_seq":null,"purged":{"b":["1-b"]}}
            PUT /d/c 201 {"ok":true,"id":"c","rev":"1-967a00dff5e02add41819138abb3284d"}
            GET /d/_changes?since=2 200 {"results":[{"seq":"4-t","id":"c","changes":[{"rev":"1-967a00dff5e02add41819138abb3284d"}]}],"last_seq":"4-t","pending":0}
            POST /d/_bulk_docs 201 []
            GET /d/_changes?since=4 200 {"results":[{"seq":"5-t","id":"b","changes":[{"rev":"1-b"}]}],"last_seq":"5-t","pending":0}
        "#]],
    )
    .await;
}
