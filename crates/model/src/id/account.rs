//! Names of accounts, and how they stand in names of databases.
//!
//! An account's name is its user's. A database of an account stands in the catalog as `~`, the account's
//! name with `%` and `/` percent-encoded, `/`, and the name that its owner gave it: `~alice/notes`,
//! `~a%2Fb/notes`. So the databases of an account stand together, behind all others, and no name can be
//! taken for another.

use std::{str::FromStr, sync::Arc};

use thiserror::Error;

use super::{DatabaseName, text_id};
use crate::limits::ACCOUNT_NAME_BYTES_MAX;

/// Words that stand for more than one person, now or later.
const RESERVED: [&str; 5] = ["anonymous", "everyone", "nobody", "settle", "system"];

/// Any text that a user can be called, but for a few words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(Arc<str>);

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AccountNameError {
    #[error("an account's name must not be empty")]
    Empty,
    #[error("an account's name must not begin with an underscore")]
    Underscore,
    #[error("an account's name must not contain a colon or a control character")]
    Character,
    #[error("the name {name} is reserved")]
    Reserved { name: String },
    #[error("an account's name has at most {ACCOUNT_NAME_BYTES_MAX} bytes, this one has {bytes}")]
    TooLong { bytes: usize },
}

text_id!(AccountName);

impl FromStr for AccountName {
    type Err = AccountNameError;

    fn from_str(name: &str) -> Result<Self, AccountNameError> {
        if name.is_empty() {
            return Err(AccountNameError::Empty);
        }
        if name.starts_with('_') {
            return Err(AccountNameError::Underscore);
        }
        if name.chars().any(|it| it == ':' || it.is_control()) {
            return Err(AccountNameError::Character);
        }
        if RESERVED.contains(&name) {
            return Err(AccountNameError::Reserved { name: name.to_owned() });
        }
        if name.len() > ACCOUNT_NAME_BYTES_MAX {
            return Err(AccountNameError::TooLong { bytes: name.len() });
        }
        Ok(Self(name.into()))
    }
}

impl AccountName {
    /// What the names of its databases begin with in the catalog.
    pub fn catalog_prefix(&self) -> String {
        format!("~{}/", self.0.replace('%', "%25").replace('/', "%2F"))
    }

    /// The name in the catalog of the database that the owner calls `local`. `None` for what an account
    /// cannot have: databases of the system other than replications, and those of an account.
    pub fn database(&self, local: &DatabaseName) -> Option<DatabaseName> {
        let is_system = local.is_system() && !local.is_replicator();
        if is_system || local.is_of_account() {
            return None;
        }
        Some(DatabaseName::in_catalog(format!("{}{local}", self.catalog_prefix())))
    }

    /// The account in a name of the catalog, and where the owner's part of it begins.
    pub(super) fn split(catalog: &str) -> Option<(Self, usize)> {
        let encoded = catalog.strip_prefix('~')?.split_once('/')?.0;
        let name = encoded.replace("%2F", "/").replace("%25", "%");
        Some((name.parse().ok()?, encoded.len() + 2))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn notes() -> DatabaseName {
        "notes".parse().unwrap()
    }

    #[test]
    fn a_database_of_an_account_says_whose_it_is() {
        let alice: AccountName = "alice".parse().unwrap();
        let name = alice.database(&notes()).unwrap();
        assert_eq!(name.as_str(), "~alice/notes");
        assert_eq!(name.account(), Some(alice));
        assert_eq!(name.local(), "notes");
        assert_eq!(notes().account(), None);
        assert_eq!(notes().local(), "notes");
    }

    #[test]
    fn no_account_has_databases_of_the_system_but_for_replications() {
        let alice: AccountName = "alice".parse().unwrap();
        for name in ["_users", "_global_changes", "acme/_users"] {
            assert_eq!(alice.database(&name.parse().unwrap()), None, "{name}");
        }
        let own = alice.database(&"_replicator".parse().unwrap()).unwrap();
        assert_eq!(own.as_str(), "~alice/_replicator");
        assert!(own.is_replicator() && !notes().is_replicator());
    }

    #[test]
    fn names_that_nobody_can_have_are_refused() {
        for name in ["", "_x", "a:b", "a\nb", "everyone", &"x".repeat(300)] {
            assert!(name.parse::<AccountName>().is_err(), "{name}");
        }
        for name in ["Alice", "alice@example.org", "åsa", "a/b", "50%", "a%2Fb", "~"] {
            assert!(name.parse::<AccountName>().is_ok(), "{name}");
        }
    }

    #[test]
    fn what_clients_send_as_a_name_of_a_database_is_never_one_of_an_account() {
        for name in ["~alice/notes", "~alice", "~"] {
            assert!(name.parse::<DatabaseName>().is_err(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn two_accounts_never_share_a_name_in_the_catalog(
            one in "[a%/F25~]{1,6}", other in "[a%/F25~]{1,6}",
        ) {
            let (one, other): (AccountName, AccountName) =
                (one.parse().unwrap(), other.parse().unwrap());
            let (a, b) = (one.database(&notes()).unwrap(), other.database(&notes()).unwrap());
            prop_assert_eq!(a == b, one == other);
            prop_assert_eq!(a.account(), Some(one));
            prop_assert_eq!(a.local(), "notes");
        }
    }
}
