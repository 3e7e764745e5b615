//! Writes into a database, beside the same records committed to the bare engine: bulk writes of a
//! thousand new documents, and single edits one after the other.
//!
//! `cargo bench -p settle-database --bench writes`

#![expect(clippy::unwrap_used, reason = "a benchmark may end where it fails")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures the real clock")]
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use settle_access::{AdministerServer, Grant, Resource, Write};
use settle_database::{
    Atomicity, Content, CreateOptions, Database, Edit, Origin, Store, StoreParts, StoreSettings,
    blobs::{BlobSettings, BlobStore, BlobStoreParts},
};
use settle_engine::{
    Batch, BoxFuture, Checkpoint, CheckpointError, ClearError, Cleared, Engine, Outcome, Plan,
    ReadResult, Stats, Visitor,
};
use settle_engine_lmdb::{LmdbEngine, OpenOptions};
use settle_model::time::{ManualClock, SeededEntropy, Timestamp};

const DOCUMENTS: u64 = 1_000;
const ROUNDS: u64 = 60;

/// An engine that remembers the batches that it is given, and how long it took to copy them.
#[derive(Debug)]
struct Recorder {
    inner: Arc<dyn Engine>,
    batches: Mutex<(Vec<Batch>, Duration)>,
}

impl Recorder {
    fn take(&self) -> (Vec<Batch>, Duration) {
        std::mem::take(&mut *self.batches.lock().unwrap())
    }
}

impl Engine for Recorder {
    fn read_boxed(&self, plan: Plan, visitor: Box<dyn Visitor>) -> BoxFuture<'_, ReadResult> {
        self.inner.read_boxed(plan, visitor)
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'static, Outcome> {
        let start = Instant::now();
        let mut recorded = self.batches.lock().unwrap();
        recorded.0.push(batch.clone());
        recorded.1 += start.elapsed();
        drop(recorded);
        self.inner.commit(batch)
    }

    fn clear(
        &self,
        start: Vec<u8>,
        end: Vec<u8>,
        budget_bytes: usize,
    ) -> BoxFuture<'_, Result<Cleared, ClearError>> {
        self.inner.clear(start, end, budget_bytes)
    }

    fn checkpoint<'a>(
        &'a self,
        to: &'a Path,
    ) -> BoxFuture<'a, Result<Checkpoint, CheckpointError>> {
        self.inner.checkpoint(to)
    }

    fn stats(&self) -> Stats {
        self.inner.stats()
    }
}

async fn open(engine: Arc<dyn Engine>) -> (Store, Database, Grant<Write>) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1)));
    let entropy = Arc::new(SeededEntropy::new(1));
    let blobs = BlobStore::open(BlobStoreParts {
        engine: engine.clone(),
        folder: None,
        clock: clock.clone(),
        entropy: entropy.clone(),
        settings: BlobSettings::default(),
    });
    let blobs = blobs.await.unwrap();
    let settings = StoreSettings::default();
    let store = Store::open(StoreParts { engine, blobs, clock, entropy, settings }).await.unwrap();
    let grant: Grant<AdministerServer> = Grant::internal(Resource::Server, "a benchmark");
    let name = "bench".parse().unwrap();
    let database = store.create(&grant, &name, CreateOptions::default()).await.unwrap();
    let write = Grant::internal(database.resource(), "a benchmark");
    (store, database, write)
}

fn edits(round: u64, ordered: bool, bytes: usize) -> Vec<Edit> {
    let edit = |n: u64| {
        let number = round * DOCUMENTS + n;
        let id = if ordered {
            format!("{number:020}")
        } else {
            format!("{:016x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
        };
        let text = "x".repeat(bytes - 40);
        let body = format!(r#"{{"n":{number},"kind":"note","text":"{text}"}}"#);
        Edit {
            id: id.parse().unwrap(),
            origin: Origin::Interactive { base: None, must_exist: false },
            deleted: false,
            content: Content::Whole { body: body.into_bytes(), attachments: Vec::new() },
        }
    };
    (0..DOCUMENTS).map(edit).collect()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The medians of writing each of `rounds`, and of committing the same batches to another engine, by
/// turns.
async fn time(rounds: Vec<Vec<Edit>>) -> (Duration, Duration) {
    let (folder, bare_folder) =
        (tempfile::tempdir_in(".").unwrap(), tempfile::tempdir_in(".").unwrap());
    let options = OpenOptions::default();
    let bare: Arc<dyn Engine> = LmdbEngine::open(bare_folder.path(), &options).unwrap();
    let inner: Arc<dyn Engine> = LmdbEngine::open(folder.path(), &options).unwrap();
    let recorder = Arc::new(Recorder { inner, batches: Mutex::default() });
    let (store, database, write) = open(recorder.clone()).await;
    recorder.take();
    let (mut times, mut bare_times) = (Vec::new(), Vec::new());
    for edits in rounds {
        let start = Instant::now();
        let results = database.write(&write, edits, Atomicity::EachAlone).await.unwrap();
        let time = start.elapsed();
        assert!(results.iter().all(Result::is_ok));

        let (mut batches, copying) = recorder.take();
        times.push(time.saturating_sub(copying));
        batches.iter_mut().for_each(|batch| batch.preconditions.clear());
        let start = Instant::now();
        for batch in batches {
            assert_eq!(bare.commit(batch).await, Outcome::Committed);
        }
        bare_times.push(start.elapsed());
    }
    store.close().await;
    (median(times), median(bare_times))
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    for (ordered, bytes) in [(true, 300), (false, 300), (true, 1_024), (false, 1_024)] {
        let rounds = (0..ROUNDS).map(|round| edits(round, ordered, bytes)).collect();
        let (ours, bare) = time(rounds).await;
        let order = if ordered { "ordered" } else { "random" };
        let share = 100.0 * bare.as_secs_f64() / ours.as_secs_f64();
        println!("{DOCUMENTS} {order} of {bytes} B: {ours:?}, engine {bare:?}: {share:.0} %");
    }
    let single = (0..2).flat_map(|round| edits(round, false, 300)).map(|edit| vec![edit]);
    let (ours, bare) = time(single.collect()).await;
    let share = 100.0 * bare.as_secs_f64() / ours.as_secs_f64();
    println!("one of 300 B: {ours:?}, engine {bare:?}: {share:.0} %");
}
