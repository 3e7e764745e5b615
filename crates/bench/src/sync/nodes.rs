//! One replication of many documents, beside `_bulk_docs` of the same documents on its target.
//!
//! The limit is written as a replicator writes: revisions that others have made, in requests as large as the
//! replicator's largest, as many at a time as it has portions under way. CPU time is that of all servers that
//! take part.

use std::{cell::RefCell, time::Duration};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::{BYTES, Extent};
use crate::{
    bench::{Bench, Repeat, make_database, remove_database, send_all},
    client::Target,
    notes::{self, Order},
    process::Process,
    report::{Bound, Finding},
    round::{Goal, Sample, Side, alternate, median, sample},
    usage::Pid,
};

const SOURCE: &str = "bench-sync-source";

/// Documents in a request. Source: the replicator's `WORKER_BATCH_SIZE_DEFAULT`.
const EACH: u64 = 500;

/// Requests at a time. Source: the replicator's `WORKER_PROCESSES_DEFAULT`.
const AT_ONCE: usize = 4;

const GOAL: Goal = Goal::SpeedAtLeast(0.4);

/// A round is so many documents, however long they take.
const NO_END: Duration = Duration::from_secs(3_600);

/// A server that takes part.
#[derive(Debug, Clone)]
struct Node {
    target: Target,
    /// With name and password.
    url: String,
    /// Unknown of a peer.
    pid: Option<Pid>,
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// The target runs it.
    Pull,
    /// The source runs it.
    Push,
    /// Source and target are on one server.
    Copy,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Copy => "copy on one server",
        }
    }
}

pub(super) fn run(
    bench: &mut Bench,
    extent: Extent,
    peer: Option<&str>,
) -> Result<(), anyhow::Error> {
    let documents = extent.documents;
    for way in [Way::Pull, Way::Push, Way::Copy] {
        let name = format!("{} of {documents} × {BYTES} B", way.name());
        if !bench.wants(&name) {
            continue;
        }
        // What a round leaves behind is removed with the servers.
        let source = bench.server()?;
        let target = match way {
            Way::Pull | Way::Push => Some(bench.server()?),
            Way::Copy => None,
        };
        let [from, to] =
            [&source, target.as_ref().unwrap_or(&source)].map(|it| Node::of(&it.process));
        measure(bench, &name, way, &from, &to, documents)?;
        bench.note_memory(&format!("{name}, source"), &source.process)?;
        if let Some(target) = &target {
            bench.note_memory(&format!("{name}, target"), &target.process)?;
        }
    }
    let Some((url, target)) = peer.zip(bench.peer.clone()) else { return Ok(()) };
    let peer = Node { target, url: url.trim_end_matches('/').to_owned(), pid: None };
    for (way, name) in [(Way::Pull, "pull from the peer"), (Way::Push, "push to the peer")] {
        let name = format!("{name}, {documents} × {BYTES} B");
        if !bench.wants(&name) {
            continue;
        }
        let server = bench.server()?;
        let ours = Node::of(&server.process);
        let (from, to) = match way {
            Way::Pull => (&peer, &ours),
            Way::Push | Way::Copy => (&ours, &peer),
        };
        measure(bench, &name, way, from, to, documents)?;
        bench.note_memory(&name, &server.process)?;
    }
    Ok(())
}

impl Node {
    fn of(process: &Process) -> Self {
        Self { target: process.target(), url: process.url(), pid: Some(process.pid()) }
    }

    /// As the server `other` calls a database of this one.
    fn name_on(&self, other: &Self, database: &str) -> String {
        if self.url == other.url { database.to_owned() } else { format!("{}/{database}", self.url) }
    }
}

