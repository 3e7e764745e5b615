//! Failures of finding documents and of the indexes for it.
//!
//! Source: `mango_error:info/2`, whose codes these are, where it has one.

use settle_index::{DefinitionError, FindError};
use settle_query::{mango::MangoError, selector::SelectorError};

use super::{ApiError, Code};

// No `_` arms below: a new way to fail must be given a code before this compiles.

impl From<SelectorError> for ApiError {
    fn from(error: SelectorError) -> Self {
        let code = match &error {
            SelectorError::BadArgument { .. } => Code::BadArg,
            SelectorError::InvalidOperator { .. } => Code::InvalidOperator,
            SelectorError::NotSupported { .. } => Code::NotSupported,
            SelectorError::InvalidFieldName { .. } => Code::InvalidFieldName,
            SelectorError::MissingFieldName => Code::InvalidSelector,
            SelectorError::BadField { .. } => Code::BadField,
            SelectorError::NotAnObject { .. } => Code::InvalidSelectorJson,
        };
        Self::new(code, error.to_string())
    }
}

impl From<MangoError> for ApiError {
    fn from(error: MangoError) -> Self {
        let code = match &error {
            MangoError::Selector(error) => return error.clone().into(),
            MangoError::NotAnObject
            | MangoError::InvalidStale { .. }
            | MangoError::InvalidPartitioned { .. } => Code::BadRequest,
            MangoError::InvalidKey { .. } => Code::InvalidKey,
            MangoError::MissingKey { .. } => Code::MissingRequiredKey,
            MangoError::InvalidString { .. } => Code::InvalidString,
            MangoError::InvalidBoolean { .. } => Code::InvalidBoolean,
            MangoError::InvalidPositive { .. } => Code::InvalidPosInteger,
            MangoError::InvalidNonNegative { .. } => Code::InvalidNonNegInteger,
            MangoError::EmptyString => Code::InvalidEmptyString,
            MangoError::InvalidIndexName { .. } => Code::InvalidIndexName,
            MangoError::InvalidBulkDocs { .. } => Code::InvalidBulkDocs,
            MangoError::InvalidBookmark { .. } => Code::InvalidBookmark,
            MangoError::InvalidFields { .. } => Code::InvalidFields,
            MangoError::InvalidField { .. } => Code::InvalidField,
            MangoError::InvalidSort { .. } => Code::InvalidSortJson,
            MangoError::InvalidSortField { .. } => Code::InvalidSortField,
            MangoError::MixedSort => Code::UnsupportedMixedSort,
            MangoError::NoDefinition
            | MangoError::InvalidIndexJson { .. }
            | MangoError::InvalidIndexType { .. }
            | MangoError::NoIndexNamed
            | MangoError::IndexUnsuitable { .. } => Code::InvalidIndex,
            MangoError::SearchMissing { .. } => Code::IndexServiceUnavailable,
            MangoError::DesignLanguage { .. } => Code::InvalidDdocLang,
            MangoError::PartitionedMismatch { .. } => Code::InvalidPartitionedOption,
            MangoError::NoIndexForSort { .. } => Code::NoUsableIndex,
            MangoError::InvalidAggregate { .. } => Code::InvalidAggregate,
            MangoError::InvalidJoin { .. } => Code::InvalidJoin,
            MangoError::TooManyGroups => Code::TooManyGroups,
        };
        Self::new(code, error.to_string())
    }
}

impl From<FindError> for ApiError {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Request(error) => error.into(),
            FindError::View(error) => error.into(),
            FindError::NotPartitioned => Self::bad_request("database is not partitioned"),
            FindError::NoJoinIndex { .. } => Self::new(Code::NoUsableIndex, error.to_string()),
            FindError::JoinTooLarge | FindError::JoinOfPast => {
                Self::new(Code::InvalidJoin, error.to_string())
            }
            FindError::Past(error) => error.into(),
        }
    }
}

impl From<DefinitionError> for ApiError {
    fn from(error: DefinitionError) -> Self {
        match error {
            DefinitionError::Request(error) => error.into(),
            DefinitionError::Name(error) => error.into(),
            DefinitionError::Missing => Self::missing(),
            DefinitionError::Design(error) => error.into(),
            DefinitionError::Edit(error) => error.into(),
            DefinitionError::Storage(error) => error.into(),
        }
    }
}
