//! Failures as clients see them. Statuses are decided here and nowhere else.
//!
//! A reply carries a stable code and a reason that a person can act on. What happened inside goes to the
//! log with the request's id, and never leaves the server.

mod archive;
mod code;
mod database;
mod history;
mod mango;
mod query;
mod replication;
mod transact;

use std::{borrow::Cow, error::Error};

use axum::{body::Body, response::Response};
use http::{HeaderName, HeaderValue, header};
use settle_access::AccessError;
use settle_accounts::{SessionError, SignInError};
use settle_database::StorageError;
use settle_model::{
    id::{AttachmentNameError, DatabaseNameError, DocumentIdError, PartitionError},
    sequence::SinceError,
};

pub use self::code::Code;
use crate::reply;

/// A request that failed.
#[derive(Debug)]
pub struct ApiError {
    code: Code,
    /// What a function of a design document called it.
    name: Option<Box<str>>,
    reason: Cow<'static, str>,
    /// Boxed, since few errors have one and all results carry the place for it.
    header: Option<Box<(HeaderName, HeaderValue)>>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl ApiError {
    pub fn new(code: Code, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, name: None, reason: reason.into(), header: None, cause: None }
    }

    pub fn bad_request(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::BadRequest, reason)
    }

    pub fn query(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::QueryParseError, reason)
    }

    /// A database that is not there, or that the one who asks may not know of.
    pub fn no_database() -> Self {
        Self::new(Code::NotFound, "Database does not exist.")
    }

    /// A document, revision or endpoint that is not there.
    pub fn missing() -> Self {
        Self::new(Code::NotFound, "missing")
    }

    /// `allow` is the value of the `Allow` header.
    pub fn method_not_allowed(allow: &HeaderValue) -> Self {
        let methods = allow.to_str().expect("routes have methods in ASCII");
        let reason = format!("Only {methods} allowed");
        Self::new(Code::MethodNotAllowed, reason).with_header(header::ALLOW, allow.clone())
    }

    /// `expected` is a media type.
    pub fn content_type(expected: &str) -> Self {
        Self::new(Code::BadContentType, format!("Content-Type must be {expected}"))
    }

    pub fn too_large() -> Self {
        Self::new(Code::TooLarge, "the request entity is too large")
    }

    /// `reason` says of what there is too much; `seconds` when to come back.
    pub fn busy(reason: &'static str, seconds: u16) -> Self {
        Self::new(Code::ServiceUnavailable, reason)
            .with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// A failure of the server. `cause` is for the log.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let reason = "The server failed; its log says more.";
        Self { cause: Some(cause.into()), ..Self::new(Code::InternalServerError, reason) }
    }

    /// A failure of the server that it has a word for, such as a full disk.
    #[must_use]
    pub fn caused_by(self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }

    /// Every error has room for one header of its own.
    #[must_use]
    pub fn with_header(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some(Box::new((name, value))), ..self }
    }

    /// Under a name that a function of a design document gave it.
    #[must_use]
    pub(crate) fn named(self, name: String) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// What the `error` member says: the code, or the name that a function gave.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(self.code.as_str())
    }

    pub fn code(&self) -> Code {
        self.code
    }

    pub fn reason(&self) -> &str {
        &self.reason
    }

    pub(crate) fn cause(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.cause.as_deref()
    }

    /// The body, for the places where an error stands inside of another reply.
    pub fn body(&self) -> Vec<u8> {
        #[derive(serde::Serialize)]
        struct Wire<'a> {
            error: &'a str,
            reason: &'a str,
        }
        reply::to_json(&Wire { error: self.name(), reason: &self.reason })
    }

    pub(crate) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body()));
        *response.status_mut() = self.code.status();
        response.headers_mut().insert(header::CONTENT_TYPE, reply::JSON);
        if let Some(header) = self.header {
            let (name, value) = *header;
            response.headers_mut().insert(name, value);
        }
        response
    }
}

// No `_` arms below: a new way to fail must be given a code before this compiles.

impl From<AccessError> for ApiError {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Unauthorized { refusal } => Self::new(Code::Unauthorized, refusal),
            AccessError::Forbidden { refusal } => Self::new(Code::Forbidden, refusal),
            AccessError::Hidden => Self::no_database(),
        }
    }
}

