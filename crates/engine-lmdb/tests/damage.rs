//! Flipped bytes in the data file: a verification reports each one that is not harmless.
//!
//! Reads alone do not: values carry checksums, but LMDB trusts its page headers and separators, and a
//! damaged one can end the process or hide a row from a look-up. How often is printed, and what
//! follows from it stands in `docs/decisions/0002-lmdb.md`.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use settle_engine::{Batch, Direction, Engine, Outcome, Plan, Scan, Step, Visit, Visitor, value};
use settle_engine_lmdb::{LmdbEngine, OpenOptions, verify};

const DIR: &str = "SETTLE_TEST_DIR";
const IMAGE: &str = "SETTLE_TEST_IMAGE";
const FIRST: &str = "SETTLE_TEST_FIRST";

const ROWS: u32 = 250;
const PAGE: usize = 4096;

fn options() -> OpenOptions {
    OpenOptions { map_bytes: 64 << 20, lock_wait: Duration::ZERO }
}

/// What LMDB made of damage that a verification reports.
#[derive(Debug, Default)]
struct Tally {
    harmless: u32,
    reported: u32,
    crashed: u32,
    silent: u32,
}

#[test]
fn every_flipped_byte_is_harmless_or_reported() {
    let folder = tempfile::tempdir().unwrap();
    let scratch = scratch();
    let (dir, image) = (scratch.path().to_path_buf(), folder.path().join("image"));
    make_store(&dir);
    fs::copy(dir.join("data.mdb"), &image).unwrap();
    let sound = fs::read(&image).unwrap();
    let flips = flips(sound.len());
    let is_reported: Vec<bool> = flips
        .iter()
        .map(|&(offset, mask)| {
            write_damaged(&dir, &sound, offset, mask);
            verify(&dir, |key, stored| value::open(key, stored).is_ok()).is_err()
        })
        .collect();

    let mut tally = Tally::default();
    let mut next = 0;
    while next < flips.len() {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "task", "--ignored", "--nocapture"])
            .env(DIR, &dir)
            .env(IMAGE, &image)
            .env(FIRST, next.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut findings: Vec<String> = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .filter_map(|line| Some(line.unwrap().strip_prefix("flip: ")?.to_owned()))
            .collect();
        if !child.wait().unwrap().success() {
            findings.push("the reader was ended".to_owned());
        }
        for finding in findings {
            if !is_reported[next] {
                assert_eq!(finding, "harmless", "at {:?}, which passes", flips[next]);
            }
            match finding.as_str() {
                "harmless" => tally.harmless += 1,
                "reported" => tally.reported += 1,
                "the reader was ended" => tally.crashed += 1,
                _ => tally.silent += 1,
            }
            next += 1;
        }
    }
    let reported = is_reported.iter().filter(|is_reported| **is_reported).count();
    println!("{} flips, {reported} reported by a verification; reads: {tally:?}", flips.len());
    assert!(reported > 300, "{reported} are too few to show anything");
}

fn write_damaged(dir: &Path, sound: &[u8], offset: usize, mask: u8) {
    let mut damaged = sound.to_vec();
    damaged[offset] ^= mask;
    drop(fs::remove_file(dir.join("lock.mdb")));
    fs::write(dir.join("data.mdb"), &damaged).unwrap();
}

/// Not a test: reads one damaged store after the other until it ends or one ends it.
#[test]
#[ignore = "run by the test above, in processes of their own"]
fn task() {
    let path = |name: &str| PathBuf::from(env::var_os(name).unwrap());
    let (dir, image) = (path(DIR), fs::read(path(IMAGE)).unwrap());
    let first: usize = env::var(FIRST).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    for (offset, mask) in flips(image.len()).into_iter().skip(first) {
        write_damaged(&dir, &image, offset, mask);
        println!("flip: {}", runtime.block_on(read_everything(&dir)));
    }
}

