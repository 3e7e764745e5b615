//! `settle load`, against a running server and against a data folder.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fmt::Write as _, fs, path::Path, process::Stdio};

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use settle_testing::{ADMIN, Client, Process};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

const BINARY: &str = env!("CARGO_BIN_EXE_settle");

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    async fn serve(&self) -> Process {
        Process::serve(Path::new(BINARY), &self.folder.path().join("data"), &[]).await
    }

    /// Loads `text` with the arguments of `line`, where `FILE` stands for the file that holds it.
    async fn load(&self, line: &str, text: &str) -> String {
        let file = self.folder.path().join("documents.json");
        fs::write(&file, text).unwrap();
        let mut command = Process::command(Path::new(BINARY), self.folder.path());
        command.env("SETTLE_ADMIN_USER", ADMIN.0).env("SETTLE_ADMIN_PASSWORD", ADMIN.1);
        command.args(["load", "--data", "data"]);
        command.args(line.split(' ').map(|it| if it == "FILE" { "documents.json" } else { it }));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        // A load that reads a file, or fails early, does not take it.
        drop(input.write_all(text.as_bytes()).await);
        drop(input);
        let ran = child.wait_with_output().await.unwrap();
        let mut said = String::from_utf8(ran.stdout).unwrap();
        said.push_str(&String::from_utf8(ran.stderr).unwrap());
        writeln!(said, "exit code {}", ran.status.code().unwrap()).unwrap();
        said
    }

    async fn check(&self, line: &str, text: &str, expected: &Expect) {
        expected.assert_eq(&self.load(line, text).await);
    }
}

async fn count(admin: &Client, database: &str) -> u64 {
    let info = admin.get(&format!("/{database}")).await.expect(200).json();
    info["doc_count"].as_u64().unwrap()
}

#[tokio::test]
async fn a_stopped_server_s_folder_is_loaded_directly() {
    let place = Place::new();
    let text = "{\"_id\":\"a\"}\n{\"_id\":\"b\",\"_rev\":\"7-abc\"}\n{\"no\":\"id\"}";
    place
        .check(
            "notes FILE",
            text,
            &expect![[r#"
        saved 3 documents
        exit code 0
    "#]],
        )
        .await;
    let server = place.serve().await;
    assert_eq!(count(&server.admin(), "notes").await, 3);
}

#[tokio::test]
async fn the_server_that_runs_on_the_folder_is_found() {
    let place = Place::new();
    let server = place.serve().await;
    place
        .check(
            "notes -",
            "[{\"_id\":\"a\"},{\"_id\":\"b\"}]",
            &expect![[r#"
        saved 2 documents
        exit code 0
    "#]],
        )
        .await;
    assert_eq!(count(&server.admin(), "notes").await, 2);
}

#[tokio::test]
async fn documents_that_are_there_are_left_alone_unless_they_shall_be_replaced() {
    let place = Place::new();
    let server = place.serve().await;
    let url = format!("--server http://{}", server.address());
    place.load(&format!("{url} notes FILE"), r#"[{"_id":"a","n":1},{"_id":"b","n":1}]"#).await;
    let text = r#"[{"_id":"a","n":2},{"_id":"c","n":2}]"#;
    place
        .check(
            &format!("{url} notes FILE"),
            text,
            &expect![[r#"
        saved 1 document
        left alone 1 document with ids that are taken (--replace updates them)
        exit code 0
    "#]],
        )
        .await;
    let kept = server.admin().get("/notes/a").await.expect(200).json();
    assert_eq!(kept["n"], json!(1));
    place
        .check(
            &format!("{url} --replace notes FILE"),
            text,
            &expect![[r#"
        saved 2 documents
        exit code 0
    "#]],
        )
        .await;
    let replaced = server.admin().get("/notes/a").await.expect(200).json();
    assert_eq!(replaced["n"], json!(2));
    assert!(replaced["_rev"].as_str().unwrap().starts_with("2-"));
}

#[tokio::test]
async fn a_document_that_is_refused_costs_only_itself() {
    let place = Place::new();
    let server = place.serve().await;
    let mut documents: Vec<Value> = (0..20).map(|n| json!({ "_id": format!("d{n}") })).collect();
    documents[7]["_wrong"] = json!(1);
    documents[13]["_id"] = json!("_reserved");
    let text = Value::from(documents).to_string();
    place
        .check(
            "notes FILE",
            &text,
            &expect![[r#"
        saved 18 documents
        refused 2 documents
        refused d7: doc_validation: Bad special document member: _wrong
        refused _reserved: illegal_docid: Only reserved document ids may start with underscore.
        exit code 1
    "#]],
        )
        .await;
    assert_eq!(count(&server.admin(), "notes").await, 18);
}

#[tokio::test]
async fn attachments_come_along() {
    let place = Place::new();
    let server = place.serve().await;
    let flag = json!({ "content_type": "image/svg+xml", "data": "PHN2Zy8+" });
    let text = json!({ "_id": "ISL", "_attachments": { "flag.svg": flag } }).to_string();
    place.load("countries FILE", &text).await;
    let flag = server.admin().get("/countries/ISL/flag.svg").await.expect(200);
    assert_eq!(flag.text(), "<svg/>");
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_server_are_told_with_a_hint() {
    let place = Place::new();
    let server = place.serve().await;
    let url = format!("http://admin:wrong@{}", server.address());
    let said = place.load(&format!("--server {url} notes FILE"), "{}").await;
    assert!(said.contains("(SETTLE_ADMIN_USER and SETTLE_ADMIN_PASSWORD say who asks)"), "{said}");
    drop(server);
    let said = place.load("--server http://127.0.0.1:9 notes FILE", "{}").await;
    assert!(said.contains("reach the server at http://127.0.0.1:9: "), "{said}");
    assert!(said.ends_with("exit code 1\n"), "{said}");
}

#[tokio::test]
async fn a_file_that_breaks_off_says_where_and_keeps_what_came_before() {
    let place = Place::new();
    let server = place.serve().await;
    place.check("notes FILE", "{\"_id\":\"a\"}\n{\"_id\":\"b\"", &expect![[r#"
        saved 1 document
        failed to load documents.json into notes: document 2, line 2: the file ends inside this document
        exit code 1
    "#]]).await;
    drop(server);
}
