//! One index of one database, while somebody uses it: opened, built if need be, followed.
//!
//! Building and following run in tasks of their own, so a request that is given up stops nothing, and
//! many that wait share one. A failure ends what those wait for who wait at that moment; the next
//! request tries again.

mod build;
mod leaves;
mod progress;
mod rows;
mod update;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use settle_access::{Grant, Read};
use settle_database::{
    Database, StorageError,
    follow::{FollowError, FollowOptions, Follower, Pace, Phase as FollowPhase},
};
use settle_engine::{Batch, Expected};
use settle_model::time::Timestamp;
use settle_query::{collate, design::IndexDefinition};
use settle_script::Program;
use tokio::sync::watch;

pub(crate) use self::{
    build::{index_of_run, remove_all_runs},
    progress::Progress,
};
use crate::{
    catalog::{IndexRecord, ServedRecord, State, Stored, background, committed},
    designs::DesignEntry,
    indexes::Shared,
    keys::{self, Signature},
    limits::{CLASHES_MAX, SERVED_MAX},
    mapper::Mapper,
    tree::{self, Reducers, Tree},
    view::ViewError,
};

#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) database: Database,
    pub(crate) definition: Arc<IndexDefinition>,
    program: Program,
    mapper: Mapper,
    reducers: Vec<Reducers>,
    phase: watch::Sender<Phase>,
    waiting: AtomicUsize,
    /// Whether it waits for its turn to be warmed.
    is_queued: AtomicBool,
    /// What the follower's step met last, with its type.
    failure: Arc<Mutex<Option<ViewError>>>,
    /// When the update that is running began.
    updating_since: Arc<Mutex<Option<Timestamp>>>,
    /// Design documents that are known to be served by this index, with their digests.
    served: Mutex<HashSet<(Arc<str>, [u8; 16])>>,
}

#[derive(Debug, Clone)]
enum Phase {
    Closed,
    Opening(Arc<Progress>),
    Open(Opened),
    Failed(ViewError),
}

#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) number: u64,
    follower: Follower,
}

/// Where an index is that somebody waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reached {
    pub(crate) number: u64,
    pub(crate) sequence: u64,
}

/// How an index is doing, for those who want to know.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    None,
    Building(Arc<Progress>),
    Updating { done: u64, total: u64, since: Timestamp },
}

impl Index {
    pub(crate) fn new(
        shared: &Shared,
        database: Database,
        definition: Arc<IndexDefinition>,
    ) -> Self {
        let program = program(database.number(), &definition);
        let scripts = shared.parts.scripts.clone();
        let reducers = definition.maps.iter().map(|map| {
            let scripts = Some((scripts.clone(), program.clone()));
            Reducers::new(map.reducers.clone().into(), scripts)
        });
        Self {
            reducers: reducers.collect(),
            mapper: Mapper::new(&definition, program.clone(), scripts),
            program,
            database,
            definition,
            phase: watch::Sender::new(Phase::Closed),
            waiting: AtomicUsize::new(0),
            is_queued: AtomicBool::new(false),
            failure: Arc::default(),
            updating_since: Arc::default(),
            served: Mutex::default(),
        }
    }

    pub(crate) fn signature(&self) -> &Signature {
        &self.definition.signature
    }

    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// One of its trees: that of a map, or of the leaves that belong to one.
    pub(crate) fn tree(&self, number: u64, map: usize) -> Tree {
        let prefix = keys::map(self.database.number(), number, map);
        Tree::new(prefix, self.reducers.get(map).cloned().unwrap_or_default())
    }

    /// Requests that wait for it now.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Marks that it waits to be warmed; whether it did not before.
    pub(crate) fn queue(&self) -> bool {
        !self.is_queued.swap(true, Ordering::Relaxed)
    }

    /// Its turn has come: what is written from now on queues it again.
    pub(crate) fn dequeue(&self) {
        self.is_queued.store(false, Ordering::Relaxed);
    }

