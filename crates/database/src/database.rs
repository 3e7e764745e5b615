//! One open database: what it is, its settings, and who is told when it changes. Its reads, scans
//! and writes are in [`read`](crate::read), [`scan`](crate::scan) and [`writer`](crate::writer).

mod keeping;
mod kept;
mod local;
mod resolving;
mod reverting;
mod settings;
mod transacting;
mod upkeep;

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use settle_access::{Action, Grant, Protected, Read, Resource, Write};
use settle_engine::{Plan, Step, Visit, Visitor};
use settle_model::{
    id::DatabaseName,
    sequence::{Sequence, SequenceToken, Timeline, Timelines},
};
use tokio::sync::{OnceCell, watch};

pub use self::{
    keeping::HeldMoment,
    local::LocalError,
    resolving::PlannedResolution,
    reverting::{Reversal, RevertError},
    settings::SettingError,
    transacting::RetentionError,
};
use crate::{
    edit::{Atomicity, Attempt, Edit, EditError, Epochs, Foreseen, Written},
    error::StorageError,
    keys::Keys,
    once::Recording,
    record::{live::Live, state::State},
    revision::Info,
    store::Shared,
    writer::Writer,
};

/// One database. Clones are the same database.
#[derive(Clone)]
pub struct Database {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) name: DatabaseName,
    pub(crate) keys: Keys,
    pub(crate) writer: Writer,
    present: RwLock<Present>,
    /// Held from before a live record is stored or read until it stands in `present`, so that an older
    /// one never takes the place of a newer.
    pub(crate) live_order: tokio::sync::Mutex<()>,
    timelines: Timelines,
    /// Set once the documents in conflict are listed.
    pub(crate) conflicts_listed: OnceCell<()>,
    pub(crate) committed: watch::Sender<Committed>,
    /// Marks of the set of open databases.
    touched: AtomicBool,
}

/// The live record, and what of it decides who may do what.
struct Present {
    live: Arc<Live>,
    protected: Arc<Protected>,
}

/// How far the database has come, for feeds that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) sequence: u64,
    dropped: bool,
}

/// Waits for changes of one database, and keeps it open.
#[derive(Debug)]
pub struct Subscription {
    _database: Database,
    committed: watch::Receiver<Committed>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({} {})", self.inner.keys.number, self.inner.name)
    }
}

impl Database {
    /// Opens the database with this number, if it is there.
    pub(crate) async fn load(
        shared: &Arc<Shared>,
        name: &DatabaseName,
        number: u64,
    ) -> Result<Option<Self>, StorageError> {
        let keys = Keys { number };
        let plan = Plan::new(vec![Step::Get(keys.live()), Step::Get(keys.state())]);
        let found = shared.engine.read_to_end(plan, Both::default()).await?;
        let [Some(live), Some(state)] = found.0 else { return Ok(None) };
        let live = Live::decode(&keys.live(), &live)?;
        let state = State::decode(&keys.state(), &state)?;
        Ok(Some(Self::new(shared, name.clone(), keys, live, &state)))
    }

    pub(crate) fn new(
        shared: &Arc<Shared>,
        name: DatabaseName,
        keys: Keys,
        live: Live,
        state: &State,
    ) -> Self {
        let timelines = shared.timelines(&live);
        let protected = Protected::new(keys.number, name.clone(), &live.security);
        let present = Present { live: Arc::new(live), protected: Arc::new(protected) };
        let inner = Inner {
            shared: shared.clone(),
            name,
            keys,
            writer: Writer::default(),
            present: RwLock::new(present),
            live_order: tokio::sync::Mutex::new(()),
            timelines,
            conflicts_listed: OnceCell::new_with(state.conflicts.count().map(drop)),
            committed: watch::Sender::new(Committed { sequence: state.sequence, dropped: false }),
            touched: AtomicBool::new(true),
        };
        Self { inner: Arc::new(inner) }
    }

    pub fn name(&self) -> &DatabaseName {
        &self.inner.name
    }

    /// The database's number, which no other database ever has.
    pub fn number(&self) -> u64 {
        self.inner.keys.number
    }

    /// What to ask `access` about.
    pub fn resource(&self) -> Resource {
        Resource::Database(self.protected())
    }

