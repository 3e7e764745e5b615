//! An exchange: all that a client asks for at once, with what the server needs to know of it.
//!
//! `{"client": …, "since": …, "mode": …, "changes_limit": …, "include_docs": …, "transactions": [{"id": …, "require":
//! […], "writes": […]}]}`, or with `"call"` instead of writes. What a member means stands in `docs/transactions.md`. A member that means nothing is
//! refused: one that is misspelt, such as a requirement, must not be passed over.

pub(crate) mod parse;

use settle_model::{
    document::DocumentError,
    id::DocumentIdError,
    json::JsonError,
    sequence::{Since, SinceError},
};
use settle_query::selector::SelectorError;
use thiserror::Error;

use crate::{
    limits::{
        CALLS_TOGETHER_MAX, CLIENT_BYTES_MAX, ID_BYTES_MAX, OPERATIONS_MAX, REQUIREMENTS_MAX,
        TRANSACTIONS_MAX, WRITES_MAX, WRITES_TOGETHER_MAX,
    },
    patch::PatchSyntaxError,
    transaction::Transaction,
};

#[derive(Debug, Clone)]
pub struct Exchange {
    /// Whose transactions these are: the ids of two clients never meet.
    pub client: String,
    /// What the client has seen; without it nothing is told of what others changed.
    pub since: Option<Since>,
    pub mode: Mode,
    /// Changes of others at most.
    pub changes_limit: Option<u64>,
    pub include_docs: bool,
    /// In order.
    pub transactions: Vec<Transaction>,
}

/// How the transactions of an exchange hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Those behind one that is refused are not attempted.
    #[default]
    Stop,
    /// Each stands alone.
    GoOn,
    /// All are accepted, or none is.
    AllInOne,
}

/// Why an exchange was not understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}{problem}", place(*.transaction))]
pub struct ExchangeError {
    /// The place of the transaction that is wrong, from 0.
    pub transaction: Option<usize>,
    pub problem: ExchangeProblem,
}

fn place(transaction: Option<usize>) -> String {
    transaction.map_or_else(String::new, |at| format!("transaction {at}: "))
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExchangeProblem {
    #[error("{}", .0.reason())]
    Json(#[from] JsonError),
    #[error("an exchange is a JSON object")]
    NotAnObject,
    #[error("`{member}` must be {expected}")]
    Member { member: &'static str, expected: &'static str },
    #[error("`{member}` means nothing in {place}")]
    Unknown { member: String, place: &'static str },
    #[error("`client` must be text of 1 to {CLIENT_BYTES_MAX} bytes")]
    Client,
    #[error("`id` must be text of 1 to {ID_BYTES_MAX} bytes")]
    Id,
    #[error("two transactions have the id {id:?}")]
    SameId { id: String },
    #[error(transparent)]
    Since(#[from] SinceError),
    #[error(transparent)]
    DocumentId(#[from] DocumentIdError),
    #[error("{id}: local documents and design documents are written by requests of their own")]
    NotHere { id: String },
    #[error("{id} is written twice")]
    WrittenTwice { id: String },
    #[error("{id}: {error}")]
    Document { id: String, error: DocumentError },
    #[error("{id}: `put` says of `{member}` what only the address says, or another write")]
    Put { id: String, member: &'static str },
    #[error("{id}: `{name}` belongs to the server")]
    Special { id: String, name: String },
    #[error("{id}: {error}")]
    Patch { id: String, error: PatchSyntaxError },
    #[error(transparent)]
    Selector(#[from] SelectorError),
    #[error("{id}: a write is one of `put`, `patch`, `json_patch`, `delete` and `ops`")]
    OneWrite { id: String },
    #[error("a transaction has `writes`, or a `call` that says what they are")]
    CallOrWrites,
    #[error("`call` is {{\"function\": \"design/name\", \"args\": …}}")]
    Call,
    #[error("{id}: a requirement is one of `exists`, `absent`, `rev` and `match`, or several")]
    NoRequirement { id: String },
    #[error(
        "{id}: an operation is one of `inc`, `append`, `remove` and `take`, of {{\"field\": …}}"
    )]
    Operation { id: String },
    #[error("more than {TRANSACTIONS_MAX} transactions in one exchange")]
    TooManyTransactions,
    #[error("more than {REQUIREMENTS_MAX} requirements or {WRITES_MAX} writes in one transaction")]
    TooMuchInOne,
    #[error("more than {WRITES_TOGETHER_MAX} writes that are all in one")]
    TooManyTogether,
    #[error("more than {CALLS_TOGETHER_MAX} calls of functions that are all in one")]
    TooManyCallsTogether,
    #[error("{id}: more than {OPERATIONS_MAX} operations")]
    TooManyOperations { id: String },
}
