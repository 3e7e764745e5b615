//! A reply as a value, which can be remembered and told again.
//!
//! | part | form |
//! |---|---|
//! | status | three digits; `own` behind a space where it is the reply's own business how it is cached |
//! | headers | a line each, `name: value` |
//! | body | behind an empty line, as it is |

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::{dispatch::KeepsCaching, error::ApiError};

#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// See [`KeepsCaching`].
    pub(crate) keeps_caching: bool,
    /// Whether the same would be told again: nobody has to sign in, and the server did what it could.
    pub(crate) stays: bool,
}

impl Told {
    pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Self {
        let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, crate::reply::JSON)]);
        Self { status, headers, body, keeps_caching: false, stays: true }
    }

    pub(crate) fn refusal(error: &ApiError) -> Self {
        Self { stays: stays(error), ..Self::json(error.code().status(), error.body()) }
    }

    #[must_use]
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(crate) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        if self.keeps_caching {
            response.extensions_mut().insert(KeepsCaching);
        }
        response
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = self.status.as_str().as_bytes().to_vec();
        if self.keeps_caching {
            out.extend_from_slice(b" own");
        }
        out.push(b'\n');
        for (name, value) in &self.headers {
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.push(b'\n');
        }
        out.push(b'\n');
        out.extend_from_slice(&self.body);
        out
    }

    /// `None` of what [`encode`](Self::encode) did not write.
    pub(crate) fn decode(text: &[u8]) -> Option<Self> {
        let (first, mut rest) = line(text)?;
        let (status, own) = match first.split_at_checked(3)? {
            (status, b"") => (status, false),
            (status, b" own") => (status, true),
            (_, _) => return None,
        };
        let mut headers = HeaderMap::new();
        loop {
            let (next, after) = line(rest)?;
            rest = after;
            if next.is_empty() {
                break;
            }
            let at = next.windows(2).position(|it| it == b": ")?;
            let name = HeaderName::from_bytes(&next[..at]).ok()?;
            headers.append(name, HeaderValue::from_bytes(&next[at + 2..]).ok()?);
        }
        let status = StatusCode::from_bytes(status).ok()?;
        Some(Self { status, headers, body: rest.to_vec(), keeps_caching: own, stays: true })
    }
}

/// Whether a failure is one that the same request would meet again.
pub(crate) fn stays(error: &ApiError) -> bool {
    let status = error.code().status();
    status.is_client_error() && status != StatusCode::UNAUTHORIZED
}

/// The first line without its end, and what is behind it.
fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', text)?;
    Some((&text[..end], &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_told_again_as_it_was() {
        let told = Told::json(StatusCode::CREATED, b"{\"ok\":true}\n\n".to_vec())
            .with(http::header::ETAG, HeaderValue::from_static("\"1-a: b\""));
        for told in [told.clone(), Told { keeps_caching: true, ..told }] {
            let again = Told::decode(&told.encode()).unwrap();
            assert_eq!(
                (again.status, &again.headers, &again.body),
                (told.status, &told.headers, &told.body)
            );
            assert_eq!(again.keeps_caching, told.keeps_caching);
        }
        for wrong in ["", "20\n\n", "201 x\n\n", "201\nno header\n\n", "201\na: b"] {
            assert!(Told::decode(wrong.as_bytes()).is_none(), "{wrong:?}");
        }
    }
}
