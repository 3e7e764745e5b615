//! Archives as streams: made, brought back under another name or in place, compared, refused.

use axum::body::Body;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use expect_test::expect;
use http::{Response, StatusCode, header};
use http_body_util::BodyExt as _;

use crate::support::{ADMIN, TestServer, parse, text, written};

/// A document in conflict, one with an attachment, a local one, a security object.
async fn server() -> TestServer {
    let server = TestServer::new().await.with_users(&[("dan", "[]"), ("ursula", "[]")]).await;
    for request in [
        "PUT /d",
        "PUT /d/_security\n\n{\"admins\":{\"names\":[\"dan\"]},\"members\":{\"names\":[\"dan\"]}}",
        "POST /d/_bulk_docs\ncontent-type: application/json\n\n{\"new_edits\":false,\"docs\":[\
         {\"_id\":\"a\",\"_rev\":\"2-b\",\"_revisions\":{\"start\":2,\"ids\":[\"b\",\"a\"]},\"n\":1.0},\
         {\"_id\":\"a\",\"_rev\":\"2-c\",\"_revisions\":{\"start\":2,\"ids\":[\"c\",\"a\"]},\"_deleted\":true}]}",
        "PUT /d/b/file.txt\ncontent-type: text/plain\n\nsome text, some text, some text",
        "PUT /d/_local/point\n\n{\"session_id\":\"s\"}",
    ] {
        let reply = server.send(request).await;
        assert!(reply.status().is_success(), "{request}: {}", text(reply).await);
    }
    server
}

async fn archive(server: &TestServer, database: &str) -> Vec<u8> {
    let reply = server.send(&format!("GET /{database}/_archive")).await;
    assert_eq!(reply.status(), StatusCode::OK);
    reply.into_body().collect().await.unwrap().to_bytes().to_vec()
}

async fn send(server: &TestServer, who: &str, request: &str, body: &[u8]) -> Response<Body> {
    let authorization = match who {
        "" => ADMIN.to_owned(),
        who => format!("Basic {}", BASE64_STANDARD.encode(who)),
    };
    let mut request = parse(request, Some(&authorization));
    *request.body_mut() = Body::from(body.to_vec());
    server.app.answer(request).await
}

/// What goes on in the background draws from the seed too, so which timeline it is, is not sure.
fn without_timeline(reply: &str) -> String {
    let (before, rest) = reply.split_once("\"seq\":\"3-").unwrap();
    format!("{before}\"seq\":\"3-T{}", &rest[16..])
}

