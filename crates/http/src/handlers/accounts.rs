//! `_accounts`: how much an account keeps and may keep, and its end.

use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use settle_access::{AdministerServer, Inspect, Resource};
use settle_accounts::{AccountError, OwnedCreateError, Quota, QuotaError};
use settle_model::id::AccountName;

use crate::{
    call::Call,
    error::{ApiError, Code},
    reply,
};

/// `GET /_accounts/{name}`
pub(crate) async fn show(call: Call) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Account<'a> {
        name: &'a str,
        uuid: String,
        databases: u64,
        databases_max: u64,
        bytes: u64,
        bytes_max: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        deletes_at: Option<u64>,
    }
    let name = name(&call)?;
    call.authorize::<Inspect>(Resource::Account { name: name.clone() })?;
    let accounts = &call.app.site.accounts;
    let is_own = call.actor.name() == Some(name.as_str());
    let account = accounts.account(&name, is_own).await?.ok_or_else(ApiError::missing)?;
    let usage = accounts.usage(&name).await?;
    let shown = Account {
        name: name.as_str(),
        uuid: account.uuid,
        databases: usage.databases,
        databases_max: account.databases_max,
        bytes: usage.bytes,
        bytes_max: account.bytes_max,
        deletes_at: account.deletes_at,
    };
    Ok(reply::json(StatusCode::OK, &shown))
}

/// `PUT /_accounts/{name}`: what it may keep.
pub(crate) async fn put(mut call: Call) -> Result<Response, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        databases_max: Option<u64>,
        bytes_max: Option<u64>,
    }
    call.authorize::<AdministerServer>(Resource::Server)?;
    let name = name(&call)?;
    let Wanted { databases_max, bytes_max } =
        call.json("expected databases_max and bytes_max, numbers or null").await?;
    call.app.site.accounts.set_quota(&name, Quota { databases_max, bytes_max }).await?;
    Ok(reply::ok(StatusCode::OK))
}

/// `DELETE /_accounts/{name}`: it goes after a while.
pub(crate) async fn remove(call: Call) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Going {
        ok: bool,
        deletes_at: u64,
    }
    let name = name(&call)?;
    call.authorize::<AdministerServer>(Resource::Account { name: name.clone() })?;
    let deletes_at = call.app.site.accounts.delete_account(&name).await?;
    Ok(reply::json(StatusCode::ACCEPTED, &Going { ok: true, deletes_at }))
}

/// `POST /_accounts/{name}/_restore`: it stays after all.
pub(crate) async fn restore(call: Call) -> Result<Response, ApiError> {
    call.authorize::<AdministerServer>(Resource::Server)?;
    call.app.site.accounts.restore_account(&name(&call)?).await?;
    Ok(reply::ok(StatusCode::OK))
}

fn name(call: &Call) -> Result<AccountName, ApiError> {
    call.segment(0)?.parse().map_err(|_| ApiError::missing())
}

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Missing => Self::missing(),
            AccountError::Conflict => Self::conflict(),
            AccountError::Admin => Self::new(Code::Forbidden, error.to_string()),
            AccountError::Storage(error) => error.into(),
            AccountError::Drop(_) => Self::internal(error),
        }
    }
}

impl From<QuotaError> for ApiError {
    fn from(error: QuotaError) -> Self {
        match error {
            QuotaError::Databases { .. } => Self::new(Code::Forbidden, error.to_string()),
            QuotaError::Bytes { .. } => Self::new(Code::InsufficientStorage, error.to_string()),
            QuotaError::Storage(error) => error.into(),
        }
    }
}

impl From<OwnedCreateError> for ApiError {
    fn from(error: OwnedCreateError) -> Self {
        match error {
            OwnedCreateError::NoAccount => Self::no_database(),
            OwnedCreateError::Quota(error) => error.into(),
            OwnedCreateError::Create(error) => error.into(),
        }
    }
}
