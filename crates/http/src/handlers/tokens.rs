//! `_tokens`: application passwords and tokens of whoever is signed in, or, for server admins, of the user
//! that the query names.
//!
//! They are managed by those who signed in as themselves: a token neither makes nor revokes tokens.

use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use settle_access::{Actor, AdministerServer, Resource, Scope};
use settle_accounts::{Most, NewToken, TokenError, TokenInfo};
use settle_model::id::DatabaseName;

use crate::{
    call::Call,
    error::{ApiError, Code},
    reply,
};

/// `GET /_tokens`
pub(crate) async fn list(call: Call) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct All {
        tokens: Vec<TokenInfo>,
    }
    let name = whose(&call)?;
    let tokens = call.app.site.accounts.tokens(&name).await?;
    Ok(reply::json(StatusCode::OK, &All { tokens }))
}

/// `POST /_tokens`
pub(crate) async fn make(mut call: Call) -> Result<Response, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        #[serde(default)]
        label: String,
        most: Most,
        databases: Option<Vec<String>>,
        expires_in_seconds: Option<u64>,
    }
    #[derive(Serialize)]
    struct Made {
        ok: bool,
        #[serde(flatten)]
        info: TokenInfo,
        token: String,
    }
    let name = whose(&call)?;
    call.require_json()?;
    let form = "expected label, most (read, write, administer or everything), maybe databases (names) \
                and expires_in_seconds";
    let Wanted { label, most, databases, expires_in_seconds } = call.json(form).await?;
    for name in databases.iter().flatten() {
        DatabaseName::from_catalog(name)?;
    }
    call.note_act();
    let now = call.app.site.clock.now().seconds();
    let expires = expires_in_seconds.map(|seconds| now.saturating_add(seconds));
    let new = NewToken { label, most, databases, expires };
    let (info, token) = call.app.site.accounts.make_token(&name, new).await?;
    Ok(reply::json(StatusCode::CREATED, &Made { ok: true, info, token }))
}

/// `DELETE /_tokens/{token}`
pub(crate) async fn revoke(call: Call) -> Result<Response, ApiError> {
    let name = whose(&call)?;
    call.note_act();
    call.app.site.accounts.revoke_token(&name, &call.segment(0)?).await?;
    Ok(reply::ok(StatusCode::OK))
}

fn whose(call: &Call) -> Result<String, ApiError> {
    let (name, scope) = match &*call.actor {
        Actor::Anonymous => {
            let reason = "You are not an authenticated user";
            return Err(ApiError::new(Code::Unauthorized, reason));
        }
        Actor::User { name, scope, .. } => (name, scope),
    };
    if *scope != Scope::Everything {
        let reason = "Tokens are managed with a password or a session, not with a token.";
        return Err(ApiError::new(Code::Forbidden, reason));
    }
    match call.query().get("user") {
        None => Ok(name.clone()),
        Some(user) if user == *name => Ok(name.clone()),
        Some(user) => {
            call.authorize::<AdministerServer>(Resource::Server)?;
            Ok(user.into_owned())
        }
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Missing => Self::missing(),
            TokenError::NoUser => Self::new(Code::NotFound, error.to_string()),
            TokenError::TooMany => Self::new(Code::Forbidden, error.to_string()),
            TokenError::Label => Self::bad_request(error.to_string()),
            TokenError::Storage(error) => error.into(),
        }
    }
}
