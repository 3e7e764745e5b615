//! `transactions`: what a transaction costs beside a plain write, many who write one document, and the past of a
//! database beside its present.

mod hot;
mod past;
mod writes;

use std::path::PathBuf;

use clap::Args;

use crate::{Common, bench::Bench, report};

#[derive(Debug, Args)]
pub(crate) struct Transactions {
    #[command(flatten)]
    common: Common,
    /// Documents of the database whose past is read
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    documents: u64,
    /// Where the drawing goes; the JSON of all rounds goes beside it
    #[arg(long, default_value = "target/bench/transactions.svg")]
    svg: PathBuf,
}

impl Transactions {
    pub(crate) fn run(self) -> Result<(), anyhow::Error> {
        let Self { common, documents, svg } = self;
        let documents = if common.quick { documents.min(2_000) } else { documents };
        let mut bench = Bench::new("transactions", common, None)?;
        writes::run(&mut bench)?;
        hot::run(&mut bench)?;
        past::run(&mut bench, documents)?;
        print!("{}", report::memory_table(&bench.report));
        report::write(&bench.report, &svg)
    }
}
