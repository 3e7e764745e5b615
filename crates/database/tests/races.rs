//! What two do at once comes to what one after the other would have done.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::disallowed_methods, reason = "a test waits for what it spawns")]

mod support;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use proptest::prelude::*;
use settle_database::{
    Atomicity, ChangeFilter, ChangeRow, ChangeScan, EditError, Epochs, EventScan, More, Next, Sink,
};
use settle_engine::{
    Batch, BoxFuture, Direction, Engine, Outcome, Plan, ReadResult, Visitor,
    around::Around,
    faulty::{Fault, FaultyEngine, Kind},
    memory::MemoryEngine,
};
use settle_model::{revision::RevId, revision_hash};
use tokio::sync::Notify;

use crate::support::{TestDatabase, TestStore, delete, put, server};

/// An engine that keeps back one reply.
#[derive(Debug)]
struct Gate {
    inner: Arc<dyn Engine>,
    /// Replies of this kind to let pass, and the hold on the one after them.
    armed: Mutex<Option<(Kind, usize, Arc<Hold>)>>,
}

#[derive(Debug, Default)]
struct Hold {
    reached: Notify,
    released: Notify,
}

impl Gate {
    fn new(inner: Arc<dyn Engine>) -> Arc<Self> {
        Arc::new(Self { inner, armed: Mutex::new(None) })
    }

    /// Keeps back the reply to the operation of this kind that comes after so many others.
    fn hold(&self, kind: Kind, after: usize) -> Arc<Hold> {
        let hold = Arc::new(Hold::default());
        *self.armed.lock().unwrap() = Some((kind, after, hold.clone()));
        hold
    }

    fn meet(&self, kind: Kind) -> Option<Arc<Hold>> {
        let mut armed = self.armed.lock().unwrap();
        match armed.as_mut() {
            Some((of, 0, _)) if *of == kind => armed.take().map(|(_, _, hold)| hold),
            Some((of, after, _)) if *of == kind => {
                *after -= 1;
                None
            }
            Some(_) | None => None,
        }
    }
}

impl Hold {
    async fn pass(&self) {
        self.reached.notify_one();
        self.released.notified().await;
    }
}

impl Around for Gate {
    fn inner(&self) -> &dyn Engine {
        &*self.inner
    }

