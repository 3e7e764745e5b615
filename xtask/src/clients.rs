//! `cargo xtask clients`: nano, PouchDB and the outbox in Node and in Chromium, the clients for Python, replication with
//! other servers, and the examples of clients that go offline, against servers of their own.
//!
//! `tests/clients/README.md` says what each does.

use std::path::PathBuf;

use crate::{
    countries,
    step::{Profile, build_server, command, install_packages, root, run},
};

pub(crate) fn run_all() -> Result<(), anyhow::Error> {
    let server = build_server(Profile::Debug)?;
    let documents = countries::documents(&root().join("data/countries"))?;
    install_packages("tests/clients")?;
    for example in ["offline-notes", "inventory", "favourites"] {
        install_packages(&format!("examples/{example}"))?;
    }
    let python = install_python()?;
    // Without it, the steps in a browser are skipped, and the last lines say so.
    if run(&mut command("tools/need", &["chromium"])).is_err() {
        println!("no Chromium: what runs in a browser is skipped");
    }
    run(command("node", &["tests/clients/run.mjs"]).args([server, documents, python]))
}

/// A Python of our own with the packages of the client scripts; where it is.
fn install_python() -> Result<PathBuf, anyhow::Error> {
    let folder = root().join("tests/clients/.venv");
    let python = folder.join("bin/python");
    if !python.exists() {
        run(command("python3", &["-m", "venv"]).arg(&folder))?;
    }
    let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    let wanted = ["--only-binary=:all:", "-r", "tests/clients/requirements.txt"];
    run(command(&python, &quiet).args(wanted))?;
    Ok(python)
}
