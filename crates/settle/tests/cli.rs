//! The commands as a person at a terminal meets them: output, messages, exit codes.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fmt::Write as _, fs, path::Path};

use expect_test::{Expect, expect};
use settle_testing::Process;
use tempfile::TempDir;

/// Runs the command line in an empty folder, or one that `prepare` has filled.
async fn check(line: &str, prepare: impl FnOnce(&Path), expected: &Expect) {
    let folder = TempDir::new().unwrap();
    prepare(folder.path());
    let mut command = Process::command(Path::new(env!("CARGO_BIN_EXE_settle")), folder.path());
    let ran = command.args(line.split(' ')).output().await.unwrap();
    let mut seen = String::from_utf8(ran.stdout).unwrap();
    seen.push_str(&String::from_utf8(ran.stderr).unwrap());
    if let Some(code) = ran.status.code().filter(|&code| code != 0) {
        writeln!(seen, "exit code {code}").unwrap();
    }
    expected.assert_eq(&seen.replace(&folder.path().display().to_string(), "…"));
}

#[tokio::test]
async fn config_prints_each_value_and_where_it_came_from_but_no_secret() {
    let file = "[admin]\nuser = 'ada'\npassword = 'lovelace'\n";
    let prepare = |folder: &Path| fs::write(folder.join("settle.toml"), file).unwrap();
    check(
        "config --bind 127.0.0.1:80",
        prepare,
        &expect![[r#"
            data                    ./data           default
            bind                    127.0.0.1:80     --bind
            tls.certificate         -                default
            tls.key                 -                default
            tls.trusted             -                default
            admin.user              ada              settle.toml
            admin.password          ********         settle.toml
            audit.keep              90 d             default
            jwt.keys                -                default
            jwt.keys_url            -                default
            jwt.required_claims     exp              default
            jwt.roles_claim         _couchdb\.roles  default
            proxy.secret            -                default
            log.format              text             default
            log.filter              info             default
            stop.patience           10 s             default
            store.size_max          1 TiB            default
            revisions.keep          1 h              default
            attachments.keep        10 min           default
            archives.folder         -                default
            archives.every          1 d              default
            archives.keep           30 d             default
            indexes.sort_memory     64 MiB           default
            scripts.workers         auto             default
            scripts.deadline        5 s              default
            scripts.memory          64 MiB           default
            scripts.process_memory  256 MiB          default
            scripts.reduce_limit    refuse           default
            scripts.shows_lists     on               default
            replicator.max_jobs     1000             default
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_wrong_setting_is_wrong_usage() {
    check("config --bind 5984", |_| {}, &expect![[r#"
        failed to read the configuration: --bind: bind is "5984": expected an IP address and a port, as in 127.0.0.1:5984 or [::1]:5984
        exit code 2
    "#]]).await;
    let misspelt = |folder: &Path| fs::write(folder.join("settle.toml"), "bnid = 1").unwrap();
    check("config", misspelt, &expect![[r#"
        failed to read the configuration: settle.toml: there is no setting bnid; did you mean bind? (settle config lists all of them)
        exit code 2
    "#]]).await;
    check("config --config missing.toml", |_| {}, &expect![[r#"
        failed to read the configuration: read the configuration file missing.toml: No such file or directory (os error 2)
        exit code 2
    "#]]).await;
    check("serve --log-filter settle=loud", |_| {}, &expect![[r#"
        failed to read the configuration: --log-filter: log.filter is "settle=loud": expected error, warn, info, debug, trace or off, as in info,settle_http=debug
        exit code 2
    "#]]).await;
}

#[tokio::test]
async fn a_misspelt_flag_is_wrong_usage() {
    check(
        "serve --dta x",
        |_| {},
        &expect![[r#"
        error: unexpected argument '--dta' found

          tip: a similar argument exists: '--data'

        Usage: settle serve --data <DATA>

        For more information, try '--help'.
        exit code 2
    "#]],
    )
    .await;
}

#[tokio::test]
async fn what_failed_is_said_with_its_causes() {
    let full = |folder: &Path| fs::write(folder.join("data"), "a file").unwrap();
    check("serve --bind 127.0.0.1:0", full, &expect![[r#"
        failed to start the server: open the data folder: create the folder ./data: File exists (os error 17)
        exit code 1
    "#]]).await;
    check(
        "load notes missing.json",
        |_| {},
        &expect![[r#"
        failed to open the file missing.json: No such file or directory (os error 2)
        exit code 1
    "#]],
    )
    .await;
    check(
        "backup copy",
        |_| {},
        &expect![[r#"
        failed to back up ./data to copy: ./data is no data folder: it has no documents
        exit code 1
    "#]],
    )
    .await;
    let url = "load notes settle.toml --server https://example.org";
    let some_file = |folder: &Path| fs::write(folder.join("settle.toml"), "").unwrap();
    check(
        url,
        some_file,
        &expect![[r#"
            failed to find the server: https://example.org is no URL of a server; expected one like http://127.0.0.1:5984
            exit code 1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn the_help_fits_on_a_screen() {
    check(
        "--help",
        |_| {},
        &expect![[r#"
            A backend in one binary that speaks CouchDB's HTTP protocol

            Usage: settle <COMMAND>

            Commands:
              serve       Runs the server until it gets SIGTERM or SIGINT
              config      Prints every setting, its value, and where that came from
              load        Loads documents from a file: one JSON object a line, or one array of them
              import      Brings everything over from another server, and compares
              user        Makes, lists, suspends and deletes users, and their passwords and tokens
              backup      Writes a copy of the data folder that opens as one, while the server runs or not
              archive     Writes databases to files that can be read without Settle, one each, and checks them
              restore     Brings a database back from its archive, beside the one that is there or in its place
              verify      Checks everything in an archive, and compares it with a database if asked
              doctor      Looks at a running server as its clients see it, and at what it stands on
              slow-proxy  Stands between clients and a server as a bad network would: late, slow, with cuts
              help        Print this message or the help of the given subcommand(s)

            Options:
              -h, --help     Print help
              -V, --version  Print version

            Exit codes: 0 done, 1 failed, 2 wrong usage.
        "#]],
    )
    .await;
}
