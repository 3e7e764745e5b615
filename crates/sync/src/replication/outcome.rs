//! How a replication ends.

use settle_model::revision::RevId;
use thiserror::Error;

use super::message::{FailureKind, Side};
use crate::{checkpoint::Checkpoint, json::Object};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What stands on both sides now.
    pub checkpoint: Option<Checkpoint>,
    /// Whether this run wrote it.
    pub recorded: bool,
    pub ending: Ending,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// All is there.
    Completed,
    Cancelled,
    /// It may be started again, after [`crate::job_pause`], and goes on from its checkpoint.
    Failed(ReplicationError),
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReplicationError {
    /// A request was refused for good, or too often. `reason` is in the words of the peer. If that is
    /// busy, and says for how long, the next run shall not start before.
    #[error("{} of the {side} failed, {kind}: {reason}", .what)]
    Request { side: Side, what: &'static str, kind: FailureKind, reason: String },
    /// The source lists a revision in its changes, but has not got it.
    #[error("the source does not give revision {rev} of document {id:?}: {reason}")]
    Document { id: String, rev: RevId, reason: String },
    /// What was written may be lost, or it is another database.
    #[error("instance_start_time on {side} database has changed since last checkpoint.")]
    InstanceChanged { side: Side },
    /// Somebody else wrote it: maybe a second run of the same replication.
    #[error("Error updating the {side} checkpoint document: conflict")]
    CheckpointConflict { side: Side },
}

impl ReplicationError {
    /// CouchDB's short word for it, as far as it has one.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Request { kind: FailureKind::Unauthorized, .. } => "unauthorized",
            Self::Request { kind: FailureKind::Forbidden, .. } => "forbidden",
            Self::Request { kind: FailureKind::NotFound, what: "info", .. } => "db_not_found",
            Self::Request { kind: FailureKind::Busy { .. }, .. } => "max_backoff",
            Self::Request { what: "changes", .. } => "changes_req_failed",
            Self::Request { what: "bulk_docs", .. } => "bulk_docs_failed",
            Self::Request { what: "revs_diff", .. } => "revs_diff_failed",
            Self::Request { .. } => "http_request_failed",
            Self::Document { .. } => "missing_doc",
            Self::InstanceChanged { .. } | Self::CheckpointConflict { .. } => {
                "checkpoint_commit_failure"
            }
        }
    }
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Target => "target",
        })
    }
}

impl Outcome {
    /// What `_replicate` answers when a one-shot replication has completed.
    pub fn to_json(&self, use_checkpoints: bool) -> Vec<u8> {
        let mut object = Object::new();
        object.flag("ok", true);
        if !use_checkpoints {
            object.flag("use_checkpoints", false);
            return object.finish();
        }
        if !self.recorded {
            object.flag("no_changes", true);
        }
        if let Some(checkpoint) = &self.checkpoint {
            checkpoint.write(&mut object);
        }
        object.finish()
    }
}
