//! A document's tree in hand: choosing revisions of it, and telling of each what was asked for.

use bytes::Bytes;
use settle_model::{
    id::DocumentId,
    revision::{RevId, RevPath},
    tree::{Leaf, Segment, TreeError},
};
use tokio::sync::OnceCell;

use super::{Begun as _, again, content};
use crate::{
    database::Inner,
    error::StorageError,
    past,
    record::{
        body::decode_record,
        head::{BodyPlace, Head, LeafBody},
        history::{PastBody, PastLeaf},
        segment,
    },
    revision::{Extras, GetError, RevStatus, Revision, Times},
};

/// A document as one view showed it. Revisions that have been replaced since are still found in
/// history.
pub(super) struct Document<'d> {
    inner: &'d Inner,
    id: &'d DocumentId,
    head: Head,
    /// With all older ancestry; fetched when first needed.
    whole: OnceCell<Head>,
}

/// A revision that can be read.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    rev: RevId,
    deleted: bool,
    body: BodyPlace,
}

impl Wanted {
    fn leaf(leaf: &Leaf<LeafBody>) -> Self {
        let (rev, body) = (leaf.rev.clone(), leaf.payload.place.clone());
        Self { rev, deleted: leaf.deleted, body }
    }
}

impl Inner {
    /// A document with the tree of its head.
    pub(super) async fn document<'d>(
        &'d self,
        id: &'d DocumentId,
    ) -> Result<Option<Document<'d>>, StorageError> {
        let key = self.keys.head(id);
        let value = self.shared.engine.get(key.clone()).await?;
        self.check_alive()?;
        let head = value.map(|value| Head::decode(&key, &value)).transpose()?;
        Ok(head.map(|head| Document::new(self, id, head)))
    }
}

impl Inner {
    /// What is remembered of the ancestry of each of these revisions; of one that the tree does not know any more, itself.
    pub(crate) async fn paths(
        &self,
        id: &DocumentId,
        revs: &[RevId],
    ) -> Result<Vec<RevPath>, StorageError> {
        again!(self.read_paths(id, revs))
    }

    async fn read_paths(
        &self,
        id: &DocumentId,
        revs: &[RevId],
    ) -> Result<Vec<RevPath>, StorageError> {
        let document = self.document(id).await?;
        let mut paths = Vec::with_capacity(revs.len());
        for rev in revs {
            let path = match &document {
                Some(document) => document.path(rev).await?,
                None => None,
            };
            paths.push(path.unwrap_or_else(|| RevPath::single(rev.clone())));
        }
        Ok(paths)
    }
}

impl<'d> Document<'d> {
    pub(super) fn new(inner: &'d Inner, id: &'d DocumentId, head: Head) -> Self {
        Self { inner, id, head, whole: OnceCell::new() }
    }

    pub(super) fn winner(&self) -> Result<Wanted, GetError> {
        match self.head.tree.winner() {
            None => Err(GetError::Missing),
            Some(leaf) if leaf.deleted => Err(GetError::Deleted),
            Some(leaf) => Ok(Wanted::leaf(leaf)),
        }
    }

    /// The winner, be it a tombstone.
    pub(super) fn newest(&self) -> Option<Wanted> {
        self.head.tree.winner().map(Wanted::leaf)
    }

    /// Winner first.
    pub(super) fn leaves(&self) -> Vec<Wanted> {
        self.head.tree.leaves().iter().map(Wanted::leaf).collect()
    }

    /// The leaves that descend from `rev`, winner first.
    pub(super) async fn latest(&self, rev: &RevId) -> Result<Vec<Wanted>, StorageError> {
        let mut tree = &self.head.tree;
        if !tree.contains(rev) && tree.may_be_behind_cut(rev) {
            tree = &self.whole().await?.tree;
        }
        Ok(tree.latest(rev).into_iter().map(Wanted::leaf).collect())
    }

    /// `rev` itself: a leaf, or a revision that history still holds.
    pub(super) async fn exactly(&self, rev: &RevId) -> Result<Option<Wanted>, StorageError> {
        if let Some(leaf) = self.head.tree.leaf(rev) {
            return Ok(Some(Wanted::leaf(leaf)));
        }
        let inner = self.inner;
        let past =
            past::find(&*inner.shared.engine, inner.keys, self.id, vec![rev.clone()]).await?;
        Ok(past.and_then(|PastLeaf { rev, deleted, body, .. }| {
            let body = match body {
                PastBody::Inline(payload) => BodyPlace::Inline(payload),
                PastBody::Record { number, length } => BodyPlace::Record { number, length },
                PastBody::Later | PastBody::Erased => return None,
            };
            Some(Wanted { rev, deleted, body })
        }))
    }

