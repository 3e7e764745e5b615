//! Keeping an index up to date: the step of its follower.
//!
//! A batch of changes becomes one commit: the rows that the documents made are taken away, those that
//! they make now are put, the records of which document made what change with them, and the cursor. It
//! has the precondition that the cursor is what it was, so no batch is taken in twice and nobody else
//! writes meanwhile.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, Weak},
};

use settle_access::{Grant, Read};
use settle_database::{
    Database, StorageError,
    follow::{BoxFuture, Change, ChangeBatch, Step, StepError},
};
use settle_engine::{Batch, Engine, Expected, Operation, Urgency};
use settle_model::time::{Clock, Timestamp};
use settle_script::ScriptError;

use super::{
    Index,
    leaves::{self, Seen},
    lock,
};
use crate::{
    catalog::{Catalog, CursorRecord, IndexRecord, Stored, background, committed, get_many},
    documents::{DocumentRecord, new_row},
    indexes::Shared,
    keys,
    mapper::{Mapped, Mapper},
    tree::{NewRow, RowKey, ShapeKey, Tree},
    view::ViewError,
};

pub(super) struct Updater {
    /// Gone when nobody waits and nothing more is wanted.
    index: Weak<Index>,
    engine: Arc<dyn Engine>,
    catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
    database: Database,
    grant: Grant<Read>,
    mapper: Mapper,
    trees: Vec<Tree>,
    number: u64,
    shape: ShapeKey,
    cursor: Option<Stored<CursorRecord>>,
    failure: Arc<Mutex<Option<ViewError>>>,
    updating_since: Arc<Mutex<Option<Timestamp>>>,
}

/// What changes in one tree.
#[derive(Default)]
struct TreeEdits {
    puts: Vec<NewRow>,
    deletes: Vec<RowKey>,
}

impl Updater {
    pub(super) fn new(shared: &Shared, index: &Arc<Index>, record: &IndexRecord) -> Self {
        let trees = 0..index.definition.tree_count();
        Self {
            index: Arc::downgrade(index),
            engine: shared.parts.engine.clone(),
            catalog: shared.catalog.clone(),
            clock: shared.parts.clock.clone(),
            database: index.database.clone(),
            grant: index.grant(),
            mapper: index.mapper.clone(),
            trees: trees.map(|map| index.tree(record.number, map)).collect(),
            number: record.number,
            shape: record.shape,
            cursor: None,
            failure: index.failure.clone(),
            updating_since: index.updating_since.clone(),
        }
    }

    async fn load_cursor(&mut self) -> Result<u64, ViewError> {
        let cursor = self.catalog.cursor(self.database.number(), self.number).await;
        let cursor = cursor.map_err(ViewError::of_index)?;
        // Without one, the index has been cleaned up, or another has taken its place.
        let cursor = cursor.ok_or(StorageError::Contended)?;
        let sequence = cursor.record.sequence;
        self.cursor = Some(cursor);
        *lock(&self.updating_since) = None;
        Ok(sequence)
    }

    async fn take_in(&mut self, batch: ChangeBatch) -> Result<(), ViewError> {
        let before = self.cursor.clone().ok_or(StorageError::Contended)?;
        let mut cursor = before.record;
        cursor.sequence = batch.until;
        let info = self.database.info(&self.grant).await?;
        if batch.until >= info.sequence {
            cursor.purge_sequence = info.purge_sequence;
        }
        let mut operations = Vec::new();
        let changes = newest_of_each(batch.changes, &self.mapper);
        if !changes.is_empty() {
            self.edit(changes, &mut cursor, &mut operations).await?;
        }
        let key = keys::cursor(self.database.number(), self.number);
        let value = cursor.encode(&key);
        operations.push(Operation::Put { key: key.clone(), value: value.clone() });
        let mut commit = Batch { operations, urgency: self.urgency(), ..background() };
        commit.require(key, Expected::Equals(before.bytes));
        // Unless it succeeds, the cursor is read again.
        self.cursor = None;
        if !committed(self.engine.commit(commit).await)? {
            return Err(StorageError::Contended.into());
        }
        self.cursor = Some(Stored { record: cursor, bytes: value });
        Ok(())
    }

