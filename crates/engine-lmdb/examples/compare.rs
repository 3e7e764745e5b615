//! The engine beside bare LMDB, in one run: what the committer and the contract cost.
//!
//! `cargo run --release -p settle-engine-lmdb --example compare [seconds a measurement] [folder]`
//!
//! Both sides write and read the same rows: a document is a head of 600 bytes under a random key and
//! a change row of 80 bytes under an ordered one, and each batch rewrites a record of 60 bytes that
//! stands for the state of its database. Rounds alternate; the medians of five are compared.
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock and starts tasks")]
#![expect(clippy::print_stdout, reason = "it prints a table")]

use std::{
    error::Error,
    ops::Bound,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use heed::{CommitOrAbort, Database, Env, EnvOpenOptions, WithoutTls, types::Bytes};
use settle_engine::{
    Batch, Direction, Engine, Expected, Outcome, Plan, Scan, Step, Visit, Visitor,
};
use settle_engine_lmdb::{LmdbEngine, OpenOptions};

type Failure = Box<dyn Error>;

const ROUNDS: usize = 5;
const ROWS: u64 = 200_000;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().map_or(Ok(1.0), |text| text.parse())?;
    let parent = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let time = Duration::from_secs_f64(seconds);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;

    let (bare_dir, engine_dir) = (tempfile::tempdir_in(&parent)?, tempfile::tempdir_in(&parent)?);
    let bare = Arc::new(Bare::open(bare_dir.path())?);
    let engine: Arc<dyn Engine> = LmdbEngine::open(engine_dir.path(), &OpenOptions::default())?;
    fill(&bare, &engine, &runtime)?;

    println!("| a second | bare LMDB | engine | ratio | batches a group |\n|---|---|---|---|---|");
    type Side<'a> = Box<dyn FnMut() -> Result<f64, Failure> + 'a>;
    let (bare, engine, runtime) = (&bare, &engine, &runtime);
    let cases: Vec<(&str, Side<'_>, Side<'_>)> = vec![
        (
            "commits, 1 writer",
            Box::new(|| bare.commits(1, time)),
            Box::new(|| runtime.block_on(commits(engine, 1, 1, time))),
        ),
        (
            "commits, 16 writers",
            Box::new(|| bare.commits(16, time)),
            Box::new(|| runtime.block_on(commits(engine, 16, 1, time))),
        ),
        (
            "commits, 64 writers",
            Box::new(|| bare.commits(64, time)),
            Box::new(|| runtime.block_on(commits(engine, 64, 1, time))),
        ),
        (
            "documents, batches of 1000",
            Box::new(|| bare.bulk(1000, time)),
            Box::new(|| runtime.block_on(commits(engine, 1, 1000, time))),
        ),
        (
            "point reads, 1 reader",
            Box::new(|| bare.gets(time)),
            Box::new(|| runtime.block_on(gets(engine, 1, time))),
        ),
        (
            "point reads, 2 readers",
            Box::new(|| {
                std::thread::scope(|scope| {
                    let readers: Vec<_> = (0..2)
                        .map(|_| scope.spawn(|| bare.gets(time).map_err(|error| error.to_string())))
                        .collect();
                    let mut sum = 0.0;
                    for reader in readers {
                        sum += reader.join().expect("no panic")?;
                    }
                    Ok(sum)
                })
            }),
            Box::new(|| runtime.block_on(gets(engine, 2, time))),
        ),
        (
            "rows scanned",
            Box::new(|| bare.scan(time)),
            Box::new(|| runtime.block_on(scan(engine, time))),
        ),
        (
            "scans of 20 rows",
            Box::new(|| bare.short_scans(time)),
            Box::new(|| runtime.block_on(short_scans(engine, time))),
        ),
    ];
    for (name, mut left, mut right) in cases {
        let (mut lefts, mut rights) = (Vec::new(), Vec::new());
        let before = engine.stats();
        for _ in 0..ROUNDS {
            lefts.push(left()?);
            rights.push(right()?);
        }
        let (left, right) = (median(lefts), median(rights));
        let after = engine.stats();
        let (batches, commits) = (after.batches - before.batches, after.commits - before.commits);
        let group = if commits == 0 {
            String::new()
        } else {
            format!("{:.1}", batches as f64 / commits as f64)
        };
        println!("| {name} | {left:.0} | {right:.0} | {:.2} | {group} |", right / left);
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The next document: its number decides its keys.
static NEXT: AtomicU64 = AtomicU64::new(0);

fn head_key(number: u64) -> Vec<u8> {
    let mixed = (number ^ 0x9E37_79B9).wrapping_mul(0xBF58_476D_1CE4_E5B9).rotate_left(29);
    format!("h{:016x}{mixed:016x}", mixed.wrapping_mul(0x94D0_49BB_1331_11EB)).into_bytes()
}

fn change_key(number: u64) -> Vec<u8> {
    [&b"c"[..], &number.to_be_bytes()].concat()
}

fn state_key(writer: usize) -> Vec<u8> {
    format!("s{writer}").into_bytes()
}

const HEAD: [u8; 600] = [7; 600];
const CHANGE: [u8; 80] = [8; 80];

fn state(count: u64) -> Vec<u8> {
    let mut state = vec![9; 60];
    state[..8].copy_from_slice(&count.to_be_bytes());
    state
}

fn fill(
    bare: &Bare,
    engine: &Arc<dyn Engine>,
    runtime: &tokio::runtime::Runtime,
) -> Result<(), Failure> {
    for chunk in 0..ROWS / 1000 {
        let mut txn = bare.env.write_txn()?;
        let mut batch = Batch::default();
        for number in chunk * 1000..(chunk + 1) * 1000 {
            bare.rows.put(&mut txn, &head_key(number), &HEAD)?;
            bare.rows.put(&mut txn, &change_key(number), &CHANGE)?;
            batch.put(head_key(number), HEAD.to_vec());
            batch.put(change_key(number), CHANGE.to_vec());
        }
        txn.commit()?;
        assert_eq!(runtime.block_on(engine.commit(batch)), Outcome::Committed);
    }
    NEXT.store(ROWS, Ordering::Relaxed);
    Ok(())
}

struct Bare {
    env: Env<WithoutTls>,
    rows: Database<'static, Bytes, Bytes>,
}

impl Bare {
    #[expect(unsafe_code, reason = "opening a map is unsafe; nobody else has this file")]
    fn open(dir: &Path) -> Result<Self, Failure> {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(1 << 40).max_readers(1024);
        // SAFETY: a fresh folder of our own.
        let env = unsafe { options.open(dir)? };
        let txn = env.write_txn()?;
        let rows = env
            .create_databases_and_commit(txn, |opener, txn| {
                let rows = opener.create_database::<Bytes, Bytes>(txn, None)?;
                Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(rows))
            })?
            .unwrap_commit();
        Ok(Self { env, rows })
    }

    /// Groups as full as so many writers can make them, with nothing between two commits.
    fn commits(&self, writers: usize, time: Duration) -> Result<f64, Failure> {
        let (start, mut count) = (Instant::now(), 0);
        while start.elapsed() < time {
            let mut txn = self.env.write_txn()?;
            for writer in 0..writers {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                let _before = self.rows.get(&txn, &state_key(writer))?.map(<[u8]>::to_vec);
                self.rows.put(&mut txn, &head_key(number), &HEAD)?;
                self.rows.put(&mut txn, &change_key(number), &CHANGE)?;
                self.rows.put(&mut txn, &state_key(writer), &state(number))?;
                count += 1;
            }
            txn.commit()?;
        }
        Ok(f64::from(count) / start.elapsed().as_secs_f64())
    }

    fn bulk(&self, documents: u32, time: Duration) -> Result<f64, Failure> {
        let (start, mut count) = (Instant::now(), 0);
        while start.elapsed() < time {
            let mut txn = self.env.write_txn()?;
            for _ in 0..documents {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                self.rows.put(&mut txn, &head_key(number), &HEAD)?;
                self.rows.put(&mut txn, &change_key(number), &CHANGE)?;
            }
            self.rows.put(&mut txn, &state_key(0), &state(0))?;
            txn.commit()?;
            count += documents;
        }
        Ok(f64::from(count) / start.elapsed().as_secs_f64())
    }

    fn gets(&self, time: Duration) -> Result<f64, Failure> {
        let (start, mut count) = (Instant::now(), 0_u32);
        while start.elapsed() < time {
            for _ in 0..100 {
                let txn = self.env.read_txn()?;
                let key = head_key(u64::from(count).wrapping_mul(7919) % ROWS);
                let value = self.rows.get(&txn, &key)?.map(<[u8]>::to_vec);
                assert!(value.is_some());
                count += 1;
            }
        }
        Ok(f64::from(count) / start.elapsed().as_secs_f64())
    }

    fn scan(&self, time: Duration) -> Result<f64, Failure> {
        let (start, mut count, mut sum) = (Instant::now(), 0_u32, 0_usize);
        while start.elapsed() < time {
            let txn = self.env.read_txn()?;
            let range: (Bound<&[u8]>, Bound<&[u8]>) =
                (Bound::Included(b"c"), Bound::Excluded(b"d"));
            for row in self.rows.range(&txn, &range)? {
                let (_, value) = row?;
                sum += value.len();
                count += 1;
            }
        }
        assert!(sum > 0);
        Ok(f64::from(count) / start.elapsed().as_secs_f64())
    }

    fn short_scans(&self, time: Duration) -> Result<f64, Failure> {
        let (start, mut count, mut sum) = (Instant::now(), 0_u32, 0_usize);
        while start.elapsed() < time {
            let txn = self.env.read_txn()?;
            let from = change_key(u64::from(count).wrapping_mul(7919) % ROWS);
            let range: (Bound<&[u8]>, Bound<&[u8]>) =
                (Bound::Included(&from), Bound::Excluded(b"d"));
            for row in self.rows.range(&txn, &range)?.take(20) {
                sum += row?.1.len();
            }
            count += 1;
        }
        assert!(sum > 0);
        Ok(f64::from(count) / start.elapsed().as_secs_f64())
    }
}

async fn commits(
    engine: &Arc<dyn Engine>,
    writers: usize,
    documents: u32,
    time: Duration,
) -> Result<f64, Failure> {
    let start = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let engine = Arc::clone(engine);
            tokio::spawn(async move {
                let mut before = engine.get(state_key(writer)).await.expect("reads");
                let mut count = 0;
                while start.elapsed() < time {
                    let mut batch = Batch::default();
                    let expected = before.take().map_or(Expected::Absent, Expected::Equals);
                    batch.require(state_key(writer), expected);
                    let mut number = 0;
                    for _ in 0..documents {
                        number = NEXT.fetch_add(1, Ordering::Relaxed);
                        batch.put(head_key(number), HEAD.to_vec());
                        batch.put(change_key(number), CHANGE.to_vec());
                    }
                    batch.put(state_key(writer), state(number));
                    before = Some(state(number));
                    assert_eq!(engine.commit(batch).await, Outcome::Committed);
                    count += documents;
                }
                count
            })
        })
        .collect();
    let mut sum = 0;
    for task in tasks {
        sum += task.await?;
    }
    Ok(f64::from(sum) / start.elapsed().as_secs_f64())
}

