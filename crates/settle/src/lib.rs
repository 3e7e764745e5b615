//! The server: configuration, composition, and what the command line does.

pub mod config;
