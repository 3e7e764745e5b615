//! Pages of other origins: which of them a browser lets read our replies.
//!
//! Off until somebody lists origins. A page whose origin is listed gets it echoed, and may send the
//! reader's cookie or password if `cors/credentials` is on. Preflights are answered before anybody is
//! asked who they are, since a browser sends them without credentials. To an origin that is not listed the
//! server looks as if it had never heard of CORS.
//!
//! Source: the Fetch standard; `chttpd_cors` of CouchDB, whose settings these are. Different here: `*`
//! never goes with credentials, since then any page that somebody opens could act for them; the origin
//! `null`, which every sandboxed page has, cannot be listed; `cors/headers` adds to the headers that
//! clients of this protocol send, rather than replacing some of them.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};

use crate::limits::{CORS_LIST_MAX, CORS_MAX_AGE_MAX};

/// What clients of this protocol send.
const ALLOWED: &str = "accept, accept-language, authorization, cache-control, content-encoding, \
     content-language, content-md5, content-type, destination, idempotency-key, if-match, if-none-match, \
     if-range, last-event-id, origin, pragma, prefer, range, referer, x-couch-full-commit, x-couch-persist, \
     x-couch-request-id, x-couchdb-www-authenticate, x-http-method-override, x-requested-with";

/// What replies carry beyond the headers that pages may always read.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "accept-ranges, content-encoding, content-range, digest, etag, location, retry-after, server, \
     x-couch-id, x-couch-request-id, x-couch-update-newrev, x-couchdb-body-time",
);

pub(crate) const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "COPY", "OPTIONS"];
pub(crate) const METHODS_DEFAULT: &str = "GET, HEAD, POST, PUT, DELETE, COPY, OPTIONS";

const TRUE: HeaderValue = HeaderValue::from_static("true");

/// The settings, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Whether `*` is listed.
    any: bool,
    listed: Vec<HeaderValue>,
    credentials: bool,
    methods: HeaderValue,
    headers: HeaderValue,
    max_age: HeaderValue,
}

/// What one request's reply tells a browser.
#[derive(Debug, Default)]
pub(crate) enum Cross {
    /// CORS is off.
    #[default]
    Off,
    /// The reply would be another one for another origin.
    Elsewhere,
    /// To this origin; it may be the star.
    Allowed { origin: HeaderValue, credentials: bool },
}

impl Cors {
    /// Of values that were checked. `None` when no origin is listed.
    pub(crate) fn new(
        origins: &str,
        credentials: bool,
        methods: &str,
        headers: &str,
        max_age: u64,
    ) -> Option<Self> {
        let listed = list(origins).filter(|origin| *origin != "*");
        let listed: Vec<_> = listed.filter_map(|it| HeaderValue::from_str(it).ok()).collect();
        let any = list(origins).any(|origin| origin == "*");
        if listed.is_empty() && !any {
            return None;
        }
        let mut allowed = ALLOWED.to_owned();
        for more in list(headers) {
            allowed.push_str(", ");
            allowed.push_str(&more.to_ascii_lowercase());
        }
        let methods: Vec<_> = list(methods).map(str::to_ascii_uppercase).collect();
        let value = |text: &str| HeaderValue::from_str(text).expect("checked when it was set");
        Some(Self {
            any,
            listed,
            credentials,
            methods: value(&methods.join(", ")),
            headers: value(&allowed),
            max_age: HeaderValue::from(max_age),
        })
    }

    fn judge(&self, origin: &HeaderValue) -> Cross {
        if self.listed.contains(origin) {
            return Cross::Allowed { origin: origin.clone(), credentials: self.credentials };
        }
        if self.any {
            return Cross::Allowed { origin: HeaderValue::from_static("*"), credentials: false };
        }
        Cross::Elsewhere
    }

    fn preflight(&self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone());
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        response
    }
}

impl Cross {
    /// What is said to the one who sent `parts`, and the whole reply if it is a preflight.
    pub(crate) fn of(parts: &Parts, cors: Option<Arc<Cors>>) -> (Self, Option<Response>) {
        let Some(cors) = cors else { return (Self::Off, None) };
        let Some(origin) = parts.headers.get(header::ORIGIN) else {
            return (Self::Elsewhere, None);
        };
        let cross = cors.judge(origin);
        let asks = parts.method == Method::OPTIONS
            && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let preflight = (asks && matches!(cross, Self::Allowed { .. })).then(|| cors.preflight());
        (cross, preflight)
    }

