//! `settle load`.

use std::{
    fs::{self, File},
    io::{self, IsTerminal as _, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use settle::{
    config::Config,
    load::{Client, Existing, Identity, Tally, load},
    local::Local,
};

use super::{complain, say, serve};

/// Between the lines that say how far a load is, where there is no terminal.
const DOCUMENTS_A_LINE: u64 = 100_000;

#[derive(Debug, Args)]
pub(super) struct Load {
    /// The database to load into. It is made if it is not there.
    database: String,
    /// The file, or `-` for the standard input.
    file: PathBuf,
    /// The server to load into. Without this, the one that runs on the data folder, or the folder
    /// itself when none does. The settings admin.user and admin.password say who asks.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Updates documents that are there already, instead of leaving them alone.
    #[arg(long)]
    replace: bool,
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// The file that settings are read from.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Load {
    pub(super) fn run(&self) -> Result<ExitCode, anyhow::Error> {
        let flags = self.data.iter().map(|it| ("data", it.clone())).collect();
        let config = super::resolve(self.config.as_deref(), flags)?.config;
        let (input, length) =
            open(&self.file).with_context(|| format!("open the file {}", self.file.display()))?;
        let tally = match &self.server {
            Some(url) => self.load_into(&client(url, &config)?, input, length),
            None => self.load_here(config, input, length),
        };
        let tally = tally
            .with_context(|| format!("load {} into {}", self.file.display(), self.database))?;
        report(&tally)?;
        Ok(if tally.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Into the server that runs on the data folder, or one of our own for as long as it takes.
    fn load_here(
        &self,
        config: Config,
        input: Box<dyn Read>,
        length: Option<u64>,
    ) -> Result<Tally, anyhow::Error> {
        serve::log_warnings()?;
        let runtime = serve::runtime()?;
        match runtime.block_on(Local::find(config.clone()))? {
            Local::Running { url } => self.load_into(&client(&url, &config)?, input, length),
            Local::Own { server, admin } => {
                let url = server.url();
                let client = Client::new(&url, Identity::from(admin))?;
                let loaded = self.load_into(&client, input, length);
                runtime.block_on(server.stop())?;
                loaded
            }
        }
    }

    fn load_into(
        &self,
        client: &Client,
        input: Box<dyn Read>,
        length: Option<u64>,
    ) -> Result<Tally, anyhow::Error> {
        let existing = if self.replace { Existing::Replace } else { Existing::Keep };
        let bar = bar(length);
        let mut said = 0;
        let mut last = Tally::default();
        let loaded = load(client, &self.database, input, existing, |tally| {
            last.clone_from(tally);
            if let Some(bar) = &bar {
                bar.set_position(tally.bytes_read);
                bar.set_message(format!("{} documents", seen(tally)));
            } else if seen(tally) / DOCUMENTS_A_LINE > said {
                said = seen(tally) / DOCUMENTS_A_LINE;
                complain(&format!("{} documents", seen(tally)));
            }
        });
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        if loaded.is_err() {
            report(&last)?;
        }
        Ok(loaded?)
    }
}

pub(super) fn client(url: &str, config: &Config) -> Result<Client, anyhow::Error> {
    let identity = match &config.admin_password {
        Some(password) => {
            Identity::Password { name: config.admin_user.clone(), password: password.clone() }
        }
        None => Identity::Nobody,
    };
    Client::new(url, identity).context("find the server")
}

/// The input, with its length where that is known.
fn open(path: &Path) -> Result<(Box<dyn Read>, Option<u64>), anyhow::Error> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        bail!("it is a folder");
    }
    Ok((Box::new(File::open(path)?), metadata.is_file().then_some(metadata.len())))
}

/// A progress bar, if there is a terminal to draw it on.
fn bar(length: Option<u64>) -> Option<ProgressBar> {
    if !io::stderr().is_terminal() {
        return None;
    }
    let (bar, template) = match length {
        Some(length) => (
            ProgressBar::new(length),
            "{bar:40} {bytes}/{total_bytes} {msg} {bytes_per_sec} {eta} left",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} {msg} {bytes_per_sec}"),
    };
    let style = ProgressStyle::with_template(template).expect("a template of ours");
    Some(bar.with_style(style))
}

fn seen(tally: &Tally) -> u64 {
    tally.saved + tally.conflicts + tally.refused
}

fn report(tally: &Tally) -> io::Result<()> {
    say(&format!("saved {}", documents(tally.saved)))?;
    if tally.conflicts > 0 {
        let count = documents(tally.conflicts);
        say(&format!("left alone {count} with ids that are taken (--replace updates them)"))?;
    }
    for refusal in &tally.refusals {
        complain(&format!("refused {refusal}"));
    }
    if tally.refused > 0 {
        say(&format!("refused {}", documents(tally.refused)))?;
    }
    Ok(())
}

fn documents(count: u64) -> String {
    if count == 1 { "1 document".into() } else { format!("{count} documents") }
}
