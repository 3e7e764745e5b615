//! The rows of an index in levels, beside a plain map that computes everything anew.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod bounds;
mod crashes;
mod loading;
mod long_keys;
mod model;
mod properties;
mod world;
