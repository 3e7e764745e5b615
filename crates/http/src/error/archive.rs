//! Failures of archives.

use settle_archive::{ArchiveError, BadArchive, CompareError, RestoreFailure};
use settle_database::RestoreError;
use settle_site::SiteRestoreError;

use super::{ApiError, Code};
use crate::handlers::archive::BodyFailed;

// No `_` arms below: a new way to fail must be given a code before this compiles.

impl From<ArchiveError> for ApiError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Past(error) => error.into(),
            ArchiveError::Keep(error) => error.into(),
            ArchiveError::TooLarge { .. }
            | ArchiveError::NotJson { .. }
            | ArchiveError::Blob { .. }
            | ArchiveError::Compress(_) => Self::internal(error),
        }
    }
}

impl From<BadArchive> for ApiError {
    fn from(error: BadArchive) -> Self {
        Self::new(Code::BadArchive, error.to_string())
    }
}

/// The body did not come: with what that is called.
fn source_failed(error: std::io::Error) -> ApiError {
    match error.downcast::<BodyFailed>() {
        Ok(BodyFailed(error)) => error,
        Err(error) => ApiError::internal(error),
    }
}

impl From<CompareError> for ApiError {
    fn from(error: CompareError) -> Self {
        match error {
            CompareError::Bad(error) => error.into(),
            CompareError::Source(error) => source_failed(error),
            CompareError::Past(error) => error.into(),
        }
    }
}

impl From<RestoreFailure> for ApiError {
    fn from(error: RestoreFailure) -> Self {
        match error {
            RestoreFailure::Bad(error) => error.into(),
            RestoreFailure::Source(error) => source_failed(error),
            RestoreFailure::Upload(error) => error.into(),
            // Of an account without room the site says how much it keeps; nobody else has a bound.
            RestoreFailure::Differs { .. } | RestoreFailure::NoRoom { .. } => Self::internal(error),
            RestoreFailure::Refused(error) => error.into(),
            RestoreFailure::Past(error) => error.into(),
        }
    }
}

impl From<RestoreError> for ApiError {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Refused(_)
            | RestoreError::LocalTooLarge { .. }
            | RestoreError::SecurityTooLarge { .. }
            | RestoreError::Facts => Self::new(Code::BadArchive, error.to_string()),
            RestoreError::Replaced => Self::no_database(),
            RestoreError::Storage(error) => error.into(),
        }
    }
}

impl From<SiteRestoreError> for ApiError {
    fn from(error: SiteRestoreError) -> Self {
        match error {
            SiteRestoreError::Failed(error) => error.into(),
            SiteRestoreError::Security { .. } | SiteRestoreError::AppendOnly { .. } => {
                Self::new(Code::BadArchive, error.to_string())
            }
            SiteRestoreError::Quota(error) => error.into(),
            SiteRestoreError::Storage(error) => error.into(),
        }
    }
}
