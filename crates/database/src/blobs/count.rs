//! How much the attachments of databases take, each content once.

use std::{collections::HashSet, ops::Bound};

use settle_engine::{Direction, Plan, Scan, Step, Visit, Visitor};

use super::{BlobStore, digest::BlobDigest, keys, limits::COUNTED_AT_ONCE, record::BlobRecord};
use crate::error::StorageError;

/// Contents that were counted, so that one that several databases have counts once.
#[derive(Debug, Default)]
pub struct Counted(HashSet<BlobDigest>);

impl BlobStore {
    /// Stored bytes of all that a database refers to and that was not counted before. What is stored is
    /// decided by the content and its type alone, never by what others have.
    pub(crate) async fn count(
        &self,
        database: u64,
        counted: &mut Counted,
    ) -> Result<u64, StorageError> {
        let Scan { mut start, end, direction } =
            Scan::prefix(&keys::references(database), Direction::Ascending);
        let mut bytes = 0;
        loop {
            let scan = Scan { start, end: end.clone(), direction };
            let page = Page { database, digests: Vec::new() };
            let page = self.engine.read_to_end(Plan::new(vec![Step::Scan(scan)]), page).await?;
            let mut digests = page.digests;
            let next = digests.last().filter(|_| digests.len() == COUNTED_AT_ONCE).copied();
            digests.retain(|digest| counted.0.insert(*digest));
            bytes += self.stored_bytes(digests).await?;
            let next = next.map(|last| keys::references_to(database, last));
            let next = next.map(|references| Scan::prefix(&references, direction).end);
            let Some(Bound::Excluded(key)) = next else { return Ok(bytes) };
            start = Bound::Included(key);
        }
    }

    async fn stored_bytes(&self, digests: Vec<BlobDigest>) -> Result<u64, StorageError> {
        let plan = Plan::new(digests.iter().map(|it| Step::Get(keys::blob(*it))).collect());
        let lengths = Lengths { digests, bytes: 0, failure: None };
        let lengths = self.engine.read_to_end(plan, lengths).await?;
        lengths.failure.map_or(Ok(lengths.bytes), Err)
    }
}

/// Digests in order, each once.
struct Page {
    database: u64,
    digests: Vec<BlobDigest>,
}

impl Visitor for Page {
    fn visit(&mut self, _: usize, key: &[u8], _: Option<&[u8]>) -> Visit {
        let digest = keys::referred_of(self.database, key);
        if let Some(digest) = digest.filter(|it| self.digests.last() != Some(it)) {
            self.digests.push(digest);
        }
        if self.digests.len() == COUNTED_AT_ONCE { Visit::Stop } else { Visit::Next }
    }
}

/// Step n is the record of the nth digest.
struct Lengths {
    digests: Vec<BlobDigest>,
    bytes: u64,
    failure: Option<StorageError>,
}

impl Visitor for Lengths {
    fn visit(&mut self, step: usize, _: &[u8], value: Option<&[u8]>) -> Visit {
        // One that was released and deleted in between takes nothing.
        let Some(value) = value else { return Visit::Next };
        match BlobRecord::decode(self.digests[step], value) {
            Ok(record) => {
                self.bytes += record.stored_length;
                Visit::Next
            }
            Err(error) => {
                self.failure = Some(error.into());
                Visit::Stop
            }
        }
    }
}
