//! People: who signs in, and how. For the present there is one, the site's admin.
//!
//! Two ways in: a name and a password with every request (Basic), or a session that was opened with
//! them once (a cookie). Passwords are kept as argon2id hashes. One check of such a hash takes some
//! ten milliseconds of a core and 19 MiB by intention, so checks run apart from the request threads,
//! few at a time, and a pair that has been found right is remembered until the password changes:
//! a request with remembered credentials costs one keyed hash of a few dozen bytes.
//!
//! Nothing here knows HTTP: what arrives is the text of an `Authorization` header or of a cookie, what
//! leaves is an [`Actor`] or the text of a new cookie.

mod basic;
pub mod limits;
mod password;
mod remembered;
mod session;

use std::{
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use settle_access::{ADMIN_ROLE, Actor};
use settle_model::time::{Clock, Entropy};
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::{password::Memory, remembered::Remembered, session::Cookie};
pub use crate::{
    password::{PasswordError, PasswordHash},
    session::{Session, SessionError, SessionSecret},
};

/// Everybody who can sign in, shared by all requests.
#[derive(Debug)]
pub struct Accounts {
    admin: RwLock<Arc<Account>>,
    remembered: Remembered,
    secret: SessionSecret,
    session_timeout_seconds: AtomicU64,
    /// A permit for each check that runs or waits.
    checks: Arc<Semaphore>,
    /// A permit for each check that runs, and what it works in.
    running: Arc<Semaphore>,
    memories: Arc<Mutex<Vec<Memory>>>,
    clock: Arc<dyn Clock>,
}

/// Somebody with a password.
#[derive(Debug)]
pub struct Account {
    name: String,
    password: PasswordHash,
    actor: Arc<Actor>,
}

/// How a password was found right.
enum Verified {
    Now(Arc<Account>),
    /// Another request with the same header was checked while this one waited.
    Meanwhile(Arc<Actor>),
}

/// Why nobody was signed in. That a name is unknown is not told apart from a wrong password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignInError {
    #[error("name or password is incorrect")]
    Incorrect,
    /// So many passwords wait to be checked that this one was not.
    #[error("too many sign-ins wait to be checked")]
    Busy,
}

impl Account {
    /// The site's admin.
    pub fn admin(name: impl Into<String>, password: PasswordHash) -> Self {
        let name = name.into();
        let roles = vec![ADMIN_ROLE.to_owned()];
        let actor = Arc::new(Actor::User { name: name.clone(), roles });
        Self { name, password, actor }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// What may be stored, and given back with [`PasswordHash::from_stored`].
    pub fn password(&self) -> &PasswordHash {
        &self.password
    }
}

impl Accounts {
    pub fn new(
        admin: Account,
        secret: SessionSecret,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> Self {
        Self {
            admin: RwLock::new(Arc::new(admin)),
            remembered: Remembered::new(entropy),
            secret,
            session_timeout_seconds: AtomicU64::new(limits::SESSION_TIMEOUT_DEFAULT.as_secs()),
            checks: Arc::new(Semaphore::new(limits::CHECKS_WAITING_MAX)),
            running: Arc::new(Semaphore::new(limits::CHECKS_AT_ONCE)),
            memories: Arc::default(),
            clock,
        }
    }

    /// Another password, or another admin. Sessions and remembered credentials of the old one end.
    pub fn replace_admin(&self, admin: Account) {
        *self.admin.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(admin);
        self.remembered.forget_all();
    }

    /// How long a session lives without a request.
    pub fn session_timeout(&self) -> Duration {
        Duration::from_secs(self.session_timeout_seconds.load(Ordering::Relaxed))
    }

    pub fn set_session_timeout(&self, timeout: Duration) {
        self.session_timeout_seconds.store(timeout.as_secs(), Ordering::Relaxed);
    }

    /// Whom an `Authorization` header names, if it was checked before. Called for every request;
    /// takes no lock for writing and checks no password.
    pub fn remembered(&self, authorization: &[u8]) -> Option<Arc<Actor>> {
        self.remembered.get(authorization)
    }

    /// Whom an `Authorization` header names; `None` when it is not of the Basic kind.
    pub async fn sign_in(&self, authorization: &[u8]) -> Result<Option<Arc<Actor>>, SignInError> {
        if let Some(actor) = self.remembered(authorization) {
            return Ok(Some(actor));
        }
        if !basic::is_basic(authorization) {
            return Ok(None);
        }
        let (name, password) = basic::decode(authorization).ok_or(SignInError::Incorrect)?;
        let account = match self.verify(&name, &password, Some(authorization)).await? {
            Verified::Now(account) => account,
            Verified::Meanwhile(actor) => return Ok(Some(actor)),
        };
        // Under the lock, so that a password that is being replaced is not remembered afterwards.
        let present = self.admin.read().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&present, &account) {
            return Err(SignInError::Incorrect);
        }
        self.remembered.insert(authorization, Arc::clone(&account.actor));
        Ok(Some(Arc::clone(&account.actor)))
    }

