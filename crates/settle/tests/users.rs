//! `settle user`, on a data folder and against a server that runs on it.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fmt::Write as _, path::Path, process::Stdio};

use expect_test::expect;
use settle_testing::Process;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

/// Standard output, then standard error, then the exit code if it is not 0.
async fn run(folder: &Path, line: &str, input: &str) -> String {
    let mut command = Process::command(Path::new(env!("CARGO_BIN_EXE_settle")), folder);
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
        failed to add the user ada: the server answered 409 conflict: Document update conflict.
        exit code 1
        $ settle user passwd bob --password-stdin
        $ settle user suspend bob --reason unpaid
        $ settle user list
        ada	reader,writer
        bob		suspended: unpaid
        $ settle user resume bob
        $ settle user suspend nobody-of-this-name
        failed to suspend nobody-of-this-name: the server answered 404 not_found: missing
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
