//! Requests that become others, by rules and by functions. Rules by themselves are tested beside them.

use expect_test::expect;
use serde_json::json;

use crate::functions::server_with;

#[tokio::test]
async fn rules_lead_to_documents_views_shows_lists_updates_and_attachments() {
    let server = server_with(json!({
        "views": { "v": {"map": "function(doc) { if (doc.n) emit(doc.n, doc._id) }"} },
        "shows": { "s": "function(doc, req) { return {json: [req.requested_path, req.path, req.raw_path, req.query]} }" },
        "updates": { "u": "function(doc, req) { return [{_id: req.id}, 'made ' + req.body] }" },
        "lists": { "l": "function() { var row, keys = []; while (row = getRow()) keys.push(row.key); return keys.join() }" },
        "rewrites": [
            {"from": "", "to": "_list/l/v", "query": {"limit": "1"}},
            {"from": "show/:what", "to": "_show/s", "query": {"what": ":what"}},
            {"from": "up/:id", "to": "_update/u/:id", "method": "PUT"},
            {"from": "list/:a/:b", "to": "_list/l/v", "query": {"startkey": ":a", "endkey": ":b"}, "formats": {"a": "int", "b": "int"}},
            {"from": "db/*", "to": "../../*"},
            {"from": "loop", "to": "_rewrite/loop"},
            {"from": "again/*", "to": "_rewrite/*"},
        ]
    }))
    .await;
    let docs: Vec<_> = (1..=4).map(|n| json!({"_id": format!("d{n}"), "n": n})).collect();
    let body = json!({ "docs": docs });
    server.send(&format!("POST /d/_bulk_docs\ncontent-type: application/json\n\n{body}")).await;
    for (request, expected) in [
        (
            "GET /d/_design/x/_rewrite",
            expect![[r#"
            200 OK
            content-security-policy: sandbox
            content-type: application/json
            x-content-type-options: nosniff

            1"#]],
        ),
        (
            "GET /d/_design/x/_rewrite/show/a%20b?c=d",
            expect![[r#"
                200 OK
                content-type: application/json
                etag: "2U3IICKR3ZSCULAJMDG06F65N"
                vary: Accept

                [["d","_design","x","_rewrite","show","a b"],["d","_design","x","_show","s"],"/d/_design/x/_show/s?what=a%20b&c=d",{"c":"d","what":"a b"}]
            "#]],
        ),
        (
            "PUT /d/_design/x/_rewrite/up/new\n\nthe body",
            expect![[r#"
            201 Created
            content-security-policy: sandbox
            content-type: text/html; charset=utf-8
            x-content-type-options: nosniff
            x-couch-id: new
            x-couch-update-newrev: 1-967a00dff5e02add41819138abb3284d

            made the body"#]],
        ),
        (
            "GET /d/_design/x/_rewrite/up/new",
            expect![[r#"
            404 Not Found
            content-type: application/json

            {"error":"not_found","reason":"missing"}
        "#]],
        ),
        (
            "GET /d/_design/x/_rewrite/list/2/3",
            expect![[r#"
            200 OK
            content-security-policy: sandbox
            content-type: application/json
            x-content-type-options: nosniff

            2,3"#]],
        ),
        (
            "GET /d/_design/x/_rewrite/db/d1",
            expect![[r#"
            200 OK
            content-type: application/json
            etag: "1-731bef401491606a3b246ed178e697c1"

            {"_id":"d1","_rev":"1-731bef401491606a3b246ed178e697c1","n":1}
        "#]],
        ),
        (
            "GET /d/_design/x/_rewrite/again/again/db/d1",
            expect![[r#"
            200 OK
            content-type: application/json
            etag: "1-731bef401491606a3b246ed178e697c1"

            {"_id":"d1","_rev":"1-731bef401491606a3b246ed178e697c1","n":1}
        "#]],
        ),
        (
            "GET /d/_design/x/_rewrite/db/d1/../../../other",
            expect![[r#"
            500 Internal Server Error
            content-type: application/json

            {"error":"insecure_rewrite_rule","reason":"too many ../.. segments"}
        "#]],
        ),
        (
            "GET /d/_design/x/_rewrite/loop",
            expect![[r#"
            400 Bad Request
            content-type: application/json

            {"error":"bad_request","reason":"Exceeded rewrite recursion limit"}
        "#]],
        ),
        (
            "GET /d/_design/x/_rewrite/none",
            expect![[r#"
            404 Not Found
            content-type: application/json

            {"error":"not_found","reason":"missing"}
        "#]],
        ),
    ] {
        server.check(request, expected).await;
    }
}

#[tokio::test]
async fn a_function_leads_anywhere_in_its_database_or_answers_itself() {
    let source = "function(req) { \
        var to = req.path.slice(4); \
        if (to[0] === 'doc') return '../../d1'; \
        if (to[0] === 'put') return {path: '../../made', method: 'PUT', body: '{\"by\":\"function\"}', \
          headers: {'content-type': 'application/json', 'Authorization': 'Basic bm9ib2R5OnB3'}, query: {}}; \
        if (to[0] === 'post') return {path: '../../', query: {batch: 'ok'}}; \
        if (to[0] === 'self') return {code: 203, body: '<b>' + req.method + req.body, headers: {'X-A': 'b'}}; \
        if (to[0] === 'other') return '../../../other'; \
        if (to[0] === 'bad') return {path: 1}; \
        if (to[0] === 'badcode') return {code: 1}; \
        if (to[0] === 'throws') throw new Error('in rewrites'); \
        if (to[0] === 'members') return {code: 200, body: Object.keys(req).join()}; \
      }";
    let server = server_with(json!({ "rewrites": source })).await;
    server.send("PUT /d/d1\n\n{\"n\":1}").await;
    for (request, expected) in [
        (
            "GET /d/_design/x/_rewrite/doc",
            expect![[r#"
            200 OK
            content-type: application/json
            etag: "1-731bef401491606a3b246ed178e697c1"

            {"_id":"d1","_rev":"1-731bef401491606a3b246ed178e697c1","n":1}
        "#]],
        ),
        (
            "GET /d/_design/x/_rewrite/put",
            expect![[r#"
            201 Created
            content-type: application/json
            etag: "1-5d76174fdc900d54b0260346248e04d3"
            location: http://localhost:5984/d/made

            {"ok":true,"id":"made","rev":"1-5d76174fdc900d54b0260346248e04d3"}
        "#]],
        ),
        (
            "GET /d/made",
            expect![[r#"
            200 OK
            content-type: application/json
            etag: "1-5d76174fdc900d54b0260346248e04d3"

            {"_id":"made","_rev":"1-5d76174fdc900d54b0260346248e04d3","by":"function"}
        "#]],
        ),
        (
            "POST /d/_design/x/_rewrite/post\ncontent-type: application/json\n\n{\"_id\":\"posted\"}",
            expect![[r#"
                202 Accepted
                content-type: application/json

                {"ok":true,"id":"posted"}
            "#]],
        ),
        (
            "POST /d/_design/x/_rewrite/self\n\nsent",
            expect![[r#"
            203 Non Authoritative Information
            content-security-policy: sandbox
            content-type: application/json
            x-a: b
            x-content-type-options: nosniff

            <b>POSTsent"#]],
        ),
        (
            "GET /d/_design/x/_rewrite/other",
            expect![[r#"
            500 Internal Server Error
            content-type: application/json

            {"error":"insecure_rewrite_rule","reason":"too many ../.. segments"}
        "#]],
        ),
        (
            "GET /d/_design/x/_rewrite/bad",
            expect![[r#"
            500 Internal Server Error
            content-type: application/json

            {"error":"rewrite_error","reason":"bad path"}
        "#]],
        ),
        (
            "GET /d/_design/x/_rewrite/badcode",
            expect![[r#"
            500 Internal Server Error
            content-type: application/json

            {"error":"rewrite_error","reason":"bad code"}
        "#]],
        ),
        (
            "GET /d/_design/x/_rewrite/members",
            expect![[r#"
            200 OK
            content-security-policy: sandbox
            content-type: application/json
            x-content-type-options: nosniff

            method,requested_path,path,raw_path,query,headers,body,peer,cookie,userCtx,secObj"#]],
        ),
        (
            "GET /d/_design/x/_rewrite/none",
            expect![[r#"
            404 Not Found
            content-type: application/json

            {"error":"rewrite_error","reason":"Invalid path."}
        "#]],
        ),
    ] {
        server.check(request, expected).await;
    }
    let reply = crate::support::text(server.send("GET /d/_design/x/_rewrite/throws").await).await;
    assert!(
        reply.starts_with(
            "{\"error\":\"rewrite_error\",\"reason\":\"function raised error: Error: in rewrites"
        ),
        "{reply}"
    );
}

#[tokio::test]
async fn without_rewrites_there_is_no_path() {
    let server = server_with(json!({})).await;
    server
        .check(
            "GET /d/_design/x/_rewrite/a",
            expect![[r#"
        404 Not Found
        content-type: application/json

        {"error":"rewrite_error","reason":"Invalid path."}
    "#]],
        )
        .await;
}
