//! A first sync into PouchDB, beside one from a server that has all replies in memory.
//!
//! Most of the time is PouchDB's own, which is what the limit shows. Each round is a Node process of its own,
//! whose start is not counted.

use std::{path::Path, process::Command};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::{Extent, nodes::fill};
use crate::{
    bench::{Bench, remove_database},
    process::Process,
    round::{Goal, Sample, Side, alternate},
    usage::Pid,
};

const DATABASE: &str = "bench-sync-pouch";
const SCRIPT: &str = "first-sync.mjs";

/// At most 1.25 times as long.
const GOAL: Goal = Goal::SpeedAtLeast(0.8);

pub(super) fn run(
    bench: &mut Bench,
    extent: Extent,
    peer: Option<&str>,
    clients: &Path,
) -> Result<(), anyhow::Error> {
    let documents = extent.pouch_documents;
    let name = format!("pouch: first sync of {documents} documents into PouchDB");
    if !bench.wants(&name) {
        return Ok(());
    }
    let server = bench.server()?;
    bench.runtime.block_on(fill(&server.target, DATABASE, documents))?;
    let record = bench.path().join("exchanges");
    sync(clients, &server.process.url(), documents, None, Some(&record))?;

    let mut sides = vec![
        Side::new("settle", |_| {
            let pid = Some(server.process.pid());
            sync(clients, &server.process.url(), documents, pid, None)
        }),
        Side::new("replayed", |_| {
            // Anew each time, so that it answers from the start.
            let replay = Process::replay(&record)?;
            sync(clients, &replay.url(), documents, Some(replay.pid()), None)
        }),
    ];
    if let Some((url, peer)) = peer.zip(bench.peer.as_ref()) {
        bench.runtime.block_on(fill(peer, DATABASE, documents))?;
        let url = url.trim_end_matches('/');
        sides.push(Side::new("peer", move |_| sync(clients, url, documents, None, None)));
    }
    let measure = alternate(&name, "documents", GOAL, sides)?;
    if let Some(peer) = &bench.peer {
        bench.runtime.block_on(remove_database(peer, DATABASE))?;
    }
    bench.add(measure);
    bench.note_memory(&name, &server.process)
}

/// Syncs all into a new PouchDB.
fn sync(
    clients: &Path,
    server: &str,
    documents: u64,
    pid: Option<Pid>,
    record: Option<&Path>,
) -> Result<Sample, anyhow::Error> {
    #[derive(Deserialize)]
    struct Synced {
        seconds: f64,
        documents: u64,
    }
    let script = clients.join(SCRIPT);
    let mut node = Command::new("node");
    node.arg(&script).arg(format!("{server}/{DATABASE}"));
    if let Some(record) = record {
        node.arg(record);
    }
    let before = pid.map(Pid::cpu).transpose()?;
    let output = node.output().context("run node")?;
    let after = pid.map(Pid::cpu).transpose()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{} ended with {}; it needs what `npm ci` installs beside it: {said}",
            script.display(),
            output.status
        );
    }
    let synced: Synced =
        serde_json::from_slice(&output.stdout).context("understand what PouchDB did")?;
    if synced.documents != documents {
        bail!("{} of {documents} documents were synced", synced.documents);
    }
    let cpu = before.zip(after).map(|(before, after)| after.saturating_sub(before).as_secs_f64());
    Ok(Sample { count: documents, wall_seconds: synced.seconds, cpu_seconds: cpu })
}
