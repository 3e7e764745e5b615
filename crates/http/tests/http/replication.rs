//! Replications over HTTP: documents that ask for them, requests, and what is shown.

use std::fmt::Write as _;

use expect_test::expect;
use settle_replicator::Replicator;

use crate::support::{TestServer, text, whole};

const PASSWORD: &str = "c0rrect-horse";

impl TestServer {
    fn replicator(&self) -> &Replicator {
        &self.app.state().replicator
    }

    async fn with_replicator(self) -> Self {
        self.replicator().ensure_database().await.unwrap();
        self
    }

    /// Asks until the reply has it, which takes as long as the log of events waits.
    async fn until(&self, request: &str, has: &str) -> String {
        loop {
            let reply = text(self.send(request).await).await;
            if reply.contains(has) {
                return reply;
            }
            let since = 0;
            self.app.state().site.store.events_after(since).await;
            tokio::task::yield_now().await;
        }
    }
}

async fn server() -> TestServer {
    let users = [("ada", "[]"), ("eve", "[]")];
    let server = TestServer::new().await.with_users(&users).await.with_replicator().await;
    let security = r#"{"members":{"names":["ada","eve"]}}"#;
    let reply = server.send(&format!("PUT /_replicator/_security\n\n{security}")).await;
    assert_eq!(reply.status(), 200);
    server
}

const DOCUMENT: &str = "PUT /_replicator/backup\n\n\
     {\"source\":\"http://u:c0rrect-horse@127.0.0.1:1/a\",\"target\":\"b\",\"continuous\":true}";

