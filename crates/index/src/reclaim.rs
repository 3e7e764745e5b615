//! Giving back the space of indexes that are gone and of databases that were dropped, in slices, as
//! background work.
//!
//! Letting go of an index is one commit: its record goes, and a mark stays that says what is to be
//! cleared. Its rows are cleared when nobody reads them any more. What a stop or a crash interrupts
//! is taken up at the next start.

use std::{collections::HashSet, sync::Arc};

use settle_database::{Database, StorageError};
use settle_engine::{Batch, Cleared, Expected, key};

use crate::{
    catalog::{State, background, committed},
    codec::sealed,
    index::{index_of_run, is_current, remove_all_runs, remove_runs},
    indexes::Shared,
    keys::{self, Signature},
    limits::{CLASHES_MAX, RECLAIM_SLICE_BYTES, RETRY_DELAY},
};

/// The value of a mark: that it is there says everything.
pub(crate) fn encode(key: &[u8]) -> Vec<u8> {
    sealed(key, |_| {})
}

/// At the start: marks what was left by databases that are gone, and removes files of builds that
/// nothing goes on with.
pub(crate) async fn sweep(shared: &Shared) -> Result<(), StorageError> {
    for database in shared.catalog.databases().await? {
        if !shared.parts.store.has(database).await? {
            mark_database(shared, database).await?;
        }
    }
    let Some(folder) = shared.parts.folder.clone() else { return Ok(()) };
    let mut building = HashSet::new();
    for database in shared.catalog.databases().await? {
        for (_, stored) in shared.catalog.indexes(database).await? {
            if stored.record.state == State::Building {
                building.insert(stored.record.number);
            }
        }
    }
    let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(()) };
    let numbers: HashSet<_> =
        entries.flatten().filter_map(|entry| index_of_run(&entry.path())).collect();
    for number in numbers.difference(&building) {
        remove_runs(&folder, *number);
    }
    Ok(())
}

/// Says that everything of a database is to go.
pub(crate) async fn mark_database(shared: &Shared, database: u64) -> Result<(), StorageError> {
    let mark = keys::reclaim(database, 0);
    let mut batch = background();
    batch.put(mark.clone(), encode(&mark));
    committed(shared.parts.engine.commit(batch).await)?;
    shared.reclaim.notify_one();
    Ok(())
}

/// Lets go of the indexes that no design document asks for, and that answer for none while its own is
/// being built.
pub(crate) async fn cleanup(shared: &Shared, database: &Database) -> Result<(), StorageError> {
    for _ in 0..CLASHES_MAX {
        if try_cleanup(shared, database).await? {
            return Ok(());
        }
    }
    Err(StorageError::Contended)
}

/// Whether nobody changed the catalog meanwhile.
async fn try_cleanup(shared: &Shared, database: &Database) -> Result<bool, StorageError> {
    let number = database.number();
    let designs = shared.designs(database).await?;
    let indexes = shared.catalog.indexes(number).await?;
    let served = shared.catalog.all_served(number).await?;
    let is_ready = |signature: &Signature| {
        indexes.iter().any(|(found, stored)| {
            found == signature
                && stored.record.state == State::Ready
                && is_current(&stored.record, database)
        })
    };
    let mut kept: HashSet<Signature> = HashSet::new();
    let mut batch = Batch::default();
    for entry in designs.usable() {
        kept.extend(entry.index.as_ref().map(|definition| definition.signature));
    }
    for (design, stored) in &served {
        let wanted = designs.get(design).and_then(|entry| entry.index.as_ref());
        if wanted.is_some_and(|definition| !is_ready(&definition.signature)) {
            kept.insert(stored.record.signature);
        } else if wanted.is_none_or(|definition| definition.signature != stored.record.signature) {
            batch.delete(keys::served(number, design));
        }
    }
    let mut gone = Vec::new();
    for (signature, stored) in &indexes {
        if kept.contains(signature) {
            continue;
        }
        let index = stored.record.number;
        let (key, mark) = (keys::index(number, signature), keys::reclaim(number, index));
        batch.require(key.clone(), Expected::Equals(stored.bytes.clone()));
        batch.delete(key);
        batch.delete(keys::cursor(number, index));
        batch.delete(keys::checkpoint(number, index));
        batch.put(mark.clone(), encode(&mark));
        gone.push(*signature);
    }
    if batch.operations.is_empty() {
        return Ok(true);
    }
    if !committed(shared.parts.engine.commit(batch).await)? {
        return Ok(false);
    }
    for signature in gone {
        if let Some(index) = shared.forget(number, &signature) {
            index.close().await;
        }
    }
    shared.reclaim.notify_one();
    Ok(true)
}

/// Runs until the indexes are closed.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        let is_done = tokio::select! {
            () = shared.tasks.stopping() => return,
            is_done = reclaim_all(&shared) => is_done,
        };
        let again = async {
            if is_done {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(RETRY_DELAY).await;
        };
        tokio::select! {
            () = shared.tasks.stopping() => return,
            () = shared.reclaim.notified() => {}
            () = again => {}
        }
    }
}

/// Whether nothing is left. What cannot be cleared, or is still read, does not hold up the rest.
async fn reclaim_all(shared: &Shared) -> bool {
    let waiting = match shared.catalog.reclaims().await {
        Ok(waiting) => waiting,
        Err(error) => {
            tracing::warn!(%error, "could not look for indexes that are gone");
            return false;
        }
    };
    let mut is_done = true;
    for (database, index) in waiting {
        if index != 0 && shared.leases.is_held(index) {
            is_done = false;
        } else if let Err(error) = reclaim(shared, database, index).await {
            tracing::warn!(database, index, %error, "could not reclaim an index that is gone");
            is_done = false;
        }
    }
    is_done
}

async fn reclaim(shared: &Shared, database: u64, index: u64) -> Result<(), StorageError> {
    let start = match index {
        0 => keys::database(database),
        index => keys::rows(database, index),
    };
    let end = key::after_prefix(&start).unwrap_or_default();
    let engine = &shared.parts.engine;
    while engine.clear(start.clone(), end.clone(), RECLAIM_SLICE_BYTES).await? == Cleared::More {}
    let mut batch = background();
    if index != 0 {
        remove_all_runs(shared, index).await;
        batch.delete(keys::cursor(database, index));
        batch.delete(keys::checkpoint(database, index));
    }
    batch.delete(keys::reclaim(database, index));
    committed(engine.commit(batch).await)?;
    Ok(())
}
