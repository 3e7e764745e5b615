//! One attachment store on an in-memory engine, with a clock, a folder and faults of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use settle_database::blobs::{
    BlobDigest, BlobPlan, BlobReadError, BlobRecord, BlobSettings, BlobStore, BlobStoreParts, Part,
    PlanError, Received, StagedBlob, UploadError, UploadOptions,
};
use settle_engine::{
    Batch, Direction, Engine, Outcome, Plan, Scan, Step, Visit, Visitor, faulty::FaultyEngine,
    memory::MemoryEngine,
};
use settle_model::{
    id::DocumentId,
    revision::RevId,
    time::{Clock as _, ManualClock, SeededEntropy, Timestamp},
};
use tempfile::TempDir;

/// How long a blob stays condemned here.
pub(crate) const WAIT: Duration = Duration::from_secs(600);

pub(crate) const BINARY: Received<'static> =
    Received::Plain { content_type: "application/octet-stream" };
pub(crate) const TEXT: Received<'static> = Received::Plain { content_type: "text/plain" };

pub(crate) struct World {
    pub(crate) engine: Arc<FaultyEngine>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<BlobStore>,
    folder: TempDir,
    sessions: u64,
}

impl World {
    pub(crate) async fn new() -> Self {
        let engine = Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())));
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_800_000_000)));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blobs");
        let store = open(engine.clone(), &clock, path, 0).await;
        Self { engine, clock, store, folder, sessions: 1 }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("blobs")
    }

    /// What a restart finds.
    pub(crate) async fn reopen(&mut self) {
        self.engine.reopen();
        self.store = open(self.engine.clone(), &self.clock, self.path(), self.sessions).await;
        self.sessions += 1;
    }

    pub(crate) async fn stage(
        &self,
        bytes: &[u8],
        received: Received<'_>,
    ) -> Result<Arc<StagedBlob>, UploadError> {
        Ok(Arc::new(self.store.stage(bytes, &UploadOptions::new(received)).await?))
    }

    /// Stages and refers to it from revision `1-a` of a document named `x` in database 7.
    pub(crate) async fn store(&self, bytes: &[u8], received: Received<'_>) -> BlobDigest {
        let staged = self.stage(bytes, received).await.unwrap();
        self.refer(7, "x 1-a", staged.digest(), Some(&staged)).await.unwrap();
        staged.digest()
    }

    /// `at` is a document and a revision.
    pub(crate) async fn refer(
        &self,
        database: u64,
        at: &str,
        digest: BlobDigest,
        staged: Option<&Arc<StagedBlob>>,
    ) -> Result<(), WriteError> {
        let (document, rev) = parse(at);
        let mut plan = BlobPlan::new(database);
        plan.reference(digest, &document, &rev, staged);
        self.write(plan).await
    }

    pub(crate) async fn release(
        &self,
        database: u64,
        at: &str,
        digest: BlobDigest,
    ) -> Result<(), WriteError> {
        let (document, rev) = parse(at);
        let mut plan = BlobPlan::new(database);
        plan.release(digest, &document, &rev);
        self.write(plan).await
    }

    /// What a database's writer does: plan again when refused, keep what may be referred to.
    pub(crate) async fn write(&self, plan: BlobPlan) -> Result<(), WriteError> {
        for _ in 0..4 {
            let engine: &dyn Engine = &*self.engine;
            let writes = plan.clone().resolve(engine, self.clock.now()).await?;
            let mut batch = Batch::default();
            writes.append_to(&mut batch);
            match self.engine.commit(batch).await {
                Outcome::Committed => {
                    writes.keep();
                    return Ok(());
                }
                Outcome::Refused { .. } => {}
                Outcome::NotApplied { .. } => return Err(WriteError::Failed),
                Outcome::Unknown { .. } => {
                    writes.keep();
                    return Err(WriteError::Failed);
                }
            }
        }
        panic!("refused again and again");
    }

    pub(crate) async fn read(
        &self,
        digest: BlobDigest,
        part: Part,
    ) -> Result<Vec<u8>, BlobReadError> {
        let mut reader = self.store.read(digest, part).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = reader.next().await {
            bytes.extend_from_slice(&piece?);
        }
        assert_eq!(bytes.len() as u64, reader.length());
        Ok(bytes)
    }

    /// Collects until nothing is due.
    pub(crate) async fn collect(&self) -> String {
        let mut seen = String::new();
        loop {
            let collected = self.store.collect().await.unwrap();
            let (condemned, reprieved) = (collected.condemned, collected.reprieved);
            let deleted = collected.deleted;
            write!(seen, "{condemned} condemned, {reprieved} reprieved, {deleted} deleted")
                .unwrap();
            if !collected.has_more {
                return seen;
            }
            seen.push('\n');
        }
    }

    pub(crate) async fn rows(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let scan = Scan::prefix(&[], Direction::Ascending);
        let engine: &dyn Engine = &**self.engine.inner();
        let plan = Plan::new(vec![Step::Scan(scan)]);
        engine.read_to_end(plan, Rows(BTreeMap::new())).await.unwrap().0
    }

    /// Paths in the folder, below its root.
    pub(crate) fn files(&self) -> BTreeSet<PathBuf> {
        let mut files = BTreeSet::new();
        for folder in fs::read_dir(self.path()).unwrap() {
            for file in fs::read_dir(folder.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                files.insert(path.strip_prefix(self.path()).unwrap().to_owned());
            }
        }
        files
    }

    /// Checks what must never be untrue, and that every stored blob reads whole; gives the files
    /// that no record names.
    pub(crate) async fn audit(&self) -> BTreeSet<PathBuf> {
        let rows = self.rows().await;
        let mut orphans = self.files();
        for (key, value) in &rows {
            match &key[..] {
                [0, 0x40, digest @ ..] => {
                    let digest = BlobDigest::from_bytes(digest.try_into().unwrap());
                    let record = BlobRecord::decode(digest, value).unwrap();
                    if let Some(file) = BlobStore::file_of(digest, &record) {
                        assert!(orphans.remove(&file), "{digest} has lost its file");
                    }
                    self.read(digest, Part::Identity).await.unwrap();
                }
                [0, 0x41, digest @ ..] => {
                    assert!(rows.contains_key(&[&[0, 0x40], digest].concat()));
                }
                [0, 0x42, reference @ ..] => {
                    let (digest, database) = reference.split_at(32);
                    assert!(rows.contains_key(&[&[0, 0x40], digest].concat()), "dangling");
                    let mut prefix = database.to_vec();
                    prefix.push(0x20);
                    prefix.extend_from_slice(digest);
                    let first = rows.range(prefix.clone()..).next();
                    assert!(
                        first.is_some_and(|(key, _)| key.starts_with(&prefix)),
                        "a site reference without a reference"
                    );
                }
                [0, 0x43, ..] => {}
                [1, number, 0x20, reference @ ..] => {
                    let site = [&[0, 0x42], &reference[..32], &[1, *number]].concat();
                    assert!(rows.contains_key(&site), "a reference without a site reference");
                }
                _ => panic!("what is {}?", key.escape_ascii()),
            }
        }
        orphans
    }
}

async fn open(
    engine: Arc<dyn Engine>,
    clock: &Arc<ManualClock>,
    folder: PathBuf,
    seed: u64,
) -> Arc<BlobStore> {
    let parts = BlobStoreParts {
        engine,
        folder: Some(folder),
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(seed)),
        settings: BlobSettings { condemned_for: WAIT },
    };
    BlobStore::open(parts).await.unwrap()
}

#[derive(Debug)]
pub(crate) enum WriteError {
    Missing,
    Failed,
}

impl From<PlanError> for WriteError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Missing { .. } => Self::Missing,
            PlanError::Storage(_) => Self::Failed,
        }
    }
}

pub(crate) fn parse(at: &str) -> (DocumentId, RevId) {
    let (document, rev) = at.split_once(' ').unwrap();
    (document.parse().unwrap(), rev.parse().unwrap())
}

/// Bytes that do not compress and differ by seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    use settle_model::time::Entropy as _;
    let mut bytes = vec![0; length];
    SeededEntropy::new(seed).fill(&mut bytes);
    bytes
}

struct Rows(BTreeMap<Vec<u8>, Vec<u8>>);

impl Visitor for Rows {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.0.insert(key.to_vec(), value.unwrap().to_vec());
        Visit::Next
    }
}
