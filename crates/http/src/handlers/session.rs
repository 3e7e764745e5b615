//! `_session`: who is signed in, signing in for a session, and out of it; and the cookie's form.
//!
//! Source: `couch_httpd_auth:handle_session_req/2`, `mochiweb_cookies:cookie/3`. Different here: `next`
//! and `fail` lead only to paths of this server.

use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use settle_access::Actor;
use settle_accounts::SignInError;

use crate::{
    audit::SignIn,
    call::{Call, from_json},
    error::{ApiError, Code},
    limits,
    parameters::Query,
    reply,
    state::AppState,
};

const NAME: &str = "AuthSession";

/// The text of a session's cookie, if there is one.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers.get_all(header::COOKIE).into_iter().find_map(|value| {
        value.to_str().ok()?.split(';').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let value = value.trim().trim_matches('"');
            (name.trim() == NAME && !value.is_empty()).then_some(value)
        })
    })
}

/// The header that hands a session's cookie out; an empty text takes it back. One that was handed out
/// under TLS never travels without.
pub(crate) fn set_cookie(state: &AppState, secure: bool, cookie: &str) -> HeaderValue {
    let timeout = state.site.accounts.session_timeout();
    let expires = settle_model::date::cookie(state.site.clock.now().plus(timeout));
    let age = timeout.as_secs();
    let live = state.settings.live();
    let domain = match live.cookie_domain.as_str() {
        "" => String::new(),
        domain => format!("; Domain={domain}"),
    };
    // Browsers take `None` under TLS alone, and another site's pages have no business without.
    let same_site = if live.same_site == "None" && !secure { "Lax" } else { live.same_site };
    let secure = if secure { "; Secure" } else { "" };
    let text = format!(
        "{NAME}={cookie}; Version=1; Expires={expires}; Max-Age={age}; Path=/{domain}; HttpOnly; \
         SameSite={same_site}{secure}"
    );
    HeaderValue::try_from(text).expect("cookies are base64, dates and domains ASCII")
}

#[derive(Serialize)]
struct Who<'a> {
    ok: bool,
    #[serde(rename = "userCtx")]
    user: User<'a>,
    info: How,
}

#[derive(Serialize)]
struct User<'a> {
    name: Option<&'a str>,
    roles: &'a [String],
}

#[derive(Serialize)]
struct How {
    authentication_handlers: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticated: Option<&'static str>,
}

#[derive(Serialize)]
struct SignedIn<'a> {
    ok: bool,
    name: &'a str,
    roles: &'a [String],
}

/// `GET /_session`
pub(crate) async fn show(call: Call) -> Result<Response, ApiError> {
    let user = user(&call.actor);
    if user.name.is_none() && call.query().is_true("basic") {
        return Err(ApiError::new(Code::Unauthorized, "Please login."));
    }
    let mut handlers = vec!["cookie", "default"];
    let accounts = &call.app.site.accounts;
    handlers.extend(accounts.takes_jwts().then_some("jwt"));
    handlers.extend(accounts.takes_proxies().then_some("proxy"));
    let info = How { authentication_handlers: handlers, authenticated: call.signed_in_by };
    Ok(reply::json(StatusCode::OK, &Who { ok: true, user, info }))
}

/// Whether an attempt was accepted; `None` where that is not decided.
pub(crate) fn outcome_of<T>(outcome: &Result<T, SignInError>) -> Option<bool> {
    match outcome {
        Ok(_) => Some(true),
        Err(
            SignInError::Incorrect
            | SignInError::Suspended { .. }
            | SignInError::LockedOut { .. }
            | SignInError::Token
            | SignInError::Jwt(_),
        ) => Some(false),
        Err(SignInError::Busy | SignInError::Storage { .. }) => None,
    }
}

