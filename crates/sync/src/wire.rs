//! What travels between replicators and databases: the bodies and parameters of requests, and the
//! bodies of their replies. For hosts that reach a database over HTTP; how that is spoken is theirs.
//!
//! | request | asked as | its reply |
//! |---|---|---|
//! | `Create` | `PUT /{db}` with `create_target_params` | also 412: it is there |
//! | `Info` | `GET /{db}` | [`parse_info`] |
//! | `ReadCheckpoint` | `GET /{db}/_local/{id}` | [`parse_checkpoint`] |
//! | `Changes` | `GET /{db}/_changes`, [`changes_query`]; `POST` with a [`changes_body`] | [`parse_changes`] |
//! | `Diff` | `POST /{db}/_revs_diff`, [`revs_diff_body`] | [`parse_revs_diff`] |
//! | `Fetch`, bulk | `POST /{db}/_bulk_get`, [`bulk_get_query`], [`bulk_get_body`] | [`parse_bulk_get`], also of a reply that was cut |
//! | `Fetch`, one | `GET /{db}/{doc}`, [`open_revs_query`], as JSON | [`parse_open_revs`] |
//! | `Stage` | `GET /{db}/{doc}/{attachment}?rev=`, from an offset | 200 instead of 206: from 0 on |
//! | `Write` | `POST /{db}/_bulk_docs`, [`bulk_docs_body`] | [`parse_bulk_docs`], of 201 and 417 |
//! | `WriteStaged` | `PUT /{db}/{doc}?new_edits=false`, multipart | 201, 202 |
//! | `Commit` | `POST /{db}/_ensure_full_commit` | [`parse_committed`] |
//! | `WriteCheckpoint` | `PUT /{db}/_local/{id}`, [`checkpoint_body`] | [`parse_rev`] |
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
        parse_filter, parse_info, parse_open_revs, parse_problem, parse_rev, parse_revs_diff,
    },
    requests::{
        bulk_docs_body, bulk_get_body, bulk_get_query, changes_body, changes_query,
        checkpoint_body, open_revs_query, revs_diff_body,
    },
};

/// A reply is not what was asked for: a [`FailureKind::Broken`](crate::replication::FailureKind).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the reply to {request} is no {expected}")]
pub struct WireError {
    pub request: &'static str,
    pub expected: &'static str,
}
