//! From a request to its handler, and from its outcome to the reply.
//!
//! Each request passes: its id, preflights (which end here), the method it stands for, its route, who sent it, whether that one may ask
//! at all, the handler, the headers that every reply has. There is no tower of layers; a GET pays for
//! what it uses.
//!
//! Source: `chttpd:handle_request_int/1`, `chttpd:process_request/1`.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use axum::{body::Body, response::Response};
use futures_util::FutureExt as _;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version, header,
    request::Parts, uri::Authority,
};
use http_body::Body as _;
use settle_access::{Actor, Inspect, Resource};
use settle_accounts::{ProxyClaim, SignInError};

use crate::{
    audit::{self, Act, Cause, SignIn},
    call::Call,
    connection::Connection,
    cors::Cross,
    error::{ApiError, Code},
    handlers::session,
    idempotency, limits, reply, request_id,
    routes::{self, Access, Found, Operation, Verb},
    state::AppState,
};

const BODY_TIME: HeaderName = HeaderName::from_static("x-couchdb-body-time");
const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
const WWW_AUTHENTICATE: HeaderName = HeaderName::from_static("x-couchdb-www-authenticate");
const PROXY_NAME: HeaderName = HeaderName::from_static("x-auth-couchdb-username");
const PROXY_ROLES: HeaderName = HeaderName::from_static("x-auth-couchdb-roles");
const PROXY_TOKEN: HeaderName = HeaderName::from_static("x-auth-couchdb-token");
/// Signing in is the same on every server, and says nothing of whose it is.
const OPEN_OF_ACCOUNTS: [&str; 2] = ["/_session", "/_up"];

const PREFER: HeaderName = HeaderName::from_static("prefer");
const MUST_REVALIDATE: HeaderValue = HeaderValue::from_static("must-revalidate");
const SERVER: HeaderValue = HeaderValue::from_static(concat!("Settle/", env!("CARGO_PKG_VERSION")));

/// In the place of the time that reading a body took: it has not been read to its end.
pub(crate) const BODY_UNREAD: u64 = u64::MAX;

/// What `Prefer: return=minimal` leaves: CouchDB's list, headers that carry an outcome, and those that
/// protect the one who reads the reply.
const MINIMAL: [HeaderName; 17] = [
    header::ALLOW,
    header::CACHE_CONTROL,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_SECURITY_POLICY,
    header::CONTENT_TYPE,
    header::ETAG,
    header::LOCATION,
    header::RETRY_AFTER,
    header::SERVER,
    header::SET_COOKIE,
    header::STRICT_TRANSPORT_SECURITY,
    header::VARY,
    header::WWW_AUTHENTICATE,
    header::X_CONTENT_TYPE_OPTIONS,
];

/// Answers requests. Clones share one state.
#[derive(Debug, Clone)]
pub struct App {
    state: Arc<AppState>,
}

/// Who sent a request, and how that is known.
struct Identity {
    actor: Arc<Actor>,
    signed_in_by: Option<&'static str>,
    /// A younger session cookie for the reply.
    renewed: Option<HeaderValue>,
}

impl App {
    pub fn new(state: Arc<AppState>) -> Self {
        Self { state }
    }

    pub fn state(&self) -> &Arc<AppState> {
        &self.state
    }

    /// Answers one request that came from no socket; failures are answers too.
    pub async fn answer(&self, request: Request<Body>) -> Response {
        self.answer_on(Connection::default(), request).await
    }

