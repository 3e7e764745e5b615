//! The databases that are open: those in use, and some that were lately.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use settle_model::id::DatabaseName;

use crate::{Database, limits::HANDLES_IDLE_MAX};

/// One working memory for each open database: its writer and its feeds must be the same for all
/// who use it, so an entry goes only when nobody holds it.
#[derive(Debug, Default)]
pub(super) struct Handles {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    databases: HashMap<DatabaseName, Database>,
    removals: Removals,
    /// How many there were after the last look for idle ones.
    left: usize,
}

/// How often databases have been taken away. What was read of a database before is not to be trusted
/// once this has moved on: it may have been dropped meanwhile, or opened, changed and closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Removals(u64);

impl Handles {
    pub(super) fn get(&self, name: &DatabaseName) -> Option<Database> {
        let open = self.lock();
        let database = open.databases.get(name).filter(|it| !it.is_dropped())?;
        database.touch();
        Some(database.clone())
    }

    pub(super) fn removals(&self) -> Removals {
        self.lock().removals
    }

    /// Adds a database that was read after `seen`, unless it is there by now; either way the one to
    /// use comes back. `None` when it has to be read again.
    pub(super) fn keep(&self, database: Database, seen: Removals) -> Option<Database> {
        let mut open = self.lock();
        if open.removals != seen {
            return None;
        }
        if open.databases.len() >= (2 * open.left).max(HANDLES_IDLE_MAX) {
            open.close_idle();
        }
        let name = database.name().clone();
        let kept = open.databases.entry(name).or_insert_with(|| database.clone());
        if kept.is_dropped() || kept.number() < database.number() {
            *kept = database;
        }
        kept.touch();
        Some(kept.clone())
    }

    pub(super) fn remove(&self, name: &DatabaseName, number: u64) -> Option<Database> {
        let mut open = self.lock();
        open.removals.0 += 1;
        let is_this = open.databases.get(name).is_some_and(|it| it.number() == number);
        if is_this { open.databases.remove(name) } else { None }
    }

    /// Lets go of all databases, which hold the store that holds them.
    pub(super) fn clear(&self) {
        let mut open = self.lock();
        open.removals.0 += 1;
        open.databases.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Every change to the map is one call, so a panic elsewhere leaves it whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn close_idle(&mut self) {
        let before = self.databases.len();
        // Each time the mark is taken from all, so what stays has been used since the last time.
        self.databases.retain(|_, kept| kept.untouch() | kept.is_shared());
        self.left = self.databases.len();
        if self.left < before {
            self.removals.0 += 1;
        }
    }
}