    fn around_read(&self, plan: Plan, visitor: Box<dyn Visitor>) -> BoxFuture<'_, ReadResult> {
        let hold = self.meet(Kind::Read);
        Box::pin(async move {
            let result = self.inner.read_boxed(plan, visitor).await;
            if let Some(hold) = hold {
                hold.pass().await;
            }
            result
        })
    }

    fn around_commit(&self, batch: Batch) -> BoxFuture<'static, Outcome> {
        let (hold, committed) = (self.meet(Kind::Commit), self.inner.commit(batch));
        Box::pin(async move {
            let outcome = committed.await;
            if let Some(hold) = hold {
                hold.pass().await;
            }
            outcome
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_dropped_while_it_is_opened_is_not_open() {
    let memory: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let first = TestStore::on(memory.clone()).await;
    first.create("notes").await;
    first.store.close().await;

    let gate = Gate::new(memory);
    let store = TestStore::on(gate.clone()).await;
    // Background work has had its look round.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let name: settle_model::id::DatabaseName = "notes".parse().unwrap();
    // The first read finds the number, the second the records.
    let hold = gate.hold(Kind::Read, 1);
    let found = tokio::spawn({
        let (store, name) = (store.store.clone(), name.clone());
        async move { store.find(&name).await.unwrap() }
    });
    hold.reached.notified().await;
    store.store.drop(&server(), &name).await.unwrap();
    hold.released.notify_one();
    assert!(found.await.unwrap().is_none());
    assert!(store.store.find(&name).await.unwrap().is_none());
}

#[tokio::test]
async fn the_security_object_is_the_one_that_was_set_last() {
    let gate = Gate::new(Arc::new(MemoryEngine::new()));
    let store = TestStore::on(gate.clone()).await;
    let db = Arc::new(store.create("notes").await);
    let hold = gate.hold(Kind::Commit, 0);
    let set = |object: &'static [u8]| {
        let db = db.clone();
        tokio::spawn(async move { db.db.set_security(&db.admin, object.to_vec()).await.unwrap() })
    };
    let first = set(b"{\"n\":1}");
    hold.reached.notified().await;
    let second = set(b"{\"n\":2}");
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    hold.released.notify_one();
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(db.db.security().unwrap(), b"{\"n\":2}");
    assert_eq!(db.db.epochs().security, 2);
}

#[tokio::test]
async fn a_change_of_design_leaves_a_newer_security_object_in_place() {
    let gate = Gate::new(Arc::new(MemoryEngine::new()));
    let store = TestStore::on(gate.clone()).await;
    let db = Arc::new(store.create("notes").await);
    let hold = gate.hold(Kind::Commit, 0);
    let design = tokio::spawn({
        let db = db.clone();
        async move { db.put("_design/d", None, "{}").await.unwrap() }
    });
    hold.reached.notified().await;
    let secure = tokio::spawn({
        let db = db.clone();
        async move { db.db.set_security(&db.admin, b"{}".to_vec()).await.unwrap() }
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    hold.released.notify_one();
    design.await.unwrap();
    secure.await.unwrap();
    assert_eq!(db.db.security().unwrap(), b"{}");
    assert_eq!(db.db.epochs(), Epochs { design: 1, security: 1 });
}

#[tokio::test]
async fn a_drop_whose_outcome_is_unknown_is_looked_up() {
    let engine = Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())));
    let store = TestStore::on(engine.clone()).await;
    let name = "notes".parse().unwrap();
    for applied in [false, true] {
        let fault = Fault::Unknown { applied, halts: false };
        if store.store.find(&name).await.unwrap().is_none() {
            store.create("notes").await;
        }
        engine.fail_next(Kind::Commit, fault);
        assert_eq!(store.store.drop(&server(), &name).await.is_ok(), applied);
        assert_eq!(store.store.find(&name).await.unwrap().is_none(), applied);
    }
    for applied in [false, true] {
        engine.fail_next(Kind::Commit, Fault::Unknown { applied, halts: false });
        let created = store.store.create(&server(), &name, Default::default()).await;
        assert_eq!(created.is_ok(), applied, "{created:?}");
    }
    for applied in [false, true] {
        let db = TestDatabase::new(store.store.find(&name).await.unwrap().unwrap());
        engine.fail_next(Kind::Commit, Fault::Unknown { applied, halts: false });
        assert_eq!(db.db.set_revs_limit(&db.admin, 7).await.is_ok(), applied);
        assert_eq!(db.db.revs_limit(&db.read) == 7, applied);
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_could_not_be_written_are_written_later() {
    let engine = Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())));
    let store = TestStore::on(engine.clone()).await;
    store.create("notes").await;
    engine.fail_next(Kind::Commit, Fault::Fails { storage_full: true });
    tokio::time::sleep(std::time::Duration::from_secs(30)).await;
    let grant = settle_access::Grant::internal(settle_access::Resource::Server, "a test");
    let scan = EventScan { since: 0, until: u64::MAX, direction: Direction::Ascending, limit: 10 };
    let page = store.store.events(&grant, scan).await.unwrap();
    let kinds: Vec<_> = page.events.iter().map(|event| format!("{:?}", event.kind)).collect();
    assert_eq!(kinds, ["Created"]);
}

const IDS: [&str; 3] = ["a", "b", "c"];

/// What a writer does in turn: an edit of what it last knew of a document, or of nothing.
#[derive(Debug, Clone, Copy)]
struct Wish {
    id: usize,
    deleted: bool,
    /// Edits what it knew before the last time.
    stale: bool,
}

fn wishes() -> impl Strategy<Value = Vec<Vec<Vec<Wish>>>> {
    let wish = (0..IDS.len(), prop::bool::weighted(0.3), prop::bool::weighted(0.2))
        .prop_map(|(id, deleted, stale)| Wish { id, deleted, stale });
    let write = prop::collection::vec(wish, 1..4);
    prop::collection::vec(prop::collection::vec(write, 1..8), 2..6)
}

#[derive(Debug, Clone)]
struct Attempt {
    id: &'static str,
    base: Option<RevId>,
    deleted: bool,
    body: String,
    result: Result<RevId, EditError>,
}

