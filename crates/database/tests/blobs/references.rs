//! References are rows; a blob is there as long as one of them is.

use std::collections::BTreeSet;

use proptest::prelude::*;
use settle_database::blobs::{BlobDigest, BlobPlan};
use settle_engine::{Batch, Engine, Outcome};
use settle_model::time::Clock as _;

use crate::world::{BINARY, WAIT, World, WriteError, noise, parse};

#[tokio::test]
async fn one_content_is_stored_once_for_all_databases() {
    let world = World::new().await;
    let bytes = noise(1, 100_000);
    let digest = world.store(&bytes, BINARY).await;
    let again = world.stage(&bytes, BINARY).await.unwrap();
    world.refer(8, "y 1-b", digest, Some(&again)).await.unwrap();
    assert_eq!(world.files().len(), 2);
    drop(again);
    while world.files().len() > 1 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert!(world.audit().await.is_empty());
}

#[tokio::test]
async fn two_databases_that_bring_the_same_content_at_once_share_it() {
    let world = World::new().await;
    let bytes = noise(1, 100_000);
    let mut batches = Vec::new();
    for database in [7, 8] {
        let staged = world.stage(&bytes, BINARY).await.unwrap();
        let (document, rev) = parse("x 1-a");
        let mut plan = BlobPlan::new(database);
        plan.reference(staged.digest(), &document, &rev, Some(&staged));
        let engine: &dyn Engine = &*world.engine;
        let writes = plan.clone().resolve(engine, world.clock.now()).await.unwrap();
        let mut batch = Batch::default();
        writes.append_to(&mut batch);
        batches.push((plan, writes, batch));
    }
    let (plan, _, second) = batches.pop().unwrap();
    let (_, writes, first) = batches.pop().unwrap();
    assert_eq!(world.engine.commit(first).await, Outcome::Committed);
    writes.keep();
    assert_eq!(world.engine.commit(second).await, Outcome::Refused { precondition: 0 });
    world.write(plan).await.unwrap();
    world.release(7, "x 1-a", BlobDigest::of(&bytes)).await.unwrap();
    world.collect().await;
    world.audit().await;
}

#[tokio::test]
async fn the_same_new_content_twice_in_one_batch_is_one_blob() {
    let world = World::new().await;
    let bytes = noise(1, 100_000);
    let mut plan = BlobPlan::new(7);
    for at in ["x 1-a", "y 1-b"] {
        let staged = world.stage(&bytes, BINARY).await.unwrap();
        let (document, rev) = parse(at);
        plan.reference(staged.digest(), &document, &rev, Some(&staged));
    }
    world.write(plan).await.unwrap();
    while world.files().len() > 1 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert!(world.audit().await.is_empty());
}

#[tokio::test]
async fn one_revision_gives_up_what_the_next_takes_on() {
    let world = World::new().await;
    let digest = world.store(b"hello", BINARY).await;
    let mut plan = BlobPlan::new(7);
    let (document, rev) = parse("x 1-a");
    plan.release(digest, &document, &rev);
    let (document, rev) = parse("x 2-b");
    plan.reference(digest, &document, &rev, None);
    world.write(plan).await.unwrap();
    assert_eq!(world.collect().await, "0 condemned, 0 reprieved, 0 deleted");
    world.audit().await;
    assert_eq!(world.rows().await.len(), 4);
}

#[tokio::test]
async fn a_blob_that_is_nowhere_cannot_be_referred_to() {
    let world = World::new().await;
    let error = world.refer(7, "x 1-a", BlobDigest::of(b"nothing"), None).await.unwrap_err();
    assert!(matches!(error, WriteError::Missing));
}

#[tokio::test]
async fn a_kept_file_is_not_used_for_a_second_record() {
    let world = World::new().await;
    let staged = world.stage(&noise(1, 100_000), BINARY).await.unwrap();
    let digest = staged.digest();
    world.refer(7, "x 1-a", digest, Some(&staged)).await.unwrap();
    world.release(7, "x 1-a", digest).await.unwrap();
    world.collect().await;
    world.clock.advance(WAIT);
    assert_eq!(world.collect().await, "0 condemned, 0 reprieved, 1 deleted");
    let error = world.refer(7, "x 2-b", digest, Some(&staged)).await.unwrap_err();
    assert!(matches!(error, WriteError::Missing));
    world.audit().await;
}

#[tokio::test]
async fn documents_whose_names_begin_alike_are_told_apart() {
    let world = World::new().await;
    let digest = world.store(b"hello", BINARY).await;
    // A revision of 16 characters has the bytes of another's md5.
    for at in ["x 1-aa", "x 1-abcdefghijklmnop", "x 1-6162636465666768696a6b6c6d6e6f70", "x\0 1-a"]
    {
        world.refer(7, at, digest, None).await.unwrap();
    }
    assert_eq!(world.rows().await.len(), 8);
    world.audit().await;
}

