//! Positions in the changes of a source, which only the source understands.

use std::{borrow::Cow, fmt, sync::Arc};

use settle_model::json;
use thiserror::Error;

use crate::limits::SEQ_BYTES_MAX;

/// A position in the source's order of changes, kept as the source wrote it and sent back so.
///
/// Servers write strings that begin with an integer (`"12-g1AAA…"`), old ones integers or arrays.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Seq(Arc<str>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a sequence must be a string, a number or an array of at most {SEQ_BYTES_MAX} bytes")]
pub struct SeqError;

impl Seq {
    /// Before the first change.
    pub fn zero() -> Self {
        Self("0".into())
    }

    /// `value` is minified JSON.
    pub fn from_json(value: &[u8]) -> Result<Self, SeqError> {
        let fits = value.len() <= SEQ_BYTES_MAX;
        match (value.first(), str::from_utf8(value)) {
            (Some(b'"' | b'[' | b'0'..=b'9'), Ok(text)) if fits => Ok(Self(text.into())),
            _ => Err(SeqError),
        }
    }

    /// From text that is the value of a JSON string.
    pub fn from_text(text: &str) -> Self {
        let mut json = Vec::with_capacity(text.len() + 2);
        json::write_string(&mut json, text);
        Self(String::from_utf8(json).expect("a JSON string is UTF-8").into())
    }

    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// What stands in a URL: the text of a string, the JSON of anything else.
    pub fn text(&self) -> Cow<'_, str> {
        json::string_value(self.0.as_bytes()).unwrap_or(Cow::Borrowed(&self.0))
    }

    /// The number that it begins with. Of one source, a later position does not have a lesser one.
    pub fn integer(&self) -> Option<u64> {
        let text = self.text();
        let text = text.trim_start_matches('[').trim_start();
        let end = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
        text[..end].parse().ok()
    }

    pub fn is_zero(&self) -> bool {
        self.text() == "0"
    }

    /// The one that lies further back, as far as that can be told; `self` if it cannot.
    #[must_use]
    pub fn earlier(&self, other: &Self) -> Self {
        match (self.integer(), other.integer()) {
            (Some(mine), Some(others)) if others < mine => other.clone(),
            _ => self.clone(),
        }
    }
}

/// As JSON.
impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
