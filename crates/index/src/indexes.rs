//! All indexes of a site.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use settle_access::{Action, Administer, Grant, Inspect, Read};
use settle_database::{Database, StorageError, Store, Tasks};
use settle_engine::Engine;
use settle_model::{
    id::DatabaseName,
    time::{Clock, Entropy, Timestamp},
};
use settle_query::{
    collate,
    design::{self, IndexDefinition, Language, ViewPlace},
    mango::NamedIndex,
};
use settle_script::Scripts;
use thiserror::Error;
use tokio::sync::{Notify, Semaphore};

use crate::{
    catalog::{Catalog, IndexRecord, State},
    designs::{self, DesignCache, DesignEntry, Designs, ServedCache},
    index::{Index, Reached, Work, is_current},
    keys::Signature,
    limits::{self, OPEN_IDLE_MAX, WARMING_MAX},
    reclaim,
    view::{ReadyView, Update, View, ViewError},
    warm,
};

/// What indexes stand on.
#[derive(Debug, Clone)]
pub struct IndexParts {
    /// The second environment: nothing of documents is in it.
    pub engine: Arc<dyn Engine>,
    pub store: Store,
    pub scripts: Scripts,
    /// For the runs of builds; without one, builds sort in memory alone.
    pub folder: Option<PathBuf>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub settings: IndexSettings,
}

#[derive(Debug, Clone)]
pub struct IndexSettings {
    /// Bytes of rows that one build sorts in memory.
    pub build_bytes_max: usize,
    /// How long after a write its indexes are warmed; writes meanwhile are warmed together.
    pub autoupdate_delay: Duration,
}

impl Default for IndexSettings {
    fn default() -> Self {
        Self {
            build_bytes_max: limits::BUILD_BYTES_DEFAULT,
            autoupdate_delay: limits::AUTOUPDATE_DELAY_DEFAULT,
        }
    }
}

/// The indexes of one site. Clones are the same.
#[derive(Debug, Clone)]
pub struct Indexes {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) parts: IndexParts,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) tasks: Tasks,
    /// There is something to clear.
    pub(crate) reclaim: Notify,
    pub(crate) leases: Leases,
    /// Places for indexes that are warmed.
    warming: Semaphore,
    /// Indexes that were let go since the start because they were damaged.
    damaged: AtomicU64,
    designs: DesignCache,
    served: ServedCache,
    open: Mutex<HashMap<(u64, Signature), Arc<Index>>>,
}

#[derive(Debug, Error)]
pub enum OpenError {
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// `_design/{name}/_info`.
#[derive(Debug, Clone)]
pub struct DesignInfo {
    pub signature: [u8; 16],
    pub language: String,
    pub sizes: IndexSizes,
    pub update_seq: u64,
    pub purge_seq: u64,
    /// Changes of the database that the index has not seen.
    pub updates_pending: u64,
    pub waiting_clients: usize,
    pub updater_running: bool,
    pub compact_running: bool,
    pub collator_versions: Vec<String>,
}

/// Bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IndexSizes {
    /// On disk, without what the engine keeps free.
    pub file: u64,
    /// Of what the rows need.
    pub active: u64,
    /// Of keys and values as JSON.
    pub external: u64,
}

/// One row of `_active_tasks`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexerTask {
    pub database: DatabaseName,
    /// `_design/{name}`; one of them, where several share the index.
    pub design_document: String,
    pub changes_done: u64,
    pub total_changes: u64,
    /// Per cent.
    pub progress: u8,
    /// When it will be done at the pace so far.
    pub estimated_end: Option<Timestamp>,
    pub started_on: Timestamp,
    pub updated_on: Timestamp,
    pub pid: String,
}

