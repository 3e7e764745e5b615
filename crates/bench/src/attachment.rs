//! `attachment`: one large attachment, sent and fetched in every way that streams. However large it is, the
//! server's private memory grows by little.

use std::{fs, io::Write as _, path::PathBuf, time::Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use flate2::{Compression, write::GzEncoder};
use tokio::runtime::Runtime;

use crate::{
    Common,
    client::{Connection, Reply, Target},
    notes,
    process::Process,
    report::{Bound, Finding, write_findings},
    usage::Watch,
};

const PIECE: usize = 64 << 10;
const GROWTH_MIB_MAX: f64 = 16.0;
const DATABASE: &str = "bench-attachment";

#[derive(Debug, Args)]
pub(crate) struct Attachment {
    #[command(flatten)]
    common: Common,
    /// Its length
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..))]
    mebibytes: u64,
    /// Where the figures go
    #[arg(long, default_value = "target/bench/attachment.json")]
    json: PathBuf,
}

/// A way to send or fetch.
enum Way {
    /// `PUT` of the attachment under this name, with these headers besides its length.
    Put { path: &'static str, headers: &'static str },
    /// The same, compressed by the client, in chunks.
    PutGzip { path: &'static str },
    /// `PUT` of a document whose attachment follows as a part.
    PutRelated { path: &'static str },
    /// `GET` with these headers.
    Get { path: &'static str, headers: &'static str },
    /// `GET` of parts of it, from the whole but for its ends down to a byte.
    Ranges { path: &'static str },
}

const WAYS: [(&str, Way); 11] = [
    (
        "PUT",
        Way::Put { path: "/plain/file", headers: "content-type: application/octet-stream\r\n" },
    ),
    ("GET", Way::Get { path: "/plain/file", headers: "" }),
    ("GET of ranges", Way::Ranges { path: "/plain/file" }),
    ("PUT multipart/related", Way::PutRelated { path: "/related" }),
    (
        "GET multipart/related",
        Way::Get { path: "/related?attachments=true", headers: "accept: multipart/related\r\n" },
    ),
    (
        "GET multipart/mixed of all leaves",
        Way::Get {
            path: "/related?open_revs=all&attachments=true",
            headers: "accept: multipart/mixed\r\n",
        },
    ),
    (
        "PUT of text, compressed by the server",
        Way::Put { path: "/text/file", headers: "content-type: text/plain\r\n" },
    ),
    ("GET of it, decompressed", Way::Get { path: "/text/file", headers: "" }),
    (
        "GET of it, as it is stored",
        Way::Get { path: "/text/file", headers: "accept-encoding: gzip\r\n" },
    ),
    ("PUT, compressed by the client", Way::PutGzip { path: "/gzip/file" }),
    ("GET of that, decompressed", Way::Get { path: "/gzip/file", headers: "" }),
];

impl Attachment {
    pub(crate) fn run(mut self) -> Result<(), anyhow::Error> {
        if self.common.quick {
            self.mebibytes = self.mebibytes.min(32);
        }
        let folder = &self.common.folder;
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        let folder = tempfile::tempdir_in(folder).context("make a folder for data")?;
        let server = Process::settle(&self.common.server, &folder.path().join("data"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let target = server.target();
        let sender = Sender { runtime: &runtime, target: &target, bytes: self.mebibytes << 20 };
        sender.prepare()?;

        println!("an attachment of {} MiB", self.mebibytes);
        let mut findings = Vec::new();
        let mut found = |finding: Finding| {
            print!("{}", finding.line());
            findings.push(finding);
        };
        for (name, way) in &WAYS {
            let watch = Watch::begin(server.pid())?;
            let (cpu, begun) = (server.pid().cpu()?, Instant::now());
            sender.go(way).with_context(|| format!("try {name}"))?;
            let seconds = begun.elapsed().as_secs_f64();
            let cpu = (server.pid().cpu()? - cpu).as_secs_f64();
            let growth = watch.end()? as f64 / 1024.0;
            let mebibytes = self.mebibytes as f64;
            found(Finding::new(*name, mebibytes / seconds, "MiB/s", Bound::None));
            found(Finding::new("  CPU", cpu * 1e3 / mebibytes, "ms/MiB", Bound::None));
            found(Finding::new("  growth of memory", growth, "MiB", Bound::AtMost(GROWTH_MIB_MAX)));
        }
        let memory = server.pid().memory()?;
        found(Finding::new(
            "private memory at the end",
            memory.anonymous_kib as f64 / 1024.0,
            "MiB",
            Bound::None,
        ));
        server.stop()?;
        write_findings(&findings, &self.json)
    }
}

struct Sender<'a> {
    runtime: &'a Runtime,
    target: &'a Target,
    /// Of the attachment.
    bytes: u64,
}

impl Sender<'_> {
    /// Makes the database, and checks the password, which takes memory of its own.
    fn prepare(&self) -> Result<(), anyhow::Error> {
        self.runtime.block_on(async {
            let mut connection = self.target.connect().await?;
            let request = self.target.json("PUT", &format!("/{DATABASE}"), b"");
            connection.expect(&request).await
        })
    }

    fn go(&self, way: &Way) -> Result<(), anyhow::Error> {
        self.runtime.block_on(async {
            let mut connection = self.target.connect().await?;
            match *way {
                Way::Put { path, headers } => {
                    let lines = format!("{headers}content-length: {}\r\n", self.bytes);
                    self.begin(&mut connection, "PUT", path, &lines).await?;
                    self.send_pieces(&mut connection).await?;
                    succeeded(&mut connection).await.map(drop)
                }
                Way::PutGzip { path } => self.put_gzip(&mut connection, path).await,
                Way::PutRelated { path } => self.put_related(&mut connection, path).await,
                Way::Get { path, headers } => {
                    self.begin(&mut connection, "GET", path, headers).await?;
                    succeeded(&mut connection).await.map(drop)
                }
                Way::Ranges { path } => self.get_ranges(&mut connection, path).await,
            }
        })
    }

    async fn begin(
        &self,
        connection: &mut Connection,
        method: &str,
        path: &str,
        lines: &str,
    ) -> Result<(), anyhow::Error> {
        let head = self.target.head(method, &format!("/{DATABASE}{path}"), lines);
        connection.send(head.as_bytes()).await
    }

    async fn send_pieces(&self, connection: &mut Connection) -> Result<(), anyhow::Error> {
        let mut piece = vec![0; PIECE];
        for number in 0..self.bytes / PIECE as u64 {
            fill(number, &mut piece);
            connection.send(&piece).await?;
        }
        Ok(())
    }

    async fn put_gzip(&self, connection: &mut Connection, path: &str) -> Result<(), anyhow::Error> {
        let lines =
            "content-type: text/plain\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n";
        self.begin(connection, "PUT", path, lines).await?;
        let mut piece = vec![0; PIECE];
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        for number in 0..self.bytes / PIECE as u64 {
            fill(number, &mut piece);
            encoder.write_all(&piece).context("compress")?;
            if encoder.get_ref().len() >= PIECE {
                let packed = std::mem::take(encoder.get_mut());
                connection.send(&chunk(&packed)).await?;
            }
        }
        let rest = encoder.finish().context("compress")?;
        connection.send(&chunk(&rest)).await?;
        connection.send(b"0\r\n\r\n").await?;
        succeeded(connection).await.map(drop)
    }

    async fn put_related(
        &self,
        connection: &mut Connection,
        path: &str,
    ) -> Result<(), anyhow::Error> {
        let document = format!(
            r#"{{"_attachments":{{"file":{{"follows":true,"content_type":"application/octet-stream","length":{}}}}}}}"#,
            self.bytes
        );
        let before =
            format!("--part\r\ncontent-type: application/json\r\n\r\n{document}\r\n--part\r\n\r\n");
        let after = "\r\n--part--";
        let length = before.len() as u64 + self.bytes + after.len() as u64;
        let lines = format!(
            "content-type: multipart/related;boundary=\"part\"\r\ncontent-length: {length}\r\n"
        );
        self.begin(connection, "PUT", path, &lines).await?;
        connection.send(before.as_bytes()).await?;
        self.send_pieces(connection).await?;
        connection.send(after.as_bytes()).await?;
        succeeded(connection).await.map(drop)
    }

    async fn get_ranges(
        &self,
        connection: &mut Connection,
        path: &str,
    ) -> Result<(), anyhow::Error> {
        let end = self.bytes - 1;
        let ranges = [(1, end - 1), (end / 2, end), (end / 3, end / 3 + 1_000_000), (end, end)];
        for (first, last) in ranges {
            let lines = format!("range: bytes={first}-{last}\r\n");
            self.begin(connection, "GET", path, &lines).await?;
            let reply = succeeded(connection).await?;
            if reply.status != 206 || reply.body_bytes != last - first + 1 {
                bail!("bytes {first} to {last} are answered with {reply:?}");
            }
        }
        Ok(())
    }
}

async fn succeeded(connection: &mut Connection) -> Result<Reply, anyhow::Error> {
    let reply = connection.receive(None).await?;
    if !(200..300).contains(&reply.status) {
        bail!("the server answers {}", reply.status);
    }
    Ok(reply)
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

/// Piece `number` of the attachment: letters, of which compression leaves about a half.
fn fill(number: u64, piece: &mut [u8]) {
    let mut random = notes::mix(number);
    for eight in piece.chunks_mut(8) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let letters = random & 0x0F0F_0F0F_0F0F_0F0F | 0x6060_6060_6060_6060;
        eight.copy_from_slice(&letters.to_le_bytes()[..eight.len()]);
    }
}
