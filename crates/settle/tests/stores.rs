//! Stores of every format that was ever released open, and hold what was written into them.
//!
//! `tests/stores/v1` and `v2` are backups of stores that [`fill`] filled. A new format gets a folder of its
//! own: `SETTLE_KEEP_STORE=<folder>` makes the test write one there, beside its checks.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fmt::Write as _, fs, path::Path};

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use settle_testing::{Client, Entropy as _, Method, Process, SeededEntropy, header};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_settle");

/// More than the engine keeps inline.
const FILE_BYTES: usize = 70_000;

fn file() -> Vec<u8> {
    let mut bytes = vec![0; FILE_BYTES];
    SeededEntropy::new(1).fill(&mut bytes);
    bytes
}

/// Something of every kind that a store holds.
async fn fill(admin: &Client) {
    admin.put("/notes", &Value::Null).await.expect(201);
    admin.put("/notes/_revs_limit", &json!(200)).await.expect(200);
    let security = json!({"admins": {"names": ["ada"], "roles": []}, "members": {}});
    admin.put("/notes/_security", &security).await.expect(200);
    // A history that fills segments, and a body that stands outside its head.
    let mut rev = Value::Null;
    for n in 0..300 {
        let mut document = json!({"n": n, "text": "x".repeat(if n == 299 { 3_000 } else { 10 })});
        if !rev.is_null() {
            document["_rev"] = rev;
        }
        rev = admin.put("/notes/long", &document).await.expect(201).json()["rev"].take();
    }
    let branch = |name: &str, deleted: bool| {
        json!({
            "_id": "branches", "_rev": format!("2-{name}"), "_deleted": deleted, "name": name,
            "_revisions": {"start": 2, "ids": [name, "a0"]},
        })
    };
    let docs = json!({
        "new_edits": false,
        "docs": [branch("b0", false), branch("b1", false), branch("b2", true)],
    });
    admin.post("/notes/_bulk_docs", &docs).await.expect(201);
    let gone = admin.put("/notes/gone", &json!({})).await.expect(201).json();
    let rev = gone["rev"].as_str().unwrap();
    admin.delete(&format!("/notes/gone?rev={rev}")).await.expect(200);
    let purged = admin.put("/notes/purged", &json!({})).await.expect(201).json();
    admin.post("/notes/_purge", &json!({"purged": [purged["rev"]]})).await.expect(201);
    admin.put("/notes/_local/checkpoint", &json!({"at": 7})).await.expect(201);
    admin.put("/notes/_design/d", &json!({"views": {}})).await.expect(201);
    let kind = |kind| [(header::CONTENT_TYPE, kind)];
    let path = "/notes/attached/large.bin";
    let reply = admin.request(Method::PUT, path, &kind("application/octet-stream"), file()).await;
    let rev = reply.expect(201).json()["rev"].as_str().unwrap().to_owned();
    let path = format!("/notes/attached/small.txt?rev={rev}");
    let small = b"hello hello hello hello".to_vec();
    admin.request(Method::PUT, &path, &kind("text/plain"), small).await.expect(201);
    admin.put("/other%2Fone", &Value::Null).await.expect(201);
    admin.put("/other%2Fone/a", &json!({"_id": "a"})).await.expect(201);
}

/// What can be said of such a store, whoever made it.
async fn check(admin: &Client, expected: &Expect) {
    let mut seen = String::new();
    for path in [
        "/_all_dbs",
        "/notes/_all_docs",
        "/notes/_revs_limit",
        "/notes/_security",
        "/notes/_local/checkpoint",
        "/notes/branches?open_revs=all",
        "/notes/_conflicts",
        "/notes/gone",
        "/notes/purged",
        "/notes/attached",
        "/notes/attached/small.txt",
        "/other%2Fone/_all_docs?include_docs=true",
    ] {
        let json = [(header::ACCEPT, "application/json, text/plain")];
        let reply = admin.request(Method::GET, path, &json, Vec::new()).await;
        writeln!(seen, "{path}\n{}", reply.text().replace('\r', "").trim_end()).unwrap();
    }
    let long = admin.get("/notes/long?revs=true").await.expect(200).json();
    let revisions = long["_revisions"]["ids"].as_array().unwrap().len();
    let text = long["text"].as_str().unwrap().len();
    writeln!(seen, "long: {}, {revisions} revisions, a text of {text}", long["_rev"]).unwrap();
    let info = admin.get("/notes").await.expect(200).json();
    let counts = [&info["doc_count"], &info["doc_del_count"]];
    let sequence = info["update_seq"].as_str().unwrap().split('-').next().unwrap().to_owned();
    writeln!(seen, "counts {counts:?}, sequence {sequence}").unwrap();
    let changes = admin.get("/notes/_changes?style=all_docs").await.expect(200).json();
    let rows = changes["results"].as_array().unwrap().iter().map(|row| {
        let leaves = row["changes"].as_array().unwrap().len();
        format!("{} ({leaves})", row["id"].as_str().unwrap())
    });
    writeln!(seen, "changes {}", rows.collect::<Vec<_>>().join(", ")).unwrap();
    let large = admin.request(Method::GET, "/notes/attached/large.bin", &[], Vec::new()).await;
    assert_eq!(large.expect(200).body, file());
    expected.assert_eq(&seen);
    // And it takes new writes.
    admin.put("/notes/new", &json!({"new": true})).await.expect(201);
    admin.post("/notes/_compact", &json!({})).await.expect(202);
    admin.get("/notes/long").await.expect(200);
}