#[tokio::test]
async fn a_dropped_database_gives_up_all_it_referred_to_in_slices() {
    for budget in [1, 150, 1_000, 1_000_000] {
        let world = World::new().await;
        let shared = world.store(b"shared", BINARY).await;
        for document in 0..20 {
            for rev in ["1-a", "2-b", "3-c"] {
                let own = world.stage(&[document % 7], BINARY).await.unwrap();
                let at = format!("d{document} {rev}");
                world.refer(9, &at, own.digest(), Some(&own)).await.unwrap();
                world.refer(9, &at, shared, None).await.unwrap();
            }
        }
        let mut slices = 1;
        while world.store.release_all(9, budget).await.unwrap() {
            world.audit().await;
            slices += 1;
        }
        assert!(slices > 1 || budget > 1_000);
        world.audit().await;
        assert_eq!(world.collect().await, "7 condemned, 0 reprieved, 0 deleted");
        world.clock.advance(WAIT);
        assert_eq!(world.collect().await, "0 condemned, 0 reprieved, 7 deleted");
        // What database 7 has of the shared one: record, data, site reference, reference.
        assert_eq!(world.rows().await.len(), 4);
        world.audit().await;
    }
}

#[derive(Debug, Clone)]
enum Deed {
    Refer { database: u64, at: usize, content: usize },
    Release { database: u64, at: usize, content: usize },
    DropDatabase { database: u64 },
    Collect,
    Wait { seconds: u64 },
    Reopen,
}

const AT: [&str; 3] = ["x 1-a", "x 2-b", "y 1-a"];

fn deed() -> impl Strategy<Value = Deed> {
    let place = || (1u64..4, 0usize..3, 0usize..4);
    prop_oneof![
        6 => place().prop_map(|(database, at, content)| Deed::Refer { database, at, content }),
        6 => place().prop_map(|(database, at, content)| Deed::Release { database, at, content }),
        1 => (1u64..4).prop_map(|database| Deed::DropDatabase { database }),
        4 => Just(Deed::Collect),
        3 => (0u64..800).prop_map(|seconds| Deed::Wait { seconds }),
        1 => Just(Deed::Reopen),
    ]
}

/// Two small contents, two that are files.
fn content(number: usize) -> Vec<u8> {
    noise(number as u64, if number < 2 { 10 } else { 70_000 })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Against a set of what refers to what.
    #[test]
    fn what_is_referred_to_is_there_and_the_rest_goes(
        deeds in prop::collection::vec(deed(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            let mut model = BTreeSet::new();
            for deed in deeds {
                match deed {
                    Deed::Refer { database, at, content: number } => {
                        let staged = world.stage(&content(number), BINARY).await.unwrap();
                        let digest = staged.digest();
                        world.refer(database, AT[at], digest, Some(&staged)).await.unwrap();
                        model.insert((database, at, number));
                    }
                    Deed::Release { database, at, content: number } => {
                        let digest = BlobDigest::of(&content(number));
                        world.release(database, AT[at], digest).await.unwrap();
                        model.remove(&(database, at, number));
                    }
                    Deed::DropDatabase { database } => {
                        while world.store.release_all(database, 100).await.unwrap() {}
                        model.retain(|&(it, _, _)| it != database);
                    }
                    Deed::Collect => drop(world.collect().await),
                    Deed::Wait { seconds } => {
                        world.clock.advance(std::time::Duration::from_secs(seconds));
                    }
                    Deed::Reopen => {
                        world.reopen().await;
                        world.store.sweep().await.unwrap();
                    }
                }
                world.audit().await;
                for &(_, _, number) in &model {
                    let digest = BlobDigest::of(&content(number));
                    let blob = world.store.find(digest).await.unwrap();
                    assert!(blob.is_some(), "content {number}");
                }
            }
            world.collect().await;
            world.clock.advance(WAIT);
            world.collect().await;
            let wanted: BTreeSet<_> = model.iter().map(|&(_, _, number)| number).collect();
            let rows = world.rows().await;
            let records = rows.keys().filter(|key| key.starts_with(&[0, 0x40]));
            assert_eq!(records.count(), wanted.len());
            assert!(!rows.keys().any(|key| key.starts_with(&[0, 0x43])), "a check is left");
            world.reopen().await;
            world.store.sweep().await.unwrap();
            assert!(world.audit().await.is_empty());
        });
    }
}
