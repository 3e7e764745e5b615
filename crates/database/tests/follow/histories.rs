//! Random lives of a database and of a follower beside it.

use std::sync::Arc;

use proptest::prelude::*;
use settle_database::{
    Database, DocumentForm, Next, RenderedScan,
    follow::{Backoff, FollowError, FollowOptions, Pace},
};
use settle_engine::{
    Engine,
    faulty::{Fault, FaultyEngine, Kind},
    memory::MemoryEngine,
};
use settle_model::revision::RevId;

use crate::{
    mirror::{Mirror, Mood},
    support::{self, TestDatabase, TestStore, delete, put, replicated},
};

#[derive(Debug, Clone)]
enum Op {
    Put {
        id: u8,
        body: usize,
    },
    Delete {
        id: u8,
    },
    Graft {
        id: u8,
        name: u8,
        deleted: bool,
    },
    Purge {
        id: u8,
    },
    Compact,
    /// The follower is asked to come up to here.
    Reach,
    /// How the step fares from now on.
    Moods(Vec<Mood>),
    /// The step's engine does something else at its next commit.
    Fault(Fault),
    /// The follower ends, and begins again from what is stored.
    Restart,
    /// So does the store.
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let id = 0..5_u8;
    let mood = prop_oneof![Just(Mood::Fine), Just(Mood::Fails), Just(Mood::AppliesAndFails)];
    let fault = prop_oneof![
        Just(Fault::Fails { storage_full: false }),
        Just(Fault::Unknown { applied: true, halts: false }),
        Just(Fault::Unknown { applied: false, halts: false }),
    ];
    prop_oneof![
        8 => (id.clone(), prop_oneof![Just(10_usize), Just(2_500)]).prop_map(|(id, body)| Op::Put { id, body }),
        3 => id.clone().prop_map(|id| Op::Delete { id }),
        3 => (id.clone(), 0..6_u8, any::<bool>()).prop_map(|(id, name, deleted)| Op::Graft { id, name, deleted }),
        2 => id.prop_map(|id| Op::Purge { id }),
        1 => Just(Op::Compact),
        4 => Just(Op::Reach),
        2 => prop::collection::vec(mood, 1..5).prop_map(Op::Moods),
        2 => fault.prop_map(Op::Fault),
        2 => Just(Op::Restart),
        1 => Just(Op::Reopen),
    ]
}

/// A follower of small batches that does not wait long.
fn options(pace: Pace) -> FollowOptions {
    let short = std::time::Duration::from_micros(10);
    FollowOptions {
        batch_count_max: 2,
        backoff: Backoff { first: short, longest: short },
        patience: u32::MAX,
        ..FollowOptions::new("mirror", pace)
    }
}

async fn winner(db: &TestDatabase, id: &str) -> Option<RevId> {
    let found = db.db.look_up_rendered(&db.read, &[id.to_owned()], DocumentForm::default()).await;
    found.unwrap().remove(0).map(|found| found.rev)
}

async fn all(database: &Database, db: &TestDatabase) -> Vec<(String, String)> {
    let mut scan = Next::Go(RenderedScan {
        start: std::ops::Bound::Unbounded,
        end: std::ops::Bound::Unbounded,
        form: DocumentForm { conflicts: true, ..DocumentForm::default() },
        in_conflict: false,
        count_max: 2,
        bytes_max: usize::MAX,
    });
    let mut found = Vec::new();
    while let Next::Go(next) = scan {
        let documents;
        (documents, scan) = database.scan_rendered(&db.read, next).await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        found.extend(documents.iter().map(|it| (it.id.clone(), text(&it.document))));
    }
    found
}

