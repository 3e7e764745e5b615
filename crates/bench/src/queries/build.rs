//! An index built from nothing: read, map, sort, commit.

use anyhow::{Context as _, bail};
use serde::{Deserialize, de::IgnoredAny};

use super::{Extent, fill, put_view, rows_of, view};
use crate::{
    bench::{Bench, remove_database},
    client::Target,
    invoices,
    round::{Goal, Measure, Side, alternate, sample},
    usage::Pid,
};

const DATABASE: &str = "bench-build";

/// Fields of a Mango index in another order each round, so that each is built again.
const ORDERS: [[&str; 3]; 6] = [
    ["customer", "date", "number"],
    ["customer", "number", "date"],
    ["date", "customer", "number"],
    ["date", "number", "customer"],
    ["number", "customer", "date"],
    ["number", "date", "customer"],
];

#[derive(Debug, Clone, Copy)]
enum Kind {
    Script,
    Mango,
}

#[derive(Deserialize)]
struct Found {
    docs: Vec<IgnoredAny>,
    warning: Option<String>,
}

pub(super) fn run(bench: &mut Bench, extent: Extent) -> Result<(), anyhow::Error> {
    let count = extent.documents;
    let cases = [
        (format!("build: JavaScript map and _sum, {count} invoices"), Kind::Script, 50_000.0),
        (format!("build: Mango index, {count} invoices"), Kind::Mango, 120_000.0),
    ];
    if !cases.iter().any(|(name, ..)| bench.wants(name)) {
        return Ok(());
    }
    let server = bench.server()?;
    bench.runtime.block_on(fill(&server.target, DATABASE, count, invoices::ALLOCATIONS))?;
    if let Some(peer) = &bench.peer {
        bench.runtime.block_on(fill(peer, DATABASE, count, invoices::ALLOCATIONS))?;
    }
    for (name, kind, least) in cases {
        if bench.wants(&name) {
            let goal = Goal::PerCpuSecondAtLeast(least);
            let pid = server.process.pid();
            let measure = measure(bench, &name, kind, goal, (&server.target, pid), count)?;
            bench.add(measure);
            bench.note_memory(&name, &server.process)?;
        }
    }
    if let Some(peer) = &bench.peer {
        bench.runtime.block_on(remove_database(peer, DATABASE))?;
    }
    Ok(())
}

fn measure(
    bench: &Bench,
    name: &str,
    kind: Kind,
    goal: Goal,
    (server, pid): (&Target, Pid),
    count: u64,
) -> Result<Measure, anyhow::Error> {
    let runtime = &bench.runtime;
    let side = |name, target: &Target, pid: Option<Pid>| {
        let target = target.clone();
        Side::new(name, move |round| {
            sample(pid, || runtime.block_on(kind.build(&target, round)).map(|()| count))
        })
    };
    let mut sides = vec![side("settle", server, Some(pid))];
    if let Some(peer) = &bench.peer {
        sides.push(side("peer", peer, None));
    }
    alternate(name, "documents", goal, sides)
}

impl Kind {
    /// Another definition each round, and a query that waits for its index.
    async fn build(self, target: &Target, round: usize) -> Result<(), anyhow::Error> {
        let mut connection = target.connect().await?;
        match self {
            Self::Script => {
                let design = format!("script-{round}");
                let map = format!("{} // {round}", invoices::MAP);
                connection.expect(&put_view(target, DATABASE, &design, &map, true)).await?;
                let request = view(target, DATABASE, &design, "reduce=true");
                if rows_of(&mut connection, &request).await? != 1 {
                    bail!("the sum of all rows is not one row");
                }
            }
            Self::Mango => {
                let fields = ORDERS[round % ORDERS.len()];
                let design = format!("mango-{round}");
                let index = serde_json::json!({
                    "index": { "fields": fields }, "ddoc": &design, "name": "i", "type": "json",
                });
                let path = format!("/{DATABASE}/_index");
                connection
                    .expect(&target.json("POST", &path, index.to_string().as_bytes()))
                    .await?;
                // The index answers only a query that asks for each of its fields.
                let all =
                    fields.map(|field| (field.to_owned(), serde_json::json!({ "$gt": null })));
                let find = serde_json::json!({
                    "selector": serde_json::Map::from_iter(all), "use_index": [&design, "i"],
                    "allow_fallback": false, "limit": 1,
                });
                let path = format!("/{DATABASE}/_find");
                let find = target.json("POST", &path, find.to_string().as_bytes());
                let found: Found = serde_json::from_slice(&connection.fetch(&find).await?.body)
                    .context("understand what was found")?;
                if found.docs.len() != 1 || found.warning.is_some() {
                    bail!("{} documents were found: {:?}", found.docs.len(), found.warning);
                }
            }
        }
        Ok(())
    }
}
