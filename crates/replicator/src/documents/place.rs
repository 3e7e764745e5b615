//! One document, read and written by the server itself.

use settle_access::{Grant, Read, Write};
use settle_database::{
    Atomicity, AttachmentEdit, AttachmentSource, Content, Database, Edit, EditError, Extras,
    GetError, Origin, Revision, Select, StorageError, Verdict,
};
use settle_model::{id::DocumentId, revision::RevId};
use settle_site::Site;
use settle_sync::document::with_state;

use super::READS;
use crate::DocumentPlace;

/// The document as it is now.
pub(super) async fn read(
    database: &Database,
    id: &DocumentId,
) -> Result<Option<Revision>, StorageError> {
    let grant: Grant<Read> = Grant::internal(database.resource(), READS);
    match database.get(&grant, id, &Select::Winner, Extras::default()).await {
        Ok(found) => Ok(Some(found)),
        Err(GetError::Missing | GetError::Deleted) => Ok(None),
        Err(GetError::Storage(error)) => Err(error),
    }
}

/// Writes a state into a document that is still at `rev`; otherwise somebody has changed it, and what it
/// asks for now is another matter.
pub(super) async fn write_state(
    site: &Site,
    place: &DocumentPlace,
    rev: &RevId,
    state: &[(&str, Vec<u8>)],
) -> Result<(), StorageError> {
    let Some(database) = site.store.find(&place.database).await? else { return Ok(()) };
    let Ok(id) = place.id.parse::<DocumentId>() else { return Ok(()) };
    let Some(found) = read(&database, &id).await?.filter(|found| found.rev == *rev) else {
        return Ok(());
    };
    let grant: Grant<Write> =
        Grant::internal(database.resource(), "what became of a replication stands in its document");
    let attachments = found.attachments.into_iter().map(|it| AttachmentEdit {
        name: it.name,
        source: AttachmentSource::Keep,
        revpos: None,
    });
    let edit = Edit {
        id,
        origin: Origin::Interactive { base: Some(found.rev), must_exist: true },
        deleted: false,
        content: Content::Whole {
            body: with_state(&found.body, state),
            attachments: attachments.collect(),
        },
        verdict: Verdict::internal("what became of a replication is no matter of opinion"),
    };
    match database.write(&grant, vec![edit], Atomicity::EachAlone).await?.pop() {
        Some(Ok(_)) | None => Ok(()),
        // Somebody was faster.
        Some(Err(EditError::Conflict | EditError::Missing | EditError::Deleted)) => Ok(()),
        Some(Err(error)) => Err(StorageError::NotWritten { reason: error.to_string() }),
    }
}