    /// Answers one request of a connection.
    pub async fn answer_on(&self, connection: Connection, request: Request<Body>) -> Response {
        let state = &self.state;
        let start = state.site.clock.monotonic();
        let in_flight = state.metrics.begin();
        let (parts, body) = request.into_parts();
        let mut reply = Reply::to(connection, &parts, state);
        reply.body_micros = (!body.is_end_stream()).then(|| Arc::new(AtomicU64::new(BODY_UNREAD)));
        let method = parts.method.clone();
        let uri = tracing::enabled!(tracing::Level::DEBUG).then(|| parts.uri.clone());

        let (cross, preflight) = Cross::of(&parts, state.settings.cors());
        let is_preflight = preflight.is_some();

        let outcome = async {
            match preflight {
                Some(preflight) => Ok(preflight),
                None => {
                    let takes_cookie =
                        cross.lets_credentials() || takes_cookie(&self.state, &parts);
                    self.outcome(connection, parts, body, takes_cookie, &mut reply).await
                }
            }
        };
        // A bug in one handler is that request's failure, and no other's.
        let outcome = AssertUnwindSafe(outcome).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|panic| Err(ApiError::internal(words_of(&*panic))));

        let response = match outcome {
            Ok(response) => response,
            Err(error) => {
                reply.log(&error);
                error.into_response()
            }
        };
        let mut response = reply.finish(response);
        cross.mark(response.headers_mut(), is_preflight);
        let duration = state.site.clock.monotonic().saturating_sub(start);
        in_flight.done(&method, response.status(), duration);
        if let Some(uri) = uri {
            reply.log_success(&method, &uri, response.status(), duration);
        }
        response
    }

    async fn outcome(
        &self,
        connection: Connection,
        mut parts: Parts,
        body: Body,
        takes_cookie: bool,
        reply: &mut Reply,
    ) -> Result<Response, ApiError> {
        check_uri(&parts.uri)?;
        if parts.headers.len() > limits::HEADERS_COUNT_MAX {
            let reason = format!("at most {} headers", limits::HEADERS_COUNT_MAX);
            return Err(ApiError::new(Code::TooManyHeaders, reason));
        }
        override_method(&mut parts);
        let found = routes::router().find(parts.uri.path());
        let rates = self.state.settings.rates().map(|(rates, live)| {
            (
                rates,
                connection.client(&parts.headers, &live.proxies),
                self.state.site.clock.monotonic(),
            )
        });
        if let Some((rates, client, now)) = &rates {
            self.state.rates.arrived(rates, *client, *now)?;
        }
        let identity =
            identify(&self.state, connection, &parts.headers, takes_cookie, &reply.id).await?;
        reply.renewed = identity.renewed;
        if let Some((rates, client, now)) = &rates {
            self.state.rates.known(rates, *client, &identity.actor, *now)?;
        }
        let Some((found, captures)) = found else {
            gate(&identity.actor, Access::SignedIn)?;
            return Err(ApiError::no_database());
        };
        let operation = Verb::of(&parts.method).and_then(|verb| found.route.operation(verb));
        let Some(operation) = operation else {
            gate(&identity.actor, needed_at_least(found))?;
            return Err(ApiError::method_not_allowed(&found.allow));
        };
        if !(may_sign_up(&self.state, &parts) && matches!(*identity.actor, Actor::Anonymous)) {
            gate(&identity.actor, operation.access)?;
        }

        let act = (self.state.audit.is_on() && operation.verb != Verb::Get).then(|| {
            let act = Act {
                name: name_of(&identity.actor),
                by: identity.signed_in_by,
                method: parts.method.to_string(),
                path: audit::path(parts.uri.path()),
                status: None,
            };
            let cause = cause(&self.state, connection, &parts.headers, &reply.id);
            let state = Arc::clone(&self.state);
            ActSeen { state, administers: Arc::default(), act: Some((act, cause)) }
        });
        let call = Call {
            app: Arc::clone(&self.state),
            administers: act.as_ref().map(|act| Arc::clone(&act.administers)),
            request_id: reply.id.clone(),
            actor: identity.actor,
            signed_in_by: identity.signed_in_by,
            connection,
            parts,
            captures,
            body: Mutex::new(body),
            body_micros: reply.body_micros.clone(),
            place: None,
            once: None,
        };
        check_account(found, &call)?;
        let outcome = answer(operation, call).await;
        if let Some(act) = act {
            let status = match &outcome {
                Ok(response) => Ok(response.status()),
                Err(error) => Err(error.code().status()),
            };
            act.end(status).await?;
        }
        outcome
    }
}

