//! A server's life: start, first password, stop, start again.

use std::{fs, net::TcpListener, path::Path};

use serde_json::{Value, json};
use settle_testing::{Client, Process, Store, TestServer, eventually};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_settle");

#[tokio::test]
async fn a_server_starts_and_stops_ten_times_in_one_process_and_keeps_its_documents() {
    let mut server = TestServer::start_on(Store::Folder, |_| {}).await;
    server.admin().put("/notes", &Value::Null).await.expect(201);
    for turn in 0..10 {
        server.admin().put(&format!("/notes/n{turn}"), &json!({ "turn": turn })).await.expect(201);
        server.restart().await;
        let info = server.admin().get("/notes").await.expect(200).json();
        assert_eq!(info["doc_count"], json!(turn + 1));
    }
    server.stop().await;
}

#[tokio::test]
async fn functions_run_in_processes_of_the_binary() {
    let design = json!({ "shows": { "s": "function(doc, req) { return 'shown' }" } });
    let server = TestServer::start().await;
    let folder = TempDir::new().unwrap();
    let mut process = Process::serve(Path::new(BINARY), &folder.path().join("data"), &[]).await;
    for client in [server.admin(), process.admin()] {
        client.put("/d", &Value::Null).await.expect(201);
        client.put("/d/_design/x", &design).await.expect(201);
        assert_eq!(client.get("/d/_design/x/_show/s").await.expect(200).text(), "shown");
    }
    server.stop().await;
    process.terminate();
    assert!(process.wait().await.success());
}

#[tokio::test]
async fn several_servers_run_at_once_in_one_process_and_know_nothing_of_each_other() {
    let servers = [TestServer::start().await, TestServer::start().await, TestServer::start().await];
    for (number, server) in servers.iter().enumerate() {
        server.admin().put(&format!("/only-{number}"), &Value::Null).await.expect(201);
    }
    for (number, server) in servers.into_iter().enumerate() {
        let names = server.admin().get("/_all_dbs").await.expect(200).json();
        assert_eq!(names, json!(["_audit", "_replicator", "_users", format!("only-{number}")]));
        server.stop().await;
    }
}

#[tokio::test]
async fn a_stop_by_signal_ends_feeds_with_their_last_line_and_keeps_every_write() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let mut server = Process::serve(Path::new(BINARY), &data, &[]).await;
    let admin = server.admin();
    admin.put("/notes", &Value::Null).await.expect(201);
    admin.put("/notes/first", &json!({})).await.expect(201);
    let mut feed = admin.open("/notes/_changes?feed=continuous&heartbeat=true").await;
    let first: Value = serde_json::from_str(&feed.line().await.unwrap()).unwrap();
    assert_eq!(first["id"], "first");
    admin.put("/notes/late?batch=ok", &json!({})).await.expect(202);
    server.terminate();
    let mut lines = Vec::new();
    while let Some(line) = feed.line().await {
        lines.push(line);
    }
    lines.retain(|line| !line.is_empty());
    let last: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert!(last["last_seq"].is_string(), "{lines:?}");
    assert_eq!(server.wait().await.code(), Some(0), "{}", server.output());

    let server = Process::serve(Path::new(BINARY), &data, &[]).await;
    server.admin().get("/notes/late").await.expect(200);
}

#[tokio::test]
async fn the_first_start_shows_a_password_once_and_never_in_the_log() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let none = [("SETTLE_ADMIN_PASSWORD", ""), ("SETTLE_LOG_FILTER", "trace")];
    let mut server = Process::serve(Path::new(BINARY), &data, &none).await;
    let said = server.output();
    let password = said.lines().find_map(|line| line.strip_prefix("password: ")).unwrap();
    let password = password.split(' ').next().unwrap().to_owned();
    let admin = Client::signed_in(server.address(), "admin", &password);
    admin.get("/_all_dbs").await.expect(200);
    server.terminate();
    server.wait().await;
    assert_eq!(server.output().matches(&password).count(), 1, "{}", server.output());

    let again = Process::serve(Path::new(BINARY), &data, &none).await;
    assert!(!again.output().contains("password: "), "{}", again.output());
    let admin = Client::signed_in(again.address(), "admin", &password);
    admin.get("/_all_dbs").await.expect(200);
}

#[tokio::test]
async fn a_setting_changed_over_http_is_kept() {
    let mut server = TestServer::start_on(Store::Folder, |_| {}).await;
    let path = "/_node/_local/_config/uuids/algorithm";
    server.admin().put(path, &json!("random")).await.expect(200);
    server.restart().await;
    assert_eq!(server.admin().get(path).await.expect(200).json(), json!("random"));
    server.stop().await;
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused_and_hurts_nobody() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let first = Process::serve(Path::new(BINARY), &data, &[]).await;
    let mut second = Process::command(Path::new(BINARY), folder.path());
    second.args(["serve", "--bind", "127.0.0.1:0", "--data"]).arg(&data);
    let ran = second.output().await.unwrap();
    assert_eq!(ran.status.code(), Some(1));
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(said.contains("is in use by another server"), "{said}");
    first.admin().get("/_all_dbs").await.expect(200);
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let folder = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = Process::command(Path::new(BINARY), folder.path());
    let ran = command.args(["serve", "--bind", &address]).output().await.unwrap();
    assert_eq!(ran.status.code(), Some(1));
    let said = String::from_utf8(ran.stderr).unwrap();
    let expected = format!("failed to start the server: listen on {address}: ");
    assert!(said.contains(&expected), "{said}");
    assert!(!folder.path().join("data").exists(), "nothing is made by a start that fails so early");
}

#[tokio::test]
async fn the_folder_says_where_its_server_listens_for_as_long_as_it_does() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let mut server = Process::serve(Path::new(BINARY), &data, &[]).await;
    let url = fs::read_to_string(data.join("address")).unwrap();
    assert_eq!(url.trim(), format!("http://{}", server.address()));
    server.terminate();
    server.wait().await;
    let gone = || async { (!data.join("address").exists()).then_some(()) };
    eventually("the address goes with the server", gone).await;
}
