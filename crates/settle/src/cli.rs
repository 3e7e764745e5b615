//! What the command line understands. Each command has a file; this one knows them all, and how
//! failures are told: `failed to …` with the causes, and an exit code.

mod archive;
mod backup;
mod doctor;
mod flags;
mod import;
mod list;
mod load;
mod serve;
mod slow_proxy;
mod user;

use std::{
    env,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use settle::config::{ConfigError, FILE_DEFAULT, FILE_VARIABLE, Resolved, Sources};

use self::flags::SettingFlags;

/// A backend in one binary that speaks CouchDB's HTTP protocol.
#[derive(Debug, Parser)]
#[command(name = "settle", version, after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the server until it gets SIGTERM or SIGINT.
    Serve {
        #[command(flatten)]
        settings: SettingFlags,
    },
    /// Prints every setting, its value, and where that came from.
    Config {
        #[command(flatten)]
        settings: SettingFlags,
        /// Prints the reference of all settings instead, as Markdown.
        #[arg(long)]
        reference: bool,
    },
    /// Loads documents from a file: one JSON object a line, or one array of them.
    Load(load::Load),
    /// Brings everything over from another server, and compares.
    Import(import::Import),
    /// Makes, lists, suspends and deletes users, and their passwords and tokens.
    User(user::User),
    /// Writes a copy of the data folder that opens as one, while the server runs or not.
    Backup(backup::Backup),
    /// Writes databases to files that can be read without Settle, one each, and checks them.
    Archive(archive::Archive),
    /// Brings a database back from its archive, beside the one that is there or in its place.
    Restore(archive::Restore),
    /// Checks everything in an archive, and compares it with a database if asked.
    Verify(archive::Verify),
    /// Runs functions of design documents for the server that starts it.
    #[command(name = settle_script::SUBCOMMAND, hide = true)]
    ScriptWorker,
    /// Looks at a running server as its clients see it, and at what it stands on.
    ///
    /// The exit code is 1 if there is a problem.
    Doctor(doctor::Doctor),
    /// Stands between clients and a server as a bad network would: late, slow, with cuts.
    SlowProxy(slow_proxy::SlowProxy),
}

/// Runs the command that the process was started with.
pub(crate) fn run() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let done = match command {
        Command::Serve { settings } => settings.resolve().and_then(|it| serve::run(&it)),
        Command::Config { settings, reference } => list::run(&settings, reference),
        Command::Load(load) => load.run(),
        Command::Import(import) => import.run(),
        Command::User(user) => user.run(),
        Command::Backup(backup) => backup.run(),
        Command::Archive(archive) => archive.run(),
        Command::Restore(restore) => restore.run(),
        Command::Verify(verify) => verify.run(),
        // Its process serves nothing else, and has no log.
        Command::ScriptWorker => return settle_script::worker::main(),
        Command::Doctor(doctor) => doctor.run(),
        Command::SlowProxy(proxy) => proxy.run(),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            let text = format!("{error:#}");
            complain(&format!("failed to {}", text.trim_end()));
            if error.downcast_ref::<ConfigError>().is_some() {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// The settings that are in force with these flags.
fn resolve(
    file: Option<&Path>,
    flags: Vec<(&'static str, String)>,
) -> Result<Resolved, anyhow::Error> {
    let named = file.map(PathBuf::from).or_else(|| env::var_os(FILE_VARIABLE).map(PathBuf::from));
    let file = named.or_else(|| {
        let default = PathBuf::from(FILE_DEFAULT);
        default.exists().then_some(default)
    });
    let text = |it: std::ffi::OsString| it.to_string_lossy().into_owned();
    let environment = env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
    Resolved::new(&Sources { file, environment, flags }).context("read the configuration")
}

/// A line for people or programs that read our output.
fn say(line: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}

/// A line about what goes on. That nobody can read it is no reason to fail.
fn complain(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}
