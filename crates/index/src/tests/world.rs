//! A store, an engine for indexes that fails on demand, and documents in short.

use std::{collections::BTreeMap, ops::Bound, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use settle_access::{Administer, AdministerServer, Grant, Read, Resource, Write};
use settle_database::{
    Atomicity, Content, CreateOptions, Database, Direction, DocumentForm, Edit, More, Next, Origin,
    RenderedDocument, RenderedScan, Sink, Store, StoreParts, StoreSettings, Verdict,
    blobs::{BlobSettings, BlobStore, BlobStoreParts},
};
use settle_engine::{
    Engine, Plan, Scan, Step, Visit, Visitor, faulty::FaultyEngine, memory::MemoryEngine,
};
use settle_model::{
    json,
    revision::{RevId, RevPath},
    time::{ManualClock, SeededEntropy, Timestamp},
};
use settle_script::{Launcher, ScriptSettings, Scripts};
use tempfile::TempDir;

use crate::{
    IndexParts, IndexSettings, Indexes, ReadyView, Update, ViewError,
    tree::{Range, RowScan, TreeRow},
};

pub(super) struct World {
    pub(super) documents: Arc<dyn Engine>,
    pub(super) engine: Arc<FaultyEngine>,
    pub(super) folder: TempDir,
    pub(super) store: Store,
    pub(super) indexes: Indexes,
    pub(super) settings: IndexSettings,
    clock: Arc<ManualClock>,
    identity: [u8; 16],
}

/// One row as it is shown: id, key, value.
pub(super) type Row = (String, String, String);

impl World {
    pub(super) async fn new() -> Self {
        Self::with(settings(64 << 20)).await
    }

    pub(super) async fn with(settings: IndexSettings) -> Self {
        Self::on(Arc::new(MemoryEngine::new()), settings).await
    }

    pub(super) async fn on(engine: Arc<dyn Engine>, settings: IndexSettings) -> Self {
        Self::of(Arc::new(MemoryEngine::new()), engine, settings).await
    }

    pub(super) async fn of(
        documents: Arc<dyn Engine>,
        engine: Arc<dyn Engine>,
        settings: IndexSettings,
    ) -> Self {
        let engine = Arc::new(FaultyEngine::new(engine));
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_767_225_600)));
        let identity = [0; 16];
        let store = open_store(&documents, &clock, identity).await;
        let runs = folder.path().to_owned();
        let indexes = open(&store, engine.clone(), Some(runs), &clock, &settings).await;
        Self { documents, engine, folder, store, indexes, settings, clock, identity }
    }

    /// Everything ends as if the process were killed, and begins again on what was stored.
    pub(super) async fn reopen(&mut self) {
        self.reopen_as(self.identity).await;
    }

    /// The same, as a copy of the store with another identity.
    pub(super) async fn reopen_as(&mut self, identity: [u8; 16]) {
        self.indexes.close().await;
        self.store.close().await;
        self.engine.reopen();
        self.identity = identity;
        self.store = open_store(&self.documents, &self.clock, identity).await;
        let runs = self.folder.path().to_owned();
        let engine = self.engine.clone();
        self.indexes = open(&self.store, engine, Some(runs), &self.clock, &self.settings).await;
    }

    pub(super) async fn create(&self, name: &str) -> Db {
        let options = CreateOptions::default();
        let name = name.parse().unwrap();
        Db::new(self.store.create(&server(), &name, options).await.unwrap())
    }

    pub(super) async fn find(&self, name: &str) -> Db {
        Db::new(self.store.find(&name.parse().unwrap()).await.unwrap().unwrap())
    }

    /// Indexes of the same store that have nothing yet.
    pub(super) async fn fresh_indexes(&self) -> Indexes {
        let engine = Arc::new(MemoryEngine::new());
        open(&self.store, engine, None, &self.clock, &settings(64 << 20)).await
    }

    /// Every key of the indexes' engine but for numbers.
    pub(super) async fn stored_keys(&self) -> Vec<Vec<u8>> {
        let engine: Arc<dyn Engine> = self.engine.inner().clone();
        let scan = Scan {
            start: Bound::Included(crate::keys::database(1)),
            end: Bound::Unbounded,
            direction: Direction::Ascending,
        };
        let plan = Plan::new(vec![Step::Scan(scan)]);
        engine.read_to_end(plan, Keys(Vec::new())).await.unwrap().0
    }
}

struct Keys(Vec<Vec<u8>>);

