//! `Idempotency-Key`: writes that are sent again are answered the same, and made once.

use expect_test::expect;

use crate::{
    asked::{check, told},
    story::begin,
    support::TestServer,
};

/// A request with a key, as `asked::ask` has them otherwise.
fn keyed(key: &str, request: &str) -> String {
    let (line, body) = match request.split_once(" {") {
        Some((line, body)) => (line, format!("{{{body}")),
        None => (request, String::new()),
    };
    let mut lines = line.lines();
    let first = lines.next().unwrap();
    let headers: String = lines.map(|header| format!("{header}\n")).collect();
    let kind = if body.starts_with('{') { "content-type: application/json\n" } else { "" };
    format!("{first}\nidempotency-key: \"{key}\"\n{kind}{headers}\n{body}")
}

async fn send(server: &TestServer, key: &str, request: &str) -> String {
    told(server.send(&keyed(key, request)).await).await
}

/// Sends each request twice; both replies must be equal, and the second must change nothing.
async fn check_twice(requests: &[&str]) {
    let server = begin().await;
    let mut revs: std::collections::BTreeMap<String, String> = std::collections::BTreeMap::new();
    for (at, request) in requests.iter().enumerate() {
        let mut request = (*request).to_owned();
        for (name, rev) in &revs {
            request = request.replace(&format!("REV({name})"), rev);
        }
        let first = send(&server, &at.to_string(), &request).await;
        let before = told(server.send("GET /d/_changes").await).await;
        let again = send(&server, &at.to_string(), &request).await;
        assert_eq!(first, again, "{request}");
        assert!(!first.starts_with('5'), "{request} {first}");
        assert_eq!(before, told(server.send("GET /d/_changes").await).await, "{request}");
        for row in first.split("\"id\":\"").skip(1) {
            let id = row.split('"').next().unwrap();
            if let Some(rev) = row.split("\"rev\":\"").nth(1) {
                revs.insert(id.to_owned(), rev.split('"').next().unwrap().to_owned());
            }
        }
    }
}

#[tokio::test]
async fn every_way_to_write_documents_is_answered_the_same() {
    check_twice(&[
        r#"PUT /d/a {"n":1}"#,
        r#"PUT /d/a?rev=REV(a) {"n":2}"#,
        r#"PUT /d/a {"n":3}"#,
        r#"POST /d {"n":1}"#,
        r#"POST /d {"_id":"p"}"#,
        "COPY /d/a\ndestination: copied",
        "PUT /d/a/file?rev=REV(a)\n\ntext",
        "DELETE /d/a/file?rev=REV(a)",
        "DELETE /d/p?rev=REV(p)",
        "DELETE /d/p",
        r#"POST /d/_bulk_docs {"docs":[{"_id":"a"},{"_id":"b"},{}]}"#,
        r#"POST /d/_bulk_docs {"all_or_nothing":true,"docs":[{"_id":"a"},{"_id":"c"}]}"#,
        r#"POST /d/_bulk_docs {"all_or_nothing":true,"docs":[{"_id":"c"},{"_id":"d"}]}"#,
        r#"POST /d/_bulk_docs {"new_edits":false,"docs":[{"_id":"e","_rev":"2-a"},{"_id":"e","_rev":"2-b"}]}"#,
        r#"POST /d/e/_resolve {"keep":"2-a"}"#,
        r#"PUT /d/_design/u {"updates":{"f":"function(doc, req) { return [{_id: 'made', n: 1}, {body: 'made', headers: {'x-own': '1'}}]; }"}}"#,
        r#"POST /d/_design/u/_update/f"#,
    ])
    .await;
}

