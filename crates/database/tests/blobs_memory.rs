//! However large an attachment is, storing and reading it takes little memory.
//!
//! Memory is `RssAnon`: what the process has for itself, without mapped and cached files.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fs, sync::Arc};

use flate2::{Compress, Compression, FlushCompress, Status};
use settle_database::blobs::{
    BlobDigest, BlobPlan, BlobReader, BlobSettings, BlobStore, BlobStoreParts, Part, Received,
    UploadOptions,
};
use settle_engine::{Batch, Engine, Outcome, memory::MemoryEngine};
use settle_model::time::{Clock as _, ManualClock, SeededEntropy};

const TOTAL: u64 = 256 << 20;
const PIECE: usize = 64 << 10;
const GROWTH_KIB_MAX: u64 = 16 << 10;

struct World {
    engine: Arc<dyn Engine>,
    clock: Arc<ManualClock>,
    store: Arc<BlobStore>,
    /// KiB, after everything that is needed once was used.
    before_kib: u64,
    peak_kib: u64,
}

fn anonymous_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Piece `number` of a long stream; compresses to about a half.
fn piece(number: u64, out: &mut [u8]) {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for chunk in out.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word = state & 0x0F0F_0F0F_0F0F_0F0F | 0x6060_6060_6060_6060;
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
}

impl World {
    async fn new() -> Self {
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
        Self { engine, clock, store, before_kib: 0, peak_kib: 0 }
    }

    fn begin(&mut self) {
        self.before_kib = anonymous_kib();
        self.peak_kib = self.before_kib;
    }

    fn look(&mut self) {
        self.peak_kib = self.peak_kib.max(anonymous_kib());
    }

    fn end(&self, what: &str) {
        let growth = self.peak_kib - self.before_kib;
        assert!(growth <= GROWTH_KIB_MAX, "{what} grew by {growth} KiB");
    }

    async fn upload(&mut self, what: &str, received: Received<'_>, total: u64) -> BlobDigest {
        self.begin();
        let mut writer = self.store.upload(&UploadOptions::new(received));
        let mut bytes = vec![0; PIECE];
        let mut zlib = Compress::new_gzip(Compression::fast(), 15);
        let mut packed = Vec::with_capacity(2 * PIECE);
        for number in 0..total / PIECE as u64 {
            piece(number, &mut bytes);
            match received {
                Received::Plain { .. } => writer.write(&bytes).await.unwrap(),
                Received::Gzip => {
                    packed.clear();
                    zlib.compress_vec(&bytes, &mut packed, FlushCompress::Sync).unwrap();
                    writer.write(&packed).await.unwrap();
                }
            }
            self.look();
        }
        if received == Received::Gzip {
            packed.clear();
            let status = zlib.compress_vec(&[], &mut packed, FlushCompress::Finish).unwrap();
            assert_eq!(status, Status::StreamEnd);
            writer.write(&packed).await.unwrap();
        }
        let staged = Arc::new(writer.finish().await.unwrap());
        self.look();
        self.end(what);
        assert_eq!(staged.length(), total);
        let digest = staged.digest();
        let mut plan = BlobPlan::new(1);
        plan.reference(digest, &"x".parse().unwrap(), &"1-a".parse().unwrap(), Some(&staged));
        let writes = plan.resolve(&*self.engine, self.clock.now()).await.unwrap();
        let mut batch = Batch::default();
        writes.append_to(&mut batch);
        assert_eq!(self.engine.commit(batch).await, Outcome::Committed);
        writes.keep();
        digest
    }

    async fn read(&mut self, what: &str, digest: BlobDigest, part: Part) {
        self.begin();
        let mut reader: BlobReader = self.store.read(digest, part).await.unwrap();
        let mut total = 0;
        while let Some(piece) = reader.next().await {
            total += piece.unwrap().len() as u64;
            self.look();
        }
        assert_eq!(total, reader.length());
        self.end(what);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_attachment_takes_little_memory_on_every_way() {
    let mut world = World::new().await;
    let binary = Received::Plain { content_type: "application/octet-stream" };
    let text = Received::Plain { content_type: "text/plain" };

    let plain = world.upload("plain upload", binary, TOTAL).await;
    world.read("plain read", plain, Part::Stored).await;
    world.read("range", plain, Part::StoredRange(1_000_000..TOTAL - 5)).await;
    // Compressing at level 8 is the slowest step by far, so it gets a shorter stream.
    let packed = world.upload("compressed upload", text, TOTAL / 8).await;
    world.read("unpacked read", packed, Part::Identity).await;
    let gzip = world.upload("gzip upload", Received::Gzip, TOTAL).await;
    world.read("unpacked read of gzip", gzip, Part::Identity).await;
    world.read("packed read of gzip", gzip, Part::Stored).await;
}
