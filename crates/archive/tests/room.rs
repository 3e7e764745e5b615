//! What is restored takes no more room than there is.

mod support;

use settle_archive::RestoreFailure;
use settle_database::Origin;

use crate::support::{TestStore, assert_untouched, edit};

#[tokio::test]
async fn a_restore_stores_no_more_than_there_is_room_for() {
    let large = "x".repeat(100_000);
    let body = format!(r#"{{"pad":"{large}"}}"#);
    let ancestry: Vec<String> = (0..900).map(|n| format!("{n:032x}")).collect();
    let ancestry = format!("900 {}", ancestry.join(" "));
    for kind in ["bodies", "attachments", "local documents", "ancestries"] {
        let store = TestStore::new().await;
        let db = store.create("notes").await;
        for n in 0..30 {
            let id = format!("d{n}");
            match kind {
                "bodies" => drop(db.put(&id, None, &body).await),
                "attachments" => {
                    let attached = db.attachment("a", "text/plain", large.as_bytes()).await;
                    let origin = Origin::Interactive { base: None, must_exist: false };
                    db.one(edit(&id, origin, false, "{}", vec![attached])).await;
                }
                "local documents" => db.local(&id, &body).await,
                _ => db.graft(&id, &ancestry, false, "{}").await,
            }
        }
        let (before, info) = (db.wholes().await, db.db.info(&db.read).await.unwrap());
        let archive = store.archive(&db).await;
        let restore =
            async |max: u64| store.restore_within(&db, &archive, Some(max)).await.map(drop);
        let refused = restore(200_000).await;
        assert!(matches!(refused, Err(RestoreFailure::NoRoom { max: 200_000 })), "{kind}");
        let locals: usize = db.locals().await.iter().map(|(.., body)| body.len()).sum();
        restore(info.external_bytes + info.file_bytes + locals as u64).await.unwrap();
        assert_untouched(&store, &before).await;
    }
}

#[tokio::test]
async fn a_restore_without_room_ends_before_the_archive_does() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let body = format!(r#"{{"pad":"{}"}}"#, "x".repeat(600_000));
    for id in ["a", "b", "c", "d", "e"] {
        db.put(id, None, &body).await;
    }
    let archive = store.archive(&db).await;
    let cut = &archive[..archive.len() - 1];
    let failed = async |max| store.restore_within(&db, cut, max).await.map(drop).unwrap_err();
    assert!(matches!(failed(None).await, RestoreFailure::Bad(_)));
    assert!(matches!(failed(Some(1_000_000)).await, RestoreFailure::NoRoom { .. }));
}
