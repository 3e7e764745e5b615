//! Documents of the database of users, as they may be stored. The rules are those of `accounts`.

use settle_access::{Actor, Grant, Kind, Read};
use settle_accounts::{Proposed, UserError};
use settle_database::{
    Content, Database, Edit, Extras, GetError, Origin, Revision, Select, StorageError,
};
use settle_model::id::DocumentId;

use crate::{Site, write::PrepareError};

impl Site {
    /// The edit as it may be stored: checked, with hashes in the place of passwords of users, and with the
    /// credentials of replications sealed. What is written to other databases is left as it is. Every edit passes here on its way to [`write`](Self::write).
    pub async fn prepare(
        &self,
        actor: &Actor,
        database: &Database,
        edit: Edit,
    ) -> Result<Edit, PrepareError> {
        match database.protected().kind {
            Kind::Documents => return Ok(edit),
            Kind::Replicator => return self.prepare_replication(actor, database, edit).await,
            Kind::Users => {}
        }
        let Edit { id, origin, deleted, content, verdict } = edit;
        let (body, attachments) = match content {
            Content::Whole { body, attachments } => (body, attachments),
            content @ Content::Attachment { .. } => {
                return Ok(Edit { id, origin, deleted, content, verdict });
            }
        };
        let before =
            if actor.is_server_admin() { None } else { self.document_now(database, &id).await? };
        if let (Some(before), Origin::Interactive { base: Some(base), .. }) = (&before, &origin)
            && before.rev != *base
        {
            return Err(UserError::Conflict.into());
        }
        let replicated = matches!(origin, Origin::Replicated { .. });
        let proposed = Proposed { id: id.as_str(), deleted, body: &body, replicated };
        let before = before.as_ref().map(|it| &*it.body);
        let body = self.accounts.prepare_user(actor, proposed, before).await?;
        Ok(Edit { id, origin, deleted, content: Content::Whole { body, attachments }, verdict })
    }

    /// A document of the server's own databases as it is now.
    pub async fn document_now(
        &self,
        database: &Database,
        id: &DocumentId,
    ) -> Result<Option<Revision>, StorageError> {
        let grant: Grant<Read> = Grant::internal(database.resource(), "what is to be replaced");
        match database.get(&grant, id, &Select::Winner, Extras::default()).await {
            Ok(found) => Ok(Some(found)),
            Err(GetError::Missing | GetError::Deleted) => Ok(None),
            Err(GetError::Storage(error)) => Err(error),
        }
    }
}