impl Indexes {
    /// Opens the indexes that the engine holds, and starts their background work.
    pub async fn open(parts: IndexParts) -> Result<Self, OpenError> {
        let catalog = Arc::new(Catalog::new(parts.engine.clone()));
        let shared = Arc::new(Shared {
            catalog,
            tasks: Tasks::default(),
            reclaim: Notify::new(),
            leases: Leases::default(),
            warming: Semaphore::new(WARMING_MAX),
            damaged: AtomicU64::new(0),
            designs: DesignCache::default(),
            served: ServedCache::default(),
            open: Mutex::default(),
            parts,
        });
        let catalog = shared.catalog.clone();
        shared.parts.store.set_followers(Box::new(move |database| {
            let catalog = catalog.clone();
            Box::pin(async move { catalog.position(database).await })
        }));
        // Before any build begins.
        let runs = reclaim::indexes_of_runs(shared.parts.folder.clone()).await;
        shared.tasks.spawn(reclaim::run(shared.clone(), runs));
        let events = warm::begin(&shared).await?;
        shared.tasks.spawn(warm::run(shared.clone(), events));
        Ok(Self { shared })
    }

    /// Ends builds and updates, and waits for what is being committed. Builds go on at the next
    /// start. Before the store is closed.
    pub async fn close(&self) {
        self.shared.tasks.stop().await;
        let open: Vec<_> = self.shared.open().drain().map(|(_, index)| index).collect();
        for index in open {
            index.close().await;
        }
    }

    pub fn scripts(&self) -> &Scripts {
        &self.shared.parts.scripts
    }

