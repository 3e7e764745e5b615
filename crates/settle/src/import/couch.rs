//! Requests to a server that speaks CouchDB's protocol: either end of an import.
//!
//! Credentials go into a header and nowhere else: what is shown of a server is its address.

use std::{error::Error as _, fmt};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::{Method, StatusCode, header, redirect};
use rustls::ClientConfig;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use thiserror::Error;

use crate::{
    config::Secret,
    limits::{IMPORT_CONNECT_PATIENCE, IMPORT_PATIENCE, IMPORT_REPLY_BYTES_MAX},
    load::Identity,
};

/// Which end it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Source,
    Target,
}

/// A server, and who we are there.
pub struct Couch {
    http: reqwest::Client,
    /// Without a slash at the end, and without credentials.
    base: String,
    role: Role,
    identity: Identity,
}

#[derive(Debug, Error)]
pub enum CouchUrlError {
    /// The text may hold a password, so it is not shown.
    #[error("this is no URL of a server; expected one like http://127.0.0.1:5984")]
    NotAUrl,
    #[error("{base} is no URL of a server: `?` and `#` have no place in it")]
    MoreThanAServer { base: String },
    #[error("prepare connections")]
    Client(#[source] reqwest::Error),
}

#[derive(Debug, Error)]
pub enum CallError {
    #[error("reach {base}")]
    Unreachable { base: String, source: reqwest::Error },
    #[error("{base} answered {status} {error}: {reason}{hint}")]
    Refused { base: String, status: u16, error: String, reason: String, hint: &'static str },
    #[error("the answer of {base} cannot be read")]
    Garbled { base: String, source: serde_json::Error },
    #[error("the answer of {base} has more than {IMPORT_REPLY_BYTES_MAX} bytes")]
    TooLong { base: String },
}

/// What a request carries.
#[derive(Debug)]
pub(super) enum Body<'a> {
    None,
    Json(&'a [u8]),
}

#[derive(Debug, Default, Deserialize)]
struct Failure {
    #[serde(default)]
    error: String,
    #[serde(default)]
    reason: Value,
}

impl Couch {
    pub(super) fn new(
        url: &str,
        identity: Identity,
        role: Role,
        tls: &ClientConfig,
    ) -> Result<Self, CouchUrlError> {
        let mut url: reqwest::Url = url.parse().map_err(|_| CouchUrlError::NotAUrl)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(CouchUrlError::NotAUrl);
        }
        let text = |it: &str| percent_decode_str(it).decode_utf8_lossy().into_owned();
        let (name, password) = (text(url.username()), url.password().map(text));
        let identity = match password {
            Some(password) => Identity::Password { name, password: Secret::new(password) },
            None => identity,
        };
        url.set_username("").and_then(|()| url.set_password(None)).expect("it has a host");
        let base = url.as_str().trim_end_matches('/').to_owned();
        if url.query().is_some() || url.fragment().is_some() {
            url.set_query(None);
            url.set_fragment(None);
            return Err(CouchUrlError::MoreThanAServer { base: url.into() });
        }
        // No proxy and no redirects: credentials go to the server that was named, and to nobody else.
        let http = reqwest::Client::builder()
            .user_agent(concat!("Settle/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls.clone())
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(IMPORT_CONNECT_PATIENCE)
            .build()
            .map_err(CouchUrlError::Client)?;
        Ok(Self { http, base, role, identity })
    }

    /// Its address, as it is shown.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A database of this server as an endpoint of a replication that another one runs.
    pub(super) fn endpoint(&self, database: &str) -> Value {
        let url = format!("{}/{}", self.base, encoded(database));
        match &self.identity {
            Identity::Password { name, password } => {
                let basic = json!({ "username": name, "password": password.reveal() });
                json!({ "url": url, "auth": { "basic": basic } })
            }
            Identity::Session(_) | Identity::Nobody => json!(url),
        }
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, CallError> {
        self.call(Method::GET, path, query, Body::None).await
    }

    /// A request that is answered soon.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Body<'_>,
    ) -> Result<T, CallError> {
        let asked = self.request(method, path, query, body).timeout(IMPORT_PATIENCE);
        self.answer(asked).await
    }

    /// A request that is answered when it is done, however long that takes.
    pub(super) async fn wait_for<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &[u8],
    ) -> Result<T, CallError> {
        self.answer(self.request(Method::POST, path, &[], Body::Json(body))).await
    }

    fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Body<'_>,
    ) -> reqwest::RequestBuilder {
        let mut url = self.base.clone();
        if path.is_empty() {
            url.push('/');
        }
        for segment in path {
            url.push('/');
            url.push_str(&encoded(segment).to_string());
        }
        for (at, (name, value)) in query.iter().enumerate() {
            url.push(if at == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            url.push_str(&encoded(value).to_string());
        }
        let asked = self.http.request(method, url).header(header::ACCEPT, "application/json");
        let asked = match &self.identity {
            Identity::Password { name, password } => {
                let pair = BASE64_STANDARD.encode(format!("{name}:{}", password.reveal()));
                asked.header(header::AUTHORIZATION, format!("Basic {pair}"))
            }
            Identity::Session(cookie) => asked.header(header::COOKIE, cookie.reveal()),
            Identity::Nobody => asked,
        };
        match body {
            Body::None => asked,
            Body::Json(text) => {
                asked.header(header::CONTENT_TYPE, "application/json").body(text.to_vec())
            }
        }
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        asked: reqwest::RequestBuilder,
    ) -> Result<T, CallError> {
        let base = || self.base.clone();
        let unreachable = |error: reqwest::Error| CallError::Unreachable {
            base: base(),
            source: error.without_url(),
        };
        let mut response = asked.send().await.map_err(unreachable)?;
        let status = response.status();
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if text.len() + chunk.len() > IMPORT_REPLY_BYTES_MAX {
                return Err(CallError::TooLong { base: base() });
            }
            text.extend_from_slice(&chunk);
        }
        if status.is_success() {
            let garbled = |source| CallError::Garbled { base: base(), source };
            return serde_json::from_slice(&text).map_err(garbled);
        }
        let Failure { error, reason } = serde_json::from_slice(&text).unwrap_or_default();
        let reason = if reason.is_null() { String::new() } else { as_text(&reason) };
        let hint = if status == StatusCode::UNAUTHORIZED { self.role.hint() } else { "" };
        Err(CallError::Refused { base: base(), status: status.as_u16(), error, reason, hint })
    }
}

impl Role {
    fn hint(self) -> &'static str {
        match self {
            Self::Source => " (COUCHDB_USER and COUCHDB_PASSWORD, or the URL, say who asks)",
            Self::Target => " (SETTLE_ADMIN_USER and SETTLE_ADMIN_PASSWORD say who asks)",
        }
    }
}

impl CallError {
    /// With its causes, on one line.
    pub(super) fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// Without credentials.
impl fmt::Debug for Couch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Couch").field("base", &self.base).finish_non_exhaustive()
    }
}

/// As one segment of a path, or one value of a query.
fn encoded(text: &str) -> impl fmt::Display {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.');
    utf8_percent_encode(text, KEPT)
}

/// A text as it is; anything else as JSON. Sequences are numbers, texts or arrays, as old as a server is.
pub(super) fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts have a JSON form")
}
