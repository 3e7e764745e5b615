//! Indexes created and deleted: design documents written.

use settle_access::{Administer, Grant, Write};
use settle_database::{
    Atomicity, Content, Database, Edit, EditError, GetError, Origin, Revision, Select,
    StorageError, Verdict,
};
use settle_model::id::{DocumentId, DocumentIdError};
use settle_query::{
    design::{self, DesignError},
    mango::{DesignEdit, Index, IndexCreation, MangoError, without_index},
};
use thiserror::Error;

use crate::Indexes;

/// Why an index was not created or deleted.
#[derive(Debug, Error)]
pub enum DefinitionError {
    #[error(transparent)]
    Request(#[from] MangoError),
    #[error("the design document cannot have this name")]
    Name(#[from] DocumentIdError),
    #[error("there is no such index")]
    Missing,
    /// The design document would not be one that can be saved.
    #[error(transparent)]
    Design(#[from] DesignError),
    /// Somebody else changed the design document.
    #[error("the design document was not written")]
    Edit(#[from] EditError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Which index is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexDeletion<'a> {
    /// The one of this name.
    Named(&'a str),
    /// All of the design document.
    All,
}

impl Indexes {
    /// Writes the design document of an index; whether it was not there yet.
    pub async fn create_index(
        &self,
        database: &Database,
        grant: &Grant<Administer>,
        creation: &IndexCreation,
    ) -> Result<bool, DefinitionError> {
        let id: DocumentId = creation.ddoc.parse()?;
        let present = present(database, grant, &id).await?;
        let body = present.as_ref().map(|it| &*it.body);
        match creation.edit(body)? {
            DesignEdit::Unchanged => Ok(false),
            DesignEdit::Delete => unreachable!("no index is created by deleting one"),
            DesignEdit::Write(body) => {
                let internal = grant.internally("whether indexes have partitions");
                let partitioned = database.info(&internal).await?.partitioned;
                design::check_save(&body, partitioned)?;
                write(database, grant, id, present, Some(body)).await?;
                Ok(true)
            }
        }
    }

    /// Takes indexes out of a design document, and deletes it if nothing is left in it.
    pub async fn delete_index(
        &self,
        database: &Database,
        grant: &Grant<Administer>,
        ddoc: &str,
        which: IndexDeletion<'_>,
    ) -> Result<(), DefinitionError> {
        let internal = grant.internally("which indexes there are");
        let all = self.mango_indexes(database, &internal).await?;
        let names: Vec<_> = all
            .iter()
            .filter(|index| match (&***index, which) {
                (Index::AllDocs | Index::Conflicts, _) => false,
                (Index::Json(index), IndexDeletion::Named(name)) => {
                    index.ddoc == ddoc && index.name == name
                }
                (Index::Json(index), IndexDeletion::All) => index.ddoc == ddoc,
            })
            .map(|index| index.name().to_owned())
            .collect();
        if names.is_empty() {
            return Err(DefinitionError::Missing);
        }
        let id: DocumentId = ddoc.parse()?;
        let present = present(database, grant, &id).await?.ok_or(DefinitionError::Missing)?;
        let mut body = Some(present.body.to_vec());
        for name in names {
            let Some(left) = body else { break };
            body = match without_index(&left, &name).ok_or(DefinitionError::Missing)? {
                DesignEdit::Unchanged => Some(left),
                DesignEdit::Write(body) => Some(body),
                DesignEdit::Delete => None,
            };
        }
        write(database, grant, id, Some(present), body).await
    }
}

/// The design document as it is; `None` if it is not there or deleted.
async fn present(
    database: &Database,
    grant: &Grant<Administer>,
    id: &DocumentId,
) -> Result<Option<Revision>, StorageError> {
    let internal = grant.internally("a design document before it is changed");
    match database.get(&internal, id, &Select::Winner, settle_database::Extras::default()).await {
        Ok(revision) => Ok(Some(revision)),
        Err(GetError::Missing | GetError::Deleted) => Ok(None),
        Err(GetError::Storage(error)) => Err(error),
    }
}

/// `None` deletes it.
async fn write(
    database: &Database,
    grant: &Grant<Administer>,
    id: DocumentId,
    present: Option<Revision>,
    body: Option<Vec<u8>>,
) -> Result<(), DefinitionError> {
    let write: Grant<Write> = grant.internally("who administers a database may write its indexes");
    let deleted = body.is_none();
    let attachments = Vec::new();
    let content = Content::Whole { body: body.unwrap_or_else(|| b"{}".to_vec()), attachments };
    let origin = Origin::Interactive { base: present.map(|it| it.rev), must_exist: deleted };
    // Design documents are not validated.
    let edit = Edit { id, origin, deleted, content, verdict: Verdict::NONE };
    let mut results = database.write(&write, vec![edit], Atomicity::EachAlone).await?;
    results.pop().expect("every edit has its result")?;
    Ok(())
}