/// A request that may turn out to be an act of an administrator.
///
/// A client that goes away before the answer has its record too, lest that be a way to leave none.
struct ActSeen {
    state: Arc<AppState>,
    administers: Arc<AtomicBool>,
    /// `None` once it is decided whether there is a record.
    act: Option<(Act, Cause)>,
}

impl ActSeen {
    async fn end(mut self, outcome: Result<StatusCode, StatusCode>) -> Result<(), ApiError> {
        let act = self.act.take().filter(|_| self.administers.load(Ordering::Relaxed));
        let Some((mut act, cause)) = act else { return Ok(()) };
        match outcome {
            Ok(status) => {
                act.status = Some(status.as_u16());
                self.state.record_act(&act, &cause).await
            }
            Err(status) => {
                if status.is_server_error() {
                    // It may have had an effect.
                    act.status = Some(status.as_u16());
                    self.state.note_act(&act, &cause);
                }
                Ok(())
            }
        }
    }
}

impl Drop for ActSeen {
    fn drop(&mut self) {
        let act = self.act.take().filter(|_| self.administers.load(Ordering::Relaxed));
        if let Some((act, cause)) = act {
            self.state.note_act(&act, &cause);
        }
    }
}

/// On a reply: it has no `Cache-Control` unless it brings one, as CouchDB's of functions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeepsCaching;

/// On a reply that is none: the request has become this one. One after the other, so that a hundred
/// rewrites need no deeper stack than one.
#[derive(Debug, Clone)]
struct Again(Arc<Mutex<Option<Call>>>);

/// What a handler gives back so that `call` is answered instead of its own, for whoever sent that.
pub(crate) fn again(call: Call) -> Response {
    let mut response = Response::default();
    response.extensions_mut().insert(Again(Arc::new(Mutex::new(Some(call)))));
    response
}

/// The reply to a call, and to those that it is rewritten to: the one that is remembered, or a new one.
async fn answer(mut operation: &'static Operation, mut call: Call) -> Result<Response, ApiError> {
    // Before a rewrite changes the call.
    let sent = idempotency::sent(&mut call);
    loop {
        if let Some(told) = idempotency::begin(&mut call, operation, sent.as_ref()).await? {
            return Ok(told);
        }
        let mut response = (operation.handler)(call).await?;
        match rewritten(&mut response)? {
            None => return Ok(response),
            Some(next) => (operation, call) = next,
        }
    }
}

/// The call that is to be answered instead, with its operation.
fn rewritten(response: &mut Response) -> Result<Option<(&'static Operation, Call)>, ApiError> {
    let Some(Again(call)) = response.extensions_mut().remove::<Again>() else { return Ok(None) };
    let call = call.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut call) = call else { return Ok(None) };
    check_uri(&call.parts.uri)?;
    let found = routes::router().find(call.parts.uri.path());
    let Some((found, captures)) = found else { return Err(ApiError::no_database()) };
    let operation = Verb::of(&call.parts.method).and_then(|verb| found.route.operation(verb));
    let operation = operation.ok_or_else(|| ApiError::method_not_allowed(&found.allow))?;
    gate(&call.actor, operation.access)?;
    call.captures = captures;
    check_account(found, &call)?;
    Ok(Some((operation, call)))
}

fn check_uri(uri: &Uri) -> Result<(), ApiError> {
    let path = uri.path();
    let query = uri.query().unwrap_or_default();
    if path.len() + query.len() > limits::URI_MAX {
        return Err(ApiError::new(Code::TooLong, "the request uri is too long"));
    }
    if !is_well_encoded(path.as_bytes()) || !is_well_encoded(query.as_bytes()) {
        return Err(ApiError::bad_request("invalid_url_encoding"));
    }
    Ok(())
}

