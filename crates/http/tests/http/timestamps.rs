//! When documents were stored first and last, where a design document says that this may be told.

use std::time::Duration;

use expect_test::expect;

use crate::asked::{ask, check_on};

#[tokio::test]
async fn times_are_told_where_the_database_says_so_and_the_client_asks() {
    let server = crate::story::begin().await;
    ask(&server, r#"PUT /d/a {"n": 1}"#).await;
    server.clock.advance(Duration::from_millis(1_500));
    check_on(
        &server,
        &[
            "GET /d/a?timestamps=true",
            r#"PUT /d/_design/t {"options": {"timestamps": true}}"#,
            r#"POST /d {"_id": "a", "n": 2, "_rev": "1-731bef401491606a3b246ed178e697c1"}"#,
            "GET /d/a?timestamps=true",
            "GET /d/a",
            "GET /d/_changes?timestamps=true",
            "GET /d/_changes?timestamps=true&include_docs=true&limit=1",
            "GET /d/_changes",
            r#"POST /d/_changes?timestamps=true&filter=_selector {"selector": {"_id": "a"}}"#,
            r#"POST /d/_bulk_get?timestamps=true {"docs": [{"id": "a"}]}"#,
            r#"PUT /d/b {"_timestamps": {"created": "ever"}, "n": 1}"#,
        ],
        expect![[r#"
            > GET /d/a?timestamps=true
            200 OK
            etag: "1-731bef401491606a3b246ed178e697c1"
            {"_id":"a","_rev":"1-731bef401491606a3b246ed178e697c1","n":1}

            > PUT /d/_design/t {"options": {"timestamps": true}}
            201 Created
            etag: "1-87b425d800077cf352f4d02c3b1d52c9"
            location: http://localhost:5984/d/_design%2Ft
            {"ok":true,"id":"_design/t","rev":"1-87b425d800077cf352f4d02c3b1d52c9"}

            > POST /d {"_id": "a", "n": 2, "_rev": "1-731bef401491606a3b246ed178e697c1"}
            201 Created
            location: http://localhost:5984/d/a
            {"ok":true,"id":"a","rev":"2-c7b1fa7ae4e5ec669a544d4ef6eee928"}

            > GET /d/a?timestamps=true
            200 OK
            {"_id":"a","_rev":"2-c7b1fa7ae4e5ec669a544d4ef6eee928","n":2,"_timestamps":{"created":"2026-11-21T03:05:46.000Z","updated":"2026-11-21T03:05:47.500Z"}}

            > GET /d/a
            200 OK
            etag: "2-c7b1fa7ae4e5ec669a544d4ef6eee928"
            {"_id":"a","_rev":"2-c7b1fa7ae4e5ec669a544d4ef6eee928","n":2}

            > GET /d/_changes?timestamps=true
            200 OK
            etag: "3-t"
            {"results":[
            {"seq":"2-t","id":"_design/t","changes":[{"rev":"1-87b425d800077cf352f4d02c3b1d52c9"}],"timestamps":{"created":"2026-11-21T03:05:47.500Z","updated":"2026-11-21T03:05:47.500Z"}},
            {"seq":"3-t","id":"a","changes":[{"rev":"2-c7b1fa7ae4e5ec669a544d4ef6eee928"}],"timestamps":{"created":"2026-11-21T03:05:46.000Z","updated":"2026-11-21T03:05:47.500Z"}}
            ],
            "last_seq":"3-t","pending":0}

            > GET /d/_changes?timestamps=true&include_docs=true&limit=1
            200 OK
            etag: "3-t"
            {"results":[
            {"seq":"2-t","id":"_design/t","changes":[{"rev":"1-87b425d800077cf352f4d02c3b1d52c9"}],"timestamps":{"created":"2026-11-21T03:05:47.500Z","updated":"2026-11-21T03:05:47.500Z"},"doc":{"_id":"_design/t","_rev":"1-87b425d800077cf352f4d02c3b1d52c9","options":{"timestamps":true}}}
            ],
            "last_seq":"2-t","pending":1}

            > GET /d/_changes
            200 OK
            etag: "3-t"
            {"results":[
            {"seq":"2-t","id":"_design/t","changes":[{"rev":"1-87b425d800077cf352f4d02c3b1d52c9"}]},
            {"seq":"3-t","id":"a","changes":[{"rev":"2-c7b1fa7ae4e5ec669a544d4ef6eee928"}]}
            ],
            "last_seq":"3-t","pending":0}

            > POST /d/_changes?timestamps=true&filter=_selector {"selector": {"_id": "a"}}
            200 OK
            {"results":[
            {"seq":"3-t","id":"a","changes":[{"rev":"2-c7b1fa7ae4e5ec669a544d4ef6eee928"}],"timestamps":{"created":"2026-11-21T03:05:46.000Z","updated":"2026-11-21T03:05:47.500Z"}}
            ],
            "last_seq":"3-t","pending":0}

            > POST /d/_bulk_get?timestamps=true {"docs": [{"id": "a"}]}
            200 OK
            {"results":[{"id":"a","docs":[{"ok":{"_id":"a","_rev":"2-c7b1fa7ae4e5ec669a544d4ef6eee928","n":2,"_timestamps":{"created":"2026-11-21T03:05:46.000Z","updated":"2026-11-21T03:05:47.500Z"}}}]}]}

            > PUT /d/b {"_timestamps": {"created": "ever"}, "n": 1}
            201 Created
            etag: "1-731bef401491606a3b246ed178e697c1"
            location: http://localhost:5984/d/b
            {"ok":true,"id":"b","rev":"1-731bef401491606a3b246ed178e697c1"}

        "#]],
    )
    .await;
}
