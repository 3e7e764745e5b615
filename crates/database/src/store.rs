//! All databases of a site, on one engine.

mod compactions;
mod events;
mod followers;
mod handles;
mod numbers;
mod reclaim;
mod restore;
mod sweep;

use std::{ops::Bound, sync::Arc, time::Duration};

use settle_access::{Action, AdministerServer, Grant, Inspect, Server};
use settle_engine::{
    Batch, Direction, Engine, Expected, Outcome, Plan, Scan, Step, Visit, Visitor,
};
use settle_model::{
    id::{DatabaseName, LocalId},
    sequence::{Sequence, Timeline, TimelineStart as TimelinePlace, Timelines},
    time::{Clock, Entropy, Timestamp},
};
use thiserror::Error;
use tokio::sync::broadcast;

pub use self::compactions::Compaction;
pub use self::events::{DatabaseEvent, EventPage, EventScan};
pub use self::followers::FollowersPosition;
pub use self::restore::{RestoreError, Restoring};
use self::{
    compactions::Compactions, events::Events, followers::Followers, handles::Handles,
    numbers::Numbers,
};
pub use crate::record::site::EventKind;
use crate::{
    Database,
    blobs::BlobStore,
    codec::RecordError,
    error::StorageError,
    keys::{self, Keys},
    limits,
    record::{
        live::{Live, TimelineStart},
        local,
        site::{Site, decode_name, encode_name, encode_reclaim},
        state::{Sizes, State},
    },
    tasks::Tasks,
};

/// What a store stands on. Time and randomness are passed in, so that tests and simulations own
/// them.
#[derive(Debug, Clone)]
pub struct StoreParts {
    pub engine: Arc<dyn Engine>,
    pub blobs: Arc<BlobStore>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub settings: StoreSettings,
}

#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// Tells the store's file from a copy of it; `None` where copies cannot be told apart.
    pub identity: Option<[u8; 16]>,
    /// How long what an update replaced stays readable, in databases created from now on.
    pub grace: Duration,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { identity: None, grace: limits::GRACE_DEFAULT }
    }
}

/// The databases of one site. Clones are the same store.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) blobs: Arc<BlobStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) tasks: Tasks,
    pub(crate) settings: StoreSettings,
    site: Site,
    numbers: Numbers,
    handles: Handles,
    pub(crate) events: Events,
    pub(crate) compactions: Compactions,
    changed: broadcast::Sender<DatabaseChanged>,
    reclaim: reclaim::Signal,
    pub(crate) sweep: sweep::Signal,
    pub(crate) followers: Followers,
}

