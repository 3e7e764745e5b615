//! The collector, and those who come in between.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use expect_test::expect;
use settle_database::blobs::{BlobDigest, BlobPlan, BlobSettings, BlobStore, BlobStoreParts, Part};
use settle_engine::{Batch, BoxFuture, Engine, Outcome, around::Around};
use settle_model::time::{Clock as _, ManualClock, SeededEntropy};

use crate::world::{BINARY, WAIT, World, noise, parse};

#[tokio::test]
async fn a_blob_is_condemned_then_deleted() {
    let world = World::new().await;
    let digest = world.store(&noise(1, 100_000), BINARY).await;
    assert_eq!(world.collect().await, "0 condemned, 0 reprieved, 0 deleted");
    world.release(7, "x 1-a", digest).await.unwrap();
    assert_eq!(world.collect().await, "1 condemned, 0 reprieved, 0 deleted");
    assert!(world.store.find(digest).await.unwrap().unwrap().record.condemned_at.is_some());
    world.clock.advance(WAIT - std::time::Duration::from_secs(1));
    assert_eq!(world.collect().await, "0 condemned, 0 reprieved, 0 deleted");
    world.read(digest, Part::Stored).await.unwrap();
    world.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(world.collect().await, "0 condemned, 0 reprieved, 1 deleted");
    assert!(world.rows().await.is_empty());
    assert!(world.files().is_empty());
}

#[tokio::test]
async fn a_reference_lifts_the_condemnation_and_needs_no_upload() {
    let world = World::new().await;
    let digest = world.store(&noise(1, 100_000), BINARY).await;
    world.release(7, "x 1-a", digest).await.unwrap();
    world.collect().await;
    world.refer(8, "y 1-a", digest, None).await.unwrap();
    assert_eq!(world.store.find(digest).await.unwrap().unwrap().record.condemned_at, None);
    world.clock.advance(WAIT);
    assert_eq!(world.collect().await, "0 condemned, 0 reprieved, 0 deleted");
    assert!(world.audit().await.is_empty());
}

#[tokio::test]
async fn a_second_release_does_not_shorten_the_wait() {
    let world = World::new().await;
    let digest = world.store(b"hello", BINARY).await;
    world.release(7, "x 1-a", digest).await.unwrap();
    world.collect().await;
    world.clock.advance(WAIT / 2);
    world.refer(7, "x 2-b", digest, None).await.unwrap();
    world.release(7, "x 2-b", digest).await.unwrap();
    assert_eq!(world.collect().await, "1 condemned, 0 reprieved, 0 deleted");
    world.clock.advance(WAIT / 2);
    assert_eq!(world.collect().await, "0 condemned, 0 reprieved, 0 deleted");
    world.clock.advance(WAIT / 2);
    assert_eq!(world.collect().await, "0 condemned, 0 reprieved, 1 deleted");
}

#[tokio::test]
async fn many_checks_are_done_in_slices() {
    let world = World::new().await;
    for seed in 0..300 {
        let staged = world.stage(&noise(seed, 20), BINARY).await.unwrap();
        world.refer(7, "x 1-a", staged.digest(), Some(&staged)).await.unwrap();
        world.release(7, "x 1-a", staged.digest()).await.unwrap();
    }
    expect![[r#"
        128 condemned, 0 reprieved, 0 deleted
        128 condemned, 0 reprieved, 0 deleted
        44 condemned, 0 reprieved, 0 deleted"#]]
    .assert_eq(&world.collect().await);
    world.clock.advance(WAIT);
    world.collect().await;
    assert!(world.rows().await.is_empty());
}

#[tokio::test]
async fn a_plan_made_before_the_deletion_is_refused_after_it() {
    let world = World::new().await;
    let digest = world.store(b"hello", BINARY).await;
    world.release(7, "x 1-a", digest).await.unwrap();
    world.collect().await;
    let (document, rev) = parse("x 2-b");
    let mut plan = BlobPlan::new(7);
    plan.reference(digest, &document, &rev, None);
    let engine: &dyn Engine = &*world.engine;
    let writes = plan.resolve(engine, world.clock.now()).await.unwrap();
    world.clock.advance(WAIT);
    world.collect().await;
    let mut batch = Batch::default();
    writes.append_to(&mut batch);
    assert_eq!(world.engine.commit(batch).await, Outcome::Refused { precondition: 0 });
    world.audit().await;
}

/// Runs a batch of someone else's just before the next commit.
struct Between {
    inner: Arc<dyn Engine>,
    batch: Mutex<Option<Batch>>,
}

impl fmt::Debug for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Between")
    }
}

impl Around for Between {
    fn inner(&self) -> &dyn Engine {
        &*self.inner
    }

