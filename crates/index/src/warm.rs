//! What follows the databases as a whole: indexes are warmed after writes, and those of dropped
//! databases let go.
//!
//! One task reads the store's log of events, which has at most one row a database and kind, written
//! some times a second; so a million databases cost nothing as long as nobody writes to them, and
//! many writes to one warm its indexes once. What was written shortly before a stop is warmed when it
//! is next written to or asked for.

use std::sync::Arc;

use settle_access::{Grant, Inspect, Resource};
use settle_database::{DatabaseEvent, Direction, EventKind, EventScan, StorageError};
use settle_model::id::DatabaseName;

use crate::{
    indexes::Shared,
    limits::{EVENTS_AT_ONCE, RETRY_DELAY},
    reclaim,
};

/// The event after which [`run`] is to begin.
pub(crate) async fn begin(shared: &Shared) -> Result<u64, StorageError> {
    let newest =
        EventScan { since: 0, until: u64::MAX, direction: Direction::Descending, limit: 1 };
    Ok(shared.parts.store.events(&grant(), newest).await?.end)
}

/// Runs until the indexes are closed.
pub(crate) async fn run(shared: Arc<Shared>, mut since: u64) {
    loop {
        tokio::select! {
            () = shared.tasks.stopping() => return,
            () = shared.parts.store.events_after(since) => {}
        }
        tokio::select! {
            () = shared.tasks.stopping() => return,
            () = tokio::time::sleep(shared.parts.settings.autoupdate_delay) => {}
        }
        if let Err(error) = take_in(&shared, &mut since).await {
            tracing::warn!(%error, "could not warm indexes after writes");
            tokio::select! {
                () = shared.tasks.stopping() => return,
                () = tokio::time::sleep(RETRY_DELAY) => {}
            }
        }
    }
}

async fn take_in(shared: &Arc<Shared>, since: &mut u64) -> Result<(), StorageError> {
    loop {
        let scan = EventScan {
            since: *since,
            until: u64::MAX,
            direction: Direction::Ascending,
            limit: EVENTS_AT_ONCE,
        };
        let page = shared.parts.store.events(&grant(), scan).await?;
        let is_last = page.events.len() < EVENTS_AT_ONCE;
        for event in &page.events {
            match event.kind {
                EventKind::Created => {}
                EventKind::Updated => warm(shared, event).await?,
                EventKind::Deleted => {
                    shared.forget_database(event.number);
                    if shared.catalog.has(event.number).await? {
                        reclaim::mark_database(shared, event.number).await?;
                    }
                }
            }
            *since = event.sequence;
        }
        if is_last {
            *since = (*since).max(page.end);
            return Ok(());
        }
    }
}

/// Has the indexes of a database brought up to date, without waiting for them.
async fn warm(shared: &Arc<Shared>, event: &DatabaseEvent) -> Result<(), StorageError> {
    let Ok(name) = DatabaseName::from_catalog(&event.name) else { return Ok(()) };
    let Some(database) = shared.parts.store.find(&name).await? else { return Ok(()) };
    if database.number() != event.number {
        return Ok(());
    }
    let designs = match shared.designs(&database).await {
        Ok(designs) => designs,
        Err(StorageError::Gone) => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in designs.usable().filter(|entry| entry.design.autoupdate) {
        let Some(definition) = &entry.index else { continue };
        let index = shared.index(&database, definition);
        if !index.is_broken() {
            shared.warm(index, entry.clone());
        }
    }
    Ok(())
}

fn grant() -> Grant<Inspect> {
    Grant::internal(Resource::AllServers, "indexes follow what happens to databases")
}
