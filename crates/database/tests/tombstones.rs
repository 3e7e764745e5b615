//! Tombstones that go: never one that somebody needs who is known, and all of them once nobody does.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use proptest::prelude::*;
use settle_database::{
    ChangeFilter, ChangeRow, ChangeScan, Direction, More, Next, Retention, Sink, SnapshotName,
    Tombstones,
};
use settle_engine::{Engine, memory::MemoryEngine};
use settle_model::{
    revision::RevId,
    time::{Clock as _, Timestamp},
};
use tokio::runtime::Builder;

use crate::support::{TestDatabase, TestStore, delete, put, replicated};

const IDS: [&str; 6] = ["a", "b", "c", "_design/d", "e", "f"];
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Rows of the feed: sequence, document, winner, and whether that is a tombstone.
#[derive(Default)]
struct Rows(Vec<(u64, String, RevId, bool)>);

impl Sink<ChangeRow<'_>> for Rows {
    fn row(&mut self, row: &ChangeRow<'_>) -> More {
        let (rev, deleted) = row.leaves.first().unwrap().clone();
        self.0.push((row.sequence, row.id.to_owned(), rev, deleted));
        More::Yes
    }
}

async fn feed(db: &TestDatabase, since: u64) -> Vec<(u64, String, RevId, bool)> {
    let mut scan = ChangeScan {
        since,
        until: u64::MAX,
        direction: Direction::Ascending,
        content: false,
        times: false,
        only: ChangeFilter::All,
    };
    let mut rows = Rows::default();
    loop {
        let next;
        (rows, next) = db.db.scan_changes(&db.read, &scan, rows).await.unwrap();
        match next {
            Next::Done => return rows.0,
            Next::Go(cursor) => scan.since = cursor.at,
        }
    }
}

/// Tombstones, by document, with their sequences.
async fn tombstones(db: &TestDatabase) -> BTreeMap<String, u64> {
    let rows = feed(db, 0).await.into_iter();
    rows.filter(|row| row.3).map(|(sequence, id, ..)| (id, sequence)).collect()
}

async fn retain(db: &TestDatabase, kept: Option<Duration>, checkpoints: Duration) {
    let tombstones = kept.map(|kept| Tombstones { kept, checkpoints });
    let retention = Retention { tombstones, ..Retention::default() };
    db.db.set_retention(&db.admin, retention).await.unwrap();
}

async fn checkpoint(db: &TestDatabase, id: &str, body: &str) {
    let id = format!("_local/{id}").parse().unwrap();
    db.db.put_local(&db.write, &id, None, body.as_bytes()).await.unwrap();
}

fn name(text: &str) -> SnapshotName {
    text.parse().unwrap()
}

/// A store without followers.
async fn store() -> TestStore {
    let store = TestStore::new().await;
    store.store.set_followers(Box::new(|_| Box::pin(async { Ok(u64::MAX) })));
    store
}

/// Time passes, and whoever comes by then does.
async fn wait(store: &TestStore, time: Duration) {
    store.clock.advance(time);
    tokio::time::sleep(Duration::from_secs(130)).await;
}

async fn deleted(db: &TestDatabase, id: &str) -> u64 {
    let rev = db.put(id, None, "{}").await.unwrap();
    db.one(delete(id, Some(&rev))).await.unwrap();
    db.db.sequence()
}