async fn gets(engine: &Arc<dyn Engine>, readers: u32, time: Duration) -> Result<f64, Failure> {
    let start = Instant::now();
    let tasks: Vec<_> = (0..readers)
        .map(|_| {
            let engine = Arc::clone(engine);
            tokio::spawn(async move {
                let mut count = 0_u32;
                while start.elapsed() < time {
                    for _ in 0..100 {
                        let key = head_key(u64::from(count).wrapping_mul(7919) % ROWS);
                        assert!(engine.get(key).await.expect("reads").is_some());
                        count += 1;
                    }
                }
                count
            })
        })
        .collect();
    let mut sum = 0;
    for task in tasks {
        sum += task.await?;
    }
    Ok(f64::from(sum) / start.elapsed().as_secs_f64())
}

#[derive(Default)]
struct Lengths {
    rows: u32,
    rows_max: u32,
    bytes: usize,
}

impl Visitor for Lengths {
    fn visit(&mut self, _: usize, _: &[u8], value: Option<&[u8]>) -> Visit {
        self.rows += 1;
        self.bytes += value.map_or(0, <[u8]>::len);
        if self.rows == self.rows_max { Visit::Stop } else { Visit::Next }
    }
}

async fn scan(engine: &Arc<dyn Engine>, time: Duration) -> Result<f64, Failure> {
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < time {
        let plan = Plan::new(vec![Step::Scan(Scan::prefix(b"c", Direction::Ascending))]);
        let lengths = engine.read_to_end(plan, Lengths::default()).await?;
        assert!(lengths.bytes > 0);
        count += lengths.rows;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

async fn short_scans(engine: &Arc<dyn Engine>, time: Duration) -> Result<f64, Failure> {
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < time {
        let from = change_key(u64::from(count).wrapping_mul(7919) % ROWS);
        let scan = Scan {
            start: Bound::Included(from),
            end: Bound::Excluded(b"d".to_vec()),
            direction: Direction::Ascending,
        };
        let lengths = Lengths { rows_max: 20, ..Lengths::default() };
        let plan = Plan::new(vec![Step::Scan(scan)]);
        let (lengths, _) = engine.read(plan, lengths).await?;
        assert!(lengths.bytes > 0);
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}