async fn run(documents: Arc<dyn Engine>, effects: Arc<dyn Engine>, ops: Vec<Op>, pace: Pace) {
    let faulty = Arc::new(FaultyEngine::new(effects));
    let mirror = Mirror::on(faulty.clone());
    let mut store = TestStore::on(documents).await;
    let mut db = store.create("life").await;
    let mut follower = mirror.follow(&db, options(pace));
    for (n, op) in ops.into_iter().enumerate() {
        match op {
            Op::Put { id, body } => {
                let id = format!("d{id}");
                let base = winner(&db, &id).await;
                let body = format!(r#"{{"n":{n},"pad":"{}"}}"#, "x".repeat(body));
                db.one(put(&id, base.as_ref(), &body)).await.unwrap();
            }
            Op::Delete { id } => {
                let id = format!("d{id}");
                if let Some(rev) = winner(&db, &id).await {
                    db.one(delete(&id, Some(&rev))).await.unwrap();
                }
            }
            Op::Graft { id, name, deleted } => {
                let body = format!(r#"{{"n":{n}}}"#);
                let revs = format!("2 b{name} a{name}");
                db.one(replicated(&format!("d{id}"), &revs, deleted, &body)).await.unwrap();
            }
            Op::Purge { id } => {
                let id = format!("d{id}");
                if let Some(rev) = winner(&db, &id).await {
                    db.db.purge(&db.admin, vec![(id.parse().unwrap(), vec![rev])]).await.unwrap();
                }
            }
            Op::Compact => db.db.compact(&db.admin).await.unwrap(),
            Op::Reach => {
                let sequence = db.db.sequence();
                assert!(follower.reach(sequence).await.unwrap() >= sequence);
                assert_eq!(mirror.all().await, all(&db.db, &db).await);
            }
            Op::Moods(moods) => mirror.moods(moods),
            Op::Fault(fault) => faulty.fail_next(Kind::Commit, fault),
            Op::Restart => {
                follower.stop().await;
                assert!(matches!(follower.reach(u64::MAX).await, Err(FollowError::Stopped)));
                follower = mirror.follow(&db, options(pace));
            }
            Op::Reopen => {
                store.store.close().await;
                store = TestStore::on(store.engine.clone()).await;
                let found = store.store.find(&"life".parse().unwrap()).await.unwrap();
                db = TestDatabase::new(found.unwrap());
                follower = mirror.follow(&db, options(pace));
            }
        }
    }
    let sequence = db.db.sequence();
    assert_eq!(follower.reach(sequence).await, Ok(sequence));
    assert_eq!(mirror.all().await, all(&db.db, &db).await);
    store.store.close().await;
}

fn on(documents: Arc<dyn Engine>, effects: Arc<dyn Engine>, ops: Vec<Op>, pace: Pace) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(documents, effects, ops, pace));
}

fn life() -> impl Strategy<Value = (Vec<Op>, Pace)> {
    let pace = prop_oneof![Just(Pace::Live), Just(Pace::OnDemand)];
    (prop::collection::vec(op(), 1..60), pace)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_follower_has_what_the_documents_are((ops, pace) in life()) {
        on(Arc::new(MemoryEngine::new()), Arc::new(MemoryEngine::new()), ops, pace);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]

    #[test]
    fn so_it_has_on_the_embedded_engine((ops, pace) in life()) {
        let (_documents, documents) = support::embedded();
        let (_effects, effects) = support::embedded();
        on(documents, effects, ops, pace);
    }
}

/// Many write and read through followers at once: nobody misses what he has written.
async fn everybody_sees_his_own_writes(documents: Arc<dyn Engine>, rounds: usize) {
    let store = TestStore::on(documents).await;
    let db = Arc::new(store.create("busy").await);
    let mirror = Mirror::new();
    let options = FollowOptions { batch_count_max: 1, ..options(Pace::OnDemand) };
    let follower = mirror.follow(&db, options);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let (db, mirror, follower) = (db.clone(), mirror.clone(), follower.clone());
        writers.spawn(async move {
            let id = format!("d{writer}");
            let mut rev = None;
            for n in 0..rounds {
                let edit = put(&id, rev.as_ref(), &format!(r#"{{"n":{n}}}"#));
                rev = Some(db.one(edit).await.unwrap().rev);
                // Others change their documents meanwhile, and now and then all of the past goes.
                if n % 7 == writer {
                    db.db.compact(&db.admin).await.unwrap();
                }
                follower.reach(db.db.sequence()).await.unwrap();
                assert_eq!(Some(mirror.rev(&id).await), rev);
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    store.store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_waits_for_a_follower_sees_what_he_wrote() {
    everybody_sees_his_own_writes(Arc::new(MemoryEngine::new()), 60).await;
    let (_folder, engine) = support::embedded();
    everybody_sees_his_own_writes(engine, 15).await;
}
