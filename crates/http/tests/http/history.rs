//! What a database was: snapshots, reads as of a moment, versions, differences, and what is let go.

use expect_test::expect;
use serde_json::Value;

use crate::{
    asked::{ask, body, check, check_on, member},
    story::begin,
    support::{TestServer, text},
};

/// `a` was 1 and is 2, `b` was there and is deleted, `c` is new; `monday` is from before.
pub(crate) async fn some() -> TestServer {
    let server = begin().await;
    let first = member(&server, r#"PUT /d/a {"n":1}"#, "rev").await;
    let gone = member(&server, r#"PUT /d/b {"n":1}"#, "rev").await;
    assert_eq!(ask(&server, "PUT /d/_snapshots/monday").await.status(), 201);
    server.clock.advance(std::time::Duration::from_secs(60));
    let second = format!(r#"PUT /d/a {{"_rev":{first},"n":2}}"#);
    assert_eq!(ask(&server, &second).await.status(), 201);
    let rev = gone.as_str().unwrap();
    assert_eq!(ask(&server, &format!("DELETE /d/b?rev={rev}")).await.status(), 200);
    assert_eq!(ask(&server, r#"PUT /d/c {"n":1}"#).await.status(), 201);
    server
}

#[tokio::test]
async fn snapshots_are_taken_listed_and_deleted() {
    check(
        &[
            "GET /d/_snapshots",
            r#"PUT /d/a {"n":1}"#,
            "PUT /d/_snapshots/monday",
            "PUT /d/_snapshots/monday",
            "PUT /d/_snapshots/empty?at=0",
            "PUT /d/_snapshots/0no",
            "PUT /d/_snapshots/late?at=7",
            "GET /d/_snapshots",
            "GET /d/_snapshots/monday",
            "GET /d/_snapshots/tuesday",
            "DELETE /d/_snapshots/monday",
            "DELETE /d/_snapshots/monday",
            "GET /d/a?at=monday",
            "GET /d/a?at=empty",
            "GET /other/_snapshots",
        ],
        expect![[r#"
            > GET /d/_snapshots
            200 OK
            {"snapshots":[]}

            > PUT /d/a {"n":1}
            201 Created
            etag: "1-731bef401491606a3b246ed178e697c1"
            location: http://localhost:5984/d/a
            {"ok":true,"id":"a","rev":"1-731bef401491606a3b246ed178e697c1"}

            > PUT /d/_snapshots/monday
            201 Created
            location: http://localhost:5984/d/_snapshots/monday
            {"name":"monday","seq":"1-t","taken":"2026-11-21T03:05:46.000Z"}

            > PUT /d/_snapshots/monday
            412 Precondition Failed
            {"error":"snapshot_exists","reason":"there is a snapshot of this name already"}

            > PUT /d/_snapshots/empty?at=0
            201 Created
            location: http://localhost:5984/d/_snapshots/empty
            {"name":"empty","seq":"0-t","taken":"2026-11-21T03:05:46.000Z"}

            > PUT /d/_snapshots/0no
            400 Bad Request
            {"error":"bad_request","reason":"a snapshot's name begins with a letter, and has letters, digits, `_`, `-` and `.`, 100 at most"}

            > PUT /d/_snapshots/late?at=7
            400 Bad Request
            {"error":"invalid_moment","reason":"the moment lies beyond the present"}

            > GET /d/_snapshots
            200 OK
            {"snapshots":[{"name":"empty","seq":"0-t","taken":"2026-11-21T03:05:46.000Z"},{"name":"monday","seq":"1-t","taken":"2026-11-21T03:05:46.000Z"}]}

            > GET /d/_snapshots/monday
            200 OK
            {"name":"monday","seq":"1-t","taken":"2026-11-21T03:05:46.000Z"}

            > GET /d/_snapshots/tuesday
            404 Not Found
            {"error":"no_snapshot","reason":"there is no such snapshot"}

            > DELETE /d/_snapshots/monday
            200 OK
            {"ok":true}

            > DELETE /d/_snapshots/monday
            404 Not Found
            {"error":"no_snapshot","reason":"there is no such snapshot"}

            > GET /d/a?at=monday
            404 Not Found
            {"error":"no_snapshot","reason":"there is no snapshot named monday"}

            > GET /d/a?at=empty
            404 Not Found
            {"error":"not_found","reason":"missing"}

            > GET /other/_snapshots
            404 Not Found
            {"error":"not_found","reason":"Database does not exist."}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn documents_are_read_as_they_were() {
    check_on(
        &some().await,
        &[
            "GET /d/a?at=monday",
            "GET /d/a?at=1&conflicts=true&local_seq=true",
            "GET /d/a?at=now",
            "GET /d/b?at=monday",
            "GET /d/b",
            "GET /d/c?at=monday",
            "GET /d/a?at=tuesday",
            "GET /d/a?at=99",
            "GET /d/a?at=never%20ever",
            "GET /d/a?at=monday&revs=true",
            "GET /d/_all_docs?at=monday&include_docs=true",
            "GET /d/_all_docs?at=monday&descending=true&limit=1",
            "GET /d/_all_docs?at=monday&skip=1&update_seq=true&sorted=false",
            r#"POST /d/_all_docs?at=monday {"keys":["c","b","a"]}"#,
            r#"POST /d/_all_docs/queries {"queries":[{"at":"monday","key":"b"},{"key":"b"}]}"#,
            "GET /d/_local_docs?at=monday",
            "GET /d/_changes?at=monday&include_docs=true",
            "GET /d/_changes?at=3&limit=1",
            "GET /d/_changes?at=3&since=2",
            "GET /d/_changes?at=3&since=4",
            "GET /d/_changes?at=monday&descending=true",
            "GET /d/_changes?at=monday&feed=longpoll",
            r#"POST /d/_find?at=monday {"selector":{"n":1},"fields":["_id","n"]}"#,
            r#"POST /d/_find?at=now {"selector":{"n":1},"fields":["_id","n"]}"#,
        ],
        expect![[r#"
            > GET /d/a?at=monday
            200 OK
            etag: "1-731bef401491606a3b246ed178e697c1"
            {"_id":"a","_rev":"1-731bef401491606a3b246ed178e697c1","n":1}

            > GET /d/a?at=1&conflicts=true&local_seq=true
            200 OK
            {"_id":"a","_rev":"1-731bef401491606a3b246ed178e697c1","n":1,"_local_seq":1}

            > GET /d/a?at=now
            200 OK
            etag: "2-c7b1fa7ae4e5ec669a544d4ef6eee928"
            {"_id":"a","_rev":"2-c7b1fa7ae4e5ec669a544d4ef6eee928","n":2}

            > GET /d/b?at=monday
            200 OK
            etag: "1-731bef401491606a3b246ed178e697c1"
            {"_id":"b","_rev":"1-731bef401491606a3b246ed178e697c1","n":1}

            > GET /d/b
            404 Not Found
            {"error":"not_found","reason":"deleted"}

            > GET /d/c?at=monday
            404 Not Found
            {"error":"not_found","reason":"missing"}

            > GET /d/a?at=tuesday
            404 Not Found
            {"error":"no_snapshot","reason":"there is no snapshot named tuesday"}

            > GET /d/a?at=99
            400 Bad Request
            {"error":"invalid_moment","reason":"the moment lies beyond the present"}

            > GET /d/a?at=never%20ever
            400 Bad Request
            {"error":"invalid_moment","reason":"a moment is the name of a snapshot, a sequence, or a time such as 2027-11-21T03:05:46Z"}

            > GET /d/a?at=monday&revs=true
            400 Bad Request
            {"error":"query_parse_error","reason":"`at` goes with `attachments`, `att_encoding_info`, `conflicts`, `deleted_conflicts` and `local_seq` alone"}

            > GET /d/_all_docs?at=monday&include_docs=true
            200 OK
            {"total_rows":null,"offset":null,"rows":[
            {"id":"a","key":"a","value":{"rev":"1-731bef401491606a3b246ed178e697c1"},"doc":{"_id":"a","_rev":"1-731bef401491606a3b246ed178e697c1","n":1}},
            {"id":"b","key":"b","value":{"rev":"1-731bef401491606a3b246ed178e697c1"},"doc":{"_id":"b","_rev":"1-731bef401491606a3b246ed178e697c1","n":1}}
            ]}

            > GET /d/_all_docs?at=monday&descending=true&limit=1
            200 OK
            {"total_rows":null,"offset":null,"rows":[
            {"id":"b","key":"b","value":{"rev":"1-731bef401491606a3b246ed178e697c1"}}
            ]}

            > GET /d/_all_docs?at=monday&skip=1&update_seq=true&sorted=false
            200 OK
            {"update_seq":"2-t","rows":[
            {"id":"b","key":"b","value":{"rev":"1-731bef401491606a3b246ed178e697c1"}}
            ]}

            > POST /d/_all_docs?at=monday {"keys":["c","b","a"]}
            200 OK
            {"total_rows":null,"offset":null,"rows":[
            {"key":"c","error":"not_found"},
            {"id":"b","key":"b","value":{"rev":"1-731bef401491606a3b246ed178e697c1"}},
            {"id":"a","key":"a","value":{"rev":"1-731bef401491606a3b246ed178e697c1"}}
            ]}

            > POST /d/_all_docs/queries {"queries":[{"at":"monday","key":"b"},{"key":"b"}]}
            200 OK
            {"results":[
            {"total_rows":null,"offset":null,"rows":[
            {"id":"b","key":"b","value":{"rev":"1-731bef401491606a3b246ed178e697c1"}}
            ]},
            {"total_rows":2,"offset":1,"rows":[

            ]}
            ]}

            > GET /d/_local_docs?at=monday
            400 Bad Request
            {"error":"query_parse_error","reason":"local documents have no past"}

            > GET /d/_changes?at=monday&include_docs=true
            200 OK
            etag: "2-t"
            {"results":[
            {"seq":"1-t","id":"a","changes":[{"rev":"1-731bef401491606a3b246ed178e697c1"}],"doc":{"_id":"a","_rev":"1-731bef401491606a3b246ed178e697c1","n":1}},
            {"seq":"2-t","id":"b","changes":[{"rev":"1-731bef401491606a3b246ed178e697c1"}],"doc":{"_id":"b","_rev":"1-731bef401491606a3b246ed178e697c1","n":1}}
            ],
            "last_seq":"2-t","pending":0}

            > GET /d/_changes?at=3&limit=1
            200 OK
            etag: "3-t"
            {"results":[
            {"seq":"2-t","id":"b","changes":[{"rev":"1-731bef401491606a3b246ed178e697c1"}]}
            ],
            "last_seq":"2-t"}

            > GET /d/_changes?at=3&since=2
            200 OK
            etag: "3-t"
            {"results":[
            {"seq":"3-t","id":"a","changes":[{"rev":"2-c7b1fa7ae4e5ec669a544d4ef6eee928"}]}
            ],
            "last_seq":"3-t","pending":0}

            > GET /d/_changes?at=3&since=4
            200 OK
            etag: "3-t"
            {"results":[

            ],
            "last_seq":"3-t","pending":0}

            > GET /d/_changes?at=monday&descending=true
            200 OK
            etag: "2-t"
            {"results":[
            {"seq":"2-t","id":"b","changes":[{"rev":"1-731bef401491606a3b246ed178e697c1"}]},
            {"seq":"1-t","id":"a","changes":[{"rev":"1-731bef401491606a3b246ed178e697c1"}]}
            ],
            "last_seq":"1-t","pending":0}

            > GET /d/_changes?at=monday&feed=longpoll
            400 Bad Request
            {"error":"query_parse_error","reason":"`at` goes with `feed=normal` alone"}

            > POST /d/_find?at=monday {"selector":{"n":1},"fields":["_id","n"]}
            200 OK
            {"docs":[
            {"_id":"a","n":1},
            {"_id":"b","n":1}
            ],
            "bookmark": "eyJrZXkiOiJiIiwiaWQiOiJiIn0"}

            > POST /d/_find?at=now {"selector":{"n":1},"fields":["_id","n"]}
            200 OK
            {"docs":[
            {"_id":"c","n":1}
            ],
            "bookmark": "eyJrZXkiOiJjIiwiaWQiOiJjIn0"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_time_is_a_moment_as_well() {
    let server = some().await;
    let time = |seconds| {
        let now = settle_model::time::Clock::now(&*server.clock);
        settle_model::date::iso(now.minus(std::time::Duration::from_secs(seconds)))
    };
    let of = async |seconds| {
        body(ask(&server, &format!("GET /d/_all_docs?at={}&sorted=false", time(seconds))).await)
            .await
    };
    assert_eq!(of(0).await.matches("\"id\"").count(), 2);
    assert!(of(59).await.contains("\"b\""));
    assert_eq!(of(100).await.matches("\"id\"").count(), 0, "there was nothing yet");
}

#[tokio::test]
async fn what_nothing_keeps_is_said_to_be_gone() {
    let server = some().await;
    assert_eq!(ask(&server, "DELETE /d/_snapshots/monday").await.status(), 200);
    let compact = "POST /d/_compact\ncontent-type: application/json\n\n{}";
    assert_eq!(server.send(compact).await.status(), 202);
    let mut status = 200;
    // It is done in the background.
    while status == 200 {
        tokio::task::yield_now().await;
        status = ask(&server, "GET /d/a?at=2").await.status().as_u16();
    }
    check_on(
        &server,
        &[
            "GET /d/a?at=2",
            "GET /d/_all_docs?at=2",
            "GET /d/_changes?at=2",
            "PUT /d/_snapshots/x?at=2",
        ],
        expect![[r#"
            > GET /d/a?at=2
            410 Gone
            {"error":"not_kept","reason":"What the database was at that moment is no longer kept."}

            > GET /d/_all_docs?at=2
            410 Gone
            {"error":"not_kept","reason":"What the database was at that moment is no longer kept."}

            > GET /d/_changes?at=2
            410 Gone
            {"error":"not_kept","reason":"What the database was at that moment is no longer kept."}

            > PUT /d/_snapshots/x?at=2
            410 Gone
            {"error":"not_kept","reason":"What the database was at that moment is no longer kept."}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn versions_and_differences_are_listed() {
    check_on(
        &some().await,
        &[
            "GET /d/a/_history",
            "GET /d/a/_history?limit=1",
            "GET /d/a/_history?before=2",
            "GET /d/b/_history",
            "GET /d/nothing/_history",
            "GET /d/a/_history?limit=0",
            "GET /d/_difference?from=monday",
            "GET /d/_difference?from=monday&limit=1",
            "GET /d/_difference?from=monday&since=4",
            "GET /d/_difference?from=0&to=monday",
            "GET /d/_difference?from=now&to=monday",
            "GET /d/_difference",
        ],
        expect![[r#"
            > GET /d/a/_history
            200 OK
            {"id":"a","versions":[{"seq":"3-t","time":"2026-11-21T03:06:46.000Z","rev":"2-c7b1fa7ae4e5ec669a544d4ef6eee928"},{"seq":"1-t","time":"2026-11-21T03:05:46.000Z","rev":"1-731bef401491606a3b246ed178e697c1","until":"3-t"}],"more":false}

            > GET /d/a/_history?limit=1
            200 OK
            {"id":"a","versions":[{"seq":"3-t","time":"2026-11-21T03:06:46.000Z","rev":"2-c7b1fa7ae4e5ec669a544d4ef6eee928"}],"more":true}

            > GET /d/a/_history?before=2
            200 OK
            {"id":"a","versions":[],"more":false}

            > GET /d/b/_history
            200 OK
            {"id":"b","versions":[{"seq":"4-t","time":"2026-11-21T03:06:46.000Z","rev":"2-bfa217b130671a8782e04560da45345b","deleted":true},{"seq":"2-t","time":"2026-11-21T03:05:46.000Z","rev":"1-731bef401491606a3b246ed178e697c1","until":"4-t"}],"more":false}

            > GET /d/nothing/_history
            404 Not Found
            {"error":"not_found","reason":"missing"}

            > GET /d/a/_history?limit=0
            400 Bad Request
            {"error":"query_parse_error","reason":"`limit` must be greater than zero"}

            > GET /d/_difference?from=monday
            200 OK
            {"from":"2-t","to":"5-t","results":[{"id":"a","seq":"3-t","from":{"rev":"1-731bef401491606a3b246ed178e697c1"},"to":{"rev":"2-c7b1fa7ae4e5ec669a544d4ef6eee928"}},{"id":"b","seq":"4-t","from":{"rev":"1-731bef401491606a3b246ed178e697c1"},"to":{"rev":"2-bfa217b130671a8782e04560da45345b","deleted":true}},{"id":"c","seq":"5-t","from":null,"to":{"rev":"1-731bef401491606a3b246ed178e697c1"}}]}

            > GET /d/_difference?from=monday&limit=1
            200 OK
            {"from":"2-t","to":"5-t","results":[{"id":"a","seq":"3-t","from":{"rev":"1-731bef401491606a3b246ed178e697c1"},"to":{"rev":"2-c7b1fa7ae4e5ec669a544d4ef6eee928"}}],"since":"3-t"}

            > GET /d/_difference?from=monday&since=4
            200 OK
            {"from":"2-t","to":"5-t","results":[{"id":"c","seq":"5-t","from":null,"to":{"rev":"1-731bef401491606a3b246ed178e697c1"}}]}

            > GET /d/_difference?from=0&to=monday
            200 OK
            {"from":"0-t","to":"2-t","results":[{"id":"a","seq":"1-t","from":null,"to":{"rev":"1-731bef401491606a3b246ed178e697c1"}},{"id":"b","seq":"2-t","from":null,"to":{"rev":"1-731bef401491606a3b246ed178e697c1"}}]}

            > GET /d/_difference?from=now&to=monday
            400 Bad Request
            {"error":"query_parse_error","reason":"`from` must not come after `to`"}

            > GET /d/_difference
            400 Bad Request
            {"error":"query_parse_error","reason":"`from` is needed"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn tombstones_go_where_that_is_said() {
    let server = some().await;
    check_on(
        &server,
        &[
            r#"PUT /d/_history {"tombstone_seconds":30}"#,
            r#"PUT /d/_history {"checkpoint_seconds":3600}"#,
            r#"PUT /d/_history {"tombstone_seconds":86400,"checkpoint_seconds":0}"#,
            r#"PUT /d/_history {"tombstone_seconds":"a day"}"#,
            r#"PUT /d/_history {"tombstone_seconds":86400}"#,
            "GET /d/_history",
            r#"PUT /d/_history {}"#,
            "GET /d/_history",
        ],
        expect![[r#"
            > PUT /d/_history {"tombstone_seconds":30}
            400 Bad Request
            {"error":"bad_request","reason":"`tombstone_seconds` must be a number from 60 to 3162240000"}

            > PUT /d/_history {"checkpoint_seconds":3600}
            400 Bad Request
            {"error":"bad_request","reason":"`checkpoint_seconds` means nothing without `tombstone_seconds`"}

            > PUT /d/_history {"tombstone_seconds":86400,"checkpoint_seconds":0}
            400 Bad Request
            {"error":"bad_request","reason":"`checkpoint_seconds` must be a number from 60 to 3162240000"}

            > PUT /d/_history {"tombstone_seconds":"a day"}
            400 Bad Request
            {"error":"bad_request","reason":"`window_seconds`, `tombstone_seconds` and `checkpoint_seconds` must be numbers of seconds, `append_only` a selector"}

            > PUT /d/_history {"tombstone_seconds":86400}
            200 OK
            {"ok":true}

            > GET /d/_history
            200 OK
            {"window_seconds":0,"tombstone_seconds":86400,"checkpoint_seconds":7776000,"kept_from":"0-t"}

            > PUT /d/_history {}
            200 OK
            {"ok":true}

            > GET /d/_history
            200 OK
            {"window_seconds":0,"kept_from":"0-t"}

        "#]],
    )
    .await;
}

/// As the server says it, and clients keep it.
async fn last_seq(server: &TestServer, request: &str) -> Value {
    let reply = text(server.send(request).await).await;
    serde_json::from_str::<Value>(&reply).unwrap()["last_seq"].take()
}

#[tokio::test]
async fn a_tombstone_goes_when_indexes_and_replications_have_passed_it() {
    let server = some().await;
    let index = r#"POST /d/_index {"index":{"fields":["n"]},"ddoc":"by-n","name":"n"}"#;
    assert_eq!(ask(&server, index).await.status(), 200);
    let find = r#"POST /d/_find {"selector":{"n":{"$gt":0}},"use_index":"by-n","fields":["_id"]}"#;
    let found = body(ask(&server, find).await).await;
    // A client that pulls has come before `b` was deleted.
    let seq = last_seq(&server, "GET /d/_changes?limit=2").await;
    let note = format!(r#"PUT /d/_local/puller {{"last_seq":{seq},"session_id":"s"}}"#);
    assert_eq!(ask(&server, &note).await.status(), 201);
    assert_eq!(ask(&server, "DELETE /d/_snapshots/monday").await.status(), 200);
    let left = async || member(&server, "GET /d", "doc_del_count").await;
    let keep = r#"PUT /d/_history {"tombstone_seconds":86400}"#;
    server.clock.advance(std::time::Duration::from_secs(2 * 86_400));
    assert_eq!(ask(&server, keep).await.status(), 200);
    // The history is let go of in the same go.
    let is_swept = async || {
        let sizes = member(&server, "GET /d", "sizes").await;
        sizes["file"] == sizes["active"]
    };
    while !is_swept().await {
        tokio::task::yield_now().await;
    }
    assert_eq!(left().await, 1, "the client has not passed it");

    let seq = last_seq(&server, "GET /d/_changes").await;
    let note = format!(r#"PUT /d/_local/puller {{"last_seq":{seq},"session_id":"s"}}"#);
    assert_eq!(ask(&server, &note).await.status(), 201);
    assert_eq!(ask(&server, keep).await.status(), 200);
    while left().await != 0 {
        tokio::task::yield_now().await;
    }
    let changes = body(ask(&server, "GET /d/_changes").await).await;
    assert!(!changes.contains(r#""id":"b""#), "{changes}");
    assert_eq!(body(ask(&server, find).await).await, found);
    let reason = member(&server, "GET /d/b", "reason").await;
    assert_eq!(reason, "missing");
}

#[tokio::test]
async fn views_have_no_past() {
    let server = begin().await;
    let design = r#"PUT /d/_design/v {"views":{"v":{"map":"function (doc) { emit(1) }"}}}"#;
    assert_eq!(ask(&server, design).await.status(), 201);
    check_on(
        &server,
        &["GET /d/_design/v/_view/v?at=now"],
        expect![[r#"
        > GET /d/_design/v/_view/v?at=now
        400 Bad Request
        {"error":"query_parse_error","reason":"views have no past: an index has no versions"}

    "#]],
    )
    .await;
}
