//! Writers that say what was acknowledged, and the check of what they find again.
//!
//! Each writer's batch number n leaves, together: its three counters at n, a row for n of some length
//! with a text that follows from n, and no row for n - 3.

use std::{collections::BTreeMap, fs::File, io::Write as _, path::Path, sync::Arc, time::Duration};

use settle_engine::{Batch, Direction, Engine, Outcome, Plan, Scan, Step, Visit, Visitor, value};
use settle_engine_lmdb::{LmdbEngine, OpenOptions, verify};
use tokio::task::JoinSet;

use crate::recording::{Acknowledged, Random, acknowledgement};

pub(crate) const WRITERS: usize = 5;
const STEPS: u64 = 30;
const COUNTERS: [&str; 3] = ["a", "m", "z"];
/// Rows of the last so many steps are there.
const ROWS_KEPT: u64 = 3;

pub(crate) fn options() -> OpenOptions {
    OpenOptions { map_bytes: 64 << 20, lock_wait: Duration::ZERO }
}

/// Runs the writers; `log` gets a record for each acknowledged step.
pub(crate) fn write(dir: &Path, log: &Path) {
    let runtime = runtime();
    let engine: Arc<dyn Engine> = LmdbEngine::open(dir, &options()).expect("the store opens");
    runtime.block_on(async {
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let engine = Arc::clone(&engine);
            let mut log = File::options().append(true).open(log).expect("the log is there");
            writers.spawn(async move {
                for step in 1..=STEPS {
                    let outcome = engine.commit(batch(writer, step)).await;
                    assert_eq!(outcome, Outcome::Committed);
                    log.write_all(&acknowledgement(writer, step)).expect("the log is written");
                }
            });
        }
        while let Some(ended) = writers.join_next().await {
            ended.expect("the writer ends");
        }
    });
}

/// Commits until the recorder lets a call fail, and checks what the engine makes of it.
pub(crate) fn meet_a_failure(dir: &Path, failing: &str) {
    let engine: Arc<dyn Engine> = LmdbEngine::open(dir, &options()).expect("the store opens");
    let (step, outcome) = runtime().block_on(async {
        for step in 1..50 {
            let outcome = engine.commit(batch(0, step)).await;
            if outcome != Outcome::Committed {
                return (step, outcome);
            }
        }
        panic!("no commit failed");
    });
    let next = runtime().block_on(engine.commit(batch(1, 1)));
    let read = runtime().block_on(engine.get(counter_key("a", 0)));
    if failing == "full" {
        assert!(matches!(outcome, Outcome::NotApplied { storage_full: true, .. }), "{outcome:?}");
        assert_eq!(next, Outcome::Committed, "a full disk may be emptied");
    } else {
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
        let Outcome::NotApplied { reason, storage_full: false } = next else {
            panic!("{next:?} after {outcome:?}");
        };
        assert!(reason.ends_with("the store has to be reopened"), "{reason}");
    }
    // LMDB itself begins no transaction after a meta page could not be written, not even to read.
    assert_eq!(read.is_ok(), failing != "meta", "{read:?}");
    drop(engine);
    let acknowledged = [(0, step - 1)].into();
    check(dir, &acknowledged).expect("what was acknowledged is there");
    let engine = LmdbEngine::open(dir, &options()).expect("the store opens again");
    assert_eq!(runtime().block_on(engine.commit(batch(0, step))), Outcome::Committed);
}

fn batch(writer: usize, step: u64) -> Batch {
    let mut batch = Batch::default();
    let mut put = |key: Vec<u8>, text: &[u8]| {
        let mut sealed = value::begin(1);
        sealed.extend_from_slice(text);
        let sealed = value::seal(&key, sealed);
        batch.put(key, sealed);
    };
    for counter in COUNTERS {
        put(counter_key(counter, writer), &step.to_be_bytes());
    }
    put(row_key(writer, step), &row_text(writer, step));
    if step > ROWS_KEPT {
        batch.delete(row_key(writer, step - ROWS_KEPT));
    }
    batch
}

fn counter_key(counter: &str, writer: usize) -> Vec<u8> {
    format!("{counter}/{writer}").into_bytes()
}

fn row_key(writer: usize, step: u64) -> Vec<u8> {
    format!("row/{}/{writer}/{step}", step.wrapping_mul(7919) % 100).into_bytes()
}

/// From a few bytes to several pages.
fn row_text(writer: usize, step: u64) -> Vec<u8> {
    let mut random = Random(step * 1000 + writer as u64);
    let length = [50, 800, 3_000, 20_000][usize::try_from(random.below(4)).expect("small")];
    (0..length).map(|_| u8::try_from(random.below(256)).expect("a byte")).collect()
}

/// Opens the store in `dir` and says what is wrong with it, if anything is.
pub(crate) fn check(dir: &Path, acknowledged: &Acknowledged) -> Result<(), String> {
    let engine = LmdbEngine::open(dir, &options()).map_err(|error| format!("{error}"))?;
    let engine: Arc<dyn Engine> = engine;
    let rows = runtime().block_on(async {
        let plan = Plan::new(vec![Step::Scan(Scan::prefix(b"", Direction::Ascending))]);
        engine.read_to_end(plan, Rows::default()).await.map_err(|error| error.to_string())
    })?;
    if let Some(problem) = rows.problem {
        return Err(problem);
    }
    let rows = rows.found;
    if engine.stats().keys != rows.len() as u64 {
        return Err(format!("{} rows found, {} counted", rows.len(), engine.stats().keys));
    }
    let mut expected = 0;
    for writer in 0..WRITERS {
        let least = acknowledged.get(&writer).copied().unwrap_or(0);
        let steps = COUNTERS.map(|counter| rows.get(&counter_key(counter, writer)));
        if steps.iter().any(|step| *step != steps[0]) {
            return Err(format!("writer {writer}: half a batch is there"));
        }
        let step = steps[0]
            .map_or(0, |step| u64::from_be_bytes(step.as_slice().try_into().expect("eight bytes")));
        if step < least {
            return Err(format!("writer {writer}: step {least} was acknowledged, {step} is there"));
        }
        let kept = step.saturating_sub(ROWS_KEPT) + 1..=step;
        for step in kept.filter(|step| *step > 0) {
            expected += 1;
            if rows.get(&row_key(writer, step)) != Some(&row_text(writer, step)) {
                return Err(format!("writer {writer}: the row of step {step} is not there"));
            }
        }
        expected += if step > 0 { COUNTERS.len() } else { 0 };
    }
    if rows.len() != expected {
        return Err(format!("{} rows, {expected} expected", rows.len()));
    }
    drop(engine);
    match verify(dir, |key, stored| value::open(key, stored).is_ok()) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

#[derive(Default)]
struct Rows {
    found: BTreeMap<Vec<u8>, Vec<u8>>,
    problem: Option<String>,
}

impl Visitor for Rows {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        match value::open(key, value.expect("a scan visits what is there")) {
            Ok((_, text)) => {
                self.found.insert(key.to_vec(), text.to_vec());
                Visit::Next
            }
            Err(damaged) => {
                self.problem = Some(damaged.to_string());
                Visit::Stop
            }
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a test can start threads")
}
