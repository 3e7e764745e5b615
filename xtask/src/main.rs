//! `cargo xtask`: the project's own commands, so that every script is Rust, checked like the rest.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "commands that people run talk to them"
)]

mod bench;
mod ci;
mod clients;
mod countries;
mod graph;
mod run;
mod step;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The project's own commands")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures the server beside its limits: `documents`, `scale`, `attachment`
    #[command(disable_help_flag = true)]
    Bench(bench::Bench),
    /// Checks everything that can be checked without other programs: what CI runs first
    Ci,
    /// Runs real clients against a real server
    Clients,
    /// Prints the crate graph as docs/ARCHITECTURE.md should have it
    Graph,
    /// Builds the server, fills it with countries on its first run, and keeps it running
    Run,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Bench(bench) => bench::run(&bench),
        Command::Ci => ci::run_all(),
        Command::Clients => clients::run_all(),
        Command::Graph => graph::print(),
        Command::Run => run::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
