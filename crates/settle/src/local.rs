//! The server on a data folder of this machine, for commands that need one: the one that runs there,
//! or one of their own for as long as the command takes.

use std::{fs, io, path::PathBuf};

use settle_model::time::Entropy as _;
use thiserror::Error;

use crate::{
    Admin, Server, StartError, Storage,
    config::Config,
    data_folder,
    load::Identity,
    secrets::{self, FirstAdmin},
    system::SystemEntropy,
};

/// A server, and how to be somebody there.
#[derive(Debug)]
pub enum Local {
    /// Of another process.
    Running { url: String },
    /// Ours, on a free port of this machine, with an administrator that nobody else knows.
    Own { server: Box<Server>, admin: FirstAdmin },
}

#[derive(Debug, Error)]
pub enum LocalError {
    #[error("open the data folder")]
    Start(#[source] Box<StartError>),
    #[error(
        "find the server that has the data folder open: read {}; --server says where it is",
        path.display()
    )]
    NoAddress { path: PathBuf, source: io::Error },
}

impl Local {
    /// The folder's lock decides who runs, not the address that a crash may have left there.
    pub async fn find(config: Config) -> Result<Self, LocalError> {
        let address = data_folder::address_in(&config.data);
        let password = secrets::make_password(&SystemEntropy);
        let mut suffix = [0; 4];
        SystemEntropy.fill(&mut suffix);
        let name = format!("local-{:08x}", u32::from_be_bytes(suffix));
        let admin = FirstAdmin { name, password };
        let bind = ([127, 0, 0, 1], 0).into();
        let config = Config { bind, tls_certificate: None, tls_key: None, ..config };
        match Server::start_as(config, Storage::Folder, Admin::Passing(admin.clone())).await {
            Ok(server) => Ok(Self::Own { server: Box::new(server), admin }),
            Err(error) if error.is_in_use() => match fs::read_to_string(&address) {
                Ok(url) => Ok(Self::Running { url: url.trim().to_owned() }),
                Err(source) => Err(LocalError::NoAddress { path: address, source }),
            },
            Err(error) => Err(LocalError::Start(Box::new(error))),
        }
    }
}

impl From<FirstAdmin> for Identity {
    fn from(admin: FirstAdmin) -> Self {
        Self::Password { name: admin.name, password: admin.password }
    }
}
