//! What a database is called in the catalog that somebody names on one of the servers of a site.

use settle_model::id::{AccountName, DatabaseName};

/// An account has no databases of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("An account has no databases of the system.")]
pub struct OfTheSystem;

/// The name in the catalog of a database that is called `local` on the server of `account`, or on the
/// site's.
pub fn database_name(
    account: Option<&AccountName>,
    local: DatabaseName,
) -> Result<DatabaseName, OfTheSystem> {
    match account {
        Some(account) => account.database(&local).ok_or(OfTheSystem),
        None => Ok(own_database(&local).unwrap_or(local)),
    }
}

/// The database of an account that `userdb-<hex of the name>` stands for, which is what CouchDB calls the
/// database that it gives each user.
fn own_database(name: &DatabaseName) -> Option<DatabaseName> {
    let account = hex::decode(name.as_str().strip_prefix("userdb-")?).ok()?;
    let account: AccountName = String::from_utf8(account).ok()?.parse().ok()?;
    account.database(&"userdb".parse().ok()?)
}

/// Where the server records sign-ins and acts of administrators.
pub const AUDIT: &str = "_audit";

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The server alone writes to `_audit`, and nobody takes back.")]
pub struct WrittenByTheServer;

/// Refuses to change what the server alone writes. To be asked once it is known that whoever wants to may
/// see it.
pub fn check_change(name: &DatabaseName) -> Result<(), WrittenByTheServer> {
    if name.as_str() == AUDIT { Err(WrittenByTheServer) } else { Ok(()) }
}
