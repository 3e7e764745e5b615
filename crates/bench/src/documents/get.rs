//! One document read, beside a bare handler that sends the same bytes.

use crate::{
    bench::{Bench, make_database, reading, remove_database},
    client::Target,
    notes::{self, Order},
    round::{Goal, alternate},
};

const CONNECTIONS: usize = 8;
const DOCUMENTS: u64 = 1_000;
const DATABASE: &str = "bench-get";
const GOAL: Goal = Goal::CpuAtMost(1.7);

pub(super) fn run(bench: &mut Bench) -> Result<(), anyhow::Error> {
    for bytes in [300, 1024] {
        let name = format!("GET a document of {bytes} B");
        if bench.wants(&name) {
            measure(bench, &name, bytes)?;
        }
    }
    Ok(())
}

fn measure(bench: &mut Bench, name: &str, bytes: usize) -> Result<(), anyhow::Error> {
    let server = bench.server()?;
    let runtime = &bench.runtime;
    runtime.block_on(fill(&server.target, bytes))?;
    let first = server.target.get(&path(0));
    let reply = runtime.block_on(async { server.target.connect().await?.fetch(&first).await })?;
    let bare = bench.bare(&reply)?;

    let connect = |target: &Target| runtime.block_on(target.connections(CONNECTIONS));
    let requests = |target: &Target| (0..DOCUMENTS).map(|it| target.get(&path(it))).collect();
    let side = |name, target: &Target, pid| {
        Ok::<_, anyhow::Error>(reading(name, bench, pid, connect(target)?, requests(target), 1))
    };
    let mut sides = vec![
        side("settle", &server.target, Some(server.process.pid()))?,
        side("bare handler", &bare.target(), Some(bare.pid()))?,
    ];
    if let Some(peer) = &bench.peer {
        runtime.block_on(fill(peer, bytes))?;
        sides.push(side("peer", peer, None)?);
    }
    let measure = alternate(name, "requests", GOAL, sides)?;
    if let Some(peer) = &bench.peer {
        runtime.block_on(remove_database(peer, DATABASE))?;
    }
    bench.add(measure);
    bench.note_memory(name, &server.process)
}

fn path(number: u64) -> String {
    format!("/{DATABASE}/{}", Order::Random.id(number))
}

async fn fill(target: &Target, bytes: usize) -> Result<(), anyhow::Error> {
    make_database(target, DATABASE).await?;
    let body = notes::bulk(Order::Random, 0..DOCUMENTS, bytes);
    let request = target.json("POST", &format!("/{DATABASE}/_bulk_docs"), body.as_bytes());
    target.connect().await?.expect(&request).await
}
