//! How a store comes into being, is held, is copied, and what is said when it cannot be opened.

use std::{env, fs, path::Path, process::Command, sync::Arc, time::Duration};

use settle_engine::{Batch, Engine, Outcome};
use settle_engine_lmdb::{LmdbEngine, OpenOptions, backup, compact};

fn options() -> OpenOptions {
    OpenOptions { map_bytes: 64 << 20, lock_wait: Duration::ZERO }
}

fn open(dir: &Path) -> Arc<LmdbEngine> {
    LmdbEngine::open(dir, &options()).expect("the store opens")
}

/// What is said when `dir` cannot be opened.
fn refusal(dir: &Path) -> String {
    let error = LmdbEngine::open(dir, &options()).expect_err("the store must not open");
    error.to_string().replace(&*dir.to_string_lossy(), "DIR")
}

async fn put(engine: &LmdbEngine, key: &[u8], value: Vec<u8>) -> Outcome {
    let mut batch = Batch::default();
    batch.put(key.to_vec(), value);
    engine.commit(batch).await
}

async fn get(engine: &Arc<LmdbEngine>, key: &[u8]) -> Option<Vec<u8>> {
    let engine: Arc<dyn Engine> = Arc::clone(engine) as _;
    engine.get(key.to_vec()).await.expect("reads")
}

#[tokio::test]
async fn rows_are_there_after_reopening_many_times() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("deep/store");
    for round in 0..20_u8 {
        let engine = open(&dir);
        assert_eq!(put(&engine, &[1, round], vec![round]).await, Outcome::Committed);
        assert_eq!(engine.stats().keys, u64::from(round) + 1);
    }
    let names: Vec<_> =
        fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
}

#[test]
fn a_store_is_open_once() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    assert_eq!(
        refusal(folder.path()),
        "DIR is in use by another server; stop it first, or choose another folder"
    );
    drop(engine);
    drop(open(folder.path()));
}

#[test]
fn opening_waits_for_a_server_that_is_on_its_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let closing = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        drop(engine);
    });
    let patient = OpenOptions { lock_wait: Duration::from_secs(20), ..options() };
    drop(LmdbEngine::open(folder.path(), &patient).unwrap());
    closing.join().unwrap();
}

#[test]
fn what_is_no_store_of_this_format_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    fs::write(dir.join("data.mdb"), b"mine").unwrap();
    assert_eq!(
        refusal(dir),
        "DIR holds a data file but is no store of this engine: \
         engine.format is missing, as after a copy that was interrupted"
    );
    assert_eq!(fs::read(dir.join("data.mdb")).unwrap(), b"mine", "it is left alone");
    let says = |format: &str| {
        fs::write(dir.join("engine.format"), format).unwrap();
        refusal(dir)
    };
    assert_eq!(
        says("settle-lmdb 2\npage 4096\n"),
        "DIR has the format of a newer version (2; this one knows up to 1)"
    );
    assert_eq!(
        says("settle-lmdb 1\npage 16384\n"),
        "DIR has pages of 16384 bytes, this engine uses 4096"
    );
    assert_eq!(
        says("hello"),
        "DIR holds a data file but is no store of this engine: engine.format says something else"
    );
    assert_eq!(
        says("settle-lmdb 1\npage 4096\n"),
        "the store in DIR is damaged: could not read page 0 of DIR/data.mdb"
    );
    fs::remove_file(dir.join("data.mdb")).unwrap();
    assert_eq!(refusal(dir), "the data file of the store in DIR is missing");
}

#[test]
fn a_map_beyond_the_address_space_is_refused_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let huge = OpenOptions { map_bytes: 1 << 60, ..options() };
    let error = LmdbEngine::open(folder.path(), &huge).unwrap_err().to_string();
    assert!(error.contains("ulimit -v"), "{error}");
    drop(open(folder.path()));
}

#[tokio::test]
async fn a_store_whose_making_was_cut_off_is_made() {
    let whole = tempfile::tempdir().unwrap();
    drop(open(whole.path()));
    let data = fs::read(whole.path().join("data.mdb")).unwrap();
    // After each step of making one, and halfway through writing the data file.
    let steps: [&[(&str, &[u8])]; 5] = [
        &[],
        &[("creating/data.mdb", &data[..100])],
        &[("creating/data.mdb", &data)],
        &[("creating/lock.mdb", b""), ("data.mdb", &data)],
        &[
            ("creating/lock.mdb", b""),
            ("data.mdb", &data),
            ("engine.format", b"settle-lmdb 1\npage 4096\n"),
        ],
    ];
    for files in steps {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("creating")).unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let engine = open(folder.path());
        assert_eq!(put(&engine, b"k", vec![1]).await, Outcome::Committed);
        drop(engine);
        assert!(!folder.path().join("creating").exists());
        assert_eq!(get(&open(folder.path()), b"k").await, Some(vec![1]));
    }
}

