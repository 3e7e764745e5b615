//! `settle user`, on a data folder and against a server that runs on it.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fmt::Write as _, path::Path, process::Stdio};

use expect_test::expect;
use serde_json::Value;
use settle_testing::{ADMIN, Client, Process};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

/// Standard output, then standard error, then the exit code if it is not 0.
async fn run(folder: &Path, line: &str, input: &str) -> String {
    let mut command = Process::command(Path::new(env!("CARGO_BIN_EXE_settle")), folder);
    command.env("SETTLE_ADMIN_USER", ADMIN.0).env("SETTLE_ADMIN_PASSWORD", ADMIN.1);
    command.args(line.split(' ')).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that reads nothing may be gone already.
    drop(stdin.write_all(input.as_bytes()).await);
    drop(stdin);
    let ran = child.wait_with_output().await.unwrap();
    let mut seen = String::from_utf8(ran.stdout).unwrap();
    seen.push_str(&String::from_utf8(ran.stderr).unwrap());
    if let Some(code) = ran.status.code().filter(|&code| code != 0) {
        writeln!(seen, "exit code {code}").unwrap();
    }
    seen
}

#[tokio::test]
async fn users_are_managed_on_a_folder_without_a_server() {
    let folder = TempDir::new().unwrap();
    let mut story = String::new();
    for (line, input) in [
        ("user add ada --role reader --role writer --password-stdin", "a long password\n"),
        ("user add bob --password-stdin", "short\n"),
        ("user add bob --password-stdin", "another password\n"),
        ("user add ada --password-stdin", "a long password\n"),
        ("user passwd bob --password-stdin", "yet another password\n"),
        ("user suspend bob --reason unpaid", ""),
        ("user list", ""),
        ("user resume bob", ""),
        ("user suspend nobody-of-this-name", ""),
        ("user list", ""),
        ("user token ada --list", ""),
    ] {
        let seen = run(folder.path(), line, input).await;
        write!(story, "$ settle {line}\n{seen}").unwrap();
    }
    expect![[r#"
        $ settle user add ada --role reader --role writer --password-stdin
        $ settle user add bob --password-stdin
        failed to add the user bob: the server answered 400 bad_request: Password does not conform to requirements. It needs at least 8 characters.
        exit code 1
        $ settle user add bob --password-stdin
        $ settle user add ada --password-stdin
        failed to add the user ada: there is a user of that name; `settle user passwd` sets another password
        exit code 1
        $ settle user passwd bob --password-stdin
        $ settle user suspend bob --reason unpaid
        $ settle user list
        ada	reader,writer
        bob		suspended: unpaid
        $ settle user resume bob
        $ settle user suspend nobody-of-this-name
        failed to suspend nobody-of-this-name: there is no user of that name; `settle user list` prints those there are
        exit code 1
        $ settle user list
        ada	reader,writer
        bob	
        $ settle user token ada --list
    "#]].assert_eq(&story);
}

#[tokio::test]
async fn what_is_made_up_is_printed_alone_on_the_standard_output() {
    let folder = TempDir::new().unwrap();
    let mut command = Process::command(Path::new(env!("CARGO_BIN_EXE_settle")), folder.path());
    let ran = command.args(["user", "add", "ada"]).output().await.unwrap();
    let password = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(password.trim_end().len(), 20, "{password}");
    let mut command = Process::command(Path::new(env!("CARGO_BIN_EXE_settle")), folder.path());
    let arguments = ["user", "token", "ada", "--most", "write", "--database", "~ada/notes"];
    let ran = command.args(arguments).output().await.unwrap();
    let token = String::from_utf8(ran.stdout).unwrap();
    assert!(token.starts_with("settle_"), "{token} {}", String::from_utf8_lossy(&ran.stderr));
    let listed = run(folder.path(), "user token ada --list", "").await;
    let id = listed.split('\t').next().unwrap();
    assert!(token.contains(id) && listed.contains("~ada/notes"), "{listed}");
    assert_eq!(run(folder.path(), &format!("user token ada --revoke {id}"), "").await, "");
    assert_eq!(run(folder.path(), "user token ada --list", "").await, "");
}

#[tokio::test]
async fn a_user_that_is_deleted_can_be_taken_back() {
    let folder = TempDir::new().unwrap();
    run(folder.path(), "user add ada --password-stdin", "a long password\n").await;
    let said = run(folder.path(), "user delete ada", "").await;
    assert!(said.starts_with("ada goes at "), "{said}");
    let listed = run(folder.path(), "user list", "").await;
    assert!(listed.contains("goes at"), "{listed}");
    assert_eq!(run(folder.path(), "user delete ada --undo", "").await, "");
    assert_eq!(run(folder.path(), "user list", "").await, "ada\t\n");
}

#[tokio::test]
async fn users_are_managed_on_a_server_that_runs() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let server = Process::serve(Path::new(env!("CARGO_BIN_EXE_settle")), &data, &[]).await;
    let add = "user add ada --data data --password-stdin";
    assert_eq!(run(folder.path(), add, "a long password\n").await, "");
    let ada = Client::signed_in(server.address(), "ada", "a long password");
    ada.put("/~ada/notes", &Value::Null).await.expect(201);
    let suspend = "user suspend ada --data data --reason unpaid";
    assert_eq!(run(folder.path(), suspend, "").await, "");
    let refused = ada.get("/~ada/notes").await.expect(403).json();
    assert!(refused["reason"].as_str().unwrap().contains("unpaid"), "{refused}");
    let resume = format!("user resume ada --server http://{}", server.address());
    assert_eq!(run(folder.path(), &resume, "").await, "");
    ada.get("/~ada/notes").await.expect(200);
    let passwd = "user passwd ada --data data --password-stdin";
    assert_eq!(run(folder.path(), passwd, "another password\n").await, "");
    ada.get("/~ada/notes").await.expect(401);
    let token = run(folder.path(), "user token ada --data data --most read", "").await;
    assert!(token.contains("settle_"), "{token}");
    let listed = run(folder.path(), "user token ada --data data --list", "").await;
    assert!(listed.contains("\tread\tall\t"), "{listed}");
    let deleted = run(folder.path(), "user delete ada --data data", "").await;
    assert!(deleted.starts_with("ada goes at "), "{deleted}");
    let list = run(folder.path(), "user list --data data", "").await;
    assert!(list.starts_with("ada\t\tgoes at "), "{list}");
}
