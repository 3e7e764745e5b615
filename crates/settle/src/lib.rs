//! The server: configuration, composition, and what the command line does.

pub mod config;
pub mod limits;
pub mod load;
pub mod system;

mod durable_file;
