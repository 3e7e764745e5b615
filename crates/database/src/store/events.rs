//! The site's log of what happened to its databases, as `_db_updates` shows it.
//!
//! Writes to databases only leave a note in memory; one task turns the notes into rows a few times
//! a second, so the log costs a write nothing and its order is the order of its rows. What a crash
//! keeps out of the log is found at the next start, by comparing each database's sequence with the
//! one that its row tells of. A database has at most one row of each kind, its newest.

mod recover;

use std::{
    collections::{HashMap, hash_map::Entry},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use settle_access::Server;
use settle_engine::{Batch, Direction, Engine, Outcome, Plan, Scan, Step, Urgency, Visit, Visitor};
use settle_model::id::DatabaseName;
use tokio::sync::{Notify, watch};

use crate::{
    codec::RecordError,
    error::StorageError,
    keys,
    limits::{EVENT_DELAY, RETRY_DELAY},
    record::site::{Event, EventKind, EventOf},
    store::{Shared, failed},
};

#[derive(Debug)]
pub(crate) struct Events {
    notes: Mutex<HashMap<u64, Note>>,
    noted: Notify,
    /// The newest row that is written.
    written: watch::Sender<u64>,
    /// Held while rows are written, so that their numbers follow their order.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Note {
    name: String,
    sequence: u64,
    created: bool,
    updated: bool,
    deleted: bool,
}

/// One row of `_db_updates`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseEvent {
    pub sequence: u64,
    pub kind: EventKind,
    /// The database's number, which no other database ever has.
    pub number: u64,
    pub name: String,
}

/// Which rows to read.
#[derive(Debug, Clone, Copy)]
pub struct EventScan {
    /// The last row before those that are wanted.
    pub since: u64,
    /// The last of them; `u64::MAX` for all.
    pub until: u64,
    pub direction: Direction,
    pub limit: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    pub events: Vec<DatabaseEvent>,
    /// The newest row there is.
    pub end: u64,
}

impl Events {
    pub(super) async fn open(engine: &dyn Engine) -> Result<Self, StorageError> {
        let scan = Scan::prefix(&keys::events(), Direction::Descending);
        let rows = Rows { limit: 1, ..Rows::default() };
        let rows = engine.read(Plan::new(vec![Step::Scan(scan)]), rows).await?.0;
        let newest = rows.finish()?.first().map_or(0, |event| event.sequence);
        Ok(Self {
            notes: Mutex::default(),
            noted: Notify::new(),
            written: watch::Sender::new(newest),
            writing: tokio::sync::Mutex::new(()),
        })
    }

    /// Leaves word of an event. `sequence` is the database's own.
    pub(crate) fn note(&self, kind: EventKind, number: u64, name: &DatabaseName, sequence: u64) {
        let mut notes = self.lock();
        let note = notes.entry(number).or_insert_with(|| Note {
            name: name.as_str().to_owned(),
            sequence,
            created: false,
            updated: false,
            deleted: false,
        });
        note.sequence = note.sequence.max(sequence);
        match kind {
            EventKind::Created => note.created = true,
            EventKind::Updated => note.updated = true,
            EventKind::Deleted => note.deleted = true,
        }
        drop(notes);
        self.noted.notify_one();
    }

    pub(super) async fn scan(
        &self,
        shared: &Shared,
        server: Option<Server<'_>>,
        scan: EventScan,
    ) -> Result<EventPage, StorageError> {
        let end = *self.written.borrow();
        if scan.limit == 0 || scan.until <= scan.since {
            return Ok(EventPage { events: Vec::new(), end });
        }
        let all = Scan::prefix(&keys::events(), scan.direction);
        let start = Bound::Excluded(keys::event(scan.since));
        let range = match scan.until {
            u64::MAX => Scan { start, ..all },
            until => Scan { start, end: Bound::Included(keys::event(until)), ..all },
        };
        let of = match server {
            Some(Server::Account(account)) => Of::Account(account.catalog_prefix()),
            Some(Server::Site) => Of::Site,
            Some(Server::All) | None => Of::All,
        };
        let rows = Rows { of, limit: scan.limit, ..Rows::default() };
        let plan = Plan::new(vec![Step::Scan(range)]);
        let events = shared.engine.read_to_end(plan, rows).await?.finish()?;
        Ok(EventPage { events, end })
    }

    pub(super) async fn after(&self, since: u64) {
        let mut written = self.written.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        drop(written.wait_for(|newest| *newest > since).await);
    }

    /// Writes what has been noted so far; what cannot be written stays noted.
    pub(super) async fn flush(&self, shared: &Shared) -> Result<(), StorageError> {
        let _writing = self.writing.lock().await;
        let notes = std::mem::take(&mut *self.lock());
        if notes.is_empty() {
            return Ok(());
        }
        let written = self.write(shared, &notes).await;
        if written.is_err() {
            let mut waiting = self.lock();
            for (number, note) in notes {
                match waiting.entry(number) {
                    Entry::Vacant(place) => drop(place.insert(note)),
                    Entry::Occupied(mut later) => later.get_mut().add(&note),
                }
            }
        }
        written
    }

