//! `_rewrite`: a request becomes another one, by rules or by a function, and is answered as that.
//!
//! It stays the request of whoever sent it: a rewritten request is answered with the same permissions,
//! whatever headers a function sets, and never to another database. CouchDB looks at the headers anew, and
//! lets functions lead anywhere.

use std::sync::{Arc, atomic::AtomicU64};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use settle_access::Read;
use settle_query::design::Rewrites;
use settle_script::RequestBody;

use super::{
    asked::Asked,
    reply::{Given, add_headers},
    request::{self, Members, Rewritten},
    rules,
};
use crate::{
    call::Call,
    dispatch::{self, BODY_UNREAD},
    error::{ApiError, Code},
    limits,
};

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.').remove(b'~');

/// `/{db}/_design/{name}/_rewrite/{path...}`
pub(crate) async fn rewrite(mut call: Call) -> Result<Response, ApiError> {
    let times = call.parts.extensions.get::<Rewritten>().map_or(0, |it| it.times);
    if times >= limits::REWRITES_MAX {
        return Err(ApiError::bad_request("Exceeded rewrite recursion limit"));
    }
    let asked = Asked::<Read>::of(&call).await?;
    match &asked.entry.design.rewrites {
        None => Err(invalid_path()),
        Some(Rewrites::Rules(rules)) => {
            let behind = behind(&call);
            let target = rules::apply(rules, call.parts.method.as_str(), &behind, call.query())?;
            let target = target.ok_or_else(ApiError::missing)?;
            let path = normalized(&call, &target.path)?;
            again(call, times, &joined(&path, &target.query))
        }
        Some(Rewrites::Script(_)) => {
            let body = call.bytes(limits::FUNCTION_BODY_MAX).await?;
            let text = request::text_of(&body);
            let text = RequestBody::Text(&text);
            let request = request::object(&call, &asked, None, text, Members::OfRewrite).await?;
            let rewritten = call.app.site.scripts.rewrite(&asked.program(), request).await?;
            let rewritten = rewritten.ok_or_else(invalid_path)?;
            by_function(call, times, body, &rewritten)
        }
    }
}

fn invalid_path() -> ApiError {
    ApiError::new(Code::NotFound, "Invalid path.").named("rewrite_error".to_owned())
}

fn wrong(reason: &'static str) -> ApiError {
    ApiError::new(Code::UnknownError, reason).named("rewrite_error".to_owned())
}

/// How many parts of the path name the database: below `/~{account}/`, two.
fn database_segments(call: &Call) -> usize {
    if call.captures.account.is_some() { 2 } else { 1 }
}

/// The parts of the path behind `_rewrite`, decoded.
fn behind(call: &Call) -> Vec<String> {
    let mut segments = request::segments(&call.parts.uri);
    segments.drain(..segments.len().min(database_segments(call) + 3));
    segments
}

/// `/{db}/_design/{name}/…`, without `.` and `..`. It does not leave the database: its design documents
/// decide on requests to it, and on no other.
fn normalized(call: &Call, path: &str) -> Result<String, ApiError> {
    let segments = request::segments(&call.parts.uri);
    let encode = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let database = database_segments(call);
    let mut prefix: Vec<String> = segments[..database].iter().map(|it| encode(it)).collect();
    prefix.extend(["_design".to_owned(), encode(&segments[database + 1])]);
    let mut parts: Vec<&str> = prefix.iter().map(String::as_str).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.len() == database => {
                let name = "insecure_rewrite_rule".to_owned();
                let error = ApiError::new(Code::UnknownError, "too many ../.. segments");
                return Err(error.named(name));
            }
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Ok(format!("/{}", parts.join("/")))
}

fn joined(path: &str, query: &[(String, String)]) -> String {
    let encode = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let pairs = query.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    let pairs: Vec<_> = pairs.collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

/// What a function made of the request: another one, or a reply.
fn by_function(
    mut call: Call,
    times: u32,
    body: Bytes,
    rewritten: &[u8],
) -> Result<Response, ApiError> {
    let rewritten: Value = serde_json::from_slice(rewritten).map_err(|_| wrong("bad rewrite"))?;
    let Value::Object(rewritten) = rewritten else { return Err(wrong("bad rewrite")) };
    let text = |name: &str, problem| match rewritten.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(wrong(problem)),
    };
    let method = text("method", "bad method")?;
    let path = text("path", "bad path")?;
    let new_body = text("body", "bad body")?;
    let headers = texts(&rewritten, "headers", "bad headers")?;
    let query = texts(&rewritten, "query", "bad query")?;
    let body = new_body.map_or(body, |text| Bytes::copy_from_slice(text.as_bytes()));
    if let Some(code) = rewritten.get("code") {
        let code = code.as_u64().filter(|code| (200..600).contains(code));
        let code = code.and_then(|code| u16::try_from(code).ok());
        let status = code.and_then(|code| StatusCode::from_u16(code).ok());
        let mut given = Given::read(b"{}", status.ok_or_else(|| wrong("bad code"))?)?;
        add_headers(&mut given.headers, &headers.unwrap_or_default())?;
        return Ok(given.with_body(Body::from(body)));
    }
    let path = path.ok_or_else(|| wrong("Rewrite result must produce a new path."))?;
    let path = normalized(&call, path)?;
    let query = match query {
        None => request::owned(call.query()),
        Some(query) => {
            let text = |(name, value): (String, Value)| (name, text_of(&value));
            query.into_iter().map(text).collect()
        }
    };
    let target = joined(&path, &query);
    if let Some(method) = method {
        call.parts.method =
            Method::from_bytes(method.as_bytes()).map_err(|_| wrong("bad method"))?;
    }
    replace(&mut call.parts.headers, headers.unwrap_or_default());
    // It has been read, and is what it was before it was packed.
    call.parts.headers.remove(header::CONTENT_ENCODING);
    call.parts.headers.remove(header::TRANSFER_ENCODING);
    call.parts.headers.insert(header::CONTENT_LENGTH, body.len().into());
    if !body.is_empty() {
        call.body_micros.get_or_insert_with(|| Arc::new(AtomicU64::new(BODY_UNREAD)));
    }
    call.body = std::sync::Mutex::new(Body::from(body));
    again(call, times, &target)
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A member that is an object of texts.
fn texts(
    rewritten: &Map<String, Value>,
    name: &str,
    problem: &'static str,
) -> Result<Option<Map<String, Value>>, ApiError> {
    match rewritten.get(name) {
        None => Ok(None),
        Some(Value::Object(members)) if members.values().all(Value::is_string) => {
            Ok(Some(members.clone()))
        }
        Some(Value::Object(_)) => Err(wrong("object key/value must be strings")),
        Some(_) => Err(wrong(problem)),
    }
}

fn replace(headers: &mut HeaderMap, new: Map<String, Value>) {
    for (name, value) in new {
        let name = name.parse::<HeaderName>();
        let value = HeaderValue::try_from(text_of(&value));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.insert(name, value);
        }
    }
}

/// Has the request answered as one to `target`.
fn again(mut call: Call, times: u32, target: &str) -> Result<Response, ApiError> {
    let uri: Uri = target.parse().map_err(|_| wrong("bad path"))?;
    let known = call.parts.extensions.remove::<Rewritten>();
    let requested = known.map_or_else(|| call.parts.uri.clone(), |it| it.requested);
    call.parts.extensions.insert(Rewritten { requested, times: times + 1 });
    call.parts.uri = uri;
    Ok(dispatch::again(call))
}
