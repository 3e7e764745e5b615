//! `scale`: a hundred thousand databases on one server. An idle database shall cost nothing but its rows.

use std::{
    cell::Cell,
    fs::{self, File},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use futures_util::future::try_join_all;
use rustix::fs::{Advice, fadvise};
use tokio::runtime::Runtime;

use crate::{
    Common,
    client::Target,
    notes::{self, Order},
    process::Process,
    report::{Bound, Finding, write_findings},
    round::median,
};

pub(crate) const CONNECTIONS: usize = 64;
pub(crate) const BYTES: usize = 300;

/// How long a started server is left alone before its memory counts as that of an idle one.
pub(crate) const REST: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(crate) struct Scale {
    #[command(flatten)]
    common: Common,
    /// How many databases
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    databases: u64,
    /// How many documents in each
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    documents: u64,
    /// Databases that are read for the first time after a start
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    reads: u64,
    /// Where the figures go
    #[arg(long, default_value = "target/bench/scale.json")]
    json: PathBuf,
}

impl Scale {
    pub(crate) fn run(mut self) -> Result<(), anyhow::Error> {
        if self.common.quick {
            self.databases = self.databases.min(500);
            self.reads = self.reads.min(100);
        }
        let folder = &self.common.folder;
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        let folder = tempfile::tempdir_in(folder).context("make a folder for data")?;
        let data = folder.path().join("data");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;

        println!("{} databases of {} documents", self.databases, self.documents);
        let mut findings = Vec::new();
        let mut found = |finding: Finding| {
            print!("{}", finding.line());
            findings.push(finding);
        };
        let server = Process::settle(&self.common.server, &data)?;
        let cpu = server.pid().cpu()?;
        let begun = Instant::now();
        runtime.block_on(self.create(&server.target()))?;
        let rate = self.databases as f64 / begun.elapsed().as_secs_f64();
        found(Finding::new("created and filled", rate, "a second", Bound::AtLeast(1_000.0)));
        let cpu = (server.pid().cpu()? - cpu).as_secs_f64() * 1e6 / self.databases as f64;
        found(Finding::new("CPU of creating and filling one", cpu, "µs", Bound::None));
        let memory = server.pid().memory()?;
        found(mib("private memory when all are made", memory.anonymous_kib, Bound::None));
        server.stop()?;
        found(mib("data folder", folder_bytes(&data)? / 1024, Bound::None));

        // What reading it again takes counts, and not only what the page cache remembers.
        forget(&data)?;
        let begun = Instant::now();
        let server = Process::settle(&self.common.server, &data)?;
        let listening = server.started_in().as_secs_f64();
        let target = server.target();
        runtime.block_on(async { target.connect().await?.expect(&target.get("/")).await })?;
        let answered = begun.elapsed().as_secs_f64();
        found(Finding::new("start, until it listens", listening, "s", Bound::None));
        found(Finding::new("start, until the first answer", answered, "s", Bound::AtMost(1.0)));
        thread::sleep(REST);
        let idle = server.pid().memory()?;
        found(mib("private memory when idle", idle.anonymous_kib, Bound::AtMost(100.0)));

        let cpu = server.pid().cpu()?.as_secs_f64();
        found(Finding::new("CPU from start until idle", cpu, "s", Bound::None));
        let (middle, slowest) = self.first_reads(&runtime, &target)?;
        let limit = Bound::AtMost(5.0);
        found(Finding::new("first read of a cold one, median", middle, "ms", limit));
        found(Finding::new("first read, 99th of a hundred", slowest, "ms", limit));
        let memory = server.pid().memory()?;
        let name = format!("private memory after {} first reads", self.reads.min(self.databases));
        found(mib(&name, memory.anonymous_kib, Bound::None));
        found(mib("peak memory with mapped files", memory.peak_kib, Bound::None));
        server.stop()?;

        // At once after a start: what is read comes from the disk, as much as that reads ahead.
        forget(&data)?;
        let server = Process::settle(&self.common.server, &data)?;
        let (middle, slowest) = self.first_reads(&runtime, &server.target())?;
        found(Finding::new("first read from the disk, median", middle, "ms", Bound::None));
        found(Finding::new("first read from it, 99th of a hundred", slowest, "ms", Bound::None));
        server.stop()?;
        write_findings(&findings, &self.json)
    }

    async fn create(&self, target: &Target) -> Result<(), anyhow::Error> {
        let next = Cell::new(0);
        let next = &next;
        let body = notes::bulk(Order::Random, 0..self.documents, BYTES);
        let body = body.as_bytes();
        let connections = target.connections(CONNECTIONS).await?;
        let clients = connections.into_iter().map(async |mut connection| {
            loop {
                let number = next.get();
                if number == self.databases {
                    return Ok::<_, anyhow::Error>(());
                }
                next.set(number + 1);
                let name = name_of(number);
                connection.expect(&target.json("PUT", &format!("/{name}"), b"")).await?;
                let path = format!("/{name}/_bulk_docs");
                connection.expect(&target.json("POST", &path, body)).await?;
            }
        });
        try_join_all(clients).await.map(drop)
    }

    /// Milliseconds: the median, and what one of a hundred exceeds.
    fn first_reads(&self, runtime: &Runtime, target: &Target) -> Result<(f64, f64), anyhow::Error> {
        let mut times = runtime.block_on(self.read_each_once(target))?;
        times.sort_by(f64::total_cmp);
        Ok((median(times.iter().copied()).unwrap_or(0.0), times[times.len() * 99 / 100]))
    }

    /// Milliseconds of each.
    async fn read_each_once(&self, target: &Target) -> Result<Vec<f64>, anyhow::Error> {
        let mut connection = target.connect().await?;
        // The first request of a connection and of a user checks a password, which takes long on purpose.
        connection.expect(&target.get("/_all_dbs?limit=1")).await?;
        let mut times = Vec::new();
        let step = (self.databases / self.reads).max(1);
        for number in (0..self.databases).step_by(usize::try_from(step)?) {
            // Neighbours in number are no neighbours in time of reading.
            let number = notes::mix(number) % self.databases;
            let id = Order::Random.id(number % self.documents);
            let request = target.get(&format!("/{}/{id}", name_of(number)));
            let begun = Instant::now();
            connection.expect(&request).await?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        Ok(times)
    }
}

pub(crate) fn name_of(number: u64) -> String {
    format!("db{number:07}")
}

pub(crate) fn mib(name: &str, kib: u64, bound: Bound) -> Finding {
    Finding::new(name, kib as f64 / 1024.0, "MiB", bound)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, anyhow::Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry.context("list a folder")?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

fn folder_bytes(folder: &Path) -> Result<u64, anyhow::Error> {
    let lengths = files(folder)?.into_iter().map(|path| {
        let data = path.metadata().with_context(|| format!("look at {}", path.display()))?;
        Ok(data.len())
    });
    lengths.sum()
}

/// Asks the system to keep nothing of these files in memory.
pub(crate) fn forget(folder: &Path) -> Result<(), anyhow::Error> {
    for path in files(folder)? {
        let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        file.sync_all().with_context(|| format!("sync {}", path.display()))?;
        fadvise(&file, 0, None, Advice::DontNeed)
            .with_context(|| format!("drop {} from memory", path.display()))?;
    }
    Ok(())
}
