//! Reads of somebody who is signed in, with and without others who guess passwords.
//!
//! Reads come at a pace that leaves room, and each is timed by itself. Guesses come at a pace too, from
//! addresses and for names that change, so that each stays below what would make the server refuse to check
//! it: what is measured is the worst, passwords that are really checked. Rounds with and without them alternate.

use std::{
    cell::{Cell, RefCell},
    net::Ipv4Addr,
    time::Duration,
};

use anyhow::bail;
use futures_util::future::{try_join, try_join_all};
use tokio::time::{Instant, sleep_until};

use super::{PASSWORD, add_user};
use crate::{
    bench::{Bench, make_database},
    client::{Connection, Target},
    limits::ROUNDS,
    notes::{self, Order},
    process::Process,
    report::{Bound, Finding},
    round::median,
};

const GUESSES_PER_SECOND: u32 = 100;
const USERS: u64 = 200;
/// Fewer than an address may have wrong before it has to wait.
const GUESSES_PER_ADDRESS: u64 = 20;
/// So many may wait for their answers; the server takes a few of them at a time.
const GUESSERS: usize = 200;

const READS_PER_SECOND: u32 = 1_000;
const READERS: u32 = 8;
const DOCUMENTS: u64 = 1_000;
const DATABASE: &str = "bench-guessing";

const RATIO_MAX: f64 = 2.0;

/// Who guesses, over all rounds.
struct Guessing<'a> {
    process: &'a Process,
    /// How many were sent.
    sent: Cell<u64>,
    /// How many were checked and found wrong, and how many were turned away.
    wrong: Cell<u64>,
    turned_away: Cell<u64>,
}

pub(super) fn run(bench: &mut Bench) -> Result<(), anyhow::Error> {
    let name = "signed-in reads while passwords are guessed";
    if !bench.wants(name) {
        return Ok(());
    }
    let (time, users) = if bench.common.quick {
        (Duration::from_millis(300), 2)
    } else {
        (Duration::from_secs(5), USERS)
    };
    let server = bench.server()?;
    let (process, target) = (&server.process, &server.target);
    let guessing =
        Guessing { process, sent: Cell::new(0), wrong: Cell::new(0), turned_away: Cell::new(0) };
    let (quiet, guessed) = bench.runtime.block_on(async {
        fill(target, users).await?;
        let reader = process.target_as(Some(("reader", PASSWORD)));
        let mut readers = reader.connections(READERS as usize).await?;
        let (mut quiet, mut guessed) = (Vec::new(), Vec::new());
        // The first round of each warms up.
        for round in 0..=ROUNDS {
            let without = read(&reader, &mut readers, time).await?;
            let (with, ()) =
                try_join(read(&reader, &mut readers, time), guessing.guess(users, time)).await?;
            if round > 0 {
                quiet.push(without);
                guessed.push(with);
            }
        }
        Ok::<_, anyhow::Error>((quiet, guessed))
    })?;
    let part = |rounds: &[Vec<f64>], of_hundred: usize| {
        median(rounds.iter().map(|times| times[times.len() * of_hundred / 100])).unwrap_or(0.0)
    };
    let ms = |name: &str, value| Finding::new(name, value, "ms", Bound::None);
    bench.found(ms("signed-in read, median", part(&quiet, 50)));
    bench.found(ms("… while passwords are guessed", part(&guessed, 50)));
    bench.found(ms("signed-in read, 99th of a hundred", part(&quiet, 99)));
    bench.found(ms("… while passwords are guessed", part(&guessed, 99)));
    let ratio = part(&guessed, 99) / part(&quiet, 99);
    bench.found(Finding::new(
        "… beside one without guesses",
        ratio,
        "times",
        Bound::AtMost(RATIO_MAX),
    ));
    let seconds = time.as_secs_f64() * (ROUNDS + 1) as f64;
    let rate = guessing.wrong.get() as f64 / seconds;
    bench.found(Finding::new("guesses that were checked", rate, "a second", Bound::None));
    let rate = guessing.turned_away.get() as f64 / seconds;
    bench.found(Finding::new("guesses that were turned away", rate, "a second", Bound::None));
    bench.note_memory(name, process)
}

async fn fill(target: &Target, users: u64) -> Result<(), anyhow::Error> {
    add_user(target, "reader").await?;
    for number in 0..users {
        add_user(target, &name_of(number)).await?;
    }
    make_database(target, DATABASE).await?;
    let body = notes::bulk(Order::Random, 0..DOCUMENTS, 300);
    let mut connection = target.connect().await?;
    let bulk = target.json("POST", &format!("/{DATABASE}/_bulk_docs"), body.as_bytes());
    connection.expect(&bulk).await?;
    let security = br#"{"members":{"names":["reader"]}}"#;
    connection.expect(&target.json("PUT", &format!("/{DATABASE}/_security"), security)).await
}

/// Milliseconds of each read, in order of length.
async fn read(
    target: &Target,
    connections: &mut [Connection],
    time: Duration,
) -> Result<Vec<f64>, anyhow::Error> {
    let (begun, every) = (Instant::now(), Duration::from_secs(1) / (READS_PER_SECOND / READERS));
    let times = RefCell::new(Vec::new());
    let offsets = (0..).map(|turn| every / READERS * turn);
    let readers = connections.iter_mut().zip(offsets).map(async |(connection, offset)| {
        let mut due = begun + offset;
        while due < begun + time {
            sleep_until(due).await;
            let number = notes::mix(times.borrow().len() as u64) % DOCUMENTS;
            let request = target.get(&format!("/{DATABASE}/{}", Order::Random.id(number)));
            let sent = Instant::now();
            connection.expect(&request).await?;
            times.borrow_mut().push(sent.elapsed().as_secs_f64() * 1e3);
            due += every;
        }
        Ok::<_, anyhow::Error>(())
    });
    drop(try_join_all(readers).await?);
    let mut times = times.into_inner();
    if times.is_empty() {
        bail!("no read was answered in {time:?}");
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

impl Guessing<'_> {
    async fn guess(&self, users: u64, time: Duration) -> Result<(), anyhow::Error> {
        let (begun, next) = (Instant::now(), Cell::new(0));
        let guessers = (0..GUESSERS).map(async |_| {
            loop {
                let due = begun + Duration::from_secs(1) / GUESSES_PER_SECOND * next.get();
                if due >= begun + time {
                    return Ok::<_, anyhow::Error>(());
                }
                next.set(next.get() + 1);
                sleep_until(due).await;
                self.guess_once(users).await?;
            }
        });
        try_join_all(guessers).await.map(drop)
    }

    async fn guess_once(&self, users: u64) -> Result<(), anyhow::Error> {
        let number = self.sent.replace(self.sent.get() + 1);
        let password = format!("guess {number}");
        let target = self.process.target_as(Some((&name_of(number % users), &password)));
        let mut connection = target.connect_from(address_of(number / GUESSES_PER_ADDRESS)).await?;
        let reply = connection.ask(&target.get("/_session")).await?;
        let count = match reply.status {
            401 => &self.wrong,
            403 | 503 => &self.turned_away,
            status => bail!("a wrong password is answered with {status}"),
        };
        count.set(count.get() + 1);
        Ok(())
    }
}

fn name_of(number: u64) -> String {
    format!("user{number:04}")
}

/// From 127.1.0.1 on.
fn address_of(number: u64) -> Ipv4Addr {
    let [.., a, b, c] = (number + 1).to_be_bytes();
    Ipv4Addr::new(127, a + 1, b, c)
}
