//! Who may do what. Pure policy: no storage, no HTTP.
//!
//! A permission is a value. [`authorize`] is the only maker of a [`Grant`], apart from
//! [`Grant::internal`], which names its reason and is easy to list; operations that outsiders can
//! reach take one, so a handler that forgot to ask does not compile.
//!
//! The rules themselves are one function, [`policy::decide`], from an actor, a resource and an action to a
//! verdict; a golden table beside it shows what it says of each.
//!
//! Source: `couch_db:check_is_admin/1`, `check_is_member/1`, `chttpd_auth_request.erl`. Different here:
//! nobody who is not signed in may do anything; a database may have an owner; what somebody may not know
//! of is hidden rather than forbidden.

mod action;
mod actor;
mod grant;
pub mod policy;
mod resource;
mod security;

pub use self::{
    action::{Action, Administer, AdministerServer, Inspect, Operation, Read, ReadMetrics, Write},
    actor::{ADMIN_ROLE, Actor, METRICS_ROLE, Scope, ScopeLimits},
    grant::{AccessError, Grant, Server, authorize},
    resource::{Kind, Protected, Resource},
    security::Security,
};
