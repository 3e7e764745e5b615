//! How a database behind a URL, and what is in it, is named in requests.
//!
//! Source: `couch_replicator_httpc:full_url/2`, `couch_util:encode_doc_id/1`. Ids and names are one segment
//! each, with slashes encoded, but for the slash behind `_design` and `_local`. Different here: parameters
//! that the URL of a database has are kept before those of each request.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use settle_sync::{
    job,
    replication::{Failure, FailureKind},
};

/// What CouchDB leaves as it is.
const IN_PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'~').remove(b'_').remove(b':');

/// A parameter of a request, not yet encoded.
pub(super) type Parameter = (String, String);

pub(super) fn parameter(name: &str, value: impl Into<String>) -> Parameter {
    (name.to_owned(), value.into())
}

/// A database behind a URL. Credentials are no part of it.
#[derive(Debug, Clone)]
pub(super) struct Address {
    /// Up to the database, with a slash behind it.
    base: String,
    /// Of the database's URL, as it was given.
    query: Option<String>,
}

impl Address {
    pub(super) fn new(url: &job::Url) -> Self {
        let mut base = format!("{}://{}", url.scheme, url.host);
        if let Some(port) = url.port {
            let _ = write!(base, ":{port}");
        }
        base.push_str(&url.path);
        if !base.ends_with('/') {
            base.push('/');
        }
        Self { base, query: url.query.clone() }
    }

    /// `path` is encoded and relative to the database; nothing for the database itself.
    pub(super) fn url(&self, path: &str, parameters: &[Parameter]) -> Result<Url, Failure> {
        let mut text = format!("{}{path}", self.base);
        let mut separator = '?';
        if let Some(query) = self.query.as_deref().filter(|query| !query.is_empty()) {
            let _ = write!(text, "?{query}");
            separator = '&';
        }
        for (name, value) in parameters {
            let (name, value) =
                (utf8_percent_encode(name, IN_PATH), utf8_percent_encode(value, IN_PATH));
            let _ = write!(text, "{separator}{name}={value}");
            separator = '&';
        }
        Url::parse(&text).map_err(|error| Failure {
            kind: FailureKind::Refused,
            reason: format!("the URL cannot be used: {error}"),
        })
    }
}

/// The path of a document of any kind.
pub(super) fn document(id: &str) -> Result<String, Failure> {
    for kind in ["_design/", "_local/"] {
        if let Some(rest) = id.strip_prefix(kind) {
            return Ok(format!("{kind}{}", segment(rest)?));
        }
    }
    segment(id)
}

pub(super) fn attachment(id: &str, name: &str) -> Result<String, Failure> {
    Ok(format!("{}/{}", document(id)?, segment(name)?))
}

/// Dots alone are steps of a path, however they are written (WHATWG URL §4.4): what is called so cannot be
/// named.
fn segment(text: &str) -> Result<String, Failure> {
    if matches!(text, "" | "." | "..") {
        let reason = format!("a URL cannot name {text:?}");
        return Err(Failure { kind: FailureKind::Refused, reason });
    }
    Ok(utf8_percent_encode(text, IN_PATH).to_string())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use settle_sync::job::{Endpoint, Job};

    use super::*;

    fn address(url: &str) -> Address {
        let job = format!(r#"{{"source":"{url}","target":"here"}}"#);
        match Job::parse(job.as_bytes()).unwrap().source {
            Endpoint::Remote(remote) => Address::new(&remote.url),
            Endpoint::Local(name) => panic!("{name} is here"),
        }
    }

    #[track_caller]
    fn check(url: &str, path: &str, parameters: &[(&str, &str)], expected: &Expect) {
        let parameters: Vec<_> =
            parameters.iter().map(|(name, value)| parameter(name, *value)).collect();
        expected.assert_eq(address(url).url(path, &parameters).unwrap().as_str());
    }

    #[test]
    fn a_database_is_named_with_a_slash_behind_it() {
        check("http://h:5984/db", "", &[], &expect!["http://h:5984/db/"]);
        check("https://[::1]/~ann/notes/", "", &[], &expect!["https://[::1]/~ann/notes/"]);
        check("http://h/a%2Fb", "_changes", &[], &expect!["http://h/a%2Fb/_changes"]);
    }

    #[test]
    fn parameters_of_the_database_stay_before_those_of_the_request() {
        check(
            "http://h/db?token=x%2Fy",
            "_changes",
            &[("since", "12-a b"), ("k\"", "[1,\"ü&\"]")],
            &expect![[
                "http://h/db/_changes?token=x%2Fy&since=12-a%20b&k%22=%5B1%2C%22%C3%BC%26%22%5D"
            ]],
        );
    }

    #[test]
    fn ids_and_names_are_one_segment_each() {
        for (id, path) in [
            ("a/b c", "a%2Fb%20c"),
            ("_design/a/b", "_design/a%2Fb"),
            ("_local/x", "_local/x"),
            ("ü:1+2~.", "%C3%BC:1%2B2~."),
            ("?#%", "%3F%23%25"),
        ] {
            assert_eq!(document(id).unwrap(), path);
        }
        assert_eq!(attachment("a/b", "c/../d e.txt").unwrap(), "a%2Fb/c%2F..%2Fd%20e.txt");
    }

    #[test]
    fn what_is_called_like_a_step_of_a_path_is_refused() {
        for id in [".", "..", "_design/..", "_local/."] {
            assert_eq!(document(id).unwrap_err().kind, FailureKind::Refused);
        }
        assert_eq!(attachment("a", "..").unwrap_err().kind, FailureKind::Refused);
    }
}
