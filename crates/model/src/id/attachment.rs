//! Names of attachments.

use std::{str::FromStr, sync::Arc};

use thiserror::Error;

use super::text_id;
use crate::limits::ATTACHMENT_NAME_BYTES_MAX;

/// Not empty, not beginning with an underscore, at most [`ATTACHMENT_NAME_BYTES_MAX`] bytes. It may
/// contain slashes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttachmentName(Arc<str>);

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AttachmentNameError {
    #[error("Attachment name must not be empty")]
    Empty,
    #[error("Attachment name '{name}' starts with prohibited character '_'")]
    Underscore { name: String },
    #[error("Attachment name is too long: {bytes} bytes, the limit is {ATTACHMENT_NAME_BYTES_MAX}")]
    TooLong { bytes: usize },
}

text_id!(AttachmentName);

impl FromStr for AttachmentName {
    type Err = AttachmentNameError;

    fn from_str(name: &str) -> Result<Self, AttachmentNameError> {
        if name.is_empty() {
            return Err(AttachmentNameError::Empty);
        }
        if name.len() > ATTACHMENT_NAME_BYTES_MAX {
            return Err(AttachmentNameError::TooLong { bytes: name.len() });
        }
        if name.starts_with('_') {
            return Err(AttachmentNameError::Underscore { name: name.to_owned() });
        }
        Ok(Self(name.into()))
    }
}
