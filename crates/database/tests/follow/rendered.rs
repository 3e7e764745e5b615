//! Documents as functions of design documents see them.

use std::ops::Bound;

use settle_database::{Atomicity, DocumentForm, Next, RenderedDocument, RenderedScan};

use crate::support::{TestDatabase, TestStore, delete, put, replicated};

fn text(document: &RenderedDocument) -> &str {
    std::str::from_utf8(&document.document).unwrap()
}

async fn some() -> TestDatabase {
    let db = TestStore::new().await.create("notes").await;
    let large = format!(r#"{{"pad":"{}"}}"#, "x".repeat(5_000));
    for edit in [
        put("plain", None, r#"{ "a": 1.0 }"#),
        put("large", None, &large),
        replicated("torn", "2 c a", false, r#"{"is":"c"}"#),
        replicated("torn", "2 b a", false, r#"{"is":"b"}"#),
        replicated("torn", "3 x a", true, "{}"),
        put("gone", None, "{}"),
        put("empty", None, "{}"),
    ] {
        db.one(edit).await.unwrap();
    }
    let ids = ["gone".to_owned()];
    let gone = db.db.look_up_rendered(&db.read, &ids, DocumentForm::default()).await.unwrap();
    let rev = gone[0].as_ref().unwrap().rev.clone();
    db.one(delete("gone", Some(&rev))).await.unwrap();
    db
}

#[tokio::test]
async fn documents_are_looked_up_in_the_order_asked_for() {
    let db = some().await;
    let ids = ["torn", "missing", "plain", "gone", "torn", ""].map(str::to_owned);
    let form = DocumentForm { conflicts: true, local_seq: true, ..DocumentForm::default() };
    let found = db.db.look_up_rendered(&db.read, &ids, form).await.unwrap();
    let found: Vec<_> = found.iter().map(|it| it.as_ref().map(text)).collect();
    let torn = concat!(
        r#"{"_id":"torn","_rev":"2-c","is":"c","_conflicts":["2-b"],"#,
        r#""_deleted_conflicts":["3-x"],"_local_seq":5}"#
    );
    assert_eq!(
        [found[0], found[1], found[3], found[4], found[5]],
        [Some(torn), None, None, Some(torn), None]
    );
    assert!(found[2].unwrap().ends_with(r#""a":1.0,"_local_seq":1}"#));
    let found = db.db.look_up_rendered(&db.read, &ids, DocumentForm::default()).await.unwrap();
    assert_eq!(text(found[0].as_ref().unwrap()), r#"{"_id":"torn","_rev":"2-c","is":"c"}"#);
}

#[tokio::test]
async fn a_scan_goes_through_live_documents_by_id() {
    let db = some().await;
    for (count_max, bytes_max) in [(1, usize::MAX), (2, usize::MAX), (100, 1), (100, usize::MAX)] {
        let scan = RenderedScan {
            start: Bound::Unbounded,
            end: Bound::Unbounded,
            form: DocumentForm::default(),
            in_conflict: false,
            count_max,
            bytes_max,
        };
        let (mut next, mut ids, mut slices) = (Next::Go(scan), Vec::new(), 0);
        while let Next::Go(scan) = next {
            let documents;
            (documents, next) = db.db.scan_rendered(&db.read, scan).await.unwrap();
            assert!(documents.len() <= count_max);
            for found in &documents {
                assert!(
                    text(found)
                        .starts_with(&format!(r#"{{"_id":"{}","_rev":"{}""#, found.id, found.rev))
                );
                ids.push(found.id.clone());
            }
            slices += 1;
        }
        assert_eq!(ids, ["empty", "large", "plain", "torn"]);
        assert_eq!(
            slices,
            if count_max == 100 && bytes_max > 1 {
                1
            } else {
                4_usize.div_ceil(count_max.min(bytes_max)) + 1
            }
        );
    }
    let scan = RenderedScan {
        start: Bound::Included("f".to_owned()),
        end: Bound::Excluded("plain".to_owned()),
        form: DocumentForm::default(),
        in_conflict: false,
        count_max: 10,
        bytes_max: 1 << 20,
    };
    let (documents, next) = db.db.scan_rendered(&db.read, scan).await.unwrap();
    assert_eq!((documents[0].id.as_str(), documents.len(), next == Next::Done), ("large", 1, true));
    assert_eq!(text(&documents[0]).len(), documents[0].document.len());
}

/// Bodies large enough that the engine ends a slice by itself.
#[tokio::test]
async fn a_look_up_goes_over_several_slices() {
    let db = TestStore::new().await.create("notes").await;
    let body = format!(r#"{{"pad":"{}"}}"#, "x".repeat(3_000_000));
    let ids: Vec<String> = (0..8).map(|n| format!("{n}")).collect();
    let edits = ids.iter().map(|id| put(id, None, &body)).collect();
    db.db.write(&db.write, edits, Atomicity::EachAlone).await.unwrap();
    let found = db.db.look_up_rendered(&db.read, &ids, DocumentForm::default()).await.unwrap();
    let found: Vec<_> = found.iter().map(|it| it.as_ref().unwrap().id.clone()).collect();
    assert_eq!(found, ids);
}
