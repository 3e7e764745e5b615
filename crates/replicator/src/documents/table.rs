//! What is known of the documents that ask for something: written by the task that follows them, read by
//! requests.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use settle_access::Actor;
use settle_model::{revision::RevId, time::Timestamp};
use settle_sync::{document::Asked, id::ReplicationId};

use crate::DocumentPlace;

#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: Mutex<BTreeMap<DocumentPlace, Entry>>,
}

/// A document that the server is not through with.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The number of its database.
    pub(crate) database: u64,
    pub(crate) rev: RevId,
    pub(crate) asked: Asked,
    pub(crate) state: State,
    /// Another one with each try, so that what comes late is told apart.
    pub(crate) attempt: u64,
    /// Tries in a row that did not come as far as a job.
    pub(crate) failures: u32,
    pub(crate) added: Timestamp,
}

#[derive(Debug)]
pub(crate) enum State {
    Initializing,
    Error {
        reason: String,
        updated: Timestamp,
        /// When it is tried again, on the clock that does not jump.
        due: Duration,
    },
    Scheduled {
        id: ReplicationId,
        /// In whose name it runs.
        actor: Arc<Actor>,
    },
}

impl Table {
    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<DocumentPlace, Entry>> {
        // Every change is one call, so a panic elsewhere leaves it whole.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn with<T>(
        &self,
        place: &DocumentPlace,
        look: impl FnOnce(&mut Entry) -> T,
    ) -> Option<T> {
        self.lock().get_mut(place).map(look)
    }
}