    /// What the rules of permission look at.
    pub fn protected(&self) -> Arc<Protected> {
        self.inner.present().protected.clone()
    }

    pub fn timeline(&self) -> Timeline {
        self.inner.timelines.present()
    }

    /// The present timeline, and those that led to it.
    pub fn timelines(&self) -> &Timelines {
        &self.inner.timelines
    }

    /// The newest sequence that is committed.
    pub fn sequence(&self) -> u64 {
        self.inner.committed.borrow().sequence
    }

    /// A sequence as clients see it.
    pub fn token(&self, sequence: u64) -> SequenceToken {
        Sequence(sequence).token(self.timeline())
    }

    pub fn is_dropped(&self) -> bool {
        self.inner.committed.borrow().dropped
    }

    /// How often the design documents have changed; the security object, likewise.
    pub fn epochs(&self) -> Epochs {
        self.inner.live().epochs()
    }

    /// Whether ids are `partition:rest`; decided when the database was made.
    pub fn is_partitioned(&self) -> bool {
        self.inner.live().partitioned
    }

    pub fn subscribe(&self) -> Subscription {
        Subscription { _database: self.clone(), committed: self.inner.committed.subscribe() }
    }

    pub async fn info(&self, grant: &Grant<Read>) -> Result<Info, StorageError> {
        self.inner.check(grant);
        let state = self.inner.state().await?;
        let live = self.inner.live();
        let attached = match state.sizes.attached {
            Some(attached) => attached,
            None => self.inner.attached_bytes().await?,
        };
        let active_bytes = state.sizes.active + attached;
        Ok(Info {
            name: live.name.clone(),
            sequence: state.sequence,
            purge_sequence: state.purge_sequence,
            doc_count: state.doc_count,
            deleted_count: state.deleted_count,
            conflict_count: state.conflicts.count(),
            file_bytes: active_bytes + state.sizes.history,
            active_bytes,
            external_bytes: state.sizes.external,
            compacting: self.inner.shared.compactions.has(self.number()),
            partitioned: live.partitioned,
            created: live.created,
        })
    }

    /// How many documents are in conflict: those with a live leaf beside a live winner. Where they are not
    /// listed yet, that is waited for.
    pub async fn conflict_count(&self, grant: &Grant<Read>) -> Result<u64, StorageError> {
        self.inner.check(grant);
        self.inner.list_conflicts().await?;
        Ok(self.inner.state().await?.conflicts.count().unwrap_or_default())
    }

    /// Lists the documents in conflict in the background, where that has not been done yet.
    pub(crate) fn list_conflicts_later(&self) {
        if self.inner.conflicts_listed.initialized() {
            return;
        }
        let inner = self.inner.clone();
        self.inner.shared.tasks.spawn(async move {
            match inner.list_conflicts().await {
                Ok(()) | Err(StorageError::Gone) => {}
                Err(error) => {
                    let database = &inner.name;
                    tracing::warn!(%database, %error, "could not list the documents in conflict");
                }
            }
        });
    }

    /// Makes the edits, in order. Each is accepted or refused by itself, or all of them are
    /// together; accepted ones are synced when this returns. Dropping the future does not undo
    /// them. Many that stand alone are committed in parts, of which the first may be there when
    /// storage fails.
    pub async fn write(
        &self,
        grant: &Grant<Write>,
        edits: Vec<Edit>,
        atomicity: Atomicity,
    ) -> Result<Vec<Result<Written, EditError>>, StorageError> {
        Ok(self.attempt(grant, edits, atomicity).await?.results)
    }

    /// As [`write`](Self::write), for whoever judges edits: gives back those whose verdict no longer holds.
    pub async fn attempt(
        &self,
        grant: &Grant<Write>,
        edits: Vec<Edit>,
        atomicity: Atomicity,
    ) -> Result<Attempt, StorageError> {
        self.inner.check(grant);
        self.inner.clone().write(edits, atomicity).await
    }