#[tokio::test]
async fn what_a_validator_refused_is_remembered_and_what_nobody_decided_is_not() {
    let server = begin().await;
    let design = r#"PUT /d/_design/v {"validate_doc_update": "function(n, o, u, s) { if (n.bad) throw({forbidden: 'no'}); if (n.alone) throw({unauthorized: 'who'}); }"}"#;
    assert!(send(&server, "v", design).await.starts_with("201"));
    let refused = send(&server, "1", r#"PUT /d/a {"bad":1}"#).await;
    let alone = send(&server, "2", r#"PUT /d/a {"alone":1}"#).await;
    let bulk = r#"POST /d/_bulk_docs {"docs":[{"_id":"x","bad":1},{"_id":"y"}]}"#;
    let some = send(&server, "3", bulk).await;
    assert!(refused.starts_with("403") && alone.starts_with("401") && some.starts_with("201"));
    assert!(some.contains("forbidden") && some.contains("\"y\",\"rev\""), "{some}");
    let rev = send(&server, "4", "GET /d/_design/v").await;
    let rev = rev.split("\"_rev\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let gone = send(&server, "5", &format!("DELETE /d/_design/v?rev={rev}")).await;
    assert!(gone.starts_with("200"), "{gone}");
    assert_eq!(send(&server, "1", r#"PUT /d/a {"bad":1}"#).await, refused);
    assert_eq!(send(&server, "3", bulk).await, some);
    assert!(send(&server, "2", r#"PUT /d/a {"alone":1}"#).await.starts_with("201"));
}

#[tokio::test]
async fn a_key_stands_for_one_request_of_one_user_to_one_address() {
    let server = begin().await.with_users(&[("ada", "[]")]).await;
    let members = "PUT /d/_security\n\n{\"members\":{\"names\":[\"ada\"],\"roles\":[]}}";
    assert_eq!(server.send(members).await.status(), 200);
    assert!(send(&server, "1", r#"PUT /d/a {"n":1}"#).await.starts_with("201"));
    for other in [
        r#"PUT /d/a {"n":2}"#,
        r#"PUT /d/a {"n":1} "#,
        r#"PUT /d/a?new_edits=true {"n":1}"#,
        "PUT /d/a\nif-match: \"1-a\" {\"n\":1}",
    ] {
        let reply = send(&server, "1", other).await;
        assert!(reply.starts_with("422") && reply.contains("id_reused"), "{other} {reply}");
    }
    assert!(send(&server, "1", r#"PUT /d/b {"n":1}"#).await.starts_with("201"));
    let ada = server.send_as("ada:password", &keyed("1", r#"PUT /d/a {"n":1}"#)).await;
    assert_eq!(ada.status(), 409, "hers is another request");
    let nobody = server.send_anonymous(&keyed("1", r#"PUT /d/a {"n":1}"#)).await;
    assert_eq!(nobody.status(), 401);
    let others = "PUT /d/_security\n\n{\"members\":{\"names\":[\"bob\"],\"roles\":[]}}";
    assert_eq!(server.send(others).await.status(), 200);
    let ada = server.send_as("ada:password", &keyed("1", r#"PUT /d/a {"n":1}"#)).await;
    assert_eq!(ada.status(), 403, "who may no longer write is told nothing");
}

#[tokio::test]
async fn a_request_that_cannot_be_remembered_says_so() {
    check(
        &[
            "PUT /d/a?batch=ok\nidempotency-key: 1\n\n{}",
            "PUT /d/_local/a\nidempotency-key: 1\n\n{}",
            "DELETE /d/_local/a\nidempotency-key: 1",
            "PUT /d/a\nidempotency-key: a b\n\n{}",
            "POST /d/_bulk_docs\nidempotency-key: 1\ncontent-type: application/json\n\n{\"docs\":[{\"_id\":\"_local/a\"}]}",
            // It says of itself what it is, and has ids of its own.
            "POST /d/_transact\nidempotency-key: 1\ncontent-type: application/json\n\n{\"client\":\"c\",\"transactions\":[]}",
            "GET /d/a\nidempotency-key: 1",
        ],
        expect![[r#"
            > PUT /d/a?batch=ok
            idempotency-key: 1

            {}
            400 Bad Request
            {"error":"bad_request","reason":"`batch=ok` answers before anything is written, so there is no answer to remember"}

            > PUT /d/_local/a
            idempotency-key: 1

            {}
            400 Bad Request
            {"error":"bad_request","reason":"local documents are written without an Idempotency-Key"}

            > DELETE /d/_local/a
            idempotency-key: 1
            400 Bad Request
            {"error":"bad_request","reason":"local documents are written without an Idempotency-Key"}

            > PUT /d/a
            idempotency-key: a b

            {}
            400 Bad Request
            {"error":"bad_request","reason":"Idempotency-Key must be 1 to 200 visible ASCII characters, in quotes or without"}

            > POST /d/_bulk_docs
            idempotency-key: 1
            content-type: application/json

            {"docs":[{"_id":"_local/a"}]}
            201 Created
            [{"id":"_local/a","error":"bad_request","reason":"local documents are written without an Idempotency-Key"}]

            > POST /d/_transact
            idempotency-key: 1
            content-type: application/json

            {"client":"c","transactions":[]}
            200 OK
            {"seq":"0-t","transactions":[]}

            > GET /d/a
            idempotency-key: 1
            404 Not Found
            {"error":"not_found","reason":"missing"}

        "#]],
    )
    .await;
    let server = begin().await;
    let docs = vec!["{}"; 2_001].join(",");
    let reply = send(&server, "1", &format!(r#"POST /d/_bulk_docs {{"docs":[{docs}]}}"#)).await;
    assert!(reply.starts_with("413"), "{reply}");
}

#[tokio::test]
async fn two_requests_with_one_key_at_once_are_one_write() {
    let server = begin().await;
    let request = keyed("1", r#"POST /d {"n":1}"#);
    let (first, second) = tokio::join!(server.send(&request), server.send(&request));
    let (first, second) = (told(first).await, told(second).await);
    assert!(first.starts_with("201"), "{first}");
    assert_eq!(first, second);
    let info = told(server.send("GET /d").await).await;
    assert!(info.contains("\"doc_count\":1,"), "{info}");
}
