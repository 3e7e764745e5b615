//! What is known of a connection before anything was asked on it.

use std::net::IpAddr;

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Connection {
    /// The other end of the socket, which may be a proxy. `None` for requests that came from no socket.
    pub peer: Option<IpAddr>,
    /// Whether TLS protects it.
    pub encrypted: bool,
}
