//! `settle archive`, `settle restore` and `settle verify`, kills during a restore, and archives that the server makes
//! by itself.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs::{self, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
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
async fn databases_go_to_files_as_they_were() {
    let folder = TempDir::new().unwrap();
    let server = serve(folder.path(), &[]).await;
    let admin = server.admin();
    fill(&admin, "notes", 3).await;
    admin.put("/notes/_snapshots/monday", &Value::Null).await.expect(201);
    let taken = admin.get("/notes/_snapshots/monday").await.expect(200).json();
    let time = taken["taken"].as_str().unwrap().to_owned();
    fill(&admin, "later", 1).await;
    admin.put("/notes/new", &json!({})).await.expect(201);
    let mut story = String::new();
    for line in [
        "archive notes --at monday --to monday".to_owned(),
        "archive notes --to now".to_owned(),
        "archive notes --at tuesday --to out".to_owned(),
        "archive notes --at no/moment --to out".to_owned(),
        "archive --site --at monday --to out".to_owned(),
        "archive --account ada --at 3 --to out".to_owned(),
        format!("archive --site --at {time} --to site"),
        format!("archive later --at {time} --to out"),
    ] {
        let seen = run(folder.path(), &format!("{line} --data data")).await;
        let line = line.replace(&time, "TIME");
        // How much of what was done stands there by then is not sure.
        let seen: String =
            seen.split_inclusive('\n').filter(|it| !it.starts_with("_audit:")).collect();
        write!(story, "$ settle {line}\n{}", without_sizes(&seen)).unwrap();
    }
    expect![[r#"
        $ settle archive notes --at monday --to monday
        notes: 4 documents, 0 deleted, 4 leaves, 1 attachments, SIZE
        $ settle archive notes --to now
        notes: 5 documents, 0 deleted, 5 leaves, 1 attachments, SIZE
        $ settle archive notes --at tuesday --to out
        notes: the server answered 404 no_snapshot: there is no snapshot named tuesday
        failed to archive 1 of the databases
        exit code 1
        $ settle archive notes --at no/moment --to out
        error: invalid value 'no/moment' for '--at <MOMENT>': a moment is the name of a snapshot, a sequence, or a time such as 2027-11-21T03:05:46Z

        For more information, try '--help'.
        exit code 2
        $ settle archive --site --at monday --to out
        failed to archive many databases at one moment: a snapshot or a sequence is of one, say a time
        exit code 1
        $ settle archive --account ada --at 3 --to out
        failed to archive many databases at one moment: a snapshot or a sequence is of one, say a time
        exit code 1
        $ settle archive --site --at TIME --to site
        _replicator: 0 documents, 0 deleted, 0 leaves, 0 attachments, SIZE
        _users: 1 documents, 0 deleted, 1 leaves, 0 attachments, SIZE
        later: not there yet, left out
        notes: 4 documents, 0 deleted, 4 leaves, 1 attachments, SIZE
        $ settle archive later --at TIME --to out
        later: the server answered 404 not_yet: the database was not there yet at that moment
        failed to archive 1 of the databases
        exit code 1
    "#]].assert_eq(&story);
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

/// The runs that are finished, oldest first.
fn finished(archives: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(archives).into_iter().flatten();
    let paths = entries.map(|it| it.unwrap().path());
    let mut runs: Vec<_> =
        paths.filter(|it| !it.to_string_lossy().contains("unfinished")).collect();
    runs.sort();
    runs
}

/// Bytes of the archive of `notes` in a run; 0 if it has none.
fn notes_in(run: &Path) -> u64 {
    fs::metadata(run.join("notes.jsonl.zst")).map_or(0, |it| it.len())
}

/// So much that it takes a while to write an archive of it.
async fn put_noise(admin: &Client) {
    let noise: Vec<u8> = (0..4_000_000_u64)
        .map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_mul(n | 1).to_be_bytes()[0])
        .collect();
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
    for name in ["a", "b", "c", "d"] {
        let path = format!("/notes/{name}/noise");
        admin.request(Method::PUT, &path, &kind, noise.clone()).await.expect(201);
    }
}

async fn metric(admin: &Client, name: &str) -> u64 {
    let metrics = admin.get("/_node/_local/_prometheus").await.expect(200).text();
    let line = metrics.lines().find(|it| it.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

const PROVED: &str = "settle_archives_proved_timestamp_seconds";
const DRILLS_FAILED: &str = "settle_restore_drills_total{outcome=\"failed\"}";

/// Whoever flips a byte of a file as soon as some of it is there, until it is dropped.
struct Flipping {
    ends: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Flipping {
    /// `archives` has folders of runs; the files are those of one name in all runs that are not finished.
    fn begin(archives: &Path, file: &'static str) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let (archives, ended) = (archives.to_owned(), ends.clone());
        let thread = thread::spawn(move || {
            let mut done = HashSet::new();
            while !ended.load(Ordering::Relaxed) {
                for run in fs::read_dir(&archives).into_iter().flatten().flatten() {
                    let (name, path) = (run.file_name(), run.path().join(file));
                    let is_due = name.to_string_lossy().starts_with(".unfinished-")
                        && !done.contains(&name)
                        && fs::metadata(&path).is_ok_and(|it| it.len() > 1_000);
                    if is_due && flip(&path, 500).is_ok() {
                        done.insert(name);
                    }
                }
                thread::yield_now();
            }
        });
        Self { ends, thread: Some(thread) }
    }
}

impl Drop for Flipping {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn flip(path: &Path, at: u64) -> std::io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    file.write_all_at(&[byte[0] ^ 1], at)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_fails_where_the_archive_is_damaged_and_the_last_good_one_stays() {
    let folder = TempDir::new().unwrap();
    let archives = folder.path().join("archives");
    let settings = [
        ("SETTLE_ARCHIVES_FOLDER", archives.to_str().unwrap()),
        ("SETTLE_ARCHIVES_EVERY", "1 s"),
        ("SETTLE_ARCHIVES_KEEP", "1 s"),
    ];
    let mut server = serve(folder.path(), &settings).await;
    let admin = server.admin();
    fill(&admin, "notes", 10).await;
    // Whoever damages it comes by before it is whole.
    put_noise(&admin).await;
    let good = eventually("a run is good that has all of it", async || {
        finished(&archives).into_iter().rfind(|run| notes_in(run) > 15_000_000)
    })
    .await;
    assert!(!good.to_string_lossy().contains("failed"), "{good:?}");

    let flipping = Flipping::begin(&archives, "notes.jsonl.zst");
    let failed = async || metric(&admin, DRILLS_FAILED).await;
    // Long enough that all that may go has gone.
    eventually("three drills have failed", async || (failed().await >= 3).then_some(())).await;
    let proved = metric(&admin, PROVED).await;
    eventually("one more has", async || (failed().await >= 4).then_some(())).await;
    assert_eq!(metric(&admin, PROVED).await, proved);
    let left = finished(&archives);
    let is_good = |run: &&PathBuf| !run.to_string_lossy().ends_with("-failed");
    let good: Vec<_> = left.iter().filter(is_good).collect();
    assert_eq!(good.len(), 1, "{left:?}");
    assert!(notes_in(good[0]) > 15_000_000);
    let bad = left.last().unwrap();
    assert!(bad.to_string_lossy().ends_with("-failed"), "{left:?}");
    assert!(bad.join("notes.jsonl.zst-failed").exists() && notes_in(bad) == 0);
    assert!(bad.join("_users.jsonl.zst").exists(), "the other archives of the run are good");

    let records = admin.get("/_audit/_all_docs?include_docs=true").await.expect(200).json();
    let mut drills = records["rows"].as_array().unwrap().iter().map(|row| &row["doc"]);
    let drill = drills.rfind(|it| it["type"] == "restore_drill" && it["failed"] == 1).unwrap();
    assert_eq!(drill["failures"][0]["database"], "notes", "{drill}");
    let reason = drill["failures"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("a block is damaged, at byte 0 (block 0)"), "{reason}");
    drop(flipping);

    // As soon as one is good again, that is known.
    eventually("a run is good again", async || {
        (metric(&admin, PROVED).await > proved).then_some(())
    })
    .await;
    server.terminate();
    server.wait().await;
    let output = server.take_output();
    let line = output.lines().find(|it| it.contains(" ERROR ")).unwrap();
    for part in ["a database has no archive that is good", "database=\"notes\"", "is damaged"] {
        assert!(line.contains(part), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_whose_name_is_too_long_for_a_file_is_archived_too() {
    let folder = TempDir::new().unwrap();
    let archives = folder.path().join("archives");
    let settings = [
        ("SETTLE_ARCHIVES_FOLDER", archives.to_str().unwrap()),
        ("SETTLE_ARCHIVES_EVERY", "1 s"),
        ("SETTLE_ARCHIVES_KEEP", "1 h"),
    ];
    let server = serve(folder.path(), &settings).await;
    let admin = server.admin();
    let name = format!("a{}", "$".repeat(237));
    admin.put(&format!("/{name}"), &Value::Null).await.expect(201);
    let file = eventually("it is archived", async || {
        let files = finished(&archives).into_iter().flat_map(|run| fs::read_dir(run).unwrap());
        let mut files = files.map(|it| it.unwrap().path());
        files.find(|it| it.file_name().unwrap().to_string_lossy().starts_with("a%24%24"))
    })
    .await;
    assert!(!file.to_string_lossy().contains("failed"), "{file:?}");
    // Its name does not say of which database it is, and it does itself.
    let seen = run(folder.path(), &format!("verify {}", file.display())).await;
    assert!(seen.starts_with(&format!("{name}: 0 documents")), "{seen}");
    assert_eq!(metric(&admin, DRILLS_FAILED).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_dropped_while_it_is_archived_is_passed_over() {
    let folder = TempDir::new().unwrap();
    let archives = folder.path().join("archives");
    let settings = [
        ("SETTLE_ARCHIVES_FOLDER", archives.to_str().unwrap()),
        ("SETTLE_ARCHIVES_EVERY", "1 s"),
        ("SETTLE_ARCHIVES_KEEP", "1 h"),
    ];
    let server = serve(folder.path(), &settings).await;
    let admin = server.admin();
    let mut is_passed_over = false;
    // On a slow machine its archive may be whole by then.
    for _ in 0..5 {
        admin.put("/notes", &Value::Null).await.expect(201);
        put_noise(&admin).await;
        let name = eventually("its archive is begun", async || {
            let runs = fs::read_dir(&archives).into_iter().flatten().flatten();
            let mut begun = runs.filter(|run| notes_in(&run.path()) > 1_000);
            begun.find_map(|run| {
                Some(run.file_name().to_str()?.strip_prefix(".unfinished-")?.to_owned())
            })
        })
        .await;
        admin.delete("/notes").await.expect(200);
        let run = eventually("the run is finished", async || {
            let is_it = |run: &PathBuf| run.to_string_lossy().contains(&name);
            finished(&archives).into_iter().find(is_it)
        })
        .await;
        assert!(!run.to_string_lossy().contains("failed"), "{run:?}");
        is_passed_over = notes_in(&run) == 0;
        if is_passed_over {
            break;
        }
    }
    assert!(is_passed_over, "what there was of its archive is left");
    assert_eq!(metric(&admin, DRILLS_FAILED).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_archives_were_proved_is_known_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let archives = folder.path().join("archives");
    let settings =
        [("SETTLE_ARCHIVES_FOLDER", archives.to_str().unwrap()), ("SETTLE_ARCHIVES_EVERY", "1 h")];
    let proved = async |server: &Process| {
        let admin = server.admin();
        let known = async || Some(metric(&admin, PROVED).await).filter(|&it| it > 0);
        eventually("it is known when archives were proved", known).await
    };
    let mut server = serve(folder.path(), &settings).await;
    let ended = proved(&server).await;
    server.terminate();
    server.wait().await;

    let server = serve(folder.path(), &settings).await;
    let begun = proved(&server).await;
    let runs = finished(&archives);
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert!(runs[0].to_string_lossy().ends_with(&format!("Z-{begun}")), "{begun}: {runs:?}");
    assert!(begun <= ended);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_ends_where_the_account_is_full() {
    let folder = TempDir::new().unwrap();
    let server = serve(folder.path(), &[]).await;
    let admin = server.admin();
    let user = json!({ "type": "user", "name": "ada", "roles": [], "password": "a long password" });
    admin.put("/_users/org.couchdb.user:ada", &user).await.expect(201);
    admin.put("/notes", &Value::Null).await.expect(201);
    let docs = (0..300).map(|n| json!({ "_id": format!("d{n}"), "pad": "x".repeat(10_000) }));
    let docs: Vec<Value> = docs.collect();
    admin.post("/notes/_bulk_docs", &json!({ "docs": docs })).await.expect(201);
    let archive = admin.get("/notes/_archive").await.expect(200).body;
    let ada = Client::signed_in(server.address(), "ada", "a long password");
    let restored = ada.request(Method::PUT, "/~ada/copy/_restore", &[], archive.clone()).await;
    restored.expect(201);
    ada.delete("/~ada/copy").await.expect(200);

    let quota = json!({ "databases_max": null, "bytes_max": 1_000_000 });
    admin.put("/_accounts/ada", &quota).await.expect(200);
    // Nobody comes as far as to see that the end is missing.
    let cut = archive.slice(..archive.len() - 1);
    for archive in [archive, cut] {
        let refused = ada.request(Method::PUT, "/~ada/copy/_restore", &[], archive).await;
        let reason = refused.expect(507).text();
        assert!(reason.contains("and may keep 1000000"), "{reason}");
        ada.get("/~ada/copy").await.expect(404);
    }
}
