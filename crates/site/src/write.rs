//! Writing documents: may they be written, is there room, do the rules of their database have no objection.

use settle_access::{AccessError, Actor, Administer, Grant, Write, authorize};
use settle_accounts::{QuotaError, UserError, limits::LOCAL_BYTES_BEYOND};
use settle_database::{
    Atomicity, AttachmentSource, Content, Database, Edit, LocalError, StorageError,
};
use settle_index::lane::{Author, Once, OnceResult, WriteResult};
use settle_model::id::{DocumentId, LocalId};
use settle_sync::document::DocumentError;
use thiserror::Error;

use crate::Site;

/// Why none of the edits of a write was made.
#[derive(Debug, Error)]
pub enum WriteRefusal {
    #[error(transparent)]
    Quota(#[from] QuotaError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why an edit may not be made as it was sent.
#[derive(Debug, Error)]
pub enum PrepareError {
    #[error(transparent)]
    User(#[from] UserError),
    #[error(transparent)]
    Replication(#[from] DocumentError),
    /// It has moved on from the revision that was sent.
    #[error("somebody has changed the document")]
    Conflict,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

#[derive(Debug, Error)]
pub enum LocalWriteError {
    #[error(transparent)]
    Quota(#[from] QuotaError),
    #[error(transparent)]
    Local(#[from] LocalError),
}

impl Site {
    /// Design documents are programs, so they need more than the right to write.
    pub fn may_write(
        &self,
        actor: &Actor,
        database: &Database,
        id: &DocumentId,
    ) -> Result<(), AccessError> {
        if id.is_design() {
            authorize::<Administer>(actor, &database.resource())?;
        }
        Ok(())
    }

    /// Makes edits, if the database's design documents have no objection. Each of them is allowed by
    /// [`may_write`](Self::may_write), and as [`prepare`](Self::prepare) gave it back.
    pub async fn write(
        &self,
        actor: &Actor,
        database: &Database,
        grant: &Grant<Write>,
        edits: Vec<Edit>,
        atomicity: Atomicity,
    ) -> Result<Vec<WriteResult>, WriteRefusal> {
        self.check_room(database, &edits).await?;
        Ok(self.lanes.write(database, grant, &Author::from(actor), edits, atomicity).await?)
    }

    /// As [`write`](Self::write), of edits that one commit takes, and that may come again.
    pub async fn write_once(
        &self,
        actor: &Actor,
        database: &Database,
        grant: &Grant<Write>,
        edits: Vec<Edit>,
        how: (Atomicity, &Once),
    ) -> Result<OnceResult, WriteRefusal> {
        self.check_room(database, &edits).await?;
        Ok(self.lanes.write_once(database, grant, &Author::from(actor), edits, how).await?)
    }

    /// Makes an edit soon, and says nothing of how it fares: `batch=ok`.
    pub async fn write_later(
        &self,
        actor: &Actor,
        database: &Database,
        grant: &Grant<Write>,
        edit: Edit,
    ) -> Result<(), QuotaError> {
        let edits = vec![edit];
        self.check_room(database, &edits).await?;
        self.lanes.write_later(database, grant, Author::from(actor), edits);
        Ok(())
    }

    /// Writes a local document; the N of its new revision `0-N`.
    pub async fn put_local(
        &self,
        database: &Database,
        grant: &Grant<Write>,
        id: &LocalId,
        base: Option<u64>,
        body: &[u8],
    ) -> Result<u64, LocalWriteError> {
        self.check_room_to_read(database, body.len()).await?;
        Ok(database.put_local(grant, id, base, body).await?)
    }

    /// Refuses edits that the account of the database has no room for. Deletions always have.
    async fn check_room(&self, database: &Database, edits: &[Edit]) -> Result<(), QuotaError> {
        self.check_room_for(database, edits.iter().map(added_bytes).sum()).await
    }

    /// Refuses so many bytes more where the account of the database may not keep them. Nothing always has room.
    pub(crate) async fn check_room_for(
        &self,
        database: &Database,
        bytes: u64,
    ) -> Result<(), QuotaError> {
        match &database.protected().owner {
            Some(owner) if bytes > 0 => self.accounts.check_bytes(owner, bytes, 0).await,
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses to add so many bytes where the account of the database is more than full: what it is read
    /// with, checkpoints and definitions of indexes, it takes a little longer.
    pub async fn check_room_to_read(
        &self,
        database: &Database,
        bytes: usize,
    ) -> Result<(), QuotaError> {
        if let Some(owner) = &database.protected().owner {
            self.accounts.check_bytes(owner, bytes as u64, LOCAL_BYTES_BEYOND).await?;
        }
        Ok(())
    }
}

/// About what an edit adds: nothing where it only deletes.
fn added_bytes(edit: &Edit) -> u64 {
    match &edit.content {
        Content::Whole { body, attachments } => {
            let empties = edit.deleted && attachments.is_empty() && body == b"{}";
            let body = if empties { 0 } else { body.len() as u64 };
            body + attachments.iter().map(|it| uploaded_bytes(&it.source)).sum::<u64>()
        }
        Content::Attachment { new, .. } => new.as_ref().map_or(0, uploaded_bytes),
    }
}

fn uploaded_bytes(source: &AttachmentSource) -> u64 {
    match source {
        AttachmentSource::New { blob, .. } => blob.stored_length(),
        AttachmentSource::Keep | AttachmentSource::Stored(_) => 0,
    }
}
