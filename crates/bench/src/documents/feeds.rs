//! Many rows in a reply: a whole database listed, its changes, and documents fetched together; beside a bare
//! handler that sends the same bytes.

use anyhow::{Context as _, bail};
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    bench::{Bench, make_database, reading, remove_database},
    client::Target,
    notes::{self, Order},
    round::{Goal, alternate},
};

const DATABASE: &str = "bench-feeds";
const BYTES: usize = 300;
const BULK_GET: u64 = 1_000;

/// What is asked for.
struct Case {
    name: &'static str,
    /// The request and the rows of its reply, in a database of so many documents.
    request: fn(&Target, u64) -> (Vec<u8>, u64),
    goal: Goal,
}

const CASES: [Case; 4] = [
    Case {
        name: "_changes, all",
        request: |target, rows| (target.get(&format!("/{DATABASE}/_changes")), rows),
        goal: Goal::PerCpuSecondAtLeast(300_000.0),
    },
    Case {
        name: "_all_docs",
        request: |target, rows| (target.get(&format!("/{DATABASE}/_all_docs")), rows),
        goal: Goal::PerCpuSecondAtLeast(300_000.0),
    },
    Case {
        name: "_all_docs with documents",
        request: |target, rows| {
            (target.get(&format!("/{DATABASE}/_all_docs?include_docs=true")), rows)
        },
        goal: Goal::None,
    },
    Case {
        name: "_bulk_get of 1000",
        request: |target, rows| {
            let ids = (0..BULK_GET).map(|it| Order::Random.id(notes::mix(it) % rows));
            let docs: Vec<_> = ids.map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
            let body = format!(r#"{{"docs":[{}]}}"#, docs.join(","));
            let path = format!("/{DATABASE}/_bulk_get");
            (target.json("POST", &path, body.as_bytes()), BULK_GET)
        },
        goal: Goal::None,
    },
];

pub(super) fn run(bench: &mut Bench) -> Result<(), anyhow::Error> {
    if !CASES.iter().any(|case| bench.wants(case.name)) {
        return Ok(());
    }
    let server = bench.server()?;
    let rows = bench.extent.rows;
    bench.runtime.block_on(fill(&server.target, rows))?;
    if let Some(peer) = &bench.peer {
        bench.runtime.block_on(fill(peer, rows))?;
    }
    for case in CASES {
        if !bench.wants(case.name) {
            continue;
        }
        let runtime = &bench.runtime;
        let (request, row_count) = (case.request)(&server.target, rows);
        let fetched = async { server.target.connect().await?.fetch(&request).await };
        let reply = runtime.block_on(fetched)?;
        check_rows(&reply.body, row_count)?;
        let bare = bench.bare(&reply)?;
        let side = |name, target: &Target, pid| {
            let connections = runtime.block_on(target.connections(1))?;
            let (request, rows) = (case.request)(target, rows);
            Ok::<_, anyhow::Error>(reading(name, bench, pid, connections, vec![request], rows))
        };
        let mut sides = vec![
            side("settle", &server.target, Some(server.process.pid()))?,
            side("bare handler", &bare.target(), Some(bare.pid()))?,
        ];
        if let Some(peer) = &bench.peer {
            sides.push(side("peer", peer, None)?);
        }
        let measure = alternate(case.name, "rows", case.goal, sides)?;
        bench.add(measure);
        bench.note_memory(case.name, &server.process)?;
    }
    if let Some(peer) = &bench.peer {
        bench.runtime.block_on(remove_database(peer, DATABASE))?;
    }
    Ok(())
}

/// A server that answers fast because it leaves rows out would measure nothing.
fn check_rows(body: &[u8], expected: u64) -> Result<(), anyhow::Error> {
    let found: Rows = serde_json::from_slice(body).context("understand a reply")?;
    let found = found.rows.len() as u64;
    if found != expected {
        bail!("a reply has {found} rows, not {expected}");
    }
    Ok(())
}

/// What has one member a row, whatever it is called.
#[derive(Deserialize)]
struct Rows {
    #[serde(alias = "results")]
    rows: Vec<IgnoredAny>,
}

async fn fill(target: &Target, rows: u64) -> Result<(), anyhow::Error> {
    make_database(target, DATABASE).await?;
    let mut connection = target.connect().await?;
    for first in (0..rows).step_by(1_000) {
        let body = notes::bulk(Order::Random, first..rows.min(first + 1_000), BYTES);
        let request = target.json("POST", &format!("/{DATABASE}/_bulk_docs"), body.as_bytes());
        connection.expect(&request).await?;
    }
    Ok(())
}
