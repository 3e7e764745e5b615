//! Accounts as owners of databases: who they are, how much they may keep, and how they end.
//!
//! Beside a user's document stand two of the server's own, made when they are needed:
//!
//! | id | holds |
//! |---|---|
//! | `settle.account:<name>` | `uuid`, drawn when somebody asks for it first; `created`; maybe `databases_max` and `bytes_max`, in the place of what the settings say |
//! | `settle.deletion:<name>` | `due`: when the account goes, in seconds since 1970 |
//!
//! **Quotas.** Of each database count its documents with their history, its local documents and its
//! indexes, as they are stored. An attachment counts once, in however many documents and databases of the
//! account it is, and as if nobody else had it: what others have makes no difference, so that nothing can be
//! learnt from it. The sum is taken again when it is some seconds old, and writes in between are added to
//! it. For that long it may be too high by what was deleted, and too low by what indexes grew and by what
//! was written while it was taken. See `docs/decisions/0012-what-an-account-keeps.md`.
//!
//! **Ends.** Deleting an account only says when it goes. Until then its user cannot sign in, nothing is lost,
//! and an admin can take it back. Then its databases, tokens and documents go. A user whose document somebody
//! deletes goes the same way; making the document again takes it back. Nobody signs up with a name that has an
//! account, so that no stranger comes into its databases.

use std::{sync::PoisonError, time::Duration};

use serde::{Deserialize, Serialize};
use settle_access::{AdministerServer, Grant, Inspect, Resource};
use settle_database::{
    CreateError, CreateOptions, Database, DropError, NameScan, StorageError, Store,
};
use settle_model::id::{AccountName, DatabaseName};
use thiserror::Error;

use crate::{
    Accounts, People,
    fields::{number, replaced},
    limits::DELETIONS_AT_ONCE,
    usage::{Usage, add_up},
    user::USER_PREFIX,
};

const ACCOUNT_PREFIX: &str = "settle.account:";
const DELETION_PREFIX: &str = "settle.deletion:";

/// What every account may keep, and how long a deleted one can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountSettings {
    pub databases_max: u64,
    pub bytes_max: u64,
    pub deletion_grace: Duration,
}

impl Default for AccountSettings {
    fn default() -> Self {
        Self {
            databases_max: crate::limits::ACCOUNT_DATABASES_DEFAULT,
            bytes_max: crate::limits::ACCOUNT_BYTES_DEFAULT,
            deletion_grace: crate::limits::DELETION_GRACE_DEFAULT,
        }
    }
}

/// An account, as its owner and admins see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountInfo {
    pub uuid: String,
    pub databases_max: u64,
    pub bytes_max: u64,
    /// When it goes, in seconds since 1970.
    pub deletes_at: Option<u64>,
}

/// What an admin lets one account have; `None` for what the settings say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    pub databases_max: Option<u64>,
    pub bytes_max: Option<u64>,
}

