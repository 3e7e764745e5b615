//! What travels between replicators and databases: the bodies and parameters of requests, and the
//! bodies of their replies. For hosts that reach a database over HTTP; how that is spoken is theirs.
//!
//! Peers of every age and make answer, so replies are read with patience: a document or row that makes
//! no sense costs itself alone, never the reply that it stands in.
//!
//! Source: `couch_replicator_api_wrap`; the requests are those that CouchDB's replicator makes.

mod document;
mod replies;
mod requests;

use thiserror::Error;

pub use self::{
    document::parse_document,
    replies::{
        parse_bulk_docs, parse_bulk_get, parse_changes, parse_checkpoint, parse_committed,
        parse_filter, parse_info, parse_open_revs, parse_problem, parse_revs_diff,
    },
    requests::{
        bulk_docs_body, bulk_get_body, changes_body, changes_query, checkpoint_body,
        open_revs_query, revs_diff_body,
    },
};

/// A reply is not what was asked for: a [`FailureKind::Broken`](crate::replication::FailureKind).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the reply to {request} is no {expected}")]
pub struct WireError {
    pub request: &'static str,
    pub expected: &'static str,
}
