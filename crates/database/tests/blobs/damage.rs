//! Whatever changes in a stored blob is noticed before its bytes are handed on.

use std::{fs, path::PathBuf};

use expect_test::{Expect, expect};
use settle_database::blobs::{BlobDigest, BlobStore, Part};
use settle_engine::{Batch, Engine as _, Outcome};

use crate::world::{BINARY, TEXT, WAIT, World, noise};

const HEADER: usize = 76;
const STRIDE: usize = 65_536 + 4;

/// A blob of three blocks, the last a short one.
async fn large(world: &World) -> (BlobDigest, PathBuf) {
    let digest = world.store(&noise(1, 2 * 65_536 + 1_000), BINARY).await;
    (digest, path(world, digest).await)
}

async fn path(world: &World, digest: BlobDigest) -> PathBuf {
    let blob = world.store.find(digest).await.unwrap().unwrap();
    world.path().join(BlobStore::file_of(digest, &blob.record).unwrap())
}

/// Changes the file and says how a whole read ends.
async fn check(change: impl FnOnce(&mut Vec<u8>), expected: &Expect) {
    let world = World::new().await;
    let (digest, path) = large(&world).await;
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
    expected.assert_eq(&failure(&world, digest, Part::Stored).await);
}

async fn failure(world: &World, digest: BlobDigest, part: Part) -> String {
    let error = world.read(digest, part).await.unwrap_err();
    std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
}

#[tokio::test]
async fn a_flipped_bit_anywhere_in_a_file_is_found() {
    let world = World::new().await;
    let (digest, path) = large(&world).await;
    let sound = fs::read(&path).unwrap();
    assert_eq!(sound.len(), HEADER + 2 * STRIDE + 1_000 + 4);
    let everywhere = (0..HEADER)
        .chain((HEADER..sound.len()).step_by(1_499))
        .chain((HEADER + 65_530..HEADER + STRIDE + 6).chain(sound.len() - 6..sound.len()));
    for offset in everywhere {
        let mut bytes = sound.clone();
        bytes[offset] ^= 1 << (offset % 8);
        fs::write(&path, &bytes).unwrap();
        for part in [Part::Stored, Part::Identity] {
            world.read(digest, part).await.expect_err(&format!("offset {offset}"));
        }
        // A range notices when it needs that block, and is not disturbed when it does not.
        let block = offset.saturating_sub(HEADER) / STRIDE;
        for wanted in 0..3 {
            let start = wanted as u64 * 65_536 + 500;
            let result = world.read(digest, Part::StoredRange(start..start + 10)).await;
            assert_eq!(result.is_err(), offset < HEADER || wanted == block, "offset {offset}");
        }
    }
    fs::write(&path, &sound).unwrap();
    world.read(digest, Part::Stored).await.unwrap();
}

#[tokio::test]
async fn damage_has_a_name() {
    check(|file| file[0] ^= 1, &expect!["its file's header is not what was written"]).await;
    check(
        |file| {
            file[8] = 2;
            reseal(file);
        },
        &expect!["its file was written by a version of the program that this one does not know"],
    )
    .await;
    check(
        |file| {
            file[40] ^= 1;
            reseal(file);
        },
        &expect!["its file belongs to another blob"],
    )
    .await;
    check(|file| file.truncate(70_000), &expect!["its file is 70000 bytes long instead of 132160"])
        .await;
    check(|file| file.push(0), &expect!["its file is 132161 bytes long instead of 132160"]).await;
    check(
        |file| file[HEADER + STRIDE + 9] ^= 1,
        &expect!["block 1 of its file is not what was written"],
    )
    .await;
    check(
        |file| {
            let (first, second) = file[HEADER..].split_at_mut(STRIDE);
            first.swap_with_slice(&mut second[..STRIDE]);
        },
        &expect!["block 0 of its file is not what was written"],
    )
    .await;
    // Right for its place, but not what was uploaded: only the digest tells.
    check(
        |file| {
            file[HEADER + 5] ^= 1;
            let mut bound = file[16..32].to_vec();
            bound.extend_from_slice(&0u64.to_le_bytes());
            bound.extend_from_slice(&file[HEADER..HEADER + 65_536]);
            let sum = crc32c::crc32c(&bound).to_le_bytes();
            file[HEADER + 65_536..HEADER + STRIDE].copy_from_slice(&sum);
        },
        &expect!["its bytes do not have the digest they are stored under"],
    )
    .await;
}

