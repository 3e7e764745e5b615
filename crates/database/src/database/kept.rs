//! What is kept for a database, for whoever has to pay for it.

use settle_access::{Grant, Read};
use settle_engine::{Direction, Plan, Scan, Step, Visit, Visitor};

use crate::{Database, blobs::Counted, error::StorageError, keys};

impl Database {
    /// Bytes of documents with their past, of local documents, and of those attachments that are not in
    /// `counted` yet. Looks at every local document and every reference to an attachment.
    pub async fn kept_bytes(
        &self,
        grant: &Grant<Read>,
        counted: &mut Counted,
    ) -> Result<u64, StorageError> {
        let documents = self.info(grant).await?.file_bytes;
        let shared = &self.inner.shared;
        let locals = self.inner.keys.family(keys::family::LOCAL);
        let plan = Plan::new(vec![Step::Scan(Scan::prefix(&locals, Direction::Ascending))]);
        let Bytes(locals) = shared.engine.read_to_end(plan, Bytes(0)).await?;
        let attachments = shared.blobs.count(self.number(), counted).await?;
        self.inner.check_alive()?;
        Ok(documents + locals + attachments)
    }
}

struct Bytes(u64);

impl Visitor for Bytes {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.0 += (key.len() + value.unwrap_or_default().len()) as u64;
        Visit::Next
    }
}
