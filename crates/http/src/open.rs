//! The database that a path begins with, and the permission to do something with it.

use settle_access::{Action, Grant};
use settle_database::Database;
use settle_model::id::DatabaseName;

use crate::{audit, call::Call, error::ApiError};

/// The first open part of the route names the database. A name that none can have is as good as a
/// missing one.
pub(crate) async fn open<A: Action>(call: &Call) -> Result<(Database, Grant<A>), ApiError> {
    let name: DatabaseName = call.segment(0)?.parse().map_err(|_| ApiError::no_database())?;
    let database = call.app.store.find(&name).await?.ok_or_else(ApiError::no_database)?;
    let grant = call.authorize(database.resource())?;
    audit::check_action::<A>(&name)?;
    Ok((database, grant))
}
