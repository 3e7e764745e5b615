//! `cargo xtask run`, which is `make run`: from a fresh clone to a server with real data in it.
//!
//! `data/countries` holds the documents as they were fetched, the password of the administrator, and
//! `store`, the server's data folder. Documents are loaded before the server starts, under another
//! folder's name until all are there: a run that is interrupted starts over, and a second run only
//! starts the server.

use std::{
    env, fs,
    fs::{File, OpenOptions},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    path::Path,
};

use anyhow::{Context as _, anyhow};

use crate::{
    countries,
    step::{self, Profile, build_server, command, root},
};

const ADDRESS: &str = "127.0.0.1:5984";
const USER: &str = "admin";

pub(crate) fn run() -> Result<(), anyhow::Error> {
    let server = build_server(Profile::Release)?;
    let folder = root().join("data/countries");
    let documents = countries::documents(&folder)?;
    let password = match env::var("SETTLE_ADMIN_PASSWORD") {
        Ok(password) => password,
        Err(_) => password(&folder.join("password"))?,
    };
    let settle = |arguments: &[&str]| {
        let mut command = command(&server, arguments);
        command.env("SETTLE_ADMIN_USER", USER).env("SETTLE_ADMIN_PASSWORD", &password);
        command
    };

    let store = folder.join("store");
    if !store.exists() {
        let loading = folder.join("loading");
        remove(&loading)?;
        step::run(settle(&["load", "countries", "--data"]).arg(&loading).arg(documents))?;
        fs::rename(&loading, &store).context("put the loaded store in its place")?;
    }

    println!("{}", welcome(&password));
    // The server takes our place, so that it gets the signals that are meant for it.
    let error = settle(&["serve", "--bind", ADDRESS, "--data"]).arg(&store).exec();
    Err(anyhow!(error).context(format!("start {}", server.display())))
}

/// The password that an earlier run made, or a new one. Only its owner can read it.
fn password(file: &Path) -> Result<String, anyhow::Error> {
    match fs::read_to_string(file) {
        Ok(password) => return Ok(password),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
    }
    let mut random = [0; 12];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut random))
        .context("ask the system for random bytes")?;
    let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut output = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .with_context(|| format!("make {}", file.display()))?;
    output.write_all(password.as_bytes()).with_context(|| format!("write {}", file.display()))?;
    Ok(password)
}

fn remove(folder: &Path) -> Result<(), anyhow::Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", folder.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn welcome(password: &str) -> String {
    let server = format!("http://{USER}:{password}@{ADDRESS}");
    format!(
        "
250 countries are in the database `countries`. Three things to try, in another terminal:

  curl '{server}/countries/ISL'
  curl '{server}/countries/ISL/flag.svg' > iceland.svg
  curl '{server}/countries/_changes?feed=continuous&since=now&heartbeat=10000&include_docs=true'

The third follows every change; examples/offline-notes makes some. Ctrl-C stops the server.
"
    )
}
