//! What is kept for a database, for whoever has to pay for it.

use settle_access::{Grant, Read};
use settle_engine::{Direction, Plan, Scan, Step, Visit, Visitor};

use crate::{Database, blobs::Counted, database::Inner, error::StorageError, keys};

impl Database {
    /// Bytes of documents with their past, of local documents, of outcomes that are remembered, and of those
    /// attachments that are not in `counted` yet. Looks at every one of these, but for documents.
    pub async fn kept_bytes(
        &self,
        grant: &Grant<Read>,
        counted: &mut Counted,
    ) -> Result<u64, StorageError> {
        self.inner.check(grant);
        let sizes = self.inner.state().await?.sizes;
        let documents = sizes.active + sizes.history;
        let shared = &self.inner.shared;
        let families = [keys::family::LOCAL, keys::family::IDEMPOTENCY, keys::family::EXPIRY];
        let scans = families.map(|family| {
            Step::Scan(Scan::prefix(&self.inner.keys.family(family), Direction::Ascending))
        });
        let plan = Plan::new(scans.to_vec());
        let Bytes(others) = shared.engine.read_to_end(plan, Bytes(0)).await?;
        let attachments = shared.blobs.count(self.number(), counted).await?;
        self.inner.check_alive()?;
        Ok(documents + others + attachments)
    }
}

impl Inner {
    /// Stored bytes of all that the database refers to, counted anew.
    pub(crate) async fn attached_bytes(&self) -> Result<u64, StorageError> {
        self.shared.blobs.count(self.keys.number, &mut Counted::default()).await
    }
}

struct Bytes(u64);

impl Visitor for Bytes {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.0 += (key.len() + value.unwrap_or_default().len()) as u64;
        Visit::Next
    }
}
