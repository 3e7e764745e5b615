//! `Idempotency-Key`: writes that are sent again are answered the same, and made once.

use expect_test::expect;

use crate::{
    asked::{ask, check, told},
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

/// The reply to a request that is sent twice. Both replies must be equal, and the second must change nothing.
async fn send_twice(server: &TestServer, key: &str, request: &str) -> String {
    let first = send(server, key, request).await;
    let before = told(server.send("GET /d/_changes").await).await;
    let again = send(server, key, request).await;
    assert_eq!(first, again, "{request}");
    assert!(!first.starts_with('5'), "{request} {first}");
    assert_eq!(before, told(server.send("GET /d/_changes").await).await, "{request}");
    first
}

/// The first revision that a reply names.
fn rev(reply: &str) -> &str {
    reply.split("\"rev\":\"").nth(1).unwrap().split('"').next().unwrap()
}

/// Sends each request twice, with a key of its own.
async fn check_twice(requests: &[&str]) {
    let server = begin().await;
    let mut revs: std::collections::BTreeMap<String, String> = std::collections::BTreeMap::new();
    for (at, request) in requests.iter().enumerate() {
        let mut request = (*request).to_owned();
        for (name, rev) in &revs {
            request = request.replace(&format!("REV({name})"), rev);
        }
        let first = send_twice(&server, &at.to_string(), &request).await;
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
async fn a_bulk_request_that_made_something_is_remembered_whatever_else_it_tells() {
    let server = begin().await;
    let design = r#"PUT /d/_design/v {"validate_doc_update": "function(n, o, u, s) { if (n.alone) throw({unauthorized: 'who'}); if (n.odd) throw({odd: 'no'}); }"}"#;
    let validated = send(&server, "v", design).await;
    let mut made = Vec::new();
    for (key, request) in [
        ("1", r#"POST /d/_bulk_docs {"docs":[{"n":1},{"alone":1}]}"#),
        ("2", r#"POST /d/_bulk_docs {"docs":[{"odd":1},{"n":1}]}"#),
        (
            "3",
            r#"POST /d/_bulk_docs {"new_edits":false,"docs":[{"_id":"e","_rev":"1-a"},{"_id":"f","_rev":"1-a","alone":1}]}"#,
        ),
    ] {
        let reply = send_twice(&server, key, request).await;
        assert!(reply.starts_with("201") && reply.contains("\"error\""), "{request} {reply}");
        made.push((key, request, reply));
    }
    let not_made = [
        ("4", r#"POST /d/_bulk_docs {"docs":[{"alone":1},{"odd":1}]}"#),
        ("5", r#"POST /d/_bulk_docs {"all_or_nothing":true,"docs":[{"n":1},{"alone":1}]}"#),
    ];
    for (key, request) in not_made {
        let reply = send(&server, key, request).await;
        assert!(reply.contains("\"unauthorized\""), "{request} {reply}");
    }
    let gone = format!("DELETE /d/_design/v?rev={}", rev(&validated));
    assert!(send(&server, "gone", &gone).await.starts_with("200"));
    for (key, request, reply) in made {
        assert_eq!(send(&server, key, request).await, reply, "{request}");
    }
    for (key, request) in not_made {
        let reply = send(&server, key, request).await;
        assert!(reply.starts_with("201") && !reply.contains("\"error\""), "{request} {reply}");
    }
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_part_of_the_request() {
    async fn check_body(server: &TestServer, key: &str, request: &str) -> String {
        let reply = send_twice(server, key, &format!("{request} {{\"why\":1}}")).await;
        assert!(reply.starts_with('2'), "{request} {reply}");
        let other = send(server, key, &format!("{request} {{\"why\":2}}")).await;
        assert!(other.starts_with("422"), "{request} {other}");
        reply
    }
    let server = begin().await;
    let made = send(&server, "1", r#"PUT /d/a {"n":1}"#).await;
    let file = format!("PUT /d/a/file?rev={}\n\ntext", rev(&made));
    let made = send(&server, "2", &file).await;
    check_body(&server, "3", "COPY /d/a\ndestination: b").await;
    let made = check_body(&server, "4", &format!("DELETE /d/a/file?rev={}", rev(&made))).await;
    check_body(&server, "5", &format!("DELETE /d/a?rev={}", rev(&made))).await;
}

#[tokio::test]
async fn a_request_that_is_rewritten_to_a_write_is_known_as_it_was_sent() {
    let server = begin().await;
    let rules = r#"PUT /d/_design/x {"rewrites": [
        {"from": "new", "to": "../.."},
        {"from": "again", "to": "_rewrite/new"},
        {"from": "later", "to": "../..", "query": {"batch": "ok"}},
        {"from": "db/*", "to": "../../*"}
    ]}"#;
    assert!(send(&server, "x", rules).await.starts_with("201"));
    let new = r#"POST /d/_design/x/_rewrite/new {"n":1}"#;
    let reply = send_twice(&server, "1", new).await;
    assert!(reply.starts_with("201"), "{reply}");
    let direct = send(&server, "1", r#"POST /d {"n":1}"#).await;
    assert!(direct.starts_with("201") && direct != reply, "it has another address: {direct}");
    let other = send(&server, "1", r#"POST /d/_design/x/_rewrite/new {"n":2}"#).await;
    assert!(other.starts_with("422"), "{other}");
    let again = send_twice(&server, "2", r#"POST /d/_design/x/_rewrite/again {"n":1}"#).await;
    assert!(again.starts_with("201"), "{again}");
    let later = send(&server, "3", r#"POST /d/_design/x/_rewrite/later {"n":1}"#).await;
    assert!(later.starts_with("400") && later.contains("batch=ok"), "{later}");

    let made = send_twice(&server, "4", r#"PUT /d/_design/x/_rewrite/db/a {"n":1}"#).await;
    assert!(made.starts_with("201"), "{made}");
    let read = "GET /d/_design/x/_rewrite/db/a";
    assert!(send(&server, "5", read).await.starts_with("200"));
    let gone = format!("DELETE /d/_design/x/_rewrite/db/a?rev={} {{\"why\":1}}", rev(&made));
    let gone = send_twice(&server, "6", &gone).await;
    assert!(gone.starts_with("200"), "{gone}");
    assert!(send(&server, "5", read).await.starts_with("404"), "what is read is not remembered");
}

#[tokio::test]
async fn a_function_that_rewrites_a_request_has_no_say_in_its_key() {
    let server = begin().await;
    let design = r#"PUT /d/_design/f {"rewrites": "function(req) { return {path: '../..', method: 'POST', body: JSON.stringify({sent: req.body}), headers: {'content-type': 'application/json', 'idempotency-key': 'own'}}; }"}"#;
    assert!(send(&server, "f", design).await.starts_with("201"));
    let request = r#"PUT /d/_design/f/_rewrite/any {"n":1}"#;
    let mut replies = Vec::new();
    for key in ["1", "2"] {
        let reply = send_twice(&server, key, request).await;
        assert!(reply.starts_with("201"), "{reply}");
        replies.push(reply);
    }
    for _ in 0..2 {
        replies.push(told(ask(&server, request).await).await);
    }
    let count = replies.len();
    replies.sort();
    replies.dedup();
    assert_eq!(replies.len(), count, "each is a document of its own: {replies:?}");
    let other = send(&server, "1", r#"PUT /d/_design/f/_rewrite/any {"n":2}"#).await;
    assert!(other.starts_with("422"), "{other}");
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