    /// For work that has to be finished before the store is closed.
    pub(crate) fn store_tasks(&self) -> &Tasks {
        self.shared.parts.store.tasks()
    }

    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.shared.parts.engine
    }

    /// The parsed design documents of a database, as of its present design epoch.
    pub async fn designs(&self, database: &Database) -> Result<Arc<Designs>, StorageError> {
        self.shared.designs(database).await
    }

    /// The usable design document of that name: what stands behind `_design/`.
    pub async fn design(
        &self,
        database: &Database,
        grant: &Grant<Read>,
        name: &str,
    ) -> Result<Arc<DesignEntry>, ViewError> {
        check(database, grant);
        match self.shared.designs(database).await?.all.get(name) {
            Some(Ok(entry)) => Ok(entry.clone()),
            Some(Err(broken)) => {
                Err(ViewError::Design { design: name.to_owned(), source: broken.error.clone() })
            }
            None if designs::is_deleted(database, grant, name).await? => {
                Err(ViewError::DesignDeleted { design: name.to_owned() })
            }
            None => Err(ViewError::DesignMissing { design: name.to_owned() }),
        }
    }

    /// The view of that name. `design` is what stands behind `_design/`.
    pub async fn view(
        &self,
        database: &Database,
        grant: &Grant<Read>,
        design: &str,
        view: &str,
    ) -> Result<View, ViewError> {
        let entry = self.design(database, grant, design).await?;
        let missing =
            || ViewError::ViewMissing { design: design.to_owned(), view: view.to_owned() };
        let place = entry.design.view(view).map_err(|error| match error {
            design::ViewError::Missing => missing(),
            design::ViewError::UnknownLanguage { language } => {
                ViewError::UnknownLanguage { language }
            }
            design::ViewError::Broken(source) => {
                ViewError::Design { design: design.to_owned(), source: Arc::new(source) }
            }
        })?;
        let definition = entry.index.clone().ok_or_else(missing)?;
        Ok(View {
            indexes: self.clone(),
            database: database.clone(),
            entry,
            definition,
            name: view.into(),
            place,
        })
    }

    /// What `_info` tells of the index of a design document. One without views has an index of nothing.
    pub async fn info(
        &self,
        database: &Database,
        grant: &Grant<Read>,
        design: &str,
    ) -> Result<DesignInfo, ViewError> {
        let entry = self.design(database, grant, design).await?;
        let language = match &entry.design.language {
            Language::JavaScript => "javascript",
            Language::Query => "query",
            Language::Other(language) => language,
        };
        let mut info = DesignInfo {
            signature: [0; 16],
            language: language.to_owned(),
            sizes: IndexSizes::default(),
            update_seq: 0,
            purge_seq: 0,
            updates_pending: 0,
            waiting_clients: 0,
            updater_running: false,
            compact_running: false,
            collator_versions: vec![collate::VERSION.to_owned()],
        };
        let Some(definition) = &entry.index else { return Ok(info) };
        info.signature = definition.signature;
        let shared = &self.shared;
        if let Some(index) = shared.open().get(&(database.number(), definition.signature)) {
            info.waiting_clients = index.waiting();
            info.updater_running = !matches!(index.work(), Work::None);
        }
        let stored = shared.catalog.index(database.number(), &definition.signature).await?;
        if let Some(stored) = stored.filter(|it| is_current(&it.record, database))
            && let Some(cursor) =
                shared.catalog.cursor(database.number(), stored.record.number).await?
        {
            let cursor = cursor.record;
            info.update_seq = cursor.sequence;
            info.purge_seq = cursor.purge_sequence;
            info.sizes = IndexSizes {
                file: cursor.active,
                active: cursor.active,
                external: cursor.external,
            };
        }
        info.updates_pending = database.pending(grant, info.update_seq).await?;
        Ok(info)
    }

    /// Bytes that the indexes of a database of this number take, reductions aside, also of those that no
    /// design document asks for any more. While one is built, nothing of it.
    pub async fn kept_bytes(&self, database: u64) -> Result<u64, StorageError> {
        self.shared.catalog.active_bytes(database).await
    }

    /// Lets go of the indexes that no design document of the database asks for: `_view_cleanup`.
    pub async fn cleanup(
        &self,
        database: &Database,
        grant: &Grant<Administer>,
    ) -> Result<(), StorageError> {
        check(database, grant);
        reclaim::cleanup(&self.shared, database).await
    }

    /// `_compact/{design}`: rows are kept compact always, so this only looks whether there is such a
    /// design document.
    pub async fn compact(
        &self,
        database: &Database,
        grant: &Grant<Administer>,
        design: &str,
    ) -> Result<(), ViewError> {
        check(database, grant);
        let grant = Grant::internal(database.resource(), "whether a design document is there");
        self.design(database, &grant, design).await?;
        Ok(())
    }

    /// How many indexes were found damaged since the start, and let go.
    pub fn damaged_count(&self) -> u64 {
        self.shared.damaged.load(Ordering::Relaxed)
    }

    /// The builds and updates that are running, oldest first.
    pub fn tasks(&self, grant: &Grant<Inspect>) -> Vec<IndexerTask> {
        let _: &Grant<Inspect> = grant;
        let now = self.shared.parts.clock.now();
        let open: Vec<_> = self.shared.open().values().cloned().collect();
        let mut tasks: Vec<_> =
            open.iter().filter_map(|index| self.shared.task(index, now)).collect();
        tasks.sort_by_key(|task| task.started_on);
        tasks
    }

    /// Whether a Mango index is built. If it is not, it will be, though not for who asks.
    pub(crate) async fn is_built(
        &self,
        database: &Database,
        grant: &Grant<Read>,
        named: &NamedIndex,
    ) -> Result<bool, ViewError> {
        let shared = &self.shared;
        let design = named.ddoc.strip_prefix("_design/").unwrap_or(&named.ddoc);
        let view = self.view(database, grant, design, &named.name).await?;
        let signature = &view.definition.signature;
        let stored = shared.catalog.index(database.number(), signature).await?;
        let is_built = stored
            .is_some_and(|it| it.record.state == State::Ready && is_current(&it.record, database));
        if !is_built {
            shared.warm(shared.index(database, &view.definition), view.entry.clone());
        }
        Ok(is_built)
    }

    pub(crate) async fn ready(&self, view: &View, update: Update) -> Result<ReadyView, ViewError> {
        let shared = &self.shared;
        // What the database had when the request came.
        let sequence = view.database.sequence();
        match update {
            Update::Wait => {
                let index = shared.index(&view.database, &view.definition);
                let reached = index.reach(shared, sequence).await?;
                index.serve(shared, &view.entry, reached.number).await;
                Ok(shared.ready_view(view, &index, view.place, reached))
            }
            Update::Lazy => {
                let found = shared.as_it_is(view).await?;
                shared.warm(shared.index(&view.database, &view.definition), view.entry.clone());
                Ok(found)
            }
            Update::No => shared.as_it_is(view).await,
        }
    }
}

