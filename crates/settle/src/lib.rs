//! The server: configuration, composition, and what the command line does.

pub mod archives;
pub mod backup;
pub mod config;
pub mod doctor;
pub mod import;
pub mod limits;
pub mod load;
pub mod local;
pub mod people;
pub mod scheduled_archives;
pub mod secrets;
pub mod slow_proxy;
pub mod system;

mod data_folder;
mod durable_file;
mod kept_config;
mod keys;
mod probe;
mod server;
mod tls;

pub use self::{
    data_folder::DataFolderError,
    kept_config::KeptConfigError,
    keys::KeysError,
    secrets::{FirstAdmin, SecretsError},
    server::{Admin, Server, StartError, StopError, Storage},
    tls::TlsError,
};
