//! The first build of an index.
//!
//! Documents are read in the order of their ids, mapped in parallel, and forgotten. What each made is
//! written in that order; the rows are sorted outside the engine and loaded in their order, so the
//! engine sees nothing but appends. Where they do not fit in memory they go to runs on disk, and a
//! record says which documents are in them: after a crash the build goes on from there.
//!
//! The scan is not one state of the database. That does no harm: what changes after its beginning is
//! followed afterwards, document by document, and a document's record names exactly the rows that
//! were made of it.
//!
//! A build whose rows fit in memory, in a database where nothing happens meanwhile, is one commit when
//! it is small, and begins again after a crash.

use std::{
    collections::VecDeque,
    ops::Bound,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::{Stream, StreamExt as _, stream};
use settle_access::{Grant, Read};
use settle_database::{Next, RenderedScan, StorageError};
use settle_engine::{Batch, Cleared, Expected, Operation, Outcome, Urgency, key};
use settle_query::collate;
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinHandle, spawn_blocking},
};

use super::{
    Index, Progress, is_current,
    leaves::{self, Seen},
    rows,
};
use crate::{
    catalog::{BuildRecord, IndexRecord, RunRecord, State, Stored, background, committed},
    documents::DocumentRecord,
    indexes::Shared,
    keys,
    limits::{
        COMMIT_BYTES, MAP_BATCHES_AHEAD, MAP_BYTES_MAX, MAP_COUNT_MAX, MERGE_RUNS_MAX,
        RECLAIM_SLICE_BYTES,
    },
    mapper::Mapped,
    sort::{Buffer, Merge, RunReader, SortError, Sorted},
    tree::{self, ShapeKey},
    view::ViewError,
};

/// Builds the index of `index`'s definition, or goes on with a build. `stored` is what the catalog
/// has. What comes back is ready, or has a cursor and is still to be followed.
pub(super) async fn run(
    shared: &Arc<Shared>,
    index: &Index,
    progress: &Progress,
    stored: Option<Stored<IndexRecord>>,
) -> Result<Stored<IndexRecord>, ViewError> {
    let database = index.database.number();
    if let Some(found) = &stored
        && is_current(&found.record, &index.database)
    {
        let number = found.record.number;
        let cursor = shared.catalog.cursor(database, number).await;
        if cursor.map_err(ViewError::of_index)?.is_some() {
            // It was loaded when a crash came, and its runs may still be there.
            remove_all_runs(shared, number).await;
            return Ok(found.clone());
        }
        let begun = shared.catalog.build(database, number).await.map_err(ViewError::of_index)?;
        let mut build = Build::new(shared, index, progress, found.record.clone());
        build.registered = Some(found.bytes.clone());
        build.resume(begun.map(|it| it.record)).await?;
        return build.run().await;
    }
    let mut shape = [0; 32];
    shared.parts.entropy.fill(&mut shape);
    let record = IndexRecord {
        number: shared.catalog.next_number().await?,
        state: State::Building,
        created: shared.parts.clock.now(),
        collator: collate::VERSION.to_owned(),
        timeline: index.database.timeline(),
        shape: ShapeKey(shape),
        layout: tree::LAYOUT,
    };
    let mut build = Build::new(shared, index, progress, record);
    build.replaces = stored;
    build.begin().await?;
    build.run().await
}

struct Build<'a> {
    shared: &'a Arc<Shared>,
    index: &'a Index,
    progress: &'a Progress,
    grant: Grant<Read>,
    record: IndexRecord,
    /// An index of the same definition that cannot be used.
    replaces: Option<Stored<IndexRecord>>,
    /// The catalog's record, once it is there.
    registered: Option<Vec<u8>>,
    /// Where the build stands: the last document that was taken in, and the runs that are written.
    at: BuildRecord,
    /// The rows that are in no run yet.
    buffers: Vec<Buffer>,
    spilling: Option<Spilling>,
    next_file: u64,
    /// To be committed.
    operations: Vec<Operation>,
    bytes: usize,
    committing: Option<oneshot::Receiver<Outcome>>,
    room: [Vec<u8>; 2],
}

/// Runs that are being written, and where the build stood when they were begun.
struct Spilling {
    at: BuildRecord,
    writing: JoinHandle<Result<Vec<(usize, RunRecord)>, SortError>>,
}

/// A slice of the scan, mapped.
struct MappedSlice {
    /// The last document of the slice; `None` where it has none.
    last: Option<String>,
    /// Live ones.
    documents: u64,
    mapped: Vec<Mapped>,
}

