//! The keys that JSON Web Tokens are checked with: of a file, which is read again when it changes, of a URL,
//! where they are fetched now and then, or of both.
//!
//! Keys are rotated by who publishes them: the old key and the new one stand in the set while both are in use.
//! A file that cannot be used ends a start, since somebody has just written it. A URL that does not answer
//! does not: the server serves everybody else, and tries again.

mod published;
#[cfg(test)]
mod tests;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use hyper::Uri;
use settle_accounts::{
    Accounts, JwtRules, KeySet, KeySetError, KeysAsked, KeysWanted, NewerKeys, RequiredClaim,
};
use settle_database::Tasks;
use settle_model::time::Clock;
use thiserror::Error;
use tokio::time::MissedTickBehavior;

pub(crate) use self::published::FetchError;
use self::published::Published;
use crate::{config::Config, limits::KEYS_LOOKED_AT_EVERY, probe::ProbeError};

#[derive(Debug, Error)]
pub enum KeysError {
    #[error("read the keys in {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("use the keys in {}", path.display())]
    Keys { path: PathBuf, source: KeySetError },
    #[error("make ready to fetch keys")]
    Url(#[from] ProbeError),
}

/// All keys, and where they come from.
#[derive(Debug)]
struct Keys {
    accounts: Arc<Accounts>,
    required: Vec<RequiredClaim>,
    roles_path: Vec<String>,
    newer: Option<NewerKeys>,
    file: Option<KeysFile>,
    published: Option<Published>,
}

#[derive(Debug)]
struct KeysFile {
    path: PathBuf,
    /// When what was read had been written.
    seen: Option<SystemTime>,
    keys: KeySet,
}

/// Has the keys ready, if the configuration says where they are, and goes on looking at them.
pub(crate) fn watch(
    config: &Config,
    accounts: &Arc<Accounts>,
    clock: &Arc<dyn Clock>,
    tasks: &Tasks,
) -> Result<(), KeysError> {
    let Some((mut keys, mut asked)) = Keys::open(config, accounts, clock)? else { return Ok(()) };
    keys.set();
    let stopping = tasks.clone();
    tasks.spawn(async move {
        let mut ticks = tokio::time::interval(KEYS_LOOKED_AT_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stopping.stopping() => return,
                // The first comes at once.
                _ = ticks.tick() => keys.look().await,
                wanted = asked.next() => keys.answer(wanted).await,
            }
        }
    });
    Ok(())
}

/// How many keys that are of use here are published where the configuration says.
pub(crate) async fn count_published(
    config: &Config,
    url: Uri,
    clock: Arc<dyn Clock>,
) -> Result<usize, FetchError> {
    let mut published = Published::new(url, config.tls_trusted.as_deref(), clock)?;
    published.fetch().await?;
    Ok(published.keys.len())
}

impl Keys {
    /// `None` where the configuration names no keys.
    fn open(
        config: &Config,
        accounts: &Arc<Accounts>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<(Self, KeysAsked)>, KeysError> {
        let file = config.jwt_keys.clone().map(KeysFile::open).transpose()?;
        let trusted = config.tls_trusted.as_deref();
        let published = config.jwt_keys_url.clone();
        let published = published.map(|url| Published::new(url, trusted, Arc::clone(clock)));
        let published = published.transpose()?;
        if file.is_none() && published.is_none() {
            return Ok(None);
        }
        let (newer, asked) = NewerKeys::new();
        let keys = Self {
            accounts: Arc::clone(accounts),
            required: RequiredClaim::parse_list(&config.jwt_required_claims),
            roles_path: members(&config.jwt_roles_claim),
            newer: published.is_some().then_some(newer),
            file,
            published,
        };
        Ok(Some((keys, asked)))
    }

    /// Whether either place has others by now.
    async fn look(&mut self) {
        let in_file = self.file.as_mut().is_some_and(KeysFile::refresh);
        let published = match &mut self.published {
            Some(published) if published.is_due() => published.refresh().await,
            Some(_) | None => false,
        };
        if in_file || published {
            self.set();
        }
    }

    /// Somebody waits who has a token of a key that is not known.
    async fn answer(&mut self, wanted: Option<KeysWanted>) {
        if let Some(published) = &mut self.published
            && published.may_be_asked()
            && published.refresh().await
        {
            self.set();
        }
        drop(wanted);
    }

    fn set(&self) {
        let in_file = self.file.as_ref().map(|file| &file.keys);
        let published = self.published.as_ref().map(|published| &published.keys);
        let keys = match (in_file, published) {
            (Some(first), Some(second)) => first.and(second),
            (Some(keys), None) | (None, Some(keys)) => keys.clone(),
            (None, None) => KeySet::default(),
        };
        self.accounts.set_jwt_rules(Some(JwtRules {
            keys,
            required: self.required.clone(),
            roles_path: self.roles_path.clone(),
            newer: self.newer.clone(),
        }));
    }
}

impl KeysFile {
    fn open(path: PathBuf) -> Result<Self, KeysError> {
        // The time first: what changes in between is read once too often, not once too rarely.
        let seen = changed(&path);
        let keys = read(&path)?;
        Ok(Self { path, seen, keys })
    }

    /// Whether there are others.
    fn refresh(&mut self) -> bool {
        let now = changed(&self.path);
        if now == self.seen {
            return false;
        }
        match read(&self.path) {
            Ok(keys) => {
                (self.seen, self.keys) = (now, keys);
                tracing::info!(path = %self.path.display(), "read the keys of tokens again");
                true
            }
            // Perhaps it is being written; the keys that were read before go on.
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(error, "could not read the keys of tokens again");
                false
            }
        }
    }
}

fn read(path: &Path) -> Result<KeySet, KeysError> {
    let text =
        fs::read(path).map_err(|source| KeysError::Unreadable { path: path.to_owned(), source })?;
    KeySet::parse(&text).map_err(|source| KeysError::Keys { path: path.to_owned(), source })
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
