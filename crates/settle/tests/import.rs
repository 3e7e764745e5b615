//! `settle import couchdb`, with another server as the CouchDB.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fmt::Write as _, path::Path, process::Stdio};

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use settle_testing::{ADMIN, Client, Process, TestServer, eventually};
use tempfile::TempDir;
use tokio::process::{Child, Command};

const BINARY: &str = env!("CARGO_BIN_EXE_settle");

/// A CouchDB to import from, and a folder to import into.
struct Move {
    source: TestServer,
    folder: TempDir,
}

impl Move {
    async fn new() -> Self {
        Self { source: TestServer::start().await, folder: TempDir::new().unwrap() }
    }

    fn there(&self) -> Client {
        self.source.admin()
    }

    fn url(&self) -> String {
        format!("http://{}", self.source.address())
    }

    async fn serve(&self) -> Process {
        Process::serve(Path::new(BINARY), &self.folder.path().join("data"), &[]).await
    }

    /// The import with the arguments of `line`, where `URL` stands for the source.
    fn command(&self, line: &str) -> Command {
        let mut command = Process::command(Path::new(BINARY), self.folder.path());
        command.env("SETTLE_ADMIN_USER", ADMIN.0).env("SETTLE_ADMIN_PASSWORD", ADMIN.1);
        command.env("COUCHDB_USER", ADMIN.0).env("COUCHDB_PASSWORD", ADMIN.1);
        command.args(["import", "couchdb", "--data", "data"]);
        command.args(line.split(' ').map(|it| it.replace("URL", &self.url())));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What it says, first on the standard output, and its exit code.
    async fn import(&self, line: &str) -> String {
        self.said(self.command(line).spawn().unwrap()).await
    }

    async fn said(&self, child: Child) -> String {
        let ran = child.wait_with_output().await.unwrap();
        let mut said = String::from_utf8(ran.stdout).unwrap();
        // How far it was, and when, is another matter each time.
        let is_progress = |line: &&str| line.ends_with(" documents") && line.contains("databases,");
        for line in String::from_utf8(ran.stderr).unwrap().lines().filter(|it| !is_progress(it)) {
            writeln!(said, "{line}").unwrap();
        }
        writeln!(said, "exit code {}", ran.status.code().unwrap()).unwrap();
        said.replace(&self.url(), "URL")
    }

    async fn check(&self, line: &str, expected: &Expect) {
        expected.assert_eq(&self.import(line).await);
    }
}

/// `count` documents, made at once.
async fn fill(there: &Client, database: &str, count: usize) {
    there.put(&format!("/{database}"), &json!({})).await.expect(201);
    let docs: Vec<Value> = (0..count).map(|n| json!({ "_id": format!("d{n}"), "n": n })).collect();
    there.post(&format!("/{database}/_bulk_docs"), &json!({ "docs": docs })).await.expect(201);
}

fn replicated(docs: &Value) -> Value {
    json!({ "new_edits": false, "docs": docs })
}

#[tokio::test]
async fn everything_comes_and_is_compared() {
    let moving = Move::new().await;
    let there = moving.there();
    fill(&there, "notes", 3).await;
    let conflict = json!([
        { "_id": "d0", "_rev": "2-aa", "_revisions": { "start": 2, "ids": ["aa", "bb"] } },
        { "_id": "d1", "_rev": "2-cc", "_deleted": true },
    ]);
    there.post("/notes/_bulk_docs", &replicated(&conflict)).await.expect(201);
    let flag = json!({ "content_type": "image/svg+xml", "data": "PHN2Zy8+" });
    there.put("/notes/flag", &json!({ "_attachments": { "flag.svg": flag } })).await.expect(201);
    let gone = there.put("/notes/gone", &json!({})).await.expect(201).json();
    let gone = format!("/notes/gone?rev={}", gone["rev"].as_str().unwrap());
    there.delete(&gone).await.expect(200);
    there.put("/notes/_revs_limit", &json!(7)).await.expect(200);
    let members = json!({ "admins": {}, "members": { "names": ["ada"], "roles": [] } });
    there.put("/notes/_security", &members).await.expect(200);
    there.put("/acme%2Fshop?partitioned=true", &json!({})).await.expect(201);
    there.put("/acme%2Fshop/a:1", &json!({})).await.expect(201);
    let ada = json!({ "type": "user", "name": "ada", "roles": ["staff"], "password": "lovelace" });
    there.put("/_users/org.couchdb.user:ada", &ada).await.expect(201);

    moving
        .check(
            "URL",
            &expect![[r#"
        database     documents  deleted  leaves  result
        _replicator  0          0        0       the same
        _users       2          0        2       the same
        acme/shop    1          0        1       the same
        notes        4          1        7       the same
        4 databases, 4 the same
        exit code 0
    "#]],
        )
        .await;

    let server = moving.serve().await;
    let here = server.admin();
    let leaves = here.get("/notes/d0?open_revs=all&revs=true").await.expect(200);
    assert!(leaves.text().contains("2-aa"), "{}", leaves.text());
    assert_eq!(here.get("/notes/flag/flag.svg").await.expect(200).text(), "<svg/>");
    assert_eq!(here.get("/notes/_security").await.expect(200).json(), members);
    assert_eq!(here.get("/notes/_revs_limit").await.expect(200).json(), json!(7));
    let shop = here.get("/acme%2Fshop").await.expect(200).json();
    assert_eq!(shop["props"]["partitioned"], json!(true));
    let ada = Client::signed_in(server.address(), "ada", "lovelace");
    let session = ada.get("/_session").await.expect(200).json();
    assert_eq!(session["userCtx"]["roles"], json!(["staff"]));
}

#[tokio::test]
async fn a_second_run_brings_what_has_changed_since() {
    let moving = Move::new().await;
    let server = moving.serve().await;
    fill(&moving.there(), "notes", 3).await;
    moving.import("URL --only notes").await;
    moving.there().put("/notes/new", &json!({})).await.expect(201);
    moving.there().put("/notes/_revs_limit", &json!(9)).await.expect(200);
    moving
        .check(
            "URL --only notes",
            &expect![[r#"
        database  documents  deleted  leaves  result
        notes     4          0        4       the same
        1 database, 1 the same
        exit code 0
    "#]],
        )
        .await;
    server.admin().get("/notes/new").await.expect(200);
}

#[tokio::test]
async fn an_import_that_was_killed_goes_on() {
    let moving = Move::new().await;
    for n in 0..12 {
        fill(&moving.there(), &format!("db{n:02}"), 500).await;
    }
    let server = moving.serve().await;
    let mut child = moving.command("URL --only db* --concurrency 2").spawn().unwrap();
    let here = server.admin();
    eventually("some databases are here", async || {
        let names = here.get("/_all_dbs").await.json();
        (names.as_array().unwrap().len() > 5).then_some(())
    })
    .await;
    child.kill().await.unwrap();
    let said = moving.import("URL --only db*").await;
    assert!(said.contains("12 databases, 12 the same\n"), "{said}");
    assert!(said.ends_with("exit code 0\n"), "{said}");
}

#[tokio::test]
async fn an_import_and_its_own_server_that_were_killed_go_on() {
    let moving = Move::new().await;
    for n in 0..6 {
        fill(&moving.there(), &format!("db{n:02}"), 500).await;
    }
    let mut child = moving.command("URL --only db* --concurrency 1").spawn().unwrap();
    let there = moving.there();
    eventually("a checkpoint is there", async || {
        let rows = there.get("/db01/_local_docs").await.json();
        (!rows["rows"].as_array().unwrap().is_empty()).then_some(())
    })
    .await;
    child.kill().await.unwrap();
    let said = moving.import("URL --only db*").await;
    assert!(said.contains("6 databases, 6 the same\n"), "{said}");
}

#[tokio::test]
async fn a_database_that_is_written_to_all_the_while_is_no_failure() {
    let moving = Move::new().await;
    let server = moving.serve().await;
    fill(&moving.there(), "notes", 100).await;
    let there = moving.there();
    let writing = async {
        loop {
            there.post("/notes", &json!({})).await.expect(201);
        }
    };
    let said = tokio::select! {
        () = writing => unreachable!(),
        said = moving.import("URL --only notes") => said,
    };
    assert!(said.ends_with("exit code 0\n"), "{said}");
    drop(server);
    let said = moving.import("URL --only notes").await;
    assert!(said.contains("1 database, 1 the same\n"), "{said}");
}

#[tokio::test]
async fn what_is_refused_is_named_and_comes_once_nothing_forbids_it() {
    let moving = Move::new().await;
    let server = moving.serve().await;
    fill(&moving.there(), "notes", 3).await;
    server.admin().put("/notes", &json!({})).await.expect(201);
    let rule = json!({
        "language": "query",
        "validate_doc_update": { "newDoc": { "n": { "$lt": 2 } } },
    });
    let rule = server.admin().put("/notes/_design/rules", &rule).await.expect(201).json();
    moving
        .check(
            "URL --only notes",
            &expect![[r#"
        database  documents  deleted  leaves  result
        notes     3          0        3       1 missing here, 1 only here
        1 database, 0 the same, 1 not
        notes: d2: refused: forbidden: document is not valid
        notes: _design/rules: only here: 1-bfbfa9d7d65ce28a0c4a7999b5820510
        exit code 1
    "#]],
        )
        .await;
    let rule = format!("/notes/_design/rules?rev={}", rule["rev"].as_str().unwrap());
    server.admin().delete(&rule).await.expect(200);
    moving.import("URL --only notes").await;
    server.admin().get("/notes/d2").await.expect(200);
}

#[tokio::test]
async fn what_is_here_alone_is_named() {
    let moving = Move::new().await;
    let server = moving.serve().await;
    fill(&moving.there(), "notes", 1).await;
    fill(&server.admin(), "notes", 2).await;
    moving
        .check(
            "URL --only notes",
            &expect![[r#"
        database  documents  deleted  leaves  result
        notes     1 → 2      0        1 → 2   1 only here
        1 database, 0 the same, 1 not
        notes: d1: only here: 1-731bef401491606a3b246ed178e697c1
        exit code 1
    "#]],
        )
        .await;
}

#[tokio::test]
async fn replications_come_stopped_unless_they_shall_start() {
    let moving = Move::new().await;
    let there = moving.there();
    let job =
        |source| json!({ "source": source, "target": "notes", "continuous": true, "owner": "ada" });
    let url = format!("http://ada:secret@{}/nowhere", moving.source.address());
    there.put("/_replicator/nightly", &job(url)).await.expect(201);
    there.put("/acme%2F_replicator", &json!({})).await.expect(201);
    let job = job(format!("{}/nowhere", moving.url()));
    there.put("/acme%2F_replicator/other", &job).await.expect(201);
    moving
        .check(
            "URL --only _replicator",
            &expect![[r#"
        database     documents  deleted  leaves  result
        _replicator  1          0        1       the same, and 1 more here
        1 database, 1 the same
        _replicator: what runs there is stopped here; its documents say how to start it
        exit code 0
    "#]],
        )
        .await;
    moving
        .check(
            "URL --only acme/_replicator --replications started",
            &expect![[r#"
        database          documents  deleted  leaves  result
        acme/_replicator  1          0        1       the same
        1 database, 1 the same
        exit code 0
    "#]],
        )
        .await;
    moving
        .check(
            "URL --only _replicator",
            &expect![[r#"
        database     documents  deleted  leaves  result
        _replicator  1          0        1       the same, and 1 more here
        1 database, 1 the same
        _replicator: what runs there is stopped here; its documents say how to start it
        exit code 0
    "#]],
        )
        .await;
    moving
        .check(
            "URL --replications left --skip _users",
            &expect![[r#"
        database  documents  deleted  leaves  result
        0 databases, 0 the same
        exit code 0
    "#]],
        )
        .await;

    let server = moving.serve().await;
    let here = server.admin();
    let stopped = here.get("/_scheduler/docs/_replicator/nightly").await.expect(200).json();
    assert_eq!(stopped["state"], json!("failed"), "{stopped}");
    let document = here.get("/_replicator/nightly?revs=true").await.expect(200).json();
    assert_eq!(document["owner"], json!("ada"), "{document}");
    assert!(!document.to_string().contains("secret"), "{document}");
    // What another Settle has sealed opens nowhere else.
    let mut started = document;
    started["sealed"] = json!({});
    started.as_object_mut().unwrap().retain(|name, _| !name.starts_with("_re") || name == "_rev");
    here.put("/_replicator/nightly", &started).await.expect(201);
    eventually("the replication is tried", async || {
        let shown = here.get("/_scheduler/docs/_replicator/nightly").await.json();
        (shown["state"] != json!("failed")).then_some(())
    })
    .await;
    let other = here.get("/acme%2F_replicator/other").await.expect(200).json();
    assert_eq!(other["_replication_state"], Value::Null, "{other}");
}

#[tokio::test]
async fn credentials_are_asked_for_and_never_shown() {
    let moving = Move::new().await;
    fill(&moving.there(), "notes", 1).await;
    let address = moving.source.address();
    let wrong = format!("http://admin:mistaken@{address}");
    moving.check(&wrong, &expect![[r#"
        failed to import: URL answered 401 unauthorized: Name or password is incorrect. (COUCHDB_USER and COUCHDB_PASSWORD, or the URL, say who asks)
        exit code 1
    "#]]).await;
    let right = format!("http://{}:{}@{address}", ADMIN.0, ADMIN.1);
    let said = moving.import(&format!("{right} --only notes")).await;
    assert!(said.ends_with("exit code 0\n"), "{said}");
    moving.check("ftp://admin:mistaken@127.0.0.1", &expect![[r#"
        failed to import: find the CouchDB to import from: this is no URL of a server; expected one like http://127.0.0.1:5984
        exit code 1
    "#]]).await;
    moving.check("http://admin:mistaken@127.0.0.1/?x=1", &expect![[r#"
        failed to import: find the CouchDB to import from: http://127.0.0.1/ is no URL of a server: `?` and `#` have no place in it
        exit code 1
    "#]]).await;
}

#[tokio::test]
async fn only_an_administrator_imports() {
    let moving = Move::new().await;
    let ada = json!({ "type": "user", "name": "ada", "roles": [], "password": "lovelace" });
    moving.there().put("/_users/org.couchdb.user:ada", &ada).await.expect(201);
    let url = format!("http://ada:lovelace@{}", moving.source.address());
    moving.check(&url, &expect![[r#"
        failed to import: only an administrator of URL sees all there is, and ada is none (COUCHDB_USER and COUCHDB_PASSWORD, or the URL, say who asks)
        exit code 1
    "#]]).await;
}

#[tokio::test]
async fn what_is_no_other_couchdb_is_told() {
    let moving = Move::new().await;
    moving.check("http://127.0.0.1:9", &expect![[r#"
        failed to import: reach http://127.0.0.1:9: error sending request: client error (Connect): tcp connect error: Connection refused (os error 111)
        exit code 1
    "#]]).await;
    moving.check("URL/_up", &expect![[r#"
        failed to import: URL/_up does not answer like a CouchDB; expected a URL like https://name:password@host:5984
        exit code 1
    "#]]).await;
    moving
        .check(
            "URL --to URL",
            &expect![[r#"
        failed to import: URL is the server to import into
        exit code 1
    "#]],
        )
        .await;
    moving
        .check(
            "URL --only ntoes",
            &expect![[r#"
        failed to import: there is no database ntoes at URL
        exit code 1
    "#]],
        )
        .await;
}
