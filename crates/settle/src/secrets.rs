//! What only the server may know: the administrator's password, as a hash, and what sessions and the
//! credentials of replications are sealed with.
//!
//! Kept apart from the documents in a file of mode 0600, so that no replica of the documents gives
//! them away. Stored as JSON:
//!
//! | member | holds |
//! |---|---|
//! | `version` | 3; 2 had no `replication_keys`, 1 neither `session_secret_since` nor `previous_session_secret` |
//! | `admin.name` | the administrator's name |
//! | `admin.password` | an argon2id hash in PHC form |
//! | `session_secret` | 32 bytes in base64 |
//! | `session_secret_since` | when it was made, in seconds since 1970 |
//! | `previous_session_secret` | the one before, which sessions of that time are sealed with |
//! | `replication_keys` | 32 bytes in base64 each: the first seals credentials of replications, all open them |
//!
//! Whoever wants another key for replications puts it in front of the list while the server is stopped.
//! Documents are sealed with it when they are next written; the earlier keys stay for the others.

use std::{fs, io, path::Path, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use settle_accounts::{Account, Accounts, PasswordError, PasswordHash, SessionSecret};
use settle_model::time::{Clock, Entropy};
use settle_replicator::{KEY_BYTES, Sealer};
use thiserror::Error;

use crate::{config::Secret, durable_file};

const VERSION: u32 = 3;

/// The oldest version that is read.
const VERSION_MIN: u32 = 1;

/// Sessions are sealed with another secret after so long.
const ROTATED_AFTER_SECONDS: u64 = 30 * 24 * 3_600;

/// Letters and digits that cannot be mistaken for each other.
const PASSWORD_LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// 32 letters to choose from are 5 bits each: 100 bits.
const PASSWORD_LENGTH: usize = 20;

/// An administrator that this start has made up a password for.
#[derive(Debug, Clone)]
pub struct FirstAdmin {
    pub name: String,
    pub password: Secret,
}

#[derive(Debug, Error)]
pub enum SecretsError {
    #[error("read the secrets in {path}")]
    Unreadable { path: String, source: io::Error },
    #[error("understand the secrets in {path}")]
    Malformed { path: String, source: serde_json::Error },
    #[error(
        "understand the secrets in {path}: they have version {version}, this server knows {VERSION}"
    )]
    Newer { path: String, version: u32 },
    #[error("understand the session secret in {path}")]
    SessionSecret { path: String, source: base64::DecodeError },
    #[error(
        "understand key {number} of `replication_keys` in {path}: it is not 32 bytes in base64"
    )]
    ReplicationKey { path: String, number: usize },
    #[error("use the administrator's password")]
    Password { source: PasswordError },
    #[error("write the secrets to {path}")]
    Unwritable { path: String, source: io::Error },
}

#[derive(Debug, Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    admin: StoredAdmin,
    session_secret: String,
    #[serde(default)]
    session_secret_since: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous_session_secret: Option<String>,
    #[serde(default)]
    replication_keys: Vec<String>,
}

/// What the file holds, parsed.
struct Kept {
    name: String,
    password: PasswordHash,
    session: SessionSecret,
    since: u64,
    previous: Option<SessionSecret>,
    /// The first one seals.
    replication_keys: Vec<[u8; KEY_BYTES]>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredAdmin {
    name: String,
    password: String,
}

/// Where the administrator comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    /// Where none is wanted, the stored administrator stays as it is.
    pub(crate) password: Option<&'a Secret>,
}

/// What the secrets are for.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) accounts: Accounts,
    pub(crate) first_admin: Option<FirstAdmin>,
    pub(crate) sealer: Sealer,
}

/// What the file at `path` is for or, where there is none, one that is made anew and kept there. Without
/// a path nothing is kept.
pub(crate) async fn open(
    path: Option<&Path>,
    wanted: Wanted<'_>,
    clock: Arc<dyn Clock>,
    entropy: &dyn Entropy,
) -> Result<Opened, SecretsError> {
    let stored = path.map(read).transpose()?.flatten();
    let Some(mut kept) = stored else {
        let first = wanted
            .password
            .is_none()
            .then(|| FirstAdmin { name: wanted.name.to_owned(), password: make_password(entropy) });
        let password = wanted.password.or_else(|| first.as_ref().map(|it| &it.password));
        let password = password.expect("made up where none is wanted");
        let kept = Kept {
            name: wanted.name.to_owned(),
            password: hash(password, entropy)?,
            session: SessionSecret::generate(entropy),
            since: clock.now().seconds(),
            previous: None,
            replication_keys: vec![make_key(entropy)],
        };
        keep(path, &kept)?;
        let sealer = kept.sealer();
        let account = Account::admin(kept.name, kept.password);
        let accounts = Accounts::new(account, kept.session, clock, entropy);
        return Ok(Opened { accounts, first_admin: first, sealer });
    };
    if kept.replication_keys.is_empty() {
        kept.replication_keys.push(make_key(entropy));
        keep(path, &kept)?;
    }
    let sealer = kept.sealer();
    let account = Account::admin(kept.name.clone(), kept.password.clone());
    let accounts = Accounts::new(account, kept.session.clone(), clock, entropy);
    accounts.rotate_secret(kept.session.clone(), kept.previous.clone());
    if let Some(password) = wanted.password {
        // A password that is already in force keeps its salt, and with it the sessions.
        let unchanged = accounts.open_session(wanted.name, password.reveal(), None).await.is_ok();
        if !unchanged {
            wanted.name.clone_into(&mut kept.name);
            kept.password = hash(password, entropy)?;
            keep(path, &kept)?;
            accounts.replace_admin(Account::admin(kept.name, kept.password));
        }
    }
    Ok(Opened { accounts, first_admin: None, sealer })
}

