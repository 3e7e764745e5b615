//! Failures of reading the past and of going back to it.

use settle_database::{AtError, CopyError, KeepError, PastError, RevertError, SnapshotNameError};
use settle_site::history::{ForkError, SiteRevertError};

use super::{ApiError, Code};

const NOT_KEPT: &str = "What the database was at that moment is no longer kept.";

impl ApiError {
    fn not_kept() -> Self {
        Self::new(Code::NotKept, NOT_KEPT)
    }
}

// No `_` arms below: a new way to fail must be given a code before this compiles.

impl From<AtError> for ApiError {
    fn from(AtError: AtError) -> Self {
        Self::new(Code::InvalidMoment, AtError.to_string())
    }
}

impl From<SnapshotNameError> for ApiError {
    fn from(SnapshotNameError: SnapshotNameError) -> Self {
        Self::bad_request(SnapshotNameError.to_string())
    }
}

impl From<PastError> for ApiError {
    fn from(error: PastError) -> Self {
        match error {
            PastError::NoSnapshot { .. } => Self::new(Code::NoSnapshot, error.to_string()),
            PastError::NotKept => Self::not_kept(),
            PastError::NotYet => Self::new(Code::NotYet, error.to_string()),
            PastError::Ahead | PastError::OtherTimeline => {
                Self::new(Code::InvalidMoment, error.to_string())
            }
            PastError::Storage(error) => error.into(),
        }
    }
}

impl From<KeepError> for ApiError {
    fn from(error: KeepError) -> Self {
        match error {
            KeepError::Exists => Self::new(Code::SnapshotExists, error.to_string()),
            KeepError::Missing => Self::new(Code::NoSnapshot, error.to_string()),
            KeepError::NotKept => Self::not_kept(),
            KeepError::TooManySnapshots { .. } => {
                Self::new(Code::TooManySnapshots, error.to_string())
            }
            KeepError::TooManyPins { .. } => {
                Self::busy("Too many others read the past of this database.", 30)
            }
            KeepError::Storage(error) => error.into(),
        }
    }
}

impl From<RevertError> for ApiError {
    fn from(error: RevertError) -> Self {
        match error {
            RevertError::TooLarge { .. } => Self::new(Code::RevertTooLarge, error.to_string()),
            RevertError::Conflict => {
                Self::busy("Others keep writing to the documents; nothing was changed.", 1)
            }
            RevertError::Edit(error) => error.into(),
            RevertError::Keep(error) => error.into(),
            RevertError::Past(error) => error.into(),
        }
    }
}

impl From<SiteRevertError> for ApiError {
    fn from(error: SiteRevertError) -> Self {
        match error {
            SiteRevertError::Revert(error) => error.into(),
            SiteRevertError::Quota(error) => error.into(),
        }
    }
}

impl From<ForkError> for ApiError {
    fn from(error: ForkError) -> Self {
        match error {
            ForkError::Exists => Self::new(Code::FileExists, error.to_string()),
            ForkError::New(error) => error.into(),
            ForkError::Quota(error) => error.into(),
            ForkError::Keep(error) => error.into(),
            ForkError::Copy(CopyError::Edit(error)) => error.into(),
            ForkError::Copy(CopyError::Past(error)) => error.into(),
            ForkError::Setting(error) => error.into(),
            ForkError::Local(error) => error.into(),
        }
    }
}