fn is_well_encoded(text: &[u8]) -> bool {
    memchr::memchr_iter(b'%', text).all(|at| {
        matches!(text.get(at + 1..at + 3), Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
    })
}

/// Clients that cannot send a method say in a header of a POST which one they mean. A reply to a POST has
/// a body, so HEAD is as good as GET.
fn override_method(parts: &mut Parts) {
    if parts.method != Method::POST {
        return;
    }
    let Some(wanted) = parts.headers.get(METHOD_OVERRIDE) else { return };
    parts.method = match wanted.as_bytes() {
        b"GET" | b"HEAD" => Method::GET,
        b"PUT" => Method::PUT,
        b"DELETE" => Method::DELETE,
        b"COPY" => Method::from_bytes(b"COPY").expect("letters are a method"),
        _ => return,
    };
}

/// Whether a session's cookie counts, if CORS does not say so.
///
/// Where it is `SameSite=None`, browsers send it with what any page sends, forms included, which need no
/// leave of CORS. It must not change anything for a page that nobody has listed.
fn takes_cookie(state: &AppState, parts: &Parts) -> bool {
    let is_safe = matches!(parts.method, Method::GET | Method::HEAD);
    let Some(origin) = parts.headers.get(header::ORIGIN).filter(|_| !is_safe) else { return true };
    let text = |name| parts.headers.get(name).and_then(|it: &HeaderValue| it.to_str().ok());
    let own = [
        parts.uri.authority().map(Authority::as_str),
        text(header::HOST),
        text(HeaderName::from_static("x-forwarded-host")),
    ];
    let from = origin.to_str().ok().and_then(|it| it.split_once("://")).map(|(_, host)| host);
    let is_own = from.is_some() && own.contains(&from);
    is_own || state.settings.live().same_site != "None"
}

/// A cookie is looked at first, as in CouchDB; one that has ended does not stand in the way of a
/// password.
async fn identify(
    state: &Arc<AppState>,
    connection: Connection,
    headers: &HeaderMap,
    takes_cookie: bool,
    request: &HeaderValue,
) -> Result<Identity, ApiError> {
    if let Some(cookie) = session::cookie(headers).filter(|_| takes_cookie)
        && let Some(session) = state.site.accounts.session(cookie).await?
    {
        let renewed = session.renewed.as_deref();
        let renewed =
            renewed.map(|cookie| session::set_cookie(state, connection.is_secure(headers), cookie));
        return Ok(Identity { actor: session.actor, signed_in_by: Some("cookie"), renewed });
    }
    let address = || connection.client(headers, &state.settings.live().proxies);
    let actor = match headers.get(header::AUTHORIZATION) {
        None => None,
        Some(value) => match state.site.accounts.remembered(value.as_bytes(), address) {
            Some(actor) => Some(actor),
            None => {
                let outcome = state.site.accounts.sign_in(value.as_bytes(), address()).await;
                note_sign_in(state, connection, headers, request, &outcome);
                outcome?
            }
        },
    };
    let (actor, signed_in_by) = match actor {
        Some(actor) => (actor, Some(how(headers))),
        None => match by_proxy(state, headers).await? {
            Some(actor) => (actor, Some("proxy")),
            None => (Arc::new(Actor::Anonymous), None),
        },
    };
    Ok(Identity { actor, signed_in_by, renewed: None })
}

/// CouchDB's word for how an `Authorization` header signs in.
fn how(headers: &HeaderMap) -> &'static str {
    if is_bearer(headers) { "jwt" } else { "default" }
}

fn is_bearer(headers: &HeaderMap) -> bool {
    let value = headers.get(header::AUTHORIZATION).map_or(&[][..], HeaderValue::as_bytes);
    value.get(..7).is_some_and(|it| it.eq_ignore_ascii_case(b"bearer "))
}

