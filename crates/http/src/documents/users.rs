//! Documents of the database of users: what is stored of those that are sent, and what others see of one.
//!
//! The rules are those of `accounts`; every write of documents passes here on its way to the database.
//! Source: `couch_users_db.erl`.

use axum::response::Response;
use http::StatusCode;
use settle_access::{Grant, Kind, Read, Resource};
use settle_accounts::{Proposed, USER_PREFIX, UserError, public_part};
use settle_database::{Content, Database, Edit, Extras, GetError, Origin, Revision, Select};
use settle_model::{
    document::AnyRev,
    id::{AnyId, DocumentId},
    json,
};

use super::named;
use crate::{call::Call, error::ApiError, reply};

/// The user whom a document stands for, in a database of users.
pub(crate) fn resource(call: &Call, database: &Database, id: &AnyId) -> Option<Resource> {
    let protected = database.protected();
    let AnyId::Document(id) = id else { return None };
    match protected.kind {
        Kind::Documents => None,
        Kind::Users => {
            let user = id.as_str().strip_prefix(USER_PREFIX)?.to_owned();
            let sign_up = call.app.settings.live().sign_up_open;
            Some(Resource::UserDocument { database: protected, user, sign_up })
        }
    }
}

/// The edit as it may be stored: checked, and with hashes in the place of passwords. What is written to
/// other databases is left as it is.
pub(crate) async fn prepare(
    call: &Call,
    database: &Database,
    edit: Edit,
) -> Result<Edit, ApiError> {
    match database.protected().kind {
        Kind::Documents => return Ok(edit),
        Kind::Users => {}
    }
    // Who may sign in, and how: recorded whoever it is that changes it.
    call.note_act();
    let Edit { id, origin, deleted, content, verdict } = edit;
    let (body, attachments) = match content {
        Content::Whole { body, attachments } => (body, attachments),
        content @ Content::Attachment { .. } => {
            return Ok(Edit { id, origin, deleted, content, verdict });
        }
    };
    let before = if call.actor.is_server_admin() { None } else { present(database, &id).await? };
    if let (Some(before), Origin::Interactive { base: Some(base), .. }) = (&before, &origin)
        && before.rev != *base
    {
        return Err(ApiError::conflict());
    }
    let replicated = matches!(origin, Origin::Replicated { .. });
    let proposed = Proposed { id: id.as_str(), deleted, body: &body, replicated };
    let before = before.as_ref().map(|it| &*it.body);
    let body = call.app.accounts.prepare_user(&call.actor, proposed, before).await?;
    Ok(Edit { id, origin, deleted, content: Content::Whole { body, attachments }, verdict })
}

/// What somebody else may see of a user, where the settings name members that everybody may see. `None`
/// where the request is answered like any other.
pub(crate) async fn public(
    call: &Call,
    database: &Database,
    id: &AnyId,
) -> Result<Option<Response>, ApiError> {
    let live = call.app.settings.live();
    let Some(Resource::UserDocument { user, .. }) = resource(call, database, id) else {
        return Ok(None);
    };
    let is_own = call.actor.name() == Some(&user) || call.actor.is_server_admin();
    let (AnyId::Document(id), false, false) = (id, is_own, live.public_fields.is_empty()) else {
        return Ok(None);
    };
    let found = present(database, id).await?.ok_or_else(ApiError::missing)?;
    let part = public_part(&found.body, &live.public_fields).ok_or_else(ApiError::missing)?;
    let rev = AnyRev::from(found.rev);
    let mut text = b"{\"_id\":".to_vec();
    json::write_string(&mut text, id.as_str());
    text.extend_from_slice(b",\"_rev\":\"");
    rev.write_to(&mut text);
    text.extend_from_slice(b"\",");
    text.extend_from_slice(&part[1..]);
    text.push(b'\n');
    let mut response = reply::json_text(StatusCode::OK, text);
    response.headers_mut().insert(http::header::ETAG, named::etag(&rev));
    Ok(Some(response))
}

async fn present(database: &Database, id: &DocumentId) -> Result<Option<Revision>, ApiError> {
    let grant: Grant<Read> = Grant::internal(database.resource(), "what a user is now");
    match database.get(&grant, id, &Select::Winner, Extras::default()).await {
        Ok(found) => Ok(Some(found)),
        Err(GetError::Missing | GetError::Deleted) => Ok(None),
        Err(error @ GetError::Storage(_)) => Err(error.into()),
    }
}

impl From<UserError> for ApiError {
    fn from(error: UserError) -> Self {
        match error {
            UserError::Forbidden { reason } => Self::new(crate::error::Code::Forbidden, reason),
            UserError::Password { reason } => Self::bad_request(reason),
            UserError::Conflict => Self::conflict(),
            UserError::Storage { .. } => Self::internal(error),
            UserError::Busy => {
                Self::busy("Too many passwords are being hashed; try again in a moment.", 2)
            }
        }
    }
}
