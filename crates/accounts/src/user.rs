//! A user, as their document says.

use std::sync::Arc;

use settle_access::{Actor, METRICS_ROLE};
use settle_model::{json, revision::RevId};

use crate::{
    PasswordHash, SignInError,
    credential::Credential,
    fields::{member, text, texts},
    totp::SecondFactor,
};

/// What ids of user documents begin with; the name follows.
pub const USER_PREFIX: &str = "org.couchdb.user:";

/// Somebody who can sign in, as of one revision of their document.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) rev: RevId,
    pub(crate) actor: Arc<Actor>,
    /// What sessions are sealed with. Another one with every change of the password.
    pub(crate) salt: String,
    pub(crate) credential: Option<Credential>,
    pub(crate) second_factor: SecondFactor,
    /// Why the user may not sign in.
    pub(crate) suspended: Option<String>,
    /// The document's JSON, for replacing what is old in it.
    pub(crate) body: Vec<u8>,
}

impl User {
    pub(crate) fn parse(name: &str, rev: RevId, body: &[u8]) -> Option<Self> {
        if text(body, "type")? != "user" || text(body, "name")? != name {
            return None;
        }
        // A role of the system in a document would be a way around the configuration.
        let mut roles = texts(body, "roles");
        roles.retain(|role| !role.starts_with('_') || role == METRICS_ROLE);
        Some(Self {
            rev,
            actor: Arc::new(Actor::user(name, roles)),
            salt: text(body, "salt").unwrap_or_default().into_owned(),
            credential: Credential::of(body),
            second_factor: SecondFactor::of(body),
            suspended: suspension(body),
            body: body.to_vec(),
        })
    }

    pub(crate) fn check_suspension(&self) -> Result<(), SignInError> {
        match &self.suspended {
            Some(reason) => Err(SignInError::Suspended { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Whether this is the hash that the password is kept as.
    pub(crate) fn keeps(&self, hash: &PasswordHash) -> bool {
        matches!(&self.credential, Some(Credential::Argon2id(kept)) if kept == hash)
    }

    /// Whether what was checked against one of them holds for the other.
    pub(crate) fn has_same_password(&self, other: &Self) -> bool {
        self.credential == other.credential
            && self.salt == other.salt
            && self.second_factor == other.second_factor
    }
}

/// `suspended` holds the reason, or `true`; who is being deleted cannot sign in either.
fn suspension(body: &[u8]) -> Option<String> {
    if member(body, "deletes_at").is_some() {
        return Some("the account is being deleted".to_owned());
    }
    match member(body, "suspended")? {
        b"false" | b"null" => None,
        value => Some(json::string_value(value).unwrap_or_default().into_owned()),
    }
}