impl<'a> Build<'a> {
    fn new(
        shared: &'a Arc<Shared>,
        index: &'a Index,
        progress: &'a Progress,
        record: IndexRecord,
    ) -> Self {
        let maps = index.definition.tree_count();
        Self {
            shared,
            index,
            progress,
            grant: index.grant(),
            record,
            replaces: None,
            registered: None,
            at: BuildRecord { maps: vec![Vec::new(); maps], ..BuildRecord::default() },
            buffers: Vec::new(),
            spilling: None,
            next_file: 0,
            operations: Vec::new(),
            bytes: 0,
            committing: None,
            room: [Vec::new(), Vec::new()],
        }
    }

    async fn begin(&mut self) -> Result<(), ViewError> {
        let database = &self.index.database;
        // The sequence first: what happens after it is followed.
        self.at.cursor.sequence = database.sequence();
        let info = database.info(&self.grant).await?;
        self.at.cursor.purge_sequence = info.purge_sequence;
        self.progress.expect_documents(self.at.documents, info.doc_count);
        Ok(())
    }

    /// Goes on from a record, or begins again where there is none that can be used.
    async fn resume(&mut self, begun: Option<BuildRecord>) -> Result<(), ViewError> {
        let (database, number) = (self.index.database.number(), self.record.number);
        let usable = begun.filter(|begun| self.has_runs(begun));
        let Some(begun) = usable else {
            self.clear(keys::rows(database, number)).await?;
            return self.begin().await;
        };
        self.at = begun;
        let runs = self.at.maps.iter().flatten();
        self.next_file = runs.map(|run| run.file + 1).max().unwrap_or(0);
        for map in 0..self.at.maps.len() {
            self.clear(keys::map(database, number, map)).await?;
        }
        // Records of documents that are in no run, and may have changed since.
        let after = keys::document(database, number, &self.at.after);
        let end = key::after_prefix(&keys::documents(database, number));
        self.clear_range([after, vec![0]].concat(), end.unwrap_or_default()).await?;
        let info = self.index.database.info(&self.grant).await?;
        self.progress.expect_documents(self.at.documents, info.doc_count);
        Ok(())
    }

    fn has_runs(&self, begun: &BuildRecord) -> bool {
        let mut runs = begun.maps.iter().flatten();
        begun.maps.len() == self.index.definition.tree_count()
            && runs.all(|run| {
                let length = self.path(run.file).and_then(|path| path.metadata().ok());
                length.is_some_and(|it| it.len() == run.bytes)
            })
    }

    async fn run(mut self) -> Result<Stored<IndexRecord>, ViewError> {
        let built = self.work().await;
        if built.is_err() {
            // Nothing of this build may happen after its end: another may begin.
            if let Some(Spilling { writing, .. }) = self.spilling.take() {
                drop(writing.await);
            }
            if let Some(committing) = self.committing.take() {
                drop(committing.await);
            }
        }
        built
    }

    async fn work(&mut self) -> Result<Stored<IndexRecord>, ViewError> {
        if !self.at.scanned {
            self.scan().await?;
        }
        self.load().await?;
        self.finish().await
    }

    /// Maps all documents.
    async fn scan(&mut self) -> Result<(), ViewError> {
        let slices = self.slices();
        tokio::pin!(slices);
        loop {
            // A function may take long; what has been begun otherwise is brought to its end.
            let slice = tokio::select! {
                () = self.shared.tasks.stopping() => return Err(ViewError::Closed),
                slice = slices.next() => slice,
            };
            let Some(slice) = slice.transpose()? else { break };
            self.progress.mapped(slice.documents);
            self.at.documents += slice.documents;
            for mapped in &slice.mapped {
                self.take(mapped)?;
            }
            if let Some(last) = slice.last {
                self.at.after = last;
            }
            self.commit_full().await?;
            let weight: usize = self.buffers.iter().map(Buffer::weight).sum();
            // While one half is written, the other gathers.
            if weight > self.shared.parts.settings.build_bytes_max / 2
                && self.shared.parts.folder.is_some()
            {
                self.spill().await?;
            }
        }
        self.at.scanned = true;
        self.end_spill().await?;
        if self.at.maps.iter().any(|runs| !runs.is_empty()) {
            // So that a crash while rows are loaded does not lose the mapping.
            self.spill().await?;
            self.end_spill().await?;
        }
        Ok(())
    }

