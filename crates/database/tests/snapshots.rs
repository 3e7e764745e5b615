//! Snapshots, pins and the window by example: what they cost, what they keep, and when it goes.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::{ops::Bound, sync::Arc, time::Duration};

use settle_database::{
    At, Atomicity, Extras, KeepError, Next, PastError, Retention, RevertError, Select,
    SnapshotName, limits,
};
use settle_engine::{
    Direction, Engine, Plan, Scan, Step, Visit, Visitor, faulty::FaultyEngine, memory::MemoryEngine,
};
use settle_model::time::Clock as _;

use crate::support::{TestDatabase, TestStore, delete, put};

fn name(text: &str) -> SnapshotName {
    text.parse().unwrap()
}

async fn take(db: &TestDatabase, text: &str) {
    db.db.take_snapshot(&db.admin, name(text), None).await.unwrap();
}

/// What a document was, as JSON; nothing where it was not there.
async fn body_at(db: &TestDatabase, at: &str, id: &str) -> Result<String, PastError> {
    let moment = db.db.moment(&db.read, &at.parse().unwrap()).await?;
    let id = id.parse().unwrap();
    let found = db.db.get_at(&db.read, moment, &id, Extras::default()).await?;
    Ok(found.map_or_else(String::new, |it| String::from_utf8(it.body.to_vec()).unwrap()))
}

async fn history_bytes(db: &TestDatabase) -> u64 {
    let info = db.db.info(&db.read).await.unwrap();
    info.file_bytes - info.active_bytes
}

async fn set_window(db: &TestDatabase, window: Duration) {
    let retention = Retention { window, ..Retention::default() };
    db.db.set_retention(&db.admin, retention).await.unwrap();
}

#[derive(Default)]
struct Count(usize);

impl Visitor for Count {
    fn visit(&mut self, _: usize, _: &[u8], _: Option<&[u8]>) -> Visit {
        self.0 += 1;
        Visit::Next
    }
}

async fn keys(engine: &dyn Engine) -> usize {
    let (start, end, direction) = (Bound::Unbounded, Bound::Unbounded, Direction::Ascending);
    let plan = Plan::new(vec![Step::Scan(Scan { start, end, direction })]);
    engine.read_to_end(plan, Count::default()).await.unwrap().0
}

// Time stands still, so that what the store tells of changes a moment later is not counted.
#[tokio::test(start_paused = true)]
async fn a_snapshot_costs_one_record_and_one_commit_however_much_there_is() {
    let engine = Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())));
    let store = TestStore::on(engine.clone()).await;
    let db = store.create("notes").await;
    let edits = (0..3_000).map(|n| put(&n.to_string(), None, "{}")).collect();
    db.db.write(&db.write, edits, Atomicity::EachAlone).await.unwrap();
    let (before, rows) = (engine.counts(), keys(&*engine).await);
    take(&db, "monday").await;
    let after = engine.counts();
    assert_eq!(after.commits - before.commits, 1);
    assert_eq!(keys(&*engine).await - rows, 1);
    assert_eq!(history_bytes(&db).await, 0);
    db.audit().await;
}

