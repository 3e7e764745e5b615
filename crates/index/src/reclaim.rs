//! Giving back the space of indexes that are gone and of databases that were dropped, in slices, as
//! background work.
//!
//! Letting go of an index is one commit: its record goes, and a mark stays that says what is to be
//! cleared. Its rows are cleared when nobody reads them any more. What a stop or a crash interrupts
//! is taken up at the next start.

use std::{collections::HashSet, path::PathBuf, sync::Arc};

use settle_database::{Database, StorageError};
use settle_engine::{Batch, Cleared, Expected, key};

use tokio::task::spawn_blocking;

use crate::{
    catalog::{IndexRecord, State, background, committed},
    codec::sealed,
    index::{index_of_run, is_current, remove_all_runs},
    indexes::Shared,
    keys::{self, Signature},
    limits::{CLASHES_MAX, RECLAIM_SLICE_BYTES, RETRY_DELAY},
};

/// The value of a mark: that it is there says everything.
pub(crate) fn encode(key: &[u8]) -> Vec<u8> {
    sealed(key, |_| {})
}

/// The indexes that have runs in the folder.
pub(crate) async fn indexes_of_runs(folder: Option<PathBuf>) -> HashSet<u64> {
    let Some(folder) = folder else { return HashSet::new() };
    let listing = spawn_blocking(move || match std::fs::read_dir(&folder) {
        Ok(entries) => entries.flatten().filter_map(|it| index_of_run(&it.path())).collect(),
        Err(error) => {
            tracing::warn!(folder = %folder.display(), %error, "could not look for old runs");
            HashSet::new()
        }
    });
    listing.await.expect("listing a folder does not panic")
}

/// At the start: marks what was left by databases that are gone, and removes the runs of builds that
/// nothing goes on with. `runs`: the indexes that had some before any build began.
async fn sweep(shared: &Shared, mut runs: HashSet<u64>) -> Result<(), StorageError> {
    for database in shared.catalog.databases().await? {
        if !shared.parts.store.has(database).await? {
            mark_database(shared, database).await?;
        } else if !runs.is_empty() {
            for (_, stored) in shared.catalog.indexes(database).await? {
                if stored.record.state == State::Building {
                    runs.remove(&stored.record.number);
                }
            }
        }
    }
    for number in runs {
        remove_all_runs(shared, number).await;
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
        batch.delete(keys::build(number, index));
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

/// Lets go of one index, if it is still the one of its definition; whether it was. Where its record cannot be
/// read, nothing says which rows it had, and they stay until the database goes.
pub(crate) async fn let_go(
    shared: &Shared,
    database: u64,
    signature: &Signature,
    number: Option<u64>,
) -> Result<bool, StorageError> {
    let key = keys::index(database, signature);
    let Some(bytes) = shared.parts.engine.get(key.clone()).await? else { return Ok(false) };
    let mut batch = background();
    if let Ok(record) = IndexRecord::decode(&key, &bytes) {
        if number.is_some_and(|number| number != record.number) {
            return Ok(false);
        }
        let mark = keys::reclaim(database, record.number);
        batch.delete(keys::cursor(database, record.number));
        batch.delete(keys::build(database, record.number));
        batch.put(mark.clone(), encode(&mark));
    }
    batch.require(key.clone(), Expected::Equals(bytes));
    batch.delete(key);
    let is_gone = committed(shared.parts.engine.commit(batch).await)?;
    shared.reclaim.notify_one();
    Ok(is_gone)
}

/// Runs until the indexes are closed.
pub(crate) async fn run(shared: Arc<Shared>, runs: HashSet<u64>) {
    tokio::select! {
        () = shared.tasks.stopping() => return,
        swept = sweep(&shared, runs) => if let Err(error) = swept {
            // The next start finds what is left.
            tracing::warn!(%error, "could not look for what dropped databases left");
        }
    }
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
        batch.delete(keys::build(database, index));
    }
    batch.delete(keys::reclaim(database, index));
    committed(engine.commit(batch).await)?;
    Ok(())
}