    /// Whether a function of it failed when it was last asked to, where the same documents would make it
    /// fail again, or building it anew did not help against a damage.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(
            &*self.phase.borrow(),
            Phase::Failed(ViewError::Script(_) | ViewError::Damaged { .. })
        )
    }

    pub(crate) fn work(&self) -> Work {
        match &*self.phase.borrow() {
            Phase::Closed | Phase::Failed(_) => Work::None,
            Phase::Opening(progress) => Work::Building(progress.clone()),
            Phase::Open(opened) => {
                let status = opened.follower.status();
                match (status.phase, status.round, status.position) {
                    (FollowPhase::Working, Some((from, to)), Some(position)) => {
                        let since = *lock(&self.updating_since);
                        Work::Updating {
                            done: position.saturating_sub(from),
                            total: to - from,
                            since: since.unwrap_or_default(),
                        }
                    }
                    (
                        FollowPhase::Working
                        | FollowPhase::Idle
                        | FollowPhase::Waiting
                        | FollowPhase::Paused
                        | FollowPhase::Ended(_),
                        _,
                        _,
                    ) => Work::None,
                }
            }
        }
    }

    /// Whether it would lose nothing by being forgotten.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting() == 0 && matches!(self.work(), Work::None)
    }

    /// Waits until it shows every document as it was at `sequence`, or later. Builds it if need be.
    pub(crate) async fn reach(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        sequence: u64,
    ) -> Result<Reached, ViewError> {
        let _waiting = Waiting::begin(&self.waiting);
        self.reach_unasked(shared, sequence).await
    }

    /// The same, when no client waits.
    pub(crate) async fn reach_unasked(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        sequence: u64,
    ) -> Result<Reached, ViewError> {
        // One that is damaged again after it was built anew is not built a third time for one who asks.
        let mut was_damaged = false;
        for _ in 0..CLASHES_MAX {
            let opened = match self.opened(shared).await {
                Err(ViewError::Damaged { reason }) if !was_damaged => {
                    was_damaged = true;
                    self.let_go(shared, None, &reason).await;
                    continue;
                }
                opened => opened?,
            };
            match opened.follower.reach(sequence).await {
                Ok(position) => {
                    return Ok(Reached { number: opened.number, sequence: position });
                }
                // Somebody has closed it, to clean up or to make room.
                Err(FollowError::Stopped) if !shared.tasks.is_stopping() => {
                    self.leave(&opened, Phase::Closed);
                }
                Err(FollowError::Stopped) => return Err(ViewError::Closed),
                Err(FollowError::Gone) => return Err(StorageError::Gone.into()),
                Err(FollowError::Paused) => return Err(StorageError::Contended.into()),
                Err(FollowError::Failing { reason }) => return Err(self.failure(reason)),
                Err(FollowError::Failed { reason }) => {
                    let error = self.failure(reason);
                    self.leave(&opened, Phase::Failed(error.clone()));
                    if let ViewError::Damaged { reason } = &error
                        && !was_damaged
                    {
                        was_damaged = true;
                        self.let_go(shared, Some(opened.number), reason).await;
                    } else if !matches!(error, ViewError::Storage(StorageError::Contended)) {
                        // Else another index has taken this one's place, as after a damage.
                        return Err(error);
                    }
                }
            }
        }
        Err(StorageError::Contended.into())
    }

    /// Lets go of the follower, once what it is committing is committed.
    pub(crate) async fn close(&self) {
        let phase = self.phase.borrow().clone();
        if let Phase::Open(opened) = phase {
            opened.follower.stop().await;
            self.leave(&opened, Phase::Closed);
        }
    }

    async fn let_go(&self, shared: &Shared, number: Option<u64>, reason: &str) {
        let database = self.database.number();
        shared.let_go_damaged(database, self.signature(), number, reason).await;
    }

    fn failure(&self, reason: String) -> ViewError {
        lock(&self.failure).clone().unwrap_or(ViewError::Update { reason })
    }

    fn leave(&self, opened: &Opened, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let is_still = matches!(phase, Phase::Open(now) if now.number == opened.number);
            if is_still {
                *phase = to;
            }
            is_still
        });
    }

    async fn opened(self: &Arc<Self>, shared: &Arc<Shared>) -> Result<Opened, ViewError> {
        let progress = Arc::new(Progress::new(shared.parts.clock.clone()));
        let is_mine = self.phase.send_if_modified(|phase| match phase {
            Phase::Closed | Phase::Failed(_) => {
                *phase = Phase::Opening(progress.clone());
                true
            }
            Phase::Opening(_) | Phase::Open(_) => false,
        });
        // Before the task is spawned, lest its end be missed.
        let mut phase = self.phase.subscribe();
        if is_mine {
            let (index, shared, tasks) = (self.clone(), shared.clone(), shared.tasks.clone());
            tasks.spawn(async move { index.run_open(&shared, &progress).await });
        }
        let found = phase.wait_for(|phase| !matches!(phase, Phase::Opening(_))).await;
        match found.as_deref() {
            Ok(Phase::Open(opened)) => Ok(opened.clone()),
            Ok(Phase::Failed(error)) => Err(error.clone()),
            Ok(Phase::Closed | Phase::Opening(_)) | Err(_) => Err(ViewError::Closed),
        }
    }

    async fn run_open(self: &Arc<Self>, shared: &Arc<Shared>, progress: &Progress) {
        // A panic must not leave those waiting who wait.
        let opening = Opening { index: self, done: false };
        opening.end(match self.open(shared, progress).await {
            Ok(opened) => Phase::Open(opened),
            Err(ViewError::Closed) => Phase::Closed,
            Err(error) => Phase::Failed(error),
        });
    }

    /// Finds the index in the catalog or builds it, and follows it to where the database is.
    async fn open(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        progress: &Progress,
    ) -> Result<Opened, ViewError> {
        let stored = shared.catalog.index(self.database.number(), self.signature()).await;
        let stored = stored.map_err(ViewError::of_index)?;
        if let Some(found) = &stored
            && is_current(&found.record, &self.database)
            && found.record.state == State::Ready
        {
            return Ok(self.follow(shared, &found.record));
        }
        let built = build::run(shared, self, progress, stored).await?;
        let opened = self.follow(shared, &built.record);
        if built.record.state == State::Building {
            let reached = tokio::select! {
                () = shared.tasks.stopping() => Err(FollowError::Stopped),
                reached = opened.follower.reach(self.database.sequence()) => reached,
            };
            match reached {
                Ok(_) => {}
                Err(FollowError::Stopped) => return Err(ViewError::Closed),
                Err(FollowError::Gone) => return Err(StorageError::Gone.into()),
                Err(FollowError::Paused) => return Err(StorageError::Contended.into()),
                Err(FollowError::Failing { reason } | FollowError::Failed { reason }) => {
                    return Err(self.failure(reason));
                }
            }
            self.swap_in(shared, &built).await?;
        }
        Ok(opened)
    }

    /// From now on it answers for the design documents that ask for it.
    async fn swap_in(
        &self,
        shared: &Shared,
        built: &Stored<IndexRecord>,
    ) -> Result<(), StorageError> {
        let key = keys::index(self.database.number(), self.signature());
        let ready = IndexRecord { state: State::Ready, ..built.record.clone() };
        let mut batch = background();
        batch.require(key.clone(), Expected::Equals(built.bytes.clone()));
        batch.put(key.clone(), ready.encode(&key));
        self.serve_all(shared, built.record.number, &mut batch).await?;
        if committed(shared.parts.engine.commit(batch).await)? {
            Ok(())
        } else {
            Err(StorageError::Contended)
        }
    }

    /// Notes in a batch that the design documents that ask for this index are served by it.
    async fn serve_all(
        &self,
        shared: &Shared,
        number: u64,
        batch: &mut Batch,
    ) -> Result<(), StorageError> {
        let designs = shared.designs(&self.database).await?;
        for entry in designs.usable() {
            if entry.index.as_ref().is_some_and(|it| it.signature == *self.signature()) {
                let key = keys::served(self.database.number(), &entry.name);
                batch.put(key.clone(), self.served_record(entry, number).encode(&key));
                lock(&self.served).insert((entry.name.clone(), entry.digest));
            }
        }
        Ok(())
    }

    /// Notes that a design document is served by this index, which may have been ready before it. Only
    /// those who ask while a later definition builds need it, so a failure is no reason to fail.
    pub(crate) async fn serve(&self, shared: &Shared, entry: &DesignEntry, number: u64) {
        let name = (entry.name.clone(), entry.digest);
        if lock(&self.served).contains(&name) {
            return;
        }
        match self.try_serve(shared, entry, number).await {
            Ok(()) => {
                let mut served = lock(&self.served);
                if served.len() >= SERVED_MAX {
                    served.clear();
                }
                served.insert(name);
            }
            Err(error) => {
                tracing::warn!(%error, "could not note which index serves a design document");
            }
        }
    }

    async fn try_serve(
        &self,
        shared: &Shared,
        entry: &DesignEntry,
        number: u64,
    ) -> Result<(), StorageError> {
        let key = keys::served(self.database.number(), &entry.name);
        let record = self.served_record(entry, number);
        let stored = shared.catalog.served(self.database.number(), &entry.name).await?;
        if stored.is_some_and(|stored| stored.record == record) {
            return Ok(());
        }
        let mut batch = background();
        let index = keys::index(self.database.number(), self.signature());
        batch.require(index, Expected::Present);
        batch.put(key.clone(), record.encode(&key));
        committed(shared.parts.engine.commit(batch).await)?;
        Ok(())
    }

    fn served_record(&self, entry: &DesignEntry, number: u64) -> ServedRecord {
        let source = entry.source.to_vec();
        ServedRecord { signature: *self.signature(), index: number, source }
    }

    fn follow(self: &Arc<Self>, shared: &Arc<Shared>, record: &IndexRecord) -> Opened {
        *lock(&self.failure) = None;
        let step = update::Updater::new(shared, self, record);
        let name = format!("index {}", self.program.design);
        let form = self.mapper.form();
        let options = FollowOptions { form, ..FollowOptions::new(name, Pace::OnDemand) };
        let follower = Follower::start(&self.database, &self.grant(), step, options);
        Opened { number: record.number, follower }
    }

    fn grant(&self) -> Grant<Read> {
        Grant::internal(self.database.resource(), "an index reads all documents")
    }
}