fn reseal(file: &mut [u8]) {
    let sum = crc32c::crc32c(&file[..72]).to_le_bytes();
    file[72..HEADER].copy_from_slice(&sum);
}

#[tokio::test]
async fn a_file_that_is_gone_is_damage_and_not_an_unknown_attachment() {
    let world = World::new().await;
    let (digest, path) = large(&world).await;
    fs::remove_file(path).unwrap();
    assert_eq!(failure(&world, digest, Part::Stored).await, "its file is missing");
}

#[tokio::test]
async fn a_file_in_the_place_of_another_is_found() {
    let world = World::new().await;
    let (digest, victim) = large(&world).await;
    let other = world.store(&noise(2, 2 * 65_536 + 1_000), BINARY).await;
    fs::copy(path(&world, other).await, victim).unwrap();
    assert_eq!(failure(&world, digest, Part::Stored).await, "its file belongs to another blob");
}

#[tokio::test]
async fn a_flipped_bit_in_any_record_is_found() {
    let world = World::new().await;
    let digest = world.store(b"some text", TEXT).await;
    for (key, value) in world.rows().await {
        if !matches!(key[..2], [0, 0x40 | 0x41]) {
            continue;
        }
        for offset in 0..value.len() {
            let mut flipped = value.clone();
            flipped[offset] ^= 4;
            put(&world, &key, flipped).await;
            world.read(digest, Part::Identity).await.expect_err(&format!("offset {offset}"));
        }
        put(&world, &key, value).await;
    }
    world.read(digest, Part::Identity).await.unwrap();
}

#[tokio::test]
async fn a_blob_whose_record_is_damaged_is_never_deleted_and_holds_up_no_other() {
    let mut world = World::new().await;
    let damaged = world.store(&noise(1, 100_000), BINARY).await;
    let other = world.store(&noise(2, 100_000), BINARY).await;
    let key = [&[0, 0x40], &damaged.as_bytes()[..]].concat();
    let sound = world.rows().await[&key].clone();
    let mut flipped = sound.clone();
    flipped[9] ^= 1;
    put(&world, &key, flipped).await;
    for digest in [damaged, other] {
        world.release(7, "x 1-a", digest).await.unwrap();
    }
    assert_eq!(world.collect().await, "1 condemned, 0 reprieved, 0 deleted");
    world.clock.advance(WAIT);
    assert_eq!(world.collect().await, "0 condemned, 0 reprieved, 1 deleted");
    world.reopen().await;
    assert_eq!(world.store.sweep().await.unwrap().in_use, 1);
    put(&world, &key, sound).await;
    world.read(damaged, Part::Stored).await.unwrap();
    world.clock.advance(WAIT);
    assert_eq!(world.collect().await, "1 condemned, 0 reprieved, 0 deleted");
}

#[tokio::test]
async fn a_data_record_that_is_gone_is_damage() {
    let world = World::new().await;
    let digest = world.store(b"hello", BINARY).await;
    let mut batch = Batch::default();
    batch.delete([&[0, 0x41], &digest.as_bytes()[..]].concat());
    assert_eq!(world.engine.commit(batch).await, Outcome::Committed);
    assert_eq!(failure(&world, digest, Part::Stored).await, "its data record is missing");
}

async fn put(world: &World, key: &[u8], value: Vec<u8>) {
    let mut batch = Batch::default();
    batch.put(key.to_vec(), value);
    assert_eq!(world.engine.commit(batch).await, Outcome::Committed);
}
