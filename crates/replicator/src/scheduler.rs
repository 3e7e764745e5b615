//! Which jobs run.
//!
//! A job is *queued* until there is a place for it, and *runs*. A continuous one whose source is a database of this
//! site *rests* once it has caught up, until the source changes; one that has failed *waits* longer each time. While
//! others are queued, places go round: owners take turns, and within an owner jobs do, so that ten thousand jobs of
//! one do not keep the single one of another from running. A job that only waits for changes gives up its place
//! sooner than one that works.
//!
//! One task does all that; it is woken by what happens, and while nothing happens it sleeps.
//!
//! Source for states, events and back-off: `couch_replicator_scheduler.erl`. Different here: jobs with
//! sources of this site need no place while there is nothing to copy; and a place is given up when another job
//! needs it, rather than every minute by twenty jobs.

mod job;
mod queue;
mod task;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use settle_access::Actor;
use settle_model::{
    id::{AccountName, DatabaseName},
    time::Timestamp,
};
use settle_site::Site;
use settle_sync::{
    id::ReplicationId,
    job::Job,
    replication::{Failure, FailureKind, Outcome, ReplicationError, Side},
    stats::Progress,
};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use self::{
    job::{Entry, Phase},
    queue::Queue,
};
use crate::{
    limits::{JOBS_RUNNING_DEFAULT, MEMORY_BYTES_DEFAULT, MEMORY_BYTES_EACH_MIN, STOP_PATIENCE},
    peer::{Clients, Peer, Peers},
    spool::Spool,
};

/// All jobs of a site.
#[derive(Debug)]
pub struct Scheduler {
    shared: Arc<Shared>,
    /// The task that starts jobs.
    main: Mutex<JoinSet<()>>,
}

/// What a scheduler needs.
#[derive(Debug)]
pub struct SchedulerParts {
    pub site: Arc<Site>,
    /// Where large attachments are put on their way; `None` for a temporary folder.
    pub spool: Option<PathBuf>,
    pub settings: SchedulerSettings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchedulerSettings {
    /// Jobs that run at a time.
    pub running_max: usize,
    /// Bytes of documents that all runs hold together.
    pub memory_bytes_max: usize,
}

/// A job to run.
#[derive(Debug, Clone)]
pub struct Task {
    pub id: ReplicationId,
    pub job: Arc<Job>,
    pub as_whom: AsWhom,
    /// The document that asks for it; `None` for a request.
    pub place: Option<DocumentPlace>,
}

/// In whose name a job reads and writes databases of this site.
#[derive(Debug, Clone)]
pub struct AsWhom {
    /// On whose server names of databases are looked up; `None` for the site's.
    pub server: Option<AccountName>,
    pub actor: Arc<Actor>,
}

/// A document of a `_replicator` database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentPlace {
    /// Its name in the catalog.
    pub database: DatabaseName,
    pub id: String,
}