impl Kept {
    fn sealer(&self) -> Sealer {
        let (current, previous) = self.replication_keys.split_first().expect("one is made");
        Sealer::new(*current, previous)
    }
}

/// What credentials of replications are sealed with by the server whose secrets these are; `None` where
/// there are none.
pub(crate) fn kept_sealer(path: &Path) -> Result<Option<Sealer>, SecretsError> {
    let kept = read(path)?.filter(|kept| !kept.replication_keys.is_empty());
    Ok(kept.map(|kept| kept.sealer()))
}

/// Replaces a session secret that is old; the one before goes on for those sessions that have it.
pub(crate) fn rotate_if_due(
    path: &Path,
    accounts: &Accounts,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<(), SecretsError> {
    let Some(mut kept) = read(path)? else { return Ok(()) };
    let now = clock.now().seconds();
    if now.saturating_sub(kept.since) < ROTATED_AFTER_SECONDS {
        return Ok(());
    }
    kept.previous = Some(std::mem::replace(&mut kept.session, SessionSecret::generate(entropy)));
    kept.since = now;
    keep(Some(path), &kept)?;
    accounts.rotate_secret(kept.session, kept.previous);
    Ok(())
}

fn make_key(entropy: &dyn Entropy) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    entropy.fill(&mut key);
    key
}

fn hash(password: &Secret, entropy: &dyn Entropy) -> Result<PasswordHash, SecretsError> {
    PasswordHash::of(password.reveal(), entropy).map_err(|source| SecretsError::Password { source })
}

/// A password for somebody, of 100 random bits.
pub fn new_password() -> Secret {
    make_password(&crate::system::SystemEntropy)
}

/// A password of 100 random bits.
pub(crate) fn make_password(entropy: &dyn Entropy) -> Secret {
    let mut bytes = [0; PASSWORD_LENGTH];
    entropy.fill(&mut bytes);
    let letter = |byte: u8| char::from(PASSWORD_LETTERS[usize::from(byte) % 32]);
    Secret::new(bytes.into_iter().map(letter).collect::<String>())
}

fn read(path: &Path) -> Result<Option<Kept>, SecretsError> {
    let shown = || path.display().to_string();
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SecretsError::Unreadable { path: shown(), source }),
    };
    let malformed = |source| SecretsError::Malformed { path: shown(), source };
    let Versioned { version } = serde_json::from_slice(&text).map_err(malformed)?;
    if !(VERSION_MIN..=VERSION).contains(&version) {
        return Err(SecretsError::Newer { path: shown(), version });
    }
    let stored: Stored = serde_json::from_slice(&text).map_err(malformed)?;
    let password = PasswordHash::from_stored(&stored.admin.password)
        .map_err(|source| SecretsError::Password { source })?;
    let secret = |text: &String| {
        let bytes = BASE64_STANDARD
            .decode(text)
            .map_err(|source| SecretsError::SessionSecret { path: shown(), source });
        bytes.map(SessionSecret::from_stored)
    };
    Ok(Some(Kept {
        password,
        session: secret(&stored.session_secret)?,
        since: stored.session_secret_since,
        previous: stored.previous_session_secret.as_ref().map(secret).transpose()?,
        replication_keys: stored
            .replication_keys
            .iter()
            .enumerate()
            .map(|(at, text)| {
                let bytes = BASE64_STANDARD.decode(text).ok().and_then(|it| it.try_into().ok());
                bytes.ok_or_else(|| SecretsError::ReplicationKey { path: shown(), number: at + 1 })
            })
            .collect::<Result<_, _>>()?,
        name: stored.admin.name,
    }))
}

