//! One request, as handlers see it: matched, authenticated, not yet authorized.

use std::{
    borrow::Cow,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts};
use http_body::Body as _;
use percent_encoding::percent_decode;
use serde::{Deserialize, de::DeserializeOwned};
use settle_access::{Action, Actor, Administer, AdministerServer, Grant, Resource, authorize};
use settle_model::{
    id::{AccountName, DatabaseName},
    json,
};
use settle_site::database_name;

use crate::{
    audit::Cause,
    body::{self, Place},
    connection::Connection,
    dispatch::BODY_UNREAD,
    error::{ApiError, Code},
    idempotency::Once,
    limits,
    parameters::Query,
    routes::Captures,
    state::AppState,
};

/// What a handler is given.
#[derive(Debug)]
pub struct Call {
    pub app: Arc<AppState>,
    pub actor: Arc<Actor>,
    /// How the actor signed in, in CouchDB's words; `None` for nobody.
    pub signed_in_by: Option<&'static str>,
    pub connection: Connection,
    /// Set once it is known that a request that may change something is an act.
    pub(crate) administers: Option<Arc<AtomicBool>>,
    pub(crate) parts: Parts,
    pub(crate) request_id: HeaderValue,
    pub(crate) captures: Captures,
    /// In a lock that nobody waits for, so that a call can be lent across waiting.
    pub(crate) body: Mutex<Body>,
    /// Where the time is noted that reading the body took; `None` when there is no body.
    pub(crate) body_micros: Option<Arc<AtomicU64>>,
    /// Set where the request may come again, see [`idempotency`](crate::idempotency).
    pub(crate) once: Option<Once>,
    /// Memory that the body uses if it is large, also in the forms it is brought into.
    pub(crate) place: Option<Place>,
}

impl Call {
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// Whether only the head of the reply is wanted; a body is dropped by the dispatcher, so this
    /// is for replies that are costly to make.
    pub fn is_head(&self) -> bool {
        self.parts.method == Method::HEAD
    }

    /// The path as it was sent.
    pub fn raw_path(&self) -> &str {
        self.parts.uri.path()
    }