    /// As [`attempt`](Self::attempt), for a write that may come again: it is made in one commit with the record of what
    /// is to be answered, or, where there is a record already, not at all. The edits are as many as one commit takes.
    pub async fn attempt_once(
        &self,
        grant: &Grant<Write>,
        edits: Vec<Edit>,
        atomicity: Atomicity,
        recording: Recording,
    ) -> Result<Attempt, StorageError> {
        self.inner.check(grant);
        self.inner.clone().write_once(edits, atomicity, recording).await
    }

    /// What validators are shown of each edit, if it would be made now.
    pub async fn foresee(
        &self,
        grant: &Grant<Write>,
        edits: &[Edit],
    ) -> Result<Vec<Foreseen>, StorageError> {
        self.inner.check(grant);
        self.inner.foresee(edits).await
    }

    /// Makes the edits soon, and says nothing of how they fare: `batch=ok`.
    pub fn write_later(&self, grant: &Grant<Write>, edits: Vec<Edit>) {
        self.inner.check(grant);
        let inner = self.inner.clone();
        self.inner.shared.tasks.spawn(async move {
            let name = inner.name.clone();
            if let Err(error) = inner.write(edits, Atomicity::EachAlone).await {
                tracing::warn!(database = %name, %error, "a batched write failed");
            }
        });
    }

    pub(crate) fn mark_dropped(&self) {
        self.inner.mark_dropped();
    }

    pub(crate) fn touch(&self) {
        self.inner.touched.store(true, Ordering::Relaxed);
    }

    /// Takes the mark away, and says whether it was there.
    pub(crate) fn untouch(&self) -> bool {
        self.inner.touched.swap(false, Ordering::Relaxed)
    }

    /// Whether anybody besides the set of open databases holds it.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.inner) > 1
    }
}

impl Inner {
    pub(crate) fn live(&self) -> Arc<Live> {
        self.present().live.clone()
    }

    /// The caller holds `live_order`.
    pub(crate) fn set_live(&self, live: Live) {
        let mut present = self.present.write().unwrap_or_else(PoisonError::into_inner);
        if live.security != present.live.security {
            let protected = Protected::new(self.keys.number, self.name.clone(), &live.security);
            present.protected = Arc::new(protected);
        }
        present.live = Arc::new(live);
    }

    pub(crate) fn timelines(&self) -> &Timelines {
        &self.timelines
    }

    pub(crate) fn timeline(&self) -> Timeline {
        self.timelines.present()
    }

    pub(crate) async fn state(&self) -> Result<State, StorageError> {
        let key = self.keys.state();
        let value = self.shared.engine.get(key.clone()).await?;
        self.check_alive()?;
        let missing = || StorageError::Inconsistent { reason: "no state record".to_owned() };
        Ok(State::decode(&key, &value.ok_or_else(missing)?)?)
    }

    fn present(&self) -> RwLockReadGuard<'_, Present> {
        // What is replaced is replaced by one assignment each, so a panic elsewhere leaves it whole.
        self.present.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn mark_dropped(&self) {
        self.committed.send_modify(|committed| committed.dropped = true);
    }

    pub(crate) fn advance(&self, sequence: u64) {
        self.committed.send_modify(|committed| {
            committed.sequence = committed.sequence.max(sequence);
        });
    }

    /// A grant for another database here is a fault of the program.
    pub(crate) fn check<A: Action>(&self, grant: &Grant<A>) {
        let mine = grant.is_for_database(self.keys.number);
        assert!(mine, "a {} grant is used on another database", A::NAME);
    }

    /// Called after a read: what was read of a dropped database may be half of it.
    pub(crate) fn check_alive(&self) -> Result<(), StorageError> {
        if self.committed.borrow().dropped { Err(StorageError::Gone) } else { Ok(()) }
    }
}

impl Subscription {
    /// Waits until a change after `sequence` is committed, or the database is dropped; whether it
    /// is still there.
    pub async fn after(&mut self, sequence: u64) -> bool {
        let waited = self.committed.wait_for(|it| it.dropped || it.sequence > sequence).await;
        waited.is_ok_and(|committed| !committed.dropped)
    }
}

#[derive(Default)]
struct Both([Option<Vec<u8>>; 2]);

impl Visitor for Both {
    fn visit(&mut self, step: usize, _: &[u8], value: Option<&[u8]>) -> Visit {
        self.0[step] = value.map(<[u8]>::to_vec);
        Visit::Next
    }
}
