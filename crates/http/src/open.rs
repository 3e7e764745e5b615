//! The database that a path begins with, and the permission to do something with it.

use settle_access::{AccessError, Action, Grant, authorize};
use settle_database::Database;
use settle_model::id::{AnyId, DatabaseName};

use crate::{audit, call::Call, documents::users, error::ApiError};

/// The first open part of the route names the database. A name that none can have is as good as a
/// missing one.
pub(crate) async fn open<A: Action>(call: &Call) -> Result<(Database, Grant<A>), ApiError> {
    let database = find(call).await?;
    let grant = call.authorize(database.resource())?;
    audit::check_action::<A>(database.name())?;
    Ok((database, grant))
}

/// As [`open`], for a request that is about one document: a user may do with their own what they may
/// not do with the database of users. `id` reads the document's id.
pub(crate) async fn open_for_document<A: Action>(
    call: &Call,
    id: fn(&Call) -> Result<AnyId, ApiError>,
) -> Result<(Database, Grant<A>, AnyId), ApiError> {
    let database = find(call).await?;
    let id = id(call);
    let user = id.as_ref().ok().and_then(|id| users::resource(call, &database, id));
    let grant = match user {
        None => call.authorize(database.resource())?,
        Some(user) => match authorize(&call.actor, &user) {
            Err(AccessError::Hidden) => return Err(ApiError::missing()),
            decided => decided?,
        },
    };
    audit::check_action::<A>(database.name())?;
    Ok((database, grant, id?))
}

/// The database alone; nothing is known yet of what the one who asks may do with it.
pub(crate) async fn find(call: &Call) -> Result<Database, ApiError> {
    let name: DatabaseName = call.segment(0)?.parse().map_err(|_| ApiError::no_database())?;
    call.app.store.find(&name).await?.ok_or_else(ApiError::no_database)
}
