//! Failures of databases, documents and attachments.

use settle_database::{
    AttachmentError, CreateError, DropError, EditError, GetError, LocalError, SettingError,
    blobs::{BlobReadError, UploadError},
};
use settle_index::lane::WriteError;
use settle_model::{
    document::{BulkError, DocumentError},
    tree::ResolveError,
};
use settle_script::Thrown;
use settle_site::{
    LocalWriteError, NewDatabaseError, PrepareError, WriteRefusal, incoming::IncomingError,
};

use super::{ApiError, Code};

impl ApiError {
    /// Somebody else was faster.
    pub(crate) fn conflict() -> Self {
        Self::new(Code::Conflict, "Document update conflict.")
    }

    /// A document that was there once.
    pub(crate) fn deleted() -> Self {
        Self::new(Code::NotFound, "deleted")
    }

    /// Lanes try again, so a client sees this only where they gave up.
    fn overtaken() -> Self {
        Self::busy("What the write rests on keeps changing; it was not made.", 1)
    }

    fn stopping() -> Self {
        Self::busy("The server is stopping.", 5)
    }

    fn disk_full() -> Self {
        Self::new(Code::InsufficientStorage, "The disk is full; reading goes on.")
    }
}

// No `_` arms below: a new way to fail must be given a code before this compiles.

impl From<CreateError> for ApiError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Exists { .. } => {
                let reason = "The database could not be created, the file already exists.";
                Self::new(Code::FileExists, reason)
            }
            CreateError::Storage(error) => error.into(),
        }
    }
}

impl From<NewDatabaseError> for ApiError {
    fn from(error: NewDatabaseError) -> Self {
        match error {
            NewDatabaseError::Access(error) => error.into(),
            NewDatabaseError::Owned(error) => error.into(),
            NewDatabaseError::Create(error) => error.into(),
        }
    }
}

impl From<DropError> for ApiError {
    fn from(error: DropError) -> Self {
        match error {
            DropError::Missing { .. } => Self::no_database(),
            DropError::Storage(error) => error.into(),
        }
    }
}

impl From<SettingError> for ApiError {
    fn from(error: SettingError) -> Self {
        match error {
            SettingError::TooSmall => Self::bad_request(error.to_string()),
            SettingError::SecurityTooLarge { .. } => Self::new(Code::TooLarge, error.to_string()),
            SettingError::Storage(error) => error.into(),
        }
    }
}

impl From<GetError> for ApiError {
    fn from(error: GetError) -> Self {
        match error {
            GetError::Missing => Self::missing(),
            GetError::Deleted => Self::deleted(),
            GetError::Storage(error) => error.into(),
        }
    }
}

impl From<LocalError> for ApiError {
    fn from(error: LocalError) -> Self {
        match error {
            LocalError::Missing => Self::missing(),
            LocalError::Conflict => Self::conflict(),
            LocalError::TooLarge { .. } => Self::new(Code::DocumentTooLarge, error.to_string()),
            LocalError::Storage(error) => error.into(),
        }
    }
}

impl From<EditError> for ApiError {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Conflict => Self::conflict(),
            EditError::Missing => Self::missing(),
            EditError::Deleted => Self::deleted(),
            EditError::MissingStub { name } => {
                Self::new(Code::MissingStub, format!("Invalid attachment stub for {name}"))
            }
            EditError::MissingAttachment { .. } => no_such_attachment(),
            EditError::TooLarge { .. } => Self::new(Code::DocumentTooLarge, error.to_string()),
            EditError::TooManyAttachments { .. } => {
                Self::new(Code::TooManyAttachments, error.to_string())
            }
            EditError::Partition(error) => error.into(),
            EditError::GenerationsExhausted => Self::bad_request(error.to_string()),
            EditError::Overtaken => Self::overtaken(),
            EditError::Aborted => Self::new(Code::ExpectationFailed, error.to_string()),
        }
    }
}

impl From<ResolveError> for ApiError {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Missing => Self::missing(),
            ResolveError::Deleted => Self::deleted(),
            ResolveError::NotLive { .. } | ResolveError::Moved { .. } => {
                Self::new(Code::Conflict, error.to_string())
            }
        }
    }
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Edit(error) => error.into(),
            WriteError::Forbidden { reason } => Self::new(Code::Forbidden, reason),
            WriteError::Unauthorized { reason } => Self::new(Code::Unauthorized, reason),
            WriteError::Thrown { error, reason } => Thrown { error, reason }.into(),
            WriteError::Script(error) => error.into(),
            WriteError::BrokenRule { .. } => Self::new(Code::BrokenRule, error.to_string()),
            WriteError::Design(error) => error.into(),
            WriteError::DesignRule { reason } => Self::new(Code::InvalidDesignDoc, reason),
            WriteError::NoRoom { reason } => Self::new(Code::InsufficientStorage, reason),
            WriteError::Contended => Self::overtaken(),
        }
    }
}

