//! A crash, a failed write or a write of unknown outcome at any operation leaves no row that refers
//! to what is not there, and at most files that the next open removes.

use std::collections::BTreeSet;

use settle_database::blobs::{BlobDigest, Part};
use settle_engine::faulty::{Fault, Kind};

use crate::world::{BINARY, WAIT, World, noise};

/// Contents that one run acknowledged as referred to, and those it began to give up.
#[derive(Default)]
struct Ledger {
    kept: BTreeSet<BlobDigest>,
}

/// The whole life of three blobs, one of them a file; stops at the first thing that fails.
async fn live(world: &World, ledger: &mut Ledger) -> Result<(), ()> {
    let contents = [noise(1, 200), noise(2, 100_000), noise(3, 300)];
    for (number, bytes) in contents.iter().enumerate() {
        let staged = world.stage(bytes, BINARY).await.map_err(drop)?;
        let digest = staged.digest();
        for database in [7, 8] {
            let at = format!("d{number} 1-a");
            world.refer(database, &at, digest, Some(&staged)).await.map_err(drop)?;
        }
        ledger.kept.insert(digest);
    }
    let digests = contents.each_ref().map(|bytes| BlobDigest::of(bytes));
    for (number, digest) in digests.into_iter().enumerate().take(2) {
        ledger.kept.remove(&digest);
        let at = format!("d{number} 1-a");
        world.release(7, &at, digest).await.map_err(drop)?;
        world.store.release_all(8, 100).await.map_err(drop)?;
    }
    while world.store.release_all(8, 100).await.map_err(drop)? {}
    world.store.collect().await.map_err(drop)?;
    // One is taken up again while it is condemned, the other goes and comes back.
    world.refer(7, "e 1-a", digests[0], None).await.map_err(drop)?;
    ledger.kept.insert(digests[0]);
    world.clock.advance(WAIT);
    world.store.collect().await.map_err(drop)?;
    let staged = world.stage(&contents[1], BINARY).await.map_err(drop)?;
    world.refer(9, "f 1-a", digests[1], Some(&staged)).await.map_err(drop)?;
    ledger.kept.insert(digests[1]);
    Ok(())
}

#[tokio::test]
async fn nothing_that_fails_leaves_a_dangling_reference() {
    let world = World::new().await;
    live(&world, &mut Ledger::default()).await.unwrap();
    let counts = world.engine.counts();
    let operations = counts.reads + counts.commits + counts.clears;
    assert!(operations > 30);
    for fault in [
        Fault::Crash { applied: false },
        Fault::Crash { applied: true },
        Fault::Unknown { applied: false, halts: true },
        Fault::Unknown { applied: true, halts: true },
        Fault::Unknown { applied: true, halts: false },
        Fault::Fails { storage_full: true },
    ] {
        for nth in 0..operations {
            let mut world = World::new().await;
            world.engine.fail_at(Kind::Any, nth, fault);
            let mut ledger = Ledger::default();
            live(&world, &mut ledger).await.unwrap_err();
            world.reopen().await;
            let orphans = world.audit().await.len();
            assert!(orphans <= 1, "{fault:?} at {nth}: {orphans}");
            world.store.sweep().await.unwrap();
            assert!(world.audit().await.is_empty(), "{fault:?} at {nth}");
            for _ in 0..3 {
                world.collect().await;
                world.clock.advance(WAIT);
            }
            assert!(world.audit().await.is_empty(), "{fault:?} at {nth}");
            for &digest in &ledger.kept {
                world.read(digest, Part::Identity).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn files_that_a_crash_left_are_swept() {
    let mut world = World::new().await;
    let kept = world.store(&noise(1, 100_000), BINARY).await;
    // Named, but never committed: the process ends before anything could clean up.
    let staged = world.stage(&noise(2, 100_000), BINARY).await.unwrap();
    Box::leak(Box::new(staged));
    // Half written.
    let options = settle_database::blobs::UploadOptions::new(BINARY);
    let mut writer = world.store.upload(&options);
    writer.write(&noise(3, 600_000)).await.unwrap();
    Box::leak(Box::new(writer));
    // Not ours.
    std::fs::write(world.path().join("incoming/README"), "hands off").unwrap();
    assert_eq!(world.files().len(), 4);

    let swept = world.store.sweep().await.unwrap();
    assert_eq!((swept.unfinished, swept.orphans, swept.in_use), (0, 0, 0), "of this session");
    world.reopen().await;
    let fresh = world.stage(&noise(4, 100_000), BINARY).await.unwrap();
    let swept = world.store.sweep().await.unwrap();
    assert_eq!((swept.unfinished, swept.orphans, swept.in_use), (1, 1, 1));
    assert_eq!(world.files().len(), 3, "kept, fresh, and the one that is not ours");
    world.refer(7, "y 1-a", fresh.digest(), Some(&fresh)).await.unwrap();
    world.read(kept, Part::Stored).await.unwrap();
    world.audit().await;
}

#[tokio::test]
async fn an_older_file_of_a_content_that_came_back_is_swept() {
    let mut world = World::new().await;
    let bytes = noise(1, 100_000);
    let digest = world.store(&bytes, BINARY).await;
    let staged = world.stage(&bytes, BINARY).await.unwrap();
    Box::leak(Box::new(staged));
    assert_eq!(world.files().len(), 2);
    world.reopen().await;
    let swept = world.store.sweep().await.unwrap();
    assert_eq!((swept.orphans, swept.in_use), (1, 1));
    world.read(digest, Part::Stored).await.unwrap();
}