#[derive(Debug, Error)]
pub enum OpenError {
    #[error(transparent)]
    Storage(#[from] StorageError),
}

#[derive(Debug, Error)]
pub enum CreateError {
    #[error("a database named {name} is already there")]
    Exists { name: DatabaseName },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

#[derive(Debug, Error)]
pub enum DropError {
    #[error("there is no database named {name}")]
    Missing { name: DatabaseName },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What a new database is like.
#[derive(Debug, Clone, Default)]
pub struct CreateOptions {
    pub partitioned: bool,
    /// A local document that is there as soon as the database is.
    pub local: Option<(LocalId, Vec<u8>)>,
}

/// Documents of a database have changed, or it was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseChanged {
    pub number: u64,
    pub name: DatabaseName,
    /// Of the newest change; `None` for a database that is no more.
    pub sequence: Option<u64>,
}

/// Names in byte order, from one end or the other.
#[derive(Debug, Clone)]
pub struct NameScan {
    pub start: Bound<String>,
    pub end: Bound<String>,
    pub direction: Direction,
    pub skip: usize,
    pub limit: usize,
}

impl Default for NameScan {
    fn default() -> Self {
        Self {
            start: Bound::Unbounded,
            end: Bound::Unbounded,
            direction: Direction::Ascending,
            skip: 0,
            limit: usize::MAX,
        }
    }
}

impl Store {
    /// Opens the store that `parts` hold, or begins one, and starts its background work.
    pub async fn open(parts: StoreParts) -> Result<Self, OpenError> {
        let site = open_site(&parts).await?;
        let events = Events::open(&*parts.engine).await?;
        let shared = Arc::new(Shared {
            numbers: Numbers::new(),
            handles: Handles::default(),
            events,
            compactions: Compactions::default(),
            changed: broadcast::Sender::new(limits::CHANGED_WAITING_MAX),
            reclaim: reclaim::Signal::default(),
            sweep: sweep::Signal::default(),
            followers: Followers::default(),
            tasks: Tasks::default(),
            engine: parts.engine,
            blobs: parts.blobs,
            clock: parts.clock,
            entropy: parts.entropy,
            settings: parts.settings,
            site,
        });
        restore::give_up_all(&shared).await?;
        shared.tasks.spawn(events::run(shared.clone()));
        shared.tasks.spawn(reclaim::run(shared.clone()));
        shared.tasks.spawn(sweep::run(shared.clone()));
        let blobs = shared.clone();
        shared.tasks.spawn(async move {
            let stopping = blobs.tasks.clone();
            blobs.blobs.clone().run_collector(async move { stopping.stopping().await }).await;
        });
        Ok(Self { shared })
    }

    /// Ends background work and waits for every write that has been taken on.
    pub async fn close(&self) {
        self.shared.tasks.stop().await;
        if let Err(error) = self.shared.events.flush(&self.shared).await {
            // The next start finds what is missing.
            tracing::warn!(%error, "could not write the log of database events");
        }
        self.shared.handles.clear();
    }

    /// The site's uuid: the same for as long as the store lives.
    pub fn uuid(&self) -> [u8; 16] {
        self.shared.site.uuid
    }

    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.shared.engine
    }

    pub fn blobs(&self) -> &Arc<BlobStore> {
        &self.shared.blobs
    }

    /// Says how to find how far those have come who follow databases and keep their cursors elsewhere. Until this is
    /// said, no tombstone goes anywhere.
    pub fn set_followers(&self, position: FollowersPosition) {
        self.shared.followers.set(position);
    }

    /// For work that has to be finished before the store is closed.
    pub fn tasks(&self) -> &Tasks {
        &self.shared.tasks
    }

    /// The database of that name. Cheap for one that is in use; finding it says nothing about
    /// what the caller may do with it.
    pub async fn find(&self, name: &DatabaseName) -> Result<Option<Database>, StorageError> {
        let handles = &self.shared.handles;
        loop {
            if let Some(database) = handles.get(name) {
                return Ok(Some(database));
            }
            let seen = handles.removals();
            let Some(number) = self.number_of(name).await? else { return Ok(None) };
            let Some(database) = Database::load(&self.shared, name, number).await? else {
                return Ok(None);
            };
            if let Some(database) = handles.keep(database, seen) {
                database.list_conflicts_later();
                return Ok(Some(database));
            }
        }
    }

    /// Whether a database has this number.
    pub async fn has(&self, number: u64) -> Result<bool, StorageError> {
        Ok(read_live(&*self.shared.engine, Keys { number }).await?.is_some())
    }

