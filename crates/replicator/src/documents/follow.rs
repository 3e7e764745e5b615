//! The task that follows all documents of replications.
//!
//! It reads the store's log of events, which has at most one row a database and kind: what is written to
//! databases of replications is read from there on, and what is written to the database of users says
//! whose rights may have changed. At the start it looks at every such database once.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use settle_access::{Actor, Grant, Inspect, Read, Resource};
use settle_accounts::{USER_PREFIX, USERS};
use settle_database::{
    ChangeCursor, ChangeFilter, ChangeRow, ChangeScan, Database, DatabaseEvent, Direction,
    EventKind, EventScan, More, NameScan, Next, Sink, StorageError, Tasks,
};
use settle_model::{date::iso_seconds, id::DatabaseName, json::write_string, revision::RevId};
use settle_site::Site;
use settle_sync::{
    document::{self, Asked, Stored},
    id::ReplicationId,
    job::Job,
    job_pause,
    replication::Ending,
    stats::Progress,
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

use super::{
    READS, place,
    table::{Entry, State, Table},
};
use crate::{
    AsWhom, DocumentPlace, Ended, Scheduler, Task,
    limits::{CHANGES_AT_ONCE, EVENTS_AT_ONCE, NAMES_AT_ONCE, RETRY_PAUSE, STARTS_AT_ONCE},
};

pub(super) struct Follower {
    site: Arc<Site>,
    scheduler: Arc<Scheduler>,
    table: Arc<Table>,
    /// The event up to which all is known.
    since: u64,
    /// By number: how far each database has been read.
    databases: HashMap<u64, u64>,
    /// The database of users, and how far it has been read.
    users: (u64, u64),
    /// Which documents run in whose name.
    owners: HashMap<String, BTreeSet<DocumentPlace>>,
    /// When to try again, on the clock that does not jump.
    due: BTreeSet<(Duration, DocumentPlace)>,
    starts: JoinSet<Started>,
    turns: Arc<Semaphore>,
    ends: mpsc::UnboundedReceiver<Ended>,
    attempts: u64,
}

/// What became of an attempt to make a document a job.
struct Started {
    place: DocumentPlace,
    attempt: u64,
    found: Result<(ReplicationId, AsWhom), String>,
}

/// A document that has changed.
struct Changed {
    id: String,
    rev: RevId,
    /// `None` if it is deleted.
    body: Option<Vec<u8>>,
}

impl Follower {
    /// Looks at what there is.
    pub(super) async fn begin(
        site: Arc<Site>,
        scheduler: Arc<Scheduler>,
        table: Arc<Table>,
    ) -> Result<Self, StorageError> {
        let newest =
            EventScan { since: 0, until: u64::MAX, direction: Direction::Descending, limit: 1 };
        let since = site.store.events(&grant(), newest).await?.end;
        let users = match site.accounts.users().await? {
            Some(users) => (users.number(), users.sequence()),
            None => (0, 0),
        };
        let ends = scheduler.ends();
        let mut follower = Self {
            site,
            scheduler,
            table,
            since,
            databases: HashMap::new(),
            users,
            owners: HashMap::new(),
            due: BTreeSet::new(),
            starts: JoinSet::new(),
            turns: Arc::new(Semaphore::new(STARTS_AT_ONCE)),
            ends,
            attempts: 0,
        };
        follower.find_all().await?;
        Ok(follower)
    }

    /// Runs until it is stopped.
    pub(super) async fn run(mut self, tasks: Tasks) {
        let store = self.site.store.clone();
        loop {
            let wait = self.wait();
            let outcome = tokio::select! {
                () = tasks.stopping() => return,
                () = store.events_after(self.since) => self.take_in_events().await,
                Some(ended) = self.ends.recv() => self.take_in_end(ended).await,
                Some(Ok(started)) = self.starts.join_next(), if !self.starts.is_empty() => {
                    self.take_in_start(started).await
                }
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {
                    self.try_again();
                    Ok(())
                }
            };
            if let Err(error) = outcome {
                tracing::warn!(%error, "could not follow documents of replications");
                tokio::select! {
                    () = tasks.stopping() => return,
                    () = tokio::time::sleep(RETRY_PAUSE) => {}
                }
            }
        }
    }

    async fn find_all(&mut self) -> Result<(), StorageError> {
        let mut start = Bound::Unbounded;
        loop {
            let scan = NameScan { start, limit: NAMES_AT_ONCE, ..NameScan::default() };
            let names = self.site.store.names(&grant(), scan).await?;
            for name in &names {
                let Ok(name) = DatabaseName::from_catalog(name) else { continue };
                if name.is_replicator() {
                    self.take_in(&name, None).await?;
                }
            }
            let Some(last) = names.last().filter(|_| names.len() == NAMES_AT_ONCE) else {
                return Ok(());
            };
            start = Bound::Excluded(last.clone());
        }
    }

    async fn take_in_events(&mut self) -> Result<(), StorageError> {
        loop {
            let scan = EventScan {
                since: self.since,
                until: u64::MAX,
                direction: Direction::Ascending,
                limit: EVENTS_AT_ONCE,
            };
            let page = self.site.store.events(&grant(), scan).await?;
            for event in &page.events {
                self.take_in_event(event).await?;
                self.since = event.sequence;
            }
            if page.events.len() < EVENTS_AT_ONCE {
                self.since = self.since.max(page.end);
                return Ok(());
            }
        }
    }

    async fn take_in_event(&mut self, event: &DatabaseEvent) -> Result<(), StorageError> {
        if event.name == USERS {
            return self.take_in_users().await;
        }
        let Ok(name) = DatabaseName::from_catalog(&event.name) else { return Ok(()) };
        if !name.is_replicator() {
            return Ok(());
        }
        match event.kind {
            EventKind::Created | EventKind::Updated => {
                self.take_in(&name, Some(event.number)).await
            }
            EventKind::Deleted => {
                self.databases.remove(&event.number);
                let gone = |(place, entry): (&DocumentPlace, &Entry)| {
                    (entry.database == event.number).then(|| place.clone())
                };
                let gone: Vec<_> = self.table.lock().iter().filter_map(gone).collect();
                for place in gone {
                    self.let_go(&place);
                }
                Ok(())
            }
        }
    }

    /// Reads what has changed in a database; in the one of this number, if that is given.
    async fn take_in(
        &mut self,
        name: &DatabaseName,
        number: Option<u64>,
    ) -> Result<(), StorageError> {
        let Some(database) = self.site.store.find(name).await? else { return Ok(()) };
        if number.is_some_and(|number| number != database.number()) {
            return Ok(());
        }
        let mut since = self.databases.get(&database.number()).copied().unwrap_or(0);
        loop {
            let read = changes(&database, since, true).await;
            let (changed, cursor) = match read {
                Ok(read) => read,
                Err(StorageError::Gone) => return Ok(()),
                Err(error) => return Err(error),
            };
            for changed in changed {
                self.take_in_document(&database, changed).await?;
            }
            let Some(cursor) = cursor else { break };
            since = cursor.at;
            self.databases.insert(database.number(), since);
        }
        self.databases.entry(database.number()).or_insert(since);
        Ok(())
    }

    async fn take_in_document(
        &mut self,
        database: &Database,
        changed: Changed,
    ) -> Result<(), StorageError> {
        let Changed { id, rev, body } = changed;
        if id.starts_with("_design/") {
            return Ok(());
        }
        let place = DocumentPlace { database: database.name().clone(), id };
        let Some(body) = body.filter(|body| document::settled(body).is_none()) else {
            self.let_go(&place);
            return Ok(());
        };
        let stored = Stored { database: database.number(), id: &place.id, body: &body };
        let asked = match document::asked(stored, &self.site.sealer) {
            Ok(asked) => asked,
            Err(no_job) => {
                self.let_go(&place);
                return self.fail(&place, &rev, &no_job.to_string()).await;
            }
        };
        let is_same = self.table.with(&place, |entry| {
            let is_same = entry.asked == asked && entry.database == database.number();
            if is_same {
                entry.rev = rev.clone();
            }
            is_same
        });
        if is_same == Some(true) {
            return Ok(());
        }
        self.let_go(&place);
        self.owners.entry(asked.owner.clone()).or_default().insert(place.clone());
        let entry = Entry {
            database: database.number(),
            rev,
            asked,
            state: State::Initializing,
            attempt: 0,
            failures: 0,
            added: self.site.clock.now(),
        };
        self.table.lock().insert(place.clone(), entry);
        self.start(place);
        Ok(())
    }

    /// Whoever has changed may have other rights: what runs in their name is looked at again.
    async fn take_in_users(&mut self) -> Result<(), StorageError> {
        let Some(users) = self.site.accounts.users().await? else { return Ok(()) };
        if self.users.0 != users.number() {
            self.users = (users.number(), 0);
        }
        loop {
            let (changed, cursor) = changes(&users, self.users.1, false).await?;
            for changed in changed {
                if let Some(name) = changed.id.strip_prefix(USER_PREFIX) {
                    self.take_in_user(name).await?;
                }
            }
            let Some(cursor) = cursor else { return Ok(()) };
            self.users.1 = cursor.at;
        }
    }

    async fn take_in_user(&mut self, name: &str) -> Result<(), StorageError> {
        let Some(places) = self.owners.get(name).cloned() else { return Ok(()) };
        let now = self.site.accounts.actor(name).await?;
        for place in places {
            let has_changed = self.table.with(&place, |entry| match &entry.state {
                State::Initializing => false,
                State::Error { .. } => now.is_some(),
                State::Scheduled { actor, .. } => {
                    runs_as_owner(&entry.asked) && now.as_ref() != Some(actor)
                }
            });
            if has_changed == Some(true) {
                self.stop(&place);
                self.start(place);
            }
        }
        Ok(())
    }

    /// Begins to make a document a job.
    fn start(&mut self, place: DocumentPlace) {
        self.attempts += 1;
        let attempt = self.attempts;
        let begun = self.table.with(&place, |entry| {
            entry.attempt = attempt;
            (std::mem::replace(&mut entry.state, State::Initializing), entry.asked.clone())
        });
        let Some((before, asked)) = begun else { return };
        self.wait_no_more(&place, &before);
        let (site, scheduler) = (Arc::clone(&self.site), Arc::clone(&self.scheduler));
        let turns = Arc::clone(&self.turns);
        self.starts.spawn(async move {
            let _turn = turns.acquire().await.expect("the semaphore is never closed");
            let found = identify(&site, &scheduler, &place, asked).await;
            Started { place, attempt, found }
        });
    }

    async fn take_in_start(&mut self, started: Started) -> Result<(), StorageError> {
        let Started { place, attempt, found } = started;
        let job = self.table.with(&place, |entry| {
            (entry.attempt == attempt).then(|| (entry.asked.job.clone(), entry.rev.clone()))
        });
        let Some(Some((job, rev))) = job else { return Ok(()) };
        let (id, as_whom) = match found {
            Ok(found) => found,
            Err(reason) => {
                self.try_later(&place, reason);
                return Ok(());
            }
        };
        let actor = Arc::clone(&as_whom.actor);
        let task = Task { id: id.clone(), job: Arc::new(job), as_whom, place: Some(place.clone()) };
        let Err(other) = self.scheduler.add(task) else {
            self.table.with(&place, |entry| {
                entry.state = State::Scheduled { id, actor };
                entry.failures = 0;
            });
            return Ok(());
        };
        match &other.task.place {
            None => {
                let reason = format!(
                    "Replication `{id}` specified by document `{}` already running as a transient \
                     replication, started via `_replicate` API endpoint",
                    place.id,
                );
                self.try_later(&place, reason);
                Ok(())
            }
            Some(by) => {
                let reason = format!(
                    "Replication `{id}` specified by document `{}` already started, triggered by \
                     document `{}` from db `{}`",
                    place.id, by.id, by.database,
                );
                self.let_go(&place);
                self.fail(&place, &rev, &reason).await
            }
        }
    }

    async fn take_in_end(&mut self, ended: Ended) -> Result<(), StorageError> {
        let Ended { task, outcome, progress } = ended;
        let Some(place) = task.place else { return Ok(()) };
        let entry = self.table.with(&place, |entry| match &entry.state {
            State::Scheduled { id, .. } if *id == task.id => Some((entry.rev.clone(), entry.added)),
            State::Scheduled { .. } | State::Initializing | State::Error { .. } => None,
        });
        let Some(Some((rev, added))) = entry else { return Ok(()) };
        match outcome.ending {
            Ending::Completed => {
                let mut stats = progress.as_ref().map_or_else(|| b"{}".to_vec(), Progress::to_json);
                stats.pop();
                if stats.len() > 1 {
                    stats.push(b',');
                }
                stats.extend_from_slice(b"\"start_time\":");
                stats.extend_from_slice(&quoted(&iso_seconds(added)));
                stats.push(b'}');
                let state = [
                    ("_replication_state", quoted("completed")),
                    ("_replication_state_time", self.time()),
                    ("_replication_id", quoted(&task.id.to_string())),
                    ("_replication_stats", stats),
                ];
                let written = place::write_state(&self.site, &place, &rev, &state).await;
                if let Err(error) = &written {
                    // It is run once more, which costs little, and tells of its end again.
                    self.try_later(&place, format!("write what became of it: {error}"));
                }
                written
            }
            Ending::Failed(error) => {
                self.try_later(&place, error.to_string());
                Ok(())
            }
            // Somebody has asked for that, and what it is a copy of stays as it is.
            Ending::Cancelled => {
                self.let_go(&place);
                Ok(())
            }
        }
    }

    /// Writes that a document cannot be run, until somebody edits it.
    async fn fail(
        &self,
        place: &DocumentPlace,
        rev: &RevId,
        reason: &str,
    ) -> Result<(), StorageError> {
        let DocumentPlace { database, id } = place;
        tracing::warn!(%database, document = id, reason, "a document asks for no replication");
        let state = [
            ("_replication_state", quoted("failed")),
            ("_replication_state_time", self.time()),
            ("_replication_state_reason", quoted(reason)),
        ];
        place::write_state(&self.site, place, rev, &state).await
    }

    fn time(&self) -> Vec<u8> {
        quoted(&iso_seconds(self.site.clock.now()))
    }

    fn try_later(&mut self, place: &DocumentPlace, reason: String) {
        self.attempts += 1;
        let attempt = self.attempts;
        let (updated, now) = (self.site.clock.now(), self.site.clock.monotonic());
        let mut chance = [0; 8];
        self.site.entropy.fill(&mut chance);
        let due = self.table.with(place, |entry| {
            entry.failures += 1;
            entry.attempt = attempt;
            let due = now + job_pause(entry.failures, u64::from_le_bytes(chance));
            entry.state = State::Error { reason, updated, due };
            due
        });
        if let Some(due) = due {
            self.due.insert((due, place.clone()));
        }
    }

    /// How long until something is to be tried again.
    fn wait(&self) -> Option<Duration> {
        let (due, _) = self.due.first()?;
        Some(due.saturating_sub(self.site.clock.monotonic()))
    }

    fn try_again(&mut self) {
        let now = self.site.clock.monotonic();
        while let Some((due, place)) = self.due.pop_first() {
            if due > now {
                self.due.insert((due, place));
                return;
            }
            self.start(place);
        }
    }

    /// Ends the job of a document.
    fn stop(&self, place: &DocumentPlace) {
        let id = self.table.with(place, |entry| match &entry.state {
            State::Scheduled { id, .. } => Some(id.clone()),
            State::Initializing | State::Error { .. } => None,
        });
        if let Some(Some(id)) = id {
            self.scheduler.remove(&id);
        }
    }

    /// Forgets a document, and ends its job.
    fn let_go(&mut self, place: &DocumentPlace) {
        self.stop(place);
        let Some(entry) = self.table.lock().remove(place) else { return };
        if let Some(places) = self.owners.get_mut(&entry.asked.owner) {
            places.remove(place);
            if places.is_empty() {
                self.owners.remove(&entry.asked.owner);
            }
        }
        self.wait_no_more(place, &entry.state);
    }

    fn wait_no_more(&mut self, place: &DocumentPlace, state: &State) {
        match state {
            State::Error { due, .. } => {
                self.due.remove(&(*due, place.clone()));
            }
            State::Initializing | State::Scheduled { .. } => {}
        }
    }
}

/// What a document's job is called, and in whose name it runs; or why it cannot be said at the moment.
async fn identify(
    site: &Site,
    scheduler: &Scheduler,
    place: &DocumentPlace,
    asked: Asked,
) -> Result<(ReplicationId, AsWhom), String> {
    let Asked { job, owner } = asked;
    let actor = actor(site, &job, &owner).await?;
    let as_whom = AsWhom { server: place.database.account(), actor };
    let id = scheduler.identify(&Arc::new(job), &as_whom).await;
    Ok((id.map_err(|error| error.to_string())?, as_whom))
}

/// The owner as of now; or whom an administrator has named in `user_ctx`, as the rules of documents see to.
async fn actor(site: &Site, job: &Job, owner: &str) -> Result<Arc<Actor>, String> {
    if let Some(context) = job.user_ctx.as_ref().filter(|it| it.name.as_deref() != Some(owner)) {
        let name = context.name.clone().unwrap_or_else(|| owner.to_owned());
        return Ok(Arc::new(Actor::user(name, context.roles.clone())));
    }
    match site.accounts.actor(owner).await {
        Ok(Some(actor)) => Ok(actor),
        Ok(None) => Err(format!("`{owner}`, who owns the document, cannot sign in here")),
        Err(error) => Err(format!("look up who owns the document: {error}")),
    }
}

fn runs_as_owner(asked: &Asked) -> bool {
    let context = asked.job.user_ctx.as_ref();
    context.is_none_or(|it| it.name.as_deref() == Some(&*asked.owner))
}

/// Some changes after a sequence, and where to go on; `None` at the end.
async fn changes(
    database: &Database,
    since: u64,
    content: bool,
) -> Result<(Vec<Changed>, Option<ChangeCursor>), StorageError> {
    let grant: Grant<Read> = Grant::internal(database.resource(), READS);
    let scan = ChangeScan {
        since,
        until: u64::MAX,
        direction: Direction::Ascending,
        content,
        times: false,
        only: ChangeFilter::All,
    };
    let (slice, next) = database.scan_changes(&grant, &scan, Slice::default()).await?;
    let cursor = match next {
        Next::Go(cursor) => Some(cursor),
        Next::Done => slice.last.map(|at| ChangeCursor { at }),
    };
    Ok((slice.rows, cursor))
}

#[derive(Default)]
struct Slice {
    rows: Vec<Changed>,
    last: Option<u64>,
}

impl Sink<ChangeRow<'_>> for Slice {
    fn row(&mut self, row: &ChangeRow<'_>) -> More {
        let content = row.content.as_ref().filter(|_| !row.deleted());
        if let Some((rev, _)) = row.leaves.first() {
            self.rows.push(Changed {
                id: row.id.to_owned(),
                rev: rev.clone(),
                body: content.map(|content| content.body.to_vec()),
            });
        }
        self.last = Some(row.sequence);
        if self.rows.len() < CHANGES_AT_ONCE { More::Yes } else { More::Enough }
    }
}

fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_string(&mut out, text);
    out
}

fn grant() -> Grant<Inspect> {
    Grant::internal(Resource::AllServers, "documents of replications are followed on all servers")
}
