//! `cargo xtask bench`: builds the server and the benches as they are released, and runs one of them. The
//! benches are a program of their own (`crates/bench`), since a load generator has to be optimized too.

use std::ffi::OsString;

use clap::Args;

use crate::step::{self, Profile, build, build_server, command};

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Which bench, and its options; `help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, default_value = "help")]
    arguments: Vec<OsString>,
}

pub(crate) fn run(bench: &Bench) -> Result<(), anyhow::Error> {
    let server = build_server(Profile::Release)?;
    let program = build("settle-bench", Profile::Release)?;
    let mut run = command(program, &[]);
    run.args(&bench.arguments);
    let is_asking = bench.arguments.iter().any(|it| it == "help" || it == "--help" || it == "-h");
    if !is_asking {
        run.arg("--server").arg(server);
    }
    step::run(&mut run)
}
