//! Many revisions in one reply.

use expect_test::{Expect, expect};

use crate::asked::{ask, check_on, told};
use crate::support::TestServer;

/// `a` with a branch that lost, and an attachment; `gone` deleted.
async fn filled() -> TestServer {
    let server = crate::story::begin().await;
    let requests = [
        r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "a", "v": 1, "_revisions": {"start": 2, "ids": ["b", "a"]}}, {"_id": "a", "v": 2, "_revisions": {"start": 2, "ids": ["c", "a"]}, "_attachments": {"x y": {"content_type": "text/plain", "revpos": 2, "data": "eHg="}, "z": {"content_type": "image/x", "revpos": 1, "data": "eg=="}}}]}"#,
        r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "gone", "_rev": "1-a", "_deleted": true}]}"#,
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
async fn every_item_has_its_entry_in_order() {
    check(
        &[
            r#"POST /d/_bulk_get {"docs": [{"id": "gone", "rev": "1-a"}, {"id": "a", "rev": "2-b"}, {"id": "none", "rev": "1-x"}, {"id": "a", "rev": "2-b"}, {"id": "none"}]}"#,
            r#"POST /d/_bulk_get?revs=true {"docs": [{"id": "a"}, {"id": "gone"}]}"#,
            r#"POST /d/_bulk_get?latest=true {"docs": [{"id": "a", "rev": "1-a"}, {"id": "a", "rev": "1-q"}]}"#,
            r#"POST /d/_bulk_get {"docs": []}"#,
            r#"POST /none/_bulk_get {"docs": []}"#,
        ],
        expect![[r#"
            > POST /d/_bulk_get {"docs": [{"id": "gone", "rev": "1-a"}, {"id": "a", "rev": "2-b"}, {"id": "none", "rev": "1-x"}, {"id": "a", "rev": "2-b"}, {"id": "none"}]}
            200 OK
            {"results":[{"id":"gone","docs":[{"ok":{"_id":"gone","_rev":"1-a","_deleted":true}}]},{"id":"a","docs":[{"ok":{"_id":"a","_rev":"2-b","v":1}}]},{"id":"none","docs":[{"error":{"rev":"1-x","reason":"missing","id":"none","error":"not_found"}}]},{"id":"a","docs":[{"ok":{"_id":"a","_rev":"2-b","v":1}}]},{"id":"none","docs":[{"error":{"rev":"undefined","reason":"missing","id":"none","error":"not_found"}}]}]}

            > POST /d/_bulk_get?revs=true {"docs": [{"id": "a"}, {"id": "gone"}]}
            200 OK
            {"results":[{"id":"a","docs":[{"ok":{"_id":"a","_rev":"2-c","v":2,"_revisions":{"start":2,"ids":["c","a"]},"_attachments":{"x y":{"content_type":"text/plain","revpos":2,"digest":"md5-BxueR53uSIqRqEh6tP9Rdw==","length":2,"stub":true},"z":{"content_type":"image/x","revpos":1,"digest":"md5-+63p42o/NtPWdsG4CEUd1w==","length":1,"stub":true}}}},{"ok":{"_id":"a","_rev":"2-b","v":1,"_revisions":{"start":2,"ids":["b","a"]}}}]},{"id":"gone","docs":[{"ok":{"_id":"gone","_rev":"1-a","_deleted":true,"_revisions":{"start":1,"ids":["a"]}}}]}]}

            > POST /d/_bulk_get?latest=true {"docs": [{"id": "a", "rev": "1-a"}, {"id": "a", "rev": "1-q"}]}
            200 OK
            {"results":[{"id":"a","docs":[{"ok":{"_id":"a","_rev":"2-c","v":2,"_attachments":{"x y":{"content_type":"text/plain","revpos":2,"digest":"md5-BxueR53uSIqRqEh6tP9Rdw==","length":2,"stub":true},"z":{"content_type":"image/x","revpos":1,"digest":"md5-+63p42o/NtPWdsG4CEUd1w==","length":1,"stub":true}}}},{"ok":{"_id":"a","_rev":"2-b","v":1}}]},{"id":"a","docs":[{"error":{"rev":"1-q","reason":"missing","id":"a","error":"not_found"}}]}]}

            > POST /d/_bulk_get {"docs": []}
            200 OK
            {"results":[]}

            > POST /none/_bulk_get {"docs": []}
            404 Not Found
            {"error":"not_found","reason":"Database does not exist."}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_an_item_stands_in_its_entry() {
    check(
        &[
            r#"POST /d/_bulk_get {"docs": [1, {}, {"id": 1}, {"id": "_x"}, {"id": "", "rev": "1-a"}, {"id": "a", "rev": "x"}, {"id": "a", "rev": 1}, {"id": "a", "rev": "2-b", "atts_since": 1}, {"id": "a", "rev": "2-b", "atts_since": ["y"]}, {"id": "_local/x", "rev": "0-1"}, {"id": "_local/x"}, {"id": "a", "rev": null}]}"#,
            r#"POST /d/_bulk_get {}"#,
            r#"POST /d/_bulk_get {"docs": 1}"#,
            r#"POST /d/_bulk_get?rev=1-a {"docs": []}"#,
            "POST /d/_bulk_get\ncontent-type: application/json\n\n[]",
            "POST /d/_bulk_get\n\n{}",
        ],
        expect![[r#"
            > POST /d/_bulk_get {"docs": [1, {}, {"id": 1}, {"id": "_x"}, {"id": "", "rev": "1-a"}, {"id": "a", "rev": "x"}, {"id": "a", "rev": 1}, {"id": "a", "rev": "2-b", "atts_since": 1}, {"id": "a", "rev": "2-b", "atts_since": ["y"]}, {"id": "_local/x", "rev": "0-1"}, {"id": "_local/x"}, {"id": "a", "rev": null}]}
            200 OK
            {"results":[{"id":null,"docs":[{"error":{"rev":null,"reason":"document must be a JSON object","id":null,"error":"bad_request"}}]},{"id":null,"docs":[{"error":{"rev":null,"reason":"document id missed","id":null,"error":"bad_request"}}]},{"id":1,"docs":[{"error":{"rev":null,"reason":"Document id must be a string","id":1,"error":"bad_request"}}]},{"id":"_x","docs":[{"error":{"rev":null,"reason":"Only reserved document ids may start with underscore.","id":"_x","error":"illegal_docid"}}]},{"id":"","docs":[{"error":{"rev":null,"reason":"Document id must not be empty","id":"","error":"illegal_docid"}}]},{"id":"a","docs":[{"error":{"rev":"x","reason":"Invalid rev format","id":"a","error":"bad_request"}}]},{"id":"a","docs":[{"error":{"rev":1,"reason":"Invalid rev format","id":"a","error":"bad_request"}}]},{"id":"a","docs":[{"error":{"rev":1,"reason":"att_since value must be array of revs.","id":"a","error":"bad_request"}}]},{"id":"a","docs":[{"error":{"rev":"y","reason":"Invalid rev format","id":"a","error":"bad_request"}}]},{"id":"_local/x","docs":[{"error":{"rev":"0-1","reason":"Invalid rev format","id":"_local/x","error":"bad_request"}}]},{"id":"_local/x","docs":[{"error":{"rev":"undefined","reason":"missing","id":"_local/x","error":"not_found"}}]},{"id":"a","docs":[{"ok":{"_id":"a","_rev":"2-c","v":2,"_attachments":{"x y":{"content_type":"text/plain","revpos":2,"digest":"md5-BxueR53uSIqRqEh6tP9Rdw==","length":2,"stub":true},"z":{"content_type":"image/x","revpos":1,"digest":"md5-+63p42o/NtPWdsG4CEUd1w==","length":1,"stub":true}}}},{"ok":{"_id":"a","_rev":"2-b","v":1}}]}]}

            > POST /d/_bulk_get {}
            400 Bad Request
            {"error":"bad_request","reason":"Missing JSON list of 'docs'."}

            > POST /d/_bulk_get {"docs": 1}
            400 Bad Request
            {"error":"bad_request","reason":"Missing JSON list of 'docs'."}

            > POST /d/_bulk_get?rev=1-a {"docs": []}
            400 Bad Request
            {"error":"bad_request","reason":"\"rev\" query parameter is not acceptable"}

            > POST /d/_bulk_get
            content-type: application/json

            []
            400 Bad Request
            {"error":"bad_request","reason":"Request body must be a JSON object"}

            > POST /d/_bulk_get

            {}
            415 Unsupported Media Type
            {"error":"bad_content_type","reason":"Content-Type must be application/json"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn attachments_are_sent_where_they_are_newer_than_what_is_known() {
    check(
        &[
            r#"POST /d/_bulk_get?attachments=true {"docs": [{"id": "a", "rev": "2-c"}]}"#,
            r#"POST /d/_bulk_get {"docs": [{"id": "a", "rev": "2-c", "atts_since": ["1-a"]}, {"id": "a", "rev": "2-c", "atts_since": ["1-q"]}, {"id": "a", "rev": "2-c"}]}"#,
            r#"POST /d/_bulk_get?att_encoding_info=true {"docs": [{"id": "a", "rev": "2-c"}]}"#,
        ],
        expect![[r#"
            > POST /d/_bulk_get?attachments=true {"docs": [{"id": "a", "rev": "2-c"}]}
            200 OK
            {"results":[{"id":"a","docs":[{"ok":{"_id":"a","_rev":"2-c","v":2,"_attachments":{"x y":{"content_type":"text/plain","revpos":2,"digest":"md5-BxueR53uSIqRqEh6tP9Rdw==","data":"eHg="},"z":{"content_type":"image/x","revpos":1,"digest":"md5-+63p42o/NtPWdsG4CEUd1w==","data":"eg=="}}}}]}]}

            > POST /d/_bulk_get {"docs": [{"id": "a", "rev": "2-c", "atts_since": ["1-a"]}, {"id": "a", "rev": "2-c", "atts_since": ["1-q"]}, {"id": "a", "rev": "2-c"}]}
            200 OK
            {"results":[{"id":"a","docs":[{"ok":{"_id":"a","_rev":"2-c","v":2,"_attachments":{"x y":{"content_type":"text/plain","revpos":2,"digest":"md5-BxueR53uSIqRqEh6tP9Rdw==","data":"eHg="},"z":{"content_type":"image/x","revpos":1,"digest":"md5-+63p42o/NtPWdsG4CEUd1w==","length":1,"stub":true}}}}]},{"id":"a","docs":[{"ok":{"_id":"a","_rev":"2-c","v":2,"_attachments":{"x y":{"content_type":"text/plain","revpos":2,"digest":"md5-BxueR53uSIqRqEh6tP9Rdw==","data":"eHg="},"z":{"content_type":"image/x","revpos":1,"digest":"md5-+63p42o/NtPWdsG4CEUd1w==","data":"eg=="}}}}]},{"id":"a","docs":[{"ok":{"_id":"a","_rev":"2-c","v":2,"_attachments":{"x y":{"content_type":"text/plain","revpos":2,"digest":"md5-BxueR53uSIqRqEh6tP9Rdw==","length":2,"stub":true},"z":{"content_type":"image/x","revpos":1,"digest":"md5-+63p42o/NtPWdsG4CEUd1w==","length":1,"stub":true}}}}]}]}

            > POST /d/_bulk_get?att_encoding_info=true {"docs": [{"id": "a", "rev": "2-c"}]}
            200 OK
            {"results":[{"id":"a","docs":[{"ok":{"_id":"a","_rev":"2-c","v":2,"_attachments":{"x y":{"content_type":"text/plain","revpos":2,"digest":"md5-BxueR53uSIqRqEh6tP9Rdw==","length":2,"stub":true,"encoding":"gzip","encoded_length":22},"z":{"content_type":"image/x","revpos":1,"digest":"md5-+63p42o/NtPWdsG4CEUd1w==","length":1,"stub":true}}}}]}]}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_client_that_takes_no_json_gets_parts() {
    let server = filled().await;
    let docs = r#"{"docs": [{"id": "a", "rev": "2-c", "atts_since": ["1-a"]}, {"id": "a", "rev": "2-b"}, {"id": "none"}, {"id": "a"}]}"#;
    let request = |accept| {
        format!(
            "POST /d/_bulk_get?revs=true\naccept: {accept}\ncontent-type: application/json\n\n{docs}"
        )
    };
    let mixed = server.send(&request("multipart/mixed")).await;
    expect![[r#"
        multipart/mixed; boundary="3b4a79a517cec22a630bfdb7a6a634a5"
        --3b4a79a517cec22a630bfdb7a6a634a5\r
        X-Doc-Id: a\r
        X-Rev-Id: 2-c\r
        Content-Type: multipart/related; boundary="f1aa2b57dad0bad0ee89af30963784ae"\r
        \r
        --f1aa2b57dad0bad0ee89af30963784ae\r
        Content-Type: application/json\r
        \r
        {"_id":"a","_rev":"2-c","v":2,"_revisions":{"start":2,"ids":["c","a"]},"_attachments":{"x y":{"content_type":"text/plain","revpos":2,"digest":"md5-BxueR53uSIqRqEh6tP9Rdw==","length":2,"follows":true,"encoding":"gzip","encoded_length":22},"z":{"content_type":"image/x","revpos":1,"digest":"md5-+63p42o/NtPWdsG4CEUd1w==","length":1,"stub":true}}}\r
        --f1aa2b57dad0bad0ee89af30963784ae\r
        Content-Disposition: attachment; filename="x y"\r
        Content-Type: text/plain\r
        Content-Length: 22\r
        Content-Encoding: gzip\r
        \r
        \r
        --f1aa2b57dad0bad0ee89af30963784ae--\r
        --3b4a79a517cec22a630bfdb7a6a634a5\r
        Content-Type: application/json\r
        \r
        {"_id":"a","_rev":"2-b","v":1,"_revisions":{"start":2,"ids":["b","a"]}}\r
        --3b4a79a517cec22a630bfdb7a6a634a5\r
        Content-Type: application/json; error="true"\r
        \r
        {"rev":"undefined","reason":"missing","id":"none","error":"not_found"}\r
        --3b4a79a517cec22a630bfdb7a6a634a5\r
        X-Doc-Id: a\r
        X-Rev-Id: 2-c\r
        Content-Type: multipart/related; boundary="f1aa2b57dad0bad0ee89af30963784ae"\r
        \r
        --f1aa2b57dad0bad0ee89af30963784ae\r
        Content-Type: application/json\r
        \r
        {"_id":"a","_rev":"2-c","v":2,"_revisions":{"start":2,"ids":["c","a"]},"_attachments":{"x y":{"content_type":"text/plain","revpos":2,"digest":"md5-BxueR53uSIqRqEh6tP9Rdw==","length":2,"follows":true,"encoding":"gzip","encoded_length":22},"z":{"content_type":"image/x","revpos":1,"digest":"md5-+63p42o/NtPWdsG4CEUd1w==","length":1,"follows":true}}}\r
        --f1aa2b57dad0bad0ee89af30963784ae\r
        Content-Disposition: attachment; filename="x y"\r
        Content-Type: text/plain\r
        Content-Length: 22\r
        Content-Encoding: gzip\r
        \r
        \r
        --f1aa2b57dad0bad0ee89af30963784ae\r
        Content-Disposition: attachment; filename="z"\r
        Content-Type: image/x\r
        Content-Length: 1\r
        \r
        z\r
        --f1aa2b57dad0bad0ee89af30963784ae--\r
        --3b4a79a517cec22a630bfdb7a6a634a5\r
        Content-Type: application/json\r
        \r
        {"_id":"a","_rev":"2-b","v":1,"_revisions":{"start":2,"ids":["b","a"]}}\r
        --3b4a79a517cec22a630bfdb7a6a634a5--"#]].assert_eq(&told_in_parts(mixed).await);
    for (accept, kind) in [
        ("multipart/related", "multipart/related; boundary="),
        ("multipart/mixed, application/json", "application/json"),
        ("*/*", "application/json"),
    ] {
        let reply = server.send(&request(accept)).await;
        let content_type = reply.headers()["content-type"].to_str().unwrap();
        assert!(content_type.starts_with(kind), "{accept}: {content_type}");
    }
    let none = r#"POST /d/_bulk_get
accept: multipart/mixed
content-type: application/json

{"docs":[]}"#;
    expect![[r#"
        multipart/mixed; boundary="ac06f33e6310841f9fb9aad1c5057349"
        --ac06f33e6310841f9fb9aad1c5057349--"#]]
    .assert_eq(&told_in_parts(server.send(none).await).await);
}

async fn told_in_parts(response: axum::response::Response) -> String {
    use http_body_util::BodyExt as _;
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    // Packed attachments are not text.
    let text = String::from_utf8_lossy(&body).replace('\r', "\\r");
    let printable = |character: char| character == '\n' || !character.is_control();
    let text: String = text.chars().filter(|it| printable(*it) && *it != '\u{fffd}').collect();
    format!("{content_type}\n{text}")
}

#[tokio::test]
async fn a_long_question_is_answered_whole() {
    let server = crate::story::begin().await;
    let docs: Vec<_> = (0..1_000)
        .map(|n| format!("{{\"_id\":\"{n}\",\"_rev\":\"1-a\",\"x\":\"{}\"}}", "x".repeat(300)))
        .collect();
    let request =
        format!("POST /d/_bulk_docs {{\"new_edits\":false,\"docs\":[{}]}}", docs.join(","));
    assert_eq!(ask(&server, &request).await.status(), 201);
    let items: Vec<_> = (0..1_000)
        .map(|n| format!("{{\"id\":\"{n}\",\"rev\":\"1-{}\"}}", if n % 7 == 0 { 'b' } else { 'a' }))
        .collect();
    let items = items.join(",");
    let request = format!("POST /d/_bulk_get {{\"docs\":[{items}]}}");
    let reply = told(ask(&server, &request).await).await;
    let (_, json) = reply.split_once('\n').unwrap();
    let reply: serde_json::Value = serde_json::from_str(json).unwrap();
    let results = reply["results"].as_array().unwrap();
    assert_eq!(results.len(), 1_000);
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result["id"], n.to_string());
        assert_eq!(result["docs"][0]["ok"].is_object(), n % 7 != 0);
    }
    let parts = format!(
        "POST /d/_bulk_get\naccept: multipart/mixed\ncontent-type: application/json\n\n{{\"docs\":[{items}]}}"
    );
    let parts = told_in_parts(server.send(&parts).await).await;
    assert_eq!(parts.matches("Content-Type: application/json").count(), 1_000);
}