/// In each page: its header, the first pointers to its nodes, the last node's header, and bytes
/// anywhere.
fn flips(length: usize) -> Vec<(usize, u8)> {
    let mut random = 1_u64;
    let mut below = |bound: usize| {
        random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        usize::try_from(random >> 33).unwrap() % bound
    };
    let mut flips = Vec::new();
    for page in 0..length / PAGE {
        let header = (0..160).filter(|offset| page < 2 || (8..18).contains(offset));
        let mut offsets: Vec<usize> = header.collect();
        offsets.extend((0..6).map(|_| below(PAGE)));
        for offset in offsets {
            flips.push((page * PAGE + offset, [1, 0x80, 0xFF, 4][below(4)]));
        }
    }
    flips
}

/// What a server makes of the store: rows one by one and in order, all checked.
async fn read_everything(dir: &Path) -> String {
    let Ok(engine) = LmdbEngine::open(dir, &options()) else { return "reported".to_owned() };
    let engine: Arc<dyn Engine> = engine;
    for number in 0..ROWS {
        match engine.get(key(number)).await {
            Err(_) => return "reported".to_owned(),
            Ok(None) if is_there(number) => return check_whole(&engine, "a row is missing").await,
            Ok(None) => {}
            Ok(Some(stored)) => match value::open(&key(number), &stored) {
                Err(_) => return "reported".to_owned(),
                Ok(_) if !is_there(number) => return "a deleted row is there".to_owned(),
                Ok((_, payload)) if payload != text(number) => return "another text".to_owned(),
                Ok(_) => {}
            },
        }
    }
    check_whole(&engine, "harmless").await
}

/// A scan of everything, with the checks that a verification makes: order, checksums, count.
async fn check_whole(engine: &Arc<dyn Engine>, otherwise: &str) -> String {
    let plan = Plan::new(vec![Step::Scan(Scan::prefix(b"", Direction::Ascending))]);
    match engine.read_to_end(plan, Verifier::default()).await {
        Err(_) => "reported".to_owned(),
        Ok(verifier) if verifier.is_damaged || verifier.rows != engine.stats().keys => {
            "reported".to_owned()
        }
        Ok(_) => otherwise.to_owned(),
    }
}

#[derive(Default)]
struct Verifier {
    rows: u64,
    last: Vec<u8>,
    is_damaged: bool,
}

impl Visitor for Verifier {
    fn visit(&mut self, _: usize, key: &[u8], stored: Option<&[u8]>) -> Visit {
        let is_sound = stored.is_some_and(|stored| value::open(key, stored).is_ok());
        self.is_damaged |= !is_sound || self.last.as_slice() >= key;
        self.rows += 1;
        key.clone_into(&mut self.last);
        if self.is_damaged || self.rows > 10 * u64::from(ROWS) { Visit::Stop } else { Visit::Next }
    }
}

fn make_store(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let engine = LmdbEngine::open(dir, &options()).unwrap();
    for chunk in 0..4 {
        let mut batch = Batch::default();
        for number in (chunk..ROWS).step_by(4) {
            let mut sealed = value::begin(1);
            sealed.extend_from_slice(&text(number));
            batch.put(key(number), value::seal(&key(number), sealed));
        }
        assert_eq!(runtime.block_on(engine.commit(batch)), Outcome::Committed);
    }
    let mut batch = Batch::default();
    for number in (0..ROWS).filter(|number| !is_there(*number)) {
        batch.delete(key(number));
    }
    assert_eq!(runtime.block_on(engine.commit(batch)), Outcome::Committed);
}

fn key(number: u32) -> Vec<u8> {
    format!("key {:08x} {number}", number.wrapping_mul(2_654_435_761)).into_bytes()
}

fn text(number: u32) -> Vec<u8> {
    let length = if number.is_multiple_of(40) { 9_000 } else { 40 + (number as usize * 97) % 700 };
    (0..length).map(|index| u8::try_from((index * 31 + number as usize) % 256).unwrap()).collect()
}

fn is_there(number: u32) -> bool {
    !number.is_multiple_of(7)
}

/// In memory where that is possible, since thousands of images are written.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}
