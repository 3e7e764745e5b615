//! `sync`: what replication reaches, between servers and with a client, and what thousands of jobs cost.

mod follower;
mod jobs;
mod local_jobs;
mod nodes;
mod pouch;
mod remote_jobs;

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::{Common, bench::Bench, report};

#[derive(Debug, Args)]
pub(crate) struct Sync {
    #[command(flatten)]
    common: Common,
    /// Another server of the same protocol to replicate with: http://NAME:PASSWORD@HOST:PORT
    #[arg(long)]
    peer: Option<String>,
    /// How many documents are pulled and pushed in a round
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    documents: u64,
    /// How many documents a PouchDB has to sync at first
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    pouch_documents: u64,
    /// How many accounts have a database that is replicated
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    local_jobs: u64,
    /// How many databases of another server are replicated
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    remote_jobs: u64,
    /// How many of these jobs run at a time in the part where they take turns
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    places: u64,
    /// How many writes are followed to where they are replicated
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    writes: u64,
    /// Seconds for which it is looked at what jobs use that have nothing to do
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    idle: u64,
    /// The folder of the script that runs PouchDB, with its packages
    #[arg(long, default_value = "tests/clients")]
    clients: PathBuf,
    /// Where the drawing goes; the JSON of all rounds goes beside it
    #[arg(long, default_value = "target/bench/sync.svg")]
    svg: PathBuf,
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Extent {
    documents: u64,
    pouch_documents: u64,
    local_jobs: u64,
    remote_jobs: u64,
    /// Of jobs that run at a time, where they take turns.
    places: u64,
    writes: u64,
    idle: Duration,
}

/// Of one document, without its id.
const BYTES: usize = 1_024;

impl Sync {
    pub(crate) fn run(self) -> Result<(), anyhow::Error> {
        let extent = if self.common.quick {
            Extent {
                documents: 2_000,
                pouch_documents: 500,
                local_jobs: 100,
                remote_jobs: 40,
                places: 20,
                writes: 20,
                idle: Duration::from_secs(2),
            }
        } else {
            Extent {
                documents: self.documents,
                pouch_documents: self.pouch_documents,
                local_jobs: self.local_jobs,
                remote_jobs: self.remote_jobs,
                places: self.places,
                writes: self.writes,
                idle: Duration::from_secs(self.idle),
            }
        };
        let Self { common, peer, clients, svg, .. } = self;
        let mut bench = Bench::new("sync", common, peer.as_deref())?;
        nodes::run(&mut bench, extent, peer.as_deref())?;
        pouch::run(&mut bench, extent, peer.as_deref(), &clients)?;
        local_jobs::run(&mut bench, extent)?;
        remote_jobs::run(&mut bench, extent)?;
        print!("{}", report::memory_table(&bench.report));
        report::write(&bench.report, &svg)
    }
}
