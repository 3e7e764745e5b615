//! The endpoints. Each takes the same steps: read the request into values, ask for a permission, one
//! operation, the reply.

pub(crate) mod config;
pub(crate) mod databases;
pub(crate) mod node;
pub(crate) mod server;
pub(crate) mod session;
