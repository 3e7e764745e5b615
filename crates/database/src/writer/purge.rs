//! Erasing revisions as if they had never been: from the tree, from history, from snapshots.
//!
//! As in CouchDB only leaves can be named; the ancestors that belong to them alone go with them. A
//! purge takes a sequence, and its row in the feed tells followers; `_changes` shows it only when
//! the document has leaves left.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Bound,
};

use settle_engine::{Direction, Plan, Scan, Step, Visit, Visitor};
use settle_model::{id::DocumentId, revision::RevId, tree::Leaf};

use super::{
    Purged,
    edit::Before,
    group::{Group, subtract},
};
use crate::{
    error::StorageError,
    keys::family,
    limits::COLLECT_ROWS_MAX,
    record::{
        body::decode_payload,
        change::ChangeRow,
        head::{BodyPlace, LeafBody},
        history::{History, PastBody, PastLeaf},
        purge::Purge,
    },
};

impl Group<'_> {
    /// For each document asked for, the revisions that went.
    pub(super) async fn plan_purge(
        &mut self,
        items: &[(DocumentId, Vec<RevId>)],
    ) -> Result<Purged, StorageError> {
        let mut asked: BTreeMap<&DocumentId, Vec<RevId>> = BTreeMap::new();
        for (id, revs) in items {
            asked.entry(id).or_default().extend_from_slice(revs);
        }
        let mut gone = BTreeMap::new();
        for (id, revs) in asked {
            if self.head(id).is_some() {
                gone.insert(id, self.purge_document(id, &revs).await?);
            }
        }
        let purged = items.iter().map(|(id, revs)| {
            let gone = gone.get(id).into_iter().flatten();
            (id.clone(), gone.filter(|rev| revs.contains(rev)).cloned().collect())
        });
        Ok(purged.collect())
    }

    async fn purge_document(
        &mut self,
        id: &DocumentId,
        revs: &[RevId],
    ) -> Result<Vec<RevId>, StorageError> {
        if !revs.iter().any(|rev| self.head_mut(id).tree.leaf(rev).is_some()) {
            return Ok(Vec::new());
        }
        self.expand(id).await?;
        let head = self.head_mut(id);
        let (old_sequence, old_updated) = (head.sequence, head.updated);
        let before = Before::all(&head.tree);
        let paths: Vec<_> = revs.iter().filter_map(|rev| head.tree.path(rev)).collect();
        let gone = head.tree.purge(revs);
        let erased: HashSet<RevId> =
            paths.iter().flat_map(|it| it.revs()).filter(|rev| !head.tree.contains(rev)).collect();
        let is_gone = head.tree.is_empty();
        let is_deleted = head.tree.winner().is_none_or(|leaf| leaf.deleted);

        let was_deleted = before.first().is_none_or(|leaf| leaf.deleted);
        subtract(self.winners(was_deleted), 1);
        for leaf in &gone {
            self.purge_leaf(id, leaf).await?;
        }
        let records = gone.iter().filter_map(|leaf| leaf.payload.place.record()).collect();
        self.erase_history(id, &erased, records, is_gone).await?;
        let sequence = self.next_sequence(id);
        if is_gone {
            self.remove_document(id, old_sequence, &before);
        } else {
            *self.winners(is_deleted) += 1;
            self.mark_superseded(id, old_sequence, sequence, &before);
            let leaves = before.into_iter().map(|leaf| leaf.past(&erased)).collect();
            self.put_history(
                id,
                sequence,
                History { sequence: old_sequence, updated: old_updated, leaves },
            );
            let now = self.now;
            let head = self.head_mut(id);
            head.sequence = sequence;
            head.updated = now;
            self.repack(id).await?;
            self.put_head(id);
        }
        self.put_purge_row(id, sequence);
        let gone: Vec<RevId> = gone.into_iter().map(|leaf| leaf.rev).collect();
        self.log_purge(id, &gone).await?;
        Ok(gone)
    }

    /// Takes the records of a document away of whose leaves and history nothing is left.
    pub(super) fn remove_document(&mut self, id: &DocumentId, sequence: u64, before: &[Before]) {
        self.remove_change(id, sequence, before);
        self.delete(self.inner.keys.head(id));
        self.settle_segments(id, &[]);
        self.list_conflict(id, false);
        let slot = std::mem::take(self.slot(id));
        subtract(&mut self.state.sizes.active, slot.bytes);
    }

    pub(super) async fn purge_leaf(
        &mut self,
        id: &DocumentId,
        leaf: &Leaf<LeafBody>,
    ) -> Result<(), StorageError> {
        subtract(&mut self.state.sizes.external, leaf.payload.size);
        if leaf.payload.attached {
            let payload = self.payload(&leaf.payload).await?;
            for attachment in decode_payload(&payload)?.0 {
                self.blobs.release(attachment.digest, id, &leaf.rev);
            }
        }
        if let BodyPlace::Record { number, length } = leaf.payload.place {
            let bytes = self.body_bytes(number, length);
            subtract(&mut self.state.sizes.active, bytes);
            self.delete(self.inner.keys.body(number));
        }
        Ok(())
    }

    /// Takes revisions out of a document's history; all of it when the document is gone. The body
    /// records in `released` have been given back.
    pub(super) async fn erase_history(
        &mut self,
        id: &DocumentId,
        erased: &HashSet<RevId>,
        mut released: HashSet<u64>,
        is_gone: bool,
    ) -> Result<(), StorageError> {
        for (key, bytes, mut history) in self.histories(id).await? {
            let mut changed = false;
            for leaf in &mut history.leaves {
                if !is_gone && !erased.contains(&leaf.rev) {
                    continue;
                }
                // A leaf that stayed over several updates is named by each of their records.
                if leaf.body.record().is_none_or(|number| released.insert(number)) {
                    self.release(id, leaf).await?;
                }
                changed |= leaf.body != PastBody::Erased;
                leaf.body = PastBody::Erased;
            }
            if is_gone {
                subtract(&mut self.state.sizes.history, bytes);
                self.forget_superseded(history.sequence).await?;
                self.delete(key);
            } else if changed {
                let value = history.encode(&key);
                let after = self.put(key, value);
                self.state.sizes.history += after;
                subtract(&mut self.state.sizes.history, bytes);
            }
        }
        Ok(())
    }

    fn remove_change(&mut self, id: &DocumentId, sequence: u64, before: &[Before]) {
        let key = self.inner.keys.change(sequence);
        let row = ChangeRow { superseded_by: None, purge: false, id: id.as_str() };
        let leaves = before.iter().map(|leaf| (&leaf.rev, leaf.deleted));
        let bytes = key.len() + row.encode(&key, leaves).len();
        subtract(&mut self.state.sizes.active, bytes as u64);
        self.delete(key);
        self.count(sequence, -1);
    }

    fn put_purge_row(&mut self, id: &DocumentId, sequence: u64) {
        let key = self.inner.keys.change(sequence);
        let row = ChangeRow { superseded_by: None, purge: true, id: id.as_str() };
        let tree = self.head(id).map(|head| &head.tree);
        let leaves = tree.map_or(&[][..], |tree| tree.leaves());
        let value = row.encode(&key, leaves.iter().map(|leaf| (&leaf.rev, leaf.deleted)));
        let is_shown = !leaves.is_empty();
        self.state.sizes.active += self.put(key, value);
        if is_shown {
            self.count(sequence, 1);
        }
    }

    async fn log_purge(&mut self, id: &DocumentId, revs: &[RevId]) -> Result<(), StorageError> {
        self.state.purge_sequence += 1;
        let sequence = self.state.purge_sequence;
        let keys = self.inner.keys;
        let key = keys.purge(sequence);
        let value = Purge { id: id.as_str().to_owned(), revs: revs.to_vec() }.encode(&key);
        self.put(key, value);
        let Some(oldest) = sequence.checked_sub(self.live.purged_infos_limit.into()) else {
            return Ok(());
        };
        // One, unless the limit has become smaller.
        let all = Scan::prefix(&keys.family(family::PURGE), Direction::Ascending);
        let scan = Scan { end: Bound::Included(keys.purge(oldest)), ..all };
        let plan = Plan::new(vec![Step::Scan(scan)]);
        let old = self.inner.shared.engine.read_to_end(plan, Old::default()).await?;
        for key in old.0 {
            self.delete(key);
        }
        // What this very commit has put is not found there.
        self.delete(keys.purge(oldest));
        Ok(())
    }
}

impl Before {
    /// A leaf of the state that a purge replaced.
    fn past(self, erased: &HashSet<RevId>) -> PastLeaf {
        let body = match self.record {
            _ if erased.contains(&self.rev) => PastBody::Erased,
            Some((number, length)) => PastBody::Record { number, length },
            None => PastBody::Later,
        };
        PastLeaf { rev: self.rev, deleted: self.deleted, size: self.size, body }
    }
}

/// Keys of purges that need not be remembered.
#[derive(Default)]
struct Old(Vec<Vec<u8>>);

impl Visitor for Old {
    fn visit(&mut self, _: usize, key: &[u8], _: Option<&[u8]>) -> Visit {
        self.0.push(key.to_vec());
        if self.0.len() < COLLECT_ROWS_MAX { Visit::Next } else { Visit::Stop }
    }
}
