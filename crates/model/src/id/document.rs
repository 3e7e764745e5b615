//! Ids of documents and of local documents.

use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

use super::text_id;
use crate::limits::DOCUMENT_ID_BYTES_MAX;

const DESIGN: &str = "_design/";
const LOCAL: &str = "_local/";

/// Not empty, at most [`DOCUMENT_ID_BYTES_MAX`] bytes, and beginning with an underscore only as
/// `_design/` and a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId(Arc<str>);

/// `_local/` and a name. The whole text, prefix included, is what is compared and shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalId(Arc<str>);

/// What may stand as `_id`, where the text decides which kind of document is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnyId {
    Document(DocumentId),
    Local(LocalId),
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DocumentIdError {
    #[error("Document id must not be empty")]
    Empty,
    #[error("Illegal document id `_design/`")]
    EmptyDesign,
    #[error("Illegal document id `_local/`")]
    EmptyLocal,
    #[error("Only reserved document ids may start with underscore.")]
    Reserved,
    /// `bytes` counts U+0000 as two.
    #[error("Document id is too long: {bytes} bytes, the limit is {DOCUMENT_ID_BYTES_MAX}")]
    TooLong { bytes: usize },
    #[error("a local document's id starts with `_local/`, this one does not")]
    NotLocal,
    #[error("a local document cannot stand here")]
    NotADocument,
}

/// Why an id cannot stand in a partitioned database. The texts are CouchDB's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PartitionError {
    #[error("Doc id must be of form partition:id")]
    NoPartition,
    #[error("Partition must not be empty")]
    Empty,
    #[error("Partition must not start with an underscore")]
    Underscore,
    /// What is behind the colon is no id.
    #[error(transparent)]
    Rest(#[from] DocumentIdError),
}

text_id!(DocumentId);
text_id!(LocalId);

impl DocumentId {
    pub fn is_design(&self) -> bool {
        self.0.starts_with(DESIGN)
    }

    /// Whether a partitioned database can hold the document: design documents, and those whose ids are
    /// a partition, a colon, and what could be an id by itself.
    ///
    /// Source: `couch_partition:validate_docid/1`.
    pub fn check_partition(&self) -> Result<(), PartitionError> {
        if self.is_design() {
            return Ok(());
        }
        let (partition, rest) = self.0.split_once(':').ok_or(PartitionError::NoPartition)?;
        match partition {
            "" => Err(PartitionError::Empty),
            _ if partition.starts_with('_') => Err(PartitionError::Underscore),
            _ => check(rest).map(drop).map_err(PartitionError::Rest),
        }
    }

    /// The name behind `_design/`.
    pub fn design_name(&self) -> Option<&str> {
        self.0.strip_prefix(DESIGN)
    }
}

impl LocalId {
    /// The name behind `_local/`.
    pub fn name(&self) -> &str {
        &self.0[LOCAL.len()..]
    }

    /// From the name behind `_local/`, as a path has it.
    pub fn from_name(name: &str) -> Result<Self, DocumentIdError> {
        format!("{LOCAL}{name}").parse()
    }
}

impl AnyId {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Document(id) => id.as_str(),
            Self::Local(id) => id.as_str(),
        }
    }
}

impl FromStr for AnyId {
    type Err = DocumentIdError;

    fn from_str(text: &str) -> Result<Self, DocumentIdError> {
        match check(text)? {
            Kind::Document => Ok(Self::Document(DocumentId(text.into()))),
            Kind::Local => Ok(Self::Local(LocalId(text.into()))),
        }
    }
}

impl FromStr for DocumentId {
    type Err = DocumentIdError;

    fn from_str(text: &str) -> Result<Self, DocumentIdError> {
        match check(text)? {
            Kind::Document => Ok(Self(text.into())),
            Kind::Local => Err(DocumentIdError::NotADocument),
        }
    }
}

impl FromStr for LocalId {
    type Err = DocumentIdError;

    fn from_str(text: &str) -> Result<Self, DocumentIdError> {
        match check(text)? {
            Kind::Document => Err(DocumentIdError::NotLocal),
            Kind::Local => Ok(Self(text.into())),
        }
    }
}

impl fmt::Display for AnyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<DocumentId> for AnyId {
    fn from(id: DocumentId) -> Self {
        Self::Document(id)
    }
}

impl From<LocalId> for AnyId {
    fn from(id: LocalId) -> Self {
        Self::Local(id)
    }
}

enum Kind {
    Document,
    Local,
}

fn check(text: &str) -> Result<Kind, DocumentIdError> {
    let kind = match text {
        "" => return Err(DocumentIdError::Empty),
        DESIGN => return Err(DocumentIdError::EmptyDesign),
        LOCAL => return Err(DocumentIdError::EmptyLocal),
        _ if !text.starts_with('_') || text.starts_with(DESIGN) => Kind::Document,
        _ if text.starts_with(LOCAL) => Kind::Local,
        _ => return Err(DocumentIdError::Reserved),
    };
    let bytes = text.len() + memchr::memchr_iter(0, text.as_bytes()).count();
    if bytes > DOCUMENT_ID_BYTES_MAX {
        return Err(DocumentIdError::TooLong { bytes });
    }
    Ok(kind)
}
