//! A document's history as it is after what has been planned so far.

use std::collections::{BTreeMap, HashSet};

use settle_engine::{Direction, Operation, Plan, Scan, Step, Visit, Visitor};
use settle_model::{id::DocumentId, revision::RevId};

use super::group::{Group, subtract};
use crate::{
    error::StorageError,
    record::{
        body::Attachment,
        history::{History, PastBody, PastLeaf},
    },
};

impl Group<'_> {
    /// All history records, oldest first, each with its key and the bytes of key and value.
    pub(super) async fn histories(
        &self,
        id: &DocumentId,
    ) -> Result<Vec<(Vec<u8>, u64, History)>, StorageError> {
        let prefix = self.inner.keys.histories(id);
        let plan = Plan::new(vec![Step::Scan(Scan::prefix(&prefix, Direction::Ascending))]);
        let Rows(mut rows) = self.inner.shared.engine.read_to_end(plan, Rows::default()).await?;
        for operation in self.operations.iter().filter(|it| it.key().starts_with(&prefix)) {
            match operation {
                Operation::Put { key, value } => drop(rows.insert(key.clone(), value.clone())),
                Operation::Delete { key } => drop(rows.remove(key)),
            }
        }
        let decode = |(key, value): (Vec<u8>, Vec<u8>)| {
            let history = History::decode(&key, &value)?;
            let bytes = (key.len() + value.len()) as u64;
            Ok((key, bytes, history))
        };
        rows.into_iter().map(decode).collect()
    }

    /// The first of `revs` that can still be read.
    pub(super) async fn find_past(
        &self,
        id: &DocumentId,
        revs: Vec<RevId>,
    ) -> Result<Option<PastLeaf>, StorageError> {
        let prefix = self.inner.keys.histories(id);
        let mut planned = crate::past::Search::new(revs.clone());
        for operation in &self.operations {
            if let Operation::Put { key, value } = operation
                && key.starts_with(&prefix)
            {
                planned.look(History::decode(key, value)?);
            }
        }
        if let Some((_, leaf)) = planned.found {
            return Ok(Some(leaf));
        }
        crate::past::find(&*self.inner.shared.engine, self.inner.keys, id, revs).await
    }

    /// Called before a revision that the tree does not know becomes a leaf. It may have been one
    /// before: stemmed since, and now sent again. References to attachments are by revision, so what
    /// history holds of it must not be given back when that goes; it is the new leaf's from now on.
    pub(super) async fn take_out_of_history(
        &mut self,
        id: &DocumentId,
        rev: &RevId,
        attachments: &[Attachment],
    ) -> Result<(), StorageError> {
        let (Some(attachment), Some(_)) = (attachments.first(), self.head(id)) else {
            return Ok(());
        };
        let keys = self.inner.keys;
        let histories = keys.histories(id);
        let reference = keys.reference(attachment.digest, id, rev);
        let is_possible = self.operations.iter().any(|it| it.key().starts_with(&histories))
            || self.inner.shared.engine.get(reference).await?.is_some();
        if !is_possible {
            return Ok(());
        }
        let mut released: HashSet<u64> = HashSet::new();
        for (key, bytes, mut history) in self.histories(id).await? {
            let here = |leaf: &&mut PastLeaf| leaf.rev == *rev && leaf.body.is_here();
            let Some(leaf) = history.leaves.iter_mut().find(here) else { continue };
            if let PastBody::Record { number, length } = leaf.body
                && released.insert(number)
            {
                let bytes = self.body_bytes(number, length);
                subtract(&mut self.state.sizes.history, bytes);
                self.delete(keys.body(number));
            }
            leaf.body = PastBody::Later;
            let value = history.encode(&key);
            self.state.sizes.history += self.put(key, value);
            subtract(&mut self.state.sizes.history, bytes);
        }
        Ok(())
    }
}

#[derive(Default)]
struct Rows(BTreeMap<Vec<u8>, Vec<u8>>);

impl Visitor for Rows {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.0.insert(key.to_vec(), value.unwrap_or_default().to_vec());
        Visit::Next
    }
}
