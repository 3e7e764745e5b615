//! Planning one edit: where it goes in the tree, what it holds, what it replaces.

use settle_model::{
    id::DocumentId,
    revision::{RevId, RevPath},
    tree::{Grafted, Leaf, RevTree},
};

use super::{
    EditResult, PreparedEdit,
    content::Resolved,
    group::{Group, subtract},
};
use crate::{
    codec::number_length,
    edit::{Edit, EditError, Origin, Written},
    error::StorageError,
    limits::HEAD_INLINE_BYTES_MAX,
    planted::{Fault, planted},
    record::{
        body::encode_payload,
        change::ChangeRow,
        head::{BodyPlace, Head, LeafBody},
        history::{History, PastBody, PastLeaf},
    },
};

/// A leaf as it was before an edit, for history.
pub(super) struct Before {
    pub(super) rev: RevId,
    pub(super) deleted: bool,
    pub(super) size: u64,
    /// Number and length of its body record, if it has one.
    pub(super) record: Option<(u64, u64)>,
}

impl PreparedEdit {
    pub(super) fn new(edit: Edit) -> Self {
        let expected = edit.expected();
        Self { edit, expected }
    }
}

impl Group<'_> {
    pub(super) async fn plan_edit(
        &mut self,
        prepared: &PreparedEdit,
    ) -> Result<EditResult, StorageError> {
        let edit = &prepared.edit;
        let id = &edit.id;
        if let Err(refused) = edit.content.check_size() {
            return Ok(Err(refused));
        }
        if self.live.partitioned
            && let Err(refused) = id.check_partition()
        {
            return Ok(Err(refused.into()));
        }
        match &edit.origin {
            Origin::Replicated { path } => {
                self.expand_for(id, path).await?;
                if self.knows(id, &path.newest()) {
                    return self.join(id, path).await.map(Ok);
                }
                if self.is_overtaken(edit) {
                    return Ok(Err(EditError::Overtaken));
                }
                let resolved = match self.resolve(edit, Some(path), path.start()).await? {
                    Ok(resolved) => resolved,
                    Err(refused) => return Ok(Err(refused)),
                };
                self.add(id, path.clone(), edit.deleted, resolved).await.map(Ok)
            }
            Origin::Interactive { base, must_exist } => {
                let parent = self.parent(id, base.as_ref(), *must_exist, edit.deleted);
                self.plan_on(prepared, base.as_ref(), parent).await
            }
            Origin::Resolution { leaf, seen } => {
                let head = self.head(id).map(|head| head.sequence);
                let began = *self.moved.entry(id.clone()).or_insert(head);
                let parent = self.resolved_leaf(id, leaf, began == Some(*seen)).map(Some);
                self.plan_on(prepared, Some(leaf), parent).await
            }
        }
    }

    /// Plans an edit whose revision is made here: `parent` is what it descends from, if it may.
    async fn plan_on(
        &mut self,
        prepared: &PreparedEdit,
        base: Option<&RevId>,
        parent: Result<Option<RevId>, EditError>,
    ) -> Result<EditResult, StorageError> {
        let parent = match parent {
            Ok(parent) => parent,
            Err(refused) => return Ok(Err(refused)),
        };
        if self.is_overtaken(&prepared.edit) {
            return Ok(Err(EditError::Overtaken));
        }
        // What was computed ahead took the base for the parent.
        let expected = if base == parent.as_ref() { prepared.expected.as_ref() } else { None };
        // Nor does an edit that takes up a deleted document keep anything of it.
        let source = base.cloned().map(RevPath::single);
        self.plan_interactive(&prepared.edit, expected, source, parent).await
    }

    /// Whether an edit needs a verdict and has none that still holds. Within one write, what its earlier
    /// edits did counts for nothing: CouchDB too asks about all of them before it makes the first.
    fn is_overtaken(&mut self, edit: &Edit) -> bool {
        let epochs = self.live.epochs();
        if epochs.design == 0 && !self.design_changed_before || edit.id.is_design() {
            return false;
        }
        let id = &edit.id;
        let head = match self.moved.get(id) {
            Some(before) => *before,
            None => self.head(id).map(|head| head.sequence),
        };
        let holds = edit.verdict.holds(epochs, head);
        if holds && !edit.verdict.is_internal() {
            if self.design_changed_before {
                return true;
            }
            self.rests_on_live = true;
            if edit.verdict.looked() {
                self.moved.entry(id.clone()).or_insert(head);
            }
        }
        !holds
    }

    async fn plan_interactive(
        &mut self,
        edit: &Edit,
        expected: Option<&RevId>,
        source: Option<RevPath>,
        parent: Option<RevId>,
    ) -> Result<EditResult, StorageError> {
        let generation = parent.as_ref().map_or(0, RevId::generation).saturating_add(1);
        let resolved = match self.resolve(edit, source.as_ref(), generation).await? {
            Ok(resolved) => resolved,
            Err(refused) => return Ok(Err(refused)),
        };
        let rev = match expected {
            Some(rev) => Some(rev.clone()),
            None => resolved.hash(edit.deleted, parent.as_ref()),
        };
        let Some(rev) = rev else { return Ok(Err(EditError::GenerationsExhausted)) };
        let mut digests = vec![rev.digest().clone()];
        digests.extend(parent.map(RevId::into_digest));
        let path = RevPath::new(rev.generation(), digests)
            .expect("a revision and its parent are two generations");
        self.expand_for(&edit.id, &path).await?;
        if self.knows(&edit.id, &path.newest()) {
            // A replica has sent it, but not that it descends from this parent.
            return self.join(&edit.id, &path).await.map(Ok);
        }
        self.add(&edit.id, path, edit.deleted, resolved).await.map(Ok)
    }

    /// What an interactive edit descends from, if CouchDB's rules let it in.
    ///
    /// Source: `couch_db:prep_and_validate_update`, `couch_db_updater:merge_rev_tree`.
    pub(super) fn parent(
        &self,
        id: &DocumentId,
        base: Option<&RevId>,
        must_exist: bool,
        deletes: bool,
    ) -> Result<Option<RevId>, EditError> {
        let tree = self.head(id).map(|head| &head.tree);
        let Some(winner) = tree.and_then(RevTree::winner) else {
            return match (must_exist, base) {
                (true, _) => Err(EditError::Missing),
                (false, Some(_)) => Err(EditError::Conflict),
                (false, None) => Ok(None),
            };
        };
        if must_exist && winner.deleted {
            return Err(EditError::Deleted);
        }
        match base {
            Some(base) if tree.is_some_and(|tree| tree.leaf(base).is_some()) => {
                Ok(Some(base.clone()))
            }
            Some(_) if planted(Fault::LostPrecondition) => Ok(Some(winner.rev.clone())),
            None if winner.deleted && !deletes => Ok(Some(winner.rev.clone())),
            Some(_) | None => Err(EditError::Conflict),
        }
    }

    /// The leaf that the end of a conflict edits or closes, if the document has not moved on meanwhile.
    pub(super) fn resolved_leaf(
        &self,
        id: &DocumentId,
        leaf: &RevId,
        is_unmoved: bool,
    ) -> Result<RevId, EditError> {
        let found = self.head(id).and_then(|head| head.tree.leaf(leaf));
        match found {
            Some(found) if is_unmoved => Ok(found.rev.clone()),
            Some(_) | None => Err(EditError::Conflict),
        }
    }

    /// Takes in what a path says of a revision that is known already: older history, mostly nothing.
    async fn join(&mut self, id: &DocumentId, path: &RevPath) -> Result<Written, StorageError> {
        let written = Written { id: id.clone(), rev: path.newest() };
        let head = self.head_mut(id);
        let before = Before::all(&head.tree);
        let nothing = LeafBody { size: 0, attached: false, place: BodyPlace::Inline(Vec::new()) };
        let graft = head.tree.graft(path, false, nothing);
        match graft.outcome {
            Grafted::Known => return Ok(written),
            Grafted::KnownNowJoined | Grafted::Extended | Grafted::Branched | Grafted::NewRoot => {}
        }
        if graft.replaced.is_empty() {
            self.repack(id).await?;
            self.put_head(id);
        } else {
            self.supersede(id, before, graft.replaced).await?;
        }
        Ok(written)
    }

    /// Puts a revision that is not known yet into its document, whose tree has what that takes.
    async fn add(
        &mut self,
        id: &DocumentId,
        path: RevPath,
        deleted: bool,
        resolved: Resolved<'_>,
    ) -> Result<Written, StorageError> {
        let rev = path.newest();
        self.take_out_of_history(id, &rev, &resolved.attachments).await?;
        let attached: u64 = resolved.attachments.iter().map(|it| it.length).sum();
        let size = resolved.body.len() as u64 + attached;
        let payload = encode_payload(&resolved.attachments, &resolved.body);
        let is_attached = !resolved.attachments.is_empty();
        let body = LeafBody { size, attached: is_attached, place: BodyPlace::Inline(payload) };
        for attachment in &resolved.attachments {
            let staged = resolved.staged.get(&attachment.digest);
            self.blobs.reference(attachment.digest, id, &rev, staged);
        }
        self.state.sizes.external += size;

        let now = self.now;
        let slot = self.heads.entry(id.clone()).or_default();
        if let Some(head) = &mut slot.head {
            let before = Before::all(&head.tree);
            let graft = head.tree.graft(&path, deleted, body);
            self.supersede(id, before, graft.replaced).await?;
        } else {
            let mut tree = RevTree::new();
            tree.graft(&path, deleted, body);
            let sequence = self.next_sequence(id);
            self.slot(id).head = Some(Head { sequence, created: now, updated: now, tree });
            *self.winners(deleted) += 1;
            // So that somebody comes by when a tombstone may go that replaced nothing.
            self.history_added |= deleted;
            self.repack(id).await?;
            self.put_change(id);
            self.put_head(id);
        }
        Ok(Written { id: id.clone(), rev })
    }

    /// After a graft that changed the leaves: keeps what they were as history, and gives the
    /// document its next sequence.
    async fn supersede(
        &mut self,
        id: &DocumentId,
        before: Vec<Before>,
        mut replaced: Vec<Leaf<LeafBody>>,
    ) -> Result<(), StorageError> {
        let sequence = self.next_sequence(id);
        let now = self.now;
        let head = self.head_mut(id);
        let (old_sequence, old_updated) = (head.sequence, head.updated);
        head.sequence = sequence;
        head.updated = now;
        let is_deleted = head.tree.winner().is_none_or(|leaf| leaf.deleted);
        let was_deleted = before.first().is_none_or(|leaf| leaf.deleted);
        subtract(self.winners(was_deleted), 1);
        *self.winners(is_deleted) += 1;

        self.mark_superseded(id, old_sequence, sequence, &before);
        let leaves = before.into_iter().map(|leaf| {
            let gone = replaced.iter().position(|it| it.rev == leaf.rev);
            let body = match (gone.map(|at| replaced.swap_remove(at)), leaf.record) {
                (Some(Leaf { payload, .. }), _) => {
                    subtract(&mut self.state.sizes.external, payload.size);
                    match payload.place {
                        BodyPlace::Inline(payload) => PastBody::Inline(payload),
                        BodyPlace::Record { number, length } => {
                            let bytes = self.body_bytes(number, length);
                            subtract(&mut self.state.sizes.active, bytes);
                            self.state.sizes.history += bytes;
                            PastBody::Record { number, length }
                        }
                    }
                }
                (None, Some((number, length))) => PastBody::Record { number, length },
                (None, None) => PastBody::Later,
            };
            PastLeaf { rev: leaf.rev, deleted: leaf.deleted, size: leaf.size, body }
        });
        let leaves = leaves.collect();
        let history = History { sequence: old_sequence, updated: old_updated, leaves };
        self.put_history(id, sequence, history);

        self.repack(id).await?;
        self.put_change(id);
        self.put_head(id);
        Ok(())
    }

    /// Keeps what the update of this sequence replaced.
    pub(super) fn put_history(&mut self, id: &DocumentId, sequence: u64, history: History) {
        let key = self.inner.keys.history(id, sequence);
        let value = history.encode(&key);
        self.state.sizes.history += self.put(key, value);
        self.history_added = true;
    }

    /// Leaves a mark on the row that the document had in the feed.
    pub(super) fn mark_superseded(
        &mut self,
        id: &DocumentId,
        old: u64,
        by: u64,
        before: &[Before],
    ) {
        let key = self.inner.keys.change(old);
        let leaves = before.iter().map(|leaf| (&leaf.rev, leaf.deleted));
        let row = ChangeRow { superseded_by: Some(by), purge: false, id: id.as_str() };
        let marked = row.encode(&key, leaves);
        let bytes = self.put(key, marked);
        // But for the mark it is the row that was there.
        subtract(&mut self.state.sizes.active, bytes - number_length(by));
        self.state.sizes.history += bytes;
        self.count(old, -1);
    }

    /// Puts the document's present row into the feed.
    pub(super) fn put_change(&mut self, id: &DocumentId) {
        let keys = self.inner.keys;
        let head = self.head_mut(id);
        let sequence = head.sequence;
        let key = keys.change(sequence);
        let row = ChangeRow { superseded_by: None, purge: false, id: id.as_str() };
        let leaves = head.tree.leaves().iter().map(|leaf| (&leaf.rev, leaf.deleted));
        let value = row.encode(&key, leaves);
        self.state.sizes.active += self.put(key, value);
        self.count(sequence, 1);
    }

    fn move_out(&mut self, body: &mut LeafBody) {
        let BodyPlace::Inline(payload) = &body.place else { return };
        self.state.body_number += 1;
        let number = self.state.body_number;
        let key = self.inner.keys.body(number);
        let value = crate::record::body::encode_record(&key, payload);
        let length = payload.len() as u64;
        self.state.sizes.active += self.put(key, value);
        body.place = BodyPlace::Record { number, length };
    }

    /// Bytes of a body record, key and value.
    pub(super) fn body_bytes(&self, number: u64, length: u64) -> u64 {
        let header = settle_engine::value::HEADER_LENGTH as u64;
        self.inner.keys.body(number).len() as u64 + header + length
    }

    /// Stores a document's head, with a record of its own for every body that may not stand inside:
    /// those of leaves other than the winner, and a winner's that is too large.
    pub(super) fn put_head(&mut self, id: &DocumentId) {
        let key = self.inner.keys.head(id);
        let mut head = self.slot(id).head.take().expect("the caller has put the document there");
        for (index, (_, body)) in head.tree.payloads_mut().enumerate() {
            if index > 0 || body.place.inline_length() > HEAD_INLINE_BYTES_MAX {
                self.move_out(body);
            }
        }
        let mut value = head.encode(&key);
        let is_inline = head.tree.winner().is_some_and(|it| it.payload.place.record().is_none());
        if is_inline && key.len() + value.len() > HEAD_INLINE_BYTES_MAX {
            for (_, body) in head.tree.payloads_mut().take(1) {
                self.move_out(body);
            }
            value = head.encode(&key);
        }
        let bytes = self.put(key, value);
        let in_conflict = head.tree.conflicts().next().is_some();
        let slot = self.slot(id);
        slot.head = Some(head);
        let before = std::mem::replace(&mut slot.bytes, bytes);
        self.state.sizes.active += bytes;
        subtract(&mut self.state.sizes.active, before);
        self.list_conflict(id, in_conflict);
    }

    pub(super) fn head(&self, id: &DocumentId) -> Option<&Head> {
        self.heads.get(id)?.head.as_ref()
    }

    pub(super) fn head_mut(&mut self, id: &DocumentId) -> &mut Head {
        self.slot(id).head.as_mut().expect("the caller has put the document there")
    }

    fn knows(&self, id: &DocumentId, rev: &RevId) -> bool {
        self.head(id).is_some_and(|head| head.tree.contains(rev))
    }

    /// The count of documents whose winner is, or is not, a tombstone.
    pub(super) fn winners(&mut self, deleted: bool) -> &mut u64 {
        if deleted { &mut self.state.deleted_count } else { &mut self.state.doc_count }
    }

    /// The attachments and the JSON of a leaf's body.
    pub(super) async fn payload(&self, body: &LeafBody) -> Result<Vec<u8>, StorageError> {
        match &body.place {
            BodyPlace::Inline(payload) => Ok(payload.clone()),
            BodyPlace::Record { number, .. } => self.body_record(*number).await,
        }
    }
}

impl Before {
    pub(super) fn all(tree: &RevTree<LeafBody>) -> Vec<Self> {
        let leaves = tree.leaves().iter().map(|leaf| Self {
            rev: leaf.rev.clone(),
            deleted: leaf.deleted,
            size: leaf.payload.size,
            record: match leaf.payload.place {
                BodyPlace::Inline(_) => None,
                BodyPlace::Record { number, length } => Some((number, length)),
            },
        });
        leaves.collect()
    }
}
