//! How fast rows are loaded and reduced: the figures that the issue of queries asks for.
//!
//! `cargo run --release -p settle-index --example tree [rows] [folder]`
//!
//! Times are CPU time of all threads, so that neighbours on the machine do not count.
#![expect(clippy::print_stdout, reason = "it prints a table")]

use std::{error::Error, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use settle_database::{Direction, More, Next, Sink};
use settle_engine::{Batch, Engine, Outcome, memory::MemoryEngine};
use settle_engine_lmdb::{LmdbEngine, OpenOptions};
use settle_index::tree::{
    Edge, Grouping, NewRow, Range, ReduceScan, Reducers, RowKey, RowScan, ShapeKey, Tree, TreeRow,
};
use settle_query::{
    collate::{self, Collation},
    design::ReduceSource,
    reduce::Native,
};

type Failure = Box<dyn Error>;

const SHAPE: ShapeKey = ShapeKey([3; 32]);
const GROUPS: u64 = 1_000;
const COMMIT_BYTES: usize = 1 << 20;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let rows = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let parent = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(parent)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let lmdb: Arc<dyn Engine> = LmdbEngine::open(folder.path(), &OpenOptions::default())?;
    let memory: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    println!("| {rows} rows | memory | LMDB |\n|---|---|---|");
    let mut columns = Vec::new();
    for engine in [memory, lmdb] {
        columns.push(runtime.block_on(measure(&*engine, rows))?);
    }
    let [memory, lmdb] = &columns[..] else { return Err("two columns".into()) };
    for ((name, left), (_, right)) in memory.iter().zip(lmdb) {
        println!("| {name} | {left} | {right} |");
    }
    Ok(())
}

fn key(n: u64, rows: u64) -> String {
    format!("[{},{n}]", n * GROUPS / rows)
}

fn row(n: u64, rows: u64) -> NewRow {
    let key = key(n, rows);
    let mut sort_key = Vec::with_capacity(32);
    collate::push_sort_key(&mut sort_key, key.as_bytes(), Collation::Unicode);
    NewRow {
        sort_key,
        id: format!("invoice-{n:012}"),
        n: 0,
        key: key.into(),
        value: Bytes::from((n % 1_000).to_string()),
    }
}

async fn commit(
    engine: &dyn Engine,
    operations: Vec<settle_engine::Operation>,
) -> Result<(), Failure> {
    match engine.commit(Batch { operations, ..Batch::default() }).await {
        Outcome::Committed => Ok(()),
        outcome @ (Outcome::Refused { .. }
        | Outcome::NotApplied { .. }
        | Outcome::Unknown { .. }) => Err(format!("{outcome:?}").into()),
    }
}

