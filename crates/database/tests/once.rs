//! Writes that may come again: made once, with the record of what is answered, or not at all.

mod support;

use std::sync::Arc;

use settle_database::{
    Answer, Atomicity, Attempt, Edit, EditError, Epochs, OnceKey, Recorded, Recording, Seen,
    StorageError, Verdict, Written,
};
use settle_engine::{
    Engine,
    faulty::{Fault, FaultyEngine, Kind},
    memory::MemoryEngine,
};

use crate::support::{TestDatabase, TestStore, put};

fn key(name: &str, payload: u8) -> OnceKey {
    OnceKey::new(Some("ada"), "POST /notes", name.to_owned(), [payload; 32])
}

/// What is answered tells how each edit fared.
fn recording(name: &str, payload: u8) -> Recording {
    let fared = |result: &Result<Written, EditError>| match result {
        Ok(written) => written.rev.to_string(),
        Err(error) => error.to_string(),
    };
    let answer = Answer::new(move |results| {
        Some(results.iter().map(fared).collect::<Vec<_>>().join(", ").into_bytes())
    });
    Recording { key: key(name, payload), answer }
}

async fn write(
    database: &TestDatabase,
    edits: Vec<Edit>,
    recording: Recording,
) -> Result<Attempt, StorageError> {
    database.db.attempt_once(&database.write, edits, Atomicity::EachAlone, recording).await
}

fn new(id: &str, n: u32) -> Edit {
    put(id, None, &format!(r#"{{"n":{n}}}"#))
}

#[tokio::test]
async fn a_write_is_made_once_and_a_key_stands_for_one() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let edits = || vec![new("a", 1), new("b", 1), new("a", 2)];
    let made = write(&db, edits(), recording("1", 1)).await.unwrap();
    assert!(matches!(&*made.results, [Ok(_), Ok(_), Err(EditError::Conflict)]));
    let answer = Recorded::Answer(
        b"1-731bef401491606a3b246ed178e697c1, 1-731bef401491606a3b246ed178e697c1, the document has moved on from the revision given"
            .to_vec(),
    );
    assert_eq!(db.db.recorded(&db.write, &key("1", 1)).await.unwrap(), Some(answer.clone()));
    let sequence = db.db.sequence();
    let again = write(&db, edits(), recording("1", 1)).await.unwrap();
    assert_eq!((again.recorded, again.results.len()), (Some(answer), 0));
    let other = write(&db, edits(), recording("1", 2)).await.unwrap();
    assert_eq!(other.recorded, Some(Recorded::Other));
    assert_eq!(db.db.sequence(), sequence);
    db.audit().await;
}

#[tokio::test]
async fn where_one_edit_is_judged_again_all_are_and_nothing_is_recorded() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    db.put("_design/d", None, "{}").await.unwrap();
    let epochs = db.db.epochs();
    let judged = |id: &str, epochs: Epochs| Edit {
        verdict: Verdict::passed(epochs, Seen::Nothing),
        ..new(id, 1)
    };
    let edits = vec![judged("a", epochs), judged("b", Epochs::default())];
    let attempt = write(&db, edits, recording("1", 1)).await.unwrap();
    assert!(attempt.results.iter().all(|it| *it == Err(EditError::Overtaken)));
    assert_eq!(attempt.overtaken.len(), 2);
    assert_eq!(db.db.recorded(&db.write, &key("1", 1)).await.unwrap(), None);
    let edits = vec![judged("a", epochs), judged("b", epochs)];
    let attempt = write(&db, edits, recording("1", 1)).await.unwrap();
    assert!(attempt.results.iter().all(Result::is_ok));
    db.audit().await;
}

/// The documents get names of their own, so that a second write would be seen.
#[tokio::test]
async fn a_client_that_repeats_writes_once_whatever_fails() {
    let faults = [
        Fault::Fails { storage_full: false },
        Fault::Unknown { applied: true, halts: true },
        Fault::Unknown { applied: false, halts: false },
        Fault::Crash { applied: true },
        Fault::Crash { applied: false },
    ];
    for fault in faults {
        for nth in 0..8 {
            let inner: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
            let engine = Arc::new(FaultyEngine::new(inner));
            let mut store = TestStore::on(engine.clone()).await;
            let mut db = store.create("notes").await;
            let kind = if nth % 2 == 0 { Kind::Commit } else { Kind::Read };
            let commits = engine.counts();
            let before = if kind == Kind::Commit { commits.commits } else { commits.reads };
            engine.fail_at(kind, before + nth / 2, fault);
            let mut sent = 0;
            for name in ["1", "2", "3"] {
                loop {
                    sent += 1;
                    let edits = vec![new(&format!("sent-{sent}"), 1)];
                    if write(&db, edits, recording(name, 1)).await.is_ok() {
                        break;
                    }
                    store.store.close().await;
                    engine.reopen();
                    store = TestStore::on(engine.clone()).await;
                    let found = store.store.find(&"notes".parse().unwrap()).await.unwrap();
                    db = TestDatabase::new(found.unwrap());
                }
            }
            let count = db.db.info(&db.read).await.unwrap().doc_count;
            assert_eq!(count, 3, "{fault:?} at {kind:?} {nth}, {sent} sent");
            db.audit().await;
        }
    }
}