#[tokio::test]
async fn a_database_comes_back_under_another_name() {
    let server = server().await;
    let archive = archive(&server, "d").await;
    let reply = send(&server, "", "PUT /copy/_restore", &archive).await;
    expect![[r#"
        201 Created
        content-type: application/json

        {"ok":true,"documents":2,"deleted":0,"leaves":3,"seq":"3-T"}
    "#]]
    .assert_eq(&without_timeline(&written(reply).await));
    for path in ["a?open_revs=all&revs=true", "b/file.txt", "_local/point", "_security"] {
        let request = |database: &str| format!("GET /{database}/{path}\naccept: application/json");
        let original = text(server.send(&request("d")).await).await;
        assert_eq!(text(server.send(&request("copy")).await).await, original, "{path}");
    }
    let reply = send(&server, "", "POST /copy/_verify", &archive).await;
    expect![[r#"
        200 OK
        content-type: application/json

        {"ok":true,"name":"d","made":"2026-11-21T03:05:46.000000Z","documents":2,"deleted":0,"equal":2,"differences":[],"unnamed":0}
    "#]].assert_eq(&written(reply).await);
}

#[tokio::test]
async fn a_moment_of_the_past_comes_back() {
    let server = server().await;
    let time = || settle_model::date::iso(settle_model::time::Clock::now(&*server.clock));
    let made = time();
    server.clock.advance(std::time::Duration::from_secs(60));
    for request in [
        "PUT /d/_snapshots/monday",
        "PUT /d/later\n\n{}",
        "DELETE /d/a?rev=2-b",
        "PUT /d/_local/checkpoint\n\n{\"session_id\":\"s\",\"source_last_seq\":1}",
    ] {
        let reply = server.send(request).await;
        assert!(reply.status().is_success(), "{request}: {}", text(reply).await);
    }
    for moment in ["monday", "3", made.as_str()] {
        let reply = server.send(&format!("GET /d/_archive?at={moment}")).await;
        assert_eq!(reply.status(), StatusCode::OK, "{moment}");
        let archive = reply.into_body().collect().await.unwrap().to_bytes();
        let reply = send(&server, "", "PUT /copy/_restore", &archive).await;
        assert_eq!(reply.status(), StatusCode::CREATED);
        let then = format!("GET /d/_all_docs?at={moment}&include_docs=true");
        let rows = |text: &str| text.split_once("\"rows\"").unwrap().1.to_owned();
        let then = rows(&text(server.send(&then).await).await);
        let copy = text(server.send("GET /copy/_all_docs?include_docs=true").await).await;
        assert_eq!(rows(&copy), then, "{moment}");
        assert_eq!(server.send("GET /copy/_local/point").await.status(), StatusCode::OK);
        let checkpoint = server.send("GET /copy/_local/checkpoint").await;
        assert_eq!(checkpoint.status(), StatusCode::NOT_FOUND);
        assert_eq!(server.send("DELETE /copy").await.status(), StatusCode::OK);
    }
    let mut told = Vec::new();
    for moment in ["tuesday", "99", "no%20moment", "1970-01-01T00:00:00Z", "now"] {
        let reply = server.send(&format!("GET /d/_archive?at={moment}")).await;
        let status = reply.status();
        let body = if status == StatusCode::OK { String::new() } else { text(reply).await };
        told.push(format!("{moment}: {status} {body}"));
    }
    expect![[r#"
        tuesday: 404 Not Found {"error":"no_snapshot","reason":"there is no snapshot named tuesday"}

        99: 400 Bad Request {"error":"invalid_moment","reason":"the moment lies beyond the present"}

        no%20moment: 400 Bad Request {"error":"invalid_moment","reason":"a moment is the name of a snapshot, a sequence, or a time such as 2027-11-21T03:05:46Z"}

        1970-01-01T00:00:00Z: 404 Not Found {"error":"not_yet","reason":"the database was not there yet at that moment"}

        now: 200 OK "#]].assert_eq(&told.join("\n"));
}

#[tokio::test]
async fn the_reply_says_what_the_file_is() {
    let server = server().await;
    let reply = server.send("GET /d/_archive").await;
    let header = |name| reply.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header(header::CONTENT_TYPE), "application/zstd");
    assert_eq!(header(header::CONTENT_DISPOSITION), "attachment; filename=\"d.jsonl.zst\"");
}

#[tokio::test]
async fn a_database_that_is_there_is_replaced_only_when_that_is_said() {
    let server = server().await;
    let archive = archive(&server, "d").await;
    let changes = "GET /d/_changes?since=";
    let last = text(server.send("GET /d/_changes?limit=0&since=now").await).await;
    let seen = last.split("\"last_seq\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    server.send("PUT /d/later\n\n{}").await;
    let reply = send(&server, "", "PUT /d/_restore", &archive).await;
    expect![[r#"
        412 Precondition Failed
        content-type: application/json

        {"error":"file_exists","reason":"The database is there; with replace=true it is replaced."}
    "#]]
    .assert_eq(&written(reply).await);

    // A database admin may, and nobody else.
    let refused = send(&server, "ursula:password", "PUT /d/_restore?replace=true", &archive).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let reply = send(&server, "dan:password", "PUT /d/_restore?replace=true", &archive).await;
    assert_eq!(reply.status(), StatusCode::CREATED);
    let gone = server.send("GET /d/later").await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    // Who followed it before goes on from there.
    server.send("PUT /d/new\n\n{}").await;
    let rows = text(server.send(&format!("{changes}{seen}")).await).await;
    assert_eq!(rows.matches("\"id\":").count(), 1, "{rows}");
    assert!(rows.contains("\"id\":\"new\""), "{rows}");
    let info = text(server.send("GET /d").await).await;
    assert!(info.contains("\"doc_count\":3"), "{info}");
}

#[tokio::test]
async fn a_bad_archive_is_named_and_leaves_everything_as_it_was() {
    let server = server().await;
    let archive = archive(&server, "d").await;
    let mut flipped = archive.clone();
    flipped[archive.len() / 2] ^= 1;
    let mut told = Vec::new();
    for (request, body) in [
        ("PUT /d/_restore?replace=true", &flipped[..]),
        ("PUT /d/_restore?replace=true", &archive[..archive.len() - 1]),
        ("PUT /copy/_restore", b"{}"),
        ("PUT /copy/_restore", b""),
        ("PUT /copy/_restore?replace=maybe", &archive),
        ("PUT /_audit/_restore", &archive),
        ("POST /d/_verify", &flipped[..]),
        ("POST /none/_verify", &archive),
        ("GET /none/_archive", b""),
    ] {
        let reply = send(&server, "", request, body).await;
        told.push(format!("> {request}\n{} {}", reply.status(), text(reply).await));
    }
    expect![[r#"
        > PUT /d/_restore?replace=true
        400 Bad Request {"error":"bad_archive","reason":"a block is damaged, at byte 0 (block 0)"}

        > PUT /d/_restore?replace=true
        400 Bad Request {"error":"bad_archive","reason":"the archive breaks off, at byte 0 (block 0)"}

        > PUT /copy/_restore
        400 Bad Request {"error":"bad_archive","reason":"this is no archive of Settle, at byte 0 (block 0)"}

        > PUT /copy/_restore
        400 Bad Request {"error":"bad_archive","reason":"this is no archive of Settle, at byte 0 (block 0)"}

        > PUT /copy/_restore?replace=maybe
        400 Bad Request {"error":"bad_request","reason":"Invalid `replace` parameter"}

        > PUT /_audit/_restore
        403 Forbidden {"error":"forbidden","reason":"The server alone writes to `_audit`, and nobody takes back."}

        > POST /d/_verify
        400 Bad Request {"error":"bad_archive","reason":"a block is damaged, at byte 0 (block 0)"}

        > POST /none/_verify
        404 Not Found {"error":"not_found","reason":"Database does not exist."}

        > GET /none/_archive
        404 Not Found {"error":"not_found","reason":"Database does not exist."}
    "#]].assert_eq(&told.join("\n"));
    assert_eq!(server.send("GET /copy").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(server.send("GET /d/b/file.txt").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn databases_of_the_system_come_back_for_server_admins_alone() {
    let server = server().await;
    let users = archive(&server, "_users").await;
    server.send("PUT /~ursula/_replicator").await;
    let refused =
        send(&server, "ursula:password", "PUT /~ursula/_replicator/_restore?replace=true", &users);
    assert_eq!(refused.await.status(), StatusCode::FORBIDDEN);
    let reply = send(&server, "", "PUT /_users/_restore?replace=true", &users).await;
    assert_eq!(reply.status(), StatusCode::CREATED);
    // Who could sign in still can.
    let session = server.send_as("dan:password", "GET /d").await;
    assert_eq!(session.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_owner_of_an_account_has_archives_within_the_quota() {
    let server = server().await;
    let own = "ursula:password";
    assert_eq!(server.send_as(own, "PUT /~ursula/d").await.status(), StatusCode::CREATED);
    assert_eq!(server.send_as(own, "PUT /~ursula/d/x\n\n{\"n\":1}").await.status(), 201);
    let reply = server.send_as(own, "GET /~ursula/d/_archive").await;
    let archive = reply.into_body().collect().await.unwrap().to_bytes().to_vec();
    let restored = send(&server, own, "PUT /~ursula/copy/_restore", &archive).await;
    assert_eq!(restored.status(), StatusCode::CREATED);
    // Others do not learn that it is there.
    let other = send(&server, "dan:password", "PUT /~ursula/copy/_restore?replace=true", &archive);
    assert_eq!(other.await.status(), StatusCode::NOT_FOUND);
    let other = server.send_as("dan:password", "GET /~ursula/d/_archive").await;
    assert_eq!(other.status(), StatusCode::NOT_FOUND);
}
