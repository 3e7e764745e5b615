//! Making databases, for the site and for accounts.

use settle_access::{AccessError, Actor, AdministerServer, Grant, Resource, authorize};
use settle_accounts::OwnedCreateError;
use settle_database::{CreateError, CreateOptions};
use settle_model::id::DatabaseName;
use thiserror::Error;

use crate::Site;

#[derive(Debug, Error)]
pub enum NewDatabaseError {
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Owned(#[from] OwnedCreateError),
    #[error(transparent)]
    Create(#[from] CreateError),
}

impl Site {
    /// The right to make and drop a database: an account's owner has that for those of the account.
    pub fn may_administer(
        &self,
        actor: &Actor,
        name: &DatabaseName,
    ) -> Result<Grant<AdministerServer>, AccessError> {
        let server = name.account().map_or(Resource::Server, |name| Resource::Account { name });
        authorize(actor, &server)
    }

    /// Makes a database, if its account may have one more. `name` is that in the catalog.
    pub async fn create(
        &self,
        actor: &Actor,
        grant: &Grant<AdministerServer>,
        name: &DatabaseName,
        options: CreateOptions,
    ) -> Result<(), NewDatabaseError> {
        match name.account() {
            None => self.store.create(grant, name, options).await.map(drop)?,
            Some(account) => {
                let is_own = actor.name() == Some(account.as_str());
                let accounts = &self.accounts;
                accounts.create_owned(grant, &account, name, is_own, options).await.map(drop)?;
            }
        }
        Ok(())
    }
}
