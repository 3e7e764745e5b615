//! Bulk writes into a database, beside the same records committed to the bare engine.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark on the real clock")]

use std::{sync::Arc, time::Instant};

use settle_access::{AdministerServer, Grant, Resource, Write};
use settle_database::{
    Atomicity, Content, CreateOptions, Edit, Origin, Store, StoreParts, StoreSettings,
    blobs::{BlobSettings, BlobStore, BlobStoreParts},
};
use settle_engine::Engine;
use settle_engine_lmdb::{LmdbEngine, OpenOptions};
use settle_model::time::{ManualClock, SeededEntropy, Timestamp};

fn edits(round: u64, ordered: bool, bytes: usize) -> Vec<Edit> {
    (0..1_000_u64)
        .map(|n| {
            let number = round * 1_000 + n;
            let id = if ordered {
                format!("{number:020}")
            } else {
                format!("{:016x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
            };
            let body = format!(r#"{{"n":{number},"kind":"note","text":"{}"}}"#, "x".repeat(bytes - 40));
            Edit {
                id: id.parse().unwrap(),
                origin: Origin::Interactive { base: None, must_exist: false },
                deleted: false,
                content: Content::Whole { body: body.into_bytes(), attachments: Vec::new() },
            }
        })
        .collect()
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    for (ordered, bytes) in [(true, 300), (false, 300), (true, 1024), (false, 1024)] {
        let dir = tempfile::tempdir_in(".").unwrap();
        let engine: Arc<dyn Engine> =
            LmdbEngine::open(dir.path(), &OpenOptions::default()).unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1)));
        let entropy = Arc::new(SeededEntropy::new(1));
        let blobs = BlobStore::open(BlobStoreParts {
            engine: engine.clone(), folder: None, clock: clock.clone(), entropy: entropy.clone(),
            settings: BlobSettings::default(),
        }).await.unwrap();
        let store = Store::open(StoreParts { engine: engine.clone(), blobs, clock, entropy, settings: StoreSettings::default() }).await.unwrap();
        let grant: Grant<AdministerServer> = Grant::internal(Resource::Server, "bench");
        let db = store.create(&grant, &"bench".parse().unwrap(), CreateOptions::default()).await.unwrap();
        let write: Grant<Write> = Grant::internal(db.resource(), "bench");
        let mut times = Vec::new();
        for round in 0..60 {
            let edits = edits(round, ordered, bytes);
            let start = Instant::now();
            let results = db.write(&write, edits, Atomicity::EachAlone).await.unwrap();
            times.push(start.elapsed());
            assert!(results.iter().all(Result::is_ok));
        }
        times.sort();
        println!("ordered {ordered} bytes {bytes}: median {:?} per 1000, {:.0} docs/s", times[30], 1000.0 / times[30].as_secs_f64());
        store.close().await;
    }
}
