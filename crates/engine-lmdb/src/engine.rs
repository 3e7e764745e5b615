//! The engine that servers hold.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use settle_engine::{
    Batch, BoxFuture, Checkpoint, CheckpointError, ClearError, Cleared, Engine, Outcome, Plan,
    ReadResult, Stats, Urgency, Visitor, checked,
};
use tokio::sync::oneshot;

use crate::{
    Identity, OpenError, OpenOptions, Verified, VerifyError,
    committer::{ClearReply, Committer, Job, Queue, QueueRefusal, not_applied},
    folder::{DATA_FILE, Folder},
    identity,
    limits::CLEAR_SLICE_BYTES_MAX,
    offline,
    reading::Readers,
    store::Store,
    verify::{self, PinnedMeta},
};

/// One open store. When the last handle is dropped, what waits is committed and the store is free
/// for the next server as soon as the reads that still run have ended.
#[derive(Debug)]
pub struct LmdbEngine {
    readers: Readers,
    queue: Arc<Queue>,
    committer: Mutex<Option<JoinHandle<()>>>,
    identity: Identity,
    store: Store,
}

impl LmdbEngine {
    /// Opens the store in `dir`, or makes one where there is none. Blocks for as long as `options`
    /// say if another server holds it. Reads need a tokio runtime, commits do not.
    pub fn open(dir: &Path, options: &OpenOptions) -> Result<Arc<Self>, OpenError> {
        let folder = Folder::hold(dir, options.lock_wait)?;
        folder.prepare(Store::create)?;
        let identity = identity::of_store(&folder.dir)?;
        verify::check_metas(&folder.dir.join(DATA_FILE)).map_err(|error| OpenError::Damaged {
            dir: dir.to_path_buf(),
            reason: error.to_string(),
        })?;
        let store = Store::open_to_write(folder, options.map_bytes)?;
        let queue = Arc::new(Queue::default());
        let committer = Committer::new(store.clone(), Arc::clone(&queue));
        let thread = std::thread::Builder::new()
            .name("settle-commit".to_owned())
            .spawn(move || committer.run())
            .map_err(crate::folder::failing("start the committer of", dir))?;
        let committer = Mutex::new(Some(thread));
        Ok(Arc::new(Self { readers: Readers::new(), queue, committer, identity, store }))
    }

    /// Stays the same for as long as this is the same store, and differs in a copy of its folder.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Checks every page of the last commit, while reads and commits go on; `is_sound` checks each
    /// row. Blocks, and pins the pages of that commit, for as long as reading the file takes.
    pub fn verify(
        &self,
        is_sound: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<Verified, VerifyError> {
        let path = self.store.data_path();
        loop {
            let view = self.store.snapshot().map_err(|error| OpenError::Damaged {
                dir: path.clone(),
                reason: error.to_string(),
            })?;
            let meta = PinnedMeta::read(&path, view.commit())?;
            // The second commit from here overwrites the meta page. While not even the first has
            // come, what was read is whole; afterwards only the pages matter, and they are pinned.
            if let Some(meta) = meta
                && self.store.figures().last_commit == view.commit()
            {
                let _listed = self.readers.views().list(view.commit());
                return verify::verify_pinned(&path, &meta, is_sound);
            }
        }
    }
}

impl Engine for LmdbEngine {
    fn read_boxed(&self, plan: Plan, visitor: Box<dyn Visitor>) -> BoxFuture<'_, ReadResult> {
        Box::pin(self.readers.read(&self.store, plan, visitor))
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'static, Outcome> {
        if let Some(outcome) = checked::refusal(&batch) {
            return Box::pin(async move { outcome });
        }
        let (reply, answer) = oneshot::channel();
        let urgency = batch.urgency;
        let bytes = checked::byte_count(&batch);
        if let Err(refusal) = self.queue.push(Job::Batch { batch, bytes, reply }, urgency) {
            let outcome = not_applied(&refusal.to_string(), false);
            return Box::pin(async move { outcome });
        }
        Box::pin(async move {
            answer.await.unwrap_or_else(|_| Outcome::Unknown {
                reason: "the committer ended without an answer".to_owned(),
            })
        })
    }

    fn clear(
        &self,
        start: Vec<u8>,
        end: Vec<u8>,
        budget_bytes: usize,
    ) -> BoxFuture<'_, Result<Cleared, ClearError>> {
        Box::pin(async move {
            if start >= end {
                return Ok(Cleared::Done);
            }
            let mut left = budget_bytes;
            loop {
                let slice_bytes = left.min(CLEAR_SLICE_BYTES_MAX);
                let slice = self.clear_slice(start.clone(), end.clone(), slice_bytes).await;
                let slice = slice.map_err(|reason| ClearError::Failed { reason })?;
                if slice.is_done {
                    return Ok(Cleared::Done);
                }
                left = left.saturating_sub(slice.bytes);
                if left == 0 {
                    return Ok(Cleared::More);
                }
            }
        })
    }

    fn checkpoint<'a>(
        &'a self,
        to: &'a Path,
    ) -> BoxFuture<'a, Result<Checkpoint, CheckpointError>> {
        Box::pin(async move {
            let failed = |reason: String| CheckpointError::Failed { to: to.to_path_buf(), reason };
            let (store, path) = (self.store.clone(), to.to_path_buf());
            let views = Arc::clone(self.readers.views());
            let copying = tokio::task::spawn_blocking(move || {
                let _listed = views.list(store.figures().last_commit);
                offline::copy_store(&store, &path)
            });
            let copied = copying.await.map_err(|error| failed(error.to_string()))?;
            copied.map(|bytes| Checkpoint { bytes }).map_err(|error| failed(error.to_string()))
        })
    }

    fn stats(&self) -> Stats {
        let figures = self.store.figures();
        let (readers, oldest) = self.readers.views().count_and_oldest();
        let commits = self.queue.counters().commits();
        let file_bytes = fs::metadata(self.store.data_path()).map(|file| file.len());
        Stats {
            file_bytes: file_bytes.unwrap_or(figures.extent_bytes),
            free_bytes: figures.extent_bytes.saturating_sub(figures.used_bytes),
            keys: figures.keys,
            readers,
            oldest_reader_lag: oldest
                .map_or(0, |oldest| figures.last_commit.saturating_sub(oldest)),
            commits,
            // The data pages, then the meta page.
            syncs: 2 * commits,
            batches: self.queue.counters().batches(),
            batches_waiting: self.queue.waiting(),
        }
    }
}

impl LmdbEngine {
    async fn clear_slice(&self, start: Vec<u8>, end: Vec<u8>, budget_bytes: usize) -> ClearReply {
        let (reply, answer) = oneshot::channel();
        let job = Job::Clear { start, end, budget_bytes, reply };
        self.queue
            .push(job, Urgency::Background)
            .map_err(|refusal: QueueRefusal| refusal.to_string())?;
        answer.await.unwrap_or_else(|_| Err("the committer ended without an answer".to_owned()))
    }
}

impl Drop for LmdbEngine {
    fn drop(&mut self) {
        self.queue.close();
        let thread = self.committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A committer that panicked has said so already, and answers nobody any more.
            drop(thread.join());
        }
    }
}
