//! What a database was: snapshots, reads as of a moment, going back, forks.

use std::sync::Arc;

use expect_test::expect;
use serde_json::{Value, json};
use settle_engine::{
    faulty::{Fault, FaultyEngine, Kind},
    memory::MemoryEngine,
};

use crate::{
    asked::{ask, body, check, check_on, member},
    story::begin,
    support::{TestServer, text},
};

/// `a` was 1 and is 2, `b` was there and is deleted, `c` is new; `monday` is from before.
async fn some() -> TestServer {
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
async fn going_back_writes_new_revisions_and_leaves_out_what_is_only_appended_to() {
    let server = some().await;
    assert_eq!(ask(&server, r#"PUT /d/log {"kind":"audit"}"#).await.status(), 201);
    check_on(
        &server,
        &[
            r#"PUT /d/_history {"window_seconds":3600,"append_only":{"kind":"audit"}}"#,
            "GET /d/_history",
            r#"PUT /d/_history {"append_only":[]}"#,
            r#"PUT /d/_history {"window":1}"#,
            r#"POST /d/_revert {"to":"monday","preview":true}"#,
            r#"POST /d/_revert {"to":"monday","ids":["a"],"snapshot":"before-a"}"#,
            "GET /d/a",
            "GET /d/c",
            r#"POST /d/_revert {"to":"monday","snapshot":"tuesday"}"#,
            "GET /d/_all_docs?include_docs=true",
            r#"POST /d/_revert {"to":"tuesday","selector":{"n":2},"preview":true}"#,
            r#"POST /d/_revert {"to":"before-a","snapshot":"wednesday"}"#,
            "GET /d/_all_docs?include_docs=true",
            r#"POST /d/_revert {"to":"nothing"}"#,
            r#"POST /d/_revert {"to":"monday","snapshot":"tuesday"}"#,
            r#"POST /d/_revert {"too":"monday"}"#,
        ],
        expect![[r#"
            > PUT /d/_history {"window_seconds":3600,"append_only":{"kind":"audit"}}
            200 OK
            {"ok":true}

            > GET /d/_history
            200 OK
            {"window_seconds":3600,"append_only":{"kind":"audit"},"kept_from":"0-t"}

            > PUT /d/_history {"append_only":[]}
            400 Bad Request
            {"error":"invalid_selector_json","reason":"Selector must be a JSON object, not: []"}

            > PUT /d/_history {"window":1}
            400 Bad Request
            {"error":"bad_request","reason":"`window_seconds`, `tombstone_seconds` and `checkpoint_seconds` must be numbers of seconds, `append_only` a selector"}

            > POST /d/_revert {"to":"monday","preview":true}
            200 OK
            {"changes":[{"id":"a","now":"2-c7b1fa7ae4e5ec669a544d4ef6eee928","then":"1-731bef401491606a3b246ed178e697c1"},{"id":"b","now":"2-bfa217b130671a8782e04560da45345b","deleted":true,"then":"1-731bef401491606a3b246ed178e697c1"},{"id":"c","now":"1-731bef401491606a3b246ed178e697c1","then":null}],"left_out":["log"]}

            > POST /d/_revert {"to":"monday","ids":["a"],"snapshot":"before-a"}
            200 OK
            {"ok":true,"seq":"7-t","snapshot":"before-a","reverted":1,"left_out":[]}

            > GET /d/a
            200 OK
            etag: "3-1dc2d4f3a2aa8de0cedf863e95678d2b"
            {"_id":"a","_rev":"3-1dc2d4f3a2aa8de0cedf863e95678d2b","n":1}

            > GET /d/c
            200 OK
            etag: "1-731bef401491606a3b246ed178e697c1"
            {"_id":"c","_rev":"1-731bef401491606a3b246ed178e697c1","n":1}

            > POST /d/_revert {"to":"monday","snapshot":"tuesday"}
            200 OK
            {"ok":true,"seq":"9-t","snapshot":"tuesday","reverted":2,"left_out":["log"]}

            > GET /d/_all_docs?include_docs=true
            200 OK
            {"total_rows":3,"offset":0,"rows":[
            {"id":"a","key":"a","value":{"rev":"3-1dc2d4f3a2aa8de0cedf863e95678d2b"},"doc":{"_id":"a","_rev":"3-1dc2d4f3a2aa8de0cedf863e95678d2b","n":1}},
            {"id":"b","key":"b","value":{"rev":"3-1c4d7ae427747bfae5bb08dde8079b21"},"doc":{"_id":"b","_rev":"3-1c4d7ae427747bfae5bb08dde8079b21","n":1}},
            {"id":"log","key":"log","value":{"rev":"1-d8b40d44bfdf03224d0bab249fc55714"},"doc":{"_id":"log","_rev":"1-d8b40d44bfdf03224d0bab249fc55714","kind":"audit"}}
            ]}

            > POST /d/_revert {"to":"tuesday","selector":{"n":2},"preview":true}
            200 OK
            {"changes":[],"left_out":[]}

            > POST /d/_revert {"to":"before-a","snapshot":"wednesday"}
            200 OK
            {"ok":true,"seq":"12-t","snapshot":"wednesday","reverted":3,"left_out":[]}

            > GET /d/_all_docs?include_docs=true
            200 OK
            {"total_rows":3,"offset":0,"rows":[
            {"id":"a","key":"a","value":{"rev":"4-ad6263d4840cc36a606135ed35a95dfc"},"doc":{"_id":"a","_rev":"4-ad6263d4840cc36a606135ed35a95dfc","n":2}},
            {"id":"c","key":"c","value":{"rev":"3-1c4d7ae427747bfae5bb08dde8079b21"},"doc":{"_id":"c","_rev":"3-1c4d7ae427747bfae5bb08dde8079b21","n":1}},
            {"id":"log","key":"log","value":{"rev":"1-d8b40d44bfdf03224d0bab249fc55714"},"doc":{"_id":"log","_rev":"1-d8b40d44bfdf03224d0bab249fc55714","kind":"audit"}}
            ]}

            > POST /d/_revert {"to":"nothing"}
            404 Not Found
            {"error":"no_snapshot","reason":"there is no snapshot named nothing"}

            > POST /d/_revert {"to":"monday","snapshot":"tuesday"}
            412 Precondition Failed
            {"error":"snapshot_exists","reason":"there is a snapshot of this name already"}

            > POST /d/_revert {"too":"monday"}
            400 Bad Request
            {"error":"bad_request","reason":"expected `to`, and maybe `ids`, `selector`, `preview`, `in_parts`, `snapshot`"}

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
async fn a_fork_is_what_the_database_was() {
    let server = some().await;
    let attached = "PUT /d/e/x.txt\ncontent-type: text/plain\n\nhello";
    assert_eq!(server.send(attached).await.status(), 201);
    check_on(
        &server,
        &[
            r#"POST /d/_fork {"name":"f","at":"monday"}"#,
            "GET /f/_all_docs?include_docs=true",
            r#"POST /d/_fork {"name":"f"}"#,
            r#"POST /d/_fork {"name":"g/h"}"#,
            "GET /g%2Fh/_all_docs",
            "GET /g%2Fh/e/x.txt",
            "GET /g%2Fh/_local_docs?sorted=false",
            r#"POST /d/_fork {"name":"Bad"}"#,
        ],
        expect![[r#"
            > POST /d/_fork {"name":"f","at":"monday"}
            201 Created
            location: http://localhost:5984/f
            {"ok":true,"seq":"2-t"}

            > GET /f/_all_docs?include_docs=true
            200 OK
            {"total_rows":2,"offset":0,"rows":[
            {"id":"a","key":"a","value":{"rev":"1-731bef401491606a3b246ed178e697c1"},"doc":{"_id":"a","_rev":"1-731bef401491606a3b246ed178e697c1","n":1}},
            {"id":"b","key":"b","value":{"rev":"1-731bef401491606a3b246ed178e697c1"},"doc":{"_id":"b","_rev":"1-731bef401491606a3b246ed178e697c1","n":1}}
            ]}

            > POST /d/_fork {"name":"f"}
            412 Precondition Failed
            {"error":"file_exists","reason":"there is a database of this name already"}

            > POST /d/_fork {"name":"g/h"}
            201 Created
            location: http://localhost:5984/g%2Fh
            {"ok":true,"seq":"6-t"}

            > GET /g%2Fh/_all_docs
            200 OK
            {"total_rows":3,"offset":0,"rows":[
            {"id":"a","key":"a","value":{"rev":"2-c7b1fa7ae4e5ec669a544d4ef6eee928"}},
            {"id":"c","key":"c","value":{"rev":"1-731bef401491606a3b246ed178e697c1"}},
            {"id":"e","key":"e","value":{"rev":"1-1137874efcc53301f4df14b196f2b085"}}
            ]}

            > GET /g%2Fh/e/x.txt
            200 OK
            etag: "iMaiC8wqiFlD2NjLTemvCQ=="
            content-type: text/plain
            hello

            > GET /g%2Fh/_local_docs?sorted=false
            200 OK
            {"rows":[

            ]}

            > POST /d/_fork {"name":"Bad"}
            400 Bad Request
            {"error":"illegal_database_name","reason":"Name: 'Bad'. Only lowercase characters (a-z), digits (0-9), and any of the characters _, $, (, ), +, -, and / are allowed. Must begin with a letter."}

        "#]],
    )
    .await;
}

/// Forks, and crashes at the nth commit of that; false if there is no such commit. `at` is a moment, or none; then
/// somebody writes before it is asked for again.
async fn fork_crashed(nth: u64, applied: bool, at: Option<&str>) -> bool {
    let faulty = Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())));
    let server = TestServer::on(faulty.clone(), 1).await;
    for request in ["PUT /d", "PUT /d/a\n\n{\"n\":1}", "PUT /d/b\n\n{}", "PUT /d/_snapshots/monday"]
    {
        assert_eq!(server.send(request).await.status(), 201, "{request}");
    }
    let fork = format!("POST /d/_fork {}", json!({ "name": "f", "at": at }));
    let fork = fork.as_str();
    faulty.fail_at(Kind::Commit, faulty.counts().commits + nth, Fault::Crash { applied });
    let made = ask(&server, fork).await.status() == 201;
    drop(server);
    let server = TestServer::on(faulty.inner().clone(), 2).await;
    if at.is_none() {
        assert_eq!(ask(&server, "PUT /d/c {}").await.status(), 201);
    }
    let again = ask(&server, fork).await.status();
    // One that is whole, although nobody was told, is a database as any other.
    assert!(again == 201 || again == 412, "{again} after {nth} commits");
    let list = "GET /f/_all_docs?include_docs=true";
    let of = |text: String| text.split_once("\"rows\":").unwrap().1.to_owned();
    let found = of(body(ask(&server, list).await).await);
    let at = async |at: &str| {
        let list = format!("GET /d/_all_docs?include_docs=true&at={at}");
        of(body(ask(&server, &list).await).await)
    };
    // It may not have begun.
    assert!(found == at("monday").await || found == at("now").await, "{found}");
    !made
}

#[tokio::test]
async fn a_fork_that_was_cut_short_is_gone_on_with_wherever_that_was() {
    for (applied, at) in [(true, Some("monday")), (false, Some("monday")), (true, None)] {
        let mut nth = 0;
        while fork_crashed(nth, applied, at).await {
            nth += 1;
        }
        assert!(nth > 4, "there are several commits");
    }
}

#[tokio::test]
async fn attachments_come_back_and_are_read_as_they_were() {
    let server = begin().await;
    let attached = "PUT /d/a/x.txt\ncontent-type: text/plain\n\nhello";
    assert_eq!(server.send(attached).await.status(), 201);
    let rev = member(&server, "GET /d/a", "_rev").await;
    check_on(
        &server,
        &[
            "PUT /d/_snapshots/monday",
            &format!(r#"PUT /d/a {{"_rev":{rev},"n":2}}"#),
            "GET /d/a/x.txt",
            "GET /d/a/x.txt?at=monday",
            "GET /d/_all_docs?at=monday&include_docs=true&attachments=true",
            r#"POST /d/_revert {"to":"monday","snapshot":"tuesday"}"#,
            "GET /d/a/x.txt",
        ],
        expect![[r#"
            > PUT /d/_snapshots/monday
            201 Created
            location: http://localhost:5984/d/_snapshots/monday
            {"name":"monday","seq":"1-t","taken":"2026-11-21T03:05:46.000Z"}

            > PUT /d/a {"_rev":"1-1137874efcc53301f4df14b196f2b085","n":2}
            201 Created
            etag: "2-506bfcdefd5be7e15f3f6895c7a803ff"
            location: http://localhost:5984/d/a
            {"ok":true,"id":"a","rev":"2-506bfcdefd5be7e15f3f6895c7a803ff"}

            > GET /d/a/x.txt
            404 Not Found
            {"error":"not_found","reason":"Document is missing attachment"}

            > GET /d/a/x.txt?at=monday
            200 OK
            etag: "iMaiC8wqiFlD2NjLTemvCQ=="
            content-type: text/plain
            hello

            > GET /d/_all_docs?at=monday&include_docs=true&attachments=true
            200 OK
            {"total_rows":null,"offset":null,"rows":[
            {"id":"a","key":"a","value":{"rev":"1-1137874efcc53301f4df14b196f2b085"},"doc":{"_id":"a","_rev":"1-1137874efcc53301f4df14b196f2b085","_attachments":{"x.txt":{"content_type":"text/plain","revpos":1,"digest":"md5-iMaiC8wqiFlD2NjLTemvCQ==","data":"aGVsbG8="}}}}
            ]}

            > POST /d/_revert {"to":"monday","snapshot":"tuesday"}
            200 OK
            {"ok":true,"seq":"3-t","snapshot":"tuesday","reverted":1,"left_out":[]}

            > GET /d/a/x.txt
            200 OK
            etag: "iMaiC8wqiFlD2NjLTemvCQ=="
            content-type: text/plain
            hello

        "#]],
    )
    .await;
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

/// More than one commit bears goes back in parts, and goes on where it was interrupted.
#[tokio::test]
async fn a_revert_in_parts_goes_on_where_it_was_interrupted() {
    const COUNT: usize = 1_700;
    let server = begin().await;
    let write = async |n: u64| {
        let found: Value =
            serde_json::from_str(&body(ask(&server, "GET /d/_all_docs").await).await).unwrap();
        let rev_of = |id: &str| {
            let mut rows = found["rows"].as_array().unwrap().iter();
            rows.find(|row| row["id"] == id).map(|row| row["value"]["rev"].clone())
        };
        let mut docs: Vec<Value> = (0..COUNT)
            .map(|at| {
                let id = format!("d{at:04}");
                json!({ "_id": id, "_rev": rev_of(&id), "n": n })
            })
            .collect();
        docs.push(json!({ "_id": format!("log-{n}"), "kind": "audit", "n": n }));
        for doc in &mut docs {
            if doc["_rev"].is_null() {
                doc.as_object_mut().unwrap().remove("_rev");
            }
        }
        let asked = json!({ "docs": docs });
        assert_eq!(ask(&server, &format!("POST /d/_bulk_docs {asked}")).await.status(), 201);
    };
    let count = async |at: &str| {
        let list = format!("GET /d/_all_docs?include_docs=true{at}");
        let list: Value = serde_json::from_str(&body(ask(&server, &list).await).await).unwrap();
        let rows = list["rows"].as_array().unwrap().iter();
        rows.filter(|row| row["id"].as_str().unwrap().starts_with('d') && row["doc"]["n"] == 1)
            .count()
    };
    let window = r#"PUT /d/_history {"append_only":{"kind":"audit"}}"#;
    assert_eq!(ask(&server, window).await.status(), 200);
    write(1).await;
    assert_eq!(ask(&server, "PUT /d/_snapshots/monday").await.status(), 201);
    write(2).await;
    let revert = r#"POST /d/_revert {"to":"monday","in_parts":true,"snapshot":"before"}"#;
    let begun = async {
        while count("").await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = ask(&server, revert) => panic!("it was too fast to be interrupted"),
        () = begun => {}
    }
    let done = count("").await;
    assert!((1..COUNT).contains(&done), "{done}");
    let again: Value = serde_json::from_str(&body(ask(&server, revert).await).await).unwrap();
    assert_eq!(again["left_out"], json!(["log-2"]), "{again}");
    assert_eq!(again["snapshot"], "before");
    let rest = usize::try_from(again["reverted"].as_u64().unwrap()).unwrap();
    assert!((1..COUNT).contains(&rest), "{again}");
    assert_eq!(count("").await, COUNT);
    assert_eq!(count("&at=before").await, 0, "the snapshot is that of the first time");
    // And back again.
    let back = r#"POST /d/_revert {"to":"before","in_parts":true}"#;
    assert_eq!(ask(&server, back).await.status(), 200);
    assert_eq!(count("").await, 0);
}

/// What adds to a full account is refused, what takes away is not.
#[tokio::test]
async fn nothing_comes_back_that_the_account_has_no_room_for() {
    let server = begin().await.with_users(&[("ada", "[]")]).await;
    let sent = async |request: &str| {
        let request = match request.split_once(" {") {
            Some((line, json)) => format!("{line}\ncontent-type: application/json\n\n{{{json}"),
            None => request.to_owned(),
        };
        server.send_as("ada:password", &request).await
    };
    let text = "x".repeat(100);
    for request in [
        "PUT /~ada/notes",
        "PUT /~ada/notes/_snapshots/empty",
        &format!(r#"PUT /~ada/notes/a {{"text":"{text}"}}"#),
        "PUT /~ada/notes/_snapshots/full",
    ] {
        assert_eq!(sent(request).await.status(), 201, "{request}");
    }
    let quota = "PUT /_accounts/ada\n\n{\"databases_max\":null,\"bytes_max\":10}";
    assert_eq!(server.send(quota).await.status(), 200);
    assert_eq!(sent(r#"POST /~ada/notes/_revert {"to":"empty"}"#).await.status(), 200);
    for request in [
        r#"POST /~ada/notes/_revert {"to":"full"}"#,
        r#"POST /~ada/notes/_revert {"to":"full","in_parts":true,"snapshot":"before"}"#,
    ] {
        let refused = sent(request).await;
        assert_eq!(refused.status(), 507, "{request}");
    }
    let more = "PUT /_accounts/ada\n\n{\"databases_max\":null,\"bytes_max\":1000000}";
    assert_eq!(server.send(more).await.status(), 200);
    let again = r#"POST /~ada/notes/_revert {"to":"full","snapshot":"again"}"#;
    assert_eq!(sent(again).await.status(), 200);
    assert_eq!(server.send(quota).await.status(), 200);
    assert_eq!(sent(r#"POST /~ada/notes/_fork {"name":"copy"}"#).await.status(), 507);
    assert_eq!(sent("GET /~ada/copy").await.status(), 404);
}
