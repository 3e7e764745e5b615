//! Documents of the database of users: what is stored of those that are sent, and what others see of one.
//!
//! The rules are those of `accounts`; every write of documents passes here on its way to the database.
//! Source: `couch_users_db.erl`.

use axum::response::Response;
use http::StatusCode;
use settle_access::{Kind, Resource};
use settle_accounts::{USER_PREFIX, UserError, public_part};
use settle_database::{Database, Edit};
use settle_model::{document::AnyRev, id::AnyId, json};

use super::named;
use crate::{call::Call, error::ApiError, reply};

/// The user whom a document stands for, in a database of users.
pub(crate) fn resource(call: &Call, database: &Database, id: &AnyId) -> Option<Resource> {
    let protected = database.protected();
    let AnyId::Document(id) = id else { return None };
    match protected.kind {
        Kind::Documents | Kind::Replicator => None,
        Kind::Users => {
            let user = id.as_str().strip_prefix(USER_PREFIX)?.to_owned();
            let sign_up = call.app.settings.live().sign_up_open;
            Some(Resource::UserDocument { database: protected, user, sign_up })
        }
    }
}

/// The edit as it may be stored, see [`settle_site::Site::prepare`].
pub(crate) async fn prepare(
    call: &Call,
    database: &Database,
    edit: Edit,
) -> Result<Edit, ApiError> {
    if database.protected().kind == Kind::Users {
        // Who may sign in, and how: recorded whoever it is that changes it.
        call.note_act();
    }
    Ok(call.app.site.prepare(&call.actor, database, edit).await?)
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
    let found = call.app.site.document_now(database, id).await?.ok_or_else(ApiError::missing)?;
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
