//! `settle backup`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Args;
use settle::backup::backup;

use super::{say, serve};

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The folder to make. It must not be there yet.
    to: PathBuf,
    /// The data folder. The server may be running on it.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// The file that settings are read from.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Backup {
    pub(super) fn run(&self) -> Result<ExitCode, anyhow::Error> {
        let flags = self.data.iter().map(|it| ("data", it.clone())).collect();
        let config = super::resolve(self.config.as_deref(), flags)?.config;
        serve::log_warnings()?;
        let done = serve::runtime()?.block_on(backup(&config.data, &self.to));
        let done = done.with_context(|| {
            format!("back up {} to {}", config.data.display(), self.to.display())
        })?;
        let bytes = indicatif::HumanBytes(done.bytes);
        say(&format!("backed up {bytes} and {} files to {}", done.files, self.to.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