fn measure(
    bench: &mut Bench,
    name: &str,
    way: Way,
    from: &Node,
    to: &Node,
    documents: u64,
) -> Result<(), anyhow::Error> {
    let runtime = &bench.runtime;
    let requests = |database: &str| {
        let starts = (0..documents).step_by(usize::try_from(EACH).expect("it is small"));
        let requests = starts.map(|first| {
            let numbers = first..(first + EACH).min(documents);
            let body = notes::replicas(Order::Ordered, numbers, BYTES);
            to.target.json("POST", &format!("/{database}/_bulk_docs"), body.as_bytes())
        });
        requests.collect::<Vec<_>>()
    };
    runtime.block_on(fill(&from.target, SOURCE, documents))?;
    let runner = match way {
        Way::Pull | Way::Copy => to,
        Way::Push => from,
    };
    let pids: Vec<_> = match way {
        Way::Pull | Way::Push => vec![("source", from.pid), ("target", to.pid)],
        Way::Copy => vec![("server", to.pid)],
    };
    let used = RefCell::new(vec![Vec::new(); pids.len()]);

    let sides = vec![
        Side::new("settle", |round| {
            let copy = format!("bench-sync-copy-{round}");
            runtime.block_on(make_database(&to.target, &copy))?;
            let (source, target) = (from.name_on(runner, SOURCE), to.name_on(runner, &copy));
            let before = pids.iter().map(|(_, pid)| cpu(*pid)).collect::<Result<Vec<_>, _>>()?;
            let mut sample = sample(None, || {
                let written = runtime.block_on(replicate(&runner.target, &source, &target))?;
                if written != documents {
                    bail!("{written} of {documents} documents were replicated");
                }
                Ok(documents)
            })?;
            let mut sum = Some(0.0);
            for (at, ((_, pid), before)) in pids.iter().zip(before).enumerate() {
                let spent = cpu(*pid)?.zip(before).map(|(after, before)| after - before);
                sum = sum.zip(spent).map(|(sum, spent)| sum + spent);
                if round > 0 {
                    used.borrow_mut()[at].extend(spent.map(|it| it * 1e6 / documents as f64));
                }
            }
            sample.cpu_seconds = sum;
            tidy(bench, to, &copy)?;
            Ok(sample)
        }),
        Side::new("_bulk_docs", |round| {
            let database = format!("bench-sync-bulk-{round}");
            runtime.block_on(make_database(&to.target, &database))?;
            let requests = requests(&database);
            let mut connections = runtime.block_on(to.target.connections(AT_ONCE))?;
            let played = sample(to.pid, || {
                let sent = send_all(&mut connections, &requests, Repeat::Never, NO_END);
                runtime.block_on(sent)?;
                Ok(documents)
            })?;
            tidy(bench, to, &database)?;
            Ok::<Sample, anyhow::Error>(played)
        }),
    ];
    let measure = alternate(name, "documents", GOAL, sides)?;
    if from.pid.is_none() {
        runtime.block_on(remove_database(&from.target, SOURCE))?;
    }
    bench.add(measure);
    for ((who, _), used) in pids.iter().zip(used.into_inner()) {
        if let Some(used) = median(used) {
            let name = format!("{}, CPU of the {who} for one", way.name());
            bench.found(Finding::new(name, used, "µs", Bound::None));
        }
    }
    Ok(())
}

/// Leaves nothing on a peer. Our own server goes away as a whole, and reclaims nothing in later rounds.
fn tidy(bench: &Bench, node: &Node, database: &str) -> Result<(), anyhow::Error> {
    match node.pid {
        Some(_) => Ok(()),
        None => bench.runtime.block_on(remove_database(&node.target, database)),
    }
}

/// Seconds.
fn cpu(pid: Option<Pid>) -> Result<Option<f64>, anyhow::Error> {
    Ok(pid.map(Pid::cpu).transpose()?.map(|it| it.as_secs_f64()))
}

/// Makes a database of so many documents.
pub(super) async fn fill(
    target: &Target,
    database: &str,
    documents: u64,
) -> Result<(), anyhow::Error> {
    make_database(target, database).await?;
    let mut connection = target.connect().await?;
    for first in (0..documents).step_by(usize::try_from(EACH)?) {
        let body = notes::replicas(Order::Ordered, first..(first + EACH).min(documents), BYTES);
        let path = format!("/{database}/_bulk_docs");
        connection.expect(&target.json("POST", &path, body.as_bytes())).await?;
    }
    Ok(())
}

/// Has a server replicate once; how many documents that wrote.
async fn replicate(runner: &Target, source: &str, target: &str) -> Result<u64, anyhow::Error> {
    #[derive(Deserialize)]
    struct Replicated {
        history: Vec<Session>,
    }
    #[derive(Deserialize)]
    struct Session {
        docs_written: u64,
        doc_write_failures: u64,
    }
    let body = serde_json::json!({ "source": source, "target": target }).to_string();
    let mut connection = runner.connect().await?;
    let reply = connection.fetch(&runner.json("POST", "/_replicate", body.as_bytes())).await?;
    let replicated: Replicated =
        serde_json::from_slice(&reply.body).context("understand what was replicated")?;
    let session = replicated.history.first().context("find what was replicated")?;
    if session.doc_write_failures > 0 {
        bail!("{} documents were refused", session.doc_write_failures);
    }
    Ok(session.docs_written)
}
