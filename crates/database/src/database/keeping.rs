//! What is kept of a database's past: snapshots, pins, the window; and going back to it.

use std::sync::Arc;

use settle_access::{Administer, Grant, Read, Write};
use settle_model::time::Timestamp;

use crate::{
    Database,
    edit::{Edit, EditError},
    error::StorageError,
    limits::{PIN_RENEWED_AFTER, PIN_TIME},
    past::moment::{Moment, SnapshotName},
    record::{later::Snapshot, retention::Retention},
    writer::{
        keep::{Keep, KeepError, Kept},
        revert::RevertRefused,
    },
};

/// Holds a moment of the past while it is read at length.
///
/// Whoever has it says now and then that it is [still needed](Self::renew_when_due), and [lets go](Self::release) of it in
/// the end; otherwise it runs out.
#[derive(Debug)]
pub struct HeldMoment {
    database: Database,
    number: u64,
    /// When it was taken, or renewed last.
    renewed: Timestamp,
    pub moment: Moment,
}

impl Database {
    /// The snapshots of the database, in the order of their names.
    pub async fn snapshots(
        &self,
        grant: &Grant<Read>,
    ) -> Result<Vec<(String, Snapshot)>, StorageError> {
        self.inner.check(grant);
        let needed = self.inner.needed().await?;
        self.inner.check_alive()?;
        Ok(needed.snapshots)
    }

    /// Gives a moment a name, the present where none is said. It stays readable as long as the name is there.
    pub async fn take_snapshot(
        &self,
        grant: &Grant<Administer>,
        name: SnapshotName,
        moment: Option<Moment>,
    ) -> Result<Snapshot, KeepError> {
        self.inner.check(grant);
        match self.inner.clone().keep(Keep::Take { name, moment }).await? {
            Kept::Snapshot(snapshot) => Ok(snapshot),
            Kept::Pin(_) | Kept::Done => unreachable!("taking a snapshot gives one"),
        }
    }

    /// Takes a snapshot away. What it alone needed goes in the background.
    pub async fn forget_snapshot(
        &self,
        grant: &Grant<Administer>,
        name: SnapshotName,
    ) -> Result<(), KeepError> {
        self.inner.check(grant);
        self.inner.clone().keep(Keep::Forget { name }).await.map(drop)
    }

    pub async fn retention(&self, grant: &Grant<Read>) -> Result<Retention, StorageError> {
        self.inner.check(grant);
        let needed = self.inner.needed().await?;
        self.inner.check_alive()?;
        Ok(needed.retention)
    }

    /// Says what is kept from now on. What is gone does not come back.
    pub async fn set_retention(
        &self,
        grant: &Grant<Administer>,
        retention: Retention,
    ) -> Result<(), KeepError> {
        self.inner.check(grant);
        self.inner.clone().keep(Keep::Retain(retention)).await.map(drop)
    }

    /// The oldest sequence from which on every moment is kept.
    pub async fn kept_from(&self, grant: &Grant<Read>) -> Result<u64, StorageError> {
        self.inner.check(grant);
        Ok(self.inner.state().await?.history_floor)
    }

    /// Holds a moment on behalf of `holder`, also over the end of this process.
    pub async fn hold(
        &self,
        grant: &Grant<Read>,
        moment: Moment,
        holder: &str,
    ) -> Result<HeldMoment, KeepError> {
        self.inner.check(grant);
        let now = self.inner.shared.clock.now();
        let keep = Keep::Pin { moment, expires: now.plus(PIN_TIME), holder: holder.to_owned() };
        match self.inner.clone().keep(keep).await? {
            Kept::Pin(number) => {
                Ok(HeldMoment { database: self.clone(), number, renewed: now, moment })
            }
            Kept::Snapshot(_) | Kept::Done => unreachable!("a pin is asked for"),
        }
    }

    /// Makes edits that bring back what was, all of them or none, with a snapshot of what was there before.
    pub(crate) async fn write_back(
        &self,
        grant: &Grant<Write>,
        edits: Vec<Edit>,
        snapshot: Option<SnapshotName>,
    ) -> Result<Result<(), RevertRefused>, StorageError> {
        self.inner.check(grant);
        Arc::clone(&self.inner).revert(edits, snapshot).await
    }
}

impl HeldMoment {
    /// Holds it for longer, unless it has run out. Costs nothing when that was done a short while ago.
    pub async fn renew_when_due(&mut self) -> Result<(), KeepError> {
        let inner = &self.database.inner;
        let now = inner.shared.clock.now();
        if now.since(self.renewed) >= PIN_RENEWED_AFTER {
            let expires = now.plus(PIN_TIME);
            inner.clone().keep(Keep::Renew { pin: self.number, expires }).await?;
            self.renewed = now;
        }
        Ok(())
    }

    pub async fn release(self) -> Result<(), KeepError> {
        let inner = &self.database.inner;
        inner.clone().keep(Keep::Unpin { pin: self.number }).await.map(drop)
    }
}

/// Whether a document had changed since it was looked at.
pub(crate) fn is_conflict(refused: &RevertRefused) -> bool {
    matches!(refused, RevertRefused::Edit(EditError::Conflict))
}
