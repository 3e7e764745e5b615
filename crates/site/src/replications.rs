//! Documents of databases of replications, as they may be stored. The rules are those of `sync`.

use settle_access::{Actor, Administer, Grant, authorize};
use settle_database::{Content, Database, Edit, Origin};
use settle_sync::document::{Author, Proposed, may_change, prepare};

use crate::{Site, write::PrepareError};

impl Site {
    pub(crate) async fn prepare_replication(
        &self,
        actor: &Actor,
        database: &Database,
        edit: Edit,
    ) -> Result<Edit, PrepareError> {
        let Edit { id, origin, deleted, content, verdict } = edit;
        let administers: Result<Grant<Administer>, _> = authorize(actor, &database.resource());
        let by = Author {
            name: actor.name().unwrap_or_default(),
            is_server_admin: actor.is_server_admin(),
            administers: administers.is_ok(),
        };
        let before = self.document_now(database, &id).await?;
        if let (Some(before), Origin::Interactive { base: Some(base), .. }) = (&before, &origin)
            && before.rev != *base
            && !by.is_server_admin
        {
            // What another branch says of its owner is not what counts.
            return Err(PrepareError::Conflict);
        }
        let before = before.as_ref().map(|it| &*it.body);
        let content = match content {
            Content::Whole { body, attachments } => {
                let replicated = matches!(origin, Origin::Replicated { .. });
                let (database, id) = (database.number(), id.as_str());
                let proposed = Proposed { database, id, deleted, body: &body, replicated };
                let body = prepare(by, proposed, before, &self.sealer, &*self.entropy)?;
                Content::Whole { body, attachments }
            }
            content @ Content::Attachment { .. } => {
                if let Some(before) = before {
                    may_change(by, before, false)?;
                }
                content
            }
        };
        Ok(Edit { id, origin, deleted, content, verdict })
    }
}