    pub(super) async fn revision(
        &self,
        wanted: &Wanted,
        extras: Extras,
    ) -> Result<Revision, StorageError> {
        let payload = match &wanted.body {
            BodyPlace::Inline(payload) => Bytes::copy_from_slice(payload),
            BodyPlace::Record { number, .. } => self.body(*number).await?,
        };
        let (attachments, body) = content(payload)?;
        let others = |deleted: bool| {
            let leaves = self.head.tree.leaves().iter().skip(1);
            leaves.filter(move |it| it.deleted == deleted).map(|it| it.rev.clone()).collect()
        };
        let path =
            if extras.path || extras.revs_info { self.path(&wanted.rev).await? } else { None };
        let revs_info = match &path {
            Some(path) if extras.revs_info => self.revs_info(wanted, path).await?,
            Some(_) | None => Vec::new(),
        };
        Ok(Revision {
            id: self.id.clone(),
            rev: wanted.rev.clone(),
            deleted: wanted.deleted,
            body,
            attachments,
            sequence: self.head.sequence,
            times: Times { created: self.head.created, updated: self.head.updated },
            path: path.filter(|_| extras.path),
            conflicts: if extras.conflicts { others(false) } else { Vec::new() },
            deleted_conflicts: if extras.deleted_conflicts { others(true) } else { Vec::new() },
            revs_info,
        })
    }

    /// A revision and its ancestors, as far as they are remembered.
    async fn path(&self, rev: &RevId) -> Result<Option<RevPath>, StorageError> {
        let head =
            if self.head.tree.cuts().next().is_some() { self.whole().await? } else { &self.head };
        Ok(head.tree.path(rev))
    }

    async fn revs_info(
        &self,
        wanted: &Wanted,
        path: &RevPath,
    ) -> Result<Vec<(RevId, RevStatus)>, StorageError> {
        let status = |deleted| if deleted { RevStatus::Deleted } else { RevStatus::Available };
        let inner = self.inner;
        let past = past::readable(&*inner.shared.engine, inner.keys, self.id).await?;
        let revs = path.revs().map(|rev| {
            let found = if rev == wanted.rev {
                status(wanted.deleted)
            } else if let Some(leaf) = self.head.tree.leaf(&rev) {
                status(leaf.deleted)
            } else {
                past.get(&rev).map_or(RevStatus::Missing, |deleted| status(*deleted))
            };
            (rev, found)
        });
        Ok(revs.collect())
    }

    async fn body(&self, number: u64) -> Result<Bytes, StorageError> {
        let key = self.inner.keys.body(number);
        let value = self.inner.shared.engine.get(key.clone()).await?;
        self.inner.check_alive()?;
        match value {
            Some(value) => Ok(Bytes::copy_from_slice(decode_record(&key, &value)?)),
            // Replaced and compacted away since the head was read.
            None => Err(StorageError::Moved),
        }
    }

    /// The head with its segments put back.
    async fn whole(&self) -> Result<&Head, StorageError> {
        let load = || async {
            let mut head = self.head.clone();
            let mut segments = Vec::new();
            let mut next: Vec<RevId> = head.tree.cuts().map(|cut| cut.newest.clone()).collect();
            while let Some(rev) = next.pop() {
                let key = self.inner.keys.segment(self.id, &rev);
                // A segment that has gone since the head was read was laid out anew.
                let Some(value) = self.inner.shared.engine.get(key.clone()).await? else {
                    continue;
                };
                let segment = segment::decode(&key, &value)?;
                next.extend(segment.older.as_ref().map(|cut| cut.newest.clone()));
                segments.push((rev, segment));
            }
            let find = |rev: &RevId| -> Result<Segment, TreeError> {
                let found = segments.iter().find(|(newest, _)| newest == rev);
                let (generation, missing) = (rev.generation(), 1);
                let ends = TreeError::HistoryEnds { generation, missing };
                found.map(|(_, segment)| segment.clone()).ok_or(ends)
            };
            match head.tree.expand(find) {
                Ok(()) => Ok(head),
                Err(_) => Err(StorageError::Moved),
            }
        };
        self.whole.get_or_try_init(load).await
    }

    pub(super) async fn missing(
        &self,
        revs: &[RevId],
    ) -> Result<settle_model::tree::Missing, StorageError> {
        let tree = &self.head.tree;
        let behind = |rev: &&RevId| !tree.contains(rev) && tree.may_be_behind_cut(rev);
        if revs.iter().any(|rev| behind(&rev)) {
            return Ok(self.whole().await?.tree.missing(revs));
        }
        Ok(tree.missing(revs))
    }
}
