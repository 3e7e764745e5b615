//! Finding documents by selectors: Mango's `_find`, with an index or by reading all documents.
//!
//! [`Indexes::find`] plans a request and gives a [`Finding`], which is read piece by piece: rows of an
//! index (or ids) in batches, the documents of a batch together, and of these what the selector
//! accepts. A batch is read at one moment, two batches are not. Selectors are asked outside of readers,
//! since a regular expression may take its time.
//!
//! A document that has changed since the index saw it is judged as it is now, so what is returned always
//! satisfies the selector; one that has come to satisfy it is found when the index has seen it.
//!
//! Source: CouchDB's `mango_cursor_view.erl`. Counting, groups and joins are ours.

mod changes;
mod definitions;
mod finding;
mod join;
mod reader;

use std::sync::Arc;

use settle_access::{Grant, Read};
use settle_database::{Database, Moment, PastError, StorageError};
use settle_query::{
    collate::Collation,
    design::Language,
    mango::{
        DatabaseFacts, FindRequest, Index, MangoError, NamedIndex, Plan, Purpose, explain, plan,
        sort_indexes,
    },
};
use thiserror::Error;

pub use self::{
    definitions::{DefinitionError, IndexDeletion},
    finding::{Ending, Finding, Stats},
};
use crate::{Designs, Indexes, ViewError};

/// Why nothing is found.
#[derive(Debug, Clone, Error)]
pub enum FindError {
    #[error(transparent)]
    Request(#[from] MangoError),
    #[error(transparent)]
    View(#[from] ViewError),
    #[error("this database is not partitioned")]
    NotPartitioned,
    #[error("no index exists for the join on `{field}`: create one on this field alone")]
    NoJoinIndex { field: String },
    #[error("the documents that a join puts into one document are too large")]
    JoinTooLarge,
    #[error("documents of the past cannot be joined: indexes have no versions")]
    JoinOfPast,
    #[error(transparent)]
    Past(#[from] PastError),
}

impl From<StorageError> for FindError {
    fn from(error: StorageError) -> Self {
        Self::View(error.into())
    }
}

impl Indexes {
    /// The Mango indexes of a database, that of all documents first.
    pub async fn mango_indexes(
        &self,
        database: &Database,
        grant: &Grant<Read>,
    ) -> Result<Arc<[Arc<Index>]>, StorageError> {
        let partitioned = database.info(grant).await?.partitioned;
        let designs = self.designs(database).await?;
        Ok(designs.mango(partitioned))
    }

    /// Begins to find what `request` asks for.
    pub async fn find(
        &self,
        database: &Database,
        grant: Grant<Read>,
        request: FindRequest,
    ) -> Result<Finding, FindError> {
        let (indexes, plan) = self.planned(database, &grant, &request, Purpose::Find).await?;
        Finding::begin(self, database, grant, Arc::new(request), indexes, plan, None).await
    }

    /// Begins to find it in what the database was. All documents are looked at: indexes have no versions.
    pub async fn find_at(
        &self,
        database: &Database,
        grant: Grant<Read>,
        request: FindRequest,
        moment: Moment,
    ) -> Result<Finding, FindError> {
        if !request.joins.is_empty() {
            return Err(FindError::JoinOfPast);
        }
        let partitioned = database.info(&grant).await?.partitioned;
        if request.partition.is_some() && !partitioned {
            return Err(FindError::NotPartitioned);
        }
        let indexes: Arc<[Arc<Index>]> = [Arc::new(Index::AllDocs)].into();
        let plan = plan(&request.of_documents(), &indexes, partitioned, Purpose::Find)?;
        let moment = Some(moment);
        Finding::begin(self, database, grant, Arc::new(request), indexes, plan, moment).await
    }

    /// What would be done for `request`: the reply of `_explain`.
    pub async fn explain(
        &self,
        database: &Database,
        grant: &Grant<Read>,
        request: &FindRequest,
    ) -> Result<Vec<u8>, FindError> {
        let partitioned = database.info(grant).await?.partitioned;
        let (_, plan) = self.planned(database, grant, request, Purpose::Explain).await?;
        let facts = DatabaseFacts { name: database.name().as_str(), partitioned };
        Ok(explain(request, &plan, facts))
    }

    async fn planned(
        &self,
        database: &Database,
        grant: &Grant<Read>,
        request: &FindRequest,
        purpose: Purpose,
    ) -> Result<(Arc<[Arc<Index>]>, Plan), FindError> {
        let partitioned = database.info(grant).await?.partitioned;
        if request.partition.is_some() && !partitioned {
            return Err(FindError::NotPartitioned);
        }
        let indexes = self.designs(database).await?.mango(partitioned);
        let plan = plan(&request.of_documents(), &indexes, partitioned, purpose)?;
        Ok((indexes, plan))
    }
}

impl Designs {
    /// Made when first asked for.
    fn mango(&self, partitioned_database: bool) -> Arc<[Arc<Index>]> {
        let make = || {
            let mut indexes = vec![Arc::new(Index::AllDocs)];
            for entry in self.usable().filter(|it| it.design.language == Language::Query) {
                let ddoc = format!("_design/{}", entry.name);
                let partitioned = entry.design.options.partitioned.unwrap_or(partitioned_database);
                for view in entry.design.mango_views() {
                    // Ranges are of collated values.
                    let place = entry.design.view(view.name).ok();
                    let definition = entry.index.as_ref().zip(place);
                    let collated = definition.is_some_and(|(definition, place)| {
                        definition.maps[place.map].collation == Collation::Unicode
                    });
                    let index = NamedIndex::of_view(&ddoc, view.name, view.map, partitioned);
                    indexes.extend(
                        index
                            .filter(|_| collated)
                            .map(|index| Arc::new(Index::Json(Box::new(index)))),
                    );
                }
            }
            sort_indexes(&mut indexes);
            indexes.into()
        };
        self.mango.get_or_init(make).clone()
    }
}
