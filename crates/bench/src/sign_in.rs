//! `sign-in`: what it costs to know who asks, and what those who are signed in notice of somebody who guesses
//! passwords.

mod basic;
mod guessing;

use std::path::PathBuf;

use clap::Args;

use crate::{Common, bench::Bench, client::Target, report};

#[derive(Debug, Args)]
pub(crate) struct SignIn {
    #[command(flatten)]
    common: Common,
    /// Where the drawing goes; the JSON of all rounds goes beside it
    #[arg(long, default_value = "target/bench/sign-in.svg")]
    svg: PathBuf,
}

impl SignIn {
    pub(crate) fn run(self) -> Result<(), anyhow::Error> {
        let Self { common, svg } = self;
        let mut bench = Bench::new("sign-in", common, None)?;
        basic::run(&mut bench)?;
        guessing::run(&mut bench)?;
        print!("{}", report::memory_table(&bench.report));
        report::write(&bench.report, &svg)
    }
}

const PASSWORD: &str = "a password of a user";

async fn add_user(target: &Target, name: &str) -> Result<(), anyhow::Error> {
    let user = serde_json::json!({
        "type": "user", "name": name, "roles": [], "password": PASSWORD,
    });
    let path = format!("/_users/org.couchdb.user:{name}");
    let request = target.json("PUT", &path, user.to_string().as_bytes());
    target.connect().await?.expect(&request).await
}
