//! What history still holds of a document.

use settle_engine::{Visit, Visitor};
use settle_model::revision::RevId;

use crate::{
    error::StorageError,
    record::history::{History, PastBody, PastLeaf},
    scan::Failure,
};

/// Replaced revisions that can still be read, each once.
#[derive(Debug, Default)]
pub(super) struct Pasts {
    leaves: Vec<PastLeaf>,
    failure: Failure,
}

impl Pasts {
    pub(super) fn check(mut self) -> Result<Self, StorageError> {
        std::mem::take(&mut self.failure).check()?;
        Ok(self)
    }

    pub(super) fn find(&self, rev: &RevId) -> Option<&PastLeaf> {
        self.leaves.iter().find(|leaf| leaf.rev == *rev)
    }
}

impl Visitor for Pasts {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        match History::decode(key, value.unwrap_or_default()) {
            Ok(history) => {
                let readable = history.leaves.into_iter().filter(|leaf| match leaf.body {
                    PastBody::Inline(_) | PastBody::Record { .. } => true,
                    PastBody::Later | PastBody::Erased => false,
                });
                self.leaves.extend(readable);
                Visit::Next
            }
            Err(error) => {
                self.failure.set(error);
                Visit::Stop
            }
        }
    }
}
