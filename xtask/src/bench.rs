//! `cargo xtask bench`: builds the server and the benches as they are released, and runs one of them. The
//! benches are a program of their own (`crates/bench`), since a load generator has to be optimized too.

use std::ffi::OsString;

use clap::Args;

use crate::step::{self, Profile, build, build_server, command, install_packages};

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Which bench, and its options; `help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, default_value = "help")]
    arguments: Vec<OsString>,
}

pub(crate) fn run(bench: &Bench) -> Result<(), anyhow::Error> {
    let mut run = command(build("settle-bench", Profile::Release)?, &[]);
    run.args(&bench.arguments);
    let asks = bench.arguments.iter().any(|it| it == "help" || it == "--help" || it == "-h");
    if !asks {
        if bench.arguments.first().is_some_and(|it| it == "sync") {
            // It runs a PouchDB.
            install_packages("tests/clients")?;
        }
        run.arg("--server").arg(build_server(Profile::Release)?);
    }
    step::run(&mut run)
}
