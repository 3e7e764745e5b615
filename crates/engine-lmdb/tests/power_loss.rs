//! The power goes at any instant: what was acknowledged is there afterwards, and nothing by halves.
//!
//! A process writes a store with a recorder preloaded that notes each real write and sync of the data
//! file. From the recording, the disk is rebuilt as it may be after every prefix, with all, none or
//! some of the writes that no sync had covered, torn at pages and sectors. Each image must open.
//! The same check must fail where syncs are left out, or it would show nothing.

#![cfg(target_os = "linux")]

#[path = "power_loss/recording.rs"]
mod recording;
#[path = "power_loss/workload.rs"]
mod workload;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use recording::{Acknowledged, Image, Random, Recording};
use tempfile::TempDir;

const TASK: &str = "SETTLE_TEST_TASK";
const DIR: &str = "SETTLE_TEST_DIR";
const LOG: &str = "SETTLE_RECORDING";
const FAIL: &str = "SETTLE_FAIL";
const FORGET: &str = "SETTLE_FORGET_SYNC";
const ACKNOWLEDGED: &str = "SETTLE_TEST_ACKNOWLEDGED";

#[test]
fn what_was_acknowledged_survives_a_power_loss_at_any_instant() {
    let recording = record(None);
    let mut random = Random(env_number("SETTLE_TEST_SEED").unwrap_or(1));
    let disk = Disk::new();
    let mut images = 0;
    recording.images(6, &mut random, |image| {
        disk.write(&image.bytes);
        if let Err(problem) = workload::check(&disk.dir(), &image.acknowledged) {
            panic!("{}: {problem}", image.name);
        }
        images += 1;
        true
    });
    println!("{images} images of {} records, {} syncs", recording.count(), recording.syncs());
    assert!(images > 1_000, "{images} images are too few to show anything");
}

#[test]
fn without_its_syncs_the_engine_fails_this_test() {
    for forgotten in ["all", "data", "meta"] {
        let recording = record(Some(forgotten));
        let disk = Disk::new();
        let (mut images, mut problem) = (0, None);
        recording.images(3, &mut Random(1), |image| {
            // A torn tree can crash its reader, so each image has a process of its own; a few
            // hundred are plenty.
            images += 1;
            if images % 7 == 0 {
                disk.write(&image.bytes);
                problem = check_apart(&disk, &image).err();
            }
            problem.is_none() && images < 3_000
        });
        let problem = problem.unwrap_or_else(|| panic!("{forgotten}: {images} images pass"));
        println!("without {forgotten} syncs, image {images}: {problem}");
    }
}

#[test]
fn a_failed_sync_stops_writing_until_the_store_is_reopened_and_a_full_disk_does_not() {
    for failing in ["data", "meta", "full"] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = folder.path().join("store");
        drop(settle_engine_lmdb::LmdbEngine::open(&store, &workload::options()).expect("opens"));
        let output = task_command("fail", &store)
            .env("LD_PRELOAD", recorder(&folder))
            .env(FAIL, failing)
            .output()
            .expect("the task starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{failing}: {said}");
    }
}

/// Not a test: what the processes that the tests start do.
#[test]
#[ignore = "run by the other tests, in processes of their own"]
fn task() {
    let dir = PathBuf::from(env::var_os(DIR).expect("a folder is named"));
    match env::var(TASK).expect("a task is named").as_str() {
        "write" => {
            workload::write(&dir, Path::new(&env::var_os(LOG).expect("a log is named")));
        }
        "fail" => workload::meet_a_failure(&dir, &env::var(FAIL).expect("a call is named")),
        "check" => {
            let text = env::var(ACKNOWLEDGED).expect("steps are named");
            let steps: Acknowledged = text
                .split_whitespace()
                .filter_map(|pair| pair.split_once(':'))
                .map(|(writer, step)| (writer.parse().unwrap(), step.parse().unwrap()))
                .collect();
            if let Err(problem) = workload::check(&dir, &steps) {
                println!("problem: {problem}");
                panic!("{problem}");
            }
        }
        task => panic!("no task {task}"),
    }
}

/// Lets the workload run in a process with the recorder.
fn record(forget: Option<&str>) -> Recording {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    drop(settle_engine_lmdb::LmdbEngine::open(&store, &workload::options()).expect("opens"));
    let start = fs::read(store.join("data.mdb")).expect("the data file is there");
    let log = folder.path().join("log");
    let mut command = task_command("write", &store);
    command.env("LD_PRELOAD", recorder(&folder)).env(LOG, &log);
    if let Some(forget) = forget {
        command.env(FORGET, forget);
    }
    let output = command.output().expect("the workload starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let recording = Recording::read(start, &log);
    if forget.is_none() {
        assert!(recording.syncs() > 10, "the recorder sees the engine's syncs");
    }
    recording
}

fn recorder(folder: &TempDir) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power_loss/recorder.c");
    let library = folder.path().join("recorder.so");
    let output = Command::new("cc")
        .args(["-O1", "-shared", "-fPIC", "-Wall", "-Werror", "-o"])
        .args([&library, &source])
        .output()
        .expect("a C compiler is there, as for LMDB itself");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

fn task_command(task: &str, dir: &Path) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program has a path"));
    command.args(["--exact", "task", "--ignored", "--nocapture"]).env(TASK, task).env(DIR, dir);
    command
}

fn check_apart(disk: &Disk, image: &Image) -> Result<(), String> {
    let steps: Vec<String> =
        image.acknowledged.iter().map(|(writer, step)| format!("{writer}:{step}")).collect();
    let output = task_command("check", &disk.dir())
        .env(ACKNOWLEDGED, steps.join(" "))
        .output()
        .expect("the check starts");
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = text.lines().find_map(|line| line.strip_prefix("problem: "));
    Err(format!("{}: {}", image.name, said.unwrap_or("the reader crashed")))
}

/// A store whose data file is replaced again and again; in memory where that is possible.
struct Disk(TempDir);

impl Disk {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let disk = Self(folder.expect("a folder"));
        drop(
            settle_engine_lmdb::LmdbEngine::open(&disk.dir(), &workload::options()).expect("opens"),
        );
        disk
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("store")
    }

    fn write(&self, bytes: &[u8]) {
        // What a restart does not find again: the table of readers.
        drop(fs::remove_file(self.dir().join("lock.mdb")));
        fs::write(self.dir().join("data.mdb"), bytes).expect("the image is written");
    }
}

fn env_number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}
