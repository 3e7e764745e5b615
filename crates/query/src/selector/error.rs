//! Why a selector is refused, in CouchDB's words.

use thiserror::Error;

/// The text is what clients are told. Source: `mango_error:info/2`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SelectorError {
    /// `argument` as Erlang prints it.
    #[error("Bad argument for operator {operator}: {argument}")]
    BadArgument { operator: String, argument: String },
    #[error("Invalid operator: {operator}")]
    InvalidOperator { operator: String },
    #[error("Unsupported operator: {operator}")]
    NotSupported { operator: String },
    #[error("Invalid field name: {field}")]
    InvalidFieldName { field: String },
    #[error("One or more conditions is missing a field name.")]
    MissingFieldName,
    /// `selector` as Erlang prints it.
    #[error("Invalid field normalization on selector: {selector}")]
    BadField { selector: String },
    /// `value` as Erlang prints it.
    #[error("Selector must be a JSON object, not: {value}")]
    NotAnObject { value: String },
}
