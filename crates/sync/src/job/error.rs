//! Why a job is refused.

use settle_model::{id::DatabaseNameError, json::JsonError};
use thiserror::Error;

use crate::limits::{DOC_IDS_MAX, HEADERS_MAX, JOB_BYTES_MAX, URL_BYTES_MAX};

/// The text is what clients are told, with 400 `bad_request`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JobError {
    #[error("{}", .0.reason())]
    Json(#[from] JsonError),
    #[error("a replication has at most {JOB_BYTES_MAX} bytes, this one has {bytes}")]
    TooLong { bytes: usize },
    #[error("Request body must be a JSON object")]
    NotAnObject,
    #[error("Missing replicator database: `{member}` is not there")]
    NoEndpoint { member: &'static str },
    #[error("`{member}` must be a URL, the name of a database, or an object with a `url`")]
    NotAnEndpoint { member: &'static str },
    #[error("`{member}` is neither a URL nor the name of a database: {problem}")]
    DatabaseName { member: &'static str, problem: DatabaseNameError },
    #[error("{member} has an invalid url: {problem}")]
    Url { member: &'static str, problem: UrlProblem },
    #[error("parameter `{member}` must be {expected}")]
    Parameter { member: &'static str, expected: &'static str },
    #[error("`{member}` has a header that cannot be sent: {name:?}")]
    Header { member: &'static str, name: String },
    #[error("`{member}` has more than {HEADERS_MAX} headers")]
    TooManyHeaders { member: &'static str },
    #[error("`doc_ids` has more than {DOC_IDS_MAX} ids")]
    TooManyDocIds,
    #[error("`proxy` is mutually exclusive with `{member}`")]
    TwoProxies { member: &'static str },
    #[error("`doc_ids`,`filter`,`selector` are mutually exclusive")]
    TwoSelections,
    #[error("Invalid filter. Must match `ddocname/filtername`.")]
    Filter,
    #[error("Invalid `view` parameter.")]
    View,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UrlProblem {
    #[error("it is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    #[error("expected `http://` or `https://`")]
    Scheme,
    #[error("expected `http://`, `https://` or `socks5://`")]
    ProxyScheme,
    #[error("it has white space or other characters that must be percent-encoded")]
    Character,
    #[error("it names no host")]
    Host,
    #[error("the port is not a number up to 65535")]
    Port,
    #[error("it has a fragment")]
    Fragment,
}
