//! `queries`: what building an index costs, and what asking it costs.
//!
//! CPU time is that of the server and of all its children, which run the JavaScript.

mod build;
mod busy;
mod read;
mod validate;

use std::{path::PathBuf, time::Instant};

use anyhow::Context as _;
use clap::Args;
use serde::Deserialize;

use crate::{
    Common,
    bench::{Bench, make_database},
    client::{Connection, Target},
    invoices, report,
};

#[derive(Debug, Args)]
pub(crate) struct Queries {
    #[command(flatten)]
    common: Common,
    /// Another server of the same protocol to put beside: http://NAME:PASSWORD@HOST:PORT
    #[arg(long)]
    peer: Option<String>,
    /// How many documents an index is built of
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    documents: u64,
    /// How many rows the index has that is asked
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10_000..))]
    rows: u64,
    /// Where the drawing goes; the JSON of all rounds goes beside it
    #[arg(long, default_value = "target/bench/queries.svg")]
    svg: PathBuf,
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Extent {
    documents: u64,
    rows: u64,
    /// Requests whose times one by one make a median.
    requests: u64,
}

/// Allocations of each invoice of the database with many rows.
const ALLOCATIONS_OF_ROWS: u64 = 10;

/// Documents in one request.
const BATCH: u64 = 1_000;

impl Queries {
    pub(crate) fn run(self) -> Result<(), anyhow::Error> {
        let Self { common, peer, documents, rows, svg } = self;
        let extent = if common.quick {
            Extent { documents: 2_000, rows: 20_000, requests: 50 }
        } else {
            Extent { documents, rows, requests: 1_000 }
        };
        let mut bench = Bench::new("queries", common, peer.as_deref())?;
        build::run(&mut bench, extent)?;
        read::run(&mut bench, extent)?;
        busy::run(&mut bench, extent)?;
        validate::run(&mut bench)?;
        print!("{}", report::memory_table(&bench.report));
        report::write(&bench.report, &svg)
    }
}

/// Makes a database of so many invoices.
async fn fill(
    target: &Target,
    database: &str,
    documents: u64,
    allocations: u64,
) -> Result<(), anyhow::Error> {
    make_database(target, database).await?;
    let mut connection = target.connect().await?;
    for first in (0..documents).step_by(usize::try_from(BATCH)?) {
        let body = invoices::bulk(first..(first + BATCH).min(documents), allocations);
        let path = format!("/{database}/_bulk_docs");
        connection.expect(&target.json("POST", &path, body.as_bytes())).await?;
    }
    Ok(())
}

/// A request that stores a design document with one view `v`.
fn put_view(target: &Target, database: &str, design: &str, map: &str, reduce: bool) -> Vec<u8> {
    let mut view = serde_json::json!({ "map": map });
    if reduce {
        view["reduce"] = "_sum".into();
    }
    let body = serde_json::json!({ "views": { "v": view } }).to_string();
    target.json("PUT", &format!("/{database}/_design/{design}"), body.as_bytes())
}

fn view(target: &Target, database: &str, design: &str, query: &str) -> Vec<u8> {
    target.get(&format!("/{database}/_design/{design}/_view/v?{query}"))
}

/// Asks a view, and with it for its index to be built; how many rows the reply has.
async fn rows_of(connection: &mut Connection, request: &[u8]) -> Result<u64, anyhow::Error> {
    #[derive(Deserialize)]
    struct Rows {
        rows: Vec<serde::de::IgnoredAny>,
    }
    let reply = connection.fetch(request).await?;
    let reply: Rows = serde_json::from_slice(&reply.body).context("understand a view's reply")?;
    Ok(reply.rows.len() as u64)
}

/// Milliseconds of each request, one after the other on one connection.
async fn times(
    connection: &mut Connection,
    requests: impl IntoIterator<Item = Vec<u8>>,
) -> Result<Vec<f64>, anyhow::Error> {
    let mut times = Vec::new();
    for request in requests {
        let begun = Instant::now();
        connection.expect(&request).await?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}
