//! `settle archive`, `settle restore` and `settle verify`.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::HumanBytes;
use settle::{
    archives::{self, Checked},
    config::Config,
    load::{Client, Identity},
    local::Local,
};
use settle_database::AtError;

use super::{complain, load, say, serve};

#[derive(Debug, Args)]
struct At {
    /// The server. Without this, the one that runs on the data folder, or the folder itself when none
    /// does. The settings admin.user and admin.password say who asks.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// The file that settings are read from.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Archive {
    /// The database, such as `notes` or `~ada/notes`, as often as there are databases.
    #[arg(value_name = "DATABASE", required_unless_present_any = ["account", "site"])]
    databases: Vec<String>,
    /// All databases of an account, by its name without the tilde.
    #[arg(long, value_name = "NAME", conflicts_with = "site")]
    account: Option<String>,
    /// All databases of the site and of all accounts.
    #[arg(long)]
    site: bool,
    /// The folder that the archives go to, one file a database. It is made if it is not there; an older archive of
    /// the same database is replaced.
    #[arg(long, value_name = "DIR", default_value = ".")]
    to: PathBuf,
    /// As the databases were at a moment: the name of a snapshot, a sequence, or a time such as 2027-11-21T03:05:46Z.
    /// With --account and --site a time; databases that were not there yet are left out.
    #[arg(long = "at", value_name = "MOMENT", value_parser = moment)]
    moment: Option<Moment>,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The archive.
    file: PathBuf,
    /// What the database will be called. Without this, as the archive says.
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// Takes the place of a database that is there already. What was written to it since the archive is lost.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The archive.
    file: PathBuf,
    /// A database that it is compared with, leaf by leaf. The exit code is 1 if they differ.
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    #[command(flatten)]
    at: At,
}

/// A moment as it was written, and what it means.
#[derive(Debug, Clone)]
struct Moment {
    text: String,
    means: settle_database::At,
}

fn moment(text: &str) -> Result<Moment, AtError> {
    Ok(Moment { text: text.to_owned(), means: text.parse()? })
}

impl At {
    /// Asks the server, or one of our own for as long as that takes.
    fn ask<T>(
        &self,
        ask: impl FnOnce(&Client) -> Result<T, anyhow::Error>,
    ) -> Result<T, anyhow::Error> {
        let flags = self.data.iter().map(|it| ("data", it.clone())).collect();
        let config: Config = super::resolve(self.config.as_deref(), flags)?.config;
        if let Some(url) = &self.server {
            return ask(&load::client(url, &config)?);
        }
        serve::log_warnings()?;
        let runtime = serve::runtime()?;
        match runtime.block_on(Local::find(config.clone()))? {
            Local::Running { url } => ask(&load::client(&url, &config)?),
            Local::Own { server, admin } => {
                let client = Client::new(&server.url(), Identity::from(admin))?;
                let asked = ask(&client);
                runtime.block_on(server.stop())?;
                asked
            }
        }
    }
}

impl Archive {
    pub(super) fn run(&self) -> Result<ExitCode, anyhow::Error> {
        let of_many = self.site || self.account.is_some();
        let is_time = |it: &Moment| matches!(it.means, settle_database::At::Time(_));
        if of_many && !self.moment.as_ref().is_none_or(is_time) {
            bail!(
                "archive many databases at one moment: a snapshot or a sequence is of one, say a time"
            );
        }
        let at = self.moment.as_ref().map(|it| it.text.as_str());
        let made = fs::create_dir_all(&self.to);
        made.with_context(|| format!("make the folder {}", self.to.display()))?;
        let failed = self.at.ask(|client| {
            let mut failed = 0;
            for database in self.wanted(client).context("list the databases")? {
                match archives::take(client, &database, at, &self.to) {
                    Ok(checked) => say(&told(&database, &checked))?,
                    Err(error) if of_many && error.is_not_yet() => {
                        say(&format!("{database}: not there yet, left out"))?;
                    }
                    Err(error) => {
                        failed += 1;
                        complain(&format!("{database}: {:#}", anyhow::Error::from(error)));
                    }
                }
            }
            Ok(failed)
        })?;
        if failed > 0 {
            bail!("archive {failed} of the databases");
        }
        Ok(ExitCode::SUCCESS)
    }

    fn wanted(&self, client: &Client) -> Result<Vec<String>, anyhow::Error> {
        let mut wanted = self.databases.clone();
        if let Some(account) = &self.account {
            wanted.extend(archives::databases(client, Some(account))?);
        }
        if self.site {
            wanted.extend(archives::databases(client, None)?);
            for account in archives::accounts(client)? {
                wanted.extend(archives::databases(client, Some(&account))?);
            }
        }
        Ok(wanted)
    }
}

impl Restore {
    pub(super) fn run(&self) -> Result<ExitCode, anyhow::Error> {
        let about = || format!("restore {}", self.file.display());
        // What is damaged is found before anybody is asked.
        let checked = archives::check_file(&self.file).with_context(about)?;
        let name = self.name.as_ref().unwrap_or(&checked.header.name);
        let answer = self
            .at
            .ask(|client| Ok(archives::restore(client, &self.file, name, self.replace)?))
            .with_context(about)?;
        let documents = checked.totals.documents;
        say(&format!("restored {name}: {documents} documents, at {}", answer.seq))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Verify {
    pub(super) fn run(&self) -> Result<ExitCode, anyhow::Error> {
        let about = || format!("verify {}", self.file.display());
        let checked = archives::check_file(&self.file).with_context(about)?;
        say(&told(&checked.header.name, &checked))?;
        say(&format!("made {}", checked.header.made))?;
        let Some(database) = &self.database else { return Ok(ExitCode::SUCCESS) };
        let answer = self
            .at
            .ask(|client| Ok(archives::compare(client, &self.file, database)?))
            .with_context(about)?;
        for difference in &answer.differences {
            complain(difference);
        }
        if answer.unnamed > 0 {
            complain(&format!("and {} more differences", answer.unnamed));
        }
        say(&format!("{} documents are the same in {database}", answer.equal))?;
        Ok(if answer.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn told(database: &str, checked: &Checked) -> String {
    let Checked { totals, bytes, .. } = checked;
    format!(
        "{database}: {} documents, {} deleted, {} leaves, {} attachments, {}",
        totals.documents,
        totals.deleted,
        totals.leaves,
        totals.blobs,
        HumanBytes(*bytes),
    )
}
