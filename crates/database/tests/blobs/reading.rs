//! Streams and ranges.

use proptest::prelude::*;
use settle_database::blobs::{BlobDigest, Part};

use crate::world::{BINARY, TEXT, World, noise};

const BLOCK: usize = 65_536;

#[tokio::test]
async fn what_was_never_stored_is_missing() {
    let world = World::new().await;
    let digest = BlobDigest::of(b"never");
    let error = world.store.read(digest, Part::Stored).await.unwrap_err();
    assert_eq!(error.to_string(), format!("attachment data {digest} is not stored here"));
    assert_eq!(world.store.find(digest).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_staged_is_not_there_before_something_refers_to_it() {
    let world = World::new().await;
    let staged = world.stage(b"soon", BINARY).await.unwrap();
    world.store.read(staged.digest(), Part::Stored).await.unwrap_err();
}

#[tokio::test]
async fn a_range_outside_the_blob_is_refused() {
    let world = World::new().await;
    let digest = world.store(b"hello", BINARY).await;
    for range in [0..6, 6..6, u64::MAX..u64::MAX] {
        let part = Part::StoredRange(range.clone());
        let error = world.store.read(digest, part).await.unwrap_err();
        let (start, end) = (range.start, range.end);
        let expected = format!("attachment data {digest} has no bytes {start} to {end}");
        assert_eq!(error.to_string(), expected);
    }
}

#[tokio::test]
async fn lengths_round_the_borders_of_blocks_and_steps_read_back() {
    let world = World::new().await;
    let step = 4 * BLOCK;
    for border in [0, 1, BLOCK, 2 * BLOCK, step, step + BLOCK, 2 * step] {
        for length in border.saturating_sub(1)..=border + 1 {
            let bytes = noise(3, length);
            let plain = world.store(&bytes, BINARY).await;
            assert_eq!(world.read(plain, Part::Stored).await.unwrap(), bytes);
            assert_eq!(world.read(plain, Part::Identity).await.unwrap(), bytes);
            let packed = world.store(&bytes, TEXT).await;
            assert_eq!(world.read(packed, Part::Identity).await.unwrap(), bytes);
        }
    }
    assert!(world.audit().await.is_empty());
}

#[tokio::test]
async fn a_little_that_unpacks_to_much_comes_in_pieces() {
    let world = World::new().await;
    let bytes = vec![b' '; 20_000_000];
    let digest = world.store(&bytes, TEXT).await;
    let mut reader = world.store.read(digest, Part::Identity).await.unwrap();
    assert_eq!(reader.length(), 20_000_000);
    let (mut total, mut longest) = (0, 0);
    while let Some(piece) = reader.next().await {
        let piece = piece.unwrap();
        assert!(piece.iter().all(|&byte| byte == b' '));
        total += piece.len();
        longest = longest.max(piece.len());
    }
    assert_eq!(total, bytes.len());
    assert!(longest <= step_max(), "{longest}");
}

fn step_max() -> usize {
    4 * BLOCK + 1
}

#[tokio::test]
async fn a_reader_outlives_the_deletion_of_its_blob() {
    let world = World::new().await;
    let bytes = noise(4, 2_000_000);
    let digest = world.store(&bytes, BINARY).await;
    let reader = world.store.read(digest, Part::Stored).await.unwrap();
    world.release(7, "x 1-a", digest).await.unwrap();
    world.collect().await;
    world.clock.advance(crate::world::WAIT);
    world.collect().await;
    assert!(world.files().is_empty());
    assert_eq!(reader.into_bytes().await.unwrap(), bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_range_gives_the_bytes_that_stand_there(
        seed: u64,
        length in prop_oneof![1usize..2_000, 60_000usize..140_000, 400_000usize..700_000],
        ranges in prop::collection::vec(any::<[prop::sample::Index; 2]>(), 1..8),
    ) {
        let bytes = noise(seed, length);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            let digest = world.store(&bytes, BINARY).await;
            for [a, b] in ranges {
                let (a, b) = (a.index(length + 1), b.index(length + 1));
                let (start, end) = (a.min(b), a.max(b));
                let part = Part::StoredRange(start as u64..end as u64);
                assert_eq!(world.read(digest, part).await.unwrap(), &bytes[start..end]);
            }
        });
    }
}
