//! What is wrong with a text, and where.

use std::{borrow::Cow, fmt};

use thiserror::Error;

use super::limits::{JSON_DEPTH_MAX, JSON_INTEGER_DIGITS_MAX};

/// One word wide, because every step of the scanner returns it.
#[derive(Clone, PartialEq, Eq, Error)]
#[error("{} at byte {}", .0.problem, .0.offset)]
pub struct JsonError(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    offset: usize,
    problem: JsonProblem,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JsonProblem {
    #[error("a byte that is not UTF-8")]
    NotUtf8,
    #[error("expected {expected}")]
    Expected { expected: &'static str },
    #[error("the text ends, expected {expected}")]
    Ended { expected: &'static str },
    #[error("text after the value")]
    TrailingText,
    #[error("a control character inside a string; write it as an escape")]
    ControlCharacter,
    #[error("an escape that JSON does not know")]
    UnknownEscape,
    #[error("half a surrogate pair")]
    LoneSurrogate,
    #[error("a number beyond the range of a double")]
    NumberOutOfRange,
    #[error("an integer of more than {JSON_INTEGER_DIGITS_MAX} digits")]
    IntegerTooLong,
    #[error("nested deeper than {JSON_DEPTH_MAX} levels")]
    TooDeep,
    /// The key is cut where it is long.
    #[error("a second member {key:?} in one object")]
    DuplicateKey { key: String },
}

impl JsonError {
    #[cold]
    pub(super) fn new(offset: usize, problem: JsonProblem) -> Self {
        Self(Box::new(Inner { offset, problem }))
    }

    pub fn offset(&self) -> usize {
        self.0.offset
    }

    pub fn problem(&self) -> &JsonProblem {
        &self.0.problem
    }

    /// What clients are told: CouchDB's words for what is no JSON, ours for JSON that is refused.
    pub fn reason(&self) -> Cow<'static, str> {
        match self.0.problem {
            JsonProblem::NotUtf8
            | JsonProblem::Expected { .. }
            | JsonProblem::Ended { .. }
            | JsonProblem::TrailingText
            | JsonProblem::ControlCharacter
            | JsonProblem::UnknownEscape => Cow::Borrowed("invalid UTF-8 JSON"),
            JsonProblem::LoneSurrogate
            | JsonProblem::NumberOutOfRange
            | JsonProblem::IntegerTooLong
            | JsonProblem::TooDeep
            | JsonProblem::DuplicateKey { .. } => Cow::Owned(self.to_string()),
        }
    }
}

impl fmt::Debug for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