impl From<WriteRefusal> for ApiError {
    fn from(error: WriteRefusal) -> Self {
        match error {
            WriteRefusal::Quota(error) => error.into(),
            WriteRefusal::Storage(error) => error.into(),
        }
    }
}

impl From<PrepareError> for ApiError {
    fn from(error: PrepareError) -> Self {
        match error {
            PrepareError::User(error) => error.into(),
            PrepareError::Replication(error) => Self::new(Code::Forbidden, error.to_string()),
            PrepareError::Conflict => Self::conflict(),
            PrepareError::Storage(error) => error.into(),
        }
    }
}

impl From<LocalWriteError> for ApiError {
    fn from(error: LocalWriteError) -> Self {
        match error {
            LocalWriteError::Quota(error) => error.into(),
            LocalWriteError::Local(error) => error.into(),
        }
    }
}

impl From<IncomingError> for ApiError {
    fn from(error: IncomingError) -> Self {
        match error {
            IncomingError::Edit(error) => error.into(),
            IncomingError::NoRevision | IncomingError::DoesNotFollow { .. } => {
                Self::bad_request(error.to_string())
            }
            IncomingError::Upload(error) => error.into(),
        }
    }
}

impl From<AttachmentError> for ApiError {
    fn from(error: AttachmentError) -> Self {
        match error {
            AttachmentError::Missing => Self::missing(),
            AttachmentError::Deleted => Self::deleted(),
            AttachmentError::NoSuchAttachment => no_such_attachment(),
            AttachmentError::Storage(error) => error.into(),
        }
    }
}

fn no_such_attachment() -> ApiError {
    ApiError::new(Code::NotFound, "Document is missing attachment")
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::TooLarge { .. } => Self::new(Code::AttachmentTooLarge, error.to_string()),
            UploadError::Md5Mismatch => {
                Self::new(Code::ContentMd5Mismatch, "Possible message corruption.")
            }
            UploadError::Length { .. } | UploadError::NotGzip(_) => {
                Self::bad_request(error.to_string())
            }
            UploadError::StorageFull => Self::disk_full().caused_by(error),
            UploadError::Stopped(_) => Self::stopping(),
            UploadError::File { .. } | UploadError::Failed => Self::internal(error),
        }
    }
}

impl From<BlobReadError> for ApiError {
    fn from(error: BlobReadError) -> Self {
        match error {
            BlobReadError::OutOfRange { .. } => {
                let reason = "Requested range not satisfiable";
                Self::new(Code::RequestedRangeNotSatisfiable, reason)
            }
            BlobReadError::Storage(error) => error.into(),
            BlobReadError::Stopped(_) => Self::stopping(),
            BlobReadError::Missing { .. }
            | BlobReadError::Damaged { .. }
            | BlobReadError::File { .. } => Self::internal(error),
        }
    }
}

impl From<DocumentError> for ApiError {
    fn from(error: DocumentError) -> Self {
        let code = match &error {
            DocumentError::IdNotAString => Code::IllegalDocid,
            DocumentError::BadMember { .. }
            | DocumentError::RevisionsStart
            | DocumentError::RevisionsIds
            | DocumentError::RevisionsIdNotAString
            | DocumentError::RevisionsIdNotHex
            | DocumentError::RevisionsLength(_) => Code::DocValidation,
            DocumentError::Json(_)
            | DocumentError::NotAnObject
            | DocumentError::Rev
            | DocumentError::AttachmentName(_)
            | DocumentError::AttachmentNotAnObject { .. }
            | DocumentError::AttachmentMember { .. }
            | DocumentError::AttachmentData { .. } => Code::BadRequest,
        };
        Self::new(code, error.to_string())
    }
}

impl From<BulkError> for ApiError {
    fn from(error: BulkError) -> Self {
        match error {
            BulkError::Document(error) => error.into(),
            BulkError::TooMany { .. } => Self::new(Code::TooLarge, error.to_string()),
            BulkError::NotAnObject
            | BulkError::NoDocs
            | BulkError::DocsNotAnArray
            | BulkError::NotABoolean { .. } => Self::bad_request(error.to_string()),
        }
    }
}
