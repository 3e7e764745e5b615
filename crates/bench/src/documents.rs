//! `documents`: what single requests and bulk ones cost.

mod bulk;
mod feeds;
mod get;
mod put;

use std::path::PathBuf;

use clap::Args;

use crate::{Common, bench::Bench, report};

#[derive(Debug, Args)]
pub(crate) struct Documents {
    #[command(flatten)]
    common: Common,
    /// Another server of the same protocol to put beside: http://NAME:PASSWORD@HOST:PORT
    #[arg(long)]
    peer: Option<String>,
    /// Where the drawing goes; the JSON of all rounds goes beside it
    #[arg(long, default_value = "target/bench/documents.svg")]
    svg: PathBuf,
}

impl Documents {
    pub(crate) fn run(self) -> Result<(), anyhow::Error> {
        let Self { common, peer, svg } = self;
        let mut bench = Bench::new("documents", common, peer.as_deref())?;
        get::run(&mut bench)?;
        put::run(&mut bench)?;
        bulk::run(&mut bench)?;
        feeds::run(&mut bench)?;
        print!("{}", report::memory_table(&bench.report));
        report::write(&bench.report, &svg)
    }
}
