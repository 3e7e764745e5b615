//! The requests that a load makes, and the server's words when it refuses.
//!
//! Plain HTTP: a load goes to this machine, or through whatever ends TLS in front of a server.

use std::{fs::File, io::Read};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use thiserror::Error;
use ureq::{
    Agent, Body,
    http::{Response, Uri, uri::InvalidUri},
};

use crate::{
    config::Secret,
    limits::{FILE_WAIT, LOAD_CONNECT_PATIENCE, LOAD_REPLY_BYTES_MAX},
};

/// A server, and who we are there.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    /// Without a slash at the end.
    base: String,
    /// The `Authorization` header, or the `Cookie` one, if we are anybody.
    identity: Option<(&'static str, Secret)>,
}

/// Who a client says it is.
#[derive(Debug, Clone)]
pub enum Identity {
    Password {
        name: String,
        password: Secret,
    },
    /// A session that this process made for itself.
    Session(Secret),
    Nobody,
}

#[derive(Debug, Error)]
pub enum ServerUrlError {
    #[error("{url} is no URL")]
    NotAUrl { url: String, source: InvalidUri },
    #[error("{url} is no URL of a server; expected one like http://127.0.0.1:5984")]
    NotHttp { url: String },
}

#[derive(Debug, Error)]
pub enum RequestError {
    #[error("reach the server at {base}")]
    Unreachable { base: String, source: ureq::Error },
    #[error("the server answered {status} {error}: {reason}{}", hint(*status))]
    Refused { status: u16, error: String, reason: String },
    #[error("the server's answer cannot be read")]
    Garbled { source: serde_json::Error },
}

/// What became of one document of a batch.
#[derive(Debug, Deserialize)]
pub(super) struct Saved {
    pub error: Option<String>,
    #[serde(default)]
    pub reason: String,
}

/// One row of `_all_docs` by key.
#[derive(Debug, Deserialize)]
pub(super) struct Current {
    pub value: Option<CurrentRevision>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CurrentRevision {
    pub rev: String,
    #[serde(default)]
    pub deleted: bool,
}

#[derive(Debug, Deserialize)]
struct Rows {
    rows: Vec<Current>,
}

#[derive(Debug, Default, Deserialize)]
struct Failure {
    #[serde(default)]
    error: String,
    #[serde(default)]
    reason: String,
}

impl Client {
    /// Credentials in `url` (`http://name:password@host`) come before `identity`.
    pub fn new(url: &str, identity: Identity) -> Result<Self, ServerUrlError> {
        let uri: Uri =
            url.parse().map_err(|source| ServerUrlError::NotAUrl { url: url.into(), source })?;
        let not_http = || ServerUrlError::NotHttp { url: url.into() };
        if uri.scheme_str() != Some("http") {
            return Err(not_http());
        }
        let authority = uri.authority().ok_or_else(not_http)?.as_str();
        let (identity, host) = match authority.rsplit_once('@') {
            None => (identity, authority),
            Some((credentials, host)) => {
                let (name, password) = credentials.split_once(':').ok_or_else(not_http)?;
                let text = |it| percent_decode_str(it).decode_utf8_lossy().into_owned();
                let password = Secret::new(text(password));
                (Identity::Password { name: text(name), password }, host)
            }
        };
        let identity = match identity {
            Identity::Nobody => None,
            Identity::Session(cookie) => Some(("cookie", cookie)),
            Identity::Password { name, password } => {
                let pair = BASE64_STANDARD.encode(format!("{name}:{}", password.reveal()));
                Some(("authorization", Secret::new(format!("Basic {pair}"))))
            }
        };
        // No proxy: credentials go to the server that was named, and to nobody else.
        let config = Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(LOAD_CONNECT_PATIENCE))
            .build();
        let path = uri.path().trim_end_matches('/');
        Ok(Self { agent: config.new_agent(), base: format!("http://{host}{path}"), identity })
    }

