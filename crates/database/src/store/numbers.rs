//! Numbers of databases: reserved in blocks, never used twice.

use std::ops::Range;

use settle_engine::{Batch, Expected, Outcome};
use tokio::sync::Mutex;

use crate::{
    error::StorageError,
    keys,
    limits::{CLASHES_MAX, NUMBER_BLOCK},
    record::site::Site,
    store::{Shared, failed},
};

#[derive(Debug)]
pub(super) struct Numbers {
    reserved: Mutex<Range<u64>>,
}

impl Numbers {
    pub(super) fn new() -> Self {
        Self { reserved: Mutex::new(0..0) }
    }

    pub(super) async fn next(&self, shared: &Shared) -> Result<u64, StorageError> {
        let mut reserved = self.reserved.lock().await;
        if let Some(number) = reserved.next() {
            return Ok(number);
        }
        *reserved = reserve(shared).await?;
        Ok(reserved.next().expect("a block is not empty"))
    }
}

async fn reserve(shared: &Shared) -> Result<Range<u64>, StorageError> {
    let key = keys::site_record();
    for _ in 0..CLASHES_MAX {
        let missing = || StorageError::Inconsistent { reason: "no site record".to_owned() };
        let value = shared.engine.get(key.clone()).await?.ok_or_else(missing)?;
        let site = Site::decode(&key, &value)?;
        let block = site.next_number..site.next_number + NUMBER_BLOCK;
        let mut batch = Batch::default();
        batch.require(key.clone(), Expected::Equals(value));
        batch.put(key.clone(), Site { next_number: block.end, ..site }.encode(&key));
        match shared.engine.commit(batch).await {
            Outcome::Committed => return Ok(block),
            Outcome::Refused { .. } => {}
            outcome @ (Outcome::NotApplied { .. } | Outcome::Unknown { .. }) => {
                return Err(failed(outcome));
            }
        }
    }
    Err(StorageError::Contended)
}
