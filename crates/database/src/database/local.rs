//! Local documents: checkpoints and other notes that stay where they are. They have no sequence,
//! no tree and no place in any feed, so they never wait for the database's writer.

use bytes::Bytes;
use settle_access::{Grant, Read, Write};
use settle_engine::{Batch, Expected, Outcome};
use settle_model::id::LocalId;
use thiserror::Error;

use crate::{
    Database,
    error::StorageError,
    limits::{CLASHES_MAX, LOCAL_BODY_BYTES_MAX},
    record::local,
    scan::LocalDocument,
    store::failed,
};

#[derive(Debug, Error)]
pub enum LocalError {
    #[error("the local document is missing")]
    Missing,
    #[error("the local document has moved on from the revision given")]
    Conflict,
    #[error("the local document's body has {bytes} bytes, more than the {max} allowed")]
    TooLarge { bytes: usize, max: usize },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Database {
    pub async fn local(
        &self,
        grant: &Grant<Read>,
        id: &LocalId,
    ) -> Result<LocalDocument, LocalError> {
        self.inner.check(grant);
        let key = self.inner.keys.local(id);
        let value = self.inner.shared.engine.get(key.clone()).await.map_err(StorageError::from)?;
        self.inner.check_alive()?;
        let value = value.ok_or(LocalError::Missing)?;
        let found = local::decode(&key, &value).map_err(StorageError::from)?;
        let body = Bytes::copy_from_slice(found.json);
        Ok(LocalDocument { id: id.clone(), revision: found.revision, body })
    }

    /// Writes a local document; the N of its new revision `0-N`. With a base it must be that of
    /// the stored one (0 for none); without, whatever is there is replaced and N is 1, as in
    /// CouchDB.
    pub async fn put_local(
        &self,
        grant: &Grant<Write>,
        id: &LocalId,
        base: Option<u64>,
        body: &[u8],
    ) -> Result<u64, LocalError> {
        self.inner.check(grant);
        if body.len() > LOCAL_BODY_BYTES_MAX {
            let (bytes, max) = (body.len(), LOCAL_BODY_BYTES_MAX);
            return Err(LocalError::TooLarge { bytes, max });
        }
        self.change_local(id, |stored| match (base, stored.unwrap_or(0)) {
            (None, _) => Ok(Some((1, body))),
            (Some(base), stored) if base == stored => Ok(Some((stored + 1, body))),
            (Some(_), _) => Err(LocalError::Conflict),
        })
        .await
    }

    /// Takes a local document away.
    pub async fn delete_local(
        &self,
        grant: &Grant<Write>,
        id: &LocalId,
        base: Option<u64>,
    ) -> Result<(), LocalError> {
        self.inner.check(grant);
        self.change_local(id, |stored| match (base, stored) {
            (_, None) => Err(LocalError::Missing),
            (Some(base), Some(stored)) if base != stored => Err(LocalError::Conflict),
            (_, Some(_)) => Ok(None),
        })
        .await?;
        Ok(())
    }

    /// `decide` takes the stored revision and says what to store; `None` deletes.
    async fn change_local<'b>(
        &self,
        id: &LocalId,
        decide: impl Fn(Option<u64>) -> Result<Option<(u64, &'b [u8])>, LocalError>,
    ) -> Result<u64, LocalError> {
        let inner = &self.inner;
        let (key, live) = (inner.keys.local(id), inner.keys.live());
        for _ in 0..CLASHES_MAX {
            let stored = inner.shared.engine.get(key.clone()).await.map_err(StorageError::from)?;
            let revision = match &stored {
                Some(value) => {
                    Some(local::decode(&key, value).map_err(StorageError::from)?.revision)
                }
                None => None,
            };
            let mut batch = Batch::default();
            batch.require(live.clone(), Expected::Present);
            let expected = stored.map_or(Expected::Absent, Expected::Equals);
            batch.require(key.clone(), expected);
            let new = decide(revision)?;
            match new {
                Some((revision, body)) => {
                    let now = inner.shared.clock.now();
                    batch.put(key.clone(), local::encode(&key, revision, now, body));
                }
                None => batch.delete(key.clone()),
            }
            match inner.shared.engine.commit(batch).await {
                Outcome::Committed => return Ok(new.map_or(0, |(revision, _)| revision)),
                Outcome::Refused { precondition: 0 } => return Err(StorageError::Gone.into()),
                Outcome::Refused { .. } => {}
                outcome @ (Outcome::NotApplied { .. } | Outcome::Unknown { .. }) => {
                    return Err(failed(outcome).into());
                }
            }
        }
        Err(StorageError::Contended.into())
    }
}
