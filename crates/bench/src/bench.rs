//! What the benches of one server share: its process, a data folder, a peer, and requests by the thousand.

use std::{
    cell::Cell,
    fs,
    ops::Range,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures_util::future::try_join_all;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    Common, bare,
    client::{Connection, Kept, Reply, Target},
    process::Process,
    report::{self, Finding, MemoryUsed, Report},
    round::{Measure, Side, sample},
    scale::CONNECTIONS,
    usage::Pid,
};

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// Of one side in one round, where requests are repeated.
    pub(crate) time: Duration,
    /// Requests of 1000 documents in one round.
    pub(crate) bulk_requests: u64,
    /// The most single writes that one connection can make in a round.
    pub(crate) puts_max: u64,
    /// Documents of the database that is read whole.
    pub(crate) rows: u64,
}

const FULL: Extent = Extent {
    time: Duration::from_millis(1_500),
    bulk_requests: 20,
    puts_max: 8_000,
    rows: 100_000,
};

const QUICK: Extent =
    Extent { time: Duration::from_millis(50), bulk_requests: 1, puts_max: 200, rows: 2_000 };

/// What all measures work with.
pub(crate) struct Bench {
    pub(crate) common: Common,
    pub(crate) extent: Extent,
    /// One thread: the load generator shall leave the processors to the server.
    pub(crate) runtime: Runtime,
    /// Removed when the bench ends.
    pub(crate) folder: TempDir,
    pub(crate) peer: Option<Target>,
    pub(crate) report: Report,
}

/// A server that a measure has for itself.
pub(crate) struct Fresh {
    pub(crate) process: Process,
    pub(crate) target: Target,
    data: TempDir,
}

impl Fresh {
    /// Its data folder.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }
}

impl Bench {
    pub(crate) fn new(
        name: &'static str,
        common: Common,
        peer: Option<&str>,
    ) -> Result<Self, anyhow::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        fs::create_dir_all(&common.folder)
            .with_context(|| format!("make {}", common.folder.display()))?;
        let folder = tempfile::tempdir_in(&common.folder).context("make a folder for data")?;
        let peer = peer.map(|url| runtime.block_on(Target::of_url(url))).transpose()?;
        let extent = if common.quick { QUICK } else { FULL };
        let report = Report::new(name, common.quick);
        Ok(Self { common, extent, runtime, folder, peer, report })
    }

    /// Whether a measure is asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        name.contains(&self.common.only)
    }

    pub(crate) fn server(&self) -> Result<Fresh, anyhow::Error> {
        let data = tempfile::tempdir_in(self.folder.path()).context("make a data folder")?;
        let process = Process::settle(&self.common.server, &data.path().join("data"))?;
        Ok(Fresh { target: process.target(), process, data })
    }

    /// The same server, started again, with these settings (`SETTLE_…`).
    pub(crate) fn again(
        &self,
        server: Fresh,
        settings: &[(&str, &str)],
    ) -> Result<Fresh, anyhow::Error> {
        let Fresh { process, data, .. } = server;
        process.stop()?;
        let process =
            Process::settle_with(&self.common.server, &data.path().join("data"), settings)?;
        Ok(Fresh { target: process.target(), process, data })
    }

    /// A handler that answers as `reply` does.
    pub(crate) fn bare(&self, reply: &Kept) -> Result<Process, anyhow::Error> {
        let file = tempfile::NamedTempFile::new_in(self.folder.path()).context("make a file")?;
        fs::write(file.path(), bare::file_of(reply)).context("write down a reply")?;
        Process::bare(file.path())
    }

    pub(crate) fn add(&mut self, measure: Measure) {
        print!("{}", report::table(&measure));
        self.report.measures.push(measure);
    }

    pub(crate) fn found(&mut self, finding: Finding) {
        print!("{}", finding.line());
        self.report.findings.push(finding);
    }

    pub(crate) fn note_memory(
        &mut self,
        phase: &str,
        process: &Process,
    ) -> Result<(), anyhow::Error> {
        let memory = process.pid().memory()?;
        self.report.memory.push(MemoryUsed {
            after: phase.to_owned(),
            anonymous_kib: memory.anonymous_kib,
            peak_kib: memory.peak_kib,
        });
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Makes a database, in the place of one that an earlier run may have left on a peer.
pub(crate) async fn make_database(target: &Target, name: &str) -> Result<(), anyhow::Error> {
    let mut connection = target.connect().await?;
    let _removed: Reply = connection.ask(&target.json("DELETE", &format!("/{name}"), b"")).await?;
    connection.expect(&target.json("PUT", &format!("/{name}"), b"")).await
}

pub(crate) async fn remove_database(target: &Target, name: &str) -> Result<(), anyhow::Error> {
    let mut connection = target.connect().await?;
    connection.expect(&target.json("DELETE", &format!("/{name}"), b"")).await
}

/// Whether requests are sent again when all were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    Forever,
    Never,
}

/// Sends requests over all connections until the time is over, or none is left; how many.
pub(crate) async fn send_all(
    connections: &mut [Connection],
    requests: &[Vec<u8>],
    repeat: Repeat,
    time: Duration,
) -> Result<u64, anyhow::Error> {
    let (next, end) = (Cell::new(0), Instant::now() + time);
    let next = &next;
    let clients = connections.iter_mut().map(async |connection| {
        while Instant::now() < end {
            let number = next.get();
            let request = match repeat {
                Repeat::Forever => &requests[number % requests.len()],
                Repeat::Never => match requests.get(number) {
                    Some(request) => request,
                    None => break,
                },
            };
            next.set(number + 1);
            connection.expect(request).await?;
        }
        Ok::<_, anyhow::Error>(())
    });
    drop(try_join_all(clients).await?);
    Ok(next.get() as u64)
}

/// Sends the request of each number, over many connections at once.
pub(crate) async fn send_each(
    target: &Target,
    numbers: Range<u64>,
    request: &dyn Fn(u64) -> Vec<u8>,
) -> Result<(), anyhow::Error> {
    let next = Cell::new(numbers.start);
    let (next, end) = (&next, numbers.end);
    let connections = target.connections(CONNECTIONS).await?;
    let clients = connections.into_iter().map(async |mut connection| {
        loop {
            let number = next.get();
            if number >= end {
                return Ok::<_, anyhow::Error>(());
            }
            next.set(number + 1);
            connection.expect(&request(number)).await?;
        }
    });
    try_join_all(clients).await.map(drop)
}

/// A side that sends the same requests over and over.
pub(crate) fn reading<'a>(
    name: &'static str,
    bench: &'a Bench,
    pid: Option<Pid>,
    mut connections: Vec<Connection>,
    requests: Vec<Vec<u8>>,
    rows_each: u64,
) -> Side<'a> {
    Side::new(name, move |_| {
        sample(pid, || {
            let time = bench.extent.time;
            let sent = send_all(&mut connections, &requests, Repeat::Forever, time);
            Ok(bench.runtime.block_on(sent)? * rows_each)
        })
    })
}
