//! People: who signs in, and how.
//!
//! The site's admin stands in the configuration; everybody else is a document of the database
//! `_users`, whose rules are in the module `rules`. Two ways in: a name and a password with every request
//! (Basic), or a session that was opened with them once (a cookie). New passwords are kept as argon2id
//! hashes, those of CouchDB are read and replaced at the next sign-in. One check of such a hash takes
//! some ten milliseconds of a core and 19 MiB by intention, so checks run apart from the request threads,
//! few at a time, and a pair that has been found right is remembered until the password changes:
//! a request with remembered credentials costs one keyed hash of a few dozen bytes and a look at the
//! database's sequence.
//!
//! Nothing here knows HTTP: what arrives is the text of an `Authorization` header or of a cookie, what
//! leaves is an [`Actor`] or the text of a new cookie.

mod basic;
mod credential;
mod fields;
mod hashing;
mod jwt;
pub mod limits;
mod lockout;
mod password;
mod proxy;
mod remembered;
mod rules;
mod servers;
mod session;
mod token;
mod tokens;
mod totp;
mod usage;
mod user;
mod users;

use std::{
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use settle_access::{ADMIN_ROLE, Actor};
use settle_database::{CreateError, Database, StorageError, Store};
use settle_model::time::{Clock, Entropy};
use thiserror::Error;

use crate::{
    credential::Credential,
    hashing::{Busy, Hashing},
    lockout::Lockout,
    remembered::{Remembered, Who},
    session::Cookie,
    usage::Usages,
    users::{Known, Users},
};
pub use crate::{
    jwt::{
        JwtError, JwtRules, KeySet, KeySetError, KeysAsked, KeysWanted, NewerKeys, RequiredClaim,
    },
    lockout::{Address, network},
    password::{PasswordError, PasswordHash},
    proxy::ProxyClaim,
    rules::{PasswordRules, Proposed, UserError, public_part},
    servers::{AccountError, AccountInfo, AccountSettings, OwnedCreateError, Quota, QuotaError},
    session::{Session, SessionError, SessionSecret},
    token::{Most, NewToken, TokenInfo},
    tokens::TokenError,
    usage::{KeptBeside, Usage},
    user::USER_PREFIX,
    users::USERS,
};

/// Everybody who can sign in, shared by all requests.
#[derive(Debug)]
pub struct Accounts {
    admin: RwLock<Arc<Account>>,
    /// Where other users are; `None` until [`attach`](Self::attach).
    people: OnceLock<People>,
    password_rules: RwLock<Arc<PasswordRules>>,
    remembered: Remembered,
    secrets: RwLock<Arc<Secrets>>,
    session_timeout_seconds: AtomicU64,
    hashing: Hashing,
    lockout: Lockout,
    jwt: RwLock<Option<Arc<JwtRules>>>,
    /// What a proxy that signs users in proves itself with.
    proxy_secret: RwLock<Option<Arc<[u8]>>>,
    account_settings: RwLock<AccountSettings>,
    usages: Usages,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct People {
    users: Users,
    /// Of each database, what counts for its account and is not in it.
    beside: KeptBeside,
    entropy: Arc<dyn Entropy>,
}

/// What sessions are sealed with, and were before.
#[derive(Debug)]
struct Secrets {
    current: SessionSecret,
    previous: Option<SessionSecret>,
}

/// Somebody with a password, whom the configuration names.
#[derive(Debug)]
pub struct Account {
    name: String,
    password: PasswordHash,
    actor: Arc<Actor>,
}

/// Whom a name stands for.
#[derive(Debug, Clone)]
enum Found {
    Admin(Arc<Account>),
    User(Known),
    Nobody,
}

/// How a password was found right.
enum Verified {
    Now(Found),
    /// Another request with the same header was checked while this one waited.
    Meanwhile(Arc<Actor>),
}

/// Why nobody was signed in. That a name is unknown is not told apart from a wrong password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignInError {
    #[error("name or password is incorrect")]
    Incorrect,
    /// Told to those alone who know the password.
    #[error("the account is suspended: {reason}")]
    Suspended { reason: String },
    /// Whoever it is has been wrong too often, and was not heard.
    #[error("too many wrong passwords; wait {seconds} seconds")]
    LockedOut { seconds: u64 },
    /// A token of this server is unknown, or has expired or been revoked.
    #[error("the token is unknown, has expired or was revoked")]
    Token,
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// So many passwords wait to be checked that this one was not.
    #[error("too many sign-ins wait to be checked")]
    Busy,
    /// The user could not be read.
    #[error("read the user: {reason}")]
    Storage { reason: String },
}

impl Account {
    /// The site's admin.
    pub fn admin(name: impl Into<String>, password: PasswordHash) -> Self {
        let name = name.into();
        let roles = vec![ADMIN_ROLE.to_owned()];
        let actor = Arc::new(Actor::user(name.clone(), roles));
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
            people: OnceLock::new(),
            password_rules: RwLock::default(),
            remembered: Remembered::new(entropy),
            secrets: RwLock::new(Arc::new(Secrets { current: secret, previous: None })),
            session_timeout_seconds: AtomicU64::new(limits::SESSION_TIMEOUT_DEFAULT.as_secs()),
            hashing: Hashing::new(Arc::clone(&clock)),
            lockout: Lockout::default(),
            jwt: RwLock::default(),
            proxy_secret: RwLock::default(),
            account_settings: RwLock::default(),
            usages: Usages::default(),
            clock,
        }
    }

    /// Says where users are. The admin can sign in before that, so that a store that does not open
    /// can be looked at. Only the first call counts.
    pub fn attach(&self, store: Store, beside: KeptBeside, entropy: Arc<dyn Entropy>) {
        // A second store would be a fault of the program, and a test may start twice.
        drop(self.people.set(People { users: Users::new(store), beside, entropy }));
    }

    /// Makes the database of users if it is not there.
    pub async fn ensure_users(&self) -> Result<(), CreateError> {
        match self.people.get() {
            Some(people) => people.users.ensure().await,
            None => Ok(()),
        }
    }

    /// The database of users; `None` while there is none.
    pub async fn users(&self) -> Result<Option<Database>, StorageError> {
        match self.people.get() {
            Some(people) => people.users.database().await,
            None => Ok(None),
        }
    }

    /// Somebody with the roles that they have now, for what runs in their name while they are away. `None`
    /// for who could not sign in, or is not known here, as those are whom others sign in.
    pub async fn actor(&self, name: &str) -> Result<Option<Arc<Actor>>, StorageError> {
        let admin = self.admin();
        if admin.name == name {
            return Ok(Some(Arc::clone(&admin.actor)));
        }
        let Some(people) = self.people.get() else { return Ok(None) };
        let user = people.users.find(name).await?.and_then(|known| known.user);
        Ok(user.filter(|user| user.suspended.is_none()).map(|user| Arc::clone(&user.actor)))
    }

    /// Another password, or another admin. Sessions and remembered credentials of the old one end.
    pub fn replace_admin(&self, admin: Account) {
        *self.admin.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(admin);
        self.remembered.forget_all();
    }

    /// Seals sessions with another secret from now on. Those that were sealed with `previous` go on, and
    /// are sealed anew when they are used.
    pub fn rotate_secret(&self, current: SessionSecret, previous: Option<SessionSecret>) {
        let secrets = Arc::new(Secrets { current, previous });
        *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = secrets;
    }

    /// How long a session lives without a request.
    pub fn session_timeout(&self) -> Duration {
        Duration::from_secs(self.session_timeout_seconds.load(Ordering::Relaxed))
    }

    pub fn set_session_timeout(&self, timeout: Duration) {
        self.session_timeout_seconds.store(timeout.as_secs(), Ordering::Relaxed);
    }

    /// What passwords that are set from now on must be like.
    pub fn set_password_rules(&self, rules: PasswordRules) {
        *self.password_rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    /// Whom an `Authorization` header names, if it was checked before and nothing has happened to any
    /// user since. Called for every request; takes no lock for writing, checks no password, and reads
    /// no storage. `address` is asked while somebody who guessed is held up.
    pub fn remembered(
        &self,
        authorization: &[u8],
        address: impl FnOnce() -> Address,
    ) -> Option<Arc<Actor>> {
        match self.remembered.get(authorization)? {
            Who::Admin(actor) => self.is_heard(&actor, address).then_some(actor),
            Who::User(known) => {
                let present = self.people.get()?.users.is_present(&known);
                let user = known.user.filter(|user| present && user.suspended.is_none())?;
                let actor = Arc::clone(&user.actor);
                self.is_heard(&actor, address).then_some(actor)
            }
            Who::Bearer { actor, expires, as_of } => {
                let expired = expires.is_some_and(|it| it <= self.clock.now().seconds());
                let present = match (&as_of, self.people.get()) {
                    (Some(known), Some(people)) => people.users.is_present(known),
                    (None, _) => true,
                    (Some(_), None) => false,
                };
                (present && !expired).then_some(actor)
            }
        }
    }

    /// Whether whoever says to be this one may try at the moment.
    fn is_heard(&self, actor: &Actor, address: impl FnOnce() -> Address) -> bool {
        self.lockout.is_quiet(|| self.clock.monotonic())
            || self.check_guesses(actor.name().unwrap_or_default(), address()).is_ok()
    }

    /// Refuses who was wrong too often.
    fn check_guesses(&self, name: &str, address: Address) -> Result<(), SignInError> {
        let wait = self.lockout.wait(name, address, self.clock.monotonic());
        if wait.is_zero() || self.is_exempt(name, address) {
            return Ok(());
        }
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Err(SignInError::LockedOut { seconds })
    }

    /// Whom an `Authorization` header names; `None` when it is of no kind that is known here.
    pub async fn sign_in(
        &self,
        authorization: &[u8],
        address: Address,
    ) -> Result<Option<Arc<Actor>>, SignInError> {
        if let Some(actor) = self.remembered(authorization, || address) {
            return Ok(Some(actor));
        }
        if let Some(token) = basic::bearer(authorization) {
            return self.sign_in_by_token(authorization, token).await;
        }
        if !basic::is_basic(authorization) {
            return Ok(None);
        }
        let (name, password) = basic::decode(authorization).ok_or(SignInError::Incorrect)?;
        if let Some(token) = token::TokenText::parse(&password) {
            return self.by_own_token(authorization, token, Some(&name)).await.map(Some);
        }
        self.check_guesses(&name, address)?;
        if let Some(actor) = self.unchanged(authorization, &name).await? {
            return Ok(Some(actor));
        }
        let found = match self.verify(&name, &password, None, Some(authorization), address).await? {
            Verified::Now(found) => found,
            Verified::Meanwhile(actor) => return Ok(Some(actor)),
        };
        let (who, actor) = match found {
            Found::Admin(account) => {
                // Under the lock, so that a password that is being replaced is not remembered
                // afterwards.
                let present = self.admin.read().unwrap_or_else(PoisonError::into_inner);
                if !Arc::ptr_eq(&present, &account) {
                    return Err(SignInError::Incorrect);
                }
                let actor = Arc::clone(&account.actor);
                self.remembered.insert(authorization, Who::Admin(Arc::clone(&actor)));
                return Ok(Some(actor));
            }
            Found::User(known) => {
                let user = known.user.as_ref().ok_or(SignInError::Incorrect)?;
                let actor = Arc::clone(&user.actor);
                (Who::User(known), actor)
            }
            Found::Nobody => return Err(SignInError::Incorrect),
        };
        self.remembered.insert(authorization, who);
        Ok(Some(actor))
    }

    /// Whom a remembered header names when users have changed since, but not this one's password.
    async fn unchanged(
        &self,
        authorization: &[u8],
        name: &str,
    ) -> Result<Option<Arc<Actor>>, SignInError> {
        let (Some(Who::User(before)), Some(people)) =
            (self.remembered.get(authorization), self.people.get())
        else {
            return Ok(None);
        };
        let now = people.users.find(name).await?;
        let (Some(before), Some(now)) = (before.user, now) else { return Ok(None) };
        let Some(user) = &now.user else { return Ok(None) };
        if !user.has_same_password(&before) {
            return Ok(None);
        }
        user.check_suspension()?;
        let actor = Arc::clone(&user.actor);
        self.remembered.insert(authorization, Who::User(now));
        Ok(Some(actor))
    }

    /// Checks a password, and opens a session: the text of the cookie, and for whom it is.
    pub async fn open_session(
        &self,
        name: &str,
        password: &str,
        address: Address,
    ) -> Result<(String, Arc<Actor>), SignInError> {
        self.open_session_with(name, password, None, address).await
    }

    /// As `open_session`, with the digits of a second factor.
    pub async fn open_session_with(
        &self,
        name: &str,
        password: &str,
        digits: Option<&str>,
        address: Address,
    ) -> Result<(String, Arc<Actor>), SignInError> {
        let Verified::Now(found) = self.verify(name, password, digits, None, address).await? else {
            unreachable!("no header was given that could be remembered")
        };
        let (actor, salt) = found.who().ok_or(SignInError::Incorrect)?;
        let cookie = Cookie { name: name.to_owned(), opened: self.clock.now().seconds() };
        Ok((cookie.seal(&self.secrets().current, &salt), actor))
    }

    /// Whom a session's cookie names; `None` when it has ended or is not ours.
    pub async fn session(&self, cookie: &str) -> Result<Option<Session>, SessionError> {
        let sealed = session::Sealed::parse(cookie)?;
        let found = self.find(sealed.name()).await;
        let found = found.map_err(|error| SessionError::Storage { reason: error.to_string() })?;
        let Some((actor, salt)) = found.who() else { return Ok(None) };
        let secrets = self.secrets();
        let is_new = sealed.is_sealed_with(&secrets.current, &salt);
        let is_old =
            || secrets.previous.as_ref().is_some_and(|it| sealed.is_sealed_with(it, &salt));
        if !(is_new || is_old()) || found.suspended().is_some() {
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
        let is_aged = u128::from(left) * 10 < u128::from(timeout) * 9;
        let renewed = (is_aged || !is_new).then(|| {
            let cookie = Cookie { name: sealed.name().to_owned(), opened: now };
            cookie.seal(&secrets.current, &salt)
        });
        Ok(Some(Session { actor, renewed }))
    }

    /// The body that is stored for a document that somebody sends to the database of users, with a
    /// hash in the place of its password. `before` is the document as it is now. Takes tens of
    /// milliseconds where there is a password.
    pub async fn prepare_user(
        &self,
        by: &Actor,
        proposed: Proposed<'_>,
        before: Option<&[u8]>,
    ) -> Result<Vec<u8>, UserError> {
        rules::check(by, proposed, before)?;
        self.check_name_is_free(by, proposed, before).await?;
        let body = proposed.body;
        if let (true, Some(name)) = (proposed.deleted, proposed.id.strip_prefix(USER_PREFIX)) {
            self.note_removal(name)
                .await
                .map_err(|error| UserError::Storage { reason: error.to_string() })?;
        }
        let Some(password) = rules::password(body)? else { return Ok(body.to_vec()) };
        let present = self.password_rules.read().unwrap_or_else(PoisonError::into_inner).clone();
        rules::check_password(&password, &present)?;
        let hash = self.hash(&password).await.map_err(|Busy| UserError::Busy)?;
        let mut salt = [0; 16];
        self.entropy().fill(&mut salt);
        Ok(rules::with_hash(body, hash.as_str(), &hex::encode(salt)))
    }

    /// What belongs to a user follows the user's document. Where there are no databases that could be
    /// wanted back, tokens go at once: the name is free then, and they must not be those of a stranger.
    async fn note_removal(&self, name: &str) -> Result<(), StorageError> {
        if self.has_account(name).await? {
            self.note_deletion(name).await?;
        } else if let Some(people) = self.people.get() {
            people.users.forget_tokens(name).await?;
        }
        Ok(())
    }

    /// Databases of somebody who was here must not become a stranger's.
    async fn check_name_is_free(
        &self,
        by: &Actor,
        proposed: Proposed<'_>,
        before: Option<&[u8]>,
    ) -> Result<(), UserError> {
        let Some(name) = proposed.id.strip_prefix(USER_PREFIX) else { return Ok(()) };
        if by.is_server_admin() || before.is_some() || proposed.deleted {
            return Ok(());
        }
        let is_free = self.admin().name != name;
        match self.has_account(name).await {
            Ok(false) if is_free => Ok(()),
            Ok(_) => Err(UserError::Forbidden { reason: "This name is not free.".into() }),
            Err(error) => Err(UserError::Storage { reason: error.to_string() }),
        }
    }

    async fn hash(&self, password: &str) -> Result<PasswordHash, Busy> {
        let turn = self.hashing.turn().await?;
        let password = password.to_owned();
        let entropy = self.entropy();
        let hash = turn.run(move |_| PasswordHash::of(&password, &*entropy)).await;
        Ok(hash.expect("the rules of users' passwords are stricter than those of hashing"))
    }

    fn entropy(&self) -> Arc<dyn Entropy> {
        let people = self.people.get().expect("users are written when they are attached");
        Arc::clone(&people.entropy)
    }

    /// Whether wrong passwords are not counted: nobody locks the admin out of the machine itself.
    fn is_exempt(&self, name: &str, address: Address) -> bool {
        address.is_none_or(|it| it.is_loopback()) && self.admin().name == name
    }

    /// Attempts are let through in the order they come, but for those who were wrong too often.
    /// `authorization` is looked up once more after the wait: a client that opens many connections
    /// at once sends the same on each, and only the first has to be checked.
    async fn verify(
        &self,
        name: &str,
        password: &str,
        digits: Option<&str>,
        authorization: Option<&[u8]>,
        address: Address,
    ) -> Result<Verified, SignInError> {
        self.check_guesses(name, address)?;
        let turn = self.hashing.turn().await.map_err(|Busy| SignInError::Busy)?;
        // Once more, lest all that were sent at once be heard.
        self.check_guesses(name, address)?;
        if let Some(actor) = authorization.and_then(|it| self.remembered(it, || address)) {
            return Ok(Verified::Meanwhile(actor));
        }
        let found = self.find(name).await?;
        // An unknown name takes as long as a known one.
        let (credential, known) = match found.credential() {
            Some(credential) => (credential, true),
            None => (Credential::Argon2id(self.admin().password.clone()), false),
        };
        let old = credential.is_old();
        let checked = password.to_owned();
        let matches = turn.run(move |memory| credential.matches(&checked, memory)).await;
        let is_complete = found.second_factor_is_met(digits, self.clock.now().seconds());
        if !known || !matches || !is_complete {
            if !self.is_exempt(name, address) {
                self.lockout.failed(name, address, self.clock.monotonic());
            }
            return Err(SignInError::Incorrect);
        }
        self.lockout.succeeded(name, address, self.clock.monotonic());
        if let Some(reason) = found.suspended() {
            return Err(SignInError::Suspended { reason: reason.to_owned() });
        }
        match &found {
            Found::User(known) if old => {
                Ok(Verified::Now(self.upgrade(name, known, password).await))
            }
            Found::Admin(_) | Found::User(_) | Found::Nobody => Ok(Verified::Now(found)),
        }
    }

    /// Replaces an old hash of a password that was found right. Whatever is in the way can wait for
    /// the next sign-in.
    async fn upgrade(&self, name: &str, known: &Known, password: &str) -> Found {
        let before = Found::User(known.clone());
        let (Some(people), Some(user)) = (self.people.get(), &known.user) else { return before };
        let Ok(hash) = self.hash(password).await else { return before };
        let body = rules::upgraded(&user.body, hash.as_str());
        match people.users.replace(user, body).await {
            Ok(true) => {}
            Ok(false) => return before,
            Err(error) => {
                tracing::warn!(%error, "could not keep a better hash of a password");
                return before;
            }
        }
        match people.users.find(name).await {
            // Only if it is what was written here: somebody may have set another password since.
            Ok(Some(now)) if now.user.as_ref().is_some_and(|it| it.keeps(&hash)) => {
                Found::User(now)
            }
            Ok(_) | Err(_) => before,
        }
    }

    async fn find(&self, name: &str) -> Result<Found, SignInError> {
        let admin = self.admin();
        if admin.name == name {
            return Ok(Found::Admin(admin));
        }
        let Some(people) = self.people.get() else { return Ok(Found::Nobody) };
        let known = people.users.find(name).await?;
        Ok(known.filter(|it| it.user.is_some()).map_or(Found::Nobody, Found::User))
    }

    fn secrets(&self) -> Arc<Secrets> {
        Arc::clone(&self.secrets.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn admin(&self) -> Arc<Account> {
        Arc::clone(&self.admin.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Found {
    fn credential(&self) -> Option<Credential> {
        match self {
            Self::Admin(account) => Some(Credential::Argon2id(account.password.clone())),
            Self::User(known) => known.user.as_ref()?.credential.clone(),
            Self::Nobody => None,
        }
    }

    fn second_factor_is_met(&self, digits: Option<&str>, now_seconds: u64) -> bool {
        match self {
            Self::User(Known { user: Some(user), .. }) => {
                user.second_factor.is_met(digits, now_seconds)
            }
            Self::User(_) | Self::Admin(_) | Self::Nobody => true,
        }
    }

    fn suspended(&self) -> Option<&str> {
        match self {
            Self::User(known) => known.user.as_ref()?.suspended.as_deref(),
            Self::Admin(_) | Self::Nobody => None,
        }
    }

    /// Who it is, and what their sessions are sealed with.
    fn who(&self) -> Option<(Arc<Actor>, Vec<u8>)> {
        match self {
            Self::Admin(account) => {
                Some((Arc::clone(&account.actor), account.password.salt().to_vec()))
            }
            Self::User(known) => {
                let user = known.user.as_ref()?;
                Some((Arc::clone(&user.actor), user.salt.clone().into_bytes()))
            }
            Self::Nobody => None,
        }
    }
}

impl From<StorageError> for SignInError {
    fn from(error: StorageError) -> Self {
        Self::Storage { reason: error.to_string() }
    }
}

/// Whom a header of the Basic kind names, for the log: nothing says that it is them.
pub fn name_in_basic(authorization: &[u8]) -> Option<String> {
    basic::decode(authorization).map(|(name, _)| name)
}

#[cfg(test)]
mod tests;