#[tokio::test(start_paused = true)]
async fn a_tombstone_goes_without_a_trace_when_its_time_has_come() {
    let store = store().await;
    let db = store.create("notes").await;
    db.put("stays", None, "{}").await.unwrap();
    deleted(&db, "old").await;
    db.one(replicated("sent", "2 b a", true, r#"{"n":1}"#)).await.unwrap();
    db.one(replicated("sent", "2 c a", true, &format!(r#"{{"n":"{}"}}"#, "x".repeat(3_000))))
        .await
        .unwrap();
    wait(&store, 400 * DAY).await;
    assert_eq!(tombstones(&db).await.len(), 2, "they stay where nobody says anything");

    retain(&db, Some(30 * DAY), 90 * DAY).await;
    deleted(&db, "young").await;
    wait(&store, DAY).await;
    assert_eq!(tombstones(&db).await.into_keys().collect::<Vec<_>>(), ["young"]);
    let info = db.db.info(&db.read).await.unwrap();
    assert_eq!((info.doc_count, info.deleted_count, info.purge_sequence), (1, 1, 0));
    assert!(db.db.purged_infos(&db.admin).await.unwrap().is_empty());
    let sequence = info.sequence;
    wait(&store, 30 * DAY).await;
    let info = db.db.info(&db.read).await.unwrap();
    assert_eq!((info.deleted_count, info.sequence), (0, sequence));
    assert_eq!(info.file_bytes, info.active_bytes);
    db.audit().await;
    // Whoever still has it may bring it back.
    db.one(replicated("old", "1 a", false, "{}")).await.unwrap();
    assert_eq!(db.db.info(&db.read).await.unwrap().doc_count, 2);
    db.audit().await;
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_holds_what_it_has_not_passed_as_long_as_it_is_written_now_and_then() {
    let store = store().await;
    let db = store.create("notes").await;
    retain(&db, Some(DAY), 90 * DAY).await;
    let first = deleted(&db, "first").await;
    let at = db.db.token(first).to_string();
    // As CouchDB and PouchDB write them; the others are of databases that this one is the target of, or no checkpoints.
    checkpoint(&db, "couchdb", &format!(r#"{{"session_id":"s","source_last_seq":"{at}"}}"#)).await;
    checkpoint(&db, "pouchdb", &format!(r#"{{"last_seq":"{at}","version":1}}"#)).await;
    checkpoint(&db, "push", r#"{"last_seq":1,"version":1}"#).await;
    checkpoint(&db, "other", r#"{"source_last_seq":"1-00c0ffee00c0ffee"}"#).await;
    checkpoint(&db, "foreign", r#"{"source_last_seq":"1-g1AAAAB5eJzLYWBgYMpg"}"#).await;
    checkpoint(&db, "note", r#"{"seq":"1"}"#).await;
    let second = deleted(&db, "second").await;
    wait(&store, 2 * DAY).await;
    assert_eq!(tombstones(&db).await, [("second".to_owned(), second)].into());

    // One passes it, the other does not; and then the other is not heard of for too long.
    let at = db.db.token(second).to_string();
    checkpoint(&db, "couchdb", &format!(r#"{{"session_id":"s","source_last_seq":"{at}"}}"#)).await;
    wait(&store, 80 * DAY).await;
    assert_eq!(tombstones(&db).await.len(), 1);
    wait(&store, 11 * DAY).await;
    assert_eq!(tombstones(&db).await.len(), 0);
    db.audit().await;
}

#[tokio::test(start_paused = true)]
async fn snapshots_and_followers_hold_what_they_have_not_passed() {
    let store = TestStore::new().await;
    let position = Arc::new(AtomicU64::new(0));
    let db = store.create("notes").await;
    db.put("kept", None, "{}").await.unwrap();
    db.db.take_snapshot(&db.admin, name("monday"), None).await.unwrap();
    let gone = deleted(&db, "gone").await;
    retain(&db, Some(DAY), 90 * DAY).await;
    wait(&store, 2 * DAY).await;
    assert_eq!(tombstones(&db).await.len(), 1, "nobody has said yet where the followers are");
    let told = position.clone();
    store.store.set_followers(Box::new(move |_| {
        let told = told.load(Ordering::Relaxed);
        Box::pin(async move { Ok(told) })
    }));
    wait(&store, DAY).await;
    assert_eq!(tombstones(&db).await.len(), 1);
    position.store(gone, Ordering::Relaxed);
    wait(&store, DAY).await;
    assert_eq!(tombstones(&db).await.len(), 1);
    db.db.forget_snapshot(&db.admin, name("monday")).await.unwrap();
    wait(&store, DAY).await;
    assert_eq!(tombstones(&db).await.len(), 0);
    db.audit().await;
}

/// Checkpoints of the timeline before cannot be told from those of other databases.
#[tokio::test(start_paused = true)]
async fn on_another_timeline_all_stay_until_checkpoints_of_the_last_one_would_not_count() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let store = TestStore::on(engine.clone()).await;
    let db = store.create("notes").await;
    retain(&db, Some(DAY), 90 * DAY).await;
    let before = deleted(&db, "before").await - 1;
    let at = db.db.token(before).to_string();
    checkpoint(&db, "phone", &format!(r#"{{"last_seq":"{at}","version":1}}"#)).await;
    store.store.close().await;

    let store = TestStore::with_identity(engine, [1; 16]).await;
    store.store.set_followers(Box::new(|_| Box::pin(async { Ok(u64::MAX) })));
    let found = store.store.find(&"notes".parse().unwrap()).await.unwrap().unwrap();
    let db = TestDatabase::new(found);
    wait(&store, 2 * DAY).await;
    assert_eq!(tombstones(&db).await.len(), 1);
    wait(&store, 60 * DAY).await;
    assert_eq!(tombstones(&db).await.len(), 1);
    wait(&store, 31 * DAY).await;
    assert_eq!(tombstones(&db).await.len(), 0);
    db.audit().await;
}

#[tokio::test(start_paused = true)]
async fn many_go_in_small_commits() {
    let store = store().await;
    let db = store.create("notes").await;
    for n in 0..1_700 {
        db.one(replicated(&format!("d{n}"), "2 b a", true, "{}")).await.unwrap();
        db.put(&format!("e{n}"), None, "{}").await.unwrap();
    }
    wait(&store, 2 * DAY).await;
    retain(&db, Some(DAY), 90 * DAY).await;
    wait(&store, MINUTE).await;
    assert_eq!(tombstones(&db).await.len(), 0);
    assert_eq!(db.db.info(&db.read).await.unwrap().doc_count, 1_700);
    db.audit().await;
}

#[derive(Debug, Clone)]
enum Op {
    Put {
        id: usize,
    },
    Delete {
        id: usize,
    },
    /// A document that comes deleted.
    Send {
        id: usize,
    },
    Wait {
        minutes: u64,
    },
    Pull {
        puller: usize,
        notes: bool,
    },
    Follow,
    Take,
    Forget,
    Retain {
        kept: u64,
        checkpoints: u64,
    },
    Compact,
}

fn op() -> impl Strategy<Value = Op> {
    let id = 0..IDS.len();
    prop_oneof![
        5 => id.clone().prop_map(|id| Op::Put { id }),
        6 => id.clone().prop_map(|id| Op::Delete { id }),
        2 => id.prop_map(|id| Op::Send { id }),
        6 => (1..200_u64).prop_map(|minutes| Op::Wait { minutes }),
        5 => (0..3_usize, any::<bool>()).prop_map(|(puller, notes)| Op::Pull { puller, notes }),
        3 => Just(Op::Follow),
        1 => Just(Op::Take),
        1 => Just(Op::Forget),
        1 => (1..240_u64, 60..600_u64)
            .prop_map(|(kept, checkpoints)| Op::Retain { kept, checkpoints }),
        1 => Just(Op::Compact),
    ]
}

/// A client that pulls.
#[derive(Debug, Clone, Default)]
struct Puller {
    documents: BTreeMap<String, RevId>,
    /// The checkpoint, and when it was written.
    noted: Option<(u64, Timestamp)>,
    /// Its checkpoint has not counted at some time.
    has_lapsed: bool,
}

struct World {
    store: TestStore,
    db: TestDatabase,
    followers: Arc<AtomicU64>,
    /// By document: sequence, and since when.
    dead: BTreeMap<String, (u64, Timestamp)>,
    pullers: [Puller; 3],
    snapshot: Option<u64>,
    rule: Tombstones,
    made: u32,
}

impl World {
    async fn new() -> Self {
        let store = TestStore::new().await;
        let followers = Arc::new(AtomicU64::new(0));
        let told = followers.clone();
        store.store.set_followers(Box::new(move |_| {
            let told = told.load(Ordering::Relaxed);
            Box::pin(async move { Ok(told) })
        }));
        let db = store.create("notes").await;
        let rule = Tombstones { kept: 60 * MINUTE, checkpoints: 400 * MINUTE };
        retain(&db, Some(rule.kept), rule.checkpoints).await;
        let (dead, pullers) = (BTreeMap::new(), Default::default());
        Self { store, db, followers, dead, pullers, snapshot: None, rule, made: 0 }
    }

    async fn winner(&self, id: &str) -> Option<(RevId, bool)> {
        let rows = feed(&self.db, 0).await.into_iter();
        rows.filter(|row| row.1 == id).map(|(_, _, rev, deleted)| (rev, deleted)).next()
    }

    async fn run(&mut self, op: &Op) {
        self.made += 1;
        let now = self.store.clock.now();
        match op {
            Op::Put { id } => {
                let base = self.winner(IDS[*id]).await.filter(|it| !it.1).map(|it| it.0);
                let body = format!(r#"{{"n":{}}}"#, self.made);
                self.db.one(put(IDS[*id], base.as_ref(), &body)).await.unwrap();
                self.dead.remove(IDS[*id]);
            }
            Op::Delete { id } => {
                let Some((rev, false)) = self.winner(IDS[*id]).await else { return };
                self.db.one(delete(IDS[*id], Some(&rev))).await.unwrap();
                self.dead.insert(IDS[*id].to_owned(), (self.db.db.sequence(), now));
            }
            Op::Send { id } => {
                let revs = format!("1 {:032x}", self.made);
                self.db.one(replicated(IDS[*id], &revs, true, "{}")).await.unwrap();
                // Beside a live branch it is none.
                if self.winner(IDS[*id]).await.unwrap().1 {
                    self.dead.insert(IDS[*id].to_owned(), (self.db.db.sequence(), now));
                }
            }
            Op::Wait { minutes } => {
                wait(&self.store, u32::try_from(*minutes).unwrap() * MINUTE).await;
            }
            Op::Pull { puller, notes } => self.pull(*puller, *notes).await,
            Op::Follow => self.followers.store(self.db.db.sequence(), Ordering::Relaxed),
            Op::Take if self.snapshot.is_none() => {
                self.db.db.take_snapshot(&self.db.admin, name("s"), None).await.unwrap();
                self.snapshot = Some(self.db.db.sequence());
            }
            Op::Forget if self.snapshot.take().is_some() => {
                self.db.db.forget_snapshot(&self.db.admin, name("s")).await.unwrap();
            }
            Op::Take | Op::Forget => {}
            Op::Retain { kept, checkpoints } => {
                let minutes = |n: u64| u32::try_from(n).unwrap() * MINUTE;
                let (kept, checkpoints) = (minutes(*kept), minutes(*checkpoints));
                self.rule = Tombstones { kept, checkpoints };
                retain(&self.db, Some(kept), checkpoints).await;
            }
            Op::Compact => self.db.db.compact(&self.db.admin).await.unwrap(),
        }
    }

    async fn pull(&mut self, puller: usize, notes: bool) {
        let (sequence, now) = (self.db.db.sequence(), self.store.clock.now());
        let this = &mut self.pullers[puller];
        let since = this.noted.map_or(0, |(at, _)| at);
        for (_, id, rev, deleted) in feed(&self.db, since).await {
            if deleted {
                this.documents.remove(&id);
            } else {
                this.documents.insert(id, rev);
            }
        }
        // Without a checkpoint nobody knows of it.
        if notes || this.noted.is_none() {
            this.noted = Some((sequence, now));
            let at = self.db.db.token(sequence);
            checkpoint(&self.db, &format!("p{puller}"), &format!(r#"{{"last_seq":"{at}"}}"#)).await;
        }
    }

    /// The earliest sequence that something has not passed.
    fn passed(&self) -> u64 {
        let from = self.store.clock.now().minus(self.rule.checkpoints);
        let counts = |it: &&(u64, Timestamp)| it.1 >= from;
        let noted = self.pullers.iter().filter_map(|it| it.noted.as_ref()).filter(counts);
        let all = noted.map(|it| it.0).chain(self.snapshot);
        all.chain([self.followers.load(Ordering::Relaxed)]).min().unwrap()
    }

    /// `passed` and `kept` are of before the last step: what has gone may have gone then.
    async fn check(&mut self, passed: u64, kept: Duration) {
        let (passed, kept) = (passed.max(self.passed()), kept.min(self.rule.kept));
        let now = self.store.clock.now();
        let there = tombstones(&self.db).await;
        let gone: Vec<String> =
            self.dead.keys().filter(|id| !there.contains_key(*id)).cloned().collect();
        for id in gone {
            let (sequence, since) = self.dead.remove(&id).unwrap();
            assert!(sequence <= passed, "{id} went at {sequence}, and {passed} is passed");
            assert!(since.plus(kept) <= now, "{id} went too early");
        }
        assert_eq!(there.len(), self.dead.len());
        let from = now.minus(self.rule.checkpoints);
        for puller in &mut self.pullers {
            puller.has_lapsed |= puller.noted.is_some_and(|(_, written)| written < from);
        }
        self.db.audit().await;
    }

    /// In the end everybody has come, and all that may go has gone.
    async fn end(&mut self) {
        for puller in 0..self.pullers.len() {
            self.pull(puller, true).await;
        }
        let live = feed(&self.db, 0).await.into_iter().filter(|row| !row.3);
        let live: BTreeMap<String, RevId> = live.map(|(_, id, rev, _)| (id, rev)).collect();
        for puller in self.pullers.iter().filter(|it| !it.has_lapsed) {
            assert_eq!(puller.documents, live, "a client that comes in time has what there is");
        }
        self.run(&Op::Follow).await;
        self.run(&Op::Forget).await;
        for _ in 0..3 {
            wait(&self.store, self.rule.kept + 120 * MINUTE).await;
        }
        self.check(u64::MAX, Duration::ZERO).await;
        assert_eq!(tombstones(&self.db).await, BTreeMap::new());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn none_goes_that_is_needed_and_all_go_when_none_is(
        ops in proptest::collection::vec(op(), 1..60),
    ) {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for op in &ops {
                let (passed, kept) = (world.passed(), world.rule.kept);
                world.run(op).await;
                world.check(passed, kept).await;
            }
            world.end().await;
        });
    }
}
