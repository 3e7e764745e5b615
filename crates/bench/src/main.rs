//! The benches behind `cargo xtask bench`: what the server costs, beside what it could cost at least.
//!
//! Each measure plays *ours* and its *limits* in alternating rounds of one run, so that a machine that
//! is busy is busy for all of them, and compares medians. The server and the bare handler are processes of
//! their own: what the load generator here uses is not counted as theirs. CPU time is the kernel's count of
//! a process's user and system time; memory is `RssAnon`, what a process has for itself without mapped files.
//!
//! What this crate does not know: how the server does anything. It starts its binary and speaks HTTP; only
//! the raw engine side runs in this process, on records that the document layer made of the same documents.

#![expect(clippy::disallowed_methods, reason = "a bench reads the real clock")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its figures")]

mod accounts;
mod archive;
mod attachment;
mod bare;
mod bench;
mod client;
mod documents;
mod histories;
mod invoices;
mod limits;
mod notes;
mod people;
mod process;
mod queries;
mod raw;
mod replay;
mod report;
mod round;
mod scale;
mod sign_in;
mod sync;
mod transactions;
mod usage;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

/// As the server's, so that the limits that are measured here are not slower for it.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask bench",
    bin_name = "cargo xtask bench",
    about = "The server's benches"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Requests on documents, beside the raw engine, a bare handler, and a peer
    Documents(documents::Documents),
    /// Building indexes and asking them, beside reads of documents and a peer
    Queries(queries::Queries),
    /// Many databases on one server: creation, memory, start, first reads
    Scale(scale::Scale),
    /// What knowing who asks costs, and what others notice of somebody who guesses passwords
    SignIn(sign_in::SignIn),
    /// Many accounts with a database each, beside as many plain databases
    Accounts(accounts::Accounts),
    /// How much memory a large attachment takes, sent and fetched in every way
    Attachment(attachment::Attachment),
    /// How fast a database goes to a file and comes back
    Archive(archive::Archive),
    /// What many clients do at once, while the server is killed, judged: is there one order of all of it?
    Histories(histories::Histories),
    /// Transactions beside plain writes, one document that many write, the past beside the present
    Transactions(transactions::Transactions),
    /// Replication: between servers, with a client, and thousands of jobs at a time
    Sync(sync::Sync),
    /// Answers every request with the bytes of a file: the limit of what a handler can be
    #[command(hide = true)]
    Bare(bare::Bare),
    /// Answers with what was recorded: the limit of what a server can be to a client
    #[command(hide = true)]
    Replay(replay::Replay),
}

/// What every bench is told.
#[derive(Debug, Args)]
struct Common {
    /// The server's binary; `cargo xtask bench` builds and names it
    #[arg(long)]
    server: PathBuf,
    /// Where data folders are made, and removed again; on the disk that is to be measured
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    /// Little of everything, to see that it works; the figures mean nothing
    #[arg(long)]
    quick: bool,
    /// Only the measures whose names contain this
    #[arg(long, default_value = "")]
    only: String,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Documents(documents) => documents.run(),
        Command::Queries(queries) => queries.run(),
        Command::Scale(scale) => scale.run(),
        Command::SignIn(sign_in) => sign_in.run(),
        Command::Accounts(accounts) => accounts.run(),
        Command::Attachment(attachment) => attachment.run(),
        Command::Archive(archive) => archive.run(),
        Command::Histories(histories) => histories.run(),
        Command::Transactions(transactions) => transactions.run(),
        Command::Sync(sync) => sync.run(),
        Command::Bare(bare) => bare.run(),
        Command::Replay(replay) => replay.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