/// Whether an index can be used: it is of this history, and its rows and sort keys are those of today.
pub(crate) fn is_current(record: &IndexRecord, database: &Database) -> bool {
    record.timeline == database.timeline()
        && record.collator == collate::VERSION
        && record.layout == tree::LAYOUT
}

/// What the functions of an index run in: nothing but what its signature tells of, whichever design
/// document it is.
fn program(database: u64, definition: &IndexDefinition) -> Program {
    let signature = hex(&definition.signature);
    let lib = definition.lib.as_deref().map_or_else(
        || format!("{{\"_id\":\"_design/{signature}\",\"views\":{{}}}}").into_bytes(),
        |lib| {
            let mut source =
                format!("{{\"_id\":\"_design/{signature}\",\"views\":{{\"lib\":").into_bytes();
            source.extend_from_slice(lib);
            source.extend_from_slice(b"}}");
            source
        },
    );
    Program {
        database,
        design: signature.into(),
        digest: definition.signature,
        source: Bytes::from(lib),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Every change to what they hold is one call, so a panic elsewhere leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts a request as long as it waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sees to it that an opening ends, whatever happens.
struct Opening<'a> {
    index: &'a Index,
    done: bool,
}

impl Opening<'_> {
    fn end(mut self, phase: Phase) {
        self.done = true;
        self.index.phase.send_replace(phase);
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if !self.done {
            let reason = "the build of the index was torn down".to_owned();
            self.index.phase.send_replace(Phase::Failed(ViewError::Update { reason }));
        }
    }
}
