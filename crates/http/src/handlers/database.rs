//! A database itself: made, described, dropped, kept in order.
//!
//! Source: `chttpd_db:create_db_req/2`, `delete_db_req/2`, `handle_compact_req/2`, `db_req/2`.

use axum::response::Response;
use http::{StatusCode, header};
use serde::Serialize;
use settle_access::{Administer, AdministerServer, Grant, Read, Resource, Write};
use settle_database::CreateOptions;
use settle_model::id::DatabaseName;
use settle_site::DatabaseInfo;

use super::server::NODE;
use crate::{audit, call::Call, error::ApiError, open::open, reply};

/// The range of hashes that the one shard of a database covers.
const RANGE: &str = "00000000-ffffffff";

/// `PUT /{db}`
pub(crate) async fn create(call: Call) -> Result<Response, ApiError> {
    let (name, grant) = administer(&call)?;
    let name = name?;
    audit::check_change(&name)?;
    let partitioned = match call.query().get("partitioned").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(ApiError::bad_request("Invalid `partitioned` parameter")),
    };
    let options = CreateOptions { partitioned, ..CreateOptions::default() };
    call.app.site.create(&call.actor, &grant, &name, options).await?;
    let mut response = reply::ok(StatusCode::CREATED);
    let location = call.absolute(&format!("{}/{}", call.root(), call.raw_segment(0)));
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// `DELETE /{db}`
pub(crate) async fn remove(call: Call) -> Result<Response, ApiError> {
    let (name, grant) = administer(&call)?;
    if call.query().get("rev").is_some() {
        // The id of a document is empty in somebody's program.
        return Err(ApiError::bad_request(
            "You tried to DELETE a database with a ?=rev parameter. \
             Did you mean to DELETE a document instead?",
        ));
    }
    let name = name.map_err(|_| ApiError::no_database())?;
    audit::check_change(&name)?;
    call.app.site.store.drop(&grant, &name).await?;
    Ok(reply::ok(StatusCode::OK))
}

/// The database that is named, and the right to make and drop it: an account's owner has that for those of
/// the account.
fn administer(
    call: &Call,
) -> Result<(Result<DatabaseName, ApiError>, Grant<AdministerServer>), ApiError> {
    let name = call.segment(0).and_then(|name| call.database_name(&name));
    let server = match name.as_ref().ok().and_then(DatabaseName::account) {
        Some(account) => Resource::Account { name: account },
        None => call.server()?,
    };
    Ok((name, call.authorize(server)?))
}

/// `GET /{db}`
pub(crate) async fn info(call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Read>(&call).await?;
    let info = database.info(&grant).await?;
    Ok(reply::json(StatusCode::OK, &DatabaseInfo::new(&database, &info)))
}

/// `POST /{db}/_ensure_full_commit`: every write is synced before it is answered, so there is
/// nothing to do but to say which database this is.
pub(crate) async fn ensure_full_commit(call: Call) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Committed {
        ok: bool,
        instance_start_time: String,
    }
    call.require_json()?;
    let (database, _) = open::<Write>(&call).await?;
    let grant = call.authorize::<Read>(database.resource())?;
    let info = database.info(&grant).await?;
    let committed = Committed { ok: true, instance_start_time: info.instance_start_time() };
    Ok(reply::json(StatusCode::CREATED, &committed))
}

/// `POST /{db}/_compact`
pub(crate) async fn compact(call: Call) -> Result<Response, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Administer>(&call).await?;
    database.compact_later(&grant);
    Ok(reply::ok(StatusCode::ACCEPTED))
}

/// `POST /{db}/_search_cleanup` and its like: there are no such indexes.
pub(crate) async fn clean_up(call: Call) -> Result<Response, ApiError> {
    open::<Administer>(&call).await?;
    Ok(reply::ok(StatusCode::ACCEPTED))
}

/// `GET /{db}/_shards`
pub(crate) async fn shards(call: Call) -> Result<Response, ApiError> {
    open::<Read>(&call).await?;
    let shards = format!("{{\"shards\":{{\"{RANGE}\":[\"{NODE}\"]}}}}\n");
    Ok(reply::json_text(StatusCode::OK, shards))
}

/// `GET /{db}/_shards/{docid}`
pub(crate) async fn shard_of(call: Call) -> Result<Response, ApiError> {
    open::<Read>(&call).await?;
    let shard = format!("{{\"range\":\"{RANGE}\",\"nodes\":[\"{NODE}\"]}}\n");
    Ok(reply::json_text(StatusCode::OK, shard))
}

/// `POST /{db}/_sync_shards`: one shard has nothing to be synced with.
pub(crate) async fn sync_shards(call: Call) -> Result<Response, ApiError> {
    open::<Administer>(&call).await?;
    Ok(reply::ok(StatusCode::ACCEPTED))
}