    fn around_commit(&self, batch: Batch) -> BoxFuture<'static, Outcome> {
        let first = self.batch.lock().unwrap().take().map(|first| self.inner.commit(first));
        let second = self.inner.commit(batch);
        Box::pin(async move {
            if let Some(first) = first {
                assert_eq!(first.await, Outcome::Committed);
            }
            second.await
        })
    }
}

/// A world in which a writer's batch commits between the collector's look and its commit. `batch`
/// plans with what the writer sees at the same moment as the collector.
async fn check_between(is_condemned: bool, is_release: bool, expected: &str) {
    let world = World::new().await;
    let digest = world.store(&noise(1, 100_000), BINARY).await;
    world.release(7, "x 1-a", digest).await.unwrap();
    if is_condemned {
        world.collect().await;
        world.clock.advance(WAIT);
    }
    if is_release {
        world.refer(8, "y 1-a", digest, None).await.unwrap();
    }
    let (document, rev) = parse("y 1-a");
    let mut plan = BlobPlan::new(8);
    if is_release {
        plan.release(digest, &document, &rev);
    } else {
        plan.reference(digest, &document, &rev, None);
    }
    let engine: &dyn Engine = &*world.engine;
    let writes = plan.resolve(engine, world.clock.now()).await.unwrap();
    let mut batch = Batch::default();
    writes.append_to(&mut batch);

    let between = Between { inner: world.engine.clone(), batch: Mutex::new(Some(batch)) };
    let collector = store_on(Arc::new(between), &world).await;
    let collected = collector.collect().await.unwrap();
    let (condemned, deleted) = (collected.condemned, collected.deleted);
    assert_eq!(format!("{condemned} condemned, {deleted} deleted"), expected);

    // Whatever it did then, in the end the blob is there exactly if somebody refers to it.
    world.audit().await;
    for _ in 0..3 {
        world.collect().await;
        world.clock.advance(WAIT);
    }
    world.audit().await;
    let is_there = world.store.find(digest).await.unwrap().is_some();
    assert_eq!(is_there, !is_release);
    if is_there {
        let record = world.store.find(digest).await.unwrap().unwrap().record;
        assert_eq!(record.condemned_at, None);
    }
}

async fn store_on(engine: Arc<dyn Engine>, world: &World) -> Arc<BlobStore> {
    let clock: Arc<ManualClock> = world.clock.clone();
    let parts = BlobStoreParts {
        engine,
        folder: Some(world.path()),
        clock,
        entropy: Arc::new(SeededEntropy::new(99)),
        settings: BlobSettings { condemned_for: WAIT },
    };
    BlobStore::open(parts).await.unwrap()
}

#[tokio::test]
async fn a_reference_that_comes_while_a_blob_is_being_condemned_saves_it() {
    check_between(false, false, "1 condemned, 0 deleted").await;
}

#[tokio::test]
async fn a_reference_that_comes_while_a_blob_is_being_deleted_saves_it() {
    check_between(true, false, "0 condemned, 0 deleted").await;
}

#[tokio::test]
async fn a_release_that_comes_while_a_blob_is_being_kept_is_not_forgotten() {
    check_between(false, true, "0 condemned, 0 deleted").await;
    check_between(true, true, "0 condemned, 0 deleted").await;
}

#[tokio::test]
async fn the_collector_runs_until_it_is_told_to_stop() {
    let world = World::new().await;
    let digest = world.store(b"hello", BINARY).await;
    world.release(7, "x 1-a", digest).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = world.store.clone().run_collector(async move { drop(stopped.await) });
    let watch = async {
        while world.store.find(digest).await.unwrap().unwrap().record.condemned_at.is_none() {
            tokio::task::yield_now().await;
        }
        drop(stop);
    };
    tokio::join!(run, watch);
}

#[tokio::test]
async fn without_a_folder_the_store_has_a_temporary_one() {
    let world = World::new().await;
    let parts = BlobStoreParts {
        engine: world.engine.clone(),
        folder: None,
        clock: world.clock.clone(),
        entropy: Arc::new(SeededEntropy::new(5)),
        settings: BlobSettings::default(),
    };
    let store = BlobStore::open(parts).await.unwrap();
    let bytes = noise(1, 100_000);
    let options = settle_database::blobs::UploadOptions::new(BINARY);
    let staged = Arc::new(store.stage(&bytes, &options).await.unwrap());
    world.refer(7, "x 1-a", staged.digest(), Some(&staged)).await.unwrap();
    let digest = BlobDigest::of(&bytes);
    let read = store.read(digest, Part::Identity).await.unwrap().into_bytes().await.unwrap();
    assert_eq!(read, bytes);
}
