//! `_node/{node}/_config`: settings read and changed.
//!
//! Source: `chttpd_node:handle_node_req/1`. Different here: only what the table of settings holds can be
//! changed; the rest is refused with a reason.

use axum::response::Response;
use http::{HeaderName, StatusCode};
use settle_access::{AdministerServer, Resource};

use crate::{
    call::Call,
    error::{ApiError, Code},
    handlers::node,
    reply,
    settings::SettingError,
};

const PERSIST: HeaderName = HeaderName::from_static("x-couch-persist");

/// `GET /_node/{node}/_config`
pub(crate) async fn all(call: Call) -> Result<Response, ApiError> {
    allow(&call)?;
    Ok(reply::json(StatusCode::OK, &call.app.settings.all()))
}

/// `GET /_node/{node}/_config/{section}`
pub(crate) async fn section(call: Call) -> Result<Response, ApiError> {
    allow(&call)?;
    let section = call.segment(1)?;
    Ok(reply::json(StatusCode::OK, &call.app.settings.section(&section)))
}

/// `GET /_node/{node}/_config/{section}/{key}`
pub(crate) async fn get(call: Call) -> Result<Response, ApiError> {
    allow(&call)?;
    let value = call.app.settings.get(&call.segment(1)?, &call.segment(2)?);
    let value = value.ok_or_else(|| ApiError::new(Code::NotFound, "unknown_config_value"))?;
    Ok(reply::json(StatusCode::OK, &value))
}

/// `PUT /_node/{node}/_config/{section}/{key}`: the body is the value as a JSON string, the reply is
/// the old one.
pub(crate) async fn put(mut call: Call) -> Result<Response, ApiError> {
    allow(&call)?;
    let value: String = call.json("a JSON string expected").await?;
    let (section, key) = (call.segment(1)?, call.segment(2)?);
    let old = call.app.settings.set(&section, &key, value.trim(), persists(&call)).await?;
    call.app.settings_changed();
    Ok(reply::json(StatusCode::OK, &old))
}

/// `DELETE /_node/{node}/_config/{section}/{key}`: back to the default.
pub(crate) async fn delete(call: Call) -> Result<Response, ApiError> {
    allow(&call)?;
    let (section, key) = (call.segment(1)?, call.segment(2)?);
    let old = call.app.settings.reset(&section, &key, persists(&call)).await?;
    call.app.settings_changed();
    Ok(reply::json(StatusCode::OK, &old))
}

/// `POST /_node/{node}/_config/_reload`
pub(crate) async fn reload(call: Call) -> Result<Response, ApiError> {
    allow(&call)?;
    call.app.settings.reload();
    call.app.settings_changed();
    Ok(reply::ok(StatusCode::OK))
}

fn allow(call: &Call) -> Result<(), ApiError> {
    call.authorize::<AdministerServer>(Resource::Server)?;
    node::check_name(call)
}

fn persists(call: &Call) -> bool {
    call.header(PERSIST) != Some("false")
}

impl From<SettingError> for ApiError {
    fn from(error: SettingError) -> Self {
        match error {
            SettingError::Executes | SettingError::Fixed { .. } => {
                Self::new(Code::Forbidden, error.to_string())
            }
            SettingError::Unknown { .. } | SettingError::Invalid { .. } => {
                Self::bad_request(error.to_string())
            }
            SettingError::NotSaved(cause) => Self::internal(cause),
        }
    }
}
