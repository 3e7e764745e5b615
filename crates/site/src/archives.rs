//! Archives of the site's databases, and databases from them.

use std::ops::Bound;

use settle_access::{Administer, Grant, Inspect, Read, Resource};
use settle_accounts::QuotaError;
use settle_archive::{
    Archiving, CompareError, Comparison, RestoreFailure, Restored, Source, Totals, compare, restore,
};
use settle_database::{At, Database, NameScan, PastError, StorageError, blobs::Counted};
use settle_model::{id::DatabaseName, sequence::SequenceToken};
use settle_query::selector::Selector;
use thiserror::Error;

use crate::Site;

#[derive(Debug, Error)]
pub enum SiteRestoreError {
    #[error(transparent)]
    Failed(#[from] RestoreFailure),
    #[error("the archive's security object is none: {reason}")]
    Security { reason: String },
    #[error("the archive's selector of append-only documents is none: {reason}")]
    AppendOnly { reason: String },
    #[error(transparent)]
    Quota(#[from] QuotaError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

const ITSELF: &str = "the site archives its databases by itself";

/// A database that an archive has taken the place of.
#[derive(Debug)]
pub struct InPlace {
    pub database: Database,
    /// Where its new timeline begins.
    pub sequence: SequenceToken,
    pub totals: Totals,
}

/// What an account may have instead of one of its databases.
#[derive(Debug, Clone, Copy)]
struct Room {
    bytes: u64,
    /// What the account keeps, and the most that it may.
    kept: u64,
    max: u64,
}

impl Room {
    fn exceeded(self) -> QuotaError {
        QuotaError::Bytes { bytes: self.kept, max: self.max }
    }
}

impl Site {
    /// Begins an archive of a database as it was at a moment; `None` for the present.
    pub async fn archive(
        &self,
        database: &Database,
        grant: &Grant<Administer>,
        at: Option<&At>,
    ) -> Result<Archiving, PastError> {
        let read = grant.internally::<Read>("to find the moment that is archived");
        let moment = match at {
            None | Some(At::Now) => None,
            Some(at) => Some(database.moment_of_life(&read, at).await?),
        };
        Ok(Archiving::new(&self.store, database, grant, moment, self.clock.now()))
    }

    /// Builds the database that an archive holds, compares the two, and puts it in the place of this one, whose
    /// name it then has. When anything fails, the database is as it was. `check` says what is wrong with a
    /// security object.
    pub async fn restore(
        &self,
        database: &Database,
        grant: &Grant<Administer>,
        source: Source,
        check: fn(&[u8]) -> Result<(), String>,
    ) -> Result<InPlace, SiteRestoreError> {
        let room = self.room_to_restore(database, grant).await?;
        let bytes_max = room.map(|room| room.bytes);
        let restored = restore(&self.store, grant, database, source, bytes_max).await;
        let restored = restored.map_err(|error| match (error, room) {
            (RestoreFailure::NoRoom { .. }, Some(room)) => SiteRestoreError::Quota(room.exceeded()),
            (error, _) => SiteRestoreError::from(error),
        })?;
        let security = &*restored.facts.security;
        if !security.is_empty() {
            check(security).map_err(|reason| SiteRestoreError::Security { reason })?;
        }
        if let Some(selector) = &restored.facts.retention.append_only {
            let parsed = Selector::parse(selector);
            parsed.map_err(|error| SiteRestoreError::AppendOnly { reason: error.to_string() })?;
        }
        self.check_room_restored(database, grant, &restored).await?;
        let totals = restored.totals.clone();
        let database = restored.place(database).await?;
        let sequence = database.token(database.sequence());
        Ok(InPlace { database, sequence, totals })
    }

    /// The next names of databases behind `start`, those of accounts too, for the archives that the site makes by
    /// itself.
    pub async fn names_to_archive(
        &self,
        start: Bound<String>,
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        let grant: Grant<Inspect> = Grant::internal(Resource::AllServers, ITSELF);
        self.store.names(&grant, NameScan { start, limit, ..NameScan::default() }).await
    }

    /// Begins an archive that nobody asked for; `None` if there is no such database.
    pub async fn archive_by_itself(
        &self,
        name: &str,
    ) -> Result<Option<(Database, Archiving)>, StorageError> {
        let Ok(name) = DatabaseName::from_catalog(name) else { return Ok(None) };
        let Some(database) = self.store.find(&name).await? else { return Ok(None) };
        let grant = Grant::internal(database.resource(), ITSELF);
        let archiving = Archiving::new(&self.store, &database, &grant, None, self.clock.now());
        Ok(Some((database, archiving)))
    }

    /// Builds the database that such an archive holds, compares the two, and takes it away again.
    pub async fn restore_drill(
        &self,
        database: &Database,
        source: Source,
    ) -> Result<Totals, RestoreFailure> {
        let grant = Grant::internal(database.resource(), ITSELF);
        Ok(restore(&self.store, &grant, database, source, None).await?.totals)
    }

    /// In what a database differs from an archive of it.
    pub async fn compare(
        &self,
        database: &Database,
        grant: &Grant<Administer>,
        source: Source,
    ) -> Result<Comparison, CompareError> {
        compare(database, &grant.internally::<Read>("an archive is compared"), source).await
    }

    /// How much of an archive may be stored; `None` where there is no account. What takes the place of a database may be
    /// as large as that is, before compression and with what is stored beside documents.
    async fn room_to_restore(
        &self,
        database: &Database,
        grant: &Grant<Administer>,
    ) -> Result<Option<Room>, StorageError> {
        let Some(owner) = &database.protected().owner else { return Ok(None) };
        let Some(account) = self.accounts.account(owner, false).await? else { return Ok(None) };
        let kept = self.accounts.usage(owner).await?.bytes;
        let read = grant.internally::<Read>("an account is measured");
        let before = database.info(&read).await?.external_bytes
            + database.kept_bytes(&read, &mut Counted::default()).await?;
        let max = account.bytes_max;
        Ok(Some(Room { bytes: max.saturating_sub(kept).saturating_add(before), kept, max }))
    }

    /// Refuses what would make an account keep more than it may.
    async fn check_room_restored(
        &self,
        database: &Database,
        grant: &Grant<Administer>,
        restored: &Restored,
    ) -> Result<(), SiteRestoreError> {
        if database.protected().owner.is_none() {
            return Ok(());
        }
        let before = database.info(&grant.internally("an account is measured")).await?;
        let more = restored.external_bytes().await?.saturating_sub(before.external_bytes);
        Ok(self.check_room_for(database, more).await?)
    }
}
