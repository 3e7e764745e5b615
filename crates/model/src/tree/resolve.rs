//! Ending a conflict: one of the live leaves stays, or is edited, and the others are closed by tombstones.
//!
//! What a plan leads to are ordinary edits, so it replicates like any other. The leaf that stays is then the only
//! one that is live, and a live leaf beats every tombstone: wherever these revisions have come, it wins. The ids
//! of tombstones follow from what they close, so replicas that resolve alike make the same revisions.

use std::collections::BTreeSet;

use thiserror::Error;

use super::RevTree;
use crate::revision::RevId;

/// What resolving does to the live leaves of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// Stays as it is, or is what a merged body is made from.
    pub kept: RevId,
    /// All other live leaves, winner first. Each of them gets a tombstone.
    pub closed: Vec<RevId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ResolveError {
    #[error("the document is missing")]
    Missing,
    #[error("the document is deleted")]
    Deleted,
    #[error("{rev} is not a live leaf of the document")]
    NotLive { rev: RevId },
    /// There are other live leaves by now than those that were looked at.
    #[error("the live leaves of the document are {}", list(.live))]
    Moved { live: Vec<RevId> },
}

impl<T> RevTree<T> {
    /// Plans to keep the leaf that is named, or else the winner. `seen` are the live leaves that whoever resolves
    /// has looked at, in any order; without it there may be any.
    pub fn resolve(
        &self,
        kept: Option<&RevId>,
        seen: Option<&[RevId]>,
    ) -> Result<Resolution, ResolveError> {
        let winner = self.winner().ok_or(ResolveError::Missing)?;
        let live = || self.leaves.iter().filter(|leaf| !leaf.deleted).map(|leaf| &leaf.rev);
        if winner.deleted {
            return Err(ResolveError::Deleted);
        }
        if let Some(seen) = seen
            && live().collect::<BTreeSet<_>>() != seen.iter().collect()
        {
            return Err(ResolveError::Moved { live: live().cloned().collect() });
        }
        let kept = kept.unwrap_or(&winner.rev);
        if !live().any(|rev| rev == kept) {
            return Err(ResolveError::NotLive { rev: kept.clone() });
        }
        let closed = live().filter(|rev| *rev != kept).cloned().collect();
        Ok(Resolution { kept: kept.clone(), closed })
    }
}

fn list(revs: &[RevId]) -> String {
    let revs: Vec<String> = revs.iter().map(RevId::to_string).collect();
    revs.join(", ")
}
