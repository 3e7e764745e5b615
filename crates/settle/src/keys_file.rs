//! The key set that JSON Web Tokens are checked with, from a file that is read again when it changes: keys
//! are rotated by writing the file anew, with the old key and the new one while both are in use.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use settle_accounts::{Accounts, JwtRules, KeySet, KeySetError, RequiredClaim};
use settle_database::Tasks;
use thiserror::Error;

use crate::{config::Config, limits::KEYS_LOOKED_AT_EVERY};

#[derive(Debug, Error)]
pub enum KeysFileError {
    #[error("read the keys in {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("use the keys in {}", path.display())]
    Keys { path: PathBuf, source: KeySetError },
}

/// Reads the keys, if the configuration names a file, and goes on looking at it.
pub(crate) fn watch(
    config: &Config,
    accounts: &Arc<Accounts>,
    tasks: &Tasks,
) -> Result<(), KeysFileError> {
    let Some(path) = config.jwt_keys.clone() else { return Ok(()) };
    let required = RequiredClaim::parse_list(&config.jwt_required_claims);
    let roles_path = members(&config.jwt_roles_claim);
    let rules =
        move |keys| JwtRules { keys, required: required.clone(), roles_path: roles_path.clone() };
    let mut seen = changed(&path);
    accounts.set_jwt_rules(Some(rules(read(&path)?)));
    let (accounts, stopping) = (Arc::clone(accounts), tasks.clone());
    tasks.spawn(async move {
        loop {
            tokio::select! {
                () = stopping.stopping() => return,
                () = tokio::time::sleep(KEYS_LOOKED_AT_EVERY) => {}
            }
            let now = changed(&path);
            if now == seen {
                continue;
            }
            match read(&path) {
                Ok(keys) => {
                    seen = now;
                    accounts.set_jwt_rules(Some(rules(keys)));
                    tracing::info!(path = %path.display(), "read the keys of tokens again");
                }
                // Perhaps it is being written; the keys that were read before go on.
                Err(error) => tracing::warn!(%error, "could not read the keys of tokens again"),
            }
        }
    });
    Ok(())
}

fn read(path: &Path) -> Result<KeySet, KeysFileError> {
    let text = fs::read(path)
        .map_err(|source| KeysFileError::Unreadable { path: path.to_owned(), source })?;
    KeySet::parse(&text).map_err(|source| KeysFileError::Keys { path: path.to_owned(), source })
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

/// `a.b\.c` as `a` and `b.c`.
fn members(path: &str) -> Vec<String> {
    let mut members = vec![String::new()];
    let mut letters = path.chars();
    while let Some(letter) = letters.next() {
        let last = members.last_mut().expect("there is always one");
        match letter {
            '\\' => last.extend(letters.next()),
            '.' => members.push(String::new()),
            other => last.push(other),
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_behind_a_backslash_belongs_to_a_name() {
        assert_eq!(members(r"_couchdb\.roles"), ["_couchdb.roles"]);
        assert_eq!(members("realm.roles"), ["realm", "roles"]);
    }
}
