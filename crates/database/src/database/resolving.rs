//! Ending the conflict of a document. What is done is decided by [`RevTree::resolve`](settle_model::tree::RevTree::resolve)
//! on the document as it stands; the edits that follow from it are one atomic write, which the writer refuses when
//! the document has changed in between. So they pass validators like all others.

use settle_access::{Grant, Write};
use settle_model::{
    id::DocumentId,
    revision::RevId,
    tree::{Resolution, ResolveError},
};

use crate::{
    Database,
    edit::{Content, Edit, Origin, Verdict},
    error::StorageError,
    record::head::Head,
};

/// How a document's conflict is ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedResolution {
    id: DocumentId,
    /// The sequence of the document that it was decided on.
    seen: u64,
    pub resolution: Resolution,
}

impl Database {
    /// Decides how a conflict is ended: `kept` stays, or else the winner. `seen` are the live leaves that whoever
    /// asks has looked at; without them there may be any.
    pub async fn plan_resolution(
        &self,
        grant: &Grant<Write>,
        id: &DocumentId,
        kept: Option<&RevId>,
        seen: Option<&[RevId]>,
    ) -> Result<Result<PlannedResolution, ResolveError>, StorageError> {
        self.inner.check(grant);
        let key = self.inner.keys.head(id);
        let head = self.inner.shared.engine.get(key.clone()).await?;
        self.inner.check_alive()?;
        let Some(head) = head else { return Ok(Err(ResolveError::Missing)) };
        let head = Head::decode(&key, &head)?;
        let resolution = head.tree.resolve(kept, seen);
        Ok(resolution.map(|resolution| PlannedResolution {
            id: id.clone(),
            seen: head.sequence,
            resolution,
        }))
    }
}

impl PlannedResolution {
    /// For one atomic write: what is made of the leaf that is kept, if anything is, then the tombstones.
    pub fn edits(&self, merged: Option<Content>) -> Vec<Edit> {
        let edit = |leaf: &RevId, content, deleted| Edit {
            id: self.id.clone(),
            origin: Origin::Resolution { leaf: leaf.clone(), seen: self.seen },
            deleted,
            content,
            verdict: Verdict::NONE,
        };
        let merged = merged.map(|content| edit(&self.resolution.kept, content, false));
        let empty = || Content::Whole { body: b"{}".to_vec(), attachments: Vec::new() };
        let closed = self.resolution.closed.iter().map(|leaf| edit(leaf, empty(), true));
        merged.into_iter().chain(closed).collect()
    }
}