#[derive(Debug, Error)]
pub enum QuotaError {
    #[error("the account has as many databases as it may have: {databases}")]
    Databases { databases: u64 },
    #[error("the account keeps {bytes} bytes, and may keep {max}; delete something first")]
    Bytes { bytes: u64, max: u64 },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

#[derive(Debug, Error)]
pub enum OwnedCreateError {
    #[error("there is no such account")]
    NoAccount,
    #[error(transparent)]
    Quota(#[from] QuotaError),
    #[error(transparent)]
    Create(#[from] CreateError),
}

#[derive(Debug, Error)]
pub enum AccountError {
    #[error("there is no such account")]
    Missing,
    #[error("somebody else has changed the account at the same moment")]
    Conflict,
    #[error("the site's administrator cannot be deleted")]
    Admin,
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("take a database of the account away")]
    Drop(#[source] DropError),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct StoredAccount {
    r#type: String,
    name: String,
    uuid: String,
    created: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    databases_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_max: Option<u64>,
}

/// An account, and whether it is yet to be written down.
struct Found {
    account: AccountInfo,
    is_new: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct StoredDeletion {
    r#type: String,
    name: String,
    due: u64,
}

impl Accounts {
    pub fn set_account_settings(&self, settings: AccountSettings) {
        *self.account_settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
        self.usages.forget_all();
    }

    fn account_settings(&self) -> AccountSettings {
        *self.account_settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account of that name. `None` where nobody has the name; whoever is signed in with it has it,
    /// also if somebody else signs them in.
    pub async fn account(
        &self,
        name: &AccountName,
        is_signed_in: bool,
    ) -> Result<Option<AccountInfo>, StorageError> {
        match self.find_account(name, is_signed_in).await? {
            Some(Found { account, is_new: false }) => Ok(Some(account)),
            Some(Found { account: _, is_new: true }) => {
                self.begin_account(name).await?;
                // If somebody else was faster, theirs is the one.
                let found = self.find_account(name, is_signed_in).await?;
                Ok(found.map(|found| found.account))
            }
            None => Ok(None),
        }
    }

    /// Writes nothing: what only makes and fills databases needs no uuid.
    async fn find_account(
        &self,
        name: &AccountName,
        is_signed_in: bool,
    ) -> Result<Option<Found>, StorageError> {
        let Some(people) = self.people.get() else { return Ok(None) };
        let user = people.users.document(&format!("{USER_PREFIX}{name}")).await?;
        let stored = people.users.document(&format!("{ACCOUNT_PREFIX}{name}")).await?;
        let is_new = stored.is_none();
        let stored = match stored {
            Some(stored) => serde_json::from_slice(&stored.body).ok(),
            None => {
                let exists = is_signed_in
                    || user.is_some()
                    || self.admin().name == name.as_str()
                    // Of somebody who has no user, since others sign them in.
                    || !names(people.users.store(), name).await?.is_empty();
                exists.then(|| self.new_account(people, name))
            }
        };
        let settings = self.account_settings();
        let account = stored.map(|stored: StoredAccount| AccountInfo {
            uuid: stored.uuid,
            databases_max: stored.databases_max.unwrap_or(settings.databases_max),
            bytes_max: stored.bytes_max.unwrap_or(settings.bytes_max),
            deletes_at: user.and_then(|user| number(&user.body, "deletes_at")),
        });
        Ok(account.map(|account| Found { account, is_new }))
    }

    fn new_account(&self, people: &People, name: &AccountName) -> StoredAccount {
        let mut uuid = [0; 16];
        people.entropy.fill(&mut uuid);
        StoredAccount {
            r#type: "account".to_owned(),
            name: name.as_str().to_owned(),
            uuid: hex::encode(uuid),
            created: self.clock.now().seconds(),
            databases_max: None,
            bytes_max: None,
        }
    }

    async fn begin_account(&self, name: &AccountName) -> Result<(), StorageError> {
        let people = self.people.get().ok_or(StorageError::Gone)?;
        let account = self.new_account(people, name);
        people.users.put(&format!("{ACCOUNT_PREFIX}{name}"), None, Some(json(&account))).await?;
        Ok(())
    }

    /// Sets how much an account may keep.
    pub async fn set_quota(&self, name: &AccountName, quota: Quota) -> Result<(), AccountError> {
        self.account(name, false).await?.ok_or(AccountError::Missing)?;
        let people = self.people.get().ok_or(AccountError::Missing)?;
        let id = format!("{ACCOUNT_PREFIX}{name}");
        let found = people.users.document(&id).await?.ok_or(AccountError::Missing)?;
        let stored = serde_json::from_slice::<StoredAccount>(&found.body);
        let mut stored = stored.map_err(|_| AccountError::Missing)?;
        stored.databases_max = quota.databases_max;
        stored.bytes_max = quota.bytes_max;
        written(people.users.put(&id, Some(found.rev), Some(json(&stored))).await?)?;
        self.usages.forget(name);
        Ok(())
    }

    /// What the account keeps, as of a few seconds ago at most.
    pub async fn usage(&self, name: &AccountName) -> Result<Usage, StorageError> {
        Ok(self.measured(name).await?.map(|(usage, _)| usage).unwrap_or_default())
    }

    /// Refuses to take anything large where the account keeps as much as it may.
    pub async fn check_room(&self, name: &AccountName) -> Result<(), QuotaError> {
        match self.measured(name).await? {
            Some((usage, max)) if usage.bytes >= max => {
                Err(QuotaError::Bytes { bytes: usage.bytes, max })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses what would make the account keep more than it may and `beyond`.
    pub async fn check_bytes(
        &self,
        name: &AccountName,
        bytes: u64,
        beyond: u64,
    ) -> Result<(), QuotaError> {
        let Some((usage, max)) = self.measured(name).await? else { return Ok(()) };
        if usage.bytes.saturating_add(bytes) > max.saturating_add(beyond) {
            return Err(QuotaError::Bytes { bytes: usage.bytes, max });
        }
        self.usages.add(name, bytes);
        Ok(())
    }

    /// What the account keeps, and the most bytes that it may; `None` where there is no such account.
    async fn measured(&self, name: &AccountName) -> Result<Option<(Usage, u64)>, StorageError> {
        let begun = self.clock.monotonic();
        if let Some(known) = self.usages.get(name, begun) {
            return Ok(Some(known));
        }
        let Some(people) = self.people.get() else { return Ok(None) };
        let Some(Found { account, .. }) = self.find_account(name, true).await? else {
            return Ok(None);
        };
        let usage = add_up(people, name).await?;
        let took = self.clock.monotonic().saturating_sub(begun);
        self.usages.keep(name, (usage, account.bytes_max), begun, took);
        Ok(Some((usage, account.bytes_max)))
    }

    /// Makes a database of an account, if it may have one more.
    pub async fn create_owned(
        &self,
        grant: &Grant<AdministerServer>,
        account: &AccountName,
        name: &DatabaseName,
        is_signed_in: bool,
        options: CreateOptions,
    ) -> Result<Database, OwnedCreateError> {
        let people = self.people.get().ok_or(OwnedCreateError::NoAccount)?;
        let store = people.users.store();
        let _turn = self.usages.turn_to_create(account).await;
        let names = names(store, account).await.map_err(QuotaError::from)?;
        let databases = names.len() as u64;
        let found = self.find_account(account, is_signed_in).await.map_err(QuotaError::from)?;
        let info = found.ok_or(OwnedCreateError::NoAccount)?.account;
        let is_new = !names.iter().any(|it| it == name.local());
        if is_new && databases >= info.databases_max {
            return Err(QuotaError::Databases { databases }.into());
        }
        Ok(store.create(grant, name, options).await?)
    }

    /// Says when an account goes: in seconds since 1970. Its user cannot sign in from now on.
    pub async fn delete_account(&self, name: &AccountName) -> Result<u64, AccountError> {
        if self.admin().name == name.as_str() {
            return Err(AccountError::Admin);
        }
        let people = self.people.get().ok_or(AccountError::Missing)?;
        let id = format!("{USER_PREFIX}{name}");
        let user = people.users.document(&id).await?.ok_or(AccountError::Missing)?;
        if let Some(due) = number(&user.body, "deletes_at") {
            return Ok(due);
        }
        let due = self.note_deletion(name.as_str()).await?;
        let value = due.to_string().into_bytes();
        let body = replaced(&user.body, &[("deletes_at", value.into())], |it| it == "deletes_at");
        written(people.users.put(&id, Some(user.rev), Some(body)).await?)?;
        Ok(due)
    }

    /// Takes back that an account goes.
    pub async fn restore_account(&self, name: &AccountName) -> Result<(), AccountError> {
        let people = self.people.get().ok_or(AccountError::Missing)?;
        let id = format!("{USER_PREFIX}{name}");
        let user = people.users.document(&id).await?.ok_or(AccountError::Missing)?;
        let body = replaced(&user.body, &[], |member| member == "deletes_at");
        written(people.users.put(&id, Some(user.rev), Some(body)).await?)?;
        let id = format!("{DELETION_PREFIX}{name}");
        if let Some(note) = people.users.document(&id).await? {
            people.users.put(&id, Some(note.rev), None).await?;
        }
        Ok(())
    }

    /// Notes that a user's document is being deleted, and what belongs to the user should follow it.
    pub async fn note_deletion(&self, name: &str) -> Result<u64, StorageError> {
        let people = self.people.get().ok_or(StorageError::Gone)?;
        let due = self.clock.now().plus(self.account_settings().deletion_grace).seconds();
        let name = name.to_owned();
        let id = format!("{DELETION_PREFIX}{name}");
        let before = people.users.document(&id).await?;
        let note = StoredDeletion { r#type: "deletion".to_owned(), name, due };
        let base = before.map(|it| it.rev);
        people.users.put(&id, base, Some(json(&note))).await?;
        Ok(due)
    }

    /// Whether somebody's databases may be behind a name that has no user at the moment.
    pub(crate) async fn has_account(&self, name: &str) -> Result<bool, StorageError> {
        match self.people.get() {
            Some(people) => {
                let account = people.users.document(&format!("{ACCOUNT_PREFIX}{name}")).await?;
                if account.is_some() {
                    return Ok(true);
                }
                // Nobody may have asked for more than a database yet.
                let Ok(name) = name.parse() else { return Ok(false) };
                Ok(!names(people.users.store(), &name).await?.is_empty())
            }
            None => Ok(false),
        }
    }

    /// Takes away accounts whose time has come; how many. Called at the start and now and then.
    pub async fn carry_out_deletions(&self) -> Result<u64, AccountError> {
        let Some(people) = self.people.get() else { return Ok(0) };
        let mut gone = 0;
        let notes = people.users.documents(DELETION_PREFIX, DELETIONS_AT_ONCE).await?;
        let now = self.clock.now().seconds();
        for (id, body) in notes {
            let Ok(note) = serde_json::from_slice::<StoredDeletion>(&body) else { continue };
            if note.due > now {
                continue;
            }
            let user = people.users.document(&format!("{USER_PREFIX}{}", note.name)).await?;
            let stays = user.is_some_and(|user| number(&user.body, "deletes_at").is_none());
            if !stays {
                if let Ok(name) = note.name.parse() {
                    drop_databases(people.users.store(), &name).await?;
                }
                self.forget(people, &note.name).await?;
                gone += 1;
            }
            remove(people, &id).await?;
        }
        Ok(gone)
    }

    async fn forget(&self, people: &People, name: &str) -> Result<(), StorageError> {
        people.users.forget_tokens(name).await?;
        remove(people, &format!("{ACCOUNT_PREFIX}{name}")).await?;
        remove(people, &format!("{USER_PREFIX}{name}")).await
    }
}

fn written(written: bool) -> Result<(), AccountError> {
    if written { Ok(()) } else { Err(AccountError::Conflict) }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts and numbers have a JSON form")
}

async fn remove(people: &People, id: &str) -> Result<(), StorageError> {
    if let Some(found) = people.users.document(id).await? {
        people.users.put(id, Some(found.rev), None).await?;
    }
    Ok(())
}

pub(crate) async fn names(
    store: &Store,
    account: &AccountName,
) -> Result<Vec<String>, StorageError> {
    let resource = Resource::Account { name: account.clone() };
    let grant: Grant<Inspect> = Grant::internal(resource, "what an account has");
    store.names(&grant, NameScan::default()).await
}

async fn drop_databases(store: &Store, account: &AccountName) -> Result<(), AccountError> {
    let resource = Resource::Account { name: account.clone() };
    let grant: Grant<AdministerServer> = Grant::internal(resource, "the account's time has come");
    for name in names(store, account).await? {
        let Ok(local) = name.parse() else { continue };
        let Some(name) = account.database(&local) else { continue };
        match store.drop(&grant, &name).await {
            Ok(()) | Err(DropError::Missing { .. }) => {}
            Err(error @ DropError::Storage(_)) => return Err(AccountError::Drop(error)),
        }
    }
    Ok(())
}
