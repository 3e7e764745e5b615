//! `archive`: how fast a database goes to a file and comes back, by the processor time of the server.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::PathBuf,
    time::Instant,
};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::{
    Common,
    client::{Kept, Target},
    process::Process,
    report::{Bound, Finding, write_findings},
    usage::Watch,
};

const DATABASE: &str = "bench-archive";
const COPY: &str = "bench-archive-copy";
const PIECE: usize = 64 << 10;
const BATCH: u64 = 1_000;

/// Megabytes of documents and attachments in a second of one core.
const MEGABYTES_A_SECOND_MIN: f64 = 50.0;
const GROWTH_MIB_MAX: f64 = 64.0;

#[derive(Debug, Args)]
pub(crate) struct Archive {
    #[command(flatten)]
    common: Common,
    /// Documents of a kibibyte each
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1..))]
    documents: u64,
    /// Mebibytes of attachments beside them, in pieces of one
    #[arg(long, default_value_t = 256)]
    mebibytes: u64,
    /// Where the figures go
    #[arg(long, default_value = "target/bench/archive.json")]
    json: PathBuf,
}

impl Archive {
    pub(crate) fn run(mut self) -> Result<(), anyhow::Error> {
        if self.common.quick {
            self.documents = self.documents.min(2_000);
            self.mebibytes = self.mebibytes.min(2);
        }
        let folder = &self.common.folder;
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        let folder = tempfile::tempdir_in(folder).context("make a folder for data")?;
        let server = Process::settle(&self.common.server, &folder.path().join("data"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let target = server.target();
        runtime.block_on(self.fill(&target))?;
        let megabytes = (self.documents * 1_024 + (self.mebibytes << 20)) as f64 / 1e6;
        println!("{} documents, {megabytes:.0} MB", self.documents);

        let file = folder.path().join("archive");
        let mut findings = Vec::new();
        let mut measure = |name: &str, work: &dyn Fn() -> Result<(), anyhow::Error>| {
            let watch = Watch::begin(server.pid())?;
            let (cpu, begun) = (server.pid().cpu()?, Instant::now());
            work().with_context(|| format!("measure {name}"))?;
            let seconds = begun.elapsed().as_secs_f64();
            let cpu = (server.pid().cpu()? - cpu).as_secs_f64();
            let growth = watch.end()? as f64 / 1024.0;
            let at_least = Bound::AtLeast(MEGABYTES_A_SECOND_MIN);
            for finding in [
                Finding::new(format!("{name}, a core"), megabytes / cpu, "MB/s", at_least),
                Finding::new(
                    format!("{name}, by the clock"),
                    megabytes / seconds,
                    "MB/s",
                    Bound::None,
                ),
                Finding::new("  growth of memory", growth, "MiB", Bound::AtMost(GROWTH_MIB_MAX)),
            ] {
                print!("{}", finding.line());
                findings.push(finding);
            }
            anyhow::Ok(())
        };
        measure("archive", &|| fetch(&runtime, &target, &file))?;
        measure("restore", &|| send(&runtime, &target, "PUT", COPY, "_restore", &file))?;
        measure("compare", &|| send(&runtime, &target, "POST", COPY, "_verify", &file))?;
        let packed = fs::metadata(&file).context("measure the archive")?.len() as f64 / 1e6;
        let share = Finding::new("the file, of what it holds", packed / megabytes, "", Bound::None);
        print!("{}", share.line());
        findings.push(share);
        server.stop()?;
        write_findings(&findings, &self.json)
    }

    async fn fill(&self, target: &Target) -> Result<(), anyhow::Error> {
        let mut connection = target.connect().await?;
        connection.expect(&target.json("PUT", &format!("/{DATABASE}"), b"")).await?;
        for first in (0..self.documents).step_by(usize::try_from(BATCH)?) {
            let numbers = first..(first + BATCH).min(self.documents);
            let docs: Vec<_> = numbers
                .map(|n| json!({ "_id": format!("{n:010}"), "n": n, "text": letters(n, 950) }))
                .collect();
            let body = json!({ "docs": docs }).to_string();
            let path = format!("/{DATABASE}/_bulk_docs");
            connection.expect(&target.json("POST", &path, body.as_bytes())).await?;
        }
        for n in 0..self.mebibytes {
            let bytes = letters(n, 1 << 20);
            let lines = format!(
                "content-type: application/octet-stream\r\ncontent-length: {}\r\n",
                bytes.len()
            );
            let mut request =
                target.head("PUT", &format!("/{DATABASE}/file-{n}/file"), &lines).into_bytes();
            request.extend_from_slice(bytes.as_bytes());
            connection.expect(&request).await?;
        }
        Ok(())
    }
}

/// Text of which compression leaves about a half.
fn letters(seed: u64, length: usize) -> String {
    let mut random = crate::notes::mix(seed);
    let mut text = String::with_capacity(length);
    while text.len() < length {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        text.push(char::from(b'a' + (random % 16) as u8));
    }
    text
}

fn fetch(runtime: &Runtime, target: &Target, file: &PathBuf) -> Result<(), anyhow::Error> {
    runtime.block_on(async {
        let mut connection = target.connect().await?;
        let request = target.head("GET", &format!("/{DATABASE}/_archive"), "");
        let Kept { body, .. } = connection.fetch(request.as_bytes()).await?;
        File::create(file)?.write_all(&body).context("write the archive")
    })
}

fn send(
    runtime: &Runtime,
    target: &Target,
    method: &str,
    database: &str,
    what: &str,
    file: &PathBuf,
) -> Result<(), anyhow::Error> {
    runtime.block_on(async {
        let mut connection = target.connect().await?;
        let mut file = File::open(file).context("open the archive")?;
        let length = file.metadata()?.len();
        let lines = format!("content-type: application/zstd\r\ncontent-length: {length}\r\n");
        let head = target.head(method, &format!("/{database}/{what}"), &lines);
        connection.send(head.as_bytes()).await?;
        let mut piece = vec![0; PIECE];
        loop {
            let read = file.read(&mut piece).context("read the archive")?;
            if read == 0 {
                break;
            }
            connection.send(&piece[..read]).await?;
        }
        let reply = connection.receive(None).await?;
        if !(200..300).contains(&reply.status) {
            bail!("{method} {what} is answered with {}", reply.status);
        }
        Ok(())
    })
}