async fn measure(engine: &dyn Engine, rows: u64) -> Result<Vec<(&'static str, String)>, Failure> {
    let list = [Native::Sum, Native::Count].map(ReduceSource::Native);
    let tree = Tree::new(b"tree".to_vec(), Reducers::new(list.into(), None));
    let mut table = Vec::new();

    let begun = Cpu::now()?;
    let mut loader = tree.loader(&SHAPE);
    let mut operations = Vec::new();
    let mut committing = Duration::ZERO;
    for n in 0..rows {
        loader.push(row(n, rows).lend())?;
        if loader.waiting_bytes() > COMMIT_BYTES {
            loader.drain(&mut operations).await?;
            let begun = Cpu::now()?;
            commit(engine, std::mem::take(&mut operations)).await?;
            committing += begun.elapsed()?;
        }
    }
    loader.finish(&mut operations).await?;
    commit(engine, operations).await?;
    let whole = begun.elapsed()?;
    table.push(("load, rows a second", per_second(rows, whole)));
    table.push(("… without commits", per_second(rows, whole - committing)));

    let scan = |range, grouping| ReduceScan {
        range,
        reducer: 0,
        grouping,
        direction: Direction::Ascending,
        skip: 0,
        limit: u64::MAX,
        partition: Vec::new(),
        collation: Collation::Unicode,
    };
    let mut visits = 0;
    let begun = Cpu::now()?;
    for step in 0..1_000_u64 {
        let (left, right) = (step * 7_919_777 % rows, step * 104_729_313 % rows);
        let range = between(left.min(right), left.max(right), rows);
        let (reduced, _) = tree.reduce(engine, scan(range, Grouping::All)).await?;
        visits += reduced.visits;
    }
    table.push(("reduce of a random range, mean", format!("{:?}", begun.elapsed()? / 1_000)));
    table.push(("… rows and entries read, mean", (visits / 1_000).to_string()));

    for (name, grouping) in [
        ("group_level=1, 1,000 groups", Grouping::Level(1)),
        ("group=true, a group a row", Grouping::Exact),
    ] {
        let times = if grouping == Grouping::Exact { 3 } else { 40 };
        let begun = Cpu::now()?;
        for _ in 0..times {
            let mut next = Next::Go(scan(Range::default(), grouping));
            while let Next::Go(scan) = next {
                next = tree.reduce(engine, scan).await?.1;
            }
        }
        table.push((name, format!("{:?}", begun.elapsed()? / times)));
    }

    let begun = Cpu::now()?;
    for step in 0..1_000_u64 {
        let n = step * 7_919_777 % rows;
        let range = between(n, n, rows);
        let scan = RowScan { range, direction: Direction::Ascending, skip: 0, limit: 10 };
        let (taken, place, _) = tree.rows_and_place(engine, scan, Taken(0)).await?;
        assert_eq!((taken.0, place.offset), (1, n));
    }
    table.push(("one row with total and offset, mean", format!("{:?}", begun.elapsed()? / 1_000)));

    let begun = Cpu::now()?;
    let range = Range::default();
    let scan = RowScan { range, direction: Direction::Ascending, skip: 0, limit: u64::MAX };
    let mut next = Next::Go(scan);
    let mut taken = Taken(0);
    while let Next::Go(scan) = next {
        (taken, next) = tree.rows(engine, scan, taken).await?;
    }
    assert_eq!(taken.0, rows);
    table.push(("rows in order, a second", per_second(rows, begun.elapsed()?)));

    for (name, each) in
        [("random changes in batches of 1,000, a second", 1_000), ("… of 10", 10_u64)]
    {
        let begun = Cpu::now()?;
        for batch in 0..20_u64 {
            let changed = (0..each).map(|n| (batch * each + n) * 7_919_777 % rows);
            let (mut puts, mut deletes) = (Vec::new(), Vec::new());
            for n in changed {
                let NewRow { sort_key, id, n: number, key, .. } = row(n, rows);
                deletes.push(RowKey { sort_key: sort_key.clone(), id: id.clone(), n: number });
                puts.push(NewRow { sort_key, id, n: number, key, value: Bytes::from_static(b"7") });
            }
            let mut operations = Vec::new();
            tree.apply(engine, &SHAPE, puts, deletes, &mut operations).await?;
            commit(engine, operations).await?;
        }
        table.push((name, per_second(20 * each, begun.elapsed()?)));
    }
    Ok(table)
}

fn between(start: u64, end: u64, rows: u64) -> Range {
    let sort_key = |n| {
        let mut out = Vec::new();
        collate::push_sort_key(&mut out, key(n, rows).as_bytes(), Collation::Unicode);
        out
    };
    Range {
        start: Edge::Before { sort_key: sort_key(start), id: None },
        end: Edge::After { sort_key: sort_key(end), id: None },
    }
}

/// CPU time of this process so far.
#[derive(Debug, Clone, Copy)]
struct Cpu(Duration);

impl Cpu {
    fn now() -> Result<Self, Failure> {
        let mut sum = 0;
        for thread in std::fs::read_dir("/proc/self/task")? {
            let path = thread?.path().join("schedstat");
            let text = std::fs::read_to_string(path)?;
            sum += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(Self(Duration::from_nanos(sum)))
    }

    fn elapsed(self) -> Result<Duration, Failure> {
        Ok(Self::now()?.0.saturating_sub(self.0))
    }
}

struct Taken(u64);

impl<'r> Sink<TreeRow<'r>> for Taken {
    fn row(&mut self, _: &TreeRow<'r>) -> More {
        self.0 += 1;
        More::Yes
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
fn per_second(count: u64, time: Duration) -> String {
    format!("{:.0}", count as f64 / time.as_secs_f64())
}
