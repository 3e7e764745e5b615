//! Documents written together, and one without an address.

use expect_test::expect;

use crate::asked::check;

#[tokio::test]
async fn a_document_is_posted_with_an_id_or_without() {
    check(
        &[
            r#"POST /d {"_id": "a b/ü", "x": 1}"#,
            r#"POST /d {"_id": "a b/ü"}"#,
            r#"POST /d {"x": 1}"#,
            r#"POST /d?batch=ok {"_id": "later"}"#,
            r#"POST /d {"_id": "_local/l", "x": 1}"#,
            r#"POST /d {"_id": "_x"}"#,
            r#"POST /d {"_id": ""}"#,
            r#"POST /d {"_id": "a", "_attachments": {"x": {"stub": true}}}"#,
            r#"POST /d {"_id": "a", "_attachments": {"x": {"data": "eA=="}}}"#,
            r#"POST /d {"_id": "b", "_attachments": {"x": {"follows": true, "length": 1}}}"#,
            "POST /d\n\n{}",
            "POST /none {}",
        ],
        expect![[r#"
            > POST /d {"_id": "a b/ü", "x": 1}
            201 Created
            location: http://localhost:5984/d/a%20b%2F%C3%BC
            {"ok":true,"id":"a b/ü","rev":"1-0785e9eb543380151003dc452c3a001a"}

            > POST /d {"_id": "a b/ü"}
            409 Conflict
            {"error":"conflict","reason":"Document update conflict."}

            > POST /d {"x": 1}
            201 Created
            location: http://localhost:5984/d/630bfdb7a6a634a5f1aa2b57da0007b8
            {"ok":true,"id":"630bfdb7a6a634a5f1aa2b57da0007b8","rev":"1-0785e9eb543380151003dc452c3a001a"}

            > POST /d?batch=ok {"_id": "later"}
            202 Accepted
            {"ok":true,"id":"later"}

            > POST /d {"_id": "_local/l", "x": 1}
            201 Created
            location: http://localhost:5984/d/_local%2Fl
            {"ok":true,"id":"_local/l","rev":"0-1"}

            > POST /d {"_id": "_x"}
            400 Bad Request
            {"error":"illegal_docid","reason":"Only reserved document ids may start with underscore."}

            > POST /d {"_id": ""}
            400 Bad Request
            {"error":"illegal_docid","reason":"Document id must not be empty"}

            > POST /d {"_id": "a", "_attachments": {"x": {"stub": true}}}
            412 Precondition Failed
            {"error":"missing_stub","reason":"Invalid attachment stub for x"}

            > POST /d {"_id": "a", "_attachments": {"x": {"data": "eA=="}}}
            201 Created
            location: http://localhost:5984/d/a
            {"ok":true,"id":"a","rev":"1-17bb6b27f8d905f48dfccb814c70b4a5"}

            > POST /d {"_id": "b", "_attachments": {"x": {"follows": true, "length": 1}}}
            400 Bad Request
            {"error":"bad_request","reason":"attachment x does not follow the document"}

            > POST /d

            {}
            415 Unsupported Media Type
            {"error":"bad_content_type","reason":"Content-Type must be application/json"}

            > POST /none {}
            404 Not Found
            {"error":"not_found","reason":"Database does not exist."}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn each_document_of_a_bulk_has_its_row() {
    check(
        &[
            r#"POST /d/_bulk_docs {"docs": [{"_id": "a", "v": 1}, {"_id": "a", "v": 2}, {"v": 3}, {"_id": "b", "_rev": "1-x"}, {"_id": "gone", "_deleted": true}, {"_id": "_local/l", "x": 1}, {"_id": "_local/l", "_rev": "1-x"}, {"_id": "c", "_rev": "0-1"}, {"_id": "s", "_attachments": {"x": {"stub": true}}}]}"#,
            "GET /d",
            "GET /d/_local/l",
        ],
        expect![[r#"
            > POST /d/_bulk_docs {"docs": [{"_id": "a", "v": 1}, {"_id": "a", "v": 2}, {"v": 3}, {"_id": "b", "_rev": "1-x"}, {"_id": "gone", "_deleted": true}, {"_id": "_local/l", "x": 1}, {"_id": "_local/l", "_rev": "1-x"}, {"_id": "c", "_rev": "0-1"}, {"_id": "s", "_attachments": {"x": {"stub": true}}}]}
            201 Created
            [{"ok":true,"id":"a","rev":"1-7a7e4b29f3af401e69b6f86e4c26b727"},{"id":"a","error":"conflict","reason":"Document update conflict."},{"ok":true,"id":"3b4a79a517cec22a630bfdb7a60002a9","rev":"1-c7a7a74ea67a7e7b62067bb33379fc2b"},{"id":"b","error":"conflict","reason":"Document update conflict."},{"ok":true,"id":"gone","rev":"1-de715bf126efc93d225d9e3f8e8eb81a"},{"ok":true,"id":"_local/l","rev":"0-1"},{"id":"_local/l","error":"conflict","reason":"Document update conflict."},{"id":"c","error":"conflict","reason":"Document update conflict."},{"id":"s","error":"missing_stub","reason":"Invalid attachment stub for x"}]

            > GET /d
            200 OK
            {"instance_start_time":"1795230346","db_name":"d","purge_seq":"0-t","update_seq":"3-t","sizes":{"file":324,"external":16,"active":324},"props":{},"doc_del_count":1,"doc_count":2,"conflict_count":0,"disk_format_version":8,"compact_running":false,"cluster":{"q":1,"n":1,"w":1,"r":1}}

            > GET /d/_local/l
            200 OK
            etag: "8MG7EW2XBG3VX9HSDNE3IX04X"
            {"_id":"_local/l","_rev":"0-1","x":1}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_bulk_that_cannot_be_understood_is_refused_whole() {
    check(
        &[
            r#"POST /d/_bulk_docs {"docs": [{"_id": "a"}, {"_id": "_b"}]}"#,
            r#"POST /d/_bulk_docs {"docs": [{"_id": "a"}, {"_x": 1}]}"#,
            r#"POST /d/_bulk_docs {"docs": [{"_id": "a"}, 1]}"#,
            r#"POST /d/_bulk_docs {"docs": [{"_id": "a"}, {"x": 1, "x": 2}]}"#,
            r#"POST /d/_bulk_docs {"docs": [{"_id": "a"}], "new_edits": 1}"#,
            r#"POST /d/_bulk_docs {"docs": [{"_id": "a"}, {"_id": "b", "_attachments": {"x": {"data": "?"}}}]}"#,
            r#"POST /d/_bulk_docs {"docs": [{"_id": "a"}]"#,
            "GET /d/a",
        ],
        expect![[r#"
            > POST /d/_bulk_docs {"docs": [{"_id": "a"}, {"_id": "_b"}]}
            400 Bad Request
            {"error":"illegal_docid","reason":"Only reserved document ids may start with underscore."}

            > POST /d/_bulk_docs {"docs": [{"_id": "a"}, {"_x": 1}]}
            400 Bad Request
            {"error":"doc_validation","reason":"Bad special document member: _x"}

            > POST /d/_bulk_docs {"docs": [{"_id": "a"}, 1]}
            400 Bad Request
            {"error":"bad_request","reason":"Document must be a JSON object"}

            > POST /d/_bulk_docs {"docs": [{"_id": "a"}, {"x": 1, "x": 2}]}
            400 Bad Request
            {"error":"bad_request","reason":"a second member \"x\" in one object at byte 33"}

            > POST /d/_bulk_docs {"docs": [{"_id": "a"}], "new_edits": 1}
            400 Bad Request
            {"error":"bad_request","reason":"`new_edits` parameter must be a boolean."}

            > POST /d/_bulk_docs {"docs": [{"_id": "a"}, {"_id": "b", "_attachments": {"x": {"data": "?"}}}]}
            400 Bad Request
            {"error":"bad_request","reason":"Invalid attachment data for x"}

            > POST /d/_bulk_docs {"docs": [{"_id": "a"}]
            400 Bad Request
            {"error":"bad_request","reason":"invalid UTF-8 JSON"}

            > GET /d/a
            404 Not Found
            {"error":"not_found","reason":"missing"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn all_or_nothing_is_kept() {
    check(
        &[
            r#"PUT /d/a {}"#,
            r#"POST /d/_bulk_docs {"all_or_nothing": true, "docs": [{"_id": "b"}, {"_id": "a"}, {"_id": "c"}]}"#,
            r#"POST /d/_bulk_docs {"all_or_nothing": true, "docs": [{"_id": "b"}, {"_id": "c", "_rev": "0-1"}]}"#,
            r#"POST /d/_bulk_docs {"all_or_nothing": true, "docs": [{"_id": "b"}, {"_id": "_local/c"}]}"#,
            "GET /d/b",
            r#"POST /d/_bulk_docs {"all_or_nothing": true, "docs": [{"_id": "b"}, {"_id": "c"}]}"#,
        ],
        expect![[r#"
            > PUT /d/a {}
            201 Created
            etag: "1-967a00dff5e02add41819138abb3284d"
            location: http://localhost:5984/d/a
            {"ok":true,"id":"a","rev":"1-967a00dff5e02add41819138abb3284d"}

            > POST /d/_bulk_docs {"all_or_nothing": true, "docs": [{"_id": "b"}, {"_id": "a"}, {"_id": "c"}]}
            417 Expectation Failed
            [{"id":"a","error":"conflict","reason":"Document update conflict."}]

            > POST /d/_bulk_docs {"all_or_nothing": true, "docs": [{"_id": "b"}, {"_id": "c", "_rev": "0-1"}]}
            417 Expectation Failed
            [{"id":"c","error":"conflict","reason":"Document update conflict."}]

            > POST /d/_bulk_docs {"all_or_nothing": true, "docs": [{"_id": "b"}, {"_id": "_local/c"}]}
            400 Bad Request
            {"error":"bad_request","reason":"local documents cannot be part of an `all_or_nothing` request"}

            > GET /d/b
            404 Not Found
            {"error":"not_found","reason":"missing"}

            > POST /d/_bulk_docs {"all_or_nothing": true, "docs": [{"_id": "b"}, {"_id": "c"}]}
            201 Created
            [{"ok":true,"id":"b","rev":"1-967a00dff5e02add41819138abb3284d"},{"ok":true,"id":"c","rev":"1-967a00dff5e02add41819138abb3284d"}]

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_long_bulk_is_parsed_aside_and_answered_alike() {
    let long = "x".repeat(2_000_000);
    let request = format!(
        r#"POST /d/_bulk_docs {{"docs": [{{"_id": "a", "x": "{long}"}}, {{"_id": "b"}}]}}"#
    );
    let server = crate::story::begin().await;
    let reply = crate::asked::told(crate::asked::ask(&server, &request).await).await;
    expect![[r#"
        201 Created
        [{"ok":true,"id":"a","rev":"1-fd31b24060e391d81f39cbcd2ec4f147"},{"ok":true,"id":"b","rev":"1-967a00dff5e02add41819138abb3284d"}]
    "#]].assert_eq(&reply);
}

#[tokio::test]
async fn ids_of_a_partitioned_database_name_their_partition() {
    check(
        &[
            "PUT /p?partitioned=true",
            r#"PUT /p/a:b {}"#,
            r#"PUT /p/a {}"#,
            r#"PUT /p/:a {}"#,
            r#"PUT /p/a:_b {}"#,
            r#"PUT /p/a?new_edits=false {"_rev": "1-a"}"#,
            r#"POST /p {"n": 1}"#,
            r#"POST /p/_bulk_docs {"docs": [{"_id": "c:d"}, {"_id": "c"}]}"#,
            r#"POST /p/_bulk_docs {"docs": [{"_id": "c:d"}, {"_id": "_design/x"}, {"_id": "_local/x"}]}"#,
            "PUT /p/a/file\n\ntext",
            "GET /p/a",
        ],
        expect![[r#"
            > PUT /p?partitioned=true
            201 Created
            location: http://localhost:5984/p
            {"ok":true}

            > PUT /p/a:b {}
            201 Created
            etag: "1-967a00dff5e02add41819138abb3284d"
            location: http://localhost:5984/p/a:b
            {"ok":true,"id":"a:b","rev":"1-967a00dff5e02add41819138abb3284d"}

            > PUT /p/a {}
            400 Bad Request
            {"error":"illegal_docid","reason":"Doc id must be of form partition:id"}

            > PUT /p/:a {}
            400 Bad Request
            {"error":"illegal_partition","reason":"Partition must not be empty"}

            > PUT /p/a:_b {}
            400 Bad Request
            {"error":"illegal_docid","reason":"Only reserved document ids may start with underscore."}

            > PUT /p/a?new_edits=false {"_rev": "1-a"}
            400 Bad Request
            {"error":"illegal_docid","reason":"Doc id must be of form partition:id"}

            > POST /p {"n": 1}
            400 Bad Request
            {"error":"illegal_docid","reason":"Doc id must be of form partition:id"}

            > POST /p/_bulk_docs {"docs": [{"_id": "c:d"}, {"_id": "c"}]}
            400 Bad Request
            {"error":"illegal_docid","reason":"Doc id must be of form partition:id"}

            > POST /p/_bulk_docs {"docs": [{"_id": "c:d"}, {"_id": "_design/x"}, {"_id": "_local/x"}]}
            201 Created
            [{"ok":true,"id":"c:d","rev":"1-967a00dff5e02add41819138abb3284d"},{"ok":true,"id":"_design/x","rev":"1-967a00dff5e02add41819138abb3284d"},{"ok":true,"id":"_local/x","rev":"0-1"}]

            > PUT /p/a/file

            text
            400 Bad Request
            {"error":"illegal_docid","reason":"Doc id must be of form partition:id"}

            > GET /p/a
            404 Not Found
            {"error":"not_found","reason":"missing"}

        "#]],
    )
    .await;
}
