//! Failures of replications.
//!
//! Source: `couch_replicator_scheduler_job:replication_start_error/1`, `chttpd:error_info/1`. Different here: a
//! database that is not there is 404, where CouchDB answers 500 whatever fails.

use settle_access::{Action as _, AdministerServer};
use settle_replicator::ReplicateError;
use settle_sync::{
    job::JobError,
    replication::{FailureKind, ReplicationError, Side},
};

use super::{ApiError, Code};

impl From<JobError> for ApiError {
    fn from(error: JobError) -> Self {
        let code = match error {
            JobError::TooLong { .. } => Code::TooLarge,
            JobError::Url { .. } => Code::InvalidReplication,
            JobError::Json(_)
            | JobError::NotAnObject
            | JobError::NoEndpoint { .. }
            | JobError::NotAnEndpoint { .. }
            | JobError::DatabaseName { .. }
            | JobError::Parameter { .. }
            | JobError::Header { .. }
            | JobError::TooManyHeaders { .. }
            | JobError::TooManyDocIds
            | JobError::TwoProxies { .. }
            | JobError::TwoSelections
            | JobError::Filter
            | JobError::View => Code::BadRequest,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ReplicateError> for ApiError {
    fn from(error: ReplicateError) -> Self {
        match error {
            ReplicateError::Missing => Self::missing(),
            ReplicateError::OfOthers => Self::new(Code::Forbidden, AdministerServer::FORBIDDEN),
            ReplicateError::Cancelled => {
                Self::new(Code::ReplicationCancelled, "The replication was cancelled.")
            }
            ReplicateError::Stopping => Self::busy("The server stops.", 5),
            ReplicateError::Failed { from, to, error } => failed(&from, &to, *error),
        }
    }
}

/// In CouchDB's words where the peer refuses to be opened, else in those of the peer.
fn failed(from: &str, to: &str, error: ReplicationError) -> ApiError {
    if let ReplicationError::Request { side, what, kind, .. } = &error {
        let peer = match side {
            Side::Source => from,
            Side::Target => to,
        };
        match kind {
            FailureKind::Unauthorized => {
                let reason = format!("unauthorized to access or create database {peer}");
                return ApiError::new(Code::Unauthorized, reason);
            }
            FailureKind::Forbidden => {
                return ApiError::new(Code::Forbidden, error.to_string());
            }
            FailureKind::NotFound if *what == "info" => {
                return ApiError::new(Code::DbNotFound, format!("could not open {peer}"));
            }
            FailureKind::NotFound
            | FailureKind::Busy { .. }
            | FailureKind::Broken
            | FailureKind::TimedOut
            | FailureKind::Lost
            | FailureKind::Conflict
            | FailureKind::Refused
            | FailureKind::MissingStub
            | FailureKind::TooLarge => {}
        }
    }
    let (name, reason) = (error.code().to_owned(), error.to_string());
    ApiError::new(Code::ReplicationFailed, reason).named(name).caused_by(error)
}
