//! How fast attachments go in and out, on an engine in memory and this machine's temporary folder.
//! `cargo bench -p settle-database --bench blobs`. Medians of five rounds.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed benchmark")]
#![expect(clippy::print_stdout, reason = "the figures are what this is for")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use settle_database::blobs::{
    BlobDigest, BlobPlan, BlobSettings, BlobStore, BlobStoreParts, Part, Received, StagedBlob,
    UploadOptions,
};
use settle_engine::{Batch, Engine, Outcome, memory::MemoryEngine};
use settle_model::time::{Clock as _, Entropy as _, ManualClock, SeededEntropy};

const BINARY: Received<'static> = Received::Plain { content_type: "image/png" };
const TEXT: Received<'static> = Received::Plain { content_type: "text/plain" };
const PIECE: usize = 64 << 10;
const ROUNDS: usize = 5;

struct Bench {
    engine: Arc<dyn Engine>,
    clock: Arc<ManualClock>,
    store: Arc<BlobStore>,
}

impl Bench {
    async fn upload(&self, piece: &[u8], pieces: usize, received: Received<'_>) -> StagedBlob {
        let mut writer = self.store.upload(&UploadOptions::new(received));
        for _ in 0..pieces {
            writer.write(piece).await.unwrap();
        }
        writer.finish().await.unwrap()
    }

    async fn keep(&self, staged: StagedBlob) -> BlobDigest {
        let staged = Arc::new(staged);
        let mut plan = BlobPlan::new(1);
        let digest = staged.digest();
        plan.reference(digest, &"x".parse().unwrap(), &"1-a".parse().unwrap(), Some(&staged));
        let writes = plan.resolve(&*self.engine, self.clock.now()).await.unwrap();
        let mut batch = Batch::default();
        writes.append_to(&mut batch);
        assert_eq!(self.engine.commit(batch).await, Outcome::Committed);
        writes.keep();
        digest
    }

    async fn read(&self, digest: BlobDigest, part: Part) -> u64 {
        let mut reader = self.store.read(digest, part).await.unwrap();
        let mut total = 0;
        while let Some(piece) = reader.next().await {
            total += piece.unwrap().len() as u64;
        }
        total
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
async fn median(mut round: impl AsyncFnMut()) -> Duration {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        round().await;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    times[ROUNDS / 2]
}

fn per_second(what: &str, bytes: usize, time: Duration) {
    println!("{what:40} {:7.0} MB/s", bytes as f64 / 1e6 / time.as_secs_f64());
}

#[tokio::main]
async fn main() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let clock = Arc::new(ManualClock::default());
    let parts = BlobStoreParts {
        engine: engine.clone(),
        folder: None,
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(1)),
        settings: BlobSettings::default(),
    };
    let store = BlobStore::open(parts).await.unwrap();
    let bench = Bench { engine, clock, store };
    let mut noise = vec![0; PIECE];
    SeededEntropy::new(2).fill(&mut noise);
    let words: Vec<u8> =
        noise.iter().map(|byte| b"etaoin shrdlu    "[usize::from(byte % 17)]).collect();

    let pieces = 2_048;
    let large = pieces * PIECE;
    let time = median(async || drop(bench.upload(&noise, pieces, BINARY).await)).await;
    per_second("upload, 128 MiB, synced", large, time);
    let digest = bench.keep(bench.upload(&noise, pieces, BINARY).await).await;
    let time =
        median(async || assert_eq!(bench.read(digest, Part::Stored).await, large as u64)).await;
    per_second("read, 128 MiB", large, time);

    let some = 256 * PIECE;
    let time = median(async || drop(bench.upload(&words, 256, TEXT).await)).await;
    per_second("upload of text, 16 MiB, level 8", some, time);
    let digest = bench.keep(bench.upload(&words, 256, TEXT).await).await;
    let time =
        median(async || assert_eq!(bench.read(digest, Part::Identity).await, some as u64)).await;
    per_second("read of text, 16 MiB, unpacked", some, time);

    for (what, length, received) in [
        ("small, 1 KiB", 1 << 10, BINARY),
        ("small, 1 KiB of text", 1 << 10, TEXT),
        ("small, 60 KiB", 60 << 10, BINARY),
    ] {
        let bytes = if received == TEXT { &words[..length] } else { &noise[..length] };
        let options = UploadOptions::new(received);
        let time = median(async || {
            for _ in 0..1_000 {
                drop(bench.store.stage(bytes, &options).await.unwrap());
            }
        })
        .await;
        println!("{:40} {:7.1} µs", format!("staging a {what}"), time.as_secs_f64() * 1e3);
        let digest = bench.keep(bench.store.stage(bytes, &options).await.unwrap()).await;
        let time = median(async || {
            for _ in 0..1_000 {
                bench.read(digest, Part::Identity).await;
            }
        })
        .await;
        println!("{:40} {:7.1} µs", format!("reading a {what}"), time.as_secs_f64() * 1e3);
    }
}
