//! One end of a replication.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use settle_model::{
    id::DatabaseName,
    json::{members, string_value, unescape},
};

use super::{
    error::JobError,
    url::{PEER_SCHEMES, PROXY_SCHEMES, Url},
};
use crate::{
    json::{member, text_member},
    limits::{HEADER_BYTES_MAX, HEADERS_MAX},
};

/// Where documents come from or go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A database of this server.
    Local(DatabaseName),
    Remote(Box<Remote>),
}

/// A database behind a URL.
#[derive(Clone, PartialEq, Eq)]
pub struct Remote {
    /// Ends with a slash, unless it has a query.
    pub url: Url,
    pub credentials: Option<Credentials>,
    /// Sent with each request; sorted by name, each name once. None that speaks of credentials as
    /// `credentials` can.
    pub headers: Vec<(String, String)>,
    pub proxy: Option<Url>,
    pub proxy_credentials: Option<Credentials>,
}

/// Who asks. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub username: String,
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// Without credentials, and without the values of headers, which may be some.
impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Remote")
            .field("url", &self.url.to_string())
            .field("headers", &headers)
            .field("proxy", &self.proxy.as_ref().map(Url::to_string))
            .finish_non_exhaustive()
    }
}

/// As it is shown: the name, or the URL without credentials.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(name) => name.fmt(f),
            Self::Remote(remote) => remote.url.fmt(f),
        }
    }
}

impl Endpoint {
    /// `value` is minified JSON: a text, or an object with `url`, `headers` and `auth`.
    pub(super) fn parse(
        value: &[u8],
        name: &'static str,
        proxy: Option<(Url, Option<Credentials>)>,
    ) -> Result<Self, JobError> {
        if let Some(text) = string_value(value) {
            if text.contains("://") {
                return Remote::parse(&text, b"{}", name, proxy);
            }
            let database = text.parse();
            let database =
                database.map_err(|problem| JobError::DatabaseName { member: name, problem })?;
            return Ok(Self::Local(database));
        }
        let url = text_member(value, "url").ok_or(JobError::NotAnEndpoint { member: name })?;
        Remote::parse(&url, value, name, proxy)
    }
}

impl Remote {
    fn parse(
        url: &str,
        object: &[u8],
        name: &'static str,
        proxy: Option<(Url, Option<Credentials>)>,
    ) -> Result<Endpoint, JobError> {
        let parsed = Url::parse(url, PEER_SCHEMES);
        let (mut url, in_url) =
            parsed.map_err(|problem| JobError::Url { member: name, problem })?;
        if url.query.is_none() && !url.path.ends_with('/') {
            url.path.push('/');
        }
        let (headers, in_headers) = headers(member(object, "headers"), name)?;
        let in_auth = match member(object, "auth").and_then(|auth| member(auth, "basic")) {
            None => None,
            Some(basic) => {
                let part = |member| {
                    let expected = "an object with `username` and `password`";
                    text_member(basic, member)
                        .ok_or(JobError::Parameter { member: "auth.basic", expected })
                };
                let (username, password) = (part("username")?, part("password")?);
                Some(Credentials { username, password })
            }
        };
        let in_url = in_url.map(|(username, password)| Credentials { username, password });
        let credentials = in_auth.or(in_url).or(in_headers);
        let (proxy, proxy_credentials) = match proxy {
            None => (None, None),
            Some((url, credentials)) => (Some(url), credentials),
        };
        Ok(Endpoint::Remote(Box::new(Self { url, credentials, headers, proxy, proxy_credentials })))
    }
}

/// The headers, and the credentials of the one that has them as `auth` could.
#[expect(clippy::type_complexity, reason = "two lists that go separate ways at once")]
fn headers(
    value: Option<&[u8]>,
    name: &'static str,
) -> Result<(Vec<(String, String)>, Option<Credentials>), JobError> {
    let mut headers: Vec<(String, String)> = Vec::new();
    let mut credentials = None;
    let value = value.unwrap_or(b"{}");
    if value.first() != Some(&b'{') {
        let expected = "an object of texts";
        return Err(JobError::Parameter { member: "headers", expected });
    }
    for (key, value) in members(value) {
        let key = unescape(key);
        let bad = || JobError::Header { member: name, name: key.chars().take(80).collect() };
        let text = string_value(value).ok_or_else(bad)?;
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let sendable = !key.is_empty()
            && key.bytes().all(token)
            && text.bytes().all(|byte| byte >= 0x20 && byte != 0x7F || byte == b'\t')
            && key.len() + text.len() <= HEADER_BYTES_MAX;
        if !sendable {
            return Err(bad());
        }
        if key.eq_ignore_ascii_case("authorization")
            && let Some(found) = basic(&text)
        {
            credentials = Some(found);
            continue;
        }
        if headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(&key)) {
            return Err(bad());
        }
        headers.push((key.into_owned(), text.into_owned()));
    }
    if headers.len() > HEADERS_MAX {
        return Err(JobError::TooManyHeaders { member: name });
    }
    headers.sort();
    Ok((headers, credentials))
}

fn basic(value: &str) -> Option<Credentials> {
    let (scheme, rest) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (username, password) = decoded.split_once(':')?;
    Some(Credentials { username: username.to_owned(), password: password.to_owned() })
}

pub(crate) fn proxy(
    text: &str,
    member: &'static str,
) -> Result<(Url, Option<Credentials>), JobError> {
    let parsed = Url::parse(text, PROXY_SCHEMES);
    let (url, user) = parsed.map_err(|problem| JobError::Url { member, problem })?;
    Ok((url, user.map(|(username, password)| Credentials { username, password })))
}
