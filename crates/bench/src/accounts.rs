//! `accounts`: a hundred thousand people with a database each, beside as many plain databases. What people
//! have shall cost no more than twice what nobody's cost.
//!
//! Two servers run side by side, and each step is done by turns. People are signed in by a proxy, since
//! checking a password is slow on purpose.

use std::{fmt::Write as _, fs, path::PathBuf, thread, time::Instant};

use anyhow::Context as _;
use clap::Args;
use tokio::runtime::Runtime;

use crate::{
    Common,
    bench::send_each,
    client::Target,
    notes::{self, Order},
    people,
    process::Process,
    report::{Bound, Finding, write_findings},
    round::median,
    scale::{BYTES, REST, forget, mib, name_of},
};

/// How often the sides take turns while databases are made.
const TURNS: u64 = 10;

/// 150 MB.
const MEMORY_MIB_MAX: f64 = 143.0;

#[derive(Debug, Args)]
pub(crate) struct Accounts {
    #[command(flatten)]
    common: Common,
    /// How many accounts, and how many plain databases
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(10..))]
    accounts: u64,
    /// How many documents in each database
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    documents: u64,
    /// Databases that are read and listed for the first time after a start; a few would be timed before
    /// client and server have settled on cores
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    reads: u64,
    /// Where the figures go
    #[arg(long, default_value = "target/bench/accounts.json")]
    json: PathBuf,
}

/// One of the two servers.
struct Side {
    whose: Whose,
    data: PathBuf,
    server: Process,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Plain databases, which the administrator asks.
    Nobodys,
    /// Databases of accounts, which each owner asks.
    Peoples,
}

/// Makes the requests of one side.
struct Requests {
    whose: Whose,
    target: Target,
}

impl Accounts {
    pub(crate) fn run(mut self) -> Result<(), anyhow::Error> {
        if self.common.quick {
            self.accounts = self.accounts.min(500);
            self.reads = self.reads.min(100);
        }
        let folder = &self.common.folder;
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        let folder = tempfile::tempdir_in(folder).context("make a folder for data")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        println!(
            "{} accounts, each with a database of {} documents",
            self.accounts, self.documents
        );
        let mut findings = Vec::new();
        let mut found = |finding: Finding| {
            print!("{}", finding.line());
            findings.push(finding);
        };
        let plain = Side::start(&self.common, Whose::Nobodys, folder.path().join("plain"))?;
        let people = Side::start(&self.common, Whose::Peoples, folder.path().join("people"))?;

        let begun = Instant::now();
        runtime.block_on(people::make(&people.server.target(), self.accounts))?;
        let rate = self.accounts as f64 / begun.elapsed().as_secs_f64();
        found(Finding::new("users made", rate, "a second", Bound::None));

        let mut seconds = [[0.0; 2]; 2];
        for turn in 0..TURNS {
            for (side, seconds) in [&plain, &people].into_iter().zip(&mut seconds) {
                let range = self.accounts * turn / TURNS..self.accounts * (turn + 1) / TURNS;
                let requests = side.requests();
                let body = notes::bulk(Order::Random, 0..self.documents, BYTES);
                let steps: [&dyn Fn(u64) -> Vec<u8>; 2] =
                    [&|number| requests.of("PUT", number, "", b""), &|number| {
                        requests.of("POST", number, "/_bulk_docs", body.as_bytes())
                    }];
                for (step, seconds) in steps.into_iter().zip(seconds) {
                    let begun = Instant::now();
                    runtime.block_on(send_each(&requests.target, range.clone(), step))?;
                    *seconds += begun.elapsed().as_secs_f64();
                }
            }
        }
        let [plain_seconds, people_seconds] = seconds;
        for (n, step) in ["created", "filled"].into_iter().enumerate() {
            let (plain, people) = (plain_seconds[n], people_seconds[n]);
            let rate = |seconds: f64| self.accounts as f64 / seconds;
            found(Finding::new(format!("{step}, plain"), rate(plain), "a second", Bound::None));
            found(Finding::new(
                format!("{step}, of accounts"),
                rate(people),
                "a second",
                Bound::None,
            ));
            found(ratio(step, people, plain));
        }
        let memory = people.server.pid().memory()?.anonymous_kib;
        let most = Bound::AtMost(MEMORY_MIB_MAX);
        found(mib("private memory when all are made", memory, most));

        let plain = plain.again(&self.common)?;
        let people = people.again(&self.common)?;
        thread::sleep(REST);
        found(mib("private memory when idle", people.server.pid().memory()?.anonymous_kib, most));
        for (what, path) in [("first read", "read"), ("listed", "list")] {
            let [plain, people] =
                [&plain, &people].map(|side| self.each_once(&runtime, side, path));
            let (plain, people) = (plain?, people?);
            for (n, part) in ["median", "99th of a hundred", "CPU of one"].into_iter().enumerate() {
                let name = |whose| format!("{what}, {whose}, {part}");
                found(Finding::new(name("plain"), plain[n], "ms", Bound::None));
                found(Finding::new(name("of an account"), people[n], "ms", Bound::None));
            }
            found(ratio(&format!("{what}, median"), people[0], plain[0]));
            found(ratio(&format!("{what}, CPU of one"), people[2], plain[2]));
        }
        let all = [(&plain, "/_all_dbs"), (&people, "/_users/_all_docs")];
        for ((side, path), what) in all.into_iter().zip(["plain databases", "accounts"]) {
            let time = runtime.block_on(list_all(&side.server.target(), path))?;
            found(Finding::new(format!("a list of all {what}"), time, "ms", Bound::None));
        }
        let memory = people.server.pid().memory()?.anonymous_kib;
        found(mib("private memory after all that", memory, most));
        plain.server.stop()?;
        people.server.stop()?;
        write_findings(&findings, &self.json)
    }