#[tokio::test]
async fn what_a_snapshot_shows_outlives_compaction_and_goes_with_it() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let large = "x".repeat(3_000);
    let first = db.put("a", None, &format!(r#"{{"n":1,"pad":"{large}"}}"#)).await.unwrap();
    let gone = db.put("b", None, r#"{"n":1}"#).await.unwrap();
    take(&db, "monday").await;
    let second = db.put("a", Some(&first), r#"{"n":2}"#).await.unwrap();
    db.put("a", Some(&second), r#"{"n":3}"#).await.unwrap();
    db.one(delete("b", Some(&gone))).await.unwrap();
    db.put("c", None, "{}").await.unwrap();
    db.db.compact(&db.admin).await.unwrap();
    assert!(body_at(&db, "monday", "a").await.unwrap().starts_with(r#"{"n":1"#));
    assert_eq!(body_at(&db, "monday", "b").await.unwrap(), r#"{"n":1}"#);
    assert_eq!(body_at(&db, "monday", "c").await.unwrap(), "");
    let between = Select::Rev(second);
    let id = "a".parse().unwrap();
    assert!(
        db.db.get(&db.read, &id, &between, Extras::default()).await.is_err(),
        "nobody needs it"
    );
    db.audit().await;

    db.db.forget_snapshot(&db.admin, name("monday")).await.unwrap();
    assert_eq!(
        body_at(&db, "monday", "a").await,
        Err(PastError::NoSnapshot { name: name("monday") })
    );
    db.db.compact(&db.admin).await.unwrap();
    assert_eq!(history_bytes(&db).await, 0);
    db.audit().await;
}

#[tokio::test]
async fn names_are_taken_once_and_forgotten_once() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    take(&db, "monday").await;
    let again = db.db.take_snapshot(&db.admin, name("monday"), None).await;
    assert_eq!(again, Err(KeepError::Exists));
    db.db.forget_snapshot(&db.admin, name("monday")).await.unwrap();
    let again = db.db.forget_snapshot(&db.admin, name("monday")).await;
    assert_eq!(again, Err(KeepError::Missing));
    for n in 0..limits::SNAPSHOTS_MAX {
        take(&db, &format!("s{n}")).await;
    }
    let one_more = db.db.take_snapshot(&db.admin, name("monday"), None).await;
    assert_eq!(one_more, Err(KeepError::TooManySnapshots { max: limits::SNAPSHOTS_MAX }));
}

#[tokio::test]
async fn a_moment_that_is_gone_can_be_neither_read_nor_kept() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let first = db.put("a", None, "{}").await.unwrap();
    let moment = db.db.moment(&db.read, &"1".parse().unwrap()).await.unwrap();
    db.put("a", Some(&first), r#"{"n":2}"#).await.unwrap();
    assert_eq!(body_at(&db, "1", "a").await.unwrap(), "{}");
    db.db.compact(&db.admin).await.unwrap();
    assert_eq!(body_at(&db, "1", "a").await, Err(PastError::NotKept));
    let id = "a".parse().unwrap();
    let read = db.db.get_at(&db.read, moment, &id, Extras::default()).await;
    assert_eq!(read, Err(PastError::NotKept), "nor by whoever found it while it was there");
    let taken = db.db.take_snapshot(&db.admin, name("late"), Some(moment)).await;
    assert_eq!(taken, Err(KeepError::NotKept));
    let held = db.db.hold(&db.read, moment, "a test").await;
    assert_eq!(held.unwrap_err(), KeepError::NotKept);
    assert_eq!(body_at(&db, "3", "a").await, Err(PastError::Ahead));
    assert_eq!(body_at(&db, "2-0000000000000000", "a").await, Err(PastError::OtherTimeline));
    assert_eq!(body_at(&db, "2100-01-01T00:00:00Z", "a").await, Err(PastError::Ahead));
}

#[tokio::test(start_paused = true)]
async fn the_window_keeps_every_moment_within_it() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    set_window(&db, Duration::from_secs(2 * 3_600)).await;
    let mut rev = None;
    for n in 0..8 {
        rev = Some(db.put("a", rev.as_ref(), &format!(r#"{{"n":{n}}}"#)).await.unwrap());
        store.clock.advance(Duration::from_secs(1_800));
    }
    db.db.compact(&db.admin).await.unwrap();
    let at = |seconds_ago| {
        let time = store.clock.now().minus(Duration::from_secs(seconds_ago));
        settle_model::date::rfc3339(time)
    };
    for (seconds_ago, n) in [(0, 7), (1_800, 7), (1_801, 6), (3_601, 5), (5_401, 4), (7_200, 4)] {
        let found = body_at(&db, &at(seconds_ago), "a").await;
        assert_eq!(found, Ok(format!(r#"{{"n":{n}}}"#)), "{seconds_ago} seconds ago");
    }
    assert_eq!(body_at(&db, &at(7_300), "a").await, Err(PastError::NotKept));
    db.audit().await;

    set_window(&db, Duration::ZERO).await;
    store.clock.advance(Duration::from_secs(3_700));
    tokio::time::sleep(Duration::from_secs(130)).await;
    assert_eq!(history_bytes(&db).await, 0, "the sweeper has come by");
    db.audit().await;
}

#[tokio::test(start_paused = true)]
async fn a_time_is_told_however_long_nothing_has_changed() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let first = db.put("a", None, r#"{"n":1}"#).await.unwrap();
    let second = db.put("a", Some(&first), r#"{"n":2}"#).await.unwrap();
    store.clock.advance(Duration::from_secs(3 * 3_600));
    tokio::time::sleep(Duration::from_secs(130)).await;
    assert_eq!(history_bytes(&db).await, 0, "the sweeper has come by");
    let quiet = settle_model::date::rfc3339(store.clock.now());
    store.clock.advance(Duration::from_secs(600));
    db.one(delete("a", Some(&second))).await.unwrap();
    assert_eq!(body_at(&db, &quiet, "a").await, Ok(r#"{"n":2}"#.to_owned()));
}

/// Documents that are new leave no history, and their moments are kept like others.
#[tokio::test(start_paused = true)]
async fn a_state_within_the_grace_is_kept_where_nothing_but_documents_was_made() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let first = db.put("a", None, r#"{"n":1}"#).await.unwrap();
    db.put("a", Some(&first), r#"{"n":2}"#).await.unwrap();
    store.clock.advance(Duration::from_secs(3_500));
    db.put("b", None, r#"{"n":1}"#).await.unwrap();
    let between = settle_model::date::rfc3339(store.clock.now());
    store.clock.advance(Duration::from_secs(100));
    db.put("c", None, r#"{"n":1}"#).await.unwrap();
    store.clock.advance(Duration::from_secs(100));
    tokio::time::sleep(Duration::from_secs(130)).await;
    assert_eq!(history_bytes(&db).await, 0, "the sweeper has come by");
    assert_eq!(body_at(&db, &between, "b").await, Ok(r#"{"n":1}"#.to_owned()));
    assert_eq!(body_at(&db, &between, "c").await, Ok(String::new()));
}

#[tokio::test(start_paused = true)]
async fn a_pin_holds_until_it_is_let_go_or_runs_out() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let first = db.put("a", None, r#"{"n":1}"#).await.unwrap();
    let moment = db.db.moment(&db.read, &At::Now).await.unwrap();
    let mut held = db.db.hold(&db.read, moment, "a test").await.unwrap();
    let second = db.put("a", Some(&first), r#"{"n":2}"#).await.unwrap();
    db.db.compact(&db.admin).await.unwrap();
    assert_eq!(body_at(&db, "1", "a").await.unwrap(), r#"{"n":1}"#);
    // It would run out in a quarter of an hour, and is renewed in time.
    for _ in 0..4 {
        store.clock.advance(Duration::from_secs(10 * 60));
        held.renew_when_due().await.unwrap();
        tokio::time::sleep(Duration::from_secs(130)).await;
    }
    assert_eq!(body_at(&db, "1", "a").await.unwrap(), r#"{"n":1}"#);
    held.release().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(history_bytes(&db).await, 0);

    let moment = db.db.moment(&db.read, &At::Now).await.unwrap();
    let mut lost = db.db.hold(&db.read, moment, "one that dies").await.unwrap();
    db.put("a", Some(&second), r#"{"n":3}"#).await.unwrap();
    db.db.compact(&db.admin).await.unwrap();
    assert!(history_bytes(&db).await > 0);
    store.clock.advance(Duration::from_secs(3_700));
    tokio::time::sleep(Duration::from_secs(130)).await;
    assert_eq!(history_bytes(&db).await, 0);
    assert_eq!(lost.renew_when_due().await, Err(KeepError::NotKept));
    db.audit().await;
}

#[tokio::test]
async fn a_revert_brings_back_what_was_and_its_own_revert_what_had_been() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let first = db.put("changed", None, r#"{"n":1}"#).await.unwrap();
    let gone = db.put("deleted", None, r#"{"n":1}"#).await.unwrap();
    db.put("same", None, r#"{"n":1}"#).await.unwrap();
    take(&db, "monday").await;
    db.put("changed", Some(&first), r#"{"n":2}"#).await.unwrap();
    db.one(delete("deleted", Some(&gone))).await.unwrap();
    db.put("new", None, r#"{"n":2}"#).await.unwrap();
    let ids = ["changed", "deleted", "same", "new"];
    let shown = async || {
        let mut bodies = Vec::new();
        for id in ids {
            bodies.push(body_at(&db, "now", id).await.unwrap());
        }
        bodies
    };
    let before = shown().await;
    assert_eq!(revert(&db, "monday", "tuesday").await, 3);
    assert_eq!(shown().await, [r#"{"n":1}"#, r#"{"n":1}"#, r#"{"n":1}"#, ""]);
    assert_eq!(revert(&db, "monday", "again").await, 0, "there is nothing more to do");
    assert_eq!(revert(&db, "tuesday", "wednesday").await, 3);
    assert_eq!(shown().await, before);
    db.audit().await;
}

/// How many documents went back.
async fn revert(db: &TestDatabase, to: &str, snapshot: &str) -> usize {
    let moment = db.db.moment(&db.read, &to.parse().unwrap()).await.unwrap();
    let (found, next) = db.db.plan_revert(&db.read, moment, (0, None), None).await.unwrap();
    assert_eq!(next, Next::Done);
    let grants = (&db.read, &db.write);
    db.db.make_revert(grants, moment, &found, Some(name(snapshot))).await.unwrap();
    found.len()
}

#[tokio::test]
async fn a_revert_is_refused_whole_when_a_document_has_changed_since_it_was_planned() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let a = db.put("a", None, r#"{"n":1}"#).await.unwrap();
    let b = db.put("b", None, r#"{"n":1}"#).await.unwrap();
    take(&db, "monday").await;
    db.put("a", Some(&a), r#"{"n":2}"#).await.unwrap();
    let b = db.put("b", Some(&b), r#"{"n":2}"#).await.unwrap();
    let moment = db.db.moment(&db.read, &"monday".parse().unwrap()).await.unwrap();
    let (found, _) = db.db.plan_revert(&db.read, moment, (0, None), None).await.unwrap();
    db.put("b", Some(&b), r#"{"n":3}"#).await.unwrap();
    let grants = (&db.read, &db.write);
    let refused = db.db.make_revert(grants, moment, &found, Some(name("tuesday"))).await;
    assert!(matches!(refused, Err(RevertError::Conflict)), "{refused:?}");
    assert_eq!(body_at(&db, "now", "a").await.unwrap(), r#"{"n":2}"#);
    assert_eq!(db.db.snapshots(&db.read).await.unwrap().len(), 1, "nor is there a snapshot");
    let taken = db.db.plan_revert(&db.read, moment, (0, None), None).await.unwrap().0;
    let refused = db.db.make_revert(grants, moment, &taken, Some(name("monday"))).await;
    assert!(matches!(refused, Err(RevertError::Keep(KeepError::Exists))), "{refused:?}");
    assert_eq!(body_at(&db, "now", "a").await.unwrap(), r#"{"n":2}"#);
    db.audit().await;
}

#[tokio::test]
async fn versions_of_a_document_are_listed_newest_first_in_pages() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let mut rev = None;
    for n in 0..5 {
        rev = Some(db.put("a", rev.as_ref(), &format!(r#"{{"n":{n}}}"#)).await.unwrap());
    }
    let id = "a".parse().unwrap();
    let mut sequences = Vec::new();
    let mut before = None;
    loop {
        let (page, more) = db.db.versions(&db.read, &id, before, 2).await.unwrap();
        before = page.last().map(|it| it.sequence);
        sequences.extend(page.iter().map(|it| (it.sequence, it.replaced_by)));
        if !more {
            break;
        }
    }
    let expected = [(5, None), (4, Some(5)), (3, Some(4)), (2, Some(3)), (1, Some(2))];
    assert_eq!(sequences, expected);
}
