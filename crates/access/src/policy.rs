//! The rules.
//!
//! | resource | who |
//! |---|---|
//! | server | server admins; its figures also the role `_metrics` |
//! | server of an account | its owner and server admins; for others it is not there |
//! | database of the site | server admins; admins of its security object; members of it for reading and writing, which is everybody signed in where an object is set that names none; with no object set, nobody else |
//! | database of an account | its owner as an admin of it; admins and members that its security object names; for others it is not there |
//! | database of replications | as any other, with a token only for reading; each document is changed by who wrote it, which is for those to check who write it |
//! | database of users | server admins |
//! | document of a user | that user reads and writes it, with a token only reads it; server admins; where anybody may sign up, who is not signed in writes it |
//!
//! A token that is narrower than its user is asked first. Design documents are written with
//! [`Operation::Administer`].

use crate::{Actor, Kind, METRICS_ROLE, Operation, Protected, Resource, Scope, ScopeLimits};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    /// Nobody is signed in.
    SignIn,
    Forbidden,
    /// That it exists is not for the one who asks to know.
    Hidden,
}

/// What the rules say.
pub fn decide(actor: &Actor, resource: &Resource, operation: Operation) -> Verdict {
    let scope = match actor {
        Actor::Anonymous => return of_nobody(resource, operation),
        Actor::User { scope, .. } => scope,
    };
    let verdict = of_user(actor, resource, operation);
    match (verdict, scope) {
        (Verdict::Allowed, Scope::Only(limits)) if !reaches(limits, resource, operation) => {
            Verdict::Forbidden
        }
        (verdict, Scope::Everything | Scope::Only(_)) => verdict,
    }
}

/// That a new user is new is for those to check who write it.
fn of_nobody(resource: &Resource, operation: Operation) -> Verdict {
    match resource {
        Resource::UserDocument { sign_up: true, .. } if operation == Operation::Write => {
            Verdict::Allowed
        }
        Resource::Server
        | Resource::AllServers
        | Resource::Account { .. }
        | Resource::Database(_)
        | Resource::UserDocument { .. } => Verdict::SignIn,
    }
}

fn of_user(actor: &Actor, resource: &Resource, operation: Operation) -> Verdict {
    if actor.is_server_admin() {
        return Verdict::Allowed;
    }
    match resource {
        Resource::Server | Resource::AllServers => {
            let may = operation == Operation::ReadMetrics && actor.has_role(METRICS_ROLE);
            if may { Verdict::Allowed } else { Verdict::Forbidden }
        }
        Resource::Account { name } => {
            let is_owner = actor.name() == Some(name.as_str());
            if is_owner { Verdict::Allowed } else { Verdict::Hidden }
        }
        Resource::Database(database) => of_database(actor, database, operation),
        Resource::UserDocument { user, .. } => match operation {
            Operation::Read | Operation::Write => {
                if actor.name() == Some(user) {
                    Verdict::Allowed
                } else {
                    Verdict::Hidden
                }
            }
            Operation::Administer
            | Operation::ReadMetrics
            | Operation::Inspect
            | Operation::AdministerServer => Verdict::Forbidden,
        },
    }
}

fn of_database(actor: &Actor, database: &Protected, operation: Operation) -> Verdict {
    match database.kind {
        Kind::Users => return Verdict::Forbidden,
        Kind::Documents | Kind::Replicator => {}
    }
    let security = database.security.as_ref();
    let owns = match &database.owner {
        Some(owner) => actor.name() == Some(owner.as_str()),
        None => false,
    };
    let administers = owns || security.is_some_and(|it| it.has_admin(actor));
    let is_member = security.is_some_and(|it| it.has_member(actor));
    // What belongs to one person is not everybody's because its members are not named.
    let is_open = database.owner.is_none() && security.is_some_and(|it| it.names_no_members());
    let uses = administers || is_member || is_open;
    match operation {
        Operation::Read | Operation::Write if uses => Verdict::Allowed,
        Operation::Administer if administers => Verdict::Allowed,
        Operation::Read
        | Operation::Write
        | Operation::Administer
        | Operation::ReadMetrics
        | Operation::Inspect
        | Operation::AdministerServer => {
            if database.owner.is_some() && !uses {
                Verdict::Hidden
            } else {
                Verdict::Forbidden
            }
        }
    }
}

/// Whether a token reaches so far.
fn reaches(limits: &ScopeLimits, resource: &Resource, operation: Operation) -> bool {
    if operation > limits.most {
        return false;
    }
    // A token must not be turned into a password, nor into what runs with all of the user's rights.
    let widens = match resource {
        Resource::UserDocument { .. } => true,
        Resource::Database(database) => match database.kind {
            Kind::Replicator => true,
            Kind::Documents | Kind::Users => false,
        },
        Resource::Server | Resource::AllServers | Resource::Account { .. } => false,
    };
    if widens && operation > Operation::Read {
        return false;
    }
    let Some(databases) = &limits.databases else { return true };
    match resource {
        // Information on the whole is more than some databases.
        Resource::Server | Resource::AllServers | Resource::Account { .. } => false,
        Resource::Database(database) | Resource::UserDocument { database, .. } => {
            databases.iter().any(|name| name == database.name.as_str())
        }
    }
}

#[cfg(test)]
mod tests;