/// One writer. It learns of others' edits only by reading after a refusal.
async fn write(db: Arc<TestDatabase>, writer: usize, turns: Vec<Vec<Wish>>) -> Vec<Attempt> {
    let mut known: BTreeMap<&str, Vec<RevId>> = BTreeMap::new();
    let mut attempts = Vec::new();
    for (turn, wishes) in turns.into_iter().enumerate() {
        let mut edits = Vec::new();
        let mut asked = Vec::new();
        for (n, wish) in wishes.into_iter().enumerate() {
            let id = IDS[wish.id];
            let revs = known.get(id).map_or(&[][..], Vec::as_slice);
            let base = revs.iter().rev().nth(usize::from(wish.stale)).cloned();
            let body = format!(r#"{{"by":"{writer}-{turn}-{n}"}}"#);
            let deleted = wish.deleted && base.is_some();
            let edit =
                if deleted { delete(id, base.as_ref()) } else { put(id, base.as_ref(), &body) };
            edits.push(edit);
            asked.push((id, base, deleted, if deleted { "{}".to_owned() } else { body }));
        }
        let results = db.db.write(&db.write, edits, Atomicity::EachAlone).await.unwrap();
        for ((id, base, deleted, body), result) in asked.into_iter().zip(results) {
            let result = result.map(|written| written.rev);
            match &result {
                Ok(rev) => known.entry(id).or_default().push(rev.clone()),
                Err(_) => {
                    let id = id.parse().unwrap();
                    let all = settle_database::OpenRevs::All;
                    let leaves =
                        db.db.open_revs(&db.read, &id, &all, false, Default::default()).await;
                    let newest = leaves.ok().and_then(|it| it.into_iter().next());
                    if let Some(newest) = newest {
                        let rev = newest.unwrap().rev;
                        known.entry(asked_id(&id)).or_default().push(rev);
                    }
                }
            }
            attempts.push(Attempt { id, base, deleted, body, result });
        }
    }
    attempts
}

fn asked_id(id: &settle_model::id::DocumentId) -> &'static str {
    IDS.into_iter().find(|known| *known == id.as_str()).unwrap()
}

#[derive(Default)]
struct Rows(Vec<(String, RevId)>);

impl Sink<ChangeRow<'_>> for Rows {
    fn row(&mut self, row: &ChangeRow<'_>) -> More {
        assert_eq!(row.leaves.len(), 1, "writers that edit leaves make no branches");
        self.0.push((row.id.to_owned(), row.leaves[0].0.clone()));
        More::Yes
    }
}

/// The accepted edits of each document are one chain, in which each was made of the one before: so
/// there is an order in which every base was the leaf. Whoever was refused had another base than the
/// newest at some moment.
async fn run(turns: Vec<Vec<Vec<Wish>>>) {
    let store = TestStore::new().await;
    let db = Arc::new(store.create("notes").await);
    let mut tasks = tokio::task::JoinSet::new();
    for (writer, turns) in turns.into_iter().enumerate() {
        tasks.spawn(write(db.clone(), writer, turns));
    }
    let attempts = tasks.join_all().await.concat();
    let accepted: Vec<_> =
        attempts.iter().filter_map(|it| Some((it, it.result.as_ref().ok()?))).collect();
    let info = db.db.info(&db.read).await.unwrap();
    assert_eq!(info.sequence, accepted.len() as u64, "every accepted edit took one sequence");

    let mut rows = Rows::default();
    let (only, direction) = (ChangeFilter::All, Direction::Ascending);
    let scan = ChangeScan {
        since: 0,
        until: info.sequence,
        direction,
        content: false,
        times: false,
        only,
    };
    let next;
    (rows, next) = db.db.scan_changes(&db.read, &scan, rows).await.unwrap();
    assert_eq!(next, Next::Done);
    for id in IDS {
        let mut chain: Vec<_> = accepted.iter().filter(|(attempt, _)| attempt.id == id).collect();
        chain.sort_by_key(|(_, rev)| rev.generation());
        let mut newest: Option<(&RevId, bool)> = None;
        for (attempt, rev) in chain {
            let parent = newest.map(|(rev, _)| rev);
            match (&attempt.base, newest) {
                (Some(base), _) => assert_eq!(Some(base), parent),
                (None, None) => {}
                (None, Some((_, deleted))) => assert!(deleted, "{attempt:?}"),
            }
            let expected =
                revision_hash::next(attempt.deleted, parent, attempt.body.as_bytes(), &[]);
            assert_eq!(Some((*rev).clone()), expected);
            newest = Some((rev, attempt.deleted));
        }
        let row = rows.0.iter().find(|(row, _)| row == id).map(|(_, rev)| rev);
        assert_eq!(row, newest.map(|(rev, _)| rev));
    }
    for attempt in attempts {
        if let Err(error) = attempt.result {
            assert!(matches!(error, EditError::Conflict | EditError::Deleted), "{error}");
        }
    }
    db.audit().await;
    store.store.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_writers_do_at_once_could_have_been_done_one_after_the_other(turns in wishes()) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(run(turns));
    }
}
