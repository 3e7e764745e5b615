//! A store in memory, and documents in short.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

pub mod sweep;

use std::{collections::BTreeMap, ops::Bound, sync::Arc, time::Duration};

use settle_access::{Administer, AdministerServer, Grant, Read, Resource, Write};
use settle_database::{
    Atomicity, Content, CreateOptions, Database, Edit, EditError, Origin, Store, StoreParts,
    StoreSettings, Verdict, Written,
    blobs::{BlobSettings, BlobStore, BlobStoreParts},
};
use settle_engine::{
    Batch, Direction, Engine, Outcome, Plan, Scan, Step, Visit, Visitor, key::take_number,
    memory::MemoryEngine,
};
use settle_model::{
    json,
    revision::{RevId, RevPath},
    time::{ManualClock, SeededEntropy, Timestamp},
};

/// 2026-01-01, in seconds.
pub const START: u64 = 1_767_225_600;

#[derive(Debug)]
pub struct TestStore {
    pub store: Store,
    pub clock: Arc<ManualClock>,
    pub engine: Arc<dyn Engine>,
}

impl TestStore {
    pub async fn new() -> Self {
        Self::on(Arc::new(MemoryEngine::new())).await
    }

    pub async fn on(engine: Arc<dyn Engine>) -> Self {
        Self::with_identity(engine, [0; 16]).await
    }

    pub async fn with_identity(engine: Arc<dyn Engine>, identity: [u8; 16]) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(START)));
        let entropy = Arc::new(SeededEntropy::new(7));
        let blobs = BlobStore::open(BlobStoreParts {
            engine: engine.clone(),
            folder: None,
            clock: clock.clone(),
            entropy: entropy.clone(),
            settings: BlobSettings::default(),
        })
        .await
        .unwrap();
        let parts = StoreParts {
            engine: engine.clone(),
            blobs,
            clock: clock.clone(),
            entropy,
            settings: StoreSettings { grace: Duration::from_secs(3600), identity: Some(identity) },
        };
        Self { store: Store::open(parts).await.unwrap(), clock, engine }
    }

    pub async fn create(&self, name: &str) -> TestDatabase {
        let name = name.parse().unwrap();
        let options = CreateOptions::default();
        TestDatabase::new(self.store.create(&server(), &name, options).await.unwrap())
    }
}

/// The embedded engine, in a folder that goes with it.
pub fn embedded() -> (tempfile::TempDir, Arc<dyn Engine>) {
    let folder = tempfile::tempdir().unwrap();
    let options = settle_engine_lmdb::OpenOptions::default();
    let engine = settle_engine_lmdb::LmdbEngine::open(folder.path(), &options).unwrap();
    (folder, engine)
}

pub fn server() -> Grant<AdministerServer> {
    Grant::internal(Resource::Server, "a test")
}

#[derive(Debug)]
pub struct TestDatabase {
    pub db: Database,
    pub read: Grant<Read>,
    pub write: Grant<Write>,
    pub admin: Grant<Administer>,
}

impl TestDatabase {
    pub fn new(db: Database) -> Self {
        let resource = db.resource();
        Self {
            read: Grant::internal(resource.clone(), "a test"),
            write: Grant::internal(resource.clone(), "a test"),
            admin: Grant::internal(resource, "a test"),
            db,
        }
    }

    pub async fn one(&self, edit: Edit) -> Result<Written, EditError> {
        let results = self.db.write(&self.write, vec![edit], Atomicity::EachAlone).await;
        results.unwrap().pop().unwrap()
    }

    pub async fn put(
        &self,
        id: &str,
        base: Option<&RevId>,
        body: &str,
    ) -> Result<RevId, EditError> {
        Ok(self.one(put(id, base, body)).await?.rev)
    }

    pub async fn audit(&self) {
        let wrong = self.db.audit(&self.admin).await.unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

pub fn put(id: &str, base: Option<&RevId>, body: &str) -> Edit {
    Edit {
        id: id.parse().unwrap(),
        origin: Origin::Interactive { base: base.cloned(), must_exist: false },
        deleted: false,
        content: whole(body),
        verdict: Verdict::internal("a test"),
    }
}

pub fn delete(id: &str, base: Option<&RevId>) -> Edit {
    Edit {
        id: id.parse().unwrap(),
        origin: Origin::Interactive { base: base.cloned(), must_exist: true },
        deleted: true,
        content: whole("{}"),
        verdict: Verdict::internal("a test"),
    }
}

/// `revs` are a generation and names, newest first: `3 c b a`; each name becomes a digest.
pub fn replicated(id: &str, revs: &str, deleted: bool, body: &str) -> Edit {
    Edit {
        id: id.parse().unwrap(),
        origin: Origin::Replicated { path: path(revs) },
        deleted,
        content: whole(body),
        verdict: Verdict::internal("a test"),
    }
}

pub fn path(revs: &str) -> RevPath {
    let (start, names) = revs.split_once(' ').unwrap();
    let digests = names.split(' ').map(|name| name.parse().unwrap()).collect();
    RevPath::new(start.parse().unwrap(), digests).unwrap()
}

pub fn whole(body: &str) -> Content {
    let body = json::minify(body.as_bytes()).unwrap().into_owned();
    Content::Whole { body, attachments: Vec::new() }
}

/// Takes away what programs did not keep that came before documents in conflict were listed: rows and count.
pub async fn unlist_conflicts(engine: &Arc<dyn Engine>) {
    const STATE: u8 = 0x02;
    const CONFLICT: u8 = 0x19;
    let all =
        Scan { start: Bound::Unbounded, end: Bound::Unbounded, direction: Direction::Ascending };
    let rows = Rows(Vec::new());
    let rows = engine.read_to_end(Plan::new(vec![Step::Scan(all)]), rows).await.unwrap().0;
    let mut batch = Batch::default();
    let mut bytes: BTreeMap<u64, u64> = BTreeMap::new();
    for (key, value) in &rows {
        let Some((number @ 1.., [CONFLICT, ..])) = take_number(key) else { continue };
        *bytes.entry(number).or_default() += (key.len() + value.len()) as u64;
        batch.delete(key.clone());
    }
    for (key, value) in rows {
        let Some((number @ 1.., [STATE, ..])) = take_number(&key) else { continue };
        let (version, payload) = settle_engine::value::open(&key, &value).unwrap();
        if version == 1 {
            continue;
        }
        // Eleven numbers, the sixth of which counts the bytes of rows too; then the nonce.
        let (mut old, mut rest) = (settle_engine::value::begin(1), payload);
        for field in 0..11 {
            let length = rest.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
            let (number_bytes, after) = rest.split_at(length);
            rest = after;
            let stored =
                number_bytes.iter().rev().fold(0, |it, byte| it << 7 | u64::from(byte & 0x7F));
            let less = if field == 5 { bytes.get(&number).copied().unwrap_or_default() } else { 0 };
            let mut left = stored - less;
            while left >= 0x80 {
                old.push(0x80 | u8::try_from(left & 0x7F).unwrap());
                left >>= 7;
            }
            old.push(u8::try_from(left).unwrap());
        }
        old.extend_from_slice(&rest[..8]);
        batch.put(key.clone(), settle_engine::value::seal(&key, old));
    }
    assert_eq!(engine.commit(batch).await, Outcome::Committed);
}

struct Rows(Vec<(Vec<u8>, Vec<u8>)>);

impl Visitor for Rows {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.0.push((key.to_vec(), value.unwrap().to_vec()));
        Visit::Next
    }
}
