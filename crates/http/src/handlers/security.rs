//! What a database's admins set: who may do what, and how much is remembered.
//!
//! Source: `chttpd_db:db_req/2`; `couch_db:validate_security_object/1`, whose reasons these are.
//! CouchDB answers some of these mistakes with 500.

use std::num::NonZeroU32;

use axum::response::Response;
use http::StatusCode;
use settle_access::{Administer, Read};
use settle_model::{id::AccountName, json};

use crate::{
    call::Call,
    error::{ApiError, Code},
    limits,
    open::open,
    reply,
};

/// What holds while nobody has set anything: admins only.
const DEFAULT: &str =
    "{\"members\":{\"roles\":[\"_admin\"]},\"admins\":{\"roles\":[\"_admin\"]}}\n";

/// `GET /{db}/_security`
pub(crate) async fn show(call: Call) -> Result<Response, ApiError> {
    let (database, _) = open::<Read>(&call).await?;
    Ok(match database.security() {
        None => match database.name().account() {
            None => reply::json_text(StatusCode::OK, DEFAULT),
            Some(owner) => reply::json_text(StatusCode::OK, default_of(&owner)),
        },
        Some(mut text) => {
            text.push(b'\n');
            reply::json_text(StatusCode::OK, text)
        }
    })
}

/// `PUT /{db}/_security`
pub(crate) async fn put(mut call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Administer>(&call).await?;
    if database.name().as_str().rsplit('/').next() == Some("_users") {
        let reason = "You can't edit the security object of the user database.";
        return Err(ApiError::new(Code::Forbidden, reason));
    }
    let text = call.bytes(limits::SMALL_BODY_MAX).await?;
    let object = json::minify(&text)
        .map_err(|error| ApiError::bad_request(error.reason().into_owned()))?
        .into_owned();
    check(&object)?;
    database.set_security(&grant, object).await?;
    Ok(reply::ok(StatusCode::OK))
}

/// What holds for a database of an account: its owner alone.
fn default_of(owner: &AccountName) -> Vec<u8> {
    let mut people = b"{\"names\":[".to_vec();
    json::write_string(&mut people, owner.as_str());
    people.extend_from_slice(b"],\"roles\":[\"_admin\"]}");
    let mut object = b"{\"members\":".to_vec();
    object.extend_from_slice(&people);
    object.extend_from_slice(b",\"admins\":");
    object.extend_from_slice(&people);
    object.extend_from_slice(b"}\n");
    object
}

/// Whether it is a security object.
pub(super) fn check(object: &[u8]) -> Result<(), ApiError> {
    if !object.starts_with(b"{") {
        return Err(ApiError::bad_request("Request body must be a JSON object"));
    }
    for (key, value) in json::members(object) {
        // `readers` is what members were called once.
        if matches!(&*json::unescape(key), "admins" | "members" | "readers") {
            check_people(value)?;
        }
    }
    Ok(())
}

fn check_people(people: &[u8]) -> Result<(), ApiError> {
    if !people.starts_with(b"{") {
        let reason = "admins or members must be a JSON object with names and roles";
        return Err(ApiError::bad_request(reason));
    }
    for (key, value) in json::members(people) {
        let reason = match &*json::unescape(key) {
            "names" => "names must be a JSON list of strings",
            "roles" => "roles must be a JSON list of strings",
            _ => continue,
        };
        let is_text = |value: &[u8]| value.starts_with(b"\"");
        if !value.starts_with(b"[") || !json::elements(value).all(is_text) {
            return Err(ApiError::bad_request(reason));
        }
    }
    Ok(())
}

/// `GET /{db}/_revs_limit`
pub(crate) async fn revs_limit(call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Read>(&call).await?;
    Ok(reply::json(StatusCode::OK, &database.revs_limit(&grant)))
}

/// `PUT /{db}/_revs_limit`
pub(crate) async fn put_revs_limit(mut call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Administer>(&call).await?;
    let limit = limit(&mut call, "`revs_limit` must be positive integer").await?;
    database.set_revs_limit(&grant, limit).await?;
    Ok(reply::ok(StatusCode::OK))
}

/// `GET /{db}/_purged_infos_limit`
pub(crate) async fn purged_infos_limit(call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Read>(&call).await?;
    Ok(reply::json(StatusCode::OK, &database.purged_infos_limit(&grant)))
}

/// `PUT /{db}/_purged_infos_limit`
pub(crate) async fn put_purged_infos_limit(mut call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Administer>(&call).await?;
    let limit = limit(&mut call, "`purged_infos_limit` must be positive integer").await?;
    database.set_purged_infos_limit(&grant, limit).await?;
    Ok(reply::ok(StatusCode::OK))
}

async fn limit(call: &mut Call, form: &'static str) -> Result<u32, ApiError> {
    call.json::<NonZeroU32>(form).await.map(NonZeroU32::get)
}
