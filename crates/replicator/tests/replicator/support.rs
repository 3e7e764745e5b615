//! A site in memory, and its scheduler.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use settle_access::{ADMIN_ROLE, Actor, Grant, Read, Write};
use settle_accounts::{Account, Accounts, PasswordHash, SessionSecret};
use settle_database::{
    Atomicity, ChangeFilter, ChangeScan, CreateOptions, Database, Direction, LeafForm, Next, Store,
    StoreParts, StoreSettings,
    blobs::{BlobSettings, BlobStore, BlobStoreParts},
};
use settle_engine::{Engine, memory::MemoryEngine};
use settle_index::{IndexParts, IndexSettings, Indexes};
use settle_model::{
    document::parse,
    time::{Clock, Entropy, SeededEntropy, Timestamp},
};
use settle_replicator::{
    AsWhom, Ended, JobStatus, Scheduler, SchedulerParts, SchedulerSettings, Task,
};
use settle_script::{Launcher, ScriptSettings, Scripts};
use settle_site::{Site, SiteParts, incoming};
use settle_sync::{
    job::Job,
    sealing::{KEY_BYTES, Sealer},
};
use tokio::sync::mpsc;

pub(crate) struct World {
    pub(crate) site: Arc<Site>,
    pub(crate) scheduler: Scheduler,
    ends: mpsc::UnboundedReceiver<Ended>,
}

/// Real time: what is waited for here are commits, not pauses.
#[derive(Debug)]
struct TokioClock(tokio::time::Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_795_230_346).plus(self.monotonic())
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

pub(crate) fn admin() -> Arc<Actor> {
    Arc::new(Actor::user("admin", vec![ADMIN_ROLE.to_owned()]))
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::of(SchedulerSettings::default()).await
    }

    pub(crate) async fn of(settings: SchedulerSettings) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock(tokio::time::Instant::now()));
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(1));
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
        let blobs = BlobStore::open(BlobStoreParts {
            engine: engine.clone(),
            folder: None,
            clock: clock.clone(),
            entropy: entropy.clone(),
            settings: BlobSettings::default(),
        });
        let store = Store::open(StoreParts {
            engine,
            blobs: blobs.await.unwrap(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            settings: StoreSettings::default(),
        });
        let store = store.await.unwrap();
        let scripts = Scripts::new(Launcher::this_test().unwrap(), ScriptSettings::default());
        let indexes = Indexes::open(IndexParts {
            engine: Arc::new(MemoryEngine::new()),
            store: store.clone(),
            scripts: scripts.clone(),
            folder: None,
            clock: clock.clone(),
            entropy: entropy.clone(),
            settings: IndexSettings::default(),
        });
        let indexes = indexes.await.unwrap();
        let account = Account::admin("admin", PasswordHash::of("pw", &*entropy).unwrap());
        let secret = SessionSecret::from_stored(b"secret".to_vec());
        let accounts = Accounts::new(account, secret, clock.clone(), &*entropy);
        let accounts = Arc::new(accounts);
        let sealer = Arc::new(Sealer::new([7; KEY_BYTES], &[]));
        let parts = SiteParts { store, indexes, scripts, accounts, sealer, clock, entropy };
        let site = Arc::new(Site::new(parts));
        let parts = SchedulerParts { site: site.clone(), spool: None, settings };
        let scheduler = Scheduler::start(parts).await.unwrap();
        let ends = scheduler.ends();
        Self { site, scheduler, ends }
    }

    pub(crate) async fn create(&self, name: &str) -> Database {
        let name = name.parse().unwrap();
        let grant = self.site.may_administer(&admin(), &name).unwrap();
        self.site.create(&admin(), &grant, &name, CreateOptions::default()).await.unwrap();
        self.site.store.find(&name).await.unwrap().unwrap()
    }

    pub(crate) async fn database(&self, name: &str) -> Database {
        self.site.store.find(&name.parse().unwrap()).await.unwrap().unwrap()
    }

    /// Writes a document as a client does, or, with `_revisions` or `_rev`, as a replicator.
    pub(crate) async fn put(&self, database: &Database, document: &str) -> String {
        let document = parse(document.as_bytes()).unwrap();
        let new_edits = document.revisions.is_none();
        let id = document.id.clone().unwrap().parse().unwrap();
        let blobs = self.site.store.blobs();
        let edit = incoming::edit(blobs, id, document, new_edits, []).await.unwrap();
        let grant = Grant::<Write>::internal(database.resource(), "a test writes");
        let edits = vec![edit];
        let site = &self.site;
        let results = site.write(&admin(), database, &grant, edits, Atomicity::EachAlone).await;
        results.unwrap().pop().unwrap().unwrap().rev.to_string()
    }

    /// The job of such a document, in the name of `actor`.
    pub(crate) async fn task(&self, job: &str, actor: Arc<Actor>) -> Task {
        let job = Arc::new(Job::parse(job.as_bytes()).unwrap());
        let as_whom = AsWhom { server: None, actor };
        let id = self.scheduler.identify(&job, &as_whom).await.unwrap();
        Task { id, job, as_whom, place: None }
    }

    /// Runs a job to its end.
    pub(crate) async fn replicate(&mut self, job: &str) -> Ended {
        let task = self.task(job, admin()).await;
        self.scheduler.add(task).unwrap();
        self.end().await
    }

    pub(crate) async fn end(&mut self) -> Ended {
        self.ends.recv().await.unwrap()
    }

    /// Waits until the job is so.
    pub(crate) async fn until(&self, task: &Task, is_so: impl Fn(&JobStatus) -> bool) -> JobStatus {
        loop {
            if let Some(status) = self.scheduler.job(&task.id.to_string())
                && is_so(&status)
            {
                return status;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits until both databases have the same leaves with the same content.
    pub(crate) async fn until_equal(&self, a: &Database, b: &Database) {
        while leaves(a).await != leaves(b).await {
            tokio::task::yield_now().await;
        }
    }
}

/// Every leaf of every document, with its content.
pub(crate) async fn leaves(database: &Database) -> BTreeMap<(String, String), String> {
    let grant = Grant::<Read>::internal(database.resource(), "a test compares");
    let mut scan = ChangeScan {
        since: 0,
        until: database.sequence(),
        direction: Direction::Ascending,
        content: false,
        times: false,
        only: ChangeFilter::All,
    };
    let form = LeafForm { all: true, ancestors: 1_000, count_max: 100, bytes_max: usize::MAX };
    let mut found = BTreeMap::new();
    loop {
        let (changes, next) = database.scan_leaves(&grant, &scan, form).await.unwrap();
        for change in changes {
            for ((rev, _), document) in change.leaves.iter().zip(&change.documents) {
                let content = String::from_utf8_lossy(document).into_owned();
                found.insert((change.id.clone(), rev.to_string()), content);
            }
        }
        match next {
            Next::Go(cursor) => scan.since = cursor.at,
            Next::Done => return found,
        }
    }
}
