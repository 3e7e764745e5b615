//! Who may do what. Pure policy: no storage, no HTTP.
//!
//! A permission is a value. [`authorize`] is the only maker of a [`Grant`], apart from
//! [`Grant::internal`], which names its reason and is easy to list; operations that outsiders can
//! reach take one, so a handler that forgot to ask does not compile.

use std::marker::PhantomData;

use thiserror::Error;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    Anonymous,
    User { name: String, roles: Vec<String> },
}

/// The role that may do everything.
pub const ADMIN_ROLE: &str = "_admin";

/// What a grant is for. Server-wide resources have the number 0, which no database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Server,
    Database { number: u64 },
}

/// A kind of permission; the types below are the only ones.
pub trait Action: sealed::Sealed {
    const NAME: &'static str;
    /// The reply to someone who is not signed in, or may not: CouchDB's words.
    const REFUSAL: &'static str;
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident: $refusal:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub struct $name;
            impl sealed::Sealed for $name {}
            impl Action for $name {
                const NAME: &'static str = stringify!($name);
                const REFUSAL: &'static str = $refusal;
            }
        )*
    };
}

actions! {
    /// Seeing what the server is and has: its databases, tasks, figures.
    Inspect: "You are not a server admin.";
    /// Creating and dropping databases, changing configuration.
    AdministerServer: "You are not a server admin.";
    /// Documents, changes, information of one database.
    Read: "You are not authorized to access this db.";
    /// Changing documents of one database; reading comes with it.
    Write: "You are not authorized to access this db.";
    /// Design documents, security object, purging, compaction of one database.
    Administer: "You are not a db or server admin.";
}

/// Proof that an actor may do `A` on one resource.
#[derive(Debug, Clone)]
pub struct Grant<A> {
    resource: Resource,
    action: PhantomData<A>,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AccessError {
    /// Nobody is signed in, and nobody may not.
    #[error("{refusal}")]
    Unauthorized { refusal: &'static str },
    /// Signed in, and not allowed.
    #[error("{refusal}")]
    Forbidden { refusal: &'static str },
}

/// Decides; the one place where permissions are made. For the present, admins may do everything
/// and nobody else may do anything.
pub fn authorize<A: Action>(actor: &Actor, resource: Resource) -> Result<Grant<A>, AccessError> {
    match actor {
        Actor::Anonymous => Err(AccessError::Unauthorized { refusal: A::REFUSAL }),
        Actor::User { roles, .. } if roles.iter().any(|role| role == ADMIN_ROLE) => {
            Ok(Grant { resource, action: PhantomData })
        }
        Actor::User { .. } => Err(AccessError::Forbidden { refusal: A::REFUSAL }),
    }
}

impl<A: Action> Grant<A> {
    /// For work that no outsider asked for. `reason` is for the reader of the code.
    pub fn internal(resource: Resource, reason: &'static str) -> Self {
        let _: &'static str = reason;
        Self { resource, action: PhantomData }
    }

    /// What it is for; operations check that it is theirs.
    pub fn resource(&self) -> Resource {
        self.resource
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "so that no other crate can add an action")]
    pub trait Sealed {}
}
