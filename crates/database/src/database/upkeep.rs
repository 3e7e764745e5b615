//! What a database's admins do to keep it in order: purge and compaction.

use settle_access::{Administer, Grant};
use settle_engine::{Direction, Plan, Scan, Step, Visit, Visitor};
use settle_model::{id::DocumentId, revision::RevId, time::Timestamp};

use crate::{Database, error::StorageError, keys, record::purge::Purge, scan::Failure};

impl Database {
    /// Erases leaves, with the ancestors that belong to them alone; for each document, what went.
    pub async fn purge(
        &self,
        grant: &Grant<Administer>,
        items: Vec<(DocumentId, Vec<RevId>)>,
    ) -> Result<Vec<(DocumentId, Vec<RevId>)>, StorageError> {
        self.inner.check(grant);
        self.inner.clone().purge(items).await
    }

    /// The purges that are remembered, oldest first.
    pub async fn purged_infos(
        &self,
        grant: &Grant<Administer>,
    ) -> Result<Vec<(String, Vec<RevId>)>, StorageError> {
        self.inner.check(grant);
        let scan = Scan::prefix(&self.inner.keys.family(keys::family::PURGE), Direction::Ascending);
        let plan = Plan::new(vec![Step::Scan(scan)]);
        let purges = Purges { found: Vec::new(), failure: Failure::default() };
        let purges = self.inner.shared.engine.read_to_end(plan, purges).await?;
        self.inner.check_alive()?;
        purges.failure.check()?;
        Ok(purges.found)
    }

    /// Lets go of replaced revisions at once instead of after the grace. Returns when done;
    /// nobody has to wait for it.
    pub async fn compact(&self, grant: &Grant<Administer>) -> Result<(), StorageError> {
        self.inner.check(grant);
        self.inner.clone().compact().await
    }

    /// [`compact`](Self::compact) in the background.
    pub fn compact_later(&self, grant: &Grant<Administer>) {
        self.inner.check(grant);
        let name = self.inner.name.clone();
        let compacting = self.inner.clone().compact();
        self.inner.shared.tasks.spawn(async move {
            if let Err(error) = compacting.await {
                tracing::warn!(database = %name, %error, "a compaction failed");
            }
        });
    }

    pub(crate) async fn sweep(&self, due: Timestamp) -> Result<(), StorageError> {
        self.inner.clone().sweep(due).await
    }
}

struct Purges {
    found: Vec<(String, Vec<RevId>)>,
    failure: Failure,
}

impl Visitor for Purges {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        match Purge::decode(key, value.unwrap_or_default()) {
            Ok(purge) => {
                self.found.push((purge.id, purge.revs));
                Visit::Next
            }
            Err(error) => self.failure.stop(error),
        }
    }
}