    /// Whether the page that sent this may do so with the cookie of who reads it.
    pub(crate) fn lets_credentials(&self) -> bool {
        matches!(self, Self::Allowed { credentials: true, .. })
    }

    /// On every reply, failures too: a page that may not read an error cannot tell what went wrong.
    pub(crate) fn mark(self, headers: &mut HeaderMap, is_preflight: bool) {
        let (origin, credentials) = match self {
            Self::Off => return,
            Self::Elsewhere => {
                headers.append(header::VARY, HeaderValue::from_static("Origin"));
                return;
            }
            Self::Allowed { origin, credentials } => (origin, credentials),
        };
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        }
        if !is_preflight {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

/// The members of a list with commas between.
fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|it| !it.is_empty())
}

fn check_list(text: &str, check: impl Fn(&str) -> Result<(), String>) -> Result<(), String> {
    if list(text).count() > CORS_LIST_MAX {
        return Err(format!("expected at most {CORS_LIST_MAX} of them"));
    }
    list(text).try_for_each(check)
}

/// As browsers spell them: a scheme, a host in lower case, a port if it is not the scheme's own.
pub(crate) fn check_origins(text: &str) -> Result<(), String> {
    check_list(text, |origin| {
        let expected = || {
            format!(
                "expected origins as browsers send them, such as https://app.example.org, or *; \
                 not {origin}"
            )
        };
        if origin == "*" {
            return Ok(());
        }
        let (scheme, authority) = origin.split_once("://").ok_or_else(expected)?;
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let in_scheme = |byte: u8| letter(byte) || matches!(byte, b'+' | b'-' | b'.');
        let in_authority =
            |byte: u8| letter(byte) || matches!(byte, b'-' | b'.' | b':' | b'[' | b']' | b'_');
        let own_port = matches!(scheme, "https") && authority.ends_with(":443")
            || matches!(scheme, "http") && authority.ends_with(":80");
        let is_right = !scheme.is_empty()
            && !authority.is_empty()
            && scheme.bytes().all(in_scheme)
            && authority.bytes().all(in_authority)
            && !own_port;
        if is_right { Ok(()) } else { Err(expected()) }
    })
}

pub(crate) fn check_methods(text: &str) -> Result<(), String> {
    check_list(text, |method| {
        if METHODS.iter().any(|known| known.eq_ignore_ascii_case(method)) {
            return Ok(());
        }
        Err(format!("expected some of {METHODS_DEFAULT}; not {method}"))
    })
}

pub(crate) fn check_headers(text: &str) -> Result<(), String> {
    check_list(text, |name| match http::HeaderName::from_bytes(name.as_bytes()) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("expected names of headers; not {name}")),
    })
}

pub(crate) fn check_max_age(text: &str) -> Result<(), String> {
    match text.parse::<u64>() {
        Ok(seconds) if seconds <= CORS_MAX_AGE_MAX => Ok(()),
        Ok(_) | Err(_) => Err(format!("expected seconds, at most {CORS_MAX_AGE_MAX}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_listed_as_browsers_send_it_or_not_at_all() {
        for right in [
            "",
            "*",
            "https://app.example.org",
            "http://localhost:3000, https://a.example",
            "capacitor://localhost",
            "http://[::1]:8080",
        ] {
            assert_eq!(check_origins(right), Ok(()), "{right}");
        }
        for wrong in [
            "null",
            "app.example.org",
            "https://app.example.org/",
            "https://App.example.org",
            "https://*.example.org",
            "https://app.example.org:443",
            "http://app.example.org:80",
            "https://",
            "https://user@app.example.org",
        ] {
            assert!(check_origins(wrong).is_err(), "{wrong}");
        }
        let many = vec!["https://a.example"; CORS_LIST_MAX + 1].join(",");
        assert!(check_origins(&many).is_err());
    }

    #[test]
    fn methods_and_headers_are_names_of_such() {
        assert_eq!(check_methods("GET, put"), Ok(()));
        assert!(check_methods("TRACE").is_err());
        assert_eq!(check_headers("X-Csrf-Token, x-a"), Ok(()));
        assert!(check_headers("a b").is_err());
        assert!(check_max_age("-1").is_err());
    }
}
