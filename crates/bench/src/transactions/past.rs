//! A snapshot of a large database: what it takes, and what reading it costs beside reading the present.

use std::{fs, path::Path, time::Instant};

use anyhow::Context as _;

use crate::{
    bench::{Bench, Fresh, make_database, reading, send_each},
    client::Target,
    notes::{self, Order},
    report::{Bound, Finding},
    round::{Goal, alternate, median},
};

const DATABASE: &str = "bench-past";
const BYTES: usize = 300;
const BATCH: u64 = 1_000;
const SNAPSHOTS: usize = 11;
const SNAPSHOT_MS_MAX: f64 = 5.0;
/// Of the disk: what one record takes in a store, in whole pages, with room for what else is written meanwhile.
const SNAPSHOT_KIB_MAX: f64 = 256.0;
const GOAL: Goal = Goal::CpuAtMost(2.0);
const CONNECTIONS: usize = 8;
const READ: u64 = 1_000;
const ROWS: u64 = 1_000;

/// Requests of the present, each with what stands between it and `at=`.
const LISTS: [(&str, &str); 3] = [
    ("_all_docs", "_all_docs?limit=1000"),
    ("_all_docs with documents", "_all_docs?limit=1000&include_docs=true"),
    ("_changes", "_changes?limit=1000"),
];

pub(super) fn run(bench: &mut Bench, documents: u64) -> Result<(), anyhow::Error> {
    let wanted = ["snapshot", "of a snapshot"].iter().any(|name| bench.wants(name))
        || bench.common.only.is_empty();
    if !wanted {
        return Ok(());
    }
    let server = bench.server()?;
    bench.runtime.block_on(fill(&server.target, documents))?;
    snapshots(bench, &server, documents)?;
    for (changed, words) in [(0, "nothing changed since"), (10, "a tenth changed since")] {
        if changed > 0 {
            bench.runtime.block_on(change(&server.target, documents, changed))?;
        }
        read(bench, &server, documents, words)?;
    }
    bench.note_memory("reading a snapshot", &server.process)
}

/// How long one takes, and how much room.
fn snapshots(bench: &mut Bench, server: &Fresh, documents: u64) -> Result<(), anyhow::Error> {
    let target = &server.target;
    let before = size(server.data())?;
    let mut times = Vec::new();
    bench.runtime.block_on(async {
        let mut connection = target.connect().await?;
        for number in 0..SNAPSHOTS {
            let path = format!("/{DATABASE}/_snapshots/s{number}");
            let request = target.json("PUT", &path, b"");
            let begun = Instant::now();
            connection.expect(&request).await?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        Ok::<_, anyhow::Error>(())
    })?;
    let grown = size(server.data())?.saturating_sub(before) as f64 / 1024.0;
    let time = median(times).context("there are some")?;
    let name = format!("a snapshot of {documents} documents");
    bench.found(Finding::new(name, time, "ms", Bound::AtMost(SNAPSHOT_MS_MAX)));
    let name = format!("  {SNAPSHOTS} of them on disk");
    bench.found(Finding::new(name, grown, "KiB", Bound::AtMost(SNAPSHOT_KIB_MAX)));
    Ok(())
}

/// Documents one by one and in lists, at the snapshot and at present.
fn read(
    bench: &mut Bench,
    server: &Fresh,
    documents: u64,
    words: &str,
) -> Result<(), anyhow::Error> {
    let (target, pid) = (&server.target, Some(server.process.pid()));
    let ids = || (0..READ).map(|it| Order::Random.id(notes::mix(it) % documents));
    let gets = |at: &str| -> Vec<Vec<u8>> {
        ids().map(|id| target.get(&format!("/{DATABASE}/{id}{at}"))).collect()
    };
    let mut cases =
        vec![(format!("GET of a snapshot, {words}"), gets("?at=s0"), gets(""), CONNECTIONS, 1)];
    for (list, path) in LISTS {
        let one = |at: &str| vec![target.get(&format!("/{DATABASE}/{path}{at}"))];
        cases.push((format!("{list} of a snapshot, {words}"), one("&at=s0"), one(""), 1, ROWS));
    }
    for (name, then, now, connections, rows) in cases {
        let side = |name, requests| {
            let connections = bench.runtime.block_on(target.connections(connections))?;
            Ok::<_, anyhow::Error>(reading(name, bench, pid, connections, requests, rows))
        };
        let sides = vec![side("the snapshot", then)?, side("the present", now)?];
        let measure = alternate(&name, "rows", GOAL, sides)?;
        bench.add(measure);
    }
    Ok(())
}

async fn fill(target: &Target, documents: u64) -> Result<(), anyhow::Error> {
    make_database(target, DATABASE).await?;
    let batches = documents.div_ceil(BATCH);
    send_each(target, 0..batches, &|batch| {
        let numbers = batch * BATCH..((batch + 1) * BATCH).min(documents);
        let body = notes::bulk(Order::Random, numbers, BYTES);
        target.json("POST", &format!("/{DATABASE}/_bulk_docs"), body.as_bytes())
    })
    .await
}

/// Changes every `every`th document.
async fn change(target: &Target, documents: u64, every: u64) -> Result<(), anyhow::Error> {
    let count = documents / every;
    send_each(target, 0..count.div_ceil(BATCH), &|batch| {
        let numbers = batch * BATCH..((batch + 1) * BATCH).min(count);
        let writes: Vec<_> = numbers
            .map(|it| {
                format!(r#"{{"id":"{}","patch":{{"again":1}}}}"#, Order::Random.id(it * every))
            })
            .collect();
        let text = format!(
            r#"{{"client":"bench","transactions":[{{"id":"change-{batch}","writes":[{}]}}]}}"#,
            writes.join(",")
        );
        target.json("POST", &format!("/{DATABASE}/_transact"), text.as_bytes())
    })
    .await
}

/// Bytes that the files of a folder take of the disk.
fn size(folder: &Path) -> Result<u64, anyhow::Error> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { size(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}
