//! Update, show and list functions.

use std::fmt::Write as _;

use expect_test::expect;
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{TestServer, text, whole};

/// A database `d` whose `_design/x` is this.
pub(crate) async fn server_with(design: Value) -> TestServer {
    let server = TestServer::new().await;
    for request in ["PUT /d".to_owned(), format!("PUT /d/_design/x\n\n{design}")] {
        let reply = server.send(&request).await;
        assert_eq!(reply.status(), StatusCode::CREATED, "{}", text(reply).await);
    }
    server
}

#[tokio::test]
async fn an_update_stores_the_document_and_answers_as_its_function_says() {
    let server = server_with(json!({ "updates": {
        "make": "function(doc, req) { return [{_id: req.id || 'made', was: doc && doc.n, body: req.body}, 'done'] }",
        "count": "function(doc, req) { doc.n = (doc.n || 0) + 1; \
                   return [doc, {code: 202, json: doc._revisions.ids.length, headers: {'X-A': 'b'}}] }",
        "nothing": "function(doc, req) { return [null, {json: {id: req.id, method: req.method}}] }",
    }}))
    .await;
    server
        .check(
            "POST /d/_design/x/_update/make\n\nsome text",
            expect![[r#"
        201 Created
        content-security-policy: sandbox
        content-type: text/html; charset=utf-8
        x-content-type-options: nosniff
        x-couch-id: made
        x-couch-update-newrev: 1-0830ba3e5af944a9107057da364b1590

        done"#]],
        )
        .await;
    server
        .check(
            "GET /d/made",
            expect![[r#"
        200 OK
        content-type: application/json
        etag: "1-0830ba3e5af944a9107057da364b1590"

        {"_id":"made","_rev":"1-0830ba3e5af944a9107057da364b1590","was":null,"body":"some text"}
    "#]],
        )
        .await;
    server
        .check(
            "PUT /d/_design/x/_update/make/a/b%2Fc",
            expect![[r#"
        201 Created
        content-security-policy: sandbox
        content-type: text/html; charset=utf-8
        x-content-type-options: nosniff
        x-couch-id: a%2Fb%2Fc
        x-couch-update-newrev: 1-75bb235a4b3d4546cd947a97695364a0

        done"#]],
        )
        .await;
    server
        .check(
            "GET /d/a%2Fb%2Fc",
            expect![[r#"
        200 OK
        content-type: application/json
        etag: "1-75bb235a4b3d4546cd947a97695364a0"

        {"_id":"a/b/c","_rev":"1-75bb235a4b3d4546cd947a97695364a0","was":null,"body":"undefined"}
    "#]],
        )
        .await;
    server
        .check(
            "PUT /d/_design/x/_update/count/made",
            expect![[r#"
        202 Accepted
        content-type: application/json
        x-a: b
        x-couch-id: made
        x-couch-update-newrev: 2-a14f2fbff4422ec58749a74fa344bd73

        1
    "#]],
        )
        .await;
    server
        .check(
            "POST /d/_design/x/_update/count/made",
            expect![[r#"
        202 Accepted
        content-type: application/json
        x-a: b
        x-couch-id: made
        x-couch-update-newrev: 3-bd228d424500cf4caf52c6fa8f268789

        2
    "#]],
        )
        .await;
    server.check("GET /d/made", expect![[r#"
        200 OK
        content-type: application/json
        etag: "3-bd228d424500cf4caf52c6fa8f268789"

        {"_id":"made","_rev":"3-bd228d424500cf4caf52c6fa8f268789","was":null,"body":"some text","n":2}
    "#]]).await;
    server
        .check(
            "DELETE /d/_design/x/_update/nothing/z",
            expect![[r#"
        200 OK
        content-type: application/json

        {"id":"z","method":"DELETE"}
    "#]],
        )
        .await;
    server
        .check(
            "GET /d/_design/x/_update/make",
            expect![[r#"
        405 Method Not Allowed
        allow: POST,PUT,DELETE
        content-type: application/json

        {"error":"method_not_allowed","reason":"Only POST,PUT,DELETE allowed"}
    "#]],
        )
        .await;
    server
        .check(
            "POST /d/_design/x/_update/none",
            expect![[r#"
        404 Not Found
        content-type: application/json

        {"error":"not_found","reason":"missing json key: none"}
    "#]],
        )
        .await;
    server
        .check(
            "POST /d/_design/x/_show/none",
            expect![[r#"
        404 Not Found
        content-type: application/json

        {"error":"not_found","reason":"missing json key: shows"}
    "#]],
        )
        .await;
    server
        .check(
            "POST /d/_design/none/_update/make",
            expect![[r#"
        404 Not Found
        content-type: application/json

        {"error":"not_found","reason":"missing"}
    "#]],
        )
        .await;
}

#[tokio::test]
async fn an_update_that_cannot_be_stored_says_why() {
    let server = server_with(json!({ "updates": {
        "conflict": "function(doc, req) { return [{_id: 'x', _rev: '1-967a00dff5e02add41819138abb3284d'}, ''] }",
        "anonymous": "function(doc, req) { return [{a: 1}, ''] }",
        "underscore": "function(doc, req) { return [{_id: 'x', _what: 1}, ''] }",
        "throws": "function(doc, req) { throw ['error', 'forbidden', 'not you'] }",
        "gone": "function(doc, req) { throw {error: 'gone', reason: 'was here'} }",
        "mine": "function(doc, req) { throw {error: 'mine', reason: 'so'} }",
        "mistake": "function(doc, req) { return doc.a.b }",
        "wrong": "function(doc, req) { return [null, {what: 1}] }",
        "code": "function(doc, req) { return [null, {code: 7}] }",
        "syntax": "function(doc, req) {",
    }}))
    .await;
    let mut seen = String::new();
    for name in [
        "conflict",
        "anonymous",
        "underscore",
        "throws",
        "gone",
        "mine",
        "mistake",
        "wrong",
        "code",
        "syntax",
    ] {
        let reply = server.send(&format!("POST /d/_design/x/_update/{name}")).await;
        let status = reply.status().as_u16();
        let body = text(reply).await;
        let body = body.split("\\nstacktrace").next().unwrap();
        writeln!(seen, "{name}: {status} {}", body.trim()).unwrap();
    }
    expect![[r#"
        conflict: 409 {"error":"conflict","reason":"Document update conflict."}
        anonymous: 400 {"error":"illegal_docid","reason":"Document id must not be empty"}
        underscore: 400 {"error":"doc_validation","reason":"Bad special document member: _what"}
        throws: 403 {"error":"forbidden","reason":"not you"}
        gone: 410 {"error":"gone","reason":"was here"}
        mine: 500 {"error":"mine","reason":"so"}
        mistake: 500 {"error":"render_error","reason":"function raised error: TypeError: cannot read property 'a' of null
        wrong: 500 {"error":"external_response_error","reason":"Invalid data from external server: {\"what\",1}"}
        code: 500 {"error":"external_response_error","reason":"Invalid data from external server: {\"code\",7}"}
        syntax: 400 {"error":"compilation_error","reason":"SyntaxError: unexpected token in expression: ')' (function(doc, req) {)"}
    "#]].assert_eq(&seen);
}

#[tokio::test]
async fn functions_see_the_request_without_credentials() {
    let server = server_with(json!({ "updates": {
        "request": "function(doc, req) { delete req.uuid; delete req.info.update_seq; delete req.info.sizes; \
                     delete req.info.instance_start_time; delete req.info.purge_seq; return [null, {json: req}] }",
    }}))
    .await;
    let request = "POST /d/_design/x/_update/request/a%2Fb?q=1&key=[1]\n\
                   content-type: application/x-www-form-urlencoded\n\
                   cookie: other=secret\n\
                   x-auth-couchdb-token: secret\n\n\
                   name=ada+l&b=%26";
    let reply = server.send(request).await;
    let body = text(reply).await;
    assert!(!body.contains("secret") && !body.contains("YWRtaW46cHc"), "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    expect![[r#"
        {
          "body": "name=ada+l&b=%26",
          "cookie": {},
          "form": {
            "b": "&",
            "name": "ada l"
          },
          "headers": {
            "Content-Type": "application/x-www-form-urlencoded",
            "Host": "localhost:5984"
          },
          "id": "a/b",
          "info": {
            "cluster": {
              "n": 1,
              "q": 1,
              "r": 1,
              "w": 1
            },
            "compact_running": false,
            "conflict_count": 0,
            "db_name": "d",
            "disk_format_version": 8,
            "doc_count": 1,
            "doc_del_count": 0,
            "props": {}
          },
          "method": "POST",
          "path": [
            "d",
            "_design",
            "x",
            "_update",
            "request",
            "a/b"
          ],
          "peer": "127.0.0.1",
          "query": {
            "key": [
              1
            ],
            "q": "1"
          },
          "raw_path": "/d/_design/x/_update/request/a%2Fb?q=1&key=[1]",
          "requested_path": [
            "d",
            "_design",
            "x",
            "_update",
            "request",
            "a/b"
          ],
          "secObj": {
            "admins": {
              "roles": [
                "_admin"
              ]
            },
            "members": {
              "roles": [
                "_admin"
              ]
            }
          },
          "userCtx": {
            "db": "d",
            "name": "admin",
            "roles": [
              "_admin"
            ]
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&body).unwrap());
}

#[tokio::test]
async fn a_show_answers_with_any_type_behind_a_sandbox() {
    let server = server_with(json!({ "shows": {
        "html": "function(doc, req) { return '<b>' + (doc ? doc._id : 'none') + '</b>' }",
        "json": "function(doc, req) { return {json: {big: 1e3, doc: doc}} }",
        "script": "function(doc, req) { return {json: '<script>', headers: {'Content-Type': 'text/html'}} }",
        "image": "function(doc, req) { return {base64: 'aGVsbG8=', headers: {'Content-Type': 'image/png', 'Content-Length': 99}} }",
        "moved": "function(doc, req) { return {code: 302, headers: {Location: '/d', 'Set-Cookie': 'AuthSession=x'}} }",
        "types": "function(doc, req) { provides('html', function () { return '<p>' }); provides('xml', function () { return '<x/>' }) }",
    }}))
    .await;
    server.send("PUT /d/a\n\n{\"n\":1}").await;
    for (request, expected) in [
        (
            "GET /d/_design/x/_show/html",
            expect![[r#"
            200 OK
            content-security-policy: sandbox
            content-type: text/html; charset=utf-8
            etag: "A95Y5JJ6Y1OYDELVMFQTKWQ73"
            vary: Accept
            x-content-type-options: nosniff

            <b>none</b>"#]],
        ),
        (
            "GET /d/_design/x/_show/html/a",
            expect![[r#"
            200 OK
            content-security-policy: sandbox
            content-type: text/html; charset=utf-8
            etag: "3440VPVKYT60SD8ERQMQ6R05K"
            vary: Accept
            x-content-type-options: nosniff

            <b>a</b>"#]],
        ),
        (
            "GET /d/_design/x/_show/html/missing",
            expect![[r#"
            200 OK
            content-security-policy: sandbox
            content-type: text/html; charset=utf-8
            etag: "A95Y5JJ6Y1OYDELVMFQTKWQ73"
            vary: Accept
            x-content-type-options: nosniff

            <b>none</b>"#]],
        ),
        (
            "POST /d/_design/x/_show/json/a",
            expect![[r#"
            200 OK
            content-type: application/json
            etag: "3440VPVKYT60SD8ERQMQ6R05K"
            vary: Accept

            {"big":1000,"doc":{"_id":"a","_rev":"1-731bef401491606a3b246ed178e697c1","n":1,"_revisions":{"start":1,"ids":["731bef401491606a3b246ed178e697c1"]}}}
        "#]],
        ),
        (
            "GET /d/_design/x/_show/script",
            expect![[r#"
            200 OK
            content-security-policy: sandbox
            content-type: text/html
            etag: "A95Y5JJ6Y1OYDELVMFQTKWQ73"
            vary: Accept
            x-content-type-options: nosniff

            "<script>"
        "#]],
        ),
        (
            "GET /d/_design/x/_show/image",
            expect![[r#"
            200 OK
            content-security-policy: sandbox
            content-type: image/png
            etag: "A95Y5JJ6Y1OYDELVMFQTKWQ73"
            vary: Accept
            x-content-type-options: nosniff

            hello"#]],
        ),
        (
            "GET /d/_design/x/_show/moved",
            expect![[r#"
            302 Found
            content-security-policy: sandbox
            content-type: application/json
            etag: "A95Y5JJ6Y1OYDELVMFQTKWQ73"
            location: /d
            vary: Accept
            x-content-type-options: nosniff

        "#]],
        ),
        (
            "GET /d/_design/x/_show/types\naccept: application/xml",
            expect![[r#"
            200 OK
            content-security-policy: sandbox
            content-type: application/xml
            etag: "749AIVSRSR68HGTA24VOBOPS1"
            vary: Accept
            x-content-type-options: nosniff

            <x/>"#]],
        ),
        (
            "GET /d/_design/x/_show/types\naccept: image/png",
            expect![[r#"
            406 Not Acceptable
            content-type: application/json

            {"error":"not_acceptable","reason":"Content-Type image/png not supported, try one of: application/xml, text/xml, application/x-xml, text/html; charset=utf-8"}
        "#]],
        ),
        (
            "GET /d/_design/x/_show/types?format=xml",
            expect![[r#"
            200 OK
            content-security-policy: sandbox
            content-type: application/xml
            etag: "A95Y5JJ6Y1OYDELVMFQTKWQ73"
            vary: Accept
            x-content-type-options: nosniff

            <x/>"#]],
        ),
        (
            "GET /d/_design/x/_show/none",
            expect![[r#"
            404 Not Found
            content-type: application/json

            {"error":"not_found","reason":"missing json key: none"}
        "#]],
        ),
    ] {
        server.check(request, expected).await;
    }
}

#[tokio::test]
async fn a_show_is_not_run_again_for_who_has_it() {
    let server =
        server_with(json!({ "shows": { "s": "function(doc, req) { return doc.n + '' }" }})).await;
    server.send("PUT /d/a\n\n{\"n\":1}").await;
    let etag =
        |reply: &axum::response::Response| reply.headers()["etag"].to_str().unwrap().to_owned();
    let first = etag(&server.send("GET /d/_design/x/_show/s/a").await);
    let again = server.send(&format!("GET /d/_design/x/_show/s/a\nif-none-match: {first}")).await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    let other = format!("GET /d/_design/x/_show/s/a\nif-none-match: {first}\naccept: text/html");
    assert_eq!(server.send(&other).await.status(), StatusCode::OK);
    let rev = "1-7a7e4b29f3af401e69b6f86e4c26b727";
    server.send(&format!("PUT /d/a?rev={rev}\n\n{{\"n\":2}}")).await;
    server.send("POST /d/_bulk_docs\ncontent-type: application/json\n\n{\"docs\":[{\"_id\":\"a\",\"_rev\":\"2-aa\",\"n\":3}],\"new_edits\":false}").await;
    let changed = server.send(&format!("GET /d/_design/x/_show/s/a\nif-none-match: {first}")).await;
    assert_eq!(changed.status(), StatusCode::OK);
    assert_ne!(etag(&changed), first);
}

#[tokio::test]
async fn a_list_makes_something_else_of_the_rows_of_a_view() {
    let server = server_with(json!({
        "views": {
            "v": {"map": "function(doc) { if (doc.n) emit(doc.n, doc._id) }", "reduce": "_sum"},
        },
        "lists": {
            "keys": "function(head, req) { start({headers: {'Content-Type': 'text/plain', 'X-Total': head.total_rows}}); \
                      var row; while (row = getRow()) send(row.key + (row.doc ? row.doc._id : '') + ';'); return req.query.end }",
            "late": "function(head, req) { getRow(); start({code: 201}); send('x'); }",
            "none": "function(head, req) {}",
            "throws": "function(head, req) { throw {error: 'forbidden', reason: 'no list'} }",
            "type": "function(head, req) { provides('html', function () { return '<p>' }) }",
            "body": "function(head, req) { return toJSON(req.body) }",
        }
    }))
    .await;
    let docs: Vec<_> = (1..=3).map(|n| json!({"_id": format!("d{n}"), "n": n})).collect();
    let body = json!({ "docs": docs });
    server.send(&format!("POST /d/_bulk_docs\ncontent-type: application/json\n\n{body}")).await;
    for (request, expected) in [
        (
            "GET /d/_design/x/_list/keys/v?reduce=false&end=e",
            expect![[r#"
            200 OK
            content-security-policy: sandbox
            content-type: text/plain
            x-content-type-options: nosniff
            x-total: 3

            1;2;3;e"#]],
        ),
        (
            "GET /d/_design/x/_list/keys/v?reduce=false&descending=true&limit=2&include_docs=true",
            expect![[r#"
                200 OK
                content-security-policy: sandbox
                content-type: text/plain
                x-content-type-options: nosniff
                x-total: 3

                3d3;2d2;"#]],
        ),
        (
            "GET /d/_design/x/_list/keys/v?group=true",
            expect![[r#"
            200 OK
            content-security-policy: sandbox
            content-type: text/plain
            x-content-type-options: nosniff

            1;2;3;"#]],
        ),
        (
            "GET /d/_design/x/_list/keys/x/v?reduce=false&key=2",
            expect![[r#"
            200 OK
            content-security-policy: sandbox
            content-type: text/plain
            x-content-type-options: nosniff
            x-total: 3

            2;"#]],
        ),
        (
            "GET /d/_design/x/_list/keys/_all_docs?startkey=\"d2\"",
            expect![[r#"
            200 OK
            content-security-policy: sandbox
            content-type: text/plain
            x-content-type-options: nosniff
            x-total: 4

            d2;d3;"#]],
        ),
        (
            "POST /d/_design/x/_list/keys/v?reduce=false\ncontent-type: application/json\n\n{\"keys\":[3,1]}",
            expect![[r#"
                200 OK
                content-security-policy: sandbox
                content-type: text/plain
                x-content-type-options: nosniff
                x-total: 3

                3;1;"#]],
        ),
        (
            "POST /d/_design/x/_list/body/v?reduce=false\ncontent-type: application/json\n\n{\"keys\":[3,1],\"a\":1}",
            expect![[r#"
                200 OK
                content-security-policy: sandbox
                content-type: application/json
                x-content-type-options: nosniff

                {"keys":[3,1],"a":1}"#]],
        ),
        (
            "POST /d/_design/x/_list/keys/v\n\n{\"keys\":[3,1]}",
            expect![[r#"
            415 Unsupported Media Type
            content-type: application/json

            {"error":"bad_content_type","reason":"Content-Type must be application/json"}
        "#]],
        ),
        (
            "GET /d/_design/x/_list/late/v?reduce=false",
            expect![[r#"
            201 Created
            content-security-policy: sandbox
            content-type: application/json
            x-content-type-options: nosniff

            x"#]],
        ),
        (
            "GET /d/_design/x/_list/none/v?reduce=false",
            expect![[r#"
            200 OK
            content-security-policy: sandbox
            content-type: application/json
            x-content-type-options: nosniff

        "#]],
        ),
        (
            "GET /d/_design/x/_list/throws/v?reduce=false",
            expect![[r#"
            403 Forbidden
            content-type: application/json

            {"error":"forbidden","reason":"no list"}
        "#]],
        ),
        (
            "GET /d/_design/x/_list/type/v?reduce=false\naccept: text/html",
            expect![[r#"
            200 OK
            content-security-policy: sandbox
            content-type: text/html; charset=utf-8
            x-content-type-options: nosniff

            <p>"#]],
        ),
        (
            "GET /d/_design/x/_list/type/v?reduce=false\naccept: image/png",
            expect![[r#"
            406 Not Acceptable
            content-type: application/json

            {"error":"not_acceptable","reason":"Content-Type image/png not supported, try one of: text/html; charset=utf-8"}
        "#]],
        ),
        (
            "GET /d/_design/x/_list/missing/v",
            expect![[r#"
            404 Not Found
            content-type: application/json

            {"error":"not_found","reason":"missing json key: missing"}
        "#]],
        ),
        (
            "GET /d/_design/x/_list/keys/missing",
            expect![[r#"
            404 Not Found
            content-type: application/json

            {"error":"not_found","reason":"missing_named_view"}
        "#]],
        ),
        (
            "GET /d/_design/x/_list/keys/v?limit=x",
            expect![[r#"
            400 Bad Request
            content-type: application/json

            {"error":"query_parse_error","reason":"Invalid value for integer: \"x\""}
        "#]],
        ),
    ] {
        let request = request.replace('"', "%22").replace("\n\n{%22", "\n\n{\"");
        let (head, body) = request.split_once("\n\n").unwrap_or((&request, ""));
        let request = if body.is_empty() {
            head.to_owned()
        } else {
            format!("{head}\n\n{}", body.replace("%22", "\""))
        };
        server.check(&request, expected).await;
    }
}

#[tokio::test]
async fn a_list_of_many_rows_is_sent_while_it_is_read() {
    let server = server_with(json!({
        "views": { "v": {"map": "function(doc) { emit(doc._id, 'x'.repeat(100)) }"} },
        "lists": { "l": "function(head, req) { var row, n = 0; while (row = getRow()) { n += 1; send(row.value) } return '' + n }" }
    }))
    .await;
    let docs: Vec<_> = (0..3_000).map(|n| json!({"_id": format!("d{n:05}")})).collect();
    let body = json!({ "docs": docs });
    server.send(&format!("POST /d/_bulk_docs\ncontent-type: application/json\n\n{body}")).await;
    let reply = text(server.send("GET /d/_design/x/_list/l/v").await).await;
    assert_eq!(reply.len(), 300_004);
    assert!(reply.ends_with("x3000"));
}

#[tokio::test]
async fn functions_in_another_language_are_refused() {
    let server =
        server_with(json!({ "language": "erlang", "shows": { "s": "fun() -> ok end." } })).await;
    server
        .check(
            "GET /d/_design/x/_show/s",
            expect![[r#"
        500 Internal Server Error
        content-type: application/json

        {"error":"unknown_query_language","reason":"unknown query language \"erlang\""}
    "#]],
        )
        .await;
    // CouchDB's headers of functions are those of nobody else.
    let reply = whole(server.send("GET /d/_design/x/_show/s").await).await;
    assert!(reply.contains("cache-control: must-revalidate"), "{reply}");
}
