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
    open: Mutex<HashMap<DatabaseName, Database>>,
}

impl Handles {
    pub(super) fn get(&self, name: &DatabaseName) -> Option<Database> {
        let open = self.lock();
        let database = open.get(name)?;
        database.touch();
        Some(database.clone())
    }

    /// Adds a database, unless it is there by now; either way the one to use comes back.
    pub(super) fn keep(&self, database: Database) -> Database {
        let mut open = self.lock();
        if open.len() >= HANDLES_IDLE_MAX {
            // Each sweep takes the mark from all, so what stays has been used since the last one.
            open.retain(|_, kept| kept.untouch() | kept.is_shared());
        }
        let kept = open.entry(database.name().clone()).or_insert_with(|| database.clone());
        if kept.is_dropped() || kept.number() < database.number() {
            *kept = database;
        }
        kept.touch();
        kept.clone()
    }

    pub(super) fn remove(&self, name: &DatabaseName, number: u64) -> Option<Database> {
        let mut open = self.lock();
        if open.get(name).is_some_and(|database| database.number() == number) {
            return open.remove(name);
        }
        None
    }

    /// Lets go of all databases, which hold the store that holds them.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DatabaseName, Database>> {
        // Every change to the map is one call, so a panic elsewhere leaves it whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