    async fn edit(
        &self,
        changes: Vec<Change>,
        cursor: &mut CursorRecord,
        operations: &mut Vec<Operation>,
    ) -> Result<(), ViewError> {
        let record_keys: Vec<_> = changes
            .iter()
            .map(|change| keys::document(self.database.number(), self.number, &change.id))
            .collect();
        let seen = changes.iter().map(|change| Seen {
            id: change.id.clone(),
            sequence: change.sequence,
            deleted: change.deleted,
            has_others: change.has_others,
            document: change.document.clone(),
        });
        let documents = leaves::mappable(&self.mapper, &self.database, &self.grant, seen).await?;
        let (mapped, stored) =
            tokio::join!(self.mapper.map(documents), get_many(&*self.engine, record_keys.clone()),);
        let mut mapped: HashMap<_, _> =
            mapped?.into_iter().map(|mapped| (mapped.id.clone(), mapped)).collect();
        let mut edits: BTreeMap<usize, TreeEdits> = BTreeMap::new();
        for ((change, key), value) in changes.into_iter().zip(record_keys).zip(stored?) {
            if let Some(value) = &value {
                let record = DocumentRecord::decode(&key, value);
                let record = record.map_err(|error| ViewError::of_index(error.into()))?;
                cursor.rows = cursor.rows.saturating_sub(record.rows());
                cursor.external = cursor.external.saturating_sub(record.external);
                cursor.active = cursor.active.saturating_sub(record.active);
                for (map, row) in record.row_keys(&change.id) {
                    edits.entry(map).or_default().deletes.push(row);
                }
            }
            let made = mapped.remove(&change.id);
            let record = made.as_ref().and_then(DocumentRecord::of);
            if let Some(record) = record {
                cursor.rows += record.rows();
                cursor.external += record.external;
                cursor.active += record.active;
                let value = record.encode(&key);
                operations.push(Operation::Put { key, value });
            } else if value.is_some() {
                operations.push(Operation::Delete { key });
            }
            if let Some(Mapped { id, maps }) = made {
                for (map, rows) in maps.into_iter().enumerate().filter(|(_, it)| !it.is_empty()) {
                    let rows = (0..).zip(rows).map(|(n, row)| new_row(&id, n, row));
                    edits.entry(map).or_default().puts.extend(rows);
                }
            }
        }
        for (map, TreeEdits { puts, deletes }) in edits {
            let tree = self.trees.get(map).ok_or(StorageError::Contended)?;
            tree.apply(&*self.engine, &self.shape, puts, deletes, operations).await?;
        }
        Ok(())
    }

    /// Whoever waits for rows is not to wait for builds.
    fn urgency(&self) -> Urgency {
        let waiting = self.index.upgrade().is_some_and(|index| index.waiting() > 0);
        if waiting { Urgency::Foreground } else { Urgency::Background }
    }

    /// Keeps an error with its type for those who wait, and says whether trying again may help.
    fn fail(&self, error: ViewError) -> StepError {
        let may_pass = match &error {
            ViewError::Script(
                ScriptError::Died { .. } | ScriptError::Busy | ScriptError::Launch(_),
            )
            | ViewError::Storage(
                StorageError::Read(_)
                | StorageError::Clear(_)
                | StorageError::Full { .. }
                | StorageError::NotWritten { .. }
                | StorageError::Unknown { .. }
                | StorageError::Moved,
            )
            | ViewError::Closed
            | ViewError::Files { .. } => true,
            ViewError::Script(
                ScriptError::Compilation { .. }
                | ScriptError::Missing { .. }
                | ScriptError::Thrown(_)
                | ScriptError::Deadline { .. }
                | ScriptError::Memory { .. }
                | ScriptError::TooLarge { .. }
                | ScriptError::BadResult { .. }
                | ScriptError::Closed,
            )
            | ViewError::Storage(
                StorageError::Record(_)
                | StorageError::Gone
                | StorageError::Contended
                | StorageError::Inconsistent { .. },
            )
            | ViewError::Tree(_)
            | ViewError::Damaged { .. }
            | ViewError::DesignMissing { .. }
            | ViewError::DesignDeleted { .. }
            | ViewError::ViewMissing { .. }
            | ViewError::Design { .. }
            | ViewError::UnknownLanguage { .. }
            | ViewError::Update { .. } => false,
        };
        let reason = error.to_string();
        *lock(&self.failure) = Some(error);
        if may_pass { StepError::Retry { reason } } else { StepError::Fatal { reason } }
    }
}

impl Step for Updater {
    fn cursor(&mut self) -> BoxFuture<'_, Result<u64, StepError>> {
        Box::pin(async {
            let loaded = self.load_cursor().await;
            loaded.map_err(|error| self.fail(error))
        })
    }

    fn apply(&mut self, batch: ChangeBatch) -> BoxFuture<'_, Result<(), StepError>> {
        Box::pin(async {
            let now = self.clock.now();
            lock(&self.updating_since).get_or_insert(now);
            let until = batch.until;
            let taken = self.take_in(batch).await;
            if until >= self.database.sequence() {
                // The last for now: the next one begins another update.
                *lock(&self.updating_since) = None;
            }
            taken.map_err(|error| self.fail(error))
        })
    }
}

/// The last change of each document that is mapped at all, in some order.
fn newest_of_each(changes: Vec<Change>, mapper: &Mapper) -> Vec<Change> {
    let mut newest: HashMap<String, Change> = HashMap::with_capacity(changes.len());
    for change in changes {
        if mapper.admits(&change.id) {
            newest.insert(change.id.clone(), change);
        }
    }
    let mut newest: Vec<_> = newest.into_values().collect();
    // Neighbours are read from the same page.
    newest.sort_unstable_by(|left, right| left.id.cmp(&right.id));
    newest
}
