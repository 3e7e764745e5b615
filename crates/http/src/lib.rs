//! CouchDB's protocol over HTTP: routes, wire types, and one table from errors to statuses.
//!
//! A request goes one way: extract, authenticate, authorize, one operation, reply. What the server answers
//! is one table, [`routes`]; how failures look is another, [`error`]. [`App`] answers requests,
//! [`Server`] brings them to it from a socket.
//!
//! What this crate does not know: keys, how anything is stored, files, configuration of the process.
//!
//! Source: `chttpd` of CouchDB 3.5; deliberate differences are named where they are.

mod accept;
mod audit;
mod body;
pub mod call;
pub mod connection;
pub mod cors;
mod dispatch;
mod documents;
mod drills;
pub mod error;
mod etag;
mod feed;
mod handlers;
mod idempotency;
pub mod limits;
mod location;
pub mod metrics;
pub mod multipart;
mod open;
pub mod openapi;
pub mod parameters;
mod pieces;
mod rates;
pub mod reply;
mod request_id;
pub mod routes;
mod server;
pub mod settings;
mod shutdown;
mod state;
mod told;
mod uuids;

pub use crate::{
    dispatch::App,
    drills::{DrillFailure, DrillRun},
    server::{
        ConnectionLimits, Duplex, Encryption, Handshake, Pace, Server, ServerOptions, StopOutcome,
    },
    settings::{ConfigStore, MemoryConfig, SaveError, Settings},
    shutdown::Shutdown,
    state::{AppState, Foundations},
    uuids::{UuidAlgorithm, Uuids},
};
