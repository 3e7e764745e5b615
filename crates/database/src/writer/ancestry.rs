//! What stands outside the head and a plan may need: older ancestry, bodies, the past.

use std::collections::HashMap;

use settle_engine::Operation;
use settle_model::{
    id::DocumentId,
    revision::{RevId, RevPath},
    tree::{Segment, TreeError},
};

use super::group::{Group, subtract};
use crate::{
    error::StorageError,
    limits::{HEAD_ANCESTORS, SEGMENT_REVISIONS},
    record::{body::decode_record, history::PastBody, segment},
};

impl Group<'_> {
    /// Fetches a document's older ancestry where a graft of `path` depends on it.
    pub(super) async fn expand_for(
        &mut self,
        id: &DocumentId,
        path: &RevPath,
    ) -> Result<(), StorageError> {
        if self.head(id).is_some_and(|head| head.tree.graft_needs_older(path)) {
            self.expand(id).await?;
        }
        Ok(())
    }

    /// Takes all segments of a document back into its tree. In storage they stay until
    /// [`repack`](Self::repack) knows which of them are still as they should be.
    pub(super) async fn expand(&mut self, id: &DocumentId) -> Result<(), StorageError> {
        self.expand_with(id, Vec::new()).await
    }

    /// `fresh` are segments that have just been cut off, and are not stored.
    async fn expand_with(
        &mut self,
        id: &DocumentId,
        fresh: Vec<Segment>,
    ) -> Result<(), StorageError> {
        let mut segments: HashMap<RevId, Segment> =
            fresh.into_iter().map(|segment| (newest(&segment), segment)).collect();
        let cuts: Vec<RevId> =
            self.head_mut(id).tree.cuts().map(|cut| cut.newest.clone()).collect();
        for cut in cuts {
            self.take_in(id, cut, &mut segments).await?;
        }
        let load = |rev: &RevId| -> Result<Segment, Expansion> {
            segments.get(rev).cloned().ok_or(Expansion::Lost)
        };
        self.head_mut(id).tree.expand(load).map_err(|error| match error {
            Expansion::Lost => {
                StorageError::Inconsistent { reason: format!("a segment of {id} is gone") }
            }
            Expansion::Tree(error) => StorageError::Inconsistent { reason: error.to_string() },
        })
    }

    /// Fetches the segments behind a cut, but for those that are in `segments`.
    async fn take_in(
        &mut self,
        id: &DocumentId,
        cut: RevId,
        segments: &mut HashMap<RevId, Segment>,
    ) -> Result<(), StorageError> {
        let mut next = Some(cut);
        while let Some(rev) = next {
            if let Some(segment) = segments.get(&rev) {
                next = segment.older.as_ref().map(|cut| cut.newest.clone());
                continue;
            }
            let key = self.inner.keys.segment(id, &rev);
            let Some(value) = self.get(&key).await? else { return Ok(()) };
            let segment = segment::decode(&key, &value)?;
            next = segment.older.as_ref().map(|cut| cut.newest.clone());
            self.slot(id).taken_in.push(segment.clone());
            segments.insert(rev, segment);
        }
        Ok(())
    }

    /// Forgets what is beyond the limit of revisions, and moves old ancestry out of the head.
    pub(super) async fn repack(&mut self, id: &DocumentId) -> Result<(), StorageError> {
        let limit = self.live.revs_limit;
        let tree = &mut self.head_mut(id).tree;
        let mut cuts: Vec<RevId> = tree.cuts().map(|cut| cut.newest.clone()).collect();
        tree.stem(limit);
        let had_cuts = !cuts.is_empty();
        cuts.retain(|cut| tree.cuts().all(|left| left.newest != *cut));
        let mut segments = tree.split_older(HEAD_ANCESTORS, SEGMENT_REVISIONS);
        for cut in cuts {
            // The limit leaves nothing of what is behind this one.
            self.take_in(id, cut, &mut HashMap::new()).await?;
        }
        if had_cuts && !segments.is_empty() {
            // Once in so many edits all of the ancestry is laid out anew, so that segments beyond
            // the limit go.
            self.expand_with(id, segments).await?;
            let tree = &mut self.head_mut(id).tree;
            tree.stem(limit);
            segments = tree.split_older(HEAD_ANCESTORS, SEGMENT_REVISIONS);
        }
        self.settle_segments(id, &segments);
        Ok(())
    }

    /// Stores a document's segments in place of those that its tree has taken in. Most are the same.
    pub(super) fn settle_segments(&mut self, id: &DocumentId, segments: &[Segment]) {
        let taken_in = std::mem::take(&mut self.slot(id).taken_in);
        for segment in &taken_in {
            if segments.contains(segment) {
                continue;
            }
            let key = self.inner.keys.segment(id, &newest(segment));
            let bytes = key.len() + segment::encode(segment, &key).len();
            subtract(&mut self.state.sizes.active, bytes as u64);
            self.delete(key);
        }
        for segment in segments {
            if taken_in.contains(segment) {
                continue;
            }
            let key = self.inner.keys.segment(id, &newest(segment));
            let value = segment::encode(segment, &key);
            self.state.sizes.active += self.put(key, value);
        }
    }

    /// The payload of the newest revision of `path` that can still be read.
    pub(super) async fn nearest_payload(
        &self,
        id: &DocumentId,
        path: &RevPath,
    ) -> Result<Option<Vec<u8>>, StorageError> {
        let Some(head) = self.head(id) else { return Ok(None) };
        for rev in path.revs() {
            if let Some(leaf) = head.tree.leaf(&rev) {
                return Ok(Some(self.payload(&leaf.payload).await?));
            }
        }
        match self.find_past(id, path.revs().collect()).await?.map(|leaf| leaf.body) {
            Some(PastBody::Inline(payload)) => Ok(Some(payload)),
            Some(PastBody::Record { number, .. }) => Ok(Some(self.body_record(number).await?)),
            Some(PastBody::Later | PastBody::Erased) | None => Ok(None),
        }
    }

    /// The payload of a leaf's body.
    pub(super) async fn body_record(&self, number: u64) -> Result<Vec<u8>, StorageError> {
        let key = self.inner.keys.body(number);
        let value = if self.is_planned_body(number) {
            self.get(&key).await?
        } else {
            self.inner.shared.engine.get(key.clone()).await?
        };
        let lost = || StorageError::Inconsistent { reason: format!("body {number} is gone") };
        let value = value.ok_or_else(lost)?;
        Ok(decode_record(&key, &value)?.to_vec())
    }

    /// A value as it is after what has been planned so far.
    pub(super) async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        for operation in self.operations.iter().rev() {
            match operation {
                Operation::Put { key: put, value } if put == key => return Ok(Some(value.clone())),
                Operation::Delete { key: deleted } if deleted == key => return Ok(None),
                Operation::Put { .. } | Operation::Delete { .. } => {}
            }
        }
        Ok(self.inner.shared.engine.get(key.to_vec()).await?)
    }
}

/// The revision by which a segment is found.
fn newest(segment: &Segment) -> RevId {
    segment.newest().expect("no segment is empty: split_older makes none, and none is read")
}

enum Expansion {
    Lost,
    Tree(TreeError),
}

impl From<TreeError> for Expansion {
    fn from(error: TreeError) -> Self {
        Self::Tree(error)
    }
}
