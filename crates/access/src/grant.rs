//! Permission as a value.

use std::marker::PhantomData;

use settle_model::id::{AccountName, DatabaseName};
use thiserror::Error;

use crate::{
    Action, Actor, Resource,
    policy::{Verdict, decide},
};

/// Proof that an actor may do `A` on one resource.
#[derive(Debug, Clone)]
pub struct Grant<A> {
    target: Target,
    action: PhantomData<A>,
}

/// What of a resource a grant remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Server,
    Account(AccountName),
    Database(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AccessError {
    /// Nobody is signed in, and nobody may not.
    #[error("{refusal}")]
    Unauthorized { refusal: &'static str },
    /// Signed in, and not allowed.
    #[error("{refusal}")]
    Forbidden { refusal: &'static str },
    /// Signed in, and not allowed to know whether it is there.
    #[error("not there for the one who asks")]
    Hidden,
}

/// Decides; the one place where permissions are made.
pub fn authorize<A: Action>(actor: &Actor, resource: &Resource) -> Result<Grant<A>, AccessError> {
    match decide(actor, resource, A::OPERATION) {
        Verdict::Allowed => Ok(Grant { target: Target::of(resource), action: PhantomData }),
        Verdict::SignIn => Err(AccessError::Unauthorized { refusal: A::REFUSAL }),
        Verdict::Forbidden => Err(AccessError::Forbidden { refusal: A::FORBIDDEN }),
        Verdict::Hidden => Err(AccessError::Hidden),
    }
}

impl<A: Action> Grant<A> {
    /// For work that no outsider asked for. `reason` is for the reader of the code.
    pub fn internal(resource: Resource, reason: &'static str) -> Self {
        let _: &'static str = reason;
        Self { target: Target::of(&resource), action: PhantomData }
    }

    /// Whether it is for the database of this number; operations check that it is theirs.
    pub fn is_for_database(&self, number: u64) -> bool {
        self.target == Target::Database(number)
    }

    /// The account whose server it is for; `None` for the site's.
    pub fn account(&self) -> Option<&AccountName> {
        match &self.target {
            Target::Account(name) => Some(name),
            Target::Server | Target::Database(_) => None,
        }
    }

    /// Whether it is for a server that has databases of such names.
    pub fn is_for_server_of(&self, name: &DatabaseName) -> bool {
        match &self.target {
            Target::Server => true,
            Target::Account(account) => name.account().as_ref() == Some(account),
            Target::Database(_) => false,
        }
    }
}

impl Target {
    fn of(resource: &Resource) -> Self {
        match resource {
            Resource::Server => Self::Server,
            Resource::Account { name } => Self::Account(name.clone()),
            Resource::Database(database) | Resource::UserDocument { database, .. } => {
                Self::Database(database.number)
            }
        }
    }
}