/// `POST /_session`
pub(crate) async fn open(mut call: Call) -> Result<Response, ApiError> {
    let Credentials { name, password, token } = credentials(&mut call).await?;
    let accounts = &call.app.site.accounts;
    let outcome =
        accounts.open_session_with(&name, &password, token.as_deref(), call.client()).await;
    if let Some(accepted) = outcome_of(&outcome) {
        call.app.note_sign_in(&SignIn::new(&name, "session", accepted), &call.cause());
    }
    match outcome {
        Ok((cookie, actor)) => {
            let User { name, roles } = user(&actor);
            let name = name.unwrap_or_default();
            let body = SignedIn { ok: true, name, roles };
            let mut response = reply::json(StatusCode::OK, &body);
            let cookie = set_cookie(&call.app, call.is_secure(), &cookie);
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            redirect(&call, "next", &mut response);
            Ok(response)
        }
        Err(error @ SignInError::Incorrect) => {
            let mut response = ApiError::from(error).into_response();
            response
                .headers_mut()
                .insert(header::SET_COOKIE, set_cookie(&call.app, call.is_secure(), ""));
            redirect(&call, "fail", &mut response);
            Ok(response)
        }
        Err(
            error @ (SignInError::Busy
            | SignInError::Suspended { .. }
            | SignInError::LockedOut { .. }
            | SignInError::Token
            | SignInError::Jwt(_)
            | SignInError::Storage { .. }),
        ) => Err(error.into()),
    }
}

/// `DELETE /_session`
pub(crate) async fn close(call: Call) -> Result<Response, ApiError> {
    let mut response = reply::ok(StatusCode::OK);
    response.headers_mut().insert(header::SET_COOKIE, set_cookie(&call.app, call.is_secure(), ""));
    redirect(&call, "next", &mut response);
    Ok(response)
}

fn user(actor: &Actor) -> User<'_> {
    match actor {
        Actor::Anonymous => User { name: None, roles: &[] },
        Actor::User { name, roles, .. } => User { name: Some(name), roles },
    }
}

/// Leads on to the path that a parameter names. A path alone, so that a link to this server cannot
/// lead to another.
fn redirect(call: &Call, parameter: &str, response: &mut Response) {
    let Some(to) = call.query().get(parameter) else { return };
    let is_path = to.starts_with('/') && !to.starts_with("//") && !to.contains('\\');
    if !is_path {
        return;
    }
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(header::LOCATION, call.absolute(&to));
}

struct Credentials {
    name: String,
    password: String,
    /// The digits of a second factor.
    token: Option<String>,
}

/// As a form of a page sends them, or as JSON.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Form {
    name: Option<String>,
    username: Option<String>,
    password: String,
    token: Option<String>,
}

async fn credentials(call: &mut Call) -> Result<Credentials, ApiError> {
    const FORM: &str = "application/x-www-form-urlencoded";
    let is_form = call.require_type(FORM).is_ok();
    if !is_form && call.require_json().is_err() {
        return Err(ApiError::content_type(&format!("'{FORM}' or 'application/json'")));
    }
    let bytes = call.bytes(limits::CREDENTIALS_MAX).await?;
    let form = if is_form {
        form(&bytes)?
    } else {
        from_json(&bytes, "name and password must be strings in a JSON object")?
    };
    let name = match (form.name, form.username) {
        (None, None) => {
            return Err(ApiError::bad_request("request body must contain a username"));
        }
        (Some(name), Some(other)) if name != other => {
            return Err(ApiError::bad_request("request body contains different usernames"));
        }
        (Some(name), _) | (None, Some(name)) => name,
    };
    Ok(Credentials { name, password: form.password, token: form.token })
}

fn form(bytes: &[u8]) -> Result<Form, ApiError> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|_| ApiError::bad_request("the form is not UTF-8"))?;
    let mut form = Form::default();
    for (name, value) in Query::new(text).pairs() {
        match &*name {
            "name" => form.name = Some(value.into_owned()),
            "username" => form.username = Some(value.into_owned()),
            "password" => form.password = value.into_owned(),
            "token" => form.token = Some(value.into_owned()),
            _ => {}
        }
    }
    Ok(form)
}
