//! What a database's admins set: limits and the security object. They stand in the live record, so
//! changing one never contends with document writes.

use settle_access::{Administer, Grant, Read};
use settle_engine::{Batch, Expected, Outcome};
use thiserror::Error;

use crate::{
    Database,
    error::StorageError,
    limits::{CLASHES_MAX, SECURITY_BYTES_MAX},
    record::live::Live,
    store::{failed, read_live},
};

#[derive(Debug, Error)]
pub enum SettingError {
    #[error("the limit must be at least 1")]
    TooSmall,
    #[error("the security object has {bytes} bytes, more than the {max} allowed")]
    SecurityTooLarge { bytes: usize, max: usize },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Database {
    pub fn revs_limit(&self, grant: &Grant<Read>) -> u32 {
        self.inner.check(grant);
        self.inner.live().revs_limit
    }

    /// How many revisions of each branch are remembered, from the next edit of each document on.
    pub async fn set_revs_limit(
        &self,
        grant: &Grant<Administer>,
        limit: u32,
    ) -> Result<(), SettingError> {
        self.inner.check(grant);
        if limit == 0 {
            return Err(SettingError::TooSmall);
        }
        Ok(self.change_live(|live| live.revs_limit = limit).await?)
    }

    pub fn purged_infos_limit(&self, grant: &Grant<Read>) -> u32 {
        self.inner.check(grant);
        self.inner.live().purged_infos_limit
    }

    /// How many purges are remembered, from the next purge on.
    pub async fn set_purged_infos_limit(
        &self,
        grant: &Grant<Administer>,
        limit: u32,
    ) -> Result<(), SettingError> {
        self.inner.check(grant);
        if limit == 0 {
            return Err(SettingError::TooSmall);
        }
        Ok(self.change_live(|live| live.purged_infos_limit = limit).await?)
    }

    /// The security object as it was sent; `None` when it never was.
    pub fn security(&self) -> Option<Vec<u8>> {
        let live = self.inner.live();
        if live.security.is_empty() { None } else { Some(live.security.clone()) }
    }

    /// Keeps a security object. The caller has checked that it is one.
    pub async fn set_security(
        &self,
        grant: &Grant<Administer>,
        object: Vec<u8>,
    ) -> Result<(), SettingError> {
        self.inner.check(grant);
        if object.len() > SECURITY_BYTES_MAX {
            let (bytes, max) = (object.len(), SECURITY_BYTES_MAX);
            return Err(SettingError::SecurityTooLarge { bytes, max });
        }
        let change = |live: &mut Live| {
            live.security.clone_from(&object);
            live.security_epoch += 1;
        };
        Ok(self.change_live(change).await?)
    }

    async fn change_live(&self, change: impl Fn(&mut Live)) -> Result<(), StorageError> {
        let inner = &self.inner;
        let key = inner.keys.live();
        let _order = inner.live_order.lock().await;
        for _ in 0..CLASHES_MAX {
            let before = read_live(&*inner.shared.engine, inner.keys).await?;
            let before = before.ok_or(StorageError::Gone)?;
            let mut after = before.clone();
            change(&mut after);
            let mut batch = Batch::default();
            batch.require(key.clone(), Expected::Equals(before.encode(&key)));
            batch.put(key.clone(), after.encode(&key));
            match inner.shared.engine.commit(batch).await {
                Outcome::Committed => {}
                Outcome::Refused { .. } => continue,
                outcome @ Outcome::NotApplied { .. } => return Err(failed(outcome)),
                outcome @ Outcome::Unknown { .. } => {
                    let stored = read_live(&*inner.shared.engine, inner.keys).await;
                    if stored.ok().flatten().as_ref() != Some(&after) {
                        return Err(failed(outcome));
                    }
                }
            }
            inner.set_live(after);
            return Ok(());
        }
        Err(StorageError::Contended)
    }
}
