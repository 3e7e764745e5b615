//! Replies, as handlers make them. Headers that every reply has are added by the dispatcher.

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The browser takes the type that it is told, and does not guess one from the bytes. On every reply.
pub(crate) const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox");

/// Marks a reply whose body or type somebody chose who is not the server: an attachment, or what a design
/// document's function made (CVE-2021-38295).
///
/// Opened in a browser, such a page has an origin of its own, runs no script, and acts for nobody. A policy
/// that a function chose for itself is replaced.
pub fn user_controlled(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, SANDBOX);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
}

/// A value as JSON with a newline behind it, as every JSON reply ends.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    json_text(status, to_json(value))
}

/// JSON that was written elsewhere, with its newline.
pub fn json_text(status: StatusCode, text: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// `{"ok":true}`
pub fn ok(status: StatusCode) -> Response {
    json_text(status, Bytes::from_static(b"{\"ok\":true}\n"))
}

/// The client has what it asks for.
pub fn not_modified(etag: HeaderValue) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response.headers_mut().insert(header::ETAG, etag);
    response
}

/// Somewhere else, for good.
pub fn moved(location: HeaderValue) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    response.headers_mut().insert(header::LOCATION, location);
    response
}

/// JSON of a value whose serialisation cannot fail, with its newline.
pub fn to_json(value: &impl Serialize) -> Vec<u8> {
    let mut text = Vec::with_capacity(256);
    serde_json::to_writer(&mut text, value).expect("replies have text keys and finite numbers");
    text.push(b'\n');
    text
}
