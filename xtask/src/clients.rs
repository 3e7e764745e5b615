//! `cargo xtask clients`: nano, PouchDB and the example of two clients that go offline, against a
//! server of their own. `tests/clients/README.md` says what each does.

use crate::{
    countries,
    step::{Profile, build_server, command, install_packages, root, run},
};

pub(crate) fn run_all() -> Result<(), anyhow::Error> {
    let server = build_server(Profile::Debug)?;
    let documents = countries::documents(&root().join("data/countries"))?;
    install_packages("tests/clients")?;
    install_packages("examples/offline-notes")?;
    run(command("node", &["tests/clients/run.mjs"]).args([server, documents]))
}
