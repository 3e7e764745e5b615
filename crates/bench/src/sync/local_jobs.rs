//! A database of each account, all replicated into one by continuous jobs on the same server.

use std::{thread, time::Instant};

use super::{
    Extent,
    follower::Follower,
    jobs::{self, Latencies},
};
use crate::{
    bench::{Bench, make_database, send_each},
    client::Target,
    notes::{self, Order},
    people,
    report::{Bound, Finding},
    scale::{BYTES, REST, mib},
};

const ALL: &str = "everybody";

/// 100 MB.
const MEMORY_MIB_MAX: f64 = 95.4;

pub(super) fn run(bench: &mut Bench, extent: Extent) -> Result<(), anyhow::Error> {
    if !bench.wants("local-jobs") {
        return Ok(());
    }
    let count = extent.local_jobs;
    println!("\nlocal-jobs: {count} databases of accounts, replicated into one");
    let server = bench.server()?;
    bench.runtime.block_on(make(&server.target, count))?;

    // Both sides have just been started, so that neither has what the other's past has left in memory.
    let server = bench.again(server, &[])?;
    thread::sleep(REST);
    let before = jobs::idle(&server.process, extent.idle)?;
    let begun = Instant::now();
    bench.runtime.block_on(async {
        let sources: Vec<_> = (0..count).map(source).collect();
        jobs::add(&server.target, "_replicator", &sources, ALL).await?;
        jobs::wait_for_documents(&server.target, ALL, count).await
    })?;
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    bench.found(Finding::new("local-jobs: added and caught up", rate, "a second", Bound::None));
    jobs::wait_for_rest(server.process.pid())?;
    let memory = server.process.pid().memory()?.anonymous_kib.saturating_sub(before.memory_kib);
    bench.found(mib("… private memory of jobs that were added", memory, Bound::None));

    let begun = Instant::now();
    let server = bench.again(server, &[])?;
    bench.runtime.block_on(jobs::wait_for(&server.target, count))?;
    let known = begun.elapsed().as_secs_f64();
    bench.found(Finding::new("… start, until all are known", known, "s", Bound::None));
    jobs::wait_for_rest(server.process.pid())?;
    let idle = jobs::idle(&server.process, extent.idle)?;
    let share = |name, share, bound| Finding::new(name, share, "% of a core", bound);
    bench.found(share("… idle CPU without jobs", before.cpu_percent, Bound::None));
    bench.found(share("… idle CPU with them", idle.cpu_percent, Bound::AtMost(1.0)));
    let memory = idle.memory_kib.saturating_sub(before.memory_kib);
    bench.found(mib("… private memory of the jobs", memory, Bound::AtMost(MEMORY_MIB_MAX)));

    let latencies = bench.runtime.block_on(write(&server.target, count, extent.writes))?;
    let Latencies { answered, arrived } = latencies;
    let limit = Bound::AtMost(50.0);
    let [middle, slow] = [arrived.len() / 2, arrived.len() * 99 / 100];
    bench.found(Finding::new("… a write is answered, median", answered[middle], "ms", Bound::None));
    bench.found(Finding::new("… and has arrived, median", arrived[middle], "ms", limit));
    bench.found(Finding::new("… 99th of a hundred", arrived[slow], "ms", Bound::None));
    bench.note_memory("local-jobs", &server.process)
}

/// What the site calls the database of an account that CouchDB would make for each user.
fn source(number: u64) -> String {
    format!("userdb-{}", hex::encode(people::name_of(number)))
}

/// People, each with a database of one document.
async fn make(target: &Target, count: u64) -> Result<(), anyhow::Error> {
    people::make(target, count).await?;
    make_database(target, ALL).await?;
    let create = |number| target.json("PUT", &format!("/~{}/userdb", people::name_of(number)), b"");
    send_each(target, 0..count, &create).await?;
    send_each(target, 0..count, &|number| write_of(target, number, number).1).await
}

/// A document, and the request that writes it to a database of an account.
fn write_of(target: &Target, account: u64, number: u64) -> (String, Vec<u8>) {
    let id = Order::Random.id(number);
    let path = format!("/~{}/userdb/{id}", people::name_of(account));
    let body = notes::body(number, BYTES);
    let request = target.json("PUT", &path, body.as_bytes());
    (id, request)
}

/// Into databases at random.
async fn write(target: &Target, accounts: u64, writes: u64) -> Result<Latencies, anyhow::Error> {
    let mut follower = Follower::from_now(target, ALL).await?;
    let writes = (0..writes)
        .map(|number| write_of(target, notes::mix(number) % accounts, accounts + number));
    jobs::latencies(target, &mut follower, writes).await
}
