//! From what a function gave back to the reply.
//!
//! | member | meaning |
//! |---|---|
//! | `code` | status, 200 unless given |
//! | `headers` | headers, of which those that frame the reply are passed over |
//! | `body` | text; `text/html` unless a header says otherwise |
//! | `json` | any value, sent as JSON |
//! | `base64` | bytes; `application/binary` unless a header says otherwise |
//! | `stop` | without effect |
//!
//! Source: `chttpd_external:parse_external_response/1`, `send_external_response/2`.

use axum::{body::Body, response::Response};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    error::{ApiError, Code},
    reply::JSON,
    told::Told,
};

const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Headers that are the server's to set.
const FRAMING: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A reply that a function has made.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    body: Vec<u8>,
    is_json: bool,
    default_type: HeaderValue,
}

impl Given {
    /// With a status for where the function gave none.
    pub(super) fn read(response: &[u8], status: StatusCode) -> Result<Self, ApiError> {
        let mut given = Self {
            status,
            headers: HeaderMap::new(),
            body: Vec::new(),
            is_json: false,
            default_type: JSON,
        };
        // Values are kept as they are spelt, for `json`.
        let members: std::collections::BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(response).map_err(|_| wrong("", "an object"))?;
        for (name, value) in members {
            given.take(&name, value.get())?;
        }
        Ok(given)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        let text = || {
            let text: Result<String, _> = serde_json::from_str(value);
            text.map_err(|_| wrong(name, value))
        };
        match name {
            "" | "stop" => {}
            "code" => {
                let code = value.parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
                let code = code.filter(|code| code.as_u16() >= 200);
                self.status = code.ok_or_else(|| wrong(name, value))?;
            }
            "json" => {
                self.body = value.as_bytes().to_vec();
                self.body.push(b'\n');
                self.is_json = true;
                self.default_type = JSON;
            }
            "body" => {
                self.body = text()?.into_bytes();
                self.default_type = HeaderValue::from_static("text/html; charset=utf-8");
            }
            "base64" => {
                self.body = BASE64_STANDARD.decode(text()?).map_err(|_| wrong(name, value))?;
                self.default_type = HeaderValue::from_static("application/binary");
            }
            "headers" => {
                let headers: Map<String, Value> =
                    serde_json::from_str(value).map_err(|_| wrong(name, value))?;
                add_headers(&mut self.headers, &headers)?;
            }
            _ => return Err(wrong(name, value)),
        }
        Ok(())
    }

    /// Replaces a header that the function may have set.
    pub(super) fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.insert(name, value);
    }

    pub(super) fn into_response(self) -> Response {
        self.into_told().into_response()
    }

    /// With a body of its own, as that of a list.
    pub(super) fn with_body(self, body: Body) -> Response {
        let mut response = self.into_told().into_response();
        *response.body_mut() = body;
        response
    }

    /// For what may be remembered.
    pub(super) fn into_told(self) -> Told {
        let Self { status, mut headers, body, is_json, default_type } = self;
        headers.entry(header::CONTENT_TYPE).or_insert(default_type);
        let is_plain_json = is_json && headers.get(header::CONTENT_TYPE) == Some(&JSON);
        if !is_plain_json {
            headers.append(header::CONTENT_SECURITY_POLICY, SANDBOX);
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        }
        Told { status, headers, body, keeps_caching: !is_json, stays: true }
    }
}

/// Adds the headers of a JSON object.
pub(super) fn add_headers(
    headers: &mut HeaderMap,
    given: &Map<String, Value>,
) -> Result<(), ApiError> {
    for (name, value) in given {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => return Err(wrong(name, &value.to_string())),
        };
        let header: HeaderName = name.parse().map_err(|_| wrong(name, &text))?;
        if FRAMING.contains(&header) || is_session(&header, &text) {
            continue;
        }
        headers.append(header, HeaderValue::try_from(&text).map_err(|_| wrong(name, &text))?);
    }
    Ok(())
}

/// Nobody's function signs anybody in or out.
fn is_session(header: &HeaderName, value: &str) -> bool {
    header == header::SET_COOKIE && value.trim_start().starts_with("AuthSession")
}

fn wrong(name: &str, value: &str) -> ApiError {
    let mut value = value.to_owned();
    value.truncate(value.floor_char_boundary(200));
    let reason = format!("Invalid data from external server: {{\"{name}\",{value}}}");
    ApiError::new(Code::UnknownError, reason).named("external_response_error".to_owned())
}
