//! Many databases of another server, all replicated into one by continuous jobs; and the same with fewer
//! places than jobs.

use std::{
    collections::{HashMap, HashSet},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::{
    Extent,
    follower::Follower,
    jobs::{self, Latencies},
};
use crate::{
    bench::{Bench, Fresh, make_database, send_each},
    client::Target,
    limits::ARRIVAL_WAIT,
    notes,
    report::{Bound, Finding},
    scale::{BYTES, REST, mib, name_of},
    usage::Watch,
};

const ALL: &str = "everything";

/// Documents of each source at the start.
const DOCUMENTS: u64 = 10;

/// 500 MB.
const MEMORY_MIB_MAX: f64 = 477.0;

/// Seconds for which a job that only waits keeps its place while others want it, and until that is noticed.
/// Source: the replicator's `TURN_OF_WAITING` and `TURNS_LOOKED_AT_EVERY`.
const TURN_SECONDS: f64 = 6.0;

pub(super) fn run(bench: &mut Bench, extent: Extent) -> Result<(), anyhow::Error> {
    if !bench.wants("remote-jobs") {
        return Ok(());
    }
    let count = extent.remote_jobs;
    println!("\nremote-jobs: {count} databases of another server, replicated into one");
    let peer = bench.server()?;
    bench.runtime.block_on(async {
        let target = &peer.target;
        let create = |number| target.json("PUT", &format!("/{}", name_of(number)), b"");
        send_each(target, 0..count, &create).await?;
        send_each(target, 0..count, &|number| fill(target, number)).await
    })?;
    let server = bench.server()?;
    let server = together(bench, extent, &peer, server)?;
    in_turns(bench, extent, &peer, server)
}

/// Every job has a place.
fn together(
    bench: &mut Bench,
    extent: Extent,
    peer: &Fresh,
    server: Fresh,
) -> Result<Fresh, anyhow::Error> {
    let count = extent.remote_jobs;
    thread::sleep(REST);
    let before = server.process.pid().memory()?.anonymous_kib;
    let watch = Watch::begin(server.process.pid())?;
    let all: HashSet<_> =
        (0..count).flat_map(|source| (0..DOCUMENTS).map(move |it| id_of(source, it))).collect();
    let begun = Instant::now();
    let ends = bench.runtime.block_on(async {
        let target = &server.target;
        make_database(target, ALL).await?;
        let mut follower = Follower::from_now(target, ALL).await?;
        let sources: Vec<_> = (0..count)
            .map(|number| format!("{}/{}", peer.process.url(), name_of(number)))
            .collect();
        jobs::add(target, "_replicator", &sources, ALL).await?;
        arrivals(&mut follower, all, begun).await
    })?;
    let [first, middle, last] = spread(&ends)?;
    for (name, value) in [("first", first), ("half", middle), ("last", last)] {
        let name = format!("remote-jobs: {name} caught up after");
        bench.found(Finding::new(name, value, "s", Bound::None));
    }
    jobs::wait_for_rest(server.process.pid())?;
    let most = Bound::AtMost(MEMORY_MIB_MAX);
    let idle = jobs::idle(&server.process, extent.idle)?;
    bench.found(mib("… most private memory of the jobs", watch.end()?, most));
    bench.found(mib("… when idle", idle.memory_kib.saturating_sub(before), most));
    bench.found(Finding::new("… idle CPU", idle.cpu_percent, "% of a core", Bound::None));

    let latencies = bench.runtime.block_on(async {
        let mut follower = Follower::from_now(&server.target, ALL).await?;
        let writes = (0..extent.writes)
            .map(|number| write_of(&peer.target, notes::mix(number) % count, DOCUMENTS + number));
        jobs::latencies(&peer.target, &mut follower, writes).await
    })?;
    let Latencies { answered, arrived } = latencies;
    let [middle, slow] = [arrived.len() / 2, arrived.len() * 99 / 100];
    bench.found(Finding::new("… a write is answered, median", answered[middle], "ms", Bound::None));
    bench.found(Finding::new("… and has arrived, median", arrived[middle], "ms", Bound::None));
    bench.found(Finding::new("… 99th of a hundred", arrived[slow], "ms", Bound::None));
    bench.note_memory("remote-jobs", &server.process)?;
    Ok(server)
}

/// There are fewer places than jobs, which take turns. Nobody waits for much longer than it takes until each
/// had its turn; the only job of another owner waits for one turn.
fn in_turns(
    bench: &mut Bench,
    extent: Extent,
    peer: &Fresh,
    server: Fresh,
) -> Result<(), anyhow::Error> {
    const LONE: &str = "lone%2F_replicator";
    let Extent { remote_jobs: count, places, .. } = extent;
    let server = bench.again(server, &[("SETTLE_REPLICATOR_MAX_JOBS", &places.to_string())])?;
    println!("\nremote-jobs: the same with {places} places");
    bench.runtime.block_on(jobs::wait_for(&server.target, count))?;
    let turns = count.div_ceil(places) as f64;
    for round in 1..=2 {
        let ends = bench.runtime.block_on(async {
            let mut follower = Follower::from_now(&server.target, ALL).await?;
            let begun = Instant::now();
            let number = |source| 1_000_000 * round + source;
            let request = |source| write_of(&peer.target, source, number(source)).1;
            send_each(&peer.target, 0..count, &request).await?;
            let all = (0..count).map(|source| id_of(source, number(source))).collect();
            arrivals(&mut follower, all, begun).await
        })?;
        let [_, middle, last] = spread(&ends)?;
        let name = format!("… a write in each, round {round}, half arrived after");
        bench.found(Finding::new(name, middle, "s", Bound::None));
        let limit = Bound::AtMost(2.0 * turns * TURN_SECONDS);
        bench.found(Finding::new("… the longest wait", last, "s", limit));
    }
    let lone = bench.runtime.block_on(async {
        let (target, name) = (&server.target, "lone-source");
        make_database(target, LONE).await?;
        make_database(&peer.target, name).await?;
        let (id, request) = write_in(&peer.target, name, "lone", 0);
        peer.target.connect().await?.expect(&request).await?;
        let mut follower = Follower::from_now(target, ALL).await?;
        let begun = Instant::now();
        let source = format!("{}/{name}", peer.process.url());
        jobs::add(target, LONE, &[source], ALL).await?;
        let ends = arrivals(&mut follower, HashSet::from([id]), begun).await?;
        Ok::<_, anyhow::Error>(spread(&ends)?[2])
    })?;
    let limit = Bound::AtMost(2.0 * TURN_SECONDS);
    bench.found(Finding::new("… the only job of another owner waits", lone, "s", limit));
    bench.note_memory("remote-jobs in turns", &server.process)
}

fn id_of(source: u64, number: u64) -> String {
    format!("{source:07}-{number:07}")
}

/// The request that fills a source.
fn fill(target: &Target, source: u64) -> Vec<u8> {
    let documents: Vec<_> =
        (0..DOCUMENTS).map(|it| notes::with_id(&id_of(source, it), it, BYTES)).collect();
    let body = format!(r#"{{"docs":[{}]}}"#, documents.join(","));
    target.json("POST", &format!("/{}/_bulk_docs", name_of(source)), body.as_bytes())
}

/// A document, and the request that writes it to a source.
fn write_of(target: &Target, source: u64, number: u64) -> (String, Vec<u8>) {
    write_in(target, &name_of(source), &id_of(source, number), number)
}

fn write_in(target: &Target, database: &str, id: &str, number: u64) -> (String, Vec<u8>) {
    let body = notes::body(number, BYTES);
    let request = target.json("PUT", &format!("/{database}/{id}"), body.as_bytes());
    (id.to_owned(), request)
}

/// Follows until all have arrived; when the last of each source has, since `begun`.
async fn arrivals(
    follower: &mut Follower,
    mut missing: HashSet<String>,
    begun: Instant,
) -> Result<Vec<Duration>, anyhow::Error> {
    let mut left = HashMap::<String, u64>::new();
    for id in &missing {
        *left.entry(source_of(id)).or_default() += 1;
    }
    let mut ends = Vec::new();
    while !missing.is_empty() {
        if begun.elapsed() > ARRIVAL_WAIT {
            bail!("{} documents do not arrive", missing.len());
        }
        let ids = follower.next().await?;
        let now = begun.elapsed();
        for id in ids.iter().filter(|id| missing.remove(*id)) {
            let left = left.get_mut(&source_of(id)).context("know the source of a document")?;
            *left -= 1;
            if *left == 0 {
                ends.push(now);
            }
        }
    }
    Ok(ends)
}

fn source_of(id: &str) -> String {
    id.split('-').next().unwrap_or_default().to_owned()
}

/// Seconds of the first, of the one in the middle, and of the last; `ends` are in their order.
fn spread(ends: &[Duration]) -> Result<[f64; 3], anyhow::Error> {
    let seconds = |at: Option<&Duration>| at.map(Duration::as_secs_f64).context("see one arrive");
    Ok([seconds(ends.first())?, seconds(ends.get(ends.len() / 2))?, seconds(ends.last())?])
}