    async fn write(&self, shared: &Shared, notes: &HashMap<u64, Note>) -> Result<(), StorageError> {
        let numbers: Vec<u64> = notes.keys().copied().collect();
        let steps = numbers.iter().map(|&number| Step::Get(keys::event_of(number))).collect();
        let found = shared.engine.read_to_end(Plan::new(steps), Found::default()).await?.0;
        let mut batch = Batch { urgency: Urgency::Background, ..Batch::default() };
        let mut newest = *self.written.borrow();
        for (number, value) in numbers.into_iter().zip(found) {
            let key = keys::event_of(number);
            let before = match value {
                Some(value) => EventOf::decode(&key, &value)?,
                None => EventOf::default(),
            };
            newest = add_rows(&mut batch, number, &notes[&number], before, newest);
        }
        match shared.engine.commit(batch).await {
            Outcome::Committed => {
                self.written.send_replace(newest);
                Ok(())
            }
            outcome @ Outcome::Unknown { .. } => {
                // These rows may be there, so the next ones must not take their numbers.
                self.written.send_replace(newest);
                Err(failed(outcome))
            }
            outcome @ (Outcome::Refused { .. } | Outcome::NotApplied { .. }) => {
                Err(failed(outcome))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Note>> {
        // Every change to the map is one call, so a panic elsewhere leaves it whole.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Note {
    fn add(&mut self, other: &Self) {
        self.sequence = self.sequence.max(other.sequence);
        self.created |= other.created;
        self.updated |= other.updated;
        self.deleted |= other.deleted;
    }
}

/// The rows that a note asks for, in the order in which the events happened.
fn add_rows(batch: &mut Batch, number: u64, note: &Note, mut row: EventOf, newest: u64) -> u64 {
    if row.deleted != 0 {
        // Nothing follows a deletion: this was noted late.
        return newest;
    }
    let mut newest = newest;
    let mut add = |batch: &mut Batch, kind, old: &mut u64| {
        if *old != 0 {
            batch.delete(keys::event(*old));
        }
        newest += 1;
        *old = newest;
        let key = keys::event(newest);
        let event = Event { kind, number, name: note.name.clone() };
        batch.put(key.clone(), event.encode(&key));
    };
    if note.created {
        add(batch, EventKind::Created, &mut row.created);
    }
    if note.updated {
        add(batch, EventKind::Updated, &mut row.updated);
    }
    if note.deleted {
        for old in [&mut row.created, &mut row.updated] {
            if *old != 0 {
                batch.delete(keys::event(std::mem::take(old)));
            }
        }
        add(batch, EventKind::Deleted, &mut row.deleted);
    }
    row.sequence = note.sequence;
    row.name.clone_from(&note.name);
    let key = keys::event_of(number);
    batch.put(key.clone(), row.encode(&key));
    newest
}

/// Runs until the store stops.
pub(super) async fn run(shared: Arc<Shared>) {
    if let Err(error) = recover::run(&shared).await {
        tracing::warn!(%error, "could not look for database events that a crash kept back");
    }
    loop {
        tokio::select! {
            () = shared.tasks.stopping() => return,
            () = shared.events.noted.notified() => {}
        }
        tokio::select! {
            () = shared.tasks.stopping() => return,
            () = tokio::time::sleep(EVENT_DELAY) => {}
        }
        if let Err(error) = shared.events.flush(&shared).await {
            tracing::warn!(%error, "could not write the log of database events");
            tokio::select! {
                () = shared.tasks.stopping() => return,
                () = tokio::time::sleep(RETRY_DELAY) => shared.events.noted.notify_one(),
            }
        }
    }
}

/// Whose events are wanted.
#[derive(Default)]
enum Of {
    #[default]
    All,
    Site,
    /// What its names begin with.
    Account(String),
}

impl Of {
    /// What the database is called there; `None` where it is not.
    fn name<'a>(&self, name: &'a str) -> Option<&'a str> {
        match self {
            Self::All => Some(name),
            Self::Site => (!name.starts_with('~')).then_some(name),
            Self::Account(prefix) => name.strip_prefix(prefix.as_str()),
        }
    }
}

#[derive(Default)]
struct Rows {
    of: Of,
    limit: usize,
    found: Vec<DatabaseEvent>,
    error: Option<RecordError>,
}

impl Rows {
    fn finish(self) -> Result<Vec<DatabaseEvent>, RecordError> {
        self.error.map_or(Ok(self.found), Err)
    }
}

impl Visitor for Rows {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        let value = value.unwrap_or_default();
        match Event::decode(key, value) {
            Ok(event) => {
                let Some(name) = self.of.name(&event.name) else { return Visit::Next };
                let sequence = keys::event_sequence_of(key).unwrap_or_default();
                let Event { kind, number, .. } = &event;
                let (kind, number, name) = (*kind, *number, name.to_owned());
                self.found.push(DatabaseEvent { sequence, kind, number, name });
            }
            Err(error) => {
                self.error = Some(error);
                return Visit::Stop;
            }
        }
        if self.found.len() < self.limit { Visit::Next } else { Visit::Stop }
    }
}

#[derive(Default)]
struct Found(Vec<Option<Vec<u8>>>);

impl Visitor for Found {
    fn visit(&mut self, _: usize, _: &[u8], value: Option<&[u8]>) -> Visit {
        self.0.push(value.map(<[u8]>::to_vec));
        Visit::Next
    }
}