    /// The documents in order, mapped some slices ahead.
    fn slices(&self) -> impl Stream<Item = Result<MappedSlice, ViewError>> + use<> {
        let (database, mapper) = (self.index.database.clone(), self.index.mapper.clone());
        let grant = self.grant.clone();
        let start = match self.at.after.as_str() {
            "" => Bound::Unbounded,
            after => Bound::Excluded(after.to_owned()),
        };
        let scan = RenderedScan {
            start,
            end: Bound::Unbounded,
            form: mapper.form(),
            in_conflict: false,
            count_max: MAP_COUNT_MAX,
            bytes_max: MAP_BYTES_MAX,
        };
        let reading = stream::unfold(Some(scan), move |scan| {
            let (database, grant) = (database.clone(), grant.clone());
            async move {
                match database.scan_rendered(&grant, scan?).await {
                    Ok((documents, Next::Go(scan))) => Some((Ok(documents), Some(scan))),
                    Ok((documents, Next::Done)) => Some((Ok(documents), None)),
                    Err(error) => Some((Err(error), None)),
                }
            }
        });
        let (database, grant) = (self.index.database.clone(), self.grant.clone());
        let mapping = reading.map(move |slice| {
            let (mapper, database, grant) = (mapper.clone(), database.clone(), grant.clone());
            async move {
                let slice = slice?;
                let last = slice.last().map(|document| document.id.clone());
                let documents = slice.iter().filter(|document| !document.deleted).count() as u64;
                let admitted = slice.into_iter().filter(|document| mapper.admits(&document.id));
                let admitted = admitted.map(|it| Seen {
                    id: it.id,
                    sequence: it.sequence,
                    deleted: it.deleted,
                    has_others: it.has_others,
                    document: Some(it.document),
                });
                let admitted = leaves::mappable(&mapper, &database, &grant, admitted).await?;
                let mapped = mapper.map(admitted).await?;
                Ok(MappedSlice { last, documents, mapped })
            }
        });
        mapping.buffered(MAP_BATCHES_AHEAD)
    }

    fn take(&mut self, mapped: &Mapped) -> Result<(), ViewError> {
        let Some(record) = DocumentRecord::of(mapped) else { return Ok(()) };
        let cursor = &mut self.at.cursor;
        cursor.rows += record.rows();
        cursor.external += record.external;
        cursor.active += record.active;
        let key = keys::document(self.index.database.number(), self.record.number, &mapped.id);
        let value = record.encode(&key);
        self.put(key, value);
        self.buffers.resize_with(mapped.maps.len(), Buffer::default);
        for (buffer, rows) in self.buffers.iter_mut().zip(&mapped.maps) {
            for (n, row) in (0..).zip(rows) {
                rows::push(buffer, &mapped.id, n, row, &mut self.room);
            }
        }
        Ok(())
    }

    fn path(&self, file: u64) -> Option<PathBuf> {
        let folder = self.shared.parts.folder.as_deref()?;
        Some(run_path(folder, self.record.number, file))
    }

    /// Begins to write what is in memory as runs.
    async fn spill(&mut self) -> Result<(), ViewError> {
        self.end_spill().await?;
        let mut writes = Vec::new();
        for (map, buffer) in std::mem::take(&mut self.buffers).into_iter().enumerate() {
            if buffer.is_empty() {
                continue;
            }
            let file = self.next_file;
            self.next_file += 1;
            let path = self.path(file).ok_or_else(no_folder)?;
            writes.push((map, file, path, buffer));
        }
        let writing = spawn_blocking(move || {
            let written = writes.into_iter().map(|(map, file, path, buffer)| {
                let (rows, bytes) = Merge::new(Vec::new(), buffer.sorted()).write(&path)?;
                Ok((map, RunRecord { file, rows, bytes }))
            });
            written.collect()
        });
        self.spilling = Some(Spilling { at: self.at.clone(), writing });
        Ok(())
    }

    /// Waits for the runs that are being written, and commits a record that names them.
    async fn end_spill(&mut self) -> Result<(), ViewError> {
        let Some(Spilling { mut at, writing }) = self.spilling.take() else { return Ok(()) };
        let runs = writing.await.expect("writing a run does not panic")?;
        // The same in both: later runs are not begun before.
        for (map, run) in runs {
            at.maps[map].push(run);
            self.at.maps[map].push(run);
        }
        let key = keys::build(self.index.database.number(), self.record.number);
        let value = at.encode(&key);
        self.put(key, value);
        self.commit().await
    }