    /// Checks a password, and opens a session: the text of the cookie, and for whom it is.
    pub async fn open_session(
        &self,
        name: &str,
        password: &str,
    ) -> Result<(String, Arc<Actor>), SignInError> {
        let Verified::Now(account) = self.verify(name, password, None).await? else {
            unreachable!("no header was given that could be remembered")
        };
        let cookie = Cookie { name: account.name.clone(), opened: self.clock.now().seconds() };
        Ok((cookie.seal(&self.secret, account.password.salt()), Arc::clone(&account.actor)))
    }

    /// Whom a session's cookie names; `None` when it has ended or is not ours.
    pub fn session(&self, cookie: &str) -> Result<Option<Session>, SessionError> {
        let sealed = session::Sealed::parse(cookie)?;
        let account = self.admin();
        let genuine = sealed.name() == account.name
            && sealed.is_sealed_with(&self.secret, account.password.salt());
        if !genuine {
            return Ok(None);
        }
        let timeout = self.session_timeout().as_secs();
        let now = self.clock.now().seconds();
        let Some(left) = sealed.opened().saturating_add(timeout).checked_sub(now) else {
            return Ok(None);
        };
        if left == 0 {
            return Ok(None);
        }
        // Below nine tenths, as CouchDB does: an active client gets a new cookie about once a minute.
        let renewed = (u128::from(left) * 10 < u128::from(timeout) * 9).then(|| {
            let cookie = Cookie { name: account.name.clone(), opened: now };
            cookie.seal(&self.secret, account.password.salt())
        });
        Ok(Some(Session { actor: Arc::clone(&account.actor), renewed }))
    }

    /// Attempts are let through in the order they come; here is where failed ones will be counted.
    /// `authorization` is looked up once more after the wait: a client that opens many connections
    /// at once sends the same on each, and only the first has to be checked.
    async fn verify(
        &self,
        name: &str,
        password: &str,
        authorization: Option<&[u8]>,
    ) -> Result<Verified, SignInError> {
        let _waiting =
            Arc::clone(&self.checks).try_acquire_owned().map_err(|_| SignInError::Busy)?;
        let running = Arc::clone(&self.running).acquire_owned().await;
        let running = running.expect("the semaphore is never closed");
        if let Some(actor) = authorization.and_then(|it| self.remembered(it)) {
            return Ok(Verified::Meanwhile(actor));
        }
        let account = self.admin();
        let known = account.name == name;
        let checked = Arc::clone(&account);
        let password = password.to_owned();
        let memories = Arc::clone(&self.memories);
        // An unknown name takes as long as a known one. The permit goes along, since a check runs
        // to its end even if nobody waits for it any more.
        let matches = tokio::task::spawn_blocking(move || {
            let lock = || memories.lock().unwrap_or_else(PoisonError::into_inner);
            let mut memory = lock().pop().unwrap_or_default();
            let matches = checked.password.matches(&password, &mut memory);
            lock().push(memory);
            drop(running);
            matches
        });
        let matches = matches.await.expect("checking a password does not panic");
        if known && matches { Ok(Verified::Now(account)) } else { Err(SignInError::Incorrect) }
    }

    fn admin(&self) -> Arc<Account> {
        Arc::clone(&self.admin.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whom a header of the Basic kind names, for the log: nothing says that it is them.
pub fn name_in_basic(authorization: &[u8]) -> Option<String> {
    basic::decode(authorization).map(|(name, _)| name)
}

#[cfg(test)]
mod tests;