fn keep(path: Option<&Path>, kept: &Kept) -> Result<(), SecretsError> {
    let Some(path) = path else { return Ok(()) };
    let Kept { name, password, session, since, previous, replication_keys } = kept;
    let admin = StoredAdmin { name: name.clone(), password: password.as_str().to_owned() };
    let text = |secret: &SessionSecret| BASE64_STANDARD.encode(secret.as_bytes());
    let stored = Stored {
        version: VERSION,
        admin,
        session_secret: text(session),
        session_secret_since: *since,
        previous_session_secret: previous.as_ref().map(text),
        replication_keys: replication_keys.iter().map(|it| BASE64_STANDARD.encode(it)).collect(),
    };
    let mut text = serde_json::to_vec_pretty(&stored).expect("text has a JSON form");
    text.push(b'\n');
    durable_file::replace(path, &text)
        .map_err(|source| SecretsError::Unwritable { path: path.display().to_string(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use settle_model::time::{ManualClock, SeededEntropy};

    use super::*;

    async fn open_at(path: &Path, password: Option<&str>) -> (Accounts, Option<FirstAdmin>) {
        let password = password.map(Secret::new);
        let wanted = Wanted { name: "ada", password: password.as_ref() };
        let clock = Arc::new(ManualClock::default());
        let opened = open(Some(path), wanted, clock, &SeededEntropy::new(7)).await.unwrap();
        (opened.accounts, opened.first_admin)
    }

    #[tokio::test]
    async fn a_first_start_makes_a_password_that_the_next_start_knows_and_does_not_show() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.json");
        let (_, first) = open_at(&path, None).await;
        let first = first.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (accounts, again) = open_at(&path, None).await;
        assert!(again.is_none());
        accounts.open_session("ada", first.password.reveal(), None).await.unwrap();
    }

    #[tokio::test]
    async fn a_password_that_is_set_replaces_the_old_one_and_stays_when_it_is_no_longer_set() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.json");
        open_at(&path, Some("old")).await;
        open_at(&path, Some("new")).await;
        let (accounts, _) = open_at(&path, None).await;
        assert!(accounts.open_session("ada", "old", None).await.is_err());
        accounts.open_session("ada", "new", None).await.unwrap();
    }

    #[tokio::test]
    async fn sessions_outlive_a_start_with_the_same_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.json");
        let (accounts, _) = open_at(&path, Some("same")).await;
        let (cookie, _) = accounts.open_session("ada", "same", None).await.unwrap();
        let (accounts, _) = open_at(&path, Some("same")).await;
        assert!(accounts.session(&cookie).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn secrets_of_a_newer_server_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.json");
        fs::write(&path, r#"{"version":4,"more":true}"#).unwrap();
        let wanted = Wanted { name: "ada", password: None };
        let clock = Arc::new(ManualClock::default());
        let opened = open(Some(&path), wanted, clock, &SeededEntropy::new(7)).await;
        assert!(matches!(opened, Err(SecretsError::Newer { version: 4, .. })));
    }

    #[tokio::test]
    async fn an_old_secret_is_replaced_and_its_sessions_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.json");
        let (accounts, _) = open_at(&path, Some("same")).await;
        let (cookie, _) = accounts.open_session("ada", "same", None).await.unwrap();
        let clock = ManualClock::default();
        let before = fs::read(&path).unwrap();
        rotate_if_due(&path, &accounts, &clock, &SeededEntropy::new(9)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), before);
        clock.advance(std::time::Duration::from_secs(ROTATED_AFTER_SECONDS));
        rotate_if_due(&path, &accounts, &clock, &SeededEntropy::new(9)).unwrap();
        assert_ne!(fs::read(&path).unwrap(), before);
        assert!(accounts.session(&cookie).await.unwrap().unwrap().renewed.is_some());
        let (accounts, _) = open_at(&path, None).await;
        assert!(accounts.session(&cookie).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn secrets_of_the_first_version_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.json");
        open_at(&path, Some("same")).await;
        let text = fs::read_to_string(&path).unwrap();
        let mut stored: serde_json::Value = serde_json::from_str(&text).unwrap();
        stored["version"] = 1.into();
        stored.as_object_mut().unwrap().remove("session_secret_since");
        stored.as_object_mut().unwrap().remove("replication_keys");
        fs::write(&path, stored.to_string()).unwrap();
        let (accounts, first) = open_at(&path, None).await;
        assert!(first.is_none());
        accounts.open_session("ada", "same", None).await.unwrap();
        let keys = |text: String| {
            let stored: serde_json::Value = serde_json::from_str(&text).unwrap();
            stored["replication_keys"].clone()
        };
        let made = keys(fs::read_to_string(&path).unwrap());
        assert_eq!(made.as_array().unwrap().len(), 1);
        open_at(&path, None).await;
        assert_eq!(keys(fs::read_to_string(&path).unwrap()), made);
    }

    #[tokio::test]
    async fn a_key_that_is_none_is_said_to_be_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.json");
        open_at(&path, Some("same")).await;
        let text = fs::read_to_string(&path).unwrap();
        let mut stored: serde_json::Value = serde_json::from_str(&text).unwrap();
        stored["replication_keys"].as_array_mut().unwrap().push("c2hvcnQ=".into());
        fs::write(&path, stored.to_string()).unwrap();
        let wanted = Wanted { name: "ada", password: None };
        let clock = Arc::new(ManualClock::default());
        let opened = open(Some(&path), wanted, clock, &SeededEntropy::new(7)).await;
        assert!(matches!(opened, Err(SecretsError::ReplicationKey { number: 2, .. })));
    }
}
