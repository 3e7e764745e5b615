//! The limit of writes: the engine alone, given the very records that the document layer makes of the same
//! documents.
//!
//! A [`Recorder`] is a database on an engine in memory that keeps a copy of every batch. A [`RawStore`]
//! commits such batches to the embedded engine, without their preconditions.

use std::{
    cell::Cell,
    fs::File,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use futures_util::future::try_join_all;
use settle_access::{AdministerServer, Grant, Resource, Write};
use settle_database::{
    Atomicity, Content, CreateOptions, Database, Edit, Origin, Store, StoreParts, StoreSettings,
    Verdict,
    blobs::{BlobSettings, BlobStore, BlobStoreParts},
};
use settle_engine::{
    Batch, BoxFuture, Engine, Outcome, Urgency, around::Around, memory::MemoryEngine,
};
use settle_engine_lmdb::{LmdbEngine, OpenOptions};
use settle_model::time::{ManualClock, SeededEntropy, Timestamp};

use crate::notes;

/// Turns documents into the batches that hold them.
#[derive(Debug)]
pub(crate) struct Recorder {
    engine: Arc<Recording>,
    database: Database,
    grant: Grant<Write>,
    /// Works for the database in the background for as long as it is there.
    _store: Store,
}

impl Recorder {
    pub(crate) async fn new() -> Result<Self, anyhow::Error> {
        let engine = Arc::new(Recording::default());
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1)));
        let entropy = Arc::new(SeededEntropy::new(1));
        let blobs = BlobStore::open(BlobStoreParts {
            engine: engine.clone(),
            folder: None,
            clock: clock.clone(),
            entropy: entropy.clone(),
            settings: BlobSettings::default(),
        })
        .await?;
        let settings = StoreSettings::default();
        let shared: Arc<dyn Engine> = engine.clone();
        let store =
            Store::open(StoreParts { engine: shared, blobs, clock, entropy, settings }).await?;
        let grant: Grant<AdministerServer> = Grant::internal(Resource::Server, "bench");
        let name = "bench".parse().context("name a database")?;
        let database = store.create(&grant, &name, CreateOptions::default()).await?;
        let grant = Grant::internal(database.resource(), "bench");
        Ok(Self { engine, database, grant, _store: store })
    }

    /// The batches of writing these documents, in requests of `each` at a time.
    pub(crate) async fn batches(
        &self,
        order: notes::Order,
        numbers: std::ops::Range<u64>,
        bytes: usize,
        each: usize,
    ) -> Result<Vec<Batch>, anyhow::Error> {
        drop(self.engine.take());
        let numbers: Vec<_> = numbers.collect();
        let mut batches = Vec::with_capacity(numbers.len() / each);
        for numbers in numbers.chunks(each) {
            let edits = numbers.iter().map(|&number| edit(order, number, bytes));
            let edits = edits.collect::<Result<Vec<_>, _>>()?;
            let written = self.database.write(&self.grant, edits, Atomicity::EachAlone).await?;
            for outcome in written {
                drop(outcome?);
            }
            let mut recorded = self.engine.take();
            let (Some(batch), None) = (recorded.pop(), recorded.pop()) else {
                bail!("one request was not one batch");
            };
            batches.push(batch);
        }
        Ok(batches)
    }
}

fn edit(order: notes::Order, number: u64, bytes: usize) -> Result<Edit, anyhow::Error> {
    Ok(Edit {
        id: order.id(number).parse().context("make a document id")?,
        origin: Origin::Interactive { base: None, must_exist: false },
        deleted: false,
        content: Content::Whole {
            body: notes::body(number, bytes).into_bytes(),
            attachments: Vec::new(),
        },
        verdict: Verdict::internal("a bench without design documents"),
    })
}

/// An engine in memory that keeps what is committed in the foreground.
#[derive(Debug, Default)]
struct Recording {
    inner: MemoryEngine,
    batches: Mutex<Vec<Batch>>,
}

impl Recording {
    fn take(&self) -> Vec<Batch> {
        std::mem::take(&mut *self.batches.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Around for Recording {
    fn inner(&self) -> &dyn Engine {
        &self.inner
    }

    fn around_commit(&self, batch: Batch) -> BoxFuture<'static, Outcome> {
        if batch.urgency == Urgency::Foreground {
            let copy = Batch { preconditions: Vec::new(), ..batch.clone() };
            self.batches.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
        }
        self.inner.commit(batch)
    }
}

/// The embedded engine in a folder of its own.
#[derive(Debug)]
pub(crate) struct RawStore {
    engine: Arc<LmdbEngine>,
}

impl RawStore {
    pub(crate) fn open(folder: &Path) -> Result<Self, anyhow::Error> {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(Self { engine: LmdbEngine::open(folder, &OpenOptions::default())? })
    }

    /// Commits the batches from so many writers, each waiting for one before its next, until the time is
    /// over or none is left. Gives how many were committed.
    pub(crate) async fn commit(
        &self,
        batches: Vec<Batch>,
        writers: usize,
        time: Duration,
    ) -> Result<u64, anyhow::Error> {
        let (committed, end) = (Cell::new(0), Instant::now() + time);
        let batches = std::cell::RefCell::new(batches.into_iter());
        let writer = async || {
            while Instant::now() < end {
                let Some(batch) = batches.borrow_mut().next() else { break };
                let outcome = self.engine.commit(batch).await;
                if outcome != Outcome::Committed {
                    bail!("a raw batch was not committed: {outcome:?}");
                }
                committed.set(committed.get() + 1);
            }
            Ok(())
        };
        try_join_all((0..writers).map(|_| writer())).await?;
        Ok(committed.get())
    }
}

/// Writes and syncs one page after the other for as long as that; how many.
pub(crate) fn syncs(folder: &Path, time: Duration) -> Result<u64, anyhow::Error> {
    const PAGE: [u8; 4096] = [7; 4096];
    /// Written over and over, so that the file's length does not have to be synced too.
    const PAGES: u64 = 256;
    let path = folder.join("syncs");
    let file = File::create(&path).with_context(|| format!("make {}", path.display()))?;
    file.write_all_at(&vec![0; PAGE.len() * 256], 0).context("fill a file")?;
    file.sync_all().context("sync a file")?;
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < time {
        file.write_all_at(&PAGE, count % PAGES * PAGE.len() as u64).context("write a page")?;
        file.sync_data().context("sync a page")?;
        count += 1;
    }
    Ok(count)
}