impl Visitor for Keys {
    fn visit(&mut self, _: usize, key: &[u8], _: Option<&[u8]>) -> Visit {
        self.0.push(key.to_vec());
        Visit::Next
    }
}

pub(super) fn settings(build_bytes_max: usize) -> IndexSettings {
    // Nothing is warmed unless a test asks for it.
    IndexSettings { build_bytes_max, autoupdate_delay: Duration::from_secs(3_600) }
}

async fn open_store(
    engine: &Arc<dyn Engine>,
    clock: &Arc<ManualClock>,
    identity: [u8; 16],
) -> Store {
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
    let settings = StoreSettings { grace: Duration::from_secs(3_600), identity: Some(identity) };
    let clock = clock.clone();
    let parts = StoreParts { engine: engine.clone(), blobs, clock, entropy, settings };
    Store::open(parts).await.unwrap()
}

async fn open(
    store: &Store,
    engine: Arc<dyn Engine>,
    folder: Option<PathBuf>,
    clock: &Arc<ManualClock>,
    settings: &IndexSettings,
) -> Indexes {
    let launcher = Launcher::this_test().unwrap();
    let parts = IndexParts {
        engine,
        store: store.clone(),
        scripts: Scripts::new(launcher, ScriptSettings::default()),
        folder,
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(11)),
        settings: settings.clone(),
    };
    Indexes::open(parts).await.unwrap()
}

fn server() -> Grant<AdministerServer> {
    Grant::internal(Resource::Server, "a test")
}

/// A database and what a test may do with it.
pub(super) struct Db {
    pub(super) db: Database,
    pub(super) read: Grant<Read>,
    pub(super) admin: Grant<Administer>,
    write: Grant<Write>,
}

impl Db {
    fn new(db: Database) -> Self {
        let resource = db.resource();
        Self {
            read: Grant::internal(resource.clone(), "a test"),
            write: Grant::internal(resource.clone(), "a test"),
            admin: Grant::internal(resource, "a test"),
            db,
        }
    }

    /// The winner's revision, if it is live.
    pub(super) async fn winner(&self, id: &str) -> Option<RevId> {
        let form = DocumentForm::default();
        let found = self.db.look_up_rendered(&self.read, &[id.to_owned()], form).await;
        found.unwrap().remove(0).map(|found| found.rev)
    }

    /// The ids of all live documents but design documents.
    pub(super) async fn ids(&self) -> Vec<String> {
        self.all().await.into_iter().map(|document| document.id).collect()
    }

    /// The winners of all live documents but design documents, as JSON.
    pub(super) async fn documents(&self) -> Vec<Bytes> {
        self.all().await.into_iter().map(|document| document.document).collect()
    }

    async fn all(&self) -> Vec<RenderedDocument> {
        let mut all = Vec::new();
        let mut next = Next::Go(RenderedScan {
            start: Bound::Unbounded,
            end: Bound::Unbounded,
            form: DocumentForm::default(),
            in_conflict: false,
            count_max: usize::MAX,
            bytes_max: usize::MAX,
        });
        while let Next::Go(scan) = next {
            let documents;
            (documents, next) = self.db.scan_rendered(&self.read, scan).await.unwrap();
            all.extend(documents);
        }
        all.retain(|document| !document.id.starts_with("_design/"));
        all
    }

    /// Puts a document over the one that is there.
    pub(super) async fn put(&self, id: &str, body: &str) {
        let base = self.winner(id).await;
        self.edit(id, Origin::Interactive { base, must_exist: false }, false, body).await;
    }

    pub(super) async fn put_all(&self, documents: impl IntoIterator<Item = (String, String)>) {
        let edits = documents.into_iter().map(|(id, body)| {
            let origin = Origin::Interactive { base: None, must_exist: false };
            self.make(&id, origin, false, &body)
        });
        let written = self.db.write(&self.write, edits.collect(), Atomicity::EachAlone).await;
        assert!(written.unwrap().iter().all(Result::is_ok));
    }

    pub(super) async fn delete(&self, id: &str) {
        if let base @ Some(_) = self.winner(id).await {
            self.edit(id, Origin::Interactive { base, must_exist: true }, true, "{}").await;
        }
    }

    /// A revision of another replica: a generation and names, newest first.
    pub(super) async fn graft(&self, id: &str, revs: &str, deleted: bool, body: &str) {
        let (start, names) = revs.split_once(' ').unwrap();
        let digests = names.split(' ').map(|name| name.parse().unwrap()).collect();
        let path = RevPath::new(start.parse().unwrap(), digests).unwrap();
        self.edit(id, Origin::Replicated { path }, deleted, body).await;
    }

