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
    AllServers,
    Account(AccountName),
    Database(u64),
}

/// A server that grants can be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server<'a> {
    Site,
    Account(&'a AccountName),
    All,
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

    /// For work on the same resource that whoever has this one did not ask for by name.
    pub fn internally<B: Action>(&self, reason: &'static str) -> Grant<B> {
        let _: &'static str = reason;
        Grant { target: self.target.clone(), action: PhantomData }
    }

    /// Whether it is for the database of this number; operations check that it is theirs.
    pub fn is_for_database(&self, number: u64) -> bool {
        self.target == Target::Database(number)
    }

    /// Whose server it is for; `None` if it is for a database.
    pub fn server(&self) -> Option<Server<'_>> {
        match &self.target {
            Target::Server => Some(Server::Site),
            Target::AllServers => Some(Server::All),
            Target::Account(name) => Some(Server::Account(name)),
            Target::Database(_) => None,
        }
    }

    /// Whether it is for a server that has databases of such names.
    pub fn is_for_server_of(&self, name: &DatabaseName) -> bool {
        match &self.target {
            Target::Server => name.account().is_none(),
            Target::AllServers => true,
            Target::Account(account) => name.account().as_ref() == Some(account),
            Target::Database(_) => false,
        }
    }
}

impl Target {
    fn of(resource: &Resource) -> Self {
        match resource {
            Resource::Server => Self::Server,
            Resource::AllServers => Self::AllServers,
            Resource::Account { name } => Self::Account(name.clone()),
            Resource::Database(database) | Resource::UserDocument { database, .. } => {
                Self::Database(database.number)
            }
        }
    }
}
