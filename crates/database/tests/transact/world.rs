//! A database, and exchanges in short.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use expect_test::Expect;
use settle_database::{Extras, Fate, Judgement, Select, Submitted, Transactions, Verdict};
use settle_engine::{
    Batch, BoxFuture, Direction, Engine, Outcome, Plan, Scan, Step, Visit, Visitor, around::Around,
    key::take_number, memory::MemoryEngine,
};
use settle_transact::Exchange;

use crate::support::{TestDatabase, TestStore, replicated};

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) store: TestStore,
    pub(crate) database: TestDatabase,
    engine: Arc<Counting>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let engine =
            Arc::new(Counting { inner: Arc::new(MemoryEngine::new()), commits: AtomicU64::new(0) });
        let store = TestStore::on(engine.clone()).await;
        let database = store.create("notes").await;
        Self { store, database, engine }
    }

    pub(crate) fn commits(&self) -> u64 {
        self.engine.commits.load(Ordering::SeqCst)
    }

    /// Sends transactions as a client; `who` is its name, and a mode behind it. Their outcomes, a line each.
    pub(crate) async fn ask(&self, who: &str, transactions: &str) -> String {
        let fates = ask(&self.database, who, transactions).await;
        fates.iter().map(said).collect::<Vec<_>>().join("\n")
    }

    /// The body of a document, `-` where there is none.
    pub(crate) async fn show(&self, id: &str) -> String {
        show(&self.database, id).await
    }

    /// Rows of a family of the database.
    pub(crate) async fn rows(&self, family: u8) -> usize {
        let number = self.database.db.number();
        self.count(move |owner, found| owner == number && found == family).await
    }

    /// Rows of a family of the site.
    pub(crate) async fn store_rows(&self, family: u8) -> usize {
        self.count(move |owner, found| owner == 0 && found == family).await
    }

    async fn count(&self, is_one: impl Fn(u64, u8) -> bool + Send + 'static) -> usize {
        let all = Scan {
            start: std::ops::Bound::Unbounded,
            end: std::ops::Bound::Unbounded,
            direction: Direction::Ascending,
        };
        let rows = Rows { is_one, count: 0 };
        let plan = Plan::new(vec![Step::Scan(all)]);
        let engine: &dyn Engine = &*self.engine;
        engine.read_to_end(plan, rows).await.unwrap().count
    }
}

struct Rows<F> {
    is_one: F,
    count: usize,
}

impl<F: Fn(u64, u8) -> bool + Send + 'static> Visitor for Rows<F> {
    fn visit(&mut self, _: usize, key: &[u8], _: Option<&[u8]>) -> Visit {
        let (owner, rest) = take_number(key).unwrap();
        self.count += usize::from((self.is_one)(owner, rest[0]));
        Visit::Next
    }
}

pub(crate) async fn ask(database: &TestDatabase, who: &str, transactions: &str) -> Vec<Fate> {
    try_ask(database, who, transactions).await.unwrap()
}

pub(crate) async fn try_ask(
    database: &TestDatabase,
    who: &str,
    transactions: &str,
) -> Result<Vec<Fate>, settle_database::StorageError> {
    let (client, mode) = who.split_once(' ').unwrap_or((who, "stop"));
    let list = transactions.replace("} {\"id\"", "},{\"id\"");
    let text = format!(r#"{{"client":"{client}","mode":"{mode}","transactions":[{list}]}}"#);
    let exchange =
        Exchange::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
    let list = exchange.transactions.into_iter();
    let list = list
        .map(|transaction| Submitted {
            transaction,
            attachments: Vec::new(),
            no_room: None,
            called: None,
        })
        .collect();
    let transactions =
        Arc::new(Transactions::new(Some("ada"), exchange.client, exchange.mode, list));
    let (all, judgement) = (0..transactions.list.len(), Judgement::Unasked(Verdict::NONE));
    database.db.transact(&database.write, &transactions, all, &judgement).await
}

pub(crate) fn said(fate: &Fate) -> String {
    match fate {
        Fate::Decided { answer, .. } => String::from_utf8(answer.clone()).unwrap(),
        Fate::Reused | Fate::Aborted | Fate::NotAttempted | Fate::Overtaken | Fate::Later => {
            format!("{fate:?}")
        }
    }
}

pub(crate) async fn show(database: &TestDatabase, id: &str) -> String {
    let id = id.parse().unwrap();
    match database.db.get(&database.read, &id, &Select::Winner, Extras::default()).await {
        Ok(found) => String::from_utf8(found.body.to_vec()).unwrap(),
        Err(_) => "-".to_owned(),
    }
}

/// Lines such as `put a {…}` (on whatever is there), `graft a 2-b:1-a {…}`, `show a b`, or the name of a client, a
/// mode if it is not `stop`, and transactions.
pub(crate) async fn check(lines: &[&str], expected: Expect) {
    let world = World::new().await;
    let mut seen = String::new();
    for line in lines {
        writeln!(seen, "> {line}").unwrap();
        match *line.split(' ').collect::<Vec<_>>() {
            ["show", ref ids @ ..] => {
                for id in ids {
                    writeln!(seen, "{id} {}", world.show(id).await).unwrap();
                }
            }
            ["put", id, body] => {
                let database = &world.database;
                let id_of = id.parse().unwrap();
                let found =
                    database.db.get(&database.read, &id_of, &Select::Winner, Extras::default());
                let base = found.await.ok().map(|found| found.rev);
                database.put(id, base.as_ref(), body).await.unwrap();
            }
            ["graft", id, path, body] => {
                let start = path.split_once('-').unwrap().0;
                let names: Vec<&str> =
                    path.split(':').map(|rev| rev.split_once('-').unwrap().1).collect();
                let revs = format!("{start} {}", names.join(" "));
                world.database.one(replicated(id, &revs, false, body)).await.unwrap();
            }
            _ => {
                let (who, transactions) = line.split_once(" {").unwrap();
                let outcomes = world.ask(who, &format!("{{{transactions}")).await;
                writeln!(seen, "{outcomes}").unwrap();
            }
        }
    }
    world.database.audit().await;
    expected.assert_eq(&seen);
}

/// All at once, on this task.
pub(crate) async fn all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.map(|it| (Box::pin(it), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_done = true;
        for (future, output) in &mut futures {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(done) => *output = Some(done),
                    std::task::Poll::Pending => is_done = false,
                }
            }
        }
        if is_done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    futures.into_iter().map(|(_, output)| output.unwrap()).collect()
}

/// An engine that counts its commits, and lets others go on before it makes one.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn Engine>,
    commits: AtomicU64,
}

impl Around for Counting {
    fn inner(&self) -> &dyn Engine {
        &*self.inner
    }

    fn around_commit(&self, batch: Batch) -> BoxFuture<'static, Outcome> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        let committed = self.inner.commit(batch);
        Box::pin(async move {
            tokio::task::yield_now().await;
            committed.await
        })
    }
}
