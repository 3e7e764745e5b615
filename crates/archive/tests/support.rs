//! Stores in memory, archives of their databases, and random lives of a database.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use proptest::prelude::*;
use settle_access::{Administer, AdministerServer, Grant, Read, Resource, Write};
use settle_archive::{
    Archiving, BadArchive, Item, Reader, RestoreFailure, Restored, Source, block::Packer, restore,
};
use settle_database::{
    Atomicity, AttachmentEdit, AttachmentSource, Content, CreateOptions, Database, Edit, Moment,
    Next, Origin, Point, Store, StoreParts, StoreSettings, Verdict, WholeDocument,
    blobs::{BlobSettings, BlobStore, BlobStoreParts, Received, UploadOptions},
};
use settle_engine::{
    Direction, Engine, Plan, Scan, Step, Visit, Visitor, key::take_number, memory::MemoryEngine,
};
use settle_model::{
    revision::{RevId, RevPath},
    time::{Clock as _, ManualClock, SeededEntropy, Timestamp},
};

#[derive(Debug)]
pub struct TestStore {
    pub store: Store,
    pub clock: Arc<ManualClock>,
    pub engine: Arc<dyn Engine>,
}

impl TestStore {
    pub async fn new() -> Self {
        Self::on(Arc::new(MemoryEngine::new()), 7).await
    }

    /// `seed` makes its uuid, its timelines and the names of its files.
    pub async fn on(engine: Arc<dyn Engine>, seed: u64) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_767_225_600)));
        let entropy = Arc::new(SeededEntropy::new(seed));
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
            settings: StoreSettings { grace: Duration::from_secs(3_600), identity: None },
        };
        Self { store: Store::open(parts).await.unwrap(), clock, engine }
    }

    pub async fn create(&self, name: &str) -> TestDatabase {
        let name = name.parse().unwrap();
        let grant: Grant<AdministerServer> = Grant::internal(Resource::Server, "a test");
        let database = self.store.create(&grant, &name, CreateOptions::default()).await.unwrap();
        TestDatabase::new(&self.store, database)
    }

    pub async fn find(&self, name: &str) -> TestDatabase {
        let found = self.store.find(&name.parse().unwrap()).await.unwrap();
        TestDatabase::new(&self.store, found.unwrap())
    }

    pub fn archiving(&self, db: &TestDatabase) -> Archiving {
        self.archiving_at(db, None)
    }

    pub fn archiving_at(&self, db: &TestDatabase, moment: Option<Moment>) -> Archiving {
        Archiving::new(&self.store, &db.db, &db.admin, moment, self.clock.now())
    }

    pub async fn archive(&self, db: &TestDatabase) -> Vec<u8> {
        rest(&mut self.archiving(db)).await
    }

    /// What an archive holds, beside the database, and not in its place.
    pub async fn restore(
        &self,
        db: &TestDatabase,
        archive: &[u8],
    ) -> Result<Restored, RestoreFailure> {
        self.restore_within(db, archive, None).await
    }

    pub async fn restore_within(
        &self,
        db: &TestDatabase,
        archive: &[u8],
        bytes_max: Option<u64>,
    ) -> Result<Restored, RestoreFailure> {
        restore(&self.store, &db.admin, &db.db, source(archive), bytes_max).await
    }

    /// Puts what an archive holds in the place of a database.
    pub async fn replace(&self, db: &TestDatabase, archive: &[u8]) -> TestDatabase {
        let restored = self.restore(db, archive).await.unwrap();
        TestDatabase::new(&self.store, restored.place(&db.db).await.unwrap())
    }
}

/// All documents of a moment, as they are read.
pub async fn slices(point: &Point) -> Vec<Vec<WholeDocument>> {
    let mut slices = Vec::new();
    let mut since = 0;
    loop {
        let (documents, next) = point.documents(since).await.unwrap();
        slices.push(documents);
        match next {
            Next::Done => return slices,
            Next::Go(at) => since = at,
        }
    }
}

/// All blocks that are still to come.
pub async fn rest(archiving: &mut Archiving) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(block) = archiving.next().await.unwrap() {
        bytes.extend_from_slice(&block);
    }
    bytes
}

