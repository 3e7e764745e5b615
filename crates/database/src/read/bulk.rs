//! Many documents in one view: `_bulk_get` and `_revs_diff`.

use std::collections::HashMap;

use settle_access::{Grant, Read};
use settle_engine::{Plan, Step, Visit, Visitor};
use settle_model::{id::DocumentId, revision::RevId};

use super::{Begun as _, again, select::Document};
use crate::{
    Database,
    database::Inner,
    error::StorageError,
    record::head::Head,
    revision::{BulkItem, Extras, MissingRevs, Revision},
    scan::Failure,
};

impl Database {
    /// For each item, in order, what it found: one revision, with `latest` perhaps several, or the
    /// name of what is missing (`None` where none was given).
    pub async fn bulk_get(
        &self,
        grant: &Grant<Read>,
        items: &[BulkItem],
        latest: bool,
        extras: Extras,
    ) -> Result<Vec<Vec<Result<Revision, Option<RevId>>>>, StorageError> {
        self.inner.check(grant);
        again!(self.read_bulk(items, latest, extras))
    }

    async fn read_bulk(
        &self,
        items: &[BulkItem],
        latest: bool,
        extras: Extras,
    ) -> Result<Vec<Vec<Result<Revision, Option<RevId>>>>, StorageError> {
        let heads = self.inner.heads(items.iter().map(|item| &item.id)).await?;
        let mut results = Vec::with_capacity(items.len());
        for item in items {
            let Some(head) = heads.get(&item.id) else {
                results.push(vec![Err(item.rev.clone())]);
                continue;
            };
            let document = Document::new(&self.inner, &item.id, head.clone());
            let mut found = Vec::new();
            match &item.rev {
                None => found.extend(document.newest().map(Ok)),
                Some(rev) => document.find(rev, latest, &mut found).await?,
            }
            let mut docs = Vec::with_capacity(found.len());
            for wanted in found {
                docs.push(match wanted {
                    Ok(wanted) => Ok(document.revision(&wanted, extras).await?),
                    Err(rev) => Err(Some(rev)),
                });
            }
            results.push(docs);
        }
        self.inner.check_alive()?;
        Ok(results)
    }

    /// Which of a peer's revisions are not here. Documents of which nothing is missing are left
    /// out; the order is that of the question.
    pub async fn missing_revs(
        &self,
        grant: &Grant<Read>,
        items: &[(DocumentId, Vec<RevId>)],
    ) -> Result<Vec<MissingRevs>, StorageError> {
        self.inner.check(grant);
        again!(self.read_missing(items))
    }

    async fn read_missing(
        &self,
        items: &[(DocumentId, Vec<RevId>)],
    ) -> Result<Vec<MissingRevs>, StorageError> {
        let heads = self.inner.heads(items.iter().map(|(id, _)| id)).await?;
        let mut missing = Vec::new();
        for (id, revs) in items {
            let found = match heads.get(id) {
                Some(head) => Document::new(&self.inner, id, head.clone()).missing(revs).await?,
                None => settle_model::tree::Missing {
                    missing: revs.clone(),
                    possible_ancestors: Vec::new(),
                },
            };
            if !found.missing.is_empty() {
                let (revs, possible_ancestors) = (found.missing, found.possible_ancestors);
                missing.push(MissingRevs { id: id.clone(), missing: revs, possible_ancestors });
            }
        }
        self.inner.check_alive()?;
        Ok(missing)
    }
}

impl Inner {
    /// The heads of those documents that there are.
    async fn heads(
        &self,
        ids: impl Iterator<Item = &DocumentId>,
    ) -> Result<HashMap<DocumentId, Head>, StorageError> {
        let mut ids: Vec<DocumentId> = ids.cloned().collect();
        // In order, so that neighbours are read from the same page.
        ids.sort_unstable();
        ids.dedup();
        let steps = ids.iter().map(|id| Step::Get(self.keys.head(id))).collect();
        let visitor = Heads { ids, heads: HashMap::new(), failure: Failure::default() };
        let found = self.shared.engine.read_to_end(Plan::new(steps), visitor).await?;
        found.failure.check()?;
        Ok(found.heads)
    }
}

struct Heads {
    ids: Vec<DocumentId>,
    heads: HashMap<DocumentId, Head>,
    failure: Failure,
}

impl Visitor for Heads {
    fn visit(&mut self, step: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        match value.map(|value| Head::decode(key, value)).transpose() {
            Ok(head) => {
                if let Some(head) = head {
                    self.heads.insert(self.ids[step].clone(), head);
                }
                Visit::Next
            }
            Err(error) => self.failure.stop(error),
        }
    }
}
