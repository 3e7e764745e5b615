//! Whatever operation of the engine fails, and however: a snapshot that was acknowledged shows what it showed, a revert
//! is there as a whole or not at all, and the database's own counts are right.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::{collections::BTreeMap, sync::Arc};

use settle_database::{At, Extras, Next, PastError, Retention, SnapshotName};
use settle_engine::{Engine, faulty::FaultyEngine};

use crate::support::{
    TestDatabase, TestStore, put,
    sweep::{Place, Sweep},
};

const IDS: [&str; 3] = ["a", "b", "c"];

type Bodies = BTreeMap<&'static str, String>;

/// What was acknowledged.
#[derive(Default)]
struct Ledger {
    /// What each snapshot showed; `None` where it may be there or not.
    snapshots: BTreeMap<SnapshotName, Option<Bodies>>,
    /// What documents may be now: one of these, as a whole.
    present: Vec<Bodies>,
}

/// What documents are at a moment; `None` where storage is gone.
async fn bodies(db: &TestDatabase, at: &At) -> Result<Bodies, PastError> {
    let moment = db.db.moment(&db.read, at).await?;
    let mut bodies = Bodies::new();
    for id in IDS {
        let document = id.parse().unwrap();
        if let Some(it) = db.db.get_at(&db.read, moment, &document, Extras::default()).await? {
            bodies.insert(id, String::from_utf8(it.body.to_vec()).unwrap());
        }
    }
    Ok(bodies)
}

async fn take(db: &TestDatabase, ledger: &mut Ledger, name: &str) {
    let name: SnapshotName = name.parse().unwrap();
    let Ok(now) = bodies(db, &At::Now).await else { return };
    let taken = db.db.take_snapshot(&db.admin, name.clone(), None).await.is_ok();
    ledger.snapshots.insert(name, taken.then_some(now));
}

async fn forget(db: &TestDatabase, ledger: &mut Ledger, name: &str) {
    let name: SnapshotName = name.parse().unwrap();
    if db.db.forget_snapshot(&db.admin, name.clone()).await.is_ok() {
        ledger.snapshots.remove(&name);
    } else if let Some(shown) = ledger.snapshots.get_mut(&name) {
        *shown = None;
    }
}

/// Writes all documents together; how that ended is seen by the next look.
async fn write(db: &TestDatabase, ledger: &mut Ledger, n: usize) {
    let mut edits = Vec::new();
    let mut after = Bodies::new();
    for id in IDS {
        let select = settle_database::Select::Winner;
        let document = id.parse().unwrap();
        let found = db.db.get(&db.read, &document, &select, Extras::default()).await;
        let base = found.ok().map(|it| it.rev);
        let body = format!(r#"{{"n":{n},"pad":"{}"}}"#, "x".repeat(n % 3 * 1_500));
        edits.push(put(id, base.as_ref(), &body));
        after.insert(id, body);
    }
    let atomicity = settle_database::Atomicity::AllOrNothing;
    match db.db.write(&db.write, edits, atomicity).await {
        Ok(results) if results.iter().all(Result::is_ok) => ledger.present = vec![after],
        Ok(_) => {}
        Err(_) => ledger.present.push(after),
    }
}

async fn revert(db: &TestDatabase, ledger: &mut Ledger, to: &str, snapshot: &str) {
    let Ok(before) = bodies(db, &At::Now).await else { return };
    let at: At = to.parse().unwrap();
    let (Ok(moment), Ok(after)) = (db.db.moment(&db.read, &at).await, bodies(db, &at).await) else {
        return;
    };
    let Ok((found, Next::Done)) = db.db.plan_revert(&db.read, moment, (0, None), None).await else {
        return;
    };
    let name: SnapshotName = snapshot.parse().unwrap();
    let grants = (&db.read, &db.write);
    if db.db.make_revert(grants, moment, &found, Some(name.clone())).await.is_ok() {
        ledger.present = vec![after];
        ledger.snapshots.insert(name, Some(before));
    } else {
        ledger.present.push(after);
        ledger.snapshots.insert(name, None);
    }
}

async fn live(db: &TestDatabase, ledger: &mut Ledger) {
    write(db, ledger, 1).await;
    take(db, ledger, "one").await;
    write(db, ledger, 2).await;
    write(db, ledger, 3).await;
    take(db, ledger, "three").await;
    write(db, ledger, 4).await;
    drop(db.db.compact(&db.admin).await);
    revert(db, ledger, "one", "four").await;
    forget(db, ledger, "three").await;
    drop(db.db.compact(&db.admin).await);
    let window = std::time::Duration::from_secs(60);
    let retention = Retention { window, ..Retention::default() };
    drop(db.db.set_retention(&db.admin, retention).await);
    write(db, ledger, 5).await;
    drop(db.db.compact(&db.admin).await);
}

async fn verify(db: &TestDatabase, ledger: &Ledger) {
    let now = bodies(db, &At::Now).await.unwrap();
    assert!(ledger.present.contains(&now), "{now:?} is none of {:?}", ledger.present);
    for (name, shown) in &ledger.snapshots {
        let found = bodies(db, &At::Snapshot(name.clone())).await;
        match (shown, found) {
            (Some(shown), found) => assert_eq!(found.as_ref(), Ok(shown), "{name}"),
            (None, Ok(_) | Err(PastError::NoSnapshot { .. })) => {}
            (None, Err(error)) => panic!("{name}: {error}"),
        }
    }
    db.audit().await;
}

async fn run(inner: Arc<dyn Engine>, fault: Option<Place>) -> Arc<FaultyEngine> {
    let engine = Arc::new(FaultyEngine::new(inner));
    let store = TestStore::on(engine.clone()).await;
    let db = store.create("crash").await;
    let mut ledger = Ledger { present: vec![Bodies::new()], ..Ledger::default() };
    if let Some((kind, nth, fault)) = fault {
        engine.fail_at(kind, nth, fault);
    }
    live(&db, &mut ledger).await;
    drop(db);
    store.store.close().await;
    engine.reopen();
    let again = TestStore::on(engine.clone()).await;
    let found = again.store.find(&"crash".parse().unwrap()).await.unwrap().unwrap();
    verify(&TestDatabase::new(found), &ledger).await;
    again.store.close().await;
    engine
}

/// They make the site and the database.
const SWEEP: Sweep = Sweep { commits: 3, reads: 8 };

#[tokio::test]
async fn no_failure_of_the_engine_loses_what_a_snapshot_showed() {
    SWEEP.in_memory(run).await;
}

#[tokio::test]
async fn nor_does_a_failure_of_the_embedded_engine() {
    SWEEP.on_disk(97, run).await;
}
