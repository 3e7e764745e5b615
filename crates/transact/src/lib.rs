//! The rules of transactions, as plain functions: what an exchange asks for, and what a transaction makes of
//! documents as they are.
//!
//! An [`Exchange`] is taken apart once, at the edge. [`Transaction::plan`] is given the documents that it names and
//! says what is to be written, or why nothing is. Whoever calls it decides when that is: the database does so in
//! its writer's turn, so that nothing can change in between.
//!
//! Documents stay JSON as it was sent: what a transaction does not touch keeps its spelling, and numbers are
//! calculated as decimals, so that no digit of a price or of a long number is lost.
//!
//! No I/O, no clock, no storage.

mod call;
mod decimal;
mod exchange;
pub mod limits;
mod operation;
mod outcome;
pub mod patch;
mod plan;
mod same;
mod transaction;
mod tree;

pub use self::{
    call::{BadDone, Done},
    exchange::{Exchange, ExchangeError, ExchangeProblem, Mode},
    operation::{FieldOperation, OperationProblem},
    outcome::{accepted, refused},
    plan::{Change, Content, Plan, Present, Reason, Refusal, Taken},
    transaction::{Call, Requirement, Transaction, Write, WriteKind},
};
