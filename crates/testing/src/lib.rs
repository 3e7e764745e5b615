//! What several crates' tests share: servers on free ports, a client, waiting without sleeping.
//!
//! A test gets its own server and data folder and waits for conditions, never for a time. A server
//! that logs an unexpected error fails its test ([`TestServer`]). Clocks and randomness that a test
//! owns are [`ManualClock`] and [`SeededEntropy`].

mod client;
pub mod histories;
mod log;
mod process;
mod recording;
mod server;
mod wait;

pub use hyper::{Method, StatusCode, header};
pub use settle_model::time::{Clock, Entropy, ManualClock, SeededEntropy};

pub use self::{
    client::{Client, Feed, Interrupted, Reply, raw},
    log::Log,
    process::{ADMIN, Process},
    recording::{Recorded, Recording},
    server::{Store, TestServer},
    wait::{PATIENCE, eventually},
};