#[tokio::test]
async fn a_full_map_refuses_the_batch_and_keeps_its_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let small = OpenOptions { map_bytes: 1 << 20, ..options() };
    let engine = LmdbEngine::open(folder.path(), &small).unwrap();
    let commits: Vec<_> = (0..30_u8)
        .map(|number| {
            let mut batch = Batch::default();
            let length = if number % 10 == 5 { 2 << 20 } else { 10 };
            batch.put(vec![number], vec![number; length]);
            engine.commit(batch)
        })
        .collect();
    for (number, commit) in (0_u8..).zip(commits) {
        let outcome = commit.await;
        if number % 10 == 5 {
            assert!(
                matches!(outcome, Outcome::NotApplied { storage_full: true, .. }),
                "{outcome:?}"
            );
        } else {
            assert_eq!(outcome, Outcome::Committed);
        }
    }
    assert_eq!(engine.stats().keys, 27);
    // Deleting makes room again: what is full can be emptied.
    let mut number = 100_u8;
    while put(&engine, &[number], vec![0; 50_000]).await == Outcome::Committed {
        number += 1;
    }
    assert!(number > 105);
    let cleared = engine.clear(vec![100], vec![200], usize::MAX).await;
    cleared.expect("a full store can be cleared");
    // Pages that a commit has freed can be used again by the second one after it.
    assert_eq!(put(&engine, b"small", Vec::new()).await, Outcome::Committed);
    assert_eq!(put(&engine, b"again", vec![0; 50_000]).await, Outcome::Committed);
    drop(engine);
    let engine = open(folder.path());
    assert_eq!(put(&engine, b"more", vec![0; 4 << 20]).await, Outcome::Committed, "a larger map");
}

#[tokio::test]
async fn a_copied_folder_has_another_identity_and_a_compacted_one_has_not() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, copy) = (folder.path().join("store"), folder.path().join("copy"));
    let engine = open(&dir);
    let identity = engine.identity();
    for number in 0..100 {
        assert_eq!(put(&engine, &[1, number], vec![0; 10_000]).await, Outcome::Committed);
    }
    engine.clear(vec![1, 1], vec![2], usize::MAX).await.expect("clears");
    drop(engine);
    for _ in 0..3 {
        let compacted = compact(&dir).unwrap();
        assert!(compacted.after_bytes <= compacted.before_bytes);
        assert!(compacted.after_bytes < 100_000, "{compacted:?}");
        let engine = open(&dir);
        assert_eq!(engine.identity(), identity);
        assert_eq!(engine.stats().keys, 1);
        assert_eq!(get(&engine, &[1, 0]).await, Some(vec![0; 10_000]));
    }
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(&dir).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    assert_ne!(open(&copy).identity(), identity);
    fs::rename(&dir, folder.path().join("moved")).unwrap();
    assert_eq!(open(&folder.path().join("moved")).identity(), identity);
}

#[tokio::test]
async fn a_compaction_that_was_cut_off_before_the_move_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let engine = open(dir);
    let identity = engine.identity();
    assert_eq!(put(&engine, b"k", vec![1]).await, Outcome::Committed);
    drop(engine);
    compact(dir).unwrap();
    // Another one copied and noted the new file, and then the power went.
    let before = fs::read_to_string(dir.join("engine.identity")).unwrap();
    fs::write(dir.join("data.mdb.compacted"), b"half").unwrap();
    let lines: Vec<&str> = before.lines().collect();
    let noted = format!("{}\n00000000000000010000000000000002 {}\n", lines[1], &lines[1][33..]);
    fs::write(dir.join("engine.identity"), noted).unwrap();
    assert_eq!(open(dir).identity(), identity);
    compact(dir).unwrap();
    let engine = open(dir);
    assert_eq!(engine.identity(), identity);
    assert_eq!(get(&engine, b"k").await, Some(vec![1]));
}

#[tokio::test]
async fn another_process_can_take_a_backup_while_the_server_writes() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, to) = (folder.path().join("store"), folder.path().join("backup"));
    let engine = open(&dir);
    assert_eq!(put(&engine, b"k", vec![1]).await, Outcome::Committed);
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "take_a_backup", "--ignored", "--nocapture"])
        .env("SETTLE_TEST_DIR", &dir)
        .env("SETTLE_TEST_TO", &to)
        .spawn()
        .unwrap();
    let mut number = 0_u64;
    let status = loop {
        assert_eq!(put(&engine, &number.to_be_bytes(), vec![0; 1000]).await, Outcome::Committed);
        number += 1;
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
    };
    assert!(status.success());
    let copy = open(&to);
    assert_eq!(get(&copy, b"k").await, Some(vec![1]));
    assert_ne!(copy.identity(), engine.identity());
    assert_eq!(put(&engine, b"after", vec![1]).await, Outcome::Committed);
}

/// Not a test: the process of the one above.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn take_a_backup() {
    let path = |name: &str| std::path::PathBuf::from(env::var_os(name).unwrap());
    backup(&path("SETTLE_TEST_DIR"), &path("SETTLE_TEST_TO")).unwrap();
}

#[tokio::test]
async fn dropping_the_engine_commits_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let commits: Vec<_> = (0..50_u8)
        .map(|number| {
            let mut batch = Batch::default();
            batch.put(vec![number], vec![number]);
            engine.commit(batch)
        })
        .collect();
    drop(engine);
    for commit in commits {
        assert_eq!(commit.await, Outcome::Committed);
    }
    assert_eq!(open(folder.path()).stats().keys, 50);
}