    pub fn query(&self) -> Query<'_> {
        Query::new(self.parts.uri.query().unwrap_or_default())
    }

    /// What stands in the path before everything that the route matched: nothing, or `/~{account}`.
    pub fn root(&self) -> &str {
        match &self.captures.account {
            None => "",
            Some(account) => &self.raw_path()[..account.end],
        }
    }

    /// The account whose server is asked; `None` for the site's. A name that nobody can have is that of
    /// nobody.
    pub fn account(&self) -> Result<Option<AccountName>, ApiError> {
        let Some(account) = &self.captures.account else { return Ok(None) };
        let name = decode(&self.raw_path()[account.clone()])?;
        name.parse().map(Some).map_err(|_| ApiError::no_database())
    }

    /// The server that is asked.
    pub fn server(&self) -> Result<Resource, ApiError> {
        Ok(self.account()?.map_or(Resource::Server, |name| Resource::Account { name }))
    }

    /// The name in the catalog of a database that is called `name` on the server that is asked.
    pub fn database_name(&self, name: &str) -> Result<DatabaseName, ApiError> {
        let local: DatabaseName = name.parse()?;
        database_name(self.account()?.as_ref(), local)
            .map_err(|error| ApiError::new(Code::Forbidden, error.to_string()))
    }

    /// The n-th part of the path that the route leaves open, as it was sent.
    pub fn raw_segment(&self, n: usize) -> &str {
        &self.raw_path()[self.captures.get(n)]
    }

    /// The n-th part of the path that the route leaves open, decoded: an encoded slash belongs to the
    /// name, `+` is a space as in CouchDB.
    pub fn segment(&self, n: usize) -> Result<Cow<'_, str>, ApiError> {
        decode(self.raw_segment(n))
    }

    /// The last, open-ended part of the path, decoded segment by segment and joined with slashes.
    pub fn rest(&self, n: usize) -> Result<String, ApiError> {
        let mut rest = String::new();
        for segment in self.raw_segment(n).split('/').filter(|segment| !segment.is_empty()) {
            if !rest.is_empty() {
                rest.push('/');
            }
            rest.push_str(&decode(segment)?);
        }
        Ok(rest)
    }

    /// Asks for a permission, on behalf of whoever sent the request.
    pub fn authorize<A: Action>(&self, resource: Resource) -> Result<Grant<A>, ApiError> {
        let grant = authorize(&self.actor, &resource)?;
        if A::NAME == Administer::NAME || A::NAME == AdministerServer::NAME {
            self.note_act();
        }
        Ok(grant)
    }

    /// From here on this request is an act that the audit log records: of an administrator, or on what
    /// somebody signs in with.
    pub fn note_act(&self) {
        if let Some(administers) = &self.administers {
            administers.store(true, Ordering::Relaxed);
        }
    }

    /// Refuses a body that is not announced as JSON.
    pub fn require_json(&self) -> Result<(), ApiError> {
        self.require_type("application/json")
    }

    /// Parameters of the type, such as a charset, are passed over.
    pub fn require_type(&self, expected: &'static str) -> Result<(), ApiError> {
        let sent = self.header(header::CONTENT_TYPE).unwrap_or_default();
        let kind = sent.split(';').next().unwrap_or_default().trim();
        if kind.eq_ignore_ascii_case(expected) {
            return Ok(());
        }
        Err(ApiError::content_type(expected))
    }

    /// How long the body is; `None` where the client does not say.
    pub fn announced_bytes(&self) -> Option<u64> {
        let body = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        body.size_hint().exact()
    }

    /// The body as it comes, for those who stream it.
    pub fn take_body(&mut self) -> Body {
        std::mem::take(self.body.get_mut().unwrap_or_else(PoisonError::into_inner))
    }

    /// The whole body, decompressed; a second call finds nothing.
    pub async fn bytes(&mut self, limit: usize) -> Result<Bytes, ApiError> {
        let body = self.take_body();
        let Some(time) = self.body_micros.clone() else { return Ok(Bytes::new()) };
        let start = self.app.site.clock.monotonic();
        let large_bodies = &self.app.large_bodies;
        let (bytes, place) = body::read(&self.parts.headers, body, limit, large_bodies).await?;
        self.place = place;
        let duration = self.app.site.clock.monotonic().saturating_sub(start);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(BODY_UNREAD);
        time.store(micros.min(BODY_UNREAD - 1), Ordering::Relaxed);
        Ok(bytes)
    }

    /// A small JSON object of a known form. `form` says what was expected.
    pub async fn json<T: DeserializeOwned>(&mut self, form: &'static str) -> Result<T, ApiError> {
        let bytes = self.bytes(limits::SMALL_BODY_MAX).await?;
        from_json(&bytes, form)
    }

    /// A JSON object, minified: what is in it keeps its order and its spelling.
    pub async fn object(&mut self, limit: usize) -> Result<Vec<u8>, ApiError> {
        object(&self.bytes(limit).await?)
    }

    /// Where the client is, behind trusted proxies too.
    pub fn client(&self) -> Option<IpAddr> {
        self.connection.client(&self.parts.headers, &self.app.settings.live().proxies)
    }

    /// For the audit log.
    pub(crate) fn cause(&self) -> Cause {
        let request = self.request_id.to_str().unwrap_or_default().to_owned();
        Cause { address: self.client(), request }
    }

    /// Whether nobody between the client and us reads along.
    pub fn is_secure(&self) -> bool {
        self.connection.is_secure(&self.parts.headers)
    }

    /// `path` on this server, as the client addressed it. Behind a proxy the `X-Forwarded` headers
    /// say how that was.
    pub fn absolute(&self, path: &str) -> HeaderValue {
        let forwarded = |name| self.header(HeaderName::from_static(name));
        let host = forwarded("x-forwarded-host")
            .or_else(|| self.header(header::HOST))
            .or_else(|| self.parts.uri.authority().map(http::uri::Authority::as_str));
        let secure = self.is_secure();
        let scheme = if secure { "https" } else { "http" };
        // Without a host, as in HTTP/1.0, the path alone is a valid reference.
        let text = match host {
            Some(host) => format!("{scheme}://{host}{path}"),
            None => path.to_owned(),
        };
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("/"))
    }

    /// Whether the client has what `etag` stands for, its quotes included.
    pub fn has_current(&self, etag: &HeaderValue) -> bool {
        let current = etag.as_bytes();
        let known = self.parts.headers.get(header::IF_NONE_MATCH);
        known.is_some_and(|known| {
            known.as_bytes().split(|byte| *byte == b',').any(|tag| {
                let tag = tag.trim_ascii();
                tag.strip_prefix(b"W/").unwrap_or(tag) == current
            })
        })
    }
}

/// The object that a body is, minified.
fn object(body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let body = json::minify(body).map_err(|error| ApiError::bad_request(error.reason()))?;
    if body.first() != Some(&b'{') {
        return Err(ApiError::bad_request("Request body must be a JSON object"));
    }
    Ok(body.into_owned())
}

/// `form` is the reason when the JSON is well-formed and yet not what was expected.
pub fn from_json<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
    form: &'static str,
) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => ApiError::bad_request(form),
        serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof
        | serde_json::error::Category::Io => ApiError::bad_request("invalid UTF-8 JSON"),
    })
}

fn decode(raw: &str) -> Result<Cow<'_, str>, ApiError> {
    let encoded = |byte: u8| byte == b'%' || byte == b'+';
    if !raw.bytes().any(encoded) {
        return Ok(Cow::Borrowed(raw));
    }
    let spaced = raw.replace('+', " ");
    match percent_decode(spaced.as_bytes()).decode_utf8() {
        Ok(text) => Ok(Cow::Owned(text.into_owned())),
        Err(_) => Err(ApiError::new(Code::BadRequest, "the path is not UTF-8")),
    }
}
