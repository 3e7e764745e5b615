//! Sixty-four who change one document at the same time: in its fields, and by a function that reads it first.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures_util::future::try_join_all;

use crate::{
    bench::{Bench, make_database},
    client::{Connection, Target},
    report::{Bound, Finding},
};

const CONNECTIONS: usize = 64;
const DATABASE: &str = "bench-hot";
/// How often the measured time of others.
const ROUNDS: u32 = 4;
const FUNCTION: &str = r#"{"transactions":{"add":"function (db) { const doc = db.get('hot'); doc.n += 1; db.put(doc) }"}}"#;

pub(super) fn run(bench: &mut Bench) -> Result<(), anyhow::Error> {
    for (name, what) in [
        (
            "one document, 64 who add to a field",
            r#""writes":[{"id":"hot","ops":[{"inc":{"field":"n"}}]}]"#,
        ),
        ("one document, 64 who call a function", r#""call":{"function":"d/add"}"#),
    ] {
        if bench.wants(name) {
            measure(bench, name, what)?;
        }
    }
    Ok(())
}

fn measure(bench: &mut Bench, name: &str, what: &str) -> Result<(), anyhow::Error> {
    let server = bench.server()?;
    let runtime = &bench.runtime;
    let target = &server.target;
    let time = bench.extent.time * ROUNDS;
    let mut connections = runtime.block_on(async {
        make_database(target, DATABASE).await?;
        let mut first = target.connect().await?;
        let design = target.json("PUT", &format!("/{DATABASE}/_design/d"), FUNCTION.as_bytes());
        first.expect(&design).await?;
        first.expect(&target.json("PUT", &format!("/{DATABASE}/hot"), br#"{"n":0}"#)).await?;
        target.connections(CONNECTIONS).await
    })?;
    let begun = Instant::now();
    let made = runtime.block_on(add(&mut connections, target, what, time))?;
    let seconds = begun.elapsed().as_secs_f64();
    let Made { mut waits, undecided } = made;
    let reply = runtime.block_on(async {
        target.connect().await?.fetch(&target.get(&format!("/{DATABASE}/hot"))).await
    })?;
    let hot: serde_json::Value =
        serde_json::from_slice(&reply.body).context("read the document")?;
    let accepted = waits.len() as u64 - undecided;
    anyhow::ensure!(hot["n"] == accepted, "{} of {accepted} were counted", hot["n"]);
    waits.sort_unstable();
    let at = |percent: usize| {
        let place = waits.len() * percent / 100;
        waits
            .get(place.min(waits.len().saturating_sub(1)))
            .map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
    };
    let undecided = undecided as f64 / waits.len() as f64 * 100.0;
    let findings = [
        Finding::new(name, accepted as f64 / seconds, "a second", Bound::None),
        Finding::new("  median", at(50), "ms", Bound::None),
        Finding::new("  99 of 100", at(99), "ms", Bound::None),
        Finding::new("  longest", at(100), "ms", Bound::None),
        Finding::new("  to be sent again", undecided, "%", Bound::None),
    ];
    for finding in findings {
        bench.found(finding);
    }
    bench.note_memory(name, &server.process)
}

struct Made {
    /// How long each request took.
    waits: Vec<Duration>,
    /// How many were to be sent again.
    undecided: u64,
}

async fn add(
    connections: &mut [Connection],
    target: &Target,
    what: &str,
    time: Duration,
) -> Result<Made, anyhow::Error> {
    let (next, end) = (Cell::new(0_u64), Instant::now() + time);
    let made = RefCell::new(Made { waits: Vec::new(), undecided: 0 });
    let (next, made_ref) = (&next, &made);
    let clients = connections.iter_mut().map(async |connection| {
        while Instant::now() < end {
            let number = next.get();
            next.set(number + 1);
            let text =
                format!(r#"{{"client":"bench","transactions":[{{"id":"{number}",{what}}}]}}"#);
            let request = target.json("POST", &format!("/{DATABASE}/_transact"), text.as_bytes());
            let begun = Instant::now();
            let reply = connection.fetch(&request).await?;
            let mut made = made_ref.borrow_mut();
            made.waits.push(begun.elapsed());
            let is_accepted = memchr::memmem::find(&reply.body, b"\"accepted\":true").is_some();
            made.undecided += u64::from(!is_accepted);
        }
        Ok::<_, anyhow::Error>(())
    });
    drop(try_join_all(clients).await?);
    Ok(made.into_inner())
}