    pub async fn create(
        &self,
        grant: &Grant<AdministerServer>,
        name: &DatabaseName,
        options: CreateOptions,
    ) -> Result<Database, CreateError> {
        check(grant, name);
        let shared = &self.shared;
        let number = shared.numbers.next(shared).await?;
        let keys = Keys { number };
        let now = shared.clock.now();
        let mut timeline = [0; 8];
        shared.entropy.fill(&mut timeline);
        let live = Live {
            name: name.as_str().to_owned(),
            created: now,
            timelines: vec![TimelineStart { timeline: Timeline(timeline), above: 0 }],
            revs_limit: limits::REVS_LIMIT_DEFAULT,
            purged_infos_limit: limits::PURGED_INFOS_LIMIT_DEFAULT,
            grace: shared.settings.grace,
            partitioned: options.partitioned,
            design_epoch: 0,
            security_epoch: 0,
            security: Vec::new(),
        };
        let state = State { sizes: Sizes::nothing(), nonce: shared.nonce(), ..State::default() };

        let name_key = keys::name(name.as_str());
        let (live_key, state_key) = (keys.live(), keys.state());
        let mut batch = Batch::default();
        batch.require(name_key.clone(), Expected::Absent);
        batch.require(live_key.clone(), Expected::Absent);
        batch.put(name_key.clone(), encode_name(&name_key, number));
        batch.put(live_key.clone(), live.encode(&live_key));
        batch.put(state_key.clone(), state.encode(&state_key));
        if let Some((id, body)) = &options.local {
            let key = keys.local(id);
            batch.put(key.clone(), local::encode(&key, 1, now, body));
        }
        let seen = shared.handles.removals();
        match shared.engine.commit(batch).await {
            Outcome::Committed => {}
            Outcome::Refused { .. } => return Err(CreateError::Exists { name: name.clone() }),
            outcome @ Outcome::NotApplied { .. } => return Err(failed(outcome).into()),
            outcome @ Outcome::Unknown { .. } => {
                if self.number_of(name).await.ok().flatten() != Some(number) {
                    return Err(failed(outcome).into());
                }
            }
        }
        shared.events.note(EventKind::Created, number, name, 0);
        let database = Database::new(shared, name.clone(), keys, live, &state);
        if let Some(database) = shared.handles.keep(database.clone(), seen) {
            return Ok(database);
        }
        let found = self.find(name).await?.filter(|found| found.number() == number);
        Ok(found.unwrap_or_else(|| {
            // It was there, and somebody has dropped it already.
            database.mark_dropped();
            database
        }))
    }

    /// Takes a database away at once; its space comes back in the background.
    pub async fn drop(
        &self,
        grant: &Grant<AdministerServer>,
        name: &DatabaseName,
    ) -> Result<(), DropError> {
        check(grant, name);
        let shared = &self.shared;
        let missing = || DropError::Missing { name: name.clone() };
        let number = self.number_of(name).await?.ok_or_else(missing)?;
        let keys = Keys { number };
        let (name_key, reclaim_key) = (keys::name(name.as_str()), keys::reclaim(number));
        let mut batch = Batch::default();
        let entry = encode_name(&name_key, number);
        batch.require(name_key.clone(), Expected::Equals(entry));
        batch.require(keys.live(), Expected::Present);
        batch.delete(name_key);
        batch.delete(keys.live());
        batch.put(reclaim_key.clone(), encode_reclaim(&reclaim_key, shared.clock.now()));
        match shared.engine.commit(batch).await {
            Outcome::Committed => {}
            Outcome::Refused { .. } => return Err(missing()),
            outcome @ Outcome::NotApplied { .. } => return Err(failed(outcome).into()),
            outcome @ Outcome::Unknown { .. } => {
                if !matches!(read_live(&*shared.engine, keys).await, Ok(None)) {
                    return Err(failed(outcome).into());
                }
            }
        }
        if let Some(database) = shared.handles.remove(name, number) {
            database.mark_dropped();
        }
        shared.events.note(EventKind::Deleted, number, name, 0);
        shared.tell_changed(number, name, None);
        shared.reclaim.wake();
        Ok(())
    }

    /// The compactions that are running, oldest first, on the server that the grant is for.
    pub fn compactions(&self, grant: &Grant<Inspect>) -> Vec<Compaction> {
        let mut all = self.shared.compactions.all();
        all.retain(|compaction| grant.is_for_server_of(&compaction.database));
        all
    }