/// A job as it is now.
#[derive(Debug, Clone)]
pub struct JobStatus {
    pub task: Task,
    pub state: JobState,
    /// Newest first.
    pub events: Vec<JobEvent>,
    /// In a row.
    pub failures: u32,
    /// When it was added.
    pub added: Timestamp,
    /// `None` before it has run.
    pub progress: Option<Progress>,
    /// Names the run, in the form of Erlang's process ids; `None` while it does not run.
    pub pid: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It runs, or rests until its source changes.
    Running,
    /// It waits for its turn.
    Pending,
    /// It has failed, and waits to be tried again.
    Crashing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEvent {
    pub at: Timestamp,
    pub kind: JobEventKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEventKind {
    Added,
    Started,
    Stopped,
    Crashed { reason: String },
}

/// A job that is no job any more: it is through; or, of a request, it failed or was cancelled.
#[derive(Debug, Clone)]
pub struct Ended {
    pub task: Task,
    pub outcome: Outcome,
    pub progress: Option<Progress>,
}

#[derive(Debug)]
struct Shared {
    peers: Peers,
    spool: Spool,
    settings: SchedulerSettings,
    /// Whether jobs wait for a place.
    others_wait: watch::Sender<bool>,
    /// Of documents, for each run.
    memory_bytes_each: Arc<AtomicUsize>,
    state: Mutex<State>,
    /// Something is to be started, or ended.
    wake: Notify,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    jobs: BTreeMap<ReplicationId, Entry>,
    queue: Queue,
    running: usize,
    /// Jobs that rest, by their source.
    resting: HashMap<DatabaseName, BTreeSet<ReplicationId>>,
    /// Jobs that have failed, by when they start again on the monotonic clock.
    retries: BTreeSet<(Duration, ReplicationId)>,
    listeners: Vec<mpsc::UnboundedSender<Ended>>,
    runs: u64,
    is_closed: bool,
}

impl Default for SchedulerSettings {
    fn default() -> Self {
        Self { running_max: JOBS_RUNNING_DEFAULT, memory_bytes_max: MEMORY_BYTES_DEFAULT }
    }
}

impl Scheduler {
    pub async fn start(parts: SchedulerParts) -> io::Result<Self> {
        let SchedulerParts { site, spool, settings } = parts;
        let spool = Spool::open(spool, site.clock.clone()).await?;
        let clients = Clients::new(site.clock.clone(), site.entropy.clone(), Vec::new());
        let shared = Arc::new(Shared {
            peers: Peers { site, clients },
            spool,
            settings,
            others_wait: watch::Sender::new(false),
            memory_bytes_each: Arc::default(),
            state: Mutex::default(),
            wake: Notify::new(),
            stop: CancellationToken::new(),
        });
        let mut main = JoinSet::new();
        main.spawn(task::main(shared.clone()));
        Ok(Self { shared, main: Mutex::new(main) })
    }

    /// Ends all runs, after last checkpoints where these come soon. What is added later does not start.
    pub async fn close(&self) {
        self.shared.state().is_closed = true;
        self.shared.stop.cancel();
        let mut main =
            std::mem::take(&mut *self.main.lock().unwrap_or_else(PoisonError::into_inner));
        // It waits for its runs. Those that are cut off lose nothing.
        let waited = tokio::time::timeout(STOP_PATIENCE, async {
            while main.join_next().await.is_some() {}
        });
        if waited.await.is_err() {
            tracing::debug!("replications were stopped without a last checkpoint");
        }
    }

    /// What the job is called. Asks its source for the code of its filter, if it has one.
    pub async fn identify(
        &self,
        job: &Arc<Job>,
        as_whom: &AsWhom,
    ) -> Result<ReplicationId, ReplicationError> {
        let server = self.shared.server(as_whom);
        let Some((design, function)) = job.filter_function() else {
            return Ok(ReplicationId::new(&server, job, None));
        };
        let asked = async {
            // The checkpoint is not asked for.
            let id = ReplicationId::new(&server, job, None).checkpoint_id();
            let source = self.shared.peers.make(&job.source, as_whom, job, id)?;
            source.filter_code(design, function).await
        };
        let code = tokio::time::timeout(job.connection_timeout, asked).await;
        let code = code.unwrap_or_else(|_| {
            let kind = FailureKind::TimedOut;
            Err(Failure { kind, reason: "no answer within the time limit".to_owned() })
        });
        let code = code.map_err(|Failure { kind, reason }| ReplicationError::Request {
            side: Side::Source,
            what: "filter",
            kind,
            reason,
        })?;
        Ok(ReplicationId::new(&server, job, code.as_deref()))
    }

    /// Takes a job on. One with the same id stays as it is, and is given back.
    pub fn add(&self, task: Task) -> Result<(), Box<JobStatus>> {
        let now = self.shared.peers.site.clock.now();
        let mut state = self.shared.state();
        let state = &mut *state;
        if let Some(known) = state.jobs.get_mut(&task.id) {
            if !known.is_leaving() {
                return Err(Box::new(known.status()));
            }
            // It starts when the run of the one before has ended.
            known.followed_by(task, now);
            return Ok(());
        }
        let id = task.id.clone();
        let entry = Entry::new(task, now);
        state.queue.push(entry.owner(), id.clone());
        state.jobs.insert(id, entry);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Lets a job go, after a last checkpoint if it runs; whether it was there.
    pub fn remove(&self, id: &ReplicationId) -> bool {
        let mut state = self.shared.state();
        let state = &mut *state;
        let Some(entry) = state.jobs.get_mut(id) else { return false };
        if entry.leave() {
            return true; // its run ends first
        }
        if entry.is_leaving() {
            return false;
        }
        let Some(entry) = state.forget(id) else { return false };
        state.tell(&entry.cancelled());
        true
    }

    /// All jobs.
    pub fn jobs(&self) -> Vec<JobStatus> {
        let state = self.shared.state();
        state.jobs.values().filter(|entry| !entry.is_leaving()).map(Entry::status).collect()
    }

    /// The job with the id as it is shown: `0a1b…+continuous`.
    pub fn job(&self, id: &str) -> Option<JobStatus> {
        let state = self.shared.state();
        let found = state.jobs.iter().find(|(known, _)| known.to_string() == id);
        found.filter(|(_, entry)| !entry.is_leaving()).map(|(_, entry)| entry.status())
    }

    /// Tells of those that end, from now on. A receiver that falls behind misses none.
    pub fn ends(&self) -> mpsc::UnboundedReceiver<Ended> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.shared.state().listeners.push(sender);
        receiver
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who replicates: the same database of two accounts is not the same.
    fn server(&self, as_whom: &AsWhom) -> String {
        let uuid = hex::encode(self.peers.site.store.uuid());
        match &as_whom.server {
            None => uuid,
            Some(account) => format!("{uuid}/~{account}"),
        }
    }

    /// Lets every run hold its share.
    fn share_memory(&self, running: usize) {
        let share = self.settings.memory_bytes_max / running.max(1);
        let each = share.clamp(MEMORY_BYTES_EACH_MIN, settle_sync::limits::MEMORY_BYTES_DEFAULT);
        self.memory_bytes_each.store(each, Ordering::Relaxed);
    }

    fn peers_of(&self, task: &Task) -> Result<[Peer; 2], (Side, Failure)> {
        let Task { id, job, as_whom, .. } = task;
        let make = |endpoint, side| {
            self.peers.make(endpoint, as_whom, job, id.checkpoint_id()).map_err(|it| (side, it))
        };
        Ok([make(&job.source, Side::Source)?, make(&job.target, Side::Target)?])
    }
}

impl State {
    /// Takes a job out of everything.
    fn forget(&mut self, id: &ReplicationId) -> Option<Entry> {
        let entry = self.jobs.remove(id)?;
        match &entry.phase {
            Phase::Queued => self.queue.remove(&entry.owner(), id),
            Phase::Resting { source, .. } => self.rest_no_more(&source.name, id),
            Phase::Waiting { due } => {
                self.retries.remove(&(*due, id.clone()));
            }
            Phase::Running(_) => self.running -= 1,
        }
        Some(entry)
    }

    fn rest_no_more(&mut self, source: &DatabaseName, id: &ReplicationId) {
        if let Some(resting) = self.resting.get_mut(source) {
            resting.remove(id);
            if resting.is_empty() {
                self.resting.remove(source);
            }
        }
    }

    /// Has a job wait for its turn that did something else, or nothing, up to now.
    fn enqueue(&mut self, id: &ReplicationId) {
        let Some(entry) = self.jobs.get_mut(id) else { return };
        entry.phase = Phase::Queued;
        let owner = entry.owner();
        self.queue.push(owner, id.clone());
    }

    fn tell(&mut self, ended: &Ended) {
        self.listeners.retain(|listener| listener.send(ended.clone()).is_ok());
    }
}
