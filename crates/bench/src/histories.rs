//! `histories`: what many clients do at once is recorded while the server is killed now and then, and judged: is there
//! one order of all of it in which every answer is right? It fails if there is none.

use std::{fs, path::PathBuf, time::Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use settle_testing::{Recording, histories};

#[derive(Debug, Args)]
pub(crate) struct Histories {
    /// The server's binary; `cargo xtask bench` builds and names it
    #[arg(long)]
    server: PathBuf,
    /// Where the data folder is made, and removed again
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    /// What is done at least
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    operations: u64,
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// How often the server is killed meanwhile
    #[arg(long, default_value_t = 20)]
    kills: u64,
    /// Of what is done, and when the server is killed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Transactions call no functions, which some servers do not have
    #[arg(long)]
    no_functions: bool,
    /// A fault of the server, if it was built with some: `no_read_set`, `lost_precondition`, `stale_snapshot`
    #[arg(long)]
    planted: Option<String>,
}

impl Histories {
    pub(crate) fn run(self) -> Result<(), anyhow::Error> {
        let folder = &self.folder;
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        let folder = tempfile::tempdir_in(folder).context("make a folder for data")?;
        let server = self.server.canonicalize();
        let server = server.with_context(|| format!("find {}", self.server.display()))?;
        let data = folder.path().canonicalize().context("find the folder for data")?.join("data");
        let variables: Vec<(&str, &str)> =
            self.planted.iter().map(|fault| ("PLANTED_FAULT", &**fault)).collect();
        let recording = Recording {
            server: &server,
            data: &data,
            variables: &variables,
            clients: self.clients,
            operations: self.operations,
            kills: self.kills,
            seed: self.seed,
            functions: !self.no_functions,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let begun = Instant::now();
        let recorded = runtime.block_on(recording.record())?;
        let took = begun.elapsed();
        println!(
            "{} operations of {} clients in {:.1} s, {} kills, {} answers, {} requests sent again; seed {}",
            recorded.history.operations.len(),
            self.clients,
            took.as_secs_f64(),
            self.kills,
            recorded.answers,
            recorded.repeated,
            self.seed
        );
        let begun = Instant::now();
        let verdict = histories::check(&recorded.history);
        println!("judged in {:.1} s", begun.elapsed().as_secs_f64());
        println!("{verdict}");
        if !verdict.anomalies.is_empty() {
            bail!("the server is not strictly serializable");
        }
        Ok(())
    }
}
