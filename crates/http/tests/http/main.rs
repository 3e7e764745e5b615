//! The server as its clients see it: whole replies, every route, recorded exchanges, real sockets.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod recorded;
mod replies;
mod routes;
mod sockets;
mod support;
