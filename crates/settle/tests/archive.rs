//! `settle archive`, `settle restore` and `settle verify`, kills during a restore, and archives that the server makes
//! by itself.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use expect_test::expect;
use serde_json::{Value, json};
use settle_testing::{ADMIN, Client, Method, Process, eventually, header};
use tempfile::TempDir;
use tokio::task::JoinSet;

const BINARY: &str = env!("CARGO_BIN_EXE_settle");

/// What a command said, and the exit code if it is not 0.
async fn run(folder: &Path, line: &str) -> String {
    let mut command = Process::command(Path::new(BINARY), folder);
    command.env("SETTLE_ADMIN_USER", ADMIN.0).env("SETTLE_ADMIN_PASSWORD", ADMIN.1);
    let ran = command.args(line.split(' ')).output().await.unwrap();
    let mut seen = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
    if let Some(code) = ran.status.code().filter(|&code| code != 0) {
        writeln!(seen, "exit code {code}").unwrap();
    }
    seen
}

async fn serve(folder: &Path, variables: &[(&str, &str)]) -> Process {
    Process::serve(Path::new(BINARY), &folder.join("data"), variables).await
}

async fn fill(admin: &Client, database: &str, count: usize) {
    admin.put(&format!("/{database}"), &Value::Null).await.expect(201);
    for begin in (0..count).step_by(100) {
        let docs: Vec<Value> = (begin..(begin + 100).min(count))
            .map(|n| json!({ "_id": format!("d{n}"), "n": n, "pad": "x".repeat(500) }))
            .collect();
        let body = json!({ "docs": docs }).to_string();
        let kind = [(header::CONTENT_TYPE, "application/json")];
        let path = format!("/{database}/_bulk_docs");
        admin.request(Method::POST, &path, &kind, body).await.expect(201);
    }
    let bytes: Vec<u8> = (0..100_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
    let path = format!("/{database}/large/bytes");
    admin.request(Method::PUT, &path, &kind, bytes).await.expect(201);
}

/// Sizes differ with what the seed of a server makes.
fn without_sizes(seen: &str) -> String {
    let line = |line: &str| match line.rsplit_once(", ") {
        Some((before, size)) if size.ends_with('B') => format!("{before}, SIZE\n"),
        _ if line.starts_with("made ") => "made TIME\n".to_owned(),
        _ => match line.rsplit_once(" at ") {
            Some((before, at)) if before.starts_with("restored") => {
                format!("{before} at {}\n", at.split('-').next().unwrap_or_default())
            }
            _ => format!("{line}\n"),
        },
    };
    seen.lines().map(line).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn databases_go_to_files_and_come_back() {
    let folder = TempDir::new().unwrap();
    let server = serve(folder.path(), &[]).await;
    let admin = server.admin();
    fill(&admin, "notes", 20).await;
    fill(&admin, "a%2Fb", 3).await;
    admin.put("/notes/d0", &json!({ "x": 1 })).await.expect(409);
    let mut story = String::new();
    for line in [
        "archive notes a/b --to out",
        "verify out/notes.jsonl.zst",
        "verify out/notes.jsonl.zst --database notes",
        "verify out/notes.jsonl.zst --database a/b",
        "restore out/notes.jsonl.zst",
        "restore out/notes.jsonl.zst --as copy",
        "verify out/notes.jsonl.zst --database copy",
        "restore out/notes.jsonl.zst --replace",
        "archive none --to out",
        "archive",
    ] {
        let seen = run(folder.path(), &format!("{line} --data data")).await;
        write!(story, "$ settle {line}\n{}", without_sizes(&seen)).unwrap();
    }
    expect![[r#"
        $ settle archive notes a/b --to out
        notes: 21 documents, 0 deleted, 21 leaves, 1 attachments, SIZE
        a/b: 4 documents, 0 deleted, 4 leaves, 1 attachments, SIZE
        $ settle verify out/notes.jsonl.zst
        notes: 21 documents, 0 deleted, 21 leaves, 1 attachments, SIZE
        made TIME
        $ settle verify out/notes.jsonl.zst --database notes
        notes: 21 documents, 0 deleted, 21 leaves, 1 attachments, SIZE
        made TIME
        21 documents are the same in notes
        $ settle verify out/notes.jsonl.zst --database a/b
        notes: 21 documents, 0 deleted, 21 leaves, 1 attachments, SIZE
        made TIME
        4 documents are the same in a/b
        "d3" is missing
        "d4" is missing
        "d5" is missing
        "d6" is missing
        "d7" is missing
        "d8" is missing
        "d9" is missing
        "d10" is missing
        "d11" is missing
        "d12" is missing
        "d13" is missing
        "d14" is missing
        "d15" is missing
        "d16" is missing
        "d17" is missing
        "d18" is missing
        "d19" is missing
        exit code 1
        $ settle restore out/notes.jsonl.zst
        failed to restore out/notes.jsonl.zst: the server answered 412 file_exists: The database is there; with replace=true it is replaced.
        exit code 1
        $ settle restore out/notes.jsonl.zst --as copy
        restored copy: 21 documents, at 21
        $ settle verify out/notes.jsonl.zst --database copy
        notes: 21 documents, 0 deleted, 21 leaves, 1 attachments, SIZE
        made TIME
        21 documents are the same in copy
        $ settle restore out/notes.jsonl.zst --replace
        restored notes: 21 documents, at 21
        $ settle archive none --to out
        none: the server answered 404 not_found: Database does not exist.
        failed to archive 1 of the databases
        exit code 1
        $ settle archive
        error: the following required arguments were not provided:
          <DATABASE>...

        Usage: settle archive --data <DIR> <DATABASE>...

        For more information, try '--help'.
        exit code 2
    "#]].assert_eq(&story);
    let mut names: Vec<_> = fs::read_dir(folder.path().join("out"))
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["a%2Fb.jsonl.zst", "notes.jsonl.zst"]);
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_a_site_is_archived_on_a_folder_without_a_server() {
    let folder = TempDir::new().unwrap();
    let mut server = serve(folder.path(), &[]).await;
    let admin = server.admin();
    fill(&admin, "notes", 2).await;
    let user = json!({ "type": "user", "name": "ada", "roles": [], "password": "a long password" });
    admin.put("/_users/org.couchdb.user:ada", &user).await.expect(201);
    admin.put("/~ada/diary", &Value::Null).await.expect(201);
    server.terminate();
    server.wait().await;
    run(folder.path(), "archive --account ada --to ada --data data").await;
    run(folder.path(), "archive --site --to site --data data").await;
    let names = |folder: PathBuf| {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(folder.path().join("ada")), ["~ada%2Fdiary.jsonl.zst"]);
    let site = names(folder.path().join("site"));
    for expected in ["notes.jsonl.zst", "_users.jsonl.zst", "~ada%2Fdiary.jsonl.zst"] {
        assert!(site.contains(&expected.to_owned()), "{site:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_during_a_restore_leaves_the_database_as_it_was() {
    let folder = TempDir::new().unwrap();
    let server = serve(folder.path(), &[]).await;
    fill(&server.admin(), "notes", 3_000).await;
    let seen = run(folder.path(), "archive notes --to out --data data").await;
    assert!(seen.starts_with("notes: 3001 documents"), "{seen}");
    server.admin().put("/notes/later", &json!({})).await.expect(201);
    drop(server);
    let archive = fs::read(folder.path().join("out/notes.jsonl.zst")).unwrap();
    let mut restored = 0;
    for wait in [5, 20, 60, 120, 250, 500, 1_000] {
        let mut server = serve(folder.path(), &[]).await;
        let admin = server.admin();
        let mut replacing = {
            let (admin, archive) = (server.admin(), archive.clone());
            let path = "/notes/_restore?replace=true";
            let mut tasks = JoinSet::new();
            tasks.spawn(async move {
                let sent = admin.try_request(Method::PUT, path, &[], archive).await;
                sent.is_ok_and(|reply| reply.status == 201)
            });
            tasks
        };
        tokio::time::sleep(Duration::from_millis(wait)).await;
        server.kill().await;
        let answered = replacing.join_next().await.unwrap().unwrap();
        drop(admin);

        let server = serve(folder.path(), &[]).await;
        let admin = server.admin();
        let info = admin.get("/notes").await.expect(200).json();
        let later = admin.get("/notes/later").await.status;
        match (info["doc_count"].as_u64(), later.as_u16()) {
            (Some(3_002), 200) => assert!(!answered, "what was answered is there"),
            (Some(3_001), 404) => {
                restored += 1;
                admin.put("/notes/later", &json!({})).await.expect(201);
            }
            other => panic!("{other:?}: neither the old nor the new database"),
        }
        // Nothing but what has a name is seen.
        let names = admin.get("/_all_dbs").await.expect(200).json();
        assert_eq!(names, json!(["_audit", "_replicator", "_users", "notes"]));
    }
    println!("{restored} of 7 were done before the kill");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_archives_its_databases_and_proves_it() {
    let folder = TempDir::new().unwrap();
    let archives = folder.path().join("archives");
    let settings = [
        ("SETTLE_ARCHIVES_FOLDER", archives.to_str().unwrap()),
        ("SETTLE_ARCHIVES_EVERY", "1 s"),
        ("SETTLE_ARCHIVES_KEEP", "2 s"),
    ];
    let server = serve(folder.path(), &settings).await;
    let admin = server.admin();
    fill(&admin, "notes", 10).await;
    let runs = || -> Vec<PathBuf> {
        let entries = fs::read_dir(&archives).into_iter().flatten();
        let paths = entries.map(|it| it.unwrap().path());
        let mut runs: Vec<_> = paths.filter(|it| it.join("notes.jsonl.zst").exists()).collect();
        runs.sort();
        runs
    };
    let first = eventually("a run is finished", async || {
        runs().into_iter().find(|it| !it.to_string_lossy().contains("unfinished"))
    })
    .await;
    eventually("the first run is removed", async || (!first.exists()).then_some(())).await;
    assert!(!runs().is_empty(), "the newest stays");
    let metrics = admin.get("/_node/_local/_prometheus").await.expect(200).text();
    let passed = metrics
        .lines()
        .find(|it| it.starts_with("settle_restore_drills_total{outcome=\"passed\"}"));
    let passed: u64 = passed.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(passed >= 4, "{metrics}");
    assert!(metrics.contains("settle_restore_drills_total{outcome=\"failed\"} 0"), "{metrics}");
    let records = admin.get("/_audit/_all_docs?include_docs=true").await.expect(200).json();
    let mut drill = records["rows"].as_array().unwrap().iter().map(|row| &row["doc"]);
    let drill = drill.rfind(|doc| doc["type"] == "restore_drill").unwrap().clone();
    assert_eq!(drill["failed"], 0);
    assert!(drill["databases"].as_u64().unwrap() >= 4, "{drill}");
}
