//! A view of a design document, and waiting until it shows what it should.

mod read;

use std::sync::Arc;

use settle_database::{Database, RecordError, StorageError};
use settle_engine::Engine;
use settle_model::sequence::SequenceToken;
use settle_query::{
    collate::Collation,
    design::{Design, DesignError, IndexDefinition, ReduceSource, ViewPlace},
    reduce::ReduceError,
};
use settle_script::ScriptError;
use thiserror::Error;

use crate::{
    designs::DesignEntry,
    indexes::Indexes,
    sort::SortError,
    tree::{Tree, TreeError},
};

/// How fresh an answer shall be: `update=`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Update {
    /// As fresh as the database was when the request came; waits.
    #[default]
    Wait,
    /// As the index is; it is brought up to date afterwards.
    Lazy,
    /// As the index is.
    No,
}

/// One view (or Mango index) of one design document, not yet ready to be read.
#[derive(Debug, Clone)]
pub struct View {
    pub(crate) indexes: Indexes,
    pub(crate) database: Database,
    pub(crate) entry: Arc<DesignEntry>,
    pub(crate) definition: Arc<IndexDefinition>,
    pub(crate) name: Arc<str>,
    pub(crate) place: ViewPlace,
}

/// A view that can be read: rows of one index, at or behind what was asked for. The index stays as
/// long as this lives, but goes on following the database: each read shows it as it is then.
#[derive(Debug, Clone)]
pub struct ReadyView {
    pub(crate) indexes: Indexes,
    pub(crate) number: u64,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) tree: Tree,
    /// The rows of other leaves, in an index that keeps them.
    pub(crate) leaves: Option<Tree>,
    pub(crate) definition: Arc<IndexDefinition>,
    pub(crate) place: ViewPlace,
    pub(crate) database: Database,
    pub(crate) sequence: u64,
    /// The rows are not cleared while somebody holds it.
    pub(crate) _lease: Arc<()>,
}

/// Why a view does not answer. Cheap to clone: one failure may end many requests that waited for it.
#[derive(Debug, Clone, Error)]
pub enum ViewError {
    #[error("there is no design document {design}")]
    DesignMissing { design: String },
    #[error("design document {design} is deleted")]
    DesignDeleted { design: String },
    #[error("design document {design} has no view {view}")]
    ViewMissing { design: String, view: String },
    /// A language that the server does not run.
    #[error("unknown query language \"{language}\"")]
    UnknownLanguage { language: String },
    #[error("design document {design} cannot be used")]
    Design { design: String, source: Arc<DesignError> },
    /// A function of the view does not compile, does not end or asks for too much.
    #[error("a function of the view failed")]
    Script(#[from] ScriptError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The rows of the index could not be read or written.
    #[error(transparent)]
    Tree(TreeError),
    /// A stored record of the index is not what was written, or cannot be understood. Whoever meets it has the
    /// index built again.
    #[error("the index is damaged: {reason}")]
    Damaged { reason: String },
    /// A file of a build could not be written or read.
    #[error("a file of the index's build failed: {reason}")]
    Files { reason: String },
    #[error("the index could not be brought up to date: {reason}")]
    Update { reason: String },
    #[error("the server stops")]
    Closed,
}

impl From<SortError> for ViewError {
    fn from(error: SortError) -> Self {
        let source = std::error::Error::source(&error);
        let reason = source.map_or_else(|| error.to_string(), |it| format!("{error}: {it}"));
        match error {
            SortError::Write { .. } | SortError::Read { .. } => Self::Files { reason },
            SortError::Damaged { .. } => Self::Damaged { reason },
        }
    }
}

impl From<RecordError> for ViewError {
    fn from(error: RecordError) -> Self {
        Self::Storage(error.into())
    }
}

impl From<TreeError> for ViewError {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Script(error) => Self::Script(error),
            TreeError::Read(error) => Self::Storage(StorageError::Read(error)),
            TreeError::Damaged(_)
            | TreeError::Malformed { .. }
            | TreeError::Reduce(ReduceError::Damaged)
            | TreeError::Disorder => Self::Damaged { reason: error.to_string() },
            error @ TreeError::Reduce(_) => Self::Tree(error),
        }
    }
}

impl ViewError {
    /// What went wrong with a record of the index itself, and not of a document.
    pub(crate) fn of_index(error: StorageError) -> Self {
        if let StorageError::Record(error) = error {
            return Self::Damaged { reason: error.to_string() };
        }
        Self::Storage(error)
    }
}

impl View {
    pub fn design(&self) -> &Design {
        &self.entry.design
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn collation(&self) -> Collation {
        self.definition.maps[self.place.map].collation
    }

    /// Whether its rows stand under their partitions, so that a query has to name one.
    pub fn is_partitioned(&self) -> bool {
        self.definition.partitioned
    }

    pub fn reducer(&self) -> Option<&ReduceSource> {
        reducer(&self.definition, self.place)
    }

    /// Waits until the index is as fresh as asked, and gives what can be read.
    ///
    /// While a changed definition builds, `Lazy` and `No` are answered from the index of the old
    /// one, as long as it has a view of this name that is asked in the same way.
    pub async fn ready(&self, update: Update) -> Result<ReadyView, ViewError> {
        self.indexes.ready(self, update).await
    }
}

impl ReadyView {
    pub fn reducer(&self) -> Option<&ReduceSource> {
        reducer(&self.definition, self.place)
    }

    pub fn collation(&self) -> Collation {
        self.definition.maps[self.place.map].collation
    }

    pub fn is_partitioned(&self) -> bool {
        self.definition.partitioned
    }

    /// What the index had reached when it was found ready.
    pub fn sequence(&self) -> SequenceToken {
        self.database.token(self.sequence)
    }

    pub fn database(&self) -> &Database {
        &self.database
    }
}

fn reducer(definition: &IndexDefinition, place: ViewPlace) -> Option<&ReduceSource> {
    definition.maps[place.map].reducers.get(place.reducer?)
}