    /// Loads the rows of each map in their order.
    async fn load(&mut self) -> Result<(), ViewError> {
        self.progress.expect_rows(self.at.cursor.rows);
        let mut buffers = std::mem::take(&mut self.buffers);
        buffers.resize_with(self.at.maps.len(), Buffer::default);
        for (map, buffer) in buffers.into_iter().enumerate() {
            self.merge_runs(map).await?;
            let runs: Option<Vec<PathBuf>> =
                self.at.maps[map].iter().map(|run| self.path(run.file)).collect();
            let runs = runs.ok_or_else(no_folder)?;
            if runs.is_empty() && buffer.is_empty() {
                continue;
            }
            let (sender, mut receiver) = mpsc::channel(2);
            let reading = spawn_blocking(move || send_rows(&runs, buffer, &sender));
            let tree = self.index.tree(self.record.number, map);
            let mut loader = tree.loader(&self.record.shape);
            while let Some(rows) = receiver.recv().await {
                self.progress.loaded(rows.len() as u64);
                rows.each(|row| Ok::<_, ViewError>(loader.push(row)?))?;
                if loader.waiting_bytes() >= COMMIT_BYTES {
                    let from = self.operations.len();
                    loader.drain(&mut self.operations).await?;
                    self.weigh(from);
                    self.commit_full().await?;
                }
            }
            reading.await.expect("reading runs does not panic")?;
            let from = self.operations.len();
            loader.finish(&mut self.operations).await?;
            self.weigh(from);
            self.commit_full().await?;
        }
        Ok(())
    }

    /// Merges runs into longer ones until few enough are left to be read together.
    async fn merge_runs(&mut self, map: usize) -> Result<(), ViewError> {
        let mut runs = VecDeque::from(self.at.maps[map].clone());
        while runs.len() > MERGE_RUNS_MAX {
            let paths: Option<Vec<_>> =
                runs.drain(..MERGE_RUNS_MAX).map(|run| self.path(run.file)).collect();
            let paths = paths.ok_or_else(no_folder)?;
            let file = self.next_file;
            self.next_file += 1;
            let to = self.path(file).ok_or_else(no_folder)?;
            let merging =
                spawn_blocking(move || Merge::new(open_all(&paths)?, Sorted::default()).write(&to));
            let (rows, bytes) = merging.await.expect("merging runs does not panic")?;
            runs.push_back(RunRecord { file, rows, bytes });
        }
        // The record still names the old ones, which are all there until the end.
        self.at.maps[map] = runs.into();
        Ok(())
    }

    /// Gives the index its cursor. If all is in this one commit and nothing has happened since the
    /// beginning, it is ready.
    async fn finish(&mut self) -> Result<Stored<IndexRecord>, ViewError> {
        let (database, number) = (self.index.database.number(), self.record.number);
        let key = keys::cursor(database, number);
        let value = self.at.cursor.encode(&key);
        self.put(key, value);
        self.operations.push(Operation::Delete { key: keys::build(database, number) });
        let is_current = self.index.database.sequence() == self.at.cursor.sequence;
        if self.registered.is_none() && is_current {
            let ready = IndexRecord { state: State::Ready, ..self.record.clone() };
            let mut batch = Batch::default();
            self.index.serve_all(self.shared, number, &mut batch).await?;
            self.operations.append(&mut batch.operations);
            let bytes = self.register(ready.clone()).await?;
            return Ok(Stored { record: ready, bytes });
        }
        self.commit().await?;
        self.finish_commit().await?;
        remove_all_runs(self.shared, number).await;
        let bytes = self.registered.take().expect("commit registers the index");
        Ok(Stored { record: self.record.clone(), bytes })
    }

    /// Commits what has gathered with the index's record, which must not be there yet.
    async fn register(&mut self, record: IndexRecord) -> Result<Vec<u8>, ViewError> {
        let database = self.index.database.number();
        let key = keys::index(database, self.index.signature());
        let mut batch = self.batch();
        match self.replaces.take() {
            None => batch.require(key.clone(), Expected::Absent),
            Some(replaced) => {
                batch.require(key.clone(), Expected::Equals(replaced.bytes));
                let number = replaced.record.number;
                let reclaim = keys::reclaim(database, number);
                batch.put(reclaim.clone(), crate::reclaim::encode(&reclaim));
                self.shared.reclaim.notify_one();
            }
        }
        let bytes = record.encode(&key);
        batch.put(key, bytes.clone());
        match committed(self.shared.parts.engine.commit(batch).await)? {
            true => Ok(bytes),
            false => Err(StorageError::Contended.into()),
        }
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.bytes += key.len() + value.len();
        self.operations.push(Operation::Put { key, value });
    }

    fn weigh(&mut self, from: usize) {
        for operation in &self.operations[from..] {
            self.bytes += match operation {
                Operation::Put { key, value } => key.len() + value.len(),
                Operation::Delete { key } => key.len(),
            };
        }
    }

    async fn commit_full(&mut self) -> Result<(), ViewError> {
        if self.bytes >= COMMIT_BYTES { self.commit().await } else { Ok(()) }
    }