impl Shared {
    pub(crate) async fn designs(&self, database: &Database) -> Result<Arc<Designs>, StorageError> {
        self.designs.of(database).await
    }

    /// The index of a definition, opened or not. Those that nobody uses make room.
    pub(crate) fn index(
        &self,
        database: &Database,
        definition: &Arc<IndexDefinition>,
    ) -> Arc<Index> {
        let key = (database.number(), definition.signature);
        let mut open = self.open();
        if let Some(index) = open.get(&key) {
            return index.clone();
        }
        if open.len() >= OPEN_IDLE_MAX {
            open.retain(|_, index| Arc::strong_count(index) > 1 || !index.is_idle());
        }
        let index = Arc::new(Index::new(self, database.clone(), definition.clone()));
        open.insert(key, index.clone());
        index
    }

    /// Lets go of an index of which a stored record is unusable, unless another has taken its place. Documents
    /// are the truth: it is built again when it is next asked for. `number` is `None` where even that cannot be
    /// read, or nothing of the index is to stay.
    pub(crate) async fn let_go_damaged(
        &self,
        database: u64,
        signature: &Signature,
        number: Option<u64>,
        reason: &str,
    ) {
        match reclaim::let_go(self, database, signature, number).await {
            Ok(true) => {
                self.damaged.fetch_add(1, Ordering::Relaxed);
                tracing::error!(database, number, reason, "a damaged index will be built again");
                let open = self.open().get(&(database, *signature)).cloned();
                if let Some(index) = open {
                    index.close().await;
                }
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(database, number, %error, "could not let go of a damaged index");
            }
        }
    }

    /// Forgets an index; whoever holds it may go on.
    pub(crate) fn forget(&self, database: u64, signature: &Signature) -> Option<Arc<Index>> {
        self.open().remove(&(database, *signature))
    }

    pub(crate) fn forget_database(&self, database: u64) {
        self.open().retain(|(number, _), _| *number != database);
        self.designs.forget(database);
        self.served.forget(database);
    }

    /// Brings an index up to date when its turn comes, and says nothing of how it fares: whoever asks
    /// for it will hear.
    pub(crate) fn warm(self: &Arc<Self>, index: Arc<Index>, entry: Arc<DesignEntry>) {
        if !index.queue() {
            return;
        }
        let shared = self.clone();
        self.tasks.spawn(async move {
            let warming = async {
                let Ok(_place) = shared.warming.acquire().await else { return };
                index.dequeue();
                let sequence = index.database.sequence();
                if let Ok(reached) = index.reach_unasked(&shared, sequence).await {
                    index.serve(&shared, &entry, reached.number).await;
                }
            };
            tokio::select! {
                () = shared.tasks.stopping() => {}
                () = warming => {}
            }
        });
    }

    /// What can be read without waiting: the view's own index, or the one that answers for its design
    /// document until that is built, or nothing.
    async fn as_it_is(&self, view: &View) -> Result<ReadyView, ViewError> {
        let number = view.database.number();
        let stored = self.catalog.index(number, &view.definition.signature).await?;
        let is_ready =
            |it: &IndexRecord| it.state == State::Ready && is_current(it, &view.database);
        if let Some(stored) = stored.filter(|stored| is_ready(&stored.record)) {
            let index = self.index(&view.database, &view.definition);
            let reached = self.reached(number, stored.record.number).await?;
            return Ok(self.ready_view(view, &index, view.place, reached));
        }
        if let Some(old) = self.served.of(&self.catalog, view).await?
            && let Some(place) = old.place_like(view)
        {
            let signature = &old.definition.signature;
            let stored = self.catalog.index(number, signature).await?;
            if stored.is_some_and(|it| it.record.number == old.index && is_ready(&it.record)) {
                let index = self.index(&view.database, &old.definition);
                let reached = self.reached(number, old.index).await?;
                return Ok(self.ready_view(view, &index, place, reached));
            }
        }
        // No index has the number 0, so there are no rows.
        let index = self.index(&view.database, &view.definition);
        let nothing = Reached { number: 0, sequence: 0 };
        Ok(self.ready_view(view, &index, view.place, nothing))
    }