fn content() -> Expect {
    expect![[r#"
        /_all_dbs
        ["_audit","_replicator","_users","notes","other/one"]
        /notes/_all_docs
        {"total_rows":4,"offset":0,"rows":[
        {"id":"_design/d","key":"_design/d","value":{"rev":"1-0b24e44a44af45e51e562fd124ce3007"}},
        {"id":"attached","key":"attached","value":{"rev":"2-d5f0325792e19a8299c5429928fb0634"}},
        {"id":"branches","key":"branches","value":{"rev":"2-b1"}},
        {"id":"long","key":"long","value":{"rev":"300-2ff9e9b9584ee083fb380d3fa1dd6592"}}
        ]}
        /notes/_revs_limit
        200
        /notes/_security
        {"admins":{"names":["ada"],"roles":[]},"members":{}}
        /notes/_local/checkpoint
        {"_id":"_local/checkpoint","_rev":"0-1","at":7}
        /notes/branches?open_revs=all
        [{"ok":{"_id":"branches","_rev":"2-b1","name":"b1"}},{"ok":{"_id":"branches","_rev":"2-b0","name":"b0"}},{"ok":{"_id":"branches","_rev":"2-b2","name":"b2","_deleted":true}}]
        /notes/_conflicts
        {"total_rows":1,"offset":0,"rows":[
        {"id":"branches","key":"branches","value":{"rev":"2-b1","conflicts":["2-b0"]}}
        ]}
        /notes/gone
        {"error":"not_found","reason":"deleted"}
        /notes/purged
        {"error":"not_found","reason":"missing"}
        /notes/attached
        {"_id":"attached","_rev":"2-d5f0325792e19a8299c5429928fb0634","_attachments":{"small.txt":{"content_type":"text/plain","revpos":2,"digest":"md5-iZnIgHaZ3ETVHDtRSQc4IA==","length":23,"stub":true},"large.bin":{"content_type":"application/octet-stream","revpos":1,"digest":"md5-KIc1PuIedP4Nmv/HTUTiGg==","length":70000,"stub":true}}}
        /notes/attached/small.txt
        hello hello hello hello
        /other%2Fone/_all_docs?include_docs=true
        {"total_rows":1,"offset":0,"rows":[
        {"id":"a","key":"a","value":{"rev":"1-967a00dff5e02add41819138abb3284d"},"doc":{"_id":"a","_rev":"1-967a00dff5e02add41819138abb3284d"}}
        ]}
        long: "300-2ff9e9b9584ee083fb380d3fa1dd6592", 200 revisions, a text of 3000
        counts [Number(4), Number(1)], sequence 310
        changes long (1), branches (3), gone (1), _design/d (1), attached (1)
    "#]]
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_today_holds_what_was_written() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let server = Process::serve(Path::new(BINARY), &data, &[]).await;
    fill(&server.admin()).await;
    if let Ok(keep) = std::env::var("SETTLE_KEEP_STORE") {
        let mut command = Process::command(Path::new(BINARY), folder.path());
        let done = command.args(["backup", "--data", "data", &keep]).output().await.unwrap();
        assert!(done.status.success(), "{done:?}");
    }
    check(&server.admin(), &content()).await;
}

async fn check_kept(format: &str) {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores").join(format), &data);
    let server = Process::serve(Path::new(BINARY), &data, &[]).await;
    check(&server.admin(), &content()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_format_1_opens() {
    check_kept("v1").await;
}

/// Its state records count documents in conflict.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_format_2_opens() {
    check_kept("v2").await;
}