    /// Commits what has gathered, after what was committed before. The next is made meanwhile.
    async fn commit(&mut self) -> Result<(), ViewError> {
        if self.shared.tasks.is_stopping() {
            return Err(ViewError::Closed);
        }
        if self.registered.is_none() {
            let bytes = self.register(self.record.clone()).await?;
            self.registered = Some(bytes);
            return Ok(());
        }
        self.finish_commit().await?;
        let batch = self.batch();
        let committing = self.shared.parts.engine.commit(batch);
        let (sender, receiver) = oneshot::channel();
        // Whoever gave up the build wants no answer.
        self.shared.tasks.spawn(async move { drop(sender.send(committing.await)) });
        self.committing = Some(receiver);
        Ok(())
    }

    async fn finish_commit(&mut self) -> Result<(), ViewError> {
        let Some(committing) = self.committing.take() else { return Ok(()) };
        match committed(committing.await.expect("engines answer"))? {
            true => Ok(()),
            // It was cleaned up, or the database was dropped.
            false => Err(StorageError::Contended.into()),
        }
    }

    /// What has gathered, as one batch.
    fn batch(&mut self) -> Batch {
        self.bytes = 0;
        let mut batch = background();
        if self.registered.is_none() && self.index.waiting() > 0 {
            // Small so far, and somebody waits for it.
            batch.urgency = Urgency::Foreground;
        }
        if let Some(bytes) = &self.registered {
            let key = keys::index(self.index.database.number(), self.index.signature());
            batch.require(key, Expected::Equals(bytes.clone()));
        }
        batch.operations = std::mem::take(&mut self.operations);
        batch
    }

    async fn clear(&self, prefix: Vec<u8>) -> Result<(), StorageError> {
        let end = key::after_prefix(&prefix).unwrap_or_default();
        self.clear_range(prefix, end).await
    }

    async fn clear_range(&self, start: Vec<u8>, end: Vec<u8>) -> Result<(), StorageError> {
        let engine = &self.shared.parts.engine;
        while engine.clear(start.clone(), end.clone(), RECLAIM_SLICE_BYTES).await? == Cleared::More
        {
        }
        Ok(())
    }
}

/// Sends rows in their order, some at a time, until all are sent or nobody wants more.
fn send_rows(
    runs: &[PathBuf],
    buffer: Buffer,
    sender: &mpsc::Sender<rows::Block>,
) -> Result<(), ViewError> {
    const ROWS_AT_ONCE: usize = 1_000;
    const BYTES_AT_ONCE: usize = 256 << 10;
    let mut merge = Merge::new(open_all(runs)?, buffer.sorted());
    loop {
        let mut rows = rows::Block::with_capacity(ROWS_AT_ONCE, BYTES_AT_ONCE);
        while rows.len() < ROWS_AT_ONCE && rows.bytes() < BYTES_AT_ONCE {
            let Some((key, payload)) = merge.next_row()? else { break };
            rows.push(key, payload);
        }
        if rows.len() == 0 || sender.blocking_send(rows).is_err() {
            return Ok(());
        }
    }
}

fn open_all(runs: &[PathBuf]) -> Result<Vec<RunReader>, SortError> {
    runs.iter().map(|path| RunReader::open(path)).collect()
}

fn no_folder() -> ViewError {
    ViewError::Files { reason: "there is no folder for runs".to_owned() }
}

/// The file of a run.
fn run_path(folder: &Path, number: u64, file: u64) -> PathBuf {
    folder.join(format!("{number}-{file}.run"))
}

/// The number of the index whose run a file is.
pub(crate) fn index_of_run(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".run")?;
    name.split_once('-')?.0.parse().ok()
}

/// Removes the runs of an index, off the threads that must not block.
pub(crate) async fn remove_all_runs(shared: &Shared, number: u64) {
    let Some(folder) = shared.parts.folder.clone() else { return };
    let removing = spawn_blocking(move || remove_runs(&folder, number));
    removing.await.expect("removing runs does not panic");
}

/// Removes the runs of an index; what cannot be removed is found at the next start.
fn remove_runs(folder: &Path, number: u64) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if index_of_run(&path) == Some(number)
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::warn!(path = %path.display(), %error, "could not remove a run of a build");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{index_of_run, run_path};

    #[test]
    fn a_run_is_known_by_its_name() {
        assert_eq!(index_of_run(&run_path(Path::new("/f"), 12, 3)), Some(12));
        for name in ["x", "a-1.run", "1.run", "1-2.ru"] {
            assert_eq!(index_of_run(Path::new(name)), None, "{name}");
        }
    }
}