    async fn reached(&self, database: u64, number: u64) -> Result<Reached, StorageError> {
        let cursor = self.catalog.cursor(database, number).await?;
        let sequence = cursor.map_or(0, |cursor| cursor.record.sequence);
        Ok(Reached { number, sequence })
    }

    fn ready_view(
        &self,
        view: &View,
        index: &Index,
        place: ViewPlace,
        reached: Reached,
    ) -> ReadyView {
        let definition = &index.definition;
        let leaves = definition
            .keeps_leaves()
            .then(|| index.tree(reached.number, definition.leaf_tree(place.map)));
        ReadyView {
            indexes: view.indexes.clone(),
            number: reached.number,
            engine: self.parts.engine.clone(),
            tree: index.tree(reached.number, place.map),
            leaves,
            definition: index.definition.clone(),
            place,
            database: view.database.clone(),
            sequence: reached.sequence,
            _lease: self.leases.take(reached.number),
        }
    }

    fn task(&self, index: &Index, now: Timestamp) -> Option<IndexerTask> {
        let (done, total, percent, started, updated) = match index.work() {
            Work::None => return None,
            Work::Building(progress) => {
                let (done, total) = progress.documents();
                (done, total, progress.percent(), progress.started, progress.updated())
            }
            Work::Updating { done, total, since } => {
                let percent = u8::try_from(done * 100 / total.max(1)).unwrap_or(100);
                (done, total, percent.min(100), since, now)
            }
        };
        let spent = now.since(started);
        let left = (percent > 0).then(|| spent * u32::from(100 - percent) / u32::from(percent));
        let signature = index.signature();
        let design = self.designs.cached(index.database.number()).and_then(|designs| {
            let mut usable = designs.usable();
            let entry =
                usable.find(|it| it.index.as_ref().is_some_and(|it| it.signature == *signature))?;
            Some(entry.name.to_string())
        });
        Some(IndexerTask {
            database: index.database.name().clone(),
            design_document: format!(
                "_design/{}",
                design.unwrap_or_else(|| index.program().design.to_string())
            ),
            changes_done: done,
            total_changes: total,
            progress: percent,
            estimated_end: left.map(|left| now.plus(left)),
            started_on: started,
            updated_on: updated,
            pid: format!("<0.{}.0>", index.database.number()),
        })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<(u64, Signature), Arc<Index>>> {
        // Every change to the map is one call, so a panic elsewhere leaves it whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A grant for another database here is a fault of the program.
fn check<A: Action>(database: &Database, grant: &Grant<A>) {
    assert!(grant.is_for_database(database.number()), "a grant is used on another database");
}

/// Who reads rows of which index, so that they are not cleared meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Leases(Mutex<HashMap<u64, Arc<()>>>);

impl Leases {
    fn take(&self, number: u64) -> Arc<()> {
        let mut leases = self.lock();
        if leases.len() > 2 * OPEN_IDLE_MAX {
            leases.retain(|_, lease| Arc::strong_count(lease) > 1);
        }
        leases.entry(number).or_default().clone()
    }

    /// Whether somebody reads.
    pub(crate) fn is_held(&self, number: u64) -> bool {
        self.lock().get(&number).is_some_and(|lease| Arc::strong_count(lease) > 1)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<()>>> {
        // Every change to the map is one call, so a panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
