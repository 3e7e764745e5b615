//! What the parts of a site do together.
//!
//! A [`Site`] is everything that documents are kept with: databases, indexes, functions, people. What needs
//! several of these stands here, for whoever asks from outside, over HTTP, and from inside, as a
//! replication: every [write](Site::write) of documents, and which documents a feed of changes shows
//! ([`filter`]).
//!
//! *Does not know* HTTP, nor how somebody signed in.

mod archives;
mod databases;
pub mod filter;
pub mod history;
pub mod incoming;
mod info;
pub mod limits;
mod names;
pub mod outgoing;
mod replications;
mod transact;
mod users;
mod write;

use std::sync::Arc;

use settle_accounts::{Accounts, KeptBeside};
use settle_database::Store;
use settle_index::{Indexes, lane::Lanes};
use settle_model::time::{Clock, Entropy};
use settle_script::Scripts;
use settle_sync::sealing::Sealer;

pub use crate::{
    archives::{InPlace, SiteRestoreError},
    databases::NewDatabaseError,
    info::DatabaseInfo,
    names::{AUDIT, OfTheSystem, WrittenByTheServer, check_change, database_name},
    transact::TransactError,
    write::{LocalWriteError, PrepareError, WriteRefusal},
};

/// Everything that documents are kept with.
#[derive(Debug)]
pub struct Site {
    pub store: Store,
    pub indexes: Indexes,
    pub scripts: Scripts,
    /// The way of every write of documents.
    lanes: Lanes,
    pub accounts: Arc<Accounts>,
    /// Keeps the credentials of replications.
    pub sealer: Arc<Sealer>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
}

/// What a site is put together from.
#[derive(Debug)]
pub struct SiteParts {
    pub store: Store,
    pub indexes: Indexes,
    pub scripts: Scripts,
    pub accounts: Arc<Accounts>,
    pub sealer: Arc<Sealer>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
}

impl Site {
    /// Lets the accounts know where their databases are.
    pub fn new(parts: SiteParts) -> Self {
        let SiteParts { store, indexes, scripts, accounts, sealer, clock, entropy } = parts;
        let kept = indexes.clone();
        let beside = KeptBeside::new(move |database| {
            let kept = kept.clone();
            Box::pin(async move { kept.kept_bytes(database).await })
        });
        accounts.attach(store.clone(), beside, Arc::clone(&entropy));
        let lanes = Lanes::new(indexes.clone());
        Self { store, indexes, scripts, lanes, accounts, sealer, clock, entropy }
    }
}