    /// Milliseconds of one request to each of some databases: the median, what one of a hundred exceeds, and
    /// CPU time of the server.
    fn each_once(
        &self,
        runtime: &Runtime,
        side: &Side,
        what: &str,
    ) -> Result<[f64; 3], anyhow::Error> {
        let requests = side.requests();
        let cpu_before = side.server.pid().cpu()?;
        let mut times = runtime.block_on(async {
            let mut connection = requests.target.connect().await?;
            let admin = side.server.target();
            // Not the first request of a connection, nor the first of an administrator.
            connection.expect(&admin.get("/_all_dbs?limit=1")).await?;
            let mut times = Vec::new();
            let step = (self.accounts / self.reads).max(1);
            for number in (0..self.accounts).step_by(usize::try_from(step)?) {
                // Neighbours in number are no neighbours in time of reading.
                let number = notes::mix(number) % self.accounts;
                let request = match what {
                    "read" => {
                        let id = Order::Random.id(number % self.documents);
                        requests.of("GET", number, &format!("/{id}"), b"")
                    }
                    _ => requests.listing(number),
                };
                let begun = Instant::now();
                connection.expect(&request).await?;
                times.push(begun.elapsed().as_secs_f64() * 1e3);
            }
            Ok::<_, anyhow::Error>(times)
        })?;
        let cpu = side.server.pid().cpu()?.saturating_sub(cpu_before).as_secs_f64();
        times.sort_by(f64::total_cmp);
        let middle = median(times.iter().copied()).unwrap_or(0.0);
        Ok([middle, times[times.len() * 99 / 100], cpu * 1e3 / times.len() as f64])
    }
}

impl Side {
    fn start(common: &Common, whose: Whose, data: PathBuf) -> Result<Self, anyhow::Error> {
        let server = Process::settle(&common.server, &data)?;
        Ok(Self { whose, data, server })
    }

    /// The same server, started again, with nothing of its files in memory.
    fn again(self, common: &Common) -> Result<Self, anyhow::Error> {
        self.server.stop()?;
        forget(&self.data)?;
        Self::start(common, self.whose, self.data)
    }

    fn requests(&self) -> Requests {
        let target = match self.whose {
            Whose::Nobodys => self.server.target(),
            Whose::Peoples => self.server.target_of_nobody(),
        };
        Requests { whose: self.whose, target }
    }
}

impl Requests {
    fn of(&self, method: &str, number: u64, path: &str, body: &[u8]) -> Vec<u8> {
        match self.whose {
            Whose::Nobodys => {
                self.request(method, &format!("/{}{path}", name_of(number)), String::new(), body)
            }
            Whose::Peoples => {
                let path = format!("/~{}/notes{path}", people::name_of(number));
                self.request(method, &path, people::signed(number), body)
            }
        }
    }

    /// A list of this one database.
    fn listing(&self, number: u64) -> Vec<u8> {
        match self.whose {
            Whose::Nobodys => {
                let path = format!("/_all_dbs?startkey=%22{}%22&limit=1", name_of(number));
                self.request("GET", &path, String::new(), b"")
            }
            Whose::Peoples => {
                let path = format!("/~{}/_all_dbs", people::name_of(number));
                self.request("GET", &path, people::signed(number), b"")
            }
        }
    }

    fn request(&self, method: &str, path: &str, mut lines: String, body: &[u8]) -> Vec<u8> {
        lines.push_str("accept: application/json\r\n");
        if method != "GET" {
            lines.push_str("content-type: application/json\r\n");
            write!(lines, "content-length: {}\r\n", body.len()).expect("strings take everything");
        }
        let mut request = self.target.head(method, path, &lines).into_bytes();
        request.extend_from_slice(body);
        request
    }
}

/// Milliseconds.
async fn list_all(target: &Target, path: &str) -> Result<f64, anyhow::Error> {
    let mut connection = target.connect().await?;
    let begun = Instant::now();
    connection.expect(&target.get(path)).await?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// How many times as long it takes for people.
fn ratio(what: &str, people: f64, plain: f64) -> Finding {
    let name = format!("{what}: of accounts beside plain");
    Finding::new(name, people / plain, "times", Bound::AtMost(2.0))
}