#[tokio::test]
async fn a_document_is_read_without_what_is_secret() {
    let server = server().await;
    let reply = server.send_as("ada:password", DOCUMENT).await;
    assert_eq!(reply.status(), 201);
    let read = text(server.send("GET /_replicator/backup").await).await;
    let (before, sealed) = read.split_once("\"sealed\":{\"source\":\"1.").unwrap();
    let before = before.split_once("\",\"source").unwrap().1;
    expect![[r#"":"http://127.0.0.1:1/a","target":"b","continuous":true,"owner":"ada","#]]
        .assert_eq(before);
    assert!(!sealed.contains(PASSWORD));
}

#[tokio::test]
async fn no_reply_and_no_stored_byte_has_the_password() {
    let server = server().await;
    server.send_as("ada:password", DOCUMENT).await;
    server.until("GET /_scheduler/docs", "\"source_proxy\"").await;
    let bulk = r#"{"docs":[{"_id":"other","source":{"url":"http://127.0.0.1:1/c","headers":{"X-Key":"c0rrect-horse"},"auth":{"basic":{"username":"u","password":"c0rrect-horse"}}},"target":"d"}]}"#;
    let mut replies = String::new();
    for request in [
        &format!("POST /_replicator/_bulk_docs\ncontent-type: application/json\n\n{bulk}"),
        "GET /_replicator/backup?revs_info=true",
        "GET /_replicator/_all_docs?include_docs=true",
        "GET /_replicator/_changes?include_docs=true",
        "GET /_scheduler/docs",
        "GET /_scheduler/docs/_replicator/backup",
        "GET /_scheduler/jobs",
        "GET /_active_tasks",
    ] {
        let reply = server.send(request).await;
        assert!(reply.status().is_success(), "{request}");
        writeln!(replies, "{}", whole(reply).await).unwrap();
    }
    let base64 = "dTpjMHJyZWN0LWhvcnNl";
    assert!(!replies.contains(PASSWORD) && !replies.contains(base64), "{replies}");
    let engine = server.app.state().site.store.engine();
    let everything = settle_engine::Scan::prefix(b"", settle_engine::Direction::Ascending);
    let plan = settle_engine::Plan::new(vec![settle_engine::Step::Scan(everything)]);
    let stored = engine.read_to_end(plan, Stored::default()).await.unwrap().0;
    assert!(stored.windows(6).any(|it| it == b"backup"));
    assert!(!stored.windows(PASSWORD.len()).any(|it| it == PASSWORD.as_bytes()));
}

#[derive(Default)]
struct Stored(Vec<u8>);

impl settle_engine::Visitor for Stored {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> settle_engine::Visit {
        self.0.extend_from_slice(key);
        self.0.extend_from_slice(value.unwrap_or_default());
        settle_engine::Visit::Next
    }
}

#[tokio::test]
async fn documents_of_others_are_read_and_not_changed() {
    let server = server().await;
    let reply = text(server.send_as("ada:password", DOCUMENT).await).await;
    let rev = reply.split("\"rev\":\"").nth(1).unwrap().split('"').next().unwrap();
    let change = format!(
        "PUT /_replicator/backup?rev={rev}\n\n{{\"source\":\"a\",\"target\":\"eves\",\"owner\":\"ada\"}}"
    );
    let refused = expect![[r#"
        {"error":"forbidden","reason":"Can't update replication documents from other users."}
    "#]];
    refused.assert_eq(&text(server.send_as("eve:password", &change).await).await);
    let delete = format!("DELETE /_replicator/backup?rev={rev}");
    refused.assert_eq(&text(server.send_as("eve:password", &delete).await).await);
    let attachment = format!("PUT /_replicator/backup/a.txt?rev={rev}\n\nx");
    refused.assert_eq(&text(server.send_as("eve:password", &attachment).await).await);
    let forged = "POST /_replicator/_bulk_docs\ncontent-type: application/json\n\n\
        {\"new_edits\":false,\"docs\":[{\"_id\":\"backup\",\"_rev\":\"9-abc\",\"source\":\"a\",\
        \"target\":\"b\",\"owner\":\"eve\"}]}";
    let rows = text(server.send_as("eve:password", forged).await).await;
    assert!(rows.contains("forbidden"), "{rows}");
    let reply = server.send_as("eve:password", "GET /_replicator/backup").await;
    assert_eq!(reply.status(), 200);
    let update = "PUT /_replicator/_design/x\n\n{}";
    assert_eq!(server.send_as("ada:password", update).await.status(), 403);
    assert_eq!(server.send_as("ada:password", &delete).await.status(), 200);
}

#[tokio::test]
async fn malformed_documents_are_refused_as_couchdb_refuses_them() {
    let server = server().await;
    server
        .check(
            "PUT /_replicator/x\n\n{\"source\":\"a\"}",
            expect![[r#"
                403 Forbidden
                content-type: application/json

                {"error":"forbidden","reason":"Missing replicator database: `target` is not there"}
            "#]],
        )
        .await;
}

#[tokio::test]
async fn an_account_has_a_database_of_replications_as_soon_as_it_is_written_to() {
    let server = server().await;
    let get = "GET /~ada/_replicator";
    assert_eq!(server.send_as("ada:password", get).await.status(), 404);
    let put =
        "PUT /~ada/_replicator/mine\n\n{\"source\":\"a\",\"target\":\"b\",\"continuous\":true}";
    assert_eq!(server.send_as("eve:password", put).await.status(), 404);
    assert_eq!(server.send_as("ada:password", put).await.status(), 201);
    assert_eq!(server.send_as("ada:password", get).await.status(), 200);
    let docs = "GET /~ada/_scheduler/docs";
    server.until("GET /_scheduler/docs/~ada/_replicator", "\"source_proxy\"").await;
    let shown = text(server.send_as("ada:password", docs).await).await;
    assert!(shown.contains("\"database\":\"_replicator\",\"doc_id\":\"mine\""), "{shown}");
    let shown = text(server.send_as("ada:password", "GET /~ada/_scheduler/jobs").await).await;
    assert!(shown.contains("\"total_rows\":1"), "{shown}");
    assert_eq!(server.send_as("eve:password", docs).await.status(), 404);
    assert_eq!(server.send_as("eve:password", "GET /_scheduler/docs").await.status(), 403);
}

#[tokio::test]
async fn documents_and_jobs_are_shown_as_couchdb_shows_them() {
    let server = server().await;
    let none = "{\"total_rows\":0,\"offset\":0,\"docs\":[\r\n\r\n]}\n";
    assert_eq!(text(server.send("GET /_scheduler/docs").await).await, none);
    for request in [
        "PUT /~ada/a",
        "PUT /~ada/b",
        "PUT /~ada/_replicator/sync\n\n{\"source\":\"a\",\"target\":\"b\",\"continuous\":true}",
    ] {
        assert_eq!(server.send_as("ada:password", request).await.status(), 201, "{request}");
    }
    let path = "GET /_scheduler/docs/~ada%2F_replicator";
    let docs = server.until(path, "\"through_seq\"").await;
    expect![[r#"
        {"total_rows":1,"offset":0,"docs":[
        {"database":"~ada/_replicator","doc_id":"sync","id":"…+continuous","node":"settle@127.0.0.1","source":"a","target":"b","state":"running","info":{"revisions_checked":0,"missing_revisions_found":0,"docs_read":0,"docs_written":0,"changes_pending":0,"doc_write_failures":0,"bulk_get_docs":0,"bulk_get_attempts":0,"checkpointed_source_seq":0,"source_seq":"0-…","through_seq":"0-…"},"error_count":0,"last_updated":"2026-11-21T03:05:46Z","start_time":"2026-11-21T03:05:46Z","source_proxy":null,"target_proxy":null}
        ]}
    "#]].assert_eq(&neutral(&docs.replace('\r', "")));
    let jobs = text(server.send("GET /_scheduler/jobs").await).await;
    expect![[r#"
        {"total_rows":1,"offset":0,"jobs":[{"database":"~ada/_replicator","id":"…+continuous","pid":"<0.1.0>","source":"a","target":"b","user":"ada","doc_id":"sync","info":{"revisions_checked":0,"missing_revisions_found":0,"docs_read":0,"docs_written":0,"changes_pending":0,"doc_write_failures":0,"bulk_get_docs":0,"bulk_get_attempts":0,"checkpointed_source_seq":0,"source_seq":"0-…","through_seq":"0-…"},"history":[{"timestamp":"2026-11-21T03:05:46Z","type":"started"},{"timestamp":"2026-11-21T03:05:46Z","type":"added"}],"node":"settle@127.0.0.1","start_time":"2026-11-21T03:05:46Z"}]}
    "#]].assert_eq(&neutral(&jobs));
    let id = jobs.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap();
    let job = text(server.send(&format!("GET /_scheduler/jobs/{id}")).await).await;
    assert!(jobs.contains(job.trim_end()), "{job}");
    let none = "{\"total_rows\":1,\"offset\":0,\"docs\":[\r\n\r\n]}\n";
    let request = "GET /_scheduler/docs/~ada/_replicator?states=failed,Error";
    assert_eq!(text(server.send(request).await).await, none);
    let none = "{\"total_rows\":1,\"offset\":1,\"jobs\":[]}\n";
    assert_eq!(text(server.send("GET /_scheduler/jobs?skip=3").await).await, none);
}

#[tokio::test]
async fn two_documents_that_ask_for_the_same_are_told_apart() {
    let server = server().await;
    server.send_as("ada:password", DOCUMENT).await;
    server.until("GET /_scheduler/docs", "\"source_proxy\"").await;
    server.send_as("ada:password", &DOCUMENT.replace("backup", "again")).await;
    let docs = server.until("GET /_scheduler/docs", "\"failed\"").await;
    let failed = docs.lines().find(|line| line.contains("\"failed\"")).unwrap();
    expect![[r#"{"database":"_replicator","doc_id":"again","id":null,"source":"http://127.0.0.1:1/a/","target":"b","state":"failed","error_count":1,"info":{"error":"Replication `737b1975ae03b16e7cbdd70094ff57c5+continuous` specified by document `again` already started, triggered by document `backup` from db `_replicator`"},"start_time":"2026-11-21T03:05:46Z","last_updated":"2026-11-21T03:05:46Z"},"#]].assert_eq(failed);
    let read = text(server.send("GET /_replicator/again").await).await;
    let state = read.split("\"_replication_state\"").nth(1).unwrap();
    expect![[r#"
        :"failed","_replication_state_time":"2026-11-21T03:05:46Z","_replication_state_reason":"Replication `737b1975ae03b16e7cbdd70094ff57c5+continuous` specified by document `again` already started, triggered by document `backup` from db `_replicator`"}
    "#]].assert_eq(state);
}

#[tokio::test]
async fn questions_that_make_no_sense_are_refused() {
    let server = server().await;
    let mut replies = String::new();
    for request in [
        "GET /_scheduler/docs?states=running,foo",
        "GET /_scheduler/docs?limit=x",
        "GET /_scheduler/jobs?skip=-1",
        "GET /_scheduler/docs/notes",
        "GET /_scheduler/docs/nobody/_replicator",
        "GET /_scheduler/docs/_replicator/nothing",
        "GET /_scheduler/jobs/0",
        "POST /_replicate\ncontent-type: application/json\n\n{}",
        "POST /_replicate\ncontent-type: application/json\n\n[]",
        "POST /_replicate\n\n{}",
        "POST /_replicate\ncontent-type: application/json\n\n{\"source\":\"ftp://a\",\"target\":\"b\"}",
        "POST /_replicate\ncontent-type: application/json\n\n{\"cancel\":true,\"id\":\"0+continuous\"}",
        "POST /_replicate\ncontent-type: application/json\n\n{\"cancel\":true,\"source\":\"a\",\"target\":\"b\"}",
    ] {
        let reply = server.send(request).await;
        let (status, first) = (reply.status(), request.lines().next().unwrap());
        write!(replies, "{first}: {} {}", status.as_u16(), text(reply).await).unwrap();
    }
    expect![[r#"
        GET /_scheduler/docs?states=running,foo: 400 {"error":"query_parse_error","reason":"States must be one or more of [initializing,error,running,pending,crashing,completed,failed]"}
        GET /_scheduler/docs?limit=x: 400 {"error":"query_parse_error","reason":"limit must be an integer"}
        GET /_scheduler/jobs?skip=-1: 400 {"error":"query_parse_error","reason":"skip not in range of [0,infinity]"}
        GET /_scheduler/docs/notes: 400 {"error":"bad_request","reason":"Invalid path"}
        GET /_scheduler/docs/nobody/_replicator: 404 {"error":"not_found","reason":"Database does not exist."}
        GET /_scheduler/docs/_replicator/nothing: 404 {"error":"not_found","reason":"missing"}
        GET /_scheduler/jobs/0: 404 {"error":"not_found","reason":"missing"}
        POST /_replicate: 400 {"error":"bad_request","reason":"Missing replicator database: `source` is not there"}
        POST /_replicate: 400 {"error":"bad_request","reason":"Request body must be a JSON object"}
        POST /_replicate: 415 {"error":"bad_content_type","reason":"Content-Type must be application/json"}
        POST /_replicate: 400 {"error":"invalid_replication","reason":"source has an invalid url: expected `http://` or `https://`"}
        POST /_replicate: 404 {"error":"not_found","reason":"missing"}
        POST /_replicate: 404 {"error":"not_found","reason":"missing"}
    "#]].assert_eq(&replies);
}

#[tokio::test]
async fn a_continuous_replication_is_cancelled_by_who_started_it() {
    let server = server().await;
    let start = "POST /_replicate\ncontent-type: application/json\n\n\
        {\"source\":\"a\",\"target\":\"b\",\"continuous\":true}";
    let reply = server.send_as("ada:password", start).await;
    assert_eq!(reply.status(), 202);
    let reply = text(reply).await;
    let id = reply.split("\"_local_id\":\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(reply, format!("{{\"ok\":true,\"_local_id\":\"{id}\"}}\n"));
    let cancel = start.replace("}", ",\"cancel\":true}");
    assert_eq!(server.send_as("eve:password", &cancel).await.status(), 403);
    assert_eq!(server.send_as("eve:password", start).await.status(), 403);
    let by_id = format!(
        "POST /_replicate\ncontent-type: application/json\n\n{{\"cancel\":true,\"id\":\"{id}\"}}"
    );
    assert_eq!(text(server.send_as("ada:password", &by_id).await).await, reply);
    assert_eq!(server.send_as("ada:password", &cancel).await.status(), 404);
    assert_eq!(server.send_as("", start).await.status(), 401);
}

#[tokio::test]
async fn a_document_that_is_through_says_so() {
    let server = server().await;
    server.send("PUT /a").await;
    server.send("PUT /a/x\n\n{\"n\":1}").await;
    let document = "PUT /_replicator/once\n\n\
        {\"source\":\"a\",\"target\":\"b\",\"create_target\":true}";
    assert_eq!(server.send(document).await.status(), 201);
    let docs = server.until("GET /_scheduler/docs", "\"completed\"").await;
    assert!(!docs.contains("running"), "{docs}");
    expect![[r#"{"database":"_replicator","doc_id":"once","id":null,"source":"a","target":"b","state":"completed","error_count":0,"info":{"revisions_checked":1,"missing_revisions_found":1,"docs_read":1,"docs_written":1,"changes_pending":0,"doc_write_failures":0,"bulk_get_docs":1,"bulk_get_attempts":1,"checkpointed_source_seq":"1-…","source_seq":"1-…","through_seq":"1-…"},"start_time":"2026-11-21T03:05:46Z","last_updated":"2026-11-21T03:05:46Z"}"#]].assert_eq(&neutral(docs.lines().nth(1).unwrap()));
    let read = text(server.send("GET /_replicator/once").await).await;
    expect![[r#"
        :"a","target":"b","create_target":true,"owner":"admin","_replication_state":"completed","_replication_state_time":"2026-11-21T03:05:46Z","_replication_id":"…+create_target","_replication_stats":{"revisions_checked":1,"missing_revisions_found":1,"docs_read":1,"docs_written":1,"changes_pending":0,"doc_write_failures":0,"bulk_get_docs":1,"bulk_get_attempts":1,"checkpointed_source_seq":"1-…","source_seq":"1-…","through_seq":"1-…","start_time":"2026-11-21T03:05:46Z"}}
    "#]].assert_eq(&neutral(read.split_once("\"source\"").unwrap().1));
    assert_eq!(server.send("GET /b/x").await.status(), 200);
    assert_eq!(text(server.send("GET /_active_tasks").await).await, "[]\n");
}

#[tokio::test]
async fn a_request_is_answered_when_all_is_copied() {
    let server = server().await;
    server.send("PUT /a").await;
    server.send("PUT /a/x\n\n{\"n\":1}").await;
    let post = "POST /_replicate\ncontent-type: application/json\n\n";
    let copy = format!("{post}{{\"source\":\"a\",\"target\":\"b\",\"create_target\":true}}");
    let reply = server.send(&copy).await;
    assert_eq!(reply.status(), 200);
    expect![[r#"
        {"ok":true,"session_id":"…","source_last_seq":"1-…","replication_id_version":5,"history":[{"session_id":"…","start_time":"Sat, 21 Nov 2026 03:05:46 GMT","end_time":"Sat, 21 Nov 2026 03:05:46 GMT","start_last_seq":0,"end_last_seq":"1-…","recorded_seq":"1-…","missing_checked":1,"missing_found":1,"docs_read":1,"docs_written":1,"doc_write_failures":0,"bulk_get_docs":1,"bulk_get_attempts":1}]}
    "#]].assert_eq(&neutral(&text(reply).await));
    expect![[r#"
        {"ok":true,"no_changes":true,"session_id":"…","source_last_seq":"1-…","replication_id_version":5,"history":[{"session_id":"…","start_time":"Sat, 21 Nov 2026 03:05:46 GMT","end_time":"Sat, 21 Nov 2026 03:05:46 GMT","start_last_seq":0,"end_last_seq":"1-…","recorded_seq":"1-…","missing_checked":1,"missing_found":1,"docs_read":1,"docs_written":1,"doc_write_failures":0,"bulk_get_docs":1,"bulk_get_attempts":1}]}
    "#]].assert_eq(&neutral(&text(server.send(&copy).await).await));
    let mut refused = String::new();
    for (who, job) in [
        ("admin:pw", r#"{"source":"nothing","target":"b"}"#),
        ("admin:pw", r#"{"source":"a","target":"nothing"}"#),
        ("eve:password", r#"{"source":"a","target":"b"}"#),
        ("eve:password", r#"{"source":"a","target":"new","create_target":true}"#),
    ] {
        let reply = server.send_as(who, &format!("{post}{job}")).await;
        write!(refused, "{} {}", reply.status().as_u16(), text(reply).await).unwrap();
    }
    expect![[r#"
        404 {"error":"db_not_found","reason":"could not open nothing"}
        404 {"error":"db_not_found","reason":"could not open nothing"}
        403 {"error":"forbidden","reason":"info of the source failed, forbidden: You are not allowed to access this db."}
        403 {"error":"forbidden","reason":"info of the source failed, forbidden: You are not allowed to access this db."}
    "#]].assert_eq(&refused);
}

#[tokio::test]
async fn an_account_copies_its_own_databases() {
    let server = server().await;
    for request in ["PUT /~ada/a", "PUT /~ada/a/x\n\n{\"n\":1}", "PUT /~ada/b"] {
        assert_eq!(server.send_as("ada:password", request).await.status(), 201, "{request}");
    }
    let copy = "POST /~ada/_replicate\ncontent-type: application/json\n\n\
        {\"source\":\"a\",\"target\":\"b\"}";
    assert_eq!(server.send_as("eve:password", copy).await.status(), 404);
    assert_eq!(server.send_as("ada:password", copy).await.status(), 200);
    assert_eq!(server.send_as("ada:password", "GET /~ada/b/x").await.status(), 200);
}

#[tokio::test]
async fn what_runs_in_somebodys_name_stops_when_they_may_not_sign_in() {
    let server = server().await;
    for request in ["PUT /~ada/a", "PUT /~ada/b"] {
        assert_eq!(server.send_as("ada:password", request).await.status(), 201, "{request}");
    }
    let put =
        "PUT /~ada/_replicator/mine\n\n{\"source\":\"a\",\"target\":\"b\",\"continuous\":true}";
    assert_eq!(server.send_as("ada:password", put).await.status(), 201);
    let docs = "GET /_scheduler/docs/~ada/_replicator";
    server.until(docs, "\"running\"").await;
    let user = text(server.send("GET /_users/org.couchdb.user:ada").await).await;
    let suspended = user.replacen('{', "{\"suspended\":\"why\",", 1);
    let put = format!("PUT /_users/org.couchdb.user:ada\n\n{suspended}");
    assert_eq!(server.send(&put).await.status(), 201);
    let shown = server.until(docs, "\"error\"").await;
    assert!(shown.contains("cannot sign in here"), "{shown}");
    let user = text(server.send("GET /_users/org.couchdb.user:ada").await).await;
    let put = format!(
        "PUT /_users/org.couchdb.user:ada\n\n{}",
        user.replace("\"suspended\":\"why\",", ""),
    );
    assert_eq!(server.send(&put).await.status(), 201);
    server.until(docs, "\"running\"").await;
}

/// Sequences without what is opaque in them, and without ids of sessions.
fn neutral(text: &str) -> String {
    let mut neutral = String::new();
    let mut digits = 0;
    for letter in text.chars() {
        digits = if letter.is_ascii_hexdigit() { digits + 1 } else { 0 };
        neutral.push(letter);
        if digits == 16 {
            neutral.truncate(neutral.len() - 16);
            neutral.push('…');
        } else if digits > 16 {
            neutral.pop();
        }
    }
    neutral
}
