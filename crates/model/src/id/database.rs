//! Names of databases.

use std::{str::FromStr, sync::Arc};

use thiserror::Error;

use super::{AccountName, text_id};
use crate::limits::DATABASE_NAME_BYTES_MAX;

/// What may stand alone although it begins with an underscore. Below a prefix, one for each tenant,
/// the rule for all names allows it anyway: `acme/_users`.
const SYSTEM: [&str; 3] = ["_users", REPLICATOR, "_global_changes"];

/// The database of the server's own replications, and the last part of the names of others.
const REPLICATOR: &str = "_replicator";

/// The server's own records of sign-ins and administrative acts.
const AUDIT: &str = "_audit";

/// `^[a-z][a-z0-9_$()+/-]*$`, or a system database. At most [`DATABASE_NAME_BYTES_MAX`] bytes.
///
/// Databases of accounts have names in the catalog that no parsing yields, see [`AccountName`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatabaseName(Arc<str>);

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DatabaseNameError {
    #[error(
        "Name: '{name}'. Only lowercase characters (a-z), digits (0-9), and any of the characters \
         _, $, (, ), +, -, and / are allowed. Must begin with a letter."
    )]
    Illegal { name: String },
    #[error("At least one path segment of `{name}` is too long.")]
    TooLong { name: String },
}

text_id!(DatabaseName);

impl DatabaseName {
    /// Whether the server gives this database a meaning, by the last part of its name: `_users`,
    /// `acme/_users`.
    pub fn is_system(&self) -> bool {
        self.0.rsplit('/').next().is_some_and(|last| SYSTEM.contains(&last))
    }

    /// Whether its documents are replications: `_replicator`, `acme/_replicator`.
    pub fn is_replicator(&self) -> bool {
        self.0.rsplit('/').next() == Some(REPLICATOR)
    }

    /// Whose it is; `None` for databases of the site.
    pub fn account(&self) -> Option<AccountName> {
        Some(AccountName::split(&self.0)?.0)
    }

    /// What it is called on the server that it belongs to.
    pub fn local(&self) -> &str {
        match AccountName::split(&self.0) {
            Some((_, start)) => &self.0[start..],
            None => &self.0,
        }
    }

    pub(super) fn is_of_account(&self) -> bool {
        self.0.starts_with('~')
    }

    /// For [`AccountName`], which makes names of this form alone.
    pub(super) fn in_catalog(name: String) -> Self {
        Self(name.into())
    }

    /// A name as it stands in the catalog.
    pub fn from_catalog(name: &str) -> Result<Self, DatabaseNameError> {
        match AccountName::split(name) {
            None => name.parse(),
            Some((account, start)) => {
                let local = name[start..].parse()?;
                account
                    .database(&local)
                    .ok_or_else(|| DatabaseNameError::Illegal { name: name.to_owned() })
            }
        }
    }
}

impl FromStr for DatabaseName {
    type Err = DatabaseNameError;

    fn from_str(name: &str) -> Result<Self, DatabaseNameError> {
        if !is_plain(name) && !SYSTEM.contains(&name) && name != AUDIT {
            return Err(DatabaseNameError::Illegal { name: name.to_owned() });
        }
        if name.len() > DATABASE_NAME_BYTES_MAX {
            return Err(DatabaseNameError::TooLong { name: name.to_owned() });
        }
        Ok(Self(name.into()))
    }
}

fn is_plain(name: &str) -> bool {
    let allowed = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'$' | b'(' | b')' | b'+' | b'/' | b'-');
    name.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && name.as_bytes().iter().all(allowed)
}