    /// Purges the winner; a conflict may take its place.
    pub(super) async fn purge(&self, id: &str) {
        if let Some(rev) = self.winner(id).await {
            self.db.purge(&self.admin, vec![(id.parse().unwrap(), vec![rev])]).await.unwrap();
        }
    }

    async fn edit(&self, id: &str, origin: Origin, deleted: bool, body: &str) {
        let edit = self.make(id, origin, deleted, body);
        let written = self.db.write(&self.write, vec![edit], Atomicity::EachAlone).await;
        written.unwrap().pop().unwrap().unwrap();
    }

    fn make(&self, id: &str, origin: Origin, deleted: bool, body: &str) -> Edit {
        let body = json::minify(body.as_bytes()).unwrap().into_owned();
        let content = Content::Whole { body, attachments: Vec::new() };
        let verdict = Verdict::internal("a test");
        Edit { id: id.parse().unwrap(), origin, deleted, content, verdict }
    }

    pub(super) async fn ready(
        &self,
        indexes: &Indexes,
        view: &str,
        update: Update,
    ) -> Result<ReadyView, ViewError> {
        let (design, view) = view.split_once('/').unwrap();
        indexes.view(&self.db, &self.read, design, view).await?.ready(update).await
    }

    /// All rows of `design/view`.
    pub(super) async fn rows(&self, indexes: &Indexes, view: &str, update: Update) -> Vec<Row> {
        rows_of(&self.ready(indexes, view, update).await.unwrap()).await
    }

    /// All rows of all views of all design documents, once they are up to date.
    pub(super) async fn everything(&self, indexes: &Indexes) -> BTreeMap<String, Vec<Row>> {
        let mut everything = BTreeMap::new();
        for entry in indexes.designs(&self.db).await.unwrap().usable() {
            for view in entry.design.view_names() {
                let name = format!("{}/{view}", entry.name);
                let view = self.ready(indexes, &name, Update::Wait).await.unwrap();
                view.tree.audit(&*view.engine, &shape(indexes, &view).await).await.unwrap();
                everything.insert(name, rows_of(&view).await);
            }
        }
        everything
    }
}

/// The shape key of a view's index.
async fn shape(indexes: &Indexes, view: &ReadyView) -> crate::tree::ShapeKey {
    let catalog = &indexes.shared.catalog;
    let signature = &view.definition.signature;
    catalog.index(view.database.number(), signature).await.unwrap().unwrap().record.shape
}

pub(super) async fn rows_of(view: &ReadyView) -> Vec<Row> {
    let mut next = Next::Go(RowScan {
        range: Range::default(),
        direction: Direction::Ascending,
        skip: 0,
        limit: u64::MAX,
    });
    let mut rows = Rows(Vec::new());
    while let Next::Go(scan) = next {
        (rows, next) = view.tree.rows(&*view.engine, scan, rows).await.unwrap();
    }
    rows.0
}

struct Rows(Vec<Row>);

impl Sink<TreeRow<'_>> for Rows {
    fn row(&mut self, row: &TreeRow<'_>) -> More {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        self.0.push((row.id.to_owned(), text(row.key), text(row.value)));
        More::Yes
    }
}

/// A design document of Mango indexes: names and fields.
pub(super) fn mango(views: &[(&str, &[&str])]) -> String {
    let views = views.iter().map(|(name, fields)| {
        let fields: Vec<_> = fields.iter().map(|field| format!("\"{field}\":\"asc\"")).collect();
        let fields = fields.join(",");
        format!("\"{name}\":{{\"map\":{{\"fields\":{{{fields}}}}},\"reduce\":\"_count\"}}")
    });
    let views: Vec<_> = views.collect();
    format!("{{\"language\":\"query\",\"views\":{{{}}}}}", views.join(","))
}

/// A design document of JavaScript views: name, map, reduce.
pub(super) fn script(views: &[(&str, &str, Option<&str>)]) -> String {
    let text = |text: &str| serde_json::to_string(text).unwrap();
    let views = views.iter().map(|(name, map, reduce)| {
        let reduce = reduce.map_or(String::new(), |it| format!(",\"reduce\":{}", text(it)));
        format!("\"{name}\":{{\"map\":{}{reduce}}}", text(map))
    });
    let views: Vec<_> = views.collect();
    format!("{{\"views\":{{{}}}}}", views.join(","))
}
