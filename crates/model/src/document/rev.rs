//! What may stand as `_rev`.

use std::{fmt, str::FromStr};

use crate::revision::{RevId, RevisionError};

/// The revision of a document, or the counter of a local document, which is written `0-12`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnyRev {
    Document(RevId),
    Local(u64),
}

impl AnyRev {
    /// Appends the text, without the machinery of `Display`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Document(rev) => rev.write_to(out),
            Self::Local(count) => {
                out.extend_from_slice(b"0-");
                out.extend_from_slice(itoa::Buffer::new().format(*count).as_bytes());
            }
        }
    }

    /// The revision of a document; `None` for a local document's.
    pub fn into_document(self) -> Option<RevId> {
        match self {
            Self::Document(rev) => Some(rev),
            Self::Local(_) => None,
        }
    }
}

impl FromStr for AnyRev {
    type Err = RevisionError;

    fn from_str(text: &str) -> Result<Self, RevisionError> {
        let Some(count) = text.strip_prefix("0-") else {
            return text.parse().map(Self::Document);
        };
        match count.parse() {
            Ok(number) if count.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(Self::Local(number))
            }
            Ok(_) | Err(_) => Err(RevisionError::NotARevision),
        }
    }
}

impl fmt::Display for AnyRev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(rev) => rev.fmt(f),
            Self::Local(count) => write!(f, "0-{count}"),
        }
    }
}

impl From<RevId> for AnyRev {
    fn from(rev: RevId) -> Self {
        Self::Document(rev)
    }
}