    /// Tells of each commit that changes documents, and of each database that is dropped, from now on. Who is too slow misses some, and is told
    /// that it did.
    pub fn changed(&self) -> broadcast::Receiver<DatabaseChanged> {
        self.shared.changed.subscribe()
    }

    /// The names of all databases in the range, of the server that the grant is for, as they are
    /// called there.
    pub async fn names(
        &self,
        grant: &Grant<Inspect>,
        scan: NameScan,
    ) -> Result<Vec<String>, StorageError> {
        let server = grant.server();
        let prefix = match server {
            Some(Server::Account(account)) => account.catalog_prefix(),
            Some(Server::Site | Server::All) | None => String::new(),
        };
        let key = |name: &str| keys::name(&format!("{prefix}{name}"));
        let bound = |bound: Bound<String>, open: Bound<Vec<u8>>| match bound {
            Bound::Included(name) => Bound::Included(key(&name)),
            Bound::Excluded(name) => Bound::Excluded(key(&name)),
            Bound::Unbounded => open,
        };
        let all = Scan::prefix(&key(""), scan.direction);
        let (start, mut end) = (bound(scan.start, all.start), bound(scan.end, all.end));
        if server == Some(Server::Site) {
            // Databases of accounts stand behind all others.
            let first = keys::name(ACCOUNTS);
            let is_behind = |bound: &Bound<Vec<u8>>| match bound {
                Bound::Included(key) | Bound::Excluded(key) => *key >= first,
                Bound::Unbounded => false,
            };
            if is_behind(&start) {
                return Ok(Vec::new());
            }
            if is_behind(&end) || end == Bound::Unbounded {
                end = Bound::Excluded(first);
            }
        }
        let range = Scan { start, end, direction: scan.direction };
        let passed = prefix.len();
        let visitor = Names { passed, skip: scan.skip, limit: scan.limit, found: Vec::new() };
        if scan.limit == 0 {
            return Ok(Vec::new());
        }
        let plan = Plan::new(vec![Step::Scan(range)]);
        Ok(self.shared.engine.read_to_end(plan, visitor).await?.found)
    }

    /// What happened between two events, in the order that was asked for, to databases of the server
    /// that the grant is for. Those of others are read and left out.
    pub async fn events(
        &self,
        grant: &Grant<Inspect>,
        scan: EventScan,
    ) -> Result<EventPage, StorageError> {
        self.shared.events.scan(&self.shared, grant.server(), scan).await
    }

    /// Ends when there are events after `since`, or at once if there are.
    pub async fn events_after(&self, since: u64) {
        self.shared.events.after(since).await;
    }

    async fn number_of(&self, name: &DatabaseName) -> Result<Option<u64>, StorageError> {
        let key = keys::name(name.as_str());
        match self.shared.engine.get(key.clone()).await? {
            Some(value) => Ok(Some(decode_name(&key, &value)?)),
            None => Ok(None),
        }
    }
}

/// What names of databases of accounts begin with in the catalog; those of the site sort before it.
const ACCOUNTS: &str = "~";

/// A grant for another server here is a fault of the program.
fn check<A: Action>(grant: &Grant<A>, name: &DatabaseName) {
    assert!(grant.is_for_server_of(name), "a {} grant is used on another server", A::NAME);
}

impl Shared {
    pub(crate) fn tell_changed(&self, number: u64, name: &DatabaseName, sequence: Option<u64>) {
        if self.changed.receiver_count() > 0 {
            let name = name.clone();
            // An error says that the last receiver has gone in this moment.
            drop(self.changed.send(DatabaseChanged { number, name, sequence }));
        }
    }

    pub(crate) fn nonce(&self) -> u64 {
        let mut nonce = [0; 8];
        self.entropy.fill(&mut nonce);
        u64::from_le_bytes(nonce)
    }

