//! Other databases while functions of one mean harm.

use std::{cell::Cell, time::Instant};

use anyhow::Context as _;
use futures_util::future::{join_all, try_join};
use serde::Deserialize;

use super::Extent;
use crate::{
    bench::{Bench, make_database},
    client::{Connection, Target},
    notes::{self, Order},
    report::{Bound, Finding},
};

const HOSTILE: &str = "bench-hostile";
const NEIGHBOUR: &str = "bench-neighbour";

/// Documents of the neighbour.
const DOCUMENTS: u64 = 1_000;
const BYTES: usize = 300;

/// What each does, and its source: a function of `_update`, but for those that are maps.
const FUNCTIONS: &[(&str, Kind, &str)] = &[
    ("endless loop", Kind::Update, "function(doc, req) { for (;;) {} }"),
    ("endless loop in a map", Kind::Map, "function(doc) { for (;;) {} }"),
    (
        "endless allocation",
        Kind::Update,
        "function(doc, req) { var a = []; for (;;) a.push([a.length]) }",
    ),
    (
        "indexOf that nothing interrupts",
        Kind::Update,
        "function(doc, req) { var a = 'a'.repeat(8e6); return [null, '' + a.indexOf('a'.repeat(4e6) + 'b')] }",
    ),
    (
        "deep recursion",
        Kind::Update,
        "function(doc, req) { return (function f() { return f() + 1 })() }",
    ),
    (
        "prototype pollution",
        Kind::Update,
        "function(doc, req) { Object.prototype.toJSON = Array.prototype.push = function() { for (;;) {} }; return [null, {json: {}}] }",
    ),
    ("throwing", Kind::Update, "function(doc, req) { throw {a: [doc]} }"),
    ("throwing in a map", Kind::Map, "function(doc) { throw 'fatal_error' }"),
    ("emitting what is no JSON", Kind::Map, "function(doc) { var a = {}; a.a = a; emit(a, 1n) }"),
    ("emitting 100 MB", Kind::Map, "function(doc) { emit(null, 'x'.repeat(1e8)) }"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Update,
    Map,
}

/// What the neighbour is asked, in turns.
const ASKED: [&str; 4] =
    ["GET of a document", "PUT of a document", "view by key", "update function"];

pub(super) fn run(bench: &mut Bench, extent: Extent) -> Result<(), anyhow::Error> {
    let name = "hostile functions";
    if !bench.wants(name) {
        return Ok(());
    }
    let server = bench.server()?;
    let target = &server.target;
    let requests = extent.requests * 4;
    let (quiet, (said, busy)) = bench.runtime.block_on(async {
        fill(target).await?;
        let mut connection = target.connect().await?;
        ask(&mut connection, target, requests, 0).await?; // so that both sides find warm caches
        let quiet = ask(&mut connection, target, requests, 1).await?;
        let over = Cell::new(false);
        let harm = harm(target, &over);
        let asked = async {
            let times = ask(&mut connection, target, requests, 2).await;
            over.set(true);
            times
        };
        Ok::<_, anyhow::Error>((quiet, try_join(harm, asked).await?))
    })?;
    println!("\n{name}: what callers read");
    for ((what, ..), said) in FUNCTIONS.iter().zip(&said) {
        println!("  {what:<34} {said}");
    }
    for ((asked, quiet), busy) in ASKED.iter().zip(&quiet).zip(&busy) {
        let slow = |times: &[f64]| times[times.len() * 99 / 100];
        bench.found(Finding::new(format!("{asked}, p99 alone"), slow(quiet), "ms", Bound::None));
        let beside = format!("{asked}, p99 beside {name}");
        bench.found(Finding::new(beside, slow(busy), "ms", Bound::None));
    }
    bench.note_memory(name, &server.process)
}

async fn fill(target: &Target) -> Result<(), anyhow::Error> {
    make_database(target, HOSTILE).await?;
    make_database(target, NEIGHBOUR).await?;
    let mut connection = target.connect().await?;
    connection.expect(&target.json("PUT", &format!("/{HOSTILE}/d"), b"{\"n\":1}")).await?;
    for (at, &(_, kind, source)) in FUNCTIONS.iter().enumerate() {
        let design = match kind {
            Kind::Update => serde_json::json!({ "updates": { "f": source } }),
            Kind::Map => {
                serde_json::json!({ "autoupdate": false, "views": { "f": { "map": source } } })
            }
        };
        let path = format!("/{HOSTILE}/_design/d{at}");
        connection.expect(&target.json("PUT", &path, design.to_string().as_bytes())).await?;
    }
    for number in 0..DOCUMENTS {
        connection.expect(&put(target, number)).await?;
    }
    let design = serde_json::json!({
        "views": { "v": { "map": "function(doc) { emit(doc._id, null) }" } },
        "updates": { "f": "function(doc, req) { return [null, doc._id] }" },
    });
    let path = format!("/{NEIGHBOUR}/_design/d");
    connection.expect(&target.json("PUT", &path, design.to_string().as_bytes())).await
}

fn put(target: &Target, number: u64) -> Vec<u8> {
    let path = format!("/{NEIGHBOUR}/{}", Order::Random.id(number));
    target.json("PUT", &path, notes::body(number, BYTES).as_bytes())
}

/// Milliseconds of each request to the neighbour, one after the other, sorted; by [`ASKED`].
async fn ask(
    connection: &mut Connection,
    target: &Target,
    requests: u64,
    round: u64,
) -> Result<[Vec<f64>; 4], anyhow::Error> {
    let mut times: [Vec<f64>; 4] = Default::default();
    for number in 0..requests {
        let id = Order::Random.id(notes::mix(number) % DOCUMENTS);
        let kind = usize::try_from(number)? % ASKED.len();
        let request = match kind {
            0 => target.get(&format!("/{NEIGHBOUR}/{id}")),
            1 => put(target, DOCUMENTS + round * requests + number),
            // What was written meanwhile is not waited for: that is the cost of a build.
            2 => target.get(&format!("/{NEIGHBOUR}/_design/d/_view/v?update=false&key=%22{id}%22")),
            _ => target.json("POST", &format!("/{NEIGHBOUR}/_design/d/_update/f/{id}"), b""),
        };
        let begun = Instant::now();
        connection.expect(&request).await?;
        times[kind].push(begun.elapsed().as_secs_f64() * 1e3);
    }
    for times in &mut times {
        times.sort_by(f64::total_cmp);
    }
    Ok(times)
}

/// Calls every hostile function over and over, each on a connection of its own; what the callers read last.
async fn harm(target: &Target, over: &Cell<bool>) -> Result<Vec<String>, anyhow::Error> {
    let callers = FUNCTIONS.iter().enumerate().map(async |(at, &(_, kind, _))| {
        let request = match kind {
            Kind::Update => {
                target.json("POST", &format!("/{HOSTILE}/_design/d{at}/_update/f/d"), b"")
            }
            Kind::Map => target.get(&format!("/{HOSTILE}/_design/d{at}/_view/f")),
        };
        let mut connection = target.connect().await?;
        let mut said = String::new();
        while !over.get() {
            said = heard(&mut connection, &request).await?;
        }
        Ok(said)
    });
    join_all(callers).await.into_iter().collect()
}

async fn heard(connection: &mut Connection, request: &[u8]) -> Result<String, anyhow::Error> {
    #[derive(Deserialize)]
    struct Failed {
        error: String,
        reason: String,
    }
    connection.send(request).await?;
    let mut kept = crate::client::Kept::default();
    let status = connection.receive(Some(&mut kept)).await.context("hear of a function")?.status;
    let body = String::from_utf8_lossy(&kept.body);
    Ok(match serde_json::from_str::<Failed>(&body) {
        Ok(Failed { error, reason }) => format!("{status} {error}: {reason}"),
        Err(_) => format!("{status} {}", body.trim_end().chars().take(60).collect::<String>()),
    })
}
