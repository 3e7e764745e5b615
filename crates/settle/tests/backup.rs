//! A backup taken while clients write opens as a store that holds all that was acknowledged before.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::{Value, json};
use settle_testing::{
    ADMIN, Client, Entropy as _, Method, Process, SeededEntropy, eventually, header,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

const BINARY: &str = env!("CARGO_BIN_EXE_settle");
const WRITERS: u64 = 8;
/// More than the engine keeps inline, so that each attachment is a file.
const ATTACHMENT_BYTES: usize = 100_000;

/// The bytes of an attachment follow from its document's number.
fn attachment(number: u64) -> Vec<u8> {
    let mut bytes = vec![0; ATTACHMENT_BYTES];
    SeededEntropy::new(number).fill(&mut bytes);
    bytes
}

/// Writes documents with an attachment each until told to stop.
async fn write(
    admin: Client,
    writer: u64,
    acknowledged: Arc<Mutex<Vec<u64>>>,
    stop: Arc<AtomicBool>,
) {
    let mut number = writer;
    while !stop.load(Ordering::Relaxed) {
        let path = format!("/notes/{number}/bytes");
        let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
        admin.request(Method::PUT, &path, &kind, attachment(number)).await.expect(201);
        acknowledged.lock().unwrap().push(number);
        number += WRITERS;
    }
}

async fn backup(folder: &Path, to: &str) -> (Option<i32>, String) {
    let mut command = Process::command(Path::new(BINARY), folder);
    let ran = command.args(["backup", "--data", "data", to]).output().await.unwrap();
    let said = [ran.stdout, ran.stderr].concat();
    (ran.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_opens_and_holds_all_that_was_acknowledged_before() {
    let folder = TempDir::new().unwrap();
    let server = Process::serve(Path::new(BINARY), &folder.path().join("data"), &[]).await;
    server.admin().put("/notes", &Value::Null).await.expect(201);
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(server.admin(), writer, acknowledged.clone(), stop.clone()));
    }
    let enough = async || (acknowledged.lock().unwrap().len() >= 50).then_some(());
    eventually("50 documents are written", enough).await;

    let before = acknowledged.lock().unwrap().clone();
    let (code, said) = backup(folder.path(), "copy").await;
    let during = acknowledged.lock().unwrap().len();
    assert_eq!(code, Some(0), "{said}");
    stop.store(true, Ordering::Relaxed);
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
    drop(server);
    assert!(during >= before.len());

    let mut copy = Process::serve(Path::new(BINARY), &folder.path().join("copy"), &[]).await;
    let all = copy.admin().get("/notes/_all_docs").await.expect(200).json();
    let there: Vec<u64> = all["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].as_str().unwrap().parse().unwrap())
        .collect();
    for number in before {
        assert!(there.contains(&number), "document {number} was acknowledged before the backup");
    }
    for number in there {
        let bytes = copy.admin().get(&format!("/notes/{number}/bytes")).await.expect(200);
        assert!(bytes.body == attachment(number), "attachment of {number}");
    }
    copy.terminate();
    assert_eq!(copy.wait().await.code(), Some(0), "{}", copy.output());
}

#[tokio::test]
async fn a_stopped_server_is_backed_up_with_its_administrator_and_settings() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let mut server = Process::serve(Path::new(BINARY), &data, &[]).await;
    let setting = "/_node/_local/_config/uuids/algorithm";
    server.admin().put(setting, &json!("random")).await.expect(200);
    server.terminate();
    server.wait().await;
    let (code, said) = backup(folder.path(), "copy").await;
    assert_eq!(code, Some(0), "{said}");
    let copy = folder.path().join("copy");
    let none = [("SETTLE_ADMIN_PASSWORD", "")];
    let server = Process::serve(Path::new(BINARY), &copy, &none).await;
    let admin = Client::signed_in(server.address(), ADMIN.0, ADMIN.1);
    assert_eq!(admin.get(setting).await.expect(200).json(), json!("random"));
}

#[tokio::test]
async fn a_file_that_is_missing_fails_the_backup_and_leaves_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let server = Process::serve(Path::new(BINARY), &data, &[]).await;
    server.admin().put("/notes", &Value::Null).await.expect(201);
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
    let sent = server.admin().request(Method::PUT, "/notes/1/bytes", &kind, attachment(1)).await;
    sent.expect(201);
    let file = first_file(&data.join("blobs")).unwrap();
    fs::rename(&file, folder.path().join("aside")).unwrap();
    let (code, said) = backup(folder.path(), "copy").await;
    assert_eq!(code, Some(1));
    assert!(said.contains("is missing, and a document refers to it"), "{said}");
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().path()).collect();
    assert!(names.iter().all(|it| !it.to_string_lossy().contains("copy")), "{names:?}");
}

#[tokio::test]
async fn a_folder_that_is_there_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let mut server = Process::serve(Path::new(BINARY), &data, &[]).await;
    server.terminate();
    server.wait().await;
    fs::create_dir(folder.path().join("copy")).unwrap();
    let (code, said) = backup(folder.path(), "copy").await;
    assert_eq!(code, Some(1));
    assert!(said.contains("copy is there already"), "{said}");
}

fn first_file(folder: &Path) -> Option<std::path::PathBuf> {
    fs::read_dir(folder).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() { first_file(&path) } else { Some(path) }
    })
}
