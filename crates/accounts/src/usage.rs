//! What accounts keep, added up now and then.

use std::{
    collections::{HashMap, hash_map::RandomState},
    fmt,
    future::Future,
    hash::BuildHasher as _,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use settle_access::{Grant, Read};
use settle_database::{StorageError, blobs::Counted};
use settle_model::id::AccountName;

use crate::{
    People,
    limits::{CREATING_AT_ONCE, USAGE_AGE_MAX, USAGE_SHARE_OF_TIME, USAGES_REMEMBERED_MAX},
    servers::names,
};

/// What an account keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub databases: u64,
    pub bytes: u64,
}

type Bytes = Pin<Box<dyn Future<Output = Result<u64, StorageError>> + Send>>;

/// Bytes that others keep for the database of a number: its indexes.
#[derive(Clone)]
pub struct KeptBeside(Arc<dyn Fn(u64) -> Bytes + Send + Sync>);

impl KeptBeside {
    pub fn new(bytes_of: impl Fn(u64) -> Bytes + Send + Sync + 'static) -> Self {
        Self(Arc::new(bytes_of))
    }

    pub fn nothing() -> Self {
        Self::new(|_| Box::pin(async { Ok(0) }))
    }
}

impl fmt::Debug for KeptBeside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeptBeside(..)")
    }
}

/// Adds up the databases of an account as they are now.
pub(crate) async fn add_up(people: &People, account: &AccountName) -> Result<Usage, StorageError> {
    let store = people.users.store();
    let mut usage = Usage::default();
    let mut counted = Counted::default();
    for name in names(store, account).await? {
        let Ok(local) = name.parse() else { continue };
        let Some(name) = account.database(&local) else { continue };
        let Some(database) = store.find(&name).await? else { continue };
        let grant: Grant<Read> = Grant::internal(database.resource(), "what an account keeps");
        let bytes = match database.kept_bytes(&grant, &mut counted).await {
            Ok(bytes) => bytes,
            // Dropped in between.
            Err(StorageError::Gone) => continue,
            Err(error) => return Err(error),
        };
        let KeptBeside(beside) = &people.beside;
        usage.databases += 1;
        usage.bytes += bytes + beside(database.number()).await?;
    }
    Ok(usage)
}

/// What accounts keep, as it was when somebody last added it up, and what was written since.
#[derive(Debug)]
pub(crate) struct Usages {
    seen: Mutex<HashMap<AccountName, Seen>>,
    /// One database of an account is made at a time, so that they are counted right.
    creating: Vec<tokio::sync::Mutex<()>>,
    hashing: RandomState,
}

#[derive(Debug)]
struct Seen {
    usage: Usage,
    bytes_max: u64,
    /// When it is to be added up again.
    until: Duration,
}

impl Default for Usages {
    fn default() -> Self {
        let creating = (0..CREATING_AT_ONCE).map(|_| tokio::sync::Mutex::default()).collect();
        Self { seen: Mutex::default(), creating, hashing: RandomState::default() }
    }
}

impl Usages {
    /// The last sum, if it is young enough. Whoever is told that it is not adds up; others are told the
    /// old sum meanwhile.
    pub(crate) fn get(&self, name: &AccountName, now: Duration) -> Option<(Usage, u64)> {
        let mut all = self.lock();
        let seen = all.get_mut(name)?;
        if seen.until <= now {
            seen.until = now + USAGE_AGE_MAX;
            return None;
        }
        Some((seen.usage, seen.bytes_max))
    }

    /// `took`: large accounts are added up less often, lest it takes a noticeable part of the time.
    pub(crate) fn keep(
        &self,
        name: &AccountName,
        (usage, bytes_max): (Usage, u64),
        now: Duration,
        took: Duration,
    ) {
        let until = now + took + USAGE_AGE_MAX.max(took * USAGE_SHARE_OF_TIME);
        let mut all = self.lock();
        if all.len() >= USAGES_REMEMBERED_MAX {
            all.clear();
        }
        all.insert(name.clone(), Seen { usage, bytes_max, until });
    }

    pub(crate) fn add(&self, name: &AccountName, bytes: u64) {
        if let Some(seen) = self.lock().get_mut(name) {
            seen.usage.bytes = seen.usage.bytes.saturating_add(bytes);
        }
    }

    pub(crate) fn forget(&self, name: &AccountName) {
        self.lock().remove(name);
    }

    pub(crate) fn forget_all(&self) {
        self.lock().clear();
    }

    /// Some accounts share a place.
    pub(crate) async fn turn_to_create(
        &self,
        account: &AccountName,
    ) -> tokio::sync::MutexGuard<'_, ()> {
        let place = self.hashing.hash_one(account) % self.creating.len() as u64;
        let place = usize::try_from(place).expect("there are few places");
        self.creating[place].lock().await
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountName, Seen>> {
        // Every change is one call, so a panic elsewhere leaves the table whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
