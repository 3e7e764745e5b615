//! Failures of exchanges and of what their outcomes are remembered by.

use settle_database::RetentionError;
use settle_site::TransactError;
use settle_transact::{ExchangeError, ExchangeProblem};

use super::{ApiError, Code};

impl From<ExchangeError> for ApiError {
    fn from(error: ExchangeError) -> Self {
        let code = match &error.problem {
            ExchangeProblem::Selector(error) => Self::from(error.clone()).code(),
            ExchangeProblem::Document { error, .. } => Self::from(error.clone()).code(),
            ExchangeProblem::DocumentId(_) => Code::IllegalDocid,
            ExchangeProblem::TooManyTransactions
            | ExchangeProblem::TooMuchInOne
            | ExchangeProblem::TooManyTogether
            | ExchangeProblem::TooManyCallsTogether
            | ExchangeProblem::TooManyOperations { .. } => Code::TooLarge,
            ExchangeProblem::Json(_)
            | ExchangeProblem::NotAnObject
            | ExchangeProblem::Member { .. }
            | ExchangeProblem::Unknown { .. }
            | ExchangeProblem::Client
            | ExchangeProblem::Id
            | ExchangeProblem::SameId { .. }
            | ExchangeProblem::Since(_)
            | ExchangeProblem::NotHere { .. }
            | ExchangeProblem::WrittenTwice { .. }
            | ExchangeProblem::Put { .. }
            | ExchangeProblem::Special { .. }
            | ExchangeProblem::Patch { .. }
            | ExchangeProblem::OneWrite { .. }
            | ExchangeProblem::CallOrWrites
            | ExchangeProblem::Call
            | ExchangeProblem::NoRequirement { .. }
            | ExchangeProblem::Operation { .. } => Code::BadRequest,
        };
        Self::new(code, error.to_string())
    }
}

impl From<TransactError> for ApiError {
    fn from(error: TransactError) -> Self {
        match error {
            TransactError::Kind => Self::new(Code::Forbidden, error.to_string()),
            TransactError::Reused { .. } => Self::new(Code::IdReused, error.to_string()),
            TransactError::Attachment(error) => error.into(),
            TransactError::Storage(error) => error.into(),
        }
    }
}

impl From<RetentionError> for ApiError {
    fn from(error: RetentionError) -> Self {
        match error {
            RetentionError::OutOfRange => Self::bad_request(error.to_string()),
            RetentionError::Storage(error) => error.into(),
        }
    }
}
