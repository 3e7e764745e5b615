//! Continuous jobs by the thousand: adding them, waiting until they rest, and following what is written.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use futures_util::future::try_join;
use serde::Deserialize;

use super::follower::Follower;
use crate::{
    client::{Connection, Target},
    limits::ARRIVAL_WAIT,
    process::Process,
    usage::Pid,
};

/// Documents of jobs in one request.
const AT_ONCE: usize = 500;

/// What a server uses that has nothing to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Idle {
    /// Of one core, in a hundred.
    pub(super) cpu_percent: f64,
    pub(super) memory_kib: u64,
}

/// Milliseconds from sending a write, sorted.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    pub(super) answered: Vec<f64>,
    pub(super) arrived: Vec<f64>,
}

/// Adds documents to a database of replications, each the source of one continuous job into `target`.
pub(super) async fn add(
    server: &Target,
    database: &str,
    sources: &[String],
    target: &str,
) -> Result<(), anyhow::Error> {
    let mut connection = server.connect().await?;
    for (part, sources) in sources.chunks(AT_ONCE).enumerate() {
        let documents = sources.iter().enumerate().map(|(at, source)| {
            let id = format!("job{:07}", part * AT_ONCE + at);
            serde_json::json!({
                "_id": id, "source": source, "target": target, "continuous": true,
            })
        });
        let body = serde_json::json!({ "docs": documents.collect::<Vec<_>>() }).to_string();
        let path = format!("/{database}/_bulk_docs");
        connection.expect(&server.json("POST", &path, body.as_bytes())).await?;
    }
    Ok(())
}

/// Waits until so many jobs are known.
pub(super) async fn wait_for(server: &Target, jobs: u64) -> Result<(), anyhow::Error> {
    #[derive(Deserialize)]
    struct Jobs {
        total_rows: u64,
    }
    wait_until(
        &format!("{jobs} jobs are known"),
        async |connection| {
            let reply = connection.fetch(&server.get("/_scheduler/jobs?limit=1")).await?;
            let known: Jobs = serde_json::from_slice(&reply.body).context("understand jobs")?;
            Ok(known.total_rows == jobs)
        },
        server,
    )
    .await
}

/// Waits until a database has so many documents.
pub(super) async fn wait_for_documents(
    server: &Target,
    database: &str,
    documents: u64,
) -> Result<(), anyhow::Error> {
    #[derive(Deserialize)]
    struct Info {
        doc_count: u64,
    }
    wait_until(
        &format!("{database} has {documents} documents"),
        async |connection| {
            let reply = connection.fetch(&server.get(&format!("/{database}"))).await?;
            let info: Info =
                serde_json::from_slice(&reply.body).context("understand a database")?;
            Ok(info.doc_count >= documents)
        },
        server,
    )
    .await
}

async fn wait_until(
    what: &str,
    is_so: impl AsyncFn(&mut Connection) -> Result<bool, anyhow::Error>,
    server: &Target,
) -> Result<(), anyhow::Error> {
    let mut connection = server.connect().await?;
    let begun = Instant::now();
    while begun.elapsed() < ARRIVAL_WAIT {
        if is_so(&mut connection).await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("it never happens that {what}");
}

/// Waits until a server has been at rest for some seconds, so that what follows is not what it still had
/// to do.
pub(super) fn wait_for_rest(pid: Pid) -> Result<(), anyhow::Error> {
    const SPAN: Duration = Duration::from_secs(3);
    let begun = Instant::now();
    while begun.elapsed() < ARRIVAL_WAIT {
        let before = pid.cpu()?;
        thread::sleep(SPAN);
        let share = (pid.cpu()? - before).as_secs_f64() / SPAN.as_secs_f64();
        if share < 0.05 {
            return Ok(());
        }
    }
    bail!("the server never rests");
}

pub(super) fn idle(process: &Process, time: Duration) -> Result<Idle, anyhow::Error> {
    let pid = process.pid();
    let (cpu, begun) = (pid.cpu()?, Instant::now());
    thread::sleep(time);
    let share = (pid.cpu()? - cpu).as_secs_f64() / begun.elapsed().as_secs_f64();
    Ok(Idle { cpu_percent: share * 100.0, memory_kib: pid.memory()?.anonymous_kib })
}

/// Sends writes one after the other, each when the one before has arrived.
pub(super) async fn latencies(
    writer: &Target,
    follower: &mut Follower,
    writes: impl IntoIterator<Item = (String, Vec<u8>)>,
) -> Result<Latencies, anyhow::Error> {
    let mut connection = writer.connect().await?;
    let mut latencies = Latencies::default();
    for (id, request) in writes {
        let begun = Instant::now();
        let arrived = async {
            loop {
                let ids = follower.next().await?;
                if ids.contains(&id) {
                    return Ok(begun.elapsed());
                }
                if begun.elapsed() > ARRIVAL_WAIT {
                    bail!("{id} does not arrive");
                }
            }
        };
        let answered = async {
            connection.expect(&request).await?;
            Ok(begun.elapsed())
        };
        let (arrived, answered) = try_join(arrived, answered).await?;
        latencies.arrived.push(arrived.as_secs_f64() * 1e3);
        latencies.answered.push(answered.as_secs_f64() * 1e3);
    }
    latencies.answered.sort_by(f64::total_cmp);
    latencies.arrived.sort_by(f64::total_cmp);
    Ok(latencies)
}