impl From<SignInError> for ApiError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Incorrect => {
                Self::new(Code::Unauthorized, "Name or password is incorrect.")
            }
            SignInError::Busy => {
                Self::busy("Too many sign-ins are being checked; try again in a moment.", 2)
            }
            SignInError::Suspended { .. } => Self::new(Code::Forbidden, error.to_string()),
            SignInError::LockedOut { seconds } => {
                let reason =
                    "Account is temporarily locked due to multiple authentication failures";
                Self::new(Code::Forbidden, reason)
                    .with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
            }
            SignInError::Token | SignInError::Jwt(_) => {
                Self::new(Code::Unauthorized, error.to_string())
            }
            SignInError::Storage { .. } => Self::internal(error),
        }
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Malformed => {
                Self::bad_request("Malformed AuthSession cookie. Please clear your cookies.")
            }
            SessionError::Storage { .. } => Self::internal(error),
        }
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Gone => Self::no_database(),
            StorageError::Full { .. } => {
                let reason = "The disk is full; reading goes on.";
                Self::new(Code::InsufficientStorage, reason).caused_by(error)
            }
            StorageError::Contended | StorageError::Moved => {
                let reason = "Too many others write the same; try again in a moment.";
                Self::busy(reason, 1).caused_by(error)
            }
            StorageError::Unknown { .. } => {
                let reason = "Storage failed while writing; whether this was written is not known.";
                Self::busy(reason, 10).caused_by(error)
            }
            StorageError::Read(_)
            | StorageError::Record(_)
            | StorageError::Clear(_)
            | StorageError::NotWritten { .. }
            | StorageError::Inconsistent { .. } => Self::internal(error),
        }
    }
}

impl From<DatabaseNameError> for ApiError {
    fn from(error: DatabaseNameError) -> Self {
        let code = match error {
            DatabaseNameError::Illegal { .. } => Code::IllegalDatabaseName,
            DatabaseNameError::TooLong { .. } => Code::DatabaseNameTooLong,
        };
        Self::new(code, error.to_string())
    }
}

impl From<PartitionError> for ApiError {
    fn from(error: PartitionError) -> Self {
        match error {
            PartitionError::NoPartition => Self::new(Code::IllegalDocid, error.to_string()),
            PartitionError::Empty | PartitionError::Underscore => {
                Self::new(Code::IllegalPartition, error.to_string())
            }
            PartitionError::Rest(error) => error.into(),
        }
    }
}

impl From<DocumentIdError> for ApiError {
    fn from(error: DocumentIdError) -> Self {
        match error {
            DocumentIdError::Empty
            | DocumentIdError::EmptyDesign
            | DocumentIdError::EmptyLocal
            | DocumentIdError::Reserved
            | DocumentIdError::TooLong { .. }
            | DocumentIdError::NotLocal
            | DocumentIdError::NotADocument => Self::new(Code::IllegalDocid, error.to_string()),
        }
    }
}

impl From<AttachmentNameError> for ApiError {
    fn from(error: AttachmentNameError) -> Self {
        match error {
            AttachmentNameError::Empty
            | AttachmentNameError::Underscore { .. }
            | AttachmentNameError::TooLong { .. } => Self::bad_request(error.to_string()),
        }
    }
}

impl From<SinceError> for ApiError {
    fn from(SinceError: SinceError) -> Self {
        Self::bad_request(SinceError.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::expect_file;

    use super::*;

    #[test]
    fn the_documentation_lists_every_code_and_no_other() {
        let mut text = String::from(
            "# Errors\n\n\
             A request that fails answers with a JSON object: `error` is one of the codes below, the \
             same for every failure of its kind; `reason` is a sentence for a person. A code has one \
             status. The reply's `X-Couch-Request-ID` is the id under which the server's log says \
             more.\n\n\
             In the reply of a bulk request, each document that was refused has its own `error` and \
             `reason` in its row, while the request itself succeeds.\n\n\
             | code | status | meaning | what to do |\n|---|---|---|---|\n",
        );
        for code in Code::ALL {
            let (meaning, advice) = code.explanation();
            let status = code.status().as_u16();
            writeln!(text, "| `{}` | {status} | {meaning} | {advice} |", code.as_str()).unwrap();
        }
        text.push_str(
            "\nThis table is made from `crates/http/src/error/code.rs`; a test compares them.\n",
        );
        expect_file!["../../../docs/errors.md"].assert_eq(&text);
    }

    #[test]
    fn codes_are_told_apart_by_their_text_and_ordered_by_status() {
        let texts: std::collections::BTreeSet<_> =
            Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        assert!(Code::ALL.iter().map(|code| code.status()).is_sorted());
    }
}