/// In pieces that know nothing of blocks.
pub fn source(archive: &[u8]) -> Source {
    let pieces: Vec<io::Result<Bytes>> =
        archive.chunks(1_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    Box::pin(stream::iter(pieces))
}

/// Everything that an archive holds, or what is wrong with it.
pub fn read(archive: &[u8]) -> Result<Vec<Item>, BadArchive> {
    let mut reader = Reader::default();
    let mut items = Vec::new();
    for piece in archive.chunks(777) {
        reader.feed(piece);
        while let Some(item) = reader.item()? {
            items.push(item);
        }
    }
    reader.finish();
    while let Some(item) = reader.item()? {
        items.push(item);
    }
    Ok(items)
}

/// The lines of an archive with one changed, packed anew: what no checksum shows.
pub fn forged(archive: &[u8], change: impl Fn(&str) -> String) -> Vec<u8> {
    let lines = String::from_utf8(zstd::stream::decode_all(archive).unwrap()).unwrap();
    let mut packer = Packer::default();
    for line in lines.lines() {
        packer.lines().extend_from_slice(change(line).as_bytes());
        if !packer.lines().ends_with(b"\n") && !packer.lines().is_empty() {
            packer.lines().push(b'\n');
        }
    }
    packer.pack().unwrap()
}

/// The database is what it was, and there is nothing of any other.
pub async fn assert_untouched(store: &TestStore, before: &[WholeDocument]) {
    let db = store.find("notes").await;
    // What a restore leaves is reclaimed in the background.
    for _ in 0..2_000 {
        if owners(&store.engine).await == [db.db.number()] {
            assert_eq!(db.wholes().await, before);
            db.audit().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("keys of {:?} are left", owners(&store.engine).await);
}

/// The numbers of databases that have keys, and 0 if a restore has a row.
async fn owners(engine: &Arc<dyn Engine>) -> Vec<u64> {
    #[derive(Default)]
    struct Owners(BTreeSet<u64>);
    impl Visitor for Owners {
        fn visit(&mut self, _: usize, key: &[u8], _: Option<&[u8]>) -> Visit {
            match take_number(key) {
                Some((0, rest)) if rest.first() != Some(&0x28) => {}
                Some((number, _)) => drop(self.0.insert(number)),
                None => panic!("a key without an owner"),
            }
            Visit::Next
        }
    }
    let all =
        Scan { start: Bound::Unbounded, end: Bound::Unbounded, direction: Direction::Ascending };
    let plan = Plan::new(vec![Step::Scan(all)]);
    engine.read_to_end(plan, Owners::default()).await.unwrap().0.into_iter().collect()
}

#[derive(Debug)]
pub struct TestDatabase {
    pub store: Store,
    pub db: Database,
    pub read: Grant<Read>,
    pub write: Grant<Write>,
    pub admin: Grant<Administer>,
}

impl TestDatabase {
    pub fn new(store: &Store, db: Database) -> Self {
        let resource = db.resource();
        Self {
            store: store.clone(),
            read: Grant::internal(resource.clone(), "a test"),
            write: Grant::internal(resource.clone(), "a test"),
            admin: Grant::internal(resource, "a test"),
            db,
        }
    }

    pub async fn one(&self, edit: Edit) -> RevId {
        let results = self.db.write(&self.write, vec![edit], Atomicity::EachAlone).await.unwrap();
        results.into_iter().next().unwrap().unwrap().rev
    }

    pub async fn put(&self, id: &str, base: Option<&RevId>, body: &str) -> RevId {
        let origin = Origin::Interactive { base: base.cloned(), must_exist: false };
        self.one(edit(id, origin, false, body, Vec::new())).await
    }

    /// `revs` are a generation and names, newest first: `3 c b a`.
    pub async fn graft(&self, id: &str, revs: &str, deleted: bool, body: &str) {
        let origin = Origin::Replicated { path: path(revs) };
        self.one(edit(id, origin, deleted, body, Vec::new())).await;
    }

    pub async fn attachment(&self, name: &str, kind: &str, bytes: &[u8]) -> AttachmentEdit {
        let options = UploadOptions::new(Received::Plain { content_type: kind });
        let blob = Arc::new(self.store.blobs().stage(bytes, &options).await.unwrap());
        let source = AttachmentSource::New { content_type: kind.to_owned(), blob };
        AttachmentEdit { name: name.parse().unwrap(), source, revpos: None }
    }

    pub async fn local(&self, id: &str, body: &str) {
        let id = format!("_local/{id}").parse().unwrap();
        self.db.put_local(&self.write, &id, None, body.as_bytes()).await.unwrap();
    }

    pub async fn wholes(&self) -> Vec<WholeDocument> {
        let point = self.db.point(&self.admin, None, "a test").await.unwrap();
        let all = slices(&point).await.concat();
        point.release().await.unwrap();
        all
    }

    pub async fn locals(&self) -> Vec<(String, u64, Bytes)> {
        let all = (Bound::Unbounded, Bound::Unbounded);
        let found = self.db.locals(&self.read, all, Direction::Ascending, 0, u64::MAX);
        let found = found.await.unwrap().into_iter();
        found.map(|it| (it.id.as_str().to_owned(), it.revision, it.body)).collect()
    }

    /// Counts everything anew.
    pub async fn audit(&self) {
        let wrong = self.db.audit(&self.admin).await.unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

pub fn edit(
    id: &str,
    origin: Origin,
    deleted: bool,
    body: &str,
    attachments: Vec<AttachmentEdit>,
) -> Edit {
    let body = body.as_bytes().to_vec();
    Edit {
        id: id.parse().unwrap(),
        origin,
        deleted,
        content: Content::Whole { body, attachments },
        verdict: Verdict::internal("a test"),
    }
}

pub fn path(revs: &str) -> RevPath {
    let (start, names) = revs.split_once(' ').unwrap();
    let digests = names.split(' ').map(|name| name.parse().unwrap()).collect();
    RevPath::new(start.parse().unwrap(), digests).unwrap()
}

/// A part of a life.
#[derive(Debug, Clone)]
pub enum Op {
    /// Continues the n-th leaf of a document (modulo their number), or begins one, again and again.
    Edit {
        id: usize,
        leaf: usize,
        deleted: bool,
        body: usize,
        attached: Vec<usize>,
        times: usize,
    },
    /// Begins another branch.
    Branch {
        id: usize,
        length: u32,
        deleted: bool,
        body: usize,
        attached: Vec<usize>,
    },
    Purge {
        id: usize,
    },
    Local {
        id: usize,
        body: usize,
    },
    Compact,
}

pub const IDS: [&str; 5] = ["a", "b/c", "\u{0}z\"\n", "_design/d", "é"];

/// Of both encodings; the last does not stand inside the engine.
fn content(n: usize) -> (&'static str, &'static str, Vec<u8>) {
    match n % 4 {
        0 => ("text", "text/plain", b"some text, some text, some text".repeat(5)),
        1 => ("bytes", "application/octet-stream", vec![0, 159, 146, 150]),
        2 => ("empty", "image/png", Vec::new()),
        _ => ("large", "image/png", (0..70_000_u32).map(|n| n.to_le_bytes()[0]).collect()),
    }
}

pub fn op() -> impl Strategy<Value = Op> {
    let id = 0..IDS.len();
    let body = prop_oneof![Just(0_usize), Just(30), Just(1_700), Just(2_500)];
    let attached = proptest::collection::vec(0..4_usize, 0..3);
    let times = prop_oneof![5 => Just(1_usize), 1 => 40..120_usize];
    prop_oneof![
        6 => (id.clone(), 0..4_usize, any::<bool>(), body.clone(), attached.clone(), times)
            .prop_map(|(id, leaf, deleted, body, attached, times)| Op::Edit {
                id, leaf, deleted: deleted && times == 1, body, attached, times,
            }),
        4 => (id.clone(), 1..40_u32, any::<bool>(), body.clone(), attached)
            .prop_map(|(id, length, deleted, body, attached)| Op::Branch {
                id, length, deleted, body, attached,
            }),
        1 => id.clone().prop_map(|id| Op::Purge { id }),
        2 => (id, body).prop_map(|(id, body)| Op::Local { id, body }),
        1 => Just(Op::Compact),
    ]
}

/// Lives on: `made` counts what has been made.
pub async fn live(db: &TestDatabase, op: &Op, made: &mut u32) {
    *made += 1;
    let n = *made;
    let body = |length: usize| format!(r#"{{"n":{n},"é":1.0,"pad":"{}"}}"#, "x".repeat(length));
    match op {
        Op::Edit { id, leaf, deleted, body: length, attached, times } => {
            for _ in 0..*times {
                let whole = db.db.whole(&db.read, &IDS[*id].parse().unwrap()).await.unwrap();
                let leaves = whole.map(|it| it.leaves).unwrap_or_default();
                let base = leaves.get(*leaf % leaves.len().max(1)).map(|it| it.path.newest());
                // A tombstone on nothing is a branch of its own.
                let origin = Origin::Interactive { base, must_exist: false };
                let attachments = attachments(db, attached).await;
                let edit = edit(IDS[*id], origin, *deleted, &body(*length), attachments);
                let write = db.db.write(&db.write, vec![edit], Atomicity::EachAlone).await;
                drop(write.unwrap());
            }
        }
        Op::Branch { id, length, deleted, body: pad, attached } => {
            let digest = |age: u32| {
                let mut sum = [0; 16];
                sum[..4].copy_from_slice(&n.to_be_bytes());
                sum[4..8].copy_from_slice(&age.to_be_bytes());
                settle_model::revision::Digest::md5(sum)
            };
            let path = RevPath::new(*length + 1, (0..*length).map(digest).collect()).unwrap();
            let origin = Origin::Replicated { path };
            let attachments = attachments(db, attached).await;
            db.one(edit(IDS[*id], origin, *deleted, &body(*pad), attachments)).await;
        }
        Op::Purge { id } => {
            let id = IDS[*id].parse().unwrap();
            if let Some(whole) = db.db.whole(&db.read, &id).await.unwrap() {
                let rev = whole.leaves[0].path.newest();
                db.db.purge(&db.admin, vec![(id, vec![rev])]).await.unwrap();
            }
        }
        Op::Local { id, body: length } => db.local(&format!("l{id}"), &body(*length)).await,
        Op::Compact => db.db.compact(&db.admin).await.unwrap(),
    }
}

async fn attachments(db: &TestDatabase, contents: &[usize]) -> Vec<AttachmentEdit> {
    let mut by_name = BTreeMap::new();
    for n in contents {
        let (name, kind, bytes) = content(*n);
        by_name.insert(name, db.attachment(name, kind, &bytes).await);
    }
    by_name.into_values().collect()
}