    pub(crate) fn timelines(&self, live: &Live) -> Timelines {
        let starts = live.timelines.iter().map(|start| TimelinePlace {
            timeline: self.timeline(start.timeline),
            above: Sequence(start.above),
        });
        Timelines::new(starts.collect()).expect("decode refuses a record without timelines")
    }

    /// A stored timeline as clients see it, and one that clients see as it is stored. Sequences of a copied
    /// store get another timeline than those of the original, in all its databases at once: the site's
    /// timeline is part of each.
    pub(crate) fn timeline(&self, of_database: Timeline) -> Timeline {
        let mut mixed = of_database.0;
        for (byte, of_site) in mixed.iter_mut().zip(self.site.timeline.0) {
            *byte ^= of_site;
        }
        Timeline(mixed)
    }
}

/// What an outcome other than success means to whoever asked for the write.
pub(crate) fn failed(outcome: Outcome) -> StorageError {
    match outcome {
        Outcome::NotApplied { reason, storage_full: true } => StorageError::Full { reason },
        Outcome::NotApplied { reason, storage_full: false } => StorageError::NotWritten { reason },
        Outcome::Unknown { reason } => StorageError::Unknown { reason },
        Outcome::Committed | Outcome::Refused { .. } => StorageError::Contended,
    }
}

async fn open_site(parts: &StoreParts) -> Result<Site, StorageError> {
    let key = keys::site_record();
    let fresh_timeline = || {
        let mut timeline = [0; 8];
        parts.entropy.fill(&mut timeline);
        Timeline(timeline)
    };
    for _ in 0..limits::CLASHES_MAX {
        let stored = parts.engine.get(key.clone()).await?;
        let mut batch = Batch::default();
        let site = match &stored {
            None => {
                let mut uuid = [0; 16];
                parts.entropy.fill(&mut uuid);
                batch.require(key.clone(), Expected::Absent);
                Site {
                    uuid,
                    identity: parts.settings.identity.unwrap_or_default(),
                    timeline: fresh_timeline(),
                    next_number: 1,
                    created: parts.clock.now(),
                }
            }
            Some(value) => {
                let site = Site::decode(&key, value)?;
                let identity = parts.settings.identity.unwrap_or(site.identity);
                if identity == site.identity {
                    return Ok(site);
                }
                batch.require(key.clone(), Expected::Equals(value.clone()));
                Site { identity, timeline: fresh_timeline(), ..site }
            }
        };
        batch.put(key.clone(), site.encode(&key));
        match parts.engine.commit(batch).await {
            Outcome::Committed => return Ok(site),
            Outcome::Refused { .. } => {}
            outcome @ (Outcome::NotApplied { .. } | Outcome::Unknown { .. }) => {
                return Err(failed(outcome));
            }
        }
    }
    Err(StorageError::Contended)
}

struct Names {
    /// Bytes of each name that are not shown.
    passed: usize,
    skip: usize,
    limit: usize,
    found: Vec<String>,
}

impl Visitor for Names {
    fn visit(&mut self, _: usize, key: &[u8], _: Option<&[u8]>) -> Visit {
        if self.skip > 0 {
            self.skip -= 1;
            return Visit::Next;
        }
        let name = keys::name_of(key).unwrap_or_default();
        self.found.push(name.get(self.passed..).unwrap_or_default().to_owned());
        if self.found.len() < self.limit { Visit::Next } else { Visit::Stop }
    }
}

/// The live record of a number, decoded.
pub(crate) async fn read_live(
    engine: &dyn Engine,
    keys: Keys,
) -> Result<Option<Live>, StorageError> {
    let key = keys.live();
    let Some(value) = engine.get(key.clone()).await? else { return Ok(None) };
    let live: Result<Live, RecordError> = Live::decode(&key, &value);
    Ok(Some(live?))
}

/// Microseconds as a due time that is not the mark for "never".
pub(crate) fn due(now: Timestamp, after: Duration) -> Timestamp {
    now.plus(after.max(Duration::from_micros(1)))
}
