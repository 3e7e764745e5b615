//! Signing in with tokens, and making, listing and revoking those of this server.

use std::sync::{Arc, PoisonError};

use settle_access::{Actor, Scope};
use settle_database::StorageError;
use thiserror::Error;

use crate::{
    Accounts, JwtError, JwtRules, ProxyClaim, SignInError,
    jwt::{self, Bearer},
    limits::{TOKEN_LABEL_BYTES_MAX, TOKENS_MAX},
    remembered::Who,
    token::{NewToken, Stored, TOKEN_PREFIX, TokenInfo, TokenText, owner},
};

/// Why a token was not made, listed or revoked.
#[derive(Debug, Error)]
pub enum TokenError {
    #[error("there is no such token")]
    Missing,
    #[error("there is no such user")]
    NoUser,
    #[error("a user has at most {TOKENS_MAX} tokens; revoke one first")]
    TooMany,
    #[error("a label has at most {TOKEN_LABEL_BYTES_MAX} bytes")]
    Label,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Accounts {
    /// Whom a header of the Bearer kind names; `None` if its token is of no kind that is known here.
    pub(crate) async fn sign_in_by_token(
        &self,
        authorization: &[u8],
        token: &str,
    ) -> Result<Option<Arc<Actor>>, SignInError> {
        if let Some(token) = TokenText::parse(token) {
            return self.by_own_token(authorization, token, None).await.map(Some);
        }
        let Some(rules) = self.jwt_rules().filter(|_| jwt::is_jwt(token)) else { return Ok(None) };
        self.by_signed_token(authorization, token, rules).await.map(Some)
    }

    /// Whom a token names that somebody else has signed.
    async fn by_signed_token(
        &self,
        authorization: &[u8],
        token: &str,
        mut rules: Arc<JwtRules>,
    ) -> Result<Arc<Actor>, SignInError> {
        let now = self.clock.now().seconds();
        let mut checked = rules.check(token, now);
        if let (Err(JwtError::UnknownKey), Some(newer)) = (&checked, &rules.newer) {
            newer.fetch().await;
            rules = self.jwt_rules().ok_or(JwtError::UnknownKey)?;
            checked = rules.check(token, now);
        }
        let Bearer { actor, expires } = checked?;
        let as_of = match self.people.get() {
            Some(people) => people.users.find(actor.name().unwrap_or_default()).await?,
            None => None,
        };
        // Who signs tokens knows who somebody is; who may come in is decided here.
        if let Some(user) = as_of.as_ref().and_then(|known| known.user.as_ref()) {
            user.check_suspension()?;
        }
        let actor = Arc::new(actor);
        let who = Who::Bearer { actor: Arc::clone(&actor), expires, as_of };
        self.remembered.insert(authorization, who);
        // Keys that were taken away in between forgot those who were remembered before this one was.
        if !self.jwt_rules().is_some_and(|present| Arc::ptr_eq(&present, &rules)) {
            self.remembered.forget_bearers();
        }
        Ok(actor)
    }

    /// Whom one of this server's tokens stands for. With Basic, the name must be that user's.
    pub(crate) async fn by_own_token(
        &self,
        authorization: &[u8],
        token: TokenText<'_>,
        name: Option<&str>,
    ) -> Result<Arc<Actor>, SignInError> {
        let people = self.people.get().ok_or(SignInError::Token)?;
        let as_of = people.users.present().await?;
        let document = people.users.document(&format!("{TOKEN_PREFIX}{}", token.id)).await?;
        let stored = document.and_then(|it| serde_json::from_slice::<Stored>(&it.body).ok());
        let stored = stored.filter(|it| it.is_of(token, self.clock.now().seconds()));
        let stored = stored.filter(|it| name.is_none_or(|name| name == it.user));
        let stored = stored.ok_or(SignInError::Token)?;
        let found = self.find(&stored.user).await?;
        let (user, _) = found.who().ok_or(SignInError::Token)?;
        if let Some(reason) = found.suspended() {
            return Err(SignInError::Suspended { reason: reason.to_owned() });
        }
        let actor = Arc::new(narrowed(&user, stored.scope()));
        let expires = stored.expires();
        let who = Who::Bearer { actor: Arc::clone(&actor), expires, as_of };
        self.remembered.insert(authorization, who);
        Ok(actor)
    }

    /// Whom a proxy names that has signed somebody in; `None` if it does not prove itself.
    pub async fn by_proxy(&self, claim: ProxyClaim<'_>) -> Result<Option<Arc<Actor>>, SignInError> {
        let Some(actor) = self.proxy_secret().and_then(|secret| claim.check(&secret)) else {
            return Ok(None);
        };
        let found = self.find(claim.name).await?;
        match found.suspended() {
            Some(reason) => Err(SignInError::Suspended { reason: reason.to_owned() }),
            None => Ok(Some(Arc::new(actor))),
        }
    }

    /// The user's tokens, without the secrets, those that have expired included.
    pub async fn tokens(&self, name: &str) -> Result<Vec<TokenInfo>, TokenError> {
        let Some(people) = self.people.get() else { return Ok(Vec::new()) };
        let prefix = format!("{TOKEN_PREFIX}{}", owner(name));
        let all = people.users.documents(&prefix, TOKENS_MAX).await?;
        let all = all.into_iter().filter_map(|(id, body)| {
            let stored: Stored = serde_json::from_slice(&body).ok()?;
            let id = id.strip_prefix(TOKEN_PREFIX)?;
            (stored.user == name).then(|| stored.info(id))
        });
        Ok(all.collect())
    }

    /// Makes a token: what is told of it, and its text, which is shown once.
    pub async fn make_token(
        &self,
        name: &str,
        new: NewToken,
    ) -> Result<(TokenInfo, String), TokenError> {
        if new.label.len() > TOKEN_LABEL_BYTES_MAX {
            return Err(TokenError::Label);
        }
        let people = self.people.get().ok_or(StorageError::Gone)?;
        // Nor are there any for somebody who will be called so one day.
        let found = people.users.find(name).await?;
        if self.admin().name != name && found.is_none_or(|it| it.user.is_none()) {
            return Err(TokenError::NoUser);
        }
        if self.tokens(name).await?.len() as u64 >= TOKENS_MAX {
            return Err(TokenError::TooMany);
        }
        let now = self.clock.now().seconds();
        let (id, stored, text) = Stored::make(name, new, now, &*people.entropy);
        let body = serde_json::to_vec(&stored).expect("texts and numbers have a JSON form");
        people.users.put(&format!("{TOKEN_PREFIX}{id}"), None, Some(body)).await?;
        Ok((stored.info(&id), text))
    }

    /// Ends a token of the user at once.
    pub async fn revoke_token(&self, name: &str, id: &str) -> Result<(), TokenError> {
        if !id.starts_with(&owner(name)) {
            return Err(TokenError::Missing);
        }
        let people = self.people.get().ok_or(StorageError::Gone)?;
        let id = format!("{TOKEN_PREFIX}{id}");
        let found = people.users.document(&id).await?.ok_or(TokenError::Missing)?;
        if people.users.put(&id, Some(found.rev), None).await? {
            Ok(())
        } else {
            // Somebody else has just revoked it.
            Err(TokenError::Missing)
        }
    }

    /// What JSON Web Tokens are checked by; `None` refuses them all.
    pub fn set_jwt_rules(&self, rules: Option<JwtRules>) {
        let mut present = self.jwt.write().unwrap_or_else(PoisonError::into_inner);
        *present = rules.map(Arc::new);
        drop(present);
        // A key may have been taken away. Passwords go on: checking all of them anew would cost seconds.
        self.remembered.forget_bearers();
    }

    /// Whether JSON Web Tokens are checked at all.
    pub fn takes_jwts(&self) -> bool {
        self.jwt_rules().is_some()
    }

    /// Whether a proxy may sign users in.
    pub fn takes_proxies(&self) -> bool {
        self.proxy_secret().is_some()
    }

    /// What a proxy proves itself with; `None` turns signing in by proxy off.
    pub fn set_proxy_secret(&self, secret: Option<Vec<u8>>) {
        let mut present = self.proxy_secret.write().unwrap_or_else(PoisonError::into_inner);
        *present = secret.map(Arc::from);
    }

    fn proxy_secret(&self) -> Option<Arc<[u8]>> {
        self.proxy_secret.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn jwt_rules(&self) -> Option<Arc<JwtRules>> {
        self.jwt.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn narrowed(user: &Actor, scope: Scope) -> Actor {
    match user {
        Actor::Anonymous => Actor::Anonymous,
        Actor::User { name, roles, .. } => {
            Actor::User { name: name.clone(), roles: roles.clone(), scope }
        }
    }
}