async fn by_proxy(
    state: &AppState,
    headers: &HeaderMap,
) -> Result<Option<Arc<Actor>>, SignInError> {
    let text = |name| headers.get(name).and_then(|it: &HeaderValue| it.to_str().ok());
    let (Some(name), Some(token)) = (text(PROXY_NAME), text(PROXY_TOKEN)) else { return Ok(None) };
    let roles = text(PROXY_ROLES).unwrap_or_default();
    state.site.accounts.by_proxy(ProxyClaim { name, roles, token }).await
}

fn note_sign_in(
    state: &Arc<AppState>,
    connection: Connection,
    headers: &HeaderMap,
    request: &HeaderValue,
    outcome: &Result<Option<Arc<Actor>>, SignInError>,
) {
    if !state.audit.is_on() {
        return;
    }
    let Some(accepted) = session::outcome_of(outcome) else { return };
    let name = match outcome {
        Ok(None) => return,
        Ok(Some(actor)) => name_of(actor),
        // Of a token it is not known whose it would be.
        Err(_) => headers
            .get(header::AUTHORIZATION)
            .and_then(|it| settle_accounts::name_in_basic(it.as_bytes()))
            .unwrap_or_default(),
    };
    let by = if is_bearer(headers) { "token" } else { "password" };
    let sign_in = SignIn::new(&name, by, accepted);
    state.note_sign_in(&sign_in, &cause(state, connection, headers, request));
}

fn cause(
    state: &AppState,
    connection: Connection,
    headers: &HeaderMap,
    request: &HeaderValue,
) -> Cause {
    let address = connection.client(headers, &state.settings.live().proxies);
    Cause { address, request: request.to_str().unwrap_or_default().to_owned() }
}

fn name_of(actor: &Actor) -> String {
    match actor {
        Actor::User { name, .. } => name.clone(),
        Actor::Anonymous => String::new(),
    }
}

/// Nobody who is not signed in learns whether something is there: this comes before any look at it.
fn gate(actor: &Actor, access: Access) -> Result<(), ApiError> {
    match (access, actor) {
        (Access::Open, _) | (_, Actor::User { .. }) => Ok(()),
        (_, Actor::Anonymous) => Err(ApiError::new(Code::Unauthorized, access.refusal())),
    }
}

/// Whether the request writes a document of the database of users, and anybody may make one. What becomes
/// of it is decided where the document is known.
fn may_sign_up(state: &AppState, parts: &Parts) -> bool {
    parts.method == Method::PUT
        && state.settings.live().sign_up_open
        && parts.uri.path().strip_prefix("/_users/").is_some_and(|id| !id.contains('/'))
}

/// What an account is and has is its owner's business.
fn check_account(found: &Found, call: &Call) -> Result<(), ApiError> {
    if found.route.is_of_database() || OPEN_OF_ACCOUNTS.contains(&found.route.path) {
        return Ok(());
    }
    if call.captures.account.is_some() {
        // Before the name is looked at: some cannot be one.
        gate(&call.actor, Access::SignedIn)?;
    }
    if let Some(name) = call.account()? {
        settle_access::authorize::<Inspect>(&call.actor, &Resource::Account { name })?;
    }
    Ok(())
}

/// For a method that a path does not have: what reading it needs, or else its first method.
fn needed_at_least(found: &Found) -> Access {
    let read = found.route.operation(Verb::Get);
    read.or_else(|| found.route.operations.first()).map_or(Access::SignedIn, |it| it.access)
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().copied();
    let words = words.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a handler panicked: {}", words.unwrap_or("without words"))
}

/// What is known of a reply before its handler ran.
struct Reply {
    id: HeaderValue,
    is_head: bool,
    minimal: bool,
    challenge: Option<HeaderValue>,
    renewed: Option<HeaderValue>,
    /// How long reading the request's body took, or [`BODY_UNREAD`]; `None` when it has none.
    body_micros: Option<Arc<AtomicU64>>,
    is_http_1: bool,
    /// What browsers are told of TLS.
    strict_transport: Option<HeaderValue>,
}

