//! The endpoints. Each takes the same steps: read the request into values, ask for a permission, one
//! operation, the reply.

pub(crate) mod accounts;
pub(crate) mod archive;
pub(crate) mod attachment;
pub(crate) mod bulk;
pub(crate) mod bulk_get;
pub(crate) mod changes;
pub(crate) mod config;
pub(crate) mod database;
pub(crate) mod databases;
pub(crate) mod document;
pub(crate) mod functions;
pub(crate) mod history;
pub(crate) mod lists;
pub(crate) mod mango;
pub(crate) mod node;
pub(crate) mod replication;
pub(crate) mod revisions;
pub(crate) mod security;
pub(crate) mod server;
pub(crate) mod session;
pub(crate) mod tokens;
pub(crate) mod transact;
pub(crate) mod views;
