//! Attachments: each content stored once, under the digest of what is stored.
//!
//! A blob is named by the BLAKE3 digest of its stored bytes ([`BlobDigest`]); CouchDB's md5 stands
//! beside it, since md5 alone would let one tenant forge another's content. Up to
//! [`limits::INLINE_BYTES_MAX`] live in the engine, larger ones in a file each.
//!
//! The life of a blob:
//! 1. [`BlobStore::upload`] takes bytes, compresses what CouchDB would compress, and ends in a
//!    [`StagedBlob`]: a file that is synced and in its place, or bytes in memory. Nothing refers to
//!    it, and it goes when it is dropped.
//! 2. A writer notes in a [`BlobPlan`] which revisions begin and cease to refer to which blobs, and
//!    adds what follows from that to its own batch. References are rows, never counters.
//! 3. The collector looks at blobs that lost a database's last reference: it condemns, waits and
//!    deletes. A new reference lifts the condemnation in the same commit that needs the blob.
//!
//! What is never true, whatever crashes when: a row that refers to a blob whose record, data or
//! file is missing. What a crash may leave is a file without a record; a sweep behind the next open
//! removes it. File names are never used twice, so removing an old file cannot hurt a newer upload.
//!
//! What this module does not know: names, content types and revisions beyond their bytes in a key.

mod collect;
mod compress;
mod count;
mod digest;
mod file;
mod folder;
mod intake;
mod keys;
pub mod limits;
mod plan;
mod read;
mod record;
mod release;
mod source;
mod staged;
mod sweep;
mod upload;

use std::{path::PathBuf, sync::Arc, time::Duration};

use settle_engine::Engine;
use settle_model::time::{Clock, Entropy};
use thiserror::Error;
use tokio::{sync::Semaphore, task::JoinHandle};

use self::folder::Folder;
pub use self::{
    collect::Collected,
    compress::{NotGzip, is_compressible},
    count::Counted,
    digest::{BlobDigest, BlobDigestError, Encoding},
    file::Damage,
    folder::FolderError,
    plan::{BlobPlan, BlobWrites, PlanError},
    read::{Blob, BlobReadError, BlobReader, Part},
    record::{BlobRecord, Place, UploadId},
    staged::StagedBlob,
    sweep::{SweepError, Swept},
    upload::{BlobWriter, Received, UploadError, UploadOptions},
};

/// What a blob store stands on.
#[derive(Debug, Clone)]
pub struct BlobStoreParts {
    pub engine: Arc<dyn Engine>,
    /// Where large blobs live; created when missing. Without one, a temporary folder that goes with
    /// the store.
    pub folder: Option<PathBuf>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub settings: BlobSettings,
}

#[derive(Debug, Clone)]
pub struct BlobSettings {
    /// How long a blob without references stays condemned before it is deleted.
    pub condemned_for: Duration,
}

impl Default for BlobSettings {
    fn default() -> Self {
        Self { condemned_for: limits::CONDEMNED_FOR_DEFAULT }
    }
}

/// All blobs of a site.
#[derive(Debug)]
pub struct BlobStore {
    engine: Arc<dyn Engine>,
    folder: Arc<Folder>,
    clock: Arc<dyn Clock>,
    settings: BlobSettings,
    /// Uploads that compress and hash at the same time.
    upload_threads: Arc<Semaphore>,
}

#[derive(Debug, Error)]
pub enum OpenError {
    #[error("the folder of attachments cannot be used")]
    Folder(#[source] FolderError),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl BlobStore {
    /// Opens the store. What an earlier run left without a record is removed once
    /// [`run_collector`](Self::run_collector) runs.
    pub async fn open(parts: BlobStoreParts) -> Result<Arc<Self>, OpenError> {
        let mut session = [0; 8];
        parts.entropy.fill(&mut session);
        let session = u64::from_be_bytes(session);
        let opened = joined(blocking(move || Folder::open(parts.folder, session)).await)?;
        let folder = opened.map_err(OpenError::Folder)?;
        Ok(Arc::new(Self {
            engine: parts.engine,
            folder: Arc::new(folder),
            clock: parts.clock,
            settings: parts.settings,
            upload_threads: Arc::new(Semaphore::new(limits::UPLOAD_THREADS_MAX)),
        }))
    }

    /// Where a blob's file stands, relative to the folder; `None` for one inside the engine. For
    /// backups.
    pub fn file_of(digest: BlobDigest, record: &BlobRecord) -> Option<PathBuf> {
        match record.place {
            Place::Inline => None,
            Place::File => Some(folder::relative_path(digest, record.upload)),
        }
    }
}

/// The runtime is shutting down and dropped a piece of blocking work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the server is stopping")]
pub struct Stopped;

/// The result of blocking work. A panic there goes on here.
fn joined<T>(result: Result<T, tokio::task::JoinError>) -> Result<T, Stopped> {
    result.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Stopped,
    })
}

/// Removes files away from a runtime's threads, since that takes a while for large ones. What a
/// stopping runtime leaves is removed by the sweep behind the next open.
fn tidy(work: impl FnOnce() + Send + 'static) {
    match tokio::runtime::Handle::try_current() {
        Ok(_) => drop(blocking(work)),
        Err(_) => work(),
    }
}

fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}
