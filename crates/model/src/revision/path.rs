//! A revision with its ancestors.

use std::num::NonZeroU32;

use super::{Digest, RevId, RevisionError};

/// A revision and its known ancestors, newest first. The i-th digest has generation `start - i`,
/// so a gap cannot be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevPath {
    start: NonZeroU32,
    /// At least one, at most `start` (checked in [`RevPath::new`]).
    digests: Vec<Digest>,
}

impl RevPath {
    pub fn new(start: u32, digests: Vec<Digest>) -> Result<Self, RevisionError> {
        let fits = u32::try_from(digests.len()).is_ok_and(|len| 1 <= len && len <= start);
        match NonZeroU32::new(start) {
            Some(start) if fits => Ok(Self { start, digests }),
            Some(_) | None => Err(RevisionError::PathLength { start, len: digests.len() }),
        }
    }

    /// A revision of which no ancestor is known.
    pub fn single(rev: RevId) -> Self {
        Self { start: rev.generation, digests: vec![rev.digest] }
    }

    /// The generation of the newest revision.
    pub fn start(&self) -> u32 {
        self.start.get()
    }

    /// Newest first.
    pub fn digests(&self) -> &[Digest] {
        &self.digests
    }

    pub fn newest(&self) -> RevId {
        RevId { generation: self.start, digest: self.digests[0].clone() }
    }

    /// The generation of the oldest revision.
    pub fn oldest_generation(&self) -> u32 {
        let older = u32::try_from(self.digests.len() - 1).expect("RevPath::new: at most start");
        self.start.get() - older
    }

    /// The revision that the newest one was made from.
    pub fn parent(&self) -> Option<RevId> {
        let digest = self.digests.get(1)?.clone();
        RevId::new(self.start.get() - 1, digest)
    }

    /// Newest first.
    pub fn revs(&self) -> impl Iterator<Item = RevId> {
        self.digests.iter().enumerate().map(|(age, digest)| self.rev(age, digest))
    }

    /// The revision `age` steps older than the newest, whose digest the caller has at hand.
    pub(crate) fn rev(&self, age: usize, digest: &Digest) -> RevId {
        let generation = u32::try_from(age).ok().and_then(|age| self.start.get().checked_sub(age));
        let generation = generation.and_then(NonZeroU32::new);
        let generation = generation.expect("RevPath::new: no more digests than generations");
        RevId { generation, digest: digest.clone() }
    }

    /// Forgets all but the newest `limit` revisions, and at least the newest one.
    pub fn truncate(&mut self, limit: u32) {
        self.digests.truncate(usize::try_from(limit.max(1)).unwrap_or(usize::MAX));
    }
}