    /// True when the database was made, false when it was there.
    pub(super) fn create_database(&self, name: &str) -> Result<bool, RequestError> {
        let mut request = self.agent.put(format!("{}/{}", self.base, encoded(name)));
        if let Some((header, value)) = &self.identity {
            request = request.header(*header, value.reveal());
        }
        match self.answer(request.send_empty()) {
            Ok(_) => Ok(true),
            Err(RequestError::Refused { status: 412, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// One answer for each document, in order.
    pub(super) fn save(&self, database: &str, body: &[u8]) -> Result<Vec<Saved>, RequestError> {
        self.post(database, "_bulk_docs", body)
    }

    /// One row for each id, in order.
    pub(super) fn current(
        &self,
        database: &str,
        ids: &[&str],
    ) -> Result<Vec<Current>, RequestError> {
        let body = serde_json::json!({ "keys": ids }).to_string();
        let rows: Rows = self.post(database, "_all_docs", body.as_bytes())?;
        Ok(rows.rows)
    }

    fn post<T: for<'a> Deserialize<'a>>(
        &self,
        database: &str,
        what: &str,
        body: &[u8],
    ) -> Result<T, RequestError> {
        let url = format!("{}/{}/{what}", self.base, encoded(database));
        let mut request = self.agent.post(url).header("content-type", "application/json");
        if let Some((header, value)) = &self.identity {
            request = request.header(*header, value.reveal());
        }
        let answer = self.answer(request.send(body))?;
        serde_json::from_slice(&answer).map_err(|source| RequestError::Garbled { source })
    }

    /// One request, with segments of its path as they are and its answer as JSON.
    pub(crate) fn call(
        &self,
        method: &'static str,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&serde_json::Value>,
    ) -> Result<serde_json::Value, RequestError> {
        let url = self.url(path, query);
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(url)
            .header("content-type", "application/json");
        if let Some((header, value)) = &self.identity {
            request = request.header(*header, value.reveal());
        }
        const URL: &str = "encoded segments make a URL";
        let sent = match body {
            Some(body) => self.agent.run(request.body(body.to_string()).expect(URL)),
            None => self.agent.run(request.body(()).expect(URL)),
        };
        let answer = self.answer(sent)?;
        serde_json::from_slice(&answer).map_err(|source| RequestError::Garbled { source })
    }

    /// What a request that only reads is answered with, as it comes.
    pub(crate) fn stream(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<impl Read + use<>, RequestError> {
        let mut request = self.agent.get(self.url(path, query));
        if let Some((header, value)) = &self.identity {
            request = request.header(*header, value.reveal());
        }
        let unreachable = |source| RequestError::Unreachable { base: self.base.clone(), source };
        let response = request.call().map_err(unreachable)?;
        if !response.status().is_success() {
            return Err(match self.answer(Ok(response)) {
                Err(refused) => refused,
                Ok(_) => unreachable(ureq::Error::ConnectionFailed),
            });
        }
        Ok(response.into_body().into_reader())
    }

    /// Sends a file, and gives back the answer. The server is asked first whether it wants it.
    pub(crate) fn send_file(
        &self,
        method: &'static str,
        path: &[&str],
        query: &[(&str, String)],
        file: &File,
    ) -> Result<serde_json::Value, RequestError> {
        let url = self.url(path, query);
        let mut request = if method == "PUT" { self.agent.put(url) } else { self.agent.post(url) };
        request = request.header("content-type", "application/zstd");
        request = request.header("expect", "100-continue");
        request = request.config().timeout_await_100(Some(FILE_WAIT)).build();
        if let Some((header, value)) = &self.identity {
            request = request.header(*header, value.reveal());
        }
        let answer = self.answer(request.send(file))?;
        serde_json::from_slice(&answer).map_err(|source| RequestError::Garbled { source })
    }

    fn url(&self, path: &[&str], query: &[(&str, String)]) -> String {
        let mut url = self.base.clone();
        for segment in path {
            url.push('/');
            url.push_str(&encoded(segment).to_string());
        }
        for (at, (name, value)) in query.iter().enumerate() {
            let separator = if at == 0 { '?' } else { '&' };
            url.push(separator);
            url.push_str(name);
            url.push('=');
            url.push_str(&encoded(value).to_string());
        }
        url
    }

    fn answer(&self, sent: Result<Response<Body>, ureq::Error>) -> Result<Vec<u8>, RequestError> {
        let unreachable = |source| RequestError::Unreachable { base: self.base.clone(), source };
        let mut response = sent.map_err(unreachable)?;
        let status = response.status();
        let limit = LOAD_REPLY_BYTES_MAX;
        let body =
            response.body_mut().with_config().limit(limit).read_to_vec().map_err(unreachable)?;
        if status.is_success() {
            return Ok(body);
        }
        let Failure { error, reason } = serde_json::from_slice(&body).unwrap_or_default();
        Err(RequestError::Refused { status: status.as_u16(), error, reason })
    }
}

fn hint(status: u16) -> &'static str {
    match status {
        401 => " (SETTLE_ADMIN_USER and SETTLE_ADMIN_PASSWORD say who asks)",
        _ => "",
    }
}

/// As one segment of a path: a database's name may hold slashes.
fn encoded(segment: &str) -> impl std::fmt::Display {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.').remove(b'~');
    utf8_percent_encode(segment, KEPT)
}
