//! A store in memory with lanes, and edits in short.

use std::sync::Arc;

use settle_access::{Administer, AdministerServer, Grant, Read, Resource, Write};
use settle_database::{
    Atomicity, Content, CreateOptions, Database, Edit, Extras, Origin, Select, Store, StoreParts,
    StoreSettings, Verdict,
    blobs::{BlobSettings, BlobStore, BlobStoreParts},
};
use settle_engine::{Engine, memory::MemoryEngine};
use settle_index::{
    IndexParts, IndexSettings, Indexes,
    lane::{Author, Lanes, WriteError, WriteResult},
};
use settle_model::{
    json,
    revision::{RevId, RevPath},
    time::{ManualClock, SeededEntropy, Timestamp},
};
use settle_script::{Launcher, ScriptSettings, Scripts};

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) lanes: Lanes,
    pub(crate) db: Database,
    pub(crate) read: Grant<Read>,
    pub(crate) write: Grant<Write>,
    pub(crate) admin: Grant<Administer>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(ScriptSettings::default()).await
    }

    pub(crate) async fn with(settings: ScriptSettings) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_767_225_600)));
        let entropy = Arc::new(SeededEntropy::new(7));
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
        let blobs = BlobStoreParts {
            engine: engine.clone(),
            folder: None,
            clock: clock.clone(),
            entropy: entropy.clone(),
            settings: BlobSettings::default(),
        };
        let parts = StoreParts {
            engine,
            blobs: BlobStore::open(blobs).await.unwrap(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            settings: StoreSettings::default(),
        };
        let store = Store::open(parts).await.unwrap();
        let parts = IndexParts {
            engine: Arc::new(MemoryEngine::new()),
            store: store.clone(),
            scripts: Scripts::new(Launcher::this_test().unwrap(), settings),
            folder: None,
            clock,
            entropy,
            settings: IndexSettings::default(),
        };
        let lanes = Lanes::new(Indexes::open(parts).await.unwrap());
        let server: Grant<AdministerServer> = Grant::internal(Resource::Server, "a test");
        let name = "notes".parse().unwrap();
        let db = store.create(&server, &name, CreateOptions::default()).await.unwrap();
        let resource = db.resource();
        Self {
            store,
            lanes,
            db,
            read: Grant::internal(resource.clone(), "a test"),
            write: Grant::internal(resource.clone(), "a test"),
            admin: Grant::internal(resource.clone(), "a test"),
        }
    }

    pub(crate) async fn validator(&self, name: &str, source: &str) {
        let mut body = br#"{"validate_doc_update":"#.to_vec();
        json::write_string(&mut body, source);
        body.push(b'}');
        self.design(name, std::str::from_utf8(&body).unwrap()).await;
    }

    pub(crate) async fn design(&self, name: &str, body: &str) {
        assert_eq!(self.one(design(name, body)).await, "ok");
    }

    pub(crate) async fn one(&self, edit: Edit) -> String {
        self.write(vec![edit], Atomicity::EachAlone).await.remove(0)
    }

    /// As an admin.
    pub(crate) async fn write(&self, edits: Vec<Edit>, atomicity: Atomicity) -> Vec<String> {
        let roles = ["till", "_admin"].map(str::to_owned).into();
        let author = Author { name: Some("ada".to_owned()), roles };
        let lanes = &self.lanes;
        let results = lanes.write(&self.db, &self.write, &author, edits, atomicity).await;
        results.unwrap().iter().map(said).collect()
    }

    pub(crate) async fn write_as(&self, author: &Author, edits: Vec<Edit>) -> Vec<WriteResult> {
        let lanes = &self.lanes;
        lanes.write(&self.db, &self.write, author, edits, Atomicity::EachAlone).await.unwrap()
    }

    pub(crate) async fn rev(&self, id: &str) -> RevId {
        let id = id.parse().unwrap();
        self.db.get(&self.read, &id, &Select::Winner, Extras::default()).await.unwrap().rev
    }

    pub(crate) async fn body(&self, id: &str) -> String {
        let id = id.parse().unwrap();
        let found = self.db.get(&self.read, &id, &Select::Winner, Extras::default()).await;
        String::from_utf8(found.unwrap().body.to_vec()).unwrap()
    }

    pub(crate) async fn count(&self) -> u64 {
        self.db.info(&self.read).await.unwrap().doc_count
    }
}

/// `ok`, or why not.
pub(crate) fn said(result: &WriteResult) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(WriteError::Forbidden { reason }) => format!("forbidden: {reason}"),
        Err(WriteError::Unauthorized { reason }) => format!("unauthorized: {reason}"),
        Err(WriteError::Thrown { error, reason }) => format!("thrown {error}: {reason}"),
        Err(WriteError::Script(error)) => format!("script {error}"),
        Err(error) => error.to_string(),
    }
}

pub(crate) fn put(id: &str, base: Option<&RevId>, body: &str) -> Edit {
    Edit {
        id: id.parse().unwrap(),
        origin: Origin::Interactive { base: base.cloned(), must_exist: false },
        deleted: false,
        content: whole(body),
        verdict: Verdict::NONE,
    }
}

pub(crate) fn design(name: &str, body: &str) -> Edit {
    put(&format!("_design/{name}"), None, body)
}

pub(crate) fn delete(id: &str, base: &RevId) -> Edit {
    let origin = Origin::Interactive { base: Some(base.clone()), must_exist: true };
    Edit { origin, deleted: true, ..put(id, None, "{}") }
}

/// `revs` are a generation and names, newest first: `3 c b a`.
pub(crate) fn replicated(id: &str, revs: &str, deleted: bool, body: &str) -> Edit {
    let (start, names) = revs.split_once(' ').unwrap();
    let digests = names.split(' ').map(|name| name.parse().unwrap()).collect();
    let path = RevPath::new(start.parse().unwrap(), digests).unwrap();
    Edit { origin: Origin::Replicated { path }, deleted, ..put(id, None, body) }
}

fn whole(body: &str) -> Content {
    let body = json::minify(body.as_bytes()).unwrap().into_owned();
    Content::Whole { body, attachments: Vec::new() }
}
