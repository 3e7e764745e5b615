//! Why a document was refused. The messages are the reasons that clients see.

use thiserror::Error;

use crate::{id::AttachmentNameError, json::JsonError, revision::RevisionError};

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DocumentError {
    /// The source says what and where in each case.
    #[error("{}", .0.reason())]
    Json(#[from] JsonError),
    #[error("Document must be a JSON object")]
    NotAnObject,
    #[error("Document id must be a string")]
    IdNotAString,
    /// Of `_rev`.
    #[error("Invalid rev format")]
    Rev,
    /// An unknown member, or one whose value has the wrong type.
    #[error("Bad special document member: {name}")]
    BadMember { name: String },
    #[error("_revisions.start isn't an integer.")]
    RevisionsStart,
    #[error("_revisions.ids isn't a array.")]
    RevisionsIds,
    #[error("RevId isn't a string")]
    RevisionsIdNotAString,
    #[error("RevId isn't a valid hexadecimal")]
    RevisionsIdNotHex,
    #[error("_revisions.ids does not fit _revisions.start: {0}")]
    RevisionsLength(RevisionError),
    #[error(transparent)]
    AttachmentName(#[from] AttachmentNameError),
    #[error("Attachment '{name}' must be a JSON object")]
    AttachmentNotAnObject { name: String },
    #[error("Attachment '{name}' has a bad `{member}`: expected {expected}")]
    AttachmentMember { name: String, member: &'static str, expected: &'static str },
    #[error("Invalid attachment data for {name}")]
    AttachmentData { name: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BulkError {
    /// Of the whole body, or the first of the documents that is wrong: it fails them all.
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error("Request body must be a JSON object")]
    NotAnObject,
    #[error("POST body must include `docs` parameter.")]
    NoDocs,
    #[error("`docs` parameter must be an array.")]
    DocsNotAnArray,
    #[error("`{member}` parameter must be a boolean.")]
    NotABoolean { member: &'static str },
    #[error("`docs` has more than {max} documents")]
    TooMany { max: usize },
}

impl From<JsonError> for BulkError {
    fn from(error: JsonError) -> Self {
        Self::Document(DocumentError::Json(error))
    }
}
