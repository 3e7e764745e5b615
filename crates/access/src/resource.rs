//! What somebody may want to do something with.

use std::sync::Arc;

use settle_model::id::{AccountName, DatabaseName};

use crate::Security;

/// Carries everything that the rules look at, so that deciding reads nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// The site's server: its databases, settings, figures.
    Server,
    /// The site's server and those of all accounts.
    AllServers,
    /// The server of one account, below `/~name/`.
    Account { name: AccountName },
    /// A database with all of its documents.
    Database(Arc<Protected>),
    /// One document of a database of users, which stands for the user of that name. A grant for it is
    /// one for its database; it is asked for where one document alone is read or written.
    UserDocument {
        database: Arc<Protected>,
        user: String,
        /// Whether anybody may make a user for themselves.
        sign_up: bool,
    },
}

/// What is to be known of a database before somebody may touch it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protected {
    /// Its number, which no other database ever has.
    pub number: u64,
    pub name: DatabaseName,
    pub kind: Kind,
    /// Whose account it belongs to; `None` for databases of the site.
    pub owner: Option<AccountName>,
    /// What its admins have set; `None` while nobody has.
    pub security: Option<Security>,
}

/// What a database is to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Documents,
    /// `_users`: who can sign in.
    Users,
    /// `_replicator`, also below a prefix: each document is a replication, which runs in the name of who
    /// wrote it.
    Replicator,
}

impl Protected {
    /// `security` is the object as it was stored, empty while there is none.
    pub fn new(number: u64, name: DatabaseName, security: &[u8]) -> Self {
        let kind = match name.as_str().rsplit('/').next() {
            Some("_users") => Kind::Users,
            Some(_) | None if name.is_replicator() => Kind::Replicator,
            Some(_) | None => Kind::Documents,
        };
        Self {
            number,
            kind,
            owner: name.account(),
            security: (!security.is_empty()).then(|| Security::parse(security)),
            name,
        }
    }
}
