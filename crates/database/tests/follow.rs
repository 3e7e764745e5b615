//! Followers: whatever fails and whenever they are stopped, the step sees every document as it came to
//! be, and its effects are there together with the cursor.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

#[path = "follow/histories.rs"]
mod histories;
#[path = "follow/mirror.rs"]
mod mirror;
#[path = "follow/rendered.rs"]
mod rendered;

use std::{sync::Arc, time::Duration};

use settle_database::{
    Atomicity,
    follow::{Backoff, End, FollowError, FollowOptions, Pace, Phase, StepError},
};
use settle_engine::{
    faulty::{Fault, Kind},
    memory::MemoryEngine,
};

use crate::{
    mirror::{Mirror, Mood},
    support::{TestDatabase, TestStore, delete, put, replicated},
};

fn options(pace: Pace) -> FollowOptions {
    FollowOptions { batch_count_max: 3, ..FollowOptions::new("mirror", pace) }
}

async fn three(store: &TestStore) -> TestDatabase {
    let db = store.create("notes").await;
    for id in ["a", "b", "c"] {
        db.put(id, None, &format!(r#"{{"is":"{id}"}}"#)).await.unwrap();
    }
    db
}

#[tokio::test]
async fn on_demand_a_follower_works_when_somebody_waits_for_it() {
    let store = TestStore::new().await;
    let db = three(&store).await;
    let mirror = Mirror::new();
    let follower = mirror.follow(&db, options(Pace::OnDemand));
    follower.reach(0).await.unwrap();
    assert_eq!((mirror.calls(), follower.lag()), (0, 3));
    assert_eq!(follower.reach(2).await, Ok(3), "it goes to the end when it goes");
    assert_eq!(mirror.ids().await, ["a", "b", "c"]);
    db.put("d", None, "{}").await.unwrap();
    assert_eq!(follower.reach(3).await, Ok(3));
    assert_eq!(mirror.ids().await.len(), 3);
    assert_eq!(follower.reach(4).await, Ok(4));
    assert_eq!((mirror.ids().await.len(), follower.lag()), (4, 0));
    let status = follower.status();
    assert_eq!((status.changes, status.batches, status.failures), (4, 2, 0));
}

#[tokio::test]
async fn a_live_follower_is_woken_by_every_change() {
    let store = TestStore::new().await;
    let db = three(&store).await;
    let mirror = Mirror::new();
    let follower = mirror.follow(&db, options(Pace::Live));
    let mut status = follower.watch();
    status.wait_for(|status| status.complete == 3 && status.phase == Phase::Idle).await.unwrap();
    db.put("d", None, "{}").await.unwrap();
    status.wait_for(|status| status.complete == 4).await.unwrap();
    assert_eq!(mirror.ids().await, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn waiting_for_what_is_not_written_yet_ends_when_it_is() {
    let store = TestStore::new().await;
    let db = three(&store).await;
    let mirror = Mirror::new();
    let follower = mirror.follow(&db, options(Pace::OnDemand));
    let (reached, _) = tokio::join!(follower.reach(5), async {
        for id in ["d", "e"] {
            db.put(id, None, "{}").await.unwrap();
        }
    });
    assert_eq!(reached, Ok(5));
}

#[tokio::test]
async fn batches_are_bounded_in_number_and_in_bytes() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let body = format!(r#"{{"pad":"{}"}}"#, "x".repeat(1_000));
    let edits = (0..20).map(|n| put(&format!("{n:02}"), None, &body)).collect();
    db.db.write(&db.write, edits, Atomicity::EachAlone).await.unwrap();
    let mirror = Mirror::new();
    mirror.follow(&db, options(Pace::OnDemand)).reach(20).await.unwrap();
    assert_eq!(mirror.batch_sizes(), [3, 3, 3, 3, 3, 3, 2]);
    let mirror = Mirror::new();
    let options =
        FollowOptions { batch_bytes_max: 4_000, batch_count_max: 100, ..options(Pace::OnDemand) };
    mirror.follow(&db, options).reach(20).await.unwrap();
    assert_eq!(mirror.batch_sizes(), [4, 4, 4, 4, 4]);
}

#[tokio::test]
async fn a_purged_document_comes_with_what_is_left_of_it() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    db.one(replicated("a", "1 a", false, r#"{"n":1}"#)).await.unwrap();
    db.one(replicated("a", "1 b", false, r#"{"n":2}"#)).await.unwrap();
    db.one(replicated("b", "1 a", false, r#"{"n":3}"#)).await.unwrap();
    let mirror = Mirror::new();
    let follower = mirror.follow(&db, options(Pace::OnDemand));
    follower.reach(db.db.sequence()).await.unwrap();
    assert_eq!(
        mirror.document("a").await.unwrap(),
        r#"{"_id":"a","_rev":"1-b","n":2,"_conflicts":["1-a"]}"#
    );
    let purge = |id: &str, rev: &str| {
        let items = vec![(id.parse().unwrap(), vec![rev.parse().unwrap()])];
        db.db.purge(&db.admin, items)
    };
    purge("a", "1-b").await.unwrap();
    purge("b", "1-a").await.unwrap();
    follower.reach(db.db.sequence()).await.unwrap();
    assert_eq!(mirror.document("a").await.unwrap(), r#"{"_id":"a","_rev":"1-a","n":1}"#);
    assert_eq!(mirror.document("b").await, None);
    // From the beginning it is the same, and a document that is gone is told once.
    db.one(replicated("b", "1 a", false, r#"{"n":4}"#)).await.unwrap();
    purge("b", "1-a").await.unwrap();
    let fresh = Mirror::new();
    fresh.follow(&db, options(Pace::OnDemand)).reach(db.db.sequence()).await.unwrap();
    assert_eq!(fresh.ids().await, ["a"]);
    assert_eq!(fresh.batch_sizes().iter().sum::<usize>(), 2);
}

#[tokio::test]
async fn tombstones_come_without_a_document() {
    let store = TestStore::new().await;
    let db = three(&store).await;
    let mirror = Mirror::new();
    let follower = mirror.follow(&db, options(Pace::OnDemand));
    follower.reach(3).await.unwrap();
    let rev = mirror.rev("b").await;
    db.one(delete("b", Some(&rev))).await.unwrap();
    follower.reach(4).await.unwrap();
    assert_eq!(mirror.ids().await, ["a", "c"]);
}

#[tokio::test(start_paused = true)]
async fn what_can_be_tried_again_is_tried_again_ever_more_slowly() {
    let store = TestStore::new().await;
    let db = three(&store).await;
    let mirror = Mirror::new();
    // The last of them has had its effect, which nobody knows until the cursor is read again.
    mirror.moods([Mood::Fails, Mood::Fails, Mood::Fails, Mood::Fails, Mood::AppliesAndFails]);
    let follower = mirror.follow(&db, options(Pace::OnDemand));
    let begun = tokio::time::Instant::now();
    let failing = Err(FollowError::Failing { reason: "a test made it fail".to_owned() });
    assert_eq!(follower.reach(3).await, failing, "after three failures in a row");
    assert!(begun.elapsed() < Duration::from_millis(400));
    assert_eq!(follower.reach(3).await, failing, "at once");
    // It goes on nevertheless.
    let mut status = follower.watch();
    status.wait_for(|status| status.complete == 3).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(50 + 100 + 200 + 400 + 800));
    assert_eq!(follower.reach(3).await, Ok(3));
    assert_eq!(mirror.ids().await, ["a", "b", "c"]);
    assert_eq!(follower.status().failures, 0);
}

#[tokio::test]
async fn what_will_never_work_ends_the_follower() {
    let store = TestStore::new().await;
    let db = three(&store).await;
    let mirror = Mirror::new();
    mirror.moods([Mood::Dies]);
    let follower = mirror.follow(&db, options(Pace::Live));
    let reason = "a test ended it".to_owned();
    assert_eq!(follower.reach(3).await, Err(FollowError::Failed { reason: reason.clone() }));
    assert_eq!(follower.status().phase, Phase::Ended(End::Failed { reason }));
}

#[tokio::test]
async fn a_step_that_panics_is_no_reason_to_wait_for_ever() {
    let store = TestStore::new().await;
    let db = three(&store).await;
    let mirror = Mirror::new();
    mirror.moods([Mood::Panics]);
    let follower = mirror.follow(&db, options(Pace::OnDemand));
    assert!(matches!(follower.reach(3).await, Err(FollowError::Failed { .. })));
}

#[tokio::test]
async fn a_paused_follower_does_nothing_and_says_so() {
    let store = TestStore::new().await;
    let db = three(&store).await;
    let mirror = Mirror::new();
    let follower = mirror.follow(&db, options(Pace::Live));
    follower.reach(3).await.unwrap();
    follower.pause();
    follower.watch().wait_for(|status| status.phase == Phase::Paused).await.unwrap();
    db.put("d", None, "{}").await.unwrap();
    assert_eq!(follower.reach(4).await, Err(FollowError::Paused));
    assert_eq!(follower.reach(3).await, Ok(3), "what is there is there");
    assert_eq!(mirror.ids().await.len(), 3);
    follower.resume();
    follower.watch().wait_for(|status| status.complete == 4).await.unwrap();
}

#[tokio::test]
async fn a_follower_ends_when_it_is_told_to_or_nobody_holds_it() {
    let store = TestStore::new().await;
    let db = three(&store).await;
    let mirror = Mirror::new();
    let follower = mirror.follow(&db, options(Pace::Live));
    follower.stop().await;
    assert_eq!(follower.reach(3).await, Err(FollowError::Stopped));
    for pace in [Pace::Live, Pace::OnDemand] {
        let follower = mirror.follow(&db, options(pace));
        let mut status = follower.watch();
        drop(follower);
        let ended =
            |status: &settle_database::follow::Status| status.phase == Phase::Ended(End::Stopped);
        status.wait_for(ended).await.unwrap();
    }
}

#[tokio::test]
async fn closing_the_store_waits_for_the_batch_that_is_taken_in() {
    let store = TestStore::new().await;
    let db = three(&store).await;
    let mirror = Mirror::new();
    mirror.moods([Mood::Slow]);
    let follower = mirror.follow(&db, options(Pace::Live));
    mirror.begun().await;
    tokio::join!(store.store.close(), async { mirror.let_go() });
    assert_eq!(follower.status().phase, Phase::Ended(End::Stopped));
    assert_eq!(mirror.ids().await.len(), 3);
}

#[tokio::test]
async fn a_follower_of_a_dropped_database_ends() {
    for pace in [Pace::Live, Pace::OnDemand] {
        let store = TestStore::new().await;
        let db = three(&store).await;
        let mirror = Mirror::new();
        let follower = mirror.follow(&db, options(pace));
        follower.reach(3).await.unwrap();
        store.store.drop(&support::server(), &"notes".parse().unwrap()).await.unwrap();
        follower.watch().wait_for(|it| it.phase == Phase::Ended(End::Gone)).await.unwrap();
        assert_eq!(follower.reach(9).await, Err(FollowError::Gone));
    }
}

#[tokio::test(start_paused = true)]
async fn storage_that_cannot_be_read_is_tried_again() {
    let engine = Arc::new(settle_engine::faulty::FaultyEngine::new(Arc::new(MemoryEngine::new())));
    let store = TestStore::on(engine.clone()).await;
    let db = three(&store).await;
    let mirror = Mirror::new();
    let follower = mirror.follow(&db, options(Pace::OnDemand));
    engine.fail_next(Kind::Read, Fault::Fails { storage_full: false });
    assert_eq!(follower.reach(3).await, Ok(3));
}

/// What changed again before the follower came to it is shown as it is now: the state that was there when
/// it began has been replaced.
#[tokio::test]
async fn a_document_that_keeps_changing_is_seen_at_least_as_it_was() {
    for compacts in [false, true] {
        let store = TestStore::new().await;
        let db = store.create("notes").await;
        let mut revs = Vec::new();
        for id in ["a", "b", "c", "d", "e", "f"] {
            revs.push(db.put(id, None, r#"{"n":1}"#).await.unwrap());
        }
        let mirror = Mirror::new();
        mirror.moods([Mood::Slow]);
        let options = FollowOptions { batch_count_max: 1, ..options(Pace::OnDemand) };
        let follower = mirror.follow(&db, options);
        let (reached, ()) = tokio::join!(follower.reach(6), async {
            // The first batch is being taken in, and the second one is read ahead.
            mirror.begun().await;
            db.put("d", Some(&revs[3]), r#"{"n":2}"#).await.unwrap();
            db.one(delete("e", Some(&revs[4]))).await.unwrap();
            db.db
                .purge(&db.admin, vec![("f".parse().unwrap(), vec![revs[5].clone()])])
                .await
                .unwrap();
            if compacts {
                // Takes away what says that these documents were there.
                db.db.compact(&db.admin).await.unwrap();
            }
            mirror.let_go();
        });
        // The rows are gone, so the round is not known to be complete, and another one is.
        assert_eq!(reached, Ok(if compacts { 9 } else { 6 }));
        assert_eq!(mirror.ids().await, ["a", "b", "c", "d"]);
        assert!(mirror.document("d").await.unwrap().contains(r#""n":2"#));
        follower.reach(9).await.unwrap();
        assert_eq!(mirror.ids().await, ["a", "b", "c", "d"]);
    }
}

#[test]
fn errors_of_storage_are_retried_with_their_causes() {
    let error = settle_database::StorageError::Read(settle_engine::ReadError::Closed);
    let reason = "storage could not be read: the engine is closed".to_owned();
    assert_eq!(StepError::from(error), StepError::Retry { reason });
    assert!(Backoff::default().longest >= Duration::from_secs(30));
}
