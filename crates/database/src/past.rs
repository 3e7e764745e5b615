//! What history still holds: replaced revisions, and what a database was at a moment.

pub(crate) mod copying;
pub(crate) mod difference;
pub(crate) mod documents;
mod lists;
pub(crate) mod moment;
pub(crate) mod versions;

use std::collections::HashMap;

use settle_engine::{Direction, Engine, Plan, Scan, Step, Visit, Visitor};
use settle_model::{id::DocumentId, revision::RevId};

use crate::{
    error::StorageError,
    keys::Keys,
    record::history::{History, PastLeaf},
    scan::Failure,
};

/// The first of `revs` that can still be read.
pub(crate) async fn find(
    engine: &dyn Engine,
    keys: Keys,
    id: &DocumentId,
    revs: Vec<RevId>,
) -> Result<Option<PastLeaf>, StorageError> {
    let search = visit_all(engine, keys, id, Search::new(revs)).await?;
    search.failure.check()?;
    Ok(search.found.map(|(_, leaf)| leaf))
}

/// All that can still be read, each with whether it is deleted.
pub(crate) async fn readable(
    engine: &dyn Engine,
    keys: Keys,
    id: &DocumentId,
) -> Result<HashMap<RevId, bool>, StorageError> {
    let readable = visit_all(engine, keys, id, Readable::default()).await?;
    readable.failure.check()?;
    Ok(readable.found)
}

/// Newest first: what is asked for has mostly been replaced lately.
async fn visit_all<V: Visitor>(
    engine: &dyn Engine,
    keys: Keys,
    id: &DocumentId,
    visitor: V,
) -> Result<V, StorageError> {
    let scan = Scan::prefix(&keys.histories(id), Direction::Descending);
    Ok(engine.read_to_end(Plan::new(vec![Step::Scan(scan)]), visitor).await?)
}

/// Looks for one of several revisions in history records, newest record first.
pub(crate) struct Search {
    /// In the order in which they are wanted.
    revs: Vec<RevId>,
    /// With its place in `revs`.
    pub(crate) found: Option<(usize, PastLeaf)>,
    failure: Failure,
}

impl Search {
    pub(crate) fn new(revs: Vec<RevId>) -> Self {
        Self { revs, found: None, failure: Failure::default() }
    }

    /// Takes what is better than what has been found, and says whether nothing can be.
    pub(crate) fn look(&mut self, history: History) -> bool {
        for leaf in history.leaves.into_iter().filter(|leaf| leaf.body.is_here()) {
            let Some(place) = self.revs.iter().position(|rev| *rev == leaf.rev) else { continue };
            if self.found.as_ref().is_none_or(|(found, _)| place < *found) {
                self.found = Some((place, leaf));
            }
        }
        self.found.as_ref().is_some_and(|(place, _)| *place == 0)
    }
}

impl Visitor for Search {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        match History::decode(key, value.unwrap_or_default()) {
            Ok(history) => {
                if self.look(history) {
                    Visit::Stop
                } else {
                    Visit::Next
                }
            }
            Err(error) => self.failure.stop(error),
        }
    }
}

#[derive(Default)]
struct Readable {
    found: HashMap<RevId, bool>,
    failure: Failure,
}

impl Visitor for Readable {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        match History::decode(key, value.unwrap_or_default()) {
            Ok(history) => {
                let here = history.leaves.into_iter().filter(|leaf| leaf.body.is_here());
                self.found.extend(here.map(|leaf| (leaf.rev, leaf.deleted)));
                Visit::Next
            }
            Err(error) => self.failure.stop(error),
        }
    }
}
