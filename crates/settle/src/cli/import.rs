//! `settle import`.

use std::{
    env,
    io::{self, IsTerminal as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum, builder::RangedU64ValueParser};
use indicatif::{ProgressBar, ProgressStyle};
use settle::{
    config::{Config, Secret},
    import::{Import as Importing, Progress, Replications, Report, Wanted},
    limits::{IMPORT_CONCURRENCY, IMPORT_CONCURRENCY_MAX},
    load::Identity,
    local::Local,
};

use super::{complain, say, serve};

/// Lines about how far an import is where there is no terminal.
const LINES_MAX: usize = 20;

#[derive(Debug, Args)]
pub(super) struct Import {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    /// Brings over the databases, users, security objects and replications of a running CouchDB.
    ///
    /// Run it again to go on after an interruption, or to bring what has changed since. At the end it
    /// compares every leaf of every document; the exit code is 1 if something is not the same.
    Couchdb(Couchdb),
}

#[derive(Debug, Args)]
struct Couchdb {
    /// The CouchDB, as in `https://example.org:6984`. The server that imports asks it too. `COUCHDB_USER` and
    /// `COUCHDB_PASSWORD`, or the URL, say who asks: an administrator.
    url: String,
    /// The server to import into. Without this, the one that runs on the data folder, or the folder itself
    /// when none does. The settings admin.user and admin.password say who asks.
    #[arg(long, value_name = "URL", visible_alias = "to")]
    server: Option<String>,
    /// A database to bring, or the beginning of names and a `*`, as often as there are some. Without
    /// this, all.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// A database to leave out, or the beginning of names and a `*`.
    #[arg(long, value_name = "NAME")]
    skip: Vec<String>,
    /// Databases that are brought at the same time.
    #[arg(long, value_name = "COUNT", default_value_t = IMPORT_CONCURRENCY, value_parser = concurrency())]
    concurrency: usize,
    /// What becomes of the documents of `_replicator`.
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = WithReplications::Stopped)]
    replications: WithReplications,
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// The file that settings are read from.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum WithReplications {
    /// They come, and none runs before somebody starts it.
    Stopped,
    /// They come, and run from then on.
    Started,
    /// They do not come.
    Left,
}

impl Import {
    pub(super) fn run(&self) -> Result<ExitCode, anyhow::Error> {
        let From::Couchdb(couchdb) = &self.from;
        let flags = couchdb.data.iter().map(|it| ("data", it.clone())).collect();
        let config = super::resolve(couchdb.config.as_deref(), flags)?.config;
        serve::log_warnings()?;
        let runtime = serve::runtime()?;
        let report = runtime.block_on(couchdb.import(config)).context("import")?;
        show(&report)?;
        Ok(if report.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Couchdb {
    async fn import(&self, config: Config) -> Result<Report, anyhow::Error> {
        let administrator = administrator(&config);
        if let Some(url) = &self.server {
            return self.import_into(url, administrator, &config).await;
        }
        match Local::find(config.clone()).await? {
            Local::Running { url } => self.import_into(&url, administrator, &config).await,
            Local::Own { server, admin } => {
                let url = server.url();
                let report = self.import_into(&url, Identity::from(admin), &config).await;
                server.stop().await?;
                report
            }
        }
    }

    async fn import_into(
        &self,
        url: &str,
        identity: Identity,
        config: &Config,
    ) -> Result<Report, anyhow::Error> {
        let wanted = Wanted {
            only: self.only.clone(),
            skip: self.skip.clone(),
            concurrency: self.concurrency,
            replications: self.replications.into(),
        };
        let import = Importing::new(
            (&self.url, asker()),
            (url, identity),
            config.tls_trusted.as_deref(),
            wanted,
            config.admin_user.clone(),
        )?;
        let mut shown = Shown::new();
        let report = import.run(|progress| shown.update(progress)).await;
        shown.end();
        Ok(report?)
    }
}

fn administrator(config: &Config) -> Identity {
    match &config.admin_password {
        Some(password) => {
            Identity::Password { name: config.admin_user.clone(), password: password.clone() }
        }
        None => Identity::Nobody,
    }
}

/// Who asks the CouchDB, in the variables that its images are set up with.
fn asker() -> Identity {
    match (env::var("COUCHDB_USER"), env::var("COUCHDB_PASSWORD")) {
        (Ok(name), Ok(password)) => Identity::Password { name, password: Secret::new(password) },
        (Ok(_) | Err(_), Ok(_) | Err(_)) => Identity::Nobody,
    }
}

fn concurrency() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=u64::try_from(IMPORT_CONCURRENCY_MAX).unwrap_or(u64::MAX))
}

/// How far it is: a bar on a terminal, and now and then a line elsewhere.
struct Shown {
    bar: Option<ProgressBar>,
    lines: usize,
}

impl Shown {
    fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let template = "{bar:40} {pos}/{len} databases, {msg} {elapsed}";
            let style = ProgressStyle::with_template(template).expect("a template of ours");
            ProgressBar::new(0).with_style(style)
        });
        Self { bar, lines: 0 }
    }

    fn update(&mut self, progress: &Progress) {
        let Progress { databases, databases_done, documents, running } = progress;
        if let Some(bar) = &self.bar {
            bar.set_length(u64::try_from(*databases).unwrap_or(u64::MAX));
            bar.set_position(u64::try_from(*databases_done).unwrap_or(u64::MAX));
            bar.set_message(format!("{documents} documents ({})", running.join(", ")));
            return;
        }
        let lines = databases_done * LINES_MAX / (*databases).max(1);
        if lines > self.lines {
            self.lines = lines;
            complain(&format!("{databases_done}/{databases} databases, {documents} documents"));
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn show(report: &Report) -> io::Result<()> {
    say(report.table().trim_end())?;
    for row in &report.rows {
        for detail in &row.details {
            complain(&format!("{}: {detail}", row.name));
        }
    }
    say(&report.summary())
}

impl std::convert::From<WithReplications> for Replications {
    fn from(with: WithReplications) -> Self {
        match with {
            WithReplications::Stopped => Self::Stopped,
            WithReplications::Started => Self::Started,
            WithReplications::Left => Self::Left,
        }
    }
}
