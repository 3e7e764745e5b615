//! The database that a path begins with, and the permission to do something with it.

use http::Method;
use settle_access::{AccessError, Action, Grant, Kind, Operation, authorize};
use settle_accounts::OwnedCreateError;
use settle_database::{CreateError, CreateOptions, Database};
use settle_model::id::{AnyId, DatabaseName};
use settle_site::NewDatabaseError;

use crate::{audit, call::Call, documents::users, error::ApiError, limits};

/// The first open part of the route names the database. A name that none can have is as good as a
/// missing one.
pub(crate) async fn open<A: Action>(call: &Call) -> Result<(Database, Grant<A>), ApiError> {
    let database = find_for::<A>(call).await?;
    let grant = call.authorize(database.resource())?;
    check_room::<A>(call, &database).await?;
    audit::check_action::<A>(database.name())?;
    Ok((database, grant))
}

/// As [`open`], for a request that is about one document: a user may do with their own what they may
/// not do with the database of users. `id` reads the document's id.
pub(crate) async fn open_for_document<A: Action>(
    call: &Call,
    id: fn(&Call) -> Result<AnyId, ApiError>,
) -> Result<(Database, Grant<A>, AnyId), ApiError> {
    let database = find_for::<A>(call).await?;
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
    check_room::<A>(call, &database).await?;
    if user_is_written::<A>(&database) && call.actor.is_server_admin() {
        call.note_act();
    }
    Ok((database, grant, id?))
}

/// Whether a user is written: for an admin, that is an act of administration.
fn user_is_written<A: Action>(database: &Database) -> bool {
    A::OPERATION == Operation::Write && database.protected().kind == Kind::Users
}

/// Refuses a large body before it is read, where the account has no room for anything. What a small one
/// adds is seen when it has been read: it may be a deletion, and that goes on.
async fn check_room<A: Action>(call: &Call, database: &Database) -> Result<(), ApiError> {
    let adds = A::OPERATION == Operation::Write && call.parts.method != Method::DELETE;
    if let (true, Some(owner)) = (adds, &database.protected().owner)
        && call.announced_bytes().is_none_or(|bytes| bytes > limits::SMALL_BODY_MAX as u64)
    {
        call.app.site.accounts.check_room(owner).await?;
    }
    Ok(())
}

/// The database alone; nothing is known yet of what the one who asks may do with it.
pub(crate) async fn find(call: &Call) -> Result<Database, ApiError> {
    let name = name(call)?;
    call.app.site.store.find(&name).await?.ok_or_else(ApiError::no_database)
}

/// As [`find`], for an action. An account's database of replications is made when its owner first writes
/// to it.
async fn find_for<A: Action>(call: &Call) -> Result<Database, ApiError> {
    let name = name(call)?;
    if let Some(database) = call.app.site.store.find(&name).await? {
        return Ok(database);
    }
    let writes = A::OPERATION == Operation::Write && call.parts.method != Method::DELETE;
    let is_begun = name.account().is_some() && name.local() == "_replicator";
    if !(writes && is_begun) {
        return Err(ApiError::no_database());
    }
    let site = &call.app.site;
    let grant = site.may_administer(&call.actor, &name).map_err(|_| ApiError::no_database())?;
    match site.create(&call.actor, &grant, &name, CreateOptions::default()).await {
        // Somebody else was faster.
        Ok(())
        | Err(NewDatabaseError::Owned(OwnedCreateError::Create(CreateError::Exists { .. }))) => {
            find(call).await
        }
        Err(error) => Err(error.into()),
    }
}

fn name(call: &Call) -> Result<DatabaseName, ApiError> {
    let name = call.segment(0)?;
    call.database_name(&name).map_err(|_| ApiError::no_database())
}
