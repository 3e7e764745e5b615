//! Failures of functions, views and indexes.

use settle_index::{ViewError, tree::TreeError};
use settle_query::{design::DesignError, reduce::ReduceError};
use settle_script::{ScriptError, Thrown};
use settle_site::filter::FilterError;

use super::{ApiError, Code};

// No `_` arms below: a new way to fail must be given a code before this compiles.

impl From<FilterError> for ApiError {
    fn from(error: FilterError) -> Self {
        match error {
            FilterError::Form { .. } => Self::bad_request(error.to_string()),
            FilterError::NoMember { .. } => Self::new(Code::NotFound, error.to_string()),
            FilterError::Language { .. } => {
                Self::new(Code::UnknownQueryLanguage, error.to_string())
            }
            FilterError::Design(error) => error.into(),
        }
    }
}

impl From<ScriptError> for ApiError {
    fn from(error: ScriptError) -> Self {
        match error {
            ScriptError::Compilation { message, .. } => Self::new(Code::CompilationError, message),
            ScriptError::Missing { .. } => Self::new(Code::NotFound, error.to_string()),
            ScriptError::Thrown(thrown) => thrown.into(),
            ScriptError::Deadline { .. } => Self::new(Code::OsProcessTimeout, error.to_string()),
            ScriptError::Memory { .. }
            | ScriptError::TooLarge { .. }
            | ScriptError::BadResult { .. }
            | ScriptError::Died { .. } => Self::new(Code::OsProcessError, error.to_string()),
            ScriptError::Busy => Self::busy("Too many functions wait to be run.", 1),
            ScriptError::Closed => Self::busy("The server is stopping.", 5),
            ScriptError::Launch(_) => Self::internal(error),
        }
    }
}

/// What a function throws is its author's error, under a name of the author's choice.
///
/// Source: `couch_query_servers`, `chttpd:error_info/1`.
impl From<Thrown> for ApiError {
    fn from(Thrown { error, reason }: Thrown) -> Self {
        let known = [
            Code::BadRequest,
            Code::Unauthorized,
            Code::Forbidden,
            Code::NotFound,
            Code::MethodNotAllowed,
            Code::NotAcceptable,
            Code::Conflict,
            Code::Gone,
        ];
        match known.into_iter().find(|code| code.as_str() == error) {
            Some(code) => Self::new(code, reason),
            None => Self::new(Code::UnknownError, reason).named(error),
        }
    }
}

impl From<ReduceError> for ApiError {
    fn from(error: ReduceError) -> Self {
        match error {
            ReduceError::InvalidValue { reason } => Self::new(Code::BuiltinReduceError, reason),
            ReduceError::Unsupported { .. }
            | ReduceError::RankNotANumber
            | ReduceError::RankOutOfRange => Self::new(Code::InvalidDesignDoc, error.to_string()),
            ReduceError::Damaged => Self::internal(error),
        }
    }
}

impl From<DesignError> for ApiError {
    fn from(error: DesignError) -> Self {
        Self::new(Code::InvalidDesignDoc, error.to_string())
    }
}

impl From<TreeError> for ApiError {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Script(error) => error.into(),
            TreeError::Reduce(error) => error.into(),
            TreeError::Read(_)
            | TreeError::Damaged(_)
            | TreeError::Malformed { .. }
            | TreeError::Disorder => Self::internal(error),
        }
    }
}

impl From<ViewError> for ApiError {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::DesignMissing { .. } => Self::missing(),
            ViewError::DesignDeleted { .. } => Self::deleted(),
            ViewError::ViewMissing { .. } => Self::new(Code::NotFound, "missing_named_view"),
            ViewError::UnknownLanguage { .. } => {
                Self::new(Code::UnknownQueryLanguage, error.to_string())
            }
            ViewError::Design { source, .. } => DesignError::clone(&source).into(),
            ViewError::Script(error) => error.into(),
            ViewError::Tree(error) => error.into(),
            ViewError::Storage(error) => error.into(),
            ViewError::Closed => Self::busy("The server is stopping.", 5),
            ViewError::Damaged { .. } | ViewError::Files { .. } | ViewError::Update { .. } => {
                Self::internal(error)
            }
        }
    }
}
