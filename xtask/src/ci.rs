//! `cargo xtask ci`: everything that can be checked with cargo alone, the quickest first. The crate
//! graph and the generated files are compared with what they are made from by tests.

use crate::step::{answers, cargo, run};

pub(crate) fn run_all() -> Result<(), anyhow::Error> {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    dependencies()?;
    run(&mut cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "--deny",
        "warnings",
    ]))?;
    tests()?;
    run(&mut cargo(&["test", "--workspace", "--locked", "--doc"]))?;
    run(cargo(&["doc", "--workspace", "--locked", "--no-deps"])
        .env("RUSTDOCFLAGS", "--deny warnings"))
}

fn tests() -> Result<(), anyhow::Error> {
    if answers(&mut cargo(&["nextest", "--version"])) {
        return run(&mut cargo(&["nextest", "run", "--workspace", "--locked", "--profile", "ci"]));
    }
    println!("note: cargo-nextest is not installed; cargo test runs the tests instead");
    run(&mut cargo(&["test", "--workspace", "--locked", "--lib", "--bins", "--tests"]))
}

/// Licences, duplicates and sources of what we depend on. Advisories are left to whoever has the
/// network for them: `cargo deny check advisories`.
fn dependencies() -> Result<(), anyhow::Error> {
    if !answers(&mut cargo(&["deny", "--version"])) {
        println!("skipped: cargo-deny is not installed (cargo install cargo-deny --locked)");
        return Ok(());
    }
    run(&mut cargo(&["deny", "--locked", "check", "bans", "licenses", "sources"]))
}