impl Reply {
    fn to(connection: Connection, parts: &Parts, state: &AppState) -> Self {
        let prefer = parts.headers.get(PREFER);
        Self {
            id: state.request_ids.of(&parts.headers),
            is_head: parts.method == Method::HEAD,
            minimal: prefer.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"return=minimal")),
            challenge: parts.headers.get(WWW_AUTHENTICATE).cloned(),
            renewed: None,
            body_micros: None,
            is_http_1: parts.version < Version::HTTP_2,
            strict_transport: strict_transport(connection, parts, state),
        }
    }

    /// The one place where a request's failure is logged.
    fn log(&self, error: &ApiError) {
        let Some(cause) = error.cause() else { return };
        let id = self.id.to_str().unwrap_or_default();
        let cause: &(dyn std::error::Error + 'static) = cause;
        if error.code().status().is_server_error() {
            tracing::error!(request = id, code = error.code().as_str(), cause, "request failed");
        } else {
            tracing::info!(request = id, code = error.code().as_str(), cause, "request refused");
        }
    }

    fn log_success(
        &self,
        method: &Method,
        uri: &Uri,
        status: StatusCode,
        duration: std::time::Duration,
    ) {
        let id = self.id.to_str().unwrap_or_default();
        let (status, micros) = (status.as_u16(), duration.as_micros());
        tracing::debug!(request = id, %method, path = uri.path(), status, micros, "answered");
    }

    fn finish(&mut self, mut response: Response) -> Response {
        let status = response.status();
        if self.is_head {
            announce_length(&mut response);
            *response.body_mut() = Body::empty();
        }
        let keeps_caching = response.extensions().get::<KeepsCaching>().is_some();
        let headers = response.headers_mut();
        if !keeps_caching {
            headers.entry(header::CACHE_CONTROL).or_insert(MUST_REVALIDATE);
        }
        headers.insert(header::SERVER, SERVER);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, reply::NOSNIFF);
        if let Some(value) = self.strict_transport.take() {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
        }
        if status == StatusCode::UNAUTHORIZED
            && let Some(challenge) = self.challenge.take()
        {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(cookie) = self.renewed.take()
            && !headers.contains_key(header::SET_COOKIE)
        {
            headers.insert(header::SET_COOKIE, cookie);
        }
        let micros = self.body_micros.as_ref().map_or(0, |micros| micros.load(Ordering::Relaxed));
        let is_failure = status.is_client_error() || status.is_server_error();
        if micros == BODY_UNREAD && is_failure && self.is_http_1 {
            // The rest of the body stands between this request and the next. The connection will
            // not be used again, and a client that is not told would send its next request into it.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.minimal {
            let dropped: Vec<_> =
                headers.keys().filter(|name| !MINIMAL.contains(name)).cloned().collect();
            for name in dropped {
                headers.remove(name);
            }
            return response;
        }
        headers.insert(request_id::NAME, self.id.clone());
        let time = if micros < 1_000 || micros == BODY_UNREAD {
            HeaderValue::from_static("0")
        } else {
            HeaderValue::from(micros / 1_000)
        };
        headers.insert(BODY_TIME, time);
        response
    }
}

/// Browsers heed it under TLS alone, and others must not be told for them.
fn strict_transport(
    connection: Connection,
    parts: &Parts,
    state: &AppState,
) -> Option<HeaderValue> {
    let seconds = state.settings.strict_transport_seconds();
    if seconds == 0 || !connection.is_secure(&parts.headers) {
        return None;
    }
    let value = HeaderValue::try_from(format!("max-age={seconds}"));
    Some(value.expect("a number is ASCII"))
}

/// The length that a GET would have, which the server cannot know once the body is gone.
fn announce_length(response: &mut Response) {
    let length = response.body().size_hint().exact();
    let headers = response.headers_mut();
    if let Some(length) = length
        && !headers.contains_key(header::CONTENT_LENGTH)
    {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

#[cfg(test)]
mod tests;
