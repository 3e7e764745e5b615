//! What an edit would make of what is stored, for validators, who are asked before the writer is.
//!
//! Planned as the writer plans it, on a group that is thrown away. What it rests on is the sequence of the
//! document; the writer takes the edit only as long as that is the same.
//!
//! Source: `couch_db:prep_and_validate_update/3` and `prep_and_validate_replicated_updates/5`, and
//! `couch_query_servers:validate_doc_update/5` for the form.

use std::{collections::BTreeSet, sync::Arc};

use settle_model::{
    id::DocumentId,
    revision::{RevId, RevPath},
};

use super::group::Group;
use crate::{
    database::Inner,
    edit::{Edit, Foreseen, Origin, Seen},
    error::StorageError,
    limits::CLASHES_MAX,
    record::{body::decode_payload, history::PastBody},
    render,
};

/// A revision that is stored.
struct Stored {
    path: RevPath,
    deleted: bool,
    payload: Vec<u8>,
}

impl Inner {
    pub(crate) async fn foresee(
        self: &Arc<Self>,
        edits: &[Edit],
    ) -> Result<Vec<Foreseen>, StorageError> {
        let nothing_missing = BTreeSet::new();
        let mut attempt = 1;
        loop {
            let ids = edits.iter().map(|edit| edit.id.clone()).collect();
            let mut group = Group::over(self, ids, Vec::new(), &nothing_missing).await?;
            match group.foresee_all(edits).await {
                // Bodies outside of the head are read in views of their own: what the head names may
                // have been replaced and let go of since.
                Err(StorageError::Inconsistent { .. }) if attempt < CLASHES_MAX => attempt += 1,
                foreseen => {
                    self.check_alive()?;
                    return foreseen;
                }
            }
        }
    }
}

impl Group<'_> {
    async fn foresee_all(&mut self, edits: &[Edit]) -> Result<Vec<Foreseen>, StorageError> {
        let mut foreseen = Vec::with_capacity(edits.len());
        for edit in edits {
            foreseen.push(self.foresee(edit).await?);
        }
        Ok(foreseen)
    }

    pub(super) async fn foresee(&mut self, edit: &Edit) -> Result<Foreseen, StorageError> {
        let id = &edit.id;
        let is_misplaced = self.live.partitioned && id.check_partition().is_err();
        if id.is_design() || is_misplaced || edit.content.check_size().is_err() {
            return Ok(Foreseen::Settled);
        }
        let seen = Seen::Document(self.head(id).map(|head| head.sequence));
        // What stubs refer to, the path that the new document is shown with, and what it replaces.
        let (source, path, old) = match &edit.origin {
            Origin::Replicated { path } => {
                self.expand_for(id, path).await?;
                if self.head(id).is_some_and(|head| head.tree.contains(&path.newest())) {
                    return Ok(Foreseen::Settled);
                }
                let old = self.nearest_stored(id, path).await?;
                (Some(path.clone()), Some(path.clone()), old)
            }
            Origin::Interactive { base, must_exist } => {
                if self.parent(id, base.as_ref(), *must_exist, edit.deleted).is_err() {
                    return Ok(Foreseen::Settled);
                }
                let old = match base {
                    Some(base) => self.stored_leaf(id, base).await?,
                    None => None,
                };
                let base = base.clone().map(RevPath::single);
                (base.clone(), base, old)
            }
            Origin::Resolution { leaf, seen } => {
                let is_unmoved = self.head(id).is_some_and(|head| head.sequence == *seen);
                if self.resolved_leaf(id, leaf, is_unmoved).is_err() {
                    return Ok(Foreseen::Settled);
                }
                let old = self.stored_leaf(id, leaf).await?;
                let base = Some(RevPath::single(leaf.clone()));
                (base.clone(), base, old)
            }
        };
        let generation = match (&edit.origin, &path) {
            (Origin::Replicated { path }, _) => path.start(),
            (Origin::Interactive { .. } | Origin::Resolution { .. }, Some(base)) => {
                base.start().saturating_add(1)
            }
            (Origin::Interactive { .. } | Origin::Resolution { .. }, None) => 1,
        };
        let Ok(resolved) = self.resolve(edit, source.as_ref(), generation).await? else {
            return Ok(Foreseen::Settled);
        };
        let (attachments, body) = (&resolved.attachments, &resolved.body);
        let new = match &path {
            Some(path) => render::with_path(id.as_str(), path, edit.deleted, attachments, body),
            None => render::unsaved(id.as_str(), edit.deleted, attachments, body),
        };
        let old = match old {
            None => None,
            Some(Stored { path, deleted, payload }) => {
                let (attachments, body) = decode_payload(&payload)?;
                Some(render::with_path(id.as_str(), &path, deleted, &attachments, body))
            }
        };
        Ok(Foreseen::Edit { seen, new, deleted: edit.deleted, old })
    }

    async fn stored_leaf(
        &self,
        id: &DocumentId,
        rev: &RevId,
    ) -> Result<Option<Stored>, StorageError> {
        let tree = self.head(id).map(|head| &head.tree);
        let found = tree.and_then(|tree| Some((tree.leaf(rev)?, tree.path(rev)?)));
        let Some((leaf, path)) = found else { return Ok(None) };
        let deleted = leaf.deleted;
        Ok(Some(Stored { path, deleted, payload: self.payload(&leaf.payload).await? }))
    }

    /// The nearest ancestor of `path` that can be read, on the path that results when it is grafted.
    async fn nearest_stored(
        &self,
        id: &DocumentId,
        path: &RevPath,
    ) -> Result<Option<Stored>, StorageError> {
        let Some(tree) = self.head(id).map(|head| &head.tree) else { return Ok(None) };
        let Some(joint) = path.revs().skip(1).find(|rev| tree.contains(rev)) else {
            return Ok(None);
        };
        if let Some(stored) = self.stored_leaf(id, &joint).await? {
            return Ok(Some(stored));
        }
        let Some(known) = tree.path(&joint) else { return Ok(None) };
        let Some(past) = self.find_past(id, known.revs().collect()).await? else { return Ok(None) };
        let payload = match past.body {
            PastBody::Inline(payload) => payload,
            PastBody::Record { number, .. } => self.body_record(number).await?,
            PastBody::Later | PastBody::Erased => return Ok(None),
        };
        let path = tree.path(&past.rev).unwrap_or_else(|| RevPath::single(past.rev));
        Ok(Some(Stored { path, deleted: past.deleted, payload }))
    }
}
