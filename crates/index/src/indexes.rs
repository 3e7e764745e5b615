//! All indexes of a site.

use std::{path::PathBuf, sync::Arc, time::Duration};

use settle_access::{Administer, Grant, Inspect, Read};
use settle_database::{Database, StorageError, Store};
use settle_engine::Engine;
use settle_model::{
    id::DatabaseName,
    time::{Clock, Timestamp},
};
use settle_script::Scripts;
use thiserror::Error;

use crate::{
    designs::Designs,
    limits,
    view::{ReadyView, Update, View, ViewError},
};

/// What indexes stand on.
#[derive(Debug, Clone)]
pub struct IndexParts {
    /// The second environment: nothing of documents is in it.
    pub engine: Arc<dyn Engine>,
    pub store: Store,
    pub scripts: Scripts,
    /// For the runs of builds; without one, builds sort in memory alone.
    pub folder: Option<PathBuf>,
    pub clock: Arc<dyn Clock>,
    pub settings: IndexSettings,
}

#[derive(Debug, Clone)]
pub struct IndexSettings {
    /// Bytes of rows that one build sorts in memory.
    pub build_bytes_max: usize,
    /// How long after a write its indexes are warmed; writes meanwhile are warmed together.
    pub autoupdate_delay: Duration,
}

impl Default for IndexSettings {
    fn default() -> Self {
        Self {
            build_bytes_max: limits::BUILD_BYTES_DEFAULT,
            autoupdate_delay: limits::AUTOUPDATE_DELAY_DEFAULT,
        }
    }
}

/// The indexes of one site. Clones are the same.
#[derive(Debug, Clone)]
pub struct Indexes {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    parts: IndexParts,
}

#[derive(Debug, Error)]
pub enum OpenError {
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// `_design/{name}/_info`.
#[derive(Debug, Clone)]
pub struct DesignInfo {
    pub signature: [u8; 16],
    pub language: String,
    pub sizes: IndexSizes,
    pub update_seq: u64,
    pub purge_seq: u64,
    /// Changes of the database that the index has not seen.
    pub updates_pending: u64,
    pub waiting_clients: usize,
    pub updater_running: bool,
    pub compact_running: bool,
    pub collator_versions: Vec<String>,
}

/// Bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IndexSizes {
    /// On disk, without what the engine keeps free.
    pub file: u64,
    /// Of what the rows need.
    pub active: u64,
    /// Of keys and values as JSON.
    pub external: u64,
}

/// One row of `_active_tasks`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexerTask {
    pub database: DatabaseName,
    /// `_design/{name}`; one of them, where several share the index.
    pub design_document: String,
    pub changes_done: u64,
    pub total_changes: u64,
    /// Per cent.
    pub progress: u8,
    /// When it will be done at the pace so far.
    pub estimated_end: Option<Timestamp>,
    pub started_on: Timestamp,
    pub updated_on: Timestamp,
    pub pid: String,
}

impl Indexes {
    /// Opens the indexes that the engine holds, and starts their background work.
    pub async fn open(_parts: IndexParts) -> Result<Self, OpenError> {
        unimplemented!()
    }

    /// Ends builds and updates, and waits for what is being committed. Builds go on at the next start.
    pub async fn close(&self) {
        unimplemented!()
    }

    pub fn scripts(&self) -> &Scripts {
        &self.shared.parts.scripts
    }

    /// The parsed design documents of a database, as of its present design epoch.
    pub async fn designs(&self, _database: &Database) -> Result<Arc<Designs>, StorageError> {
        unimplemented!()
    }

    /// The view of that name. `design` is what stands behind `_design/`.
    pub async fn view(
        &self,
        _database: &Database,
        _grant: &Grant<Read>,
        _design: &str,
        _view: &str,
    ) -> Result<View, ViewError> {
        unimplemented!()
    }

    pub async fn info(
        &self,
        _database: &Database,
        _grant: &Grant<Read>,
        _design: &str,
    ) -> Result<DesignInfo, ViewError> {
        unimplemented!()
    }

    /// Lets go of the indexes that no design document of the database asks for: `_view_cleanup`.
    pub async fn cleanup(
        &self,
        _database: &Database,
        _grant: &Grant<Administer>,
    ) -> Result<(), StorageError> {
        unimplemented!()
    }

    /// `_compact/{design}`: rows are kept compact always, so this only looks whether there is such a
    /// design document.
    pub async fn compact(
        &self,
        _database: &Database,
        _grant: &Grant<Administer>,
        _design: &str,
    ) -> Result<(), ViewError> {
        unimplemented!()
    }

    /// The builds and updates that are running, oldest first.
    pub fn tasks(&self, _grant: &Grant<Inspect>) -> Vec<IndexerTask> {
        unimplemented!()
    }

    pub(crate) async fn ready(
        &self,
        _view: &View,
        _update: Update,
    ) -> Result<ReadyView, ViewError> {
        unimplemented!()
    }
}
