//! What a transaction function has read, compared when its writes are to be made; and the writer's turn.

use std::{sync::Arc, time::Duration};

use settle_database::{
    At, Atomicity, Called, Extras, Fate, Judgement, Moment, OpenRevs, ReadSet, Submitted,
    Transactions, Verdict,
};
use settle_transact::Exchange;

use crate::{
    support::{TestDatabase, delete, put},
    world::{World, all, show},
};

async fn present(database: &TestDatabase) -> Moment {
    database.db.moment(&database.read, &At::Now).await.unwrap()
}

/// A transaction whose function has read this, and says that `target` is to be put.
fn called(id: &str, read: ReadSet, target: &str) -> Arc<Transactions> {
    let text =
        format!(r#"{{"client":"c","transactions":[{{"id":"{id}","call":{{"function":"d/f"}}}}]}}"#);
    let exchange = Exchange::parse(text.as_bytes()).unwrap();
    let mut transaction = exchange.transactions.into_iter().next().unwrap();
    let writes = format!(
        r#"{{"client":"c","transactions":[{{"id":"w","writes":[{{"id":"{target}","put":{{}}}}]}}]}}"#
    );
    let written = Exchange::parse(writes.as_bytes()).unwrap().transactions.into_iter().next();
    transaction.writes = written.unwrap().writes;
    let called = Some(Called { read, outcome: Ok(b"1".to_vec()) });
    let list = vec![Submitted { transaction, attachments: Vec::new(), no_room: None, called }];
    Arc::new(Transactions::new(Some("ada"), exchange.client, exchange.mode, list))
}

async fn transact(database: &TestDatabase, transactions: &Arc<Transactions>) -> Fate {
    let judgement = Judgement::Unasked(Verdict::NONE);
    let fates = database.db.transact(&database.write, transactions, 0..1, &judgement).await;
    fates.unwrap().pop().unwrap()
}

type Read = (&'static str, fn(&mut ReadSet));

const READS: [Read; 5] = [
    ("a", |read| read.document("a".parse().unwrap(), true)),
    ("gone", |read| read.document("gone".parse().unwrap(), false)),
    ("none", |read| read.document("none".parse().unwrap(), false)),
    ("b*", |read| read.prefix("b")),
    ("all", ReadSet::everything),
];

/// Which reads are no longer true after a write.
#[tokio::test]
async fn a_function_is_overtaken_by_what_changes_what_it_read() {
    for (written, overtaken) in [
        ("", ""),
        ("put a", "a all"),
        ("put other", "all"),
        ("put none", "none all"),
        ("put gone", "gone all"),
        ("put b1", "b* all"),
        ("put b2", "b* all"),
        ("delete a", "a all"),
        ("delete b1", "b* all"),
        ("purge a", "a all"),
        ("purge b1", "b* all"),
        ("purge gone", "all"),
    ] {
        let mut seen = Vec::new();
        for (name, reads) in READS {
            let world = World::new().await;
            let database = &world.database;
            for id in ["a", "b1", "gone", "other"] {
                database.put(id, None, "{}").await.unwrap();
            }
            change(database, "delete", "gone").await;
            let mut read = ReadSet::at(present(database).await);
            reads(&mut read);
            if let Some((how, id)) = written.split_once(' ') {
                change(database, how, id).await;
            }
            match transact(database, &called("1", read, "target")).await {
                Fate::Decided { accepted: true, answer } => {
                    assert!(answer.ends_with(br#","result":1}"#));
                    assert_eq!(show(database, "target").await, "{}");
                }
                Fate::Overtaken => {
                    seen.push(name);
                    assert_eq!(show(database, "target").await, "-");
                }
                fate @ (Fate::Decided { .. }
                | Fate::Reused
                | Fate::Aborted
                | Fate::NotAttempted
                | Fate::Later) => panic!("{fate:?}"),
            }
            database.audit().await;
        }
        assert_eq!(seen.join(" "), overtaken, "{written}");
    }
}

async fn change(database: &TestDatabase, how: &str, id: &str) {
    let id_of = id.parse().unwrap();
    let found =
        database.db.open_revs(&database.read, &id_of, &OpenRevs::All, false, Extras::default());
    let rev = found.await.unwrap_or_default().into_iter().find_map(Result::ok).map(|it| it.rev);
    match how {
        "put" => {
            // On a tombstone as on nothing.
            let base = rev.filter(|_| id != "gone");
            database.put(id, base.as_ref(), r#"{"n":1}"#).await.unwrap();
        }
        "delete" => {
            database.one(delete(id, rev.as_ref())).await.unwrap();
        }
        _ => {
            let items = vec![(id.parse().unwrap(), rev.into_iter().collect())];
            database.db.purge(&database.admin, items).await.unwrap();
        }
    }
}

/// What is planned before it in the same commit counts as well.
#[tokio::test]
async fn a_function_is_overtaken_within_one_commit() {
    for (name, reads) in READS {
        let world = World::new().await;
        let database = &world.database;
        database.put("a", None, "{}").await.unwrap();
        let moment = present(database).await;
        let make = |id: &str, target: &str| {
            let mut read = ReadSet::at(moment);
            reads(&mut read);
            called(id, read, target)
        };
        // All three wait when the writer comes by.
        let target = if name == "b*" || name == "all" { "b7" } else { name };
        let lists = [make("1", "x"), make("2", target), make("3", "y")];
        let commits = world.commits();
        let fates = all(lists.iter().map(|list| transact(database, list))).await;
        assert_eq!(world.commits(), commits + 1);
        let accepted: Vec<bool> = fates.iter().map(Fate::is_accepted).collect();
        let first_is_seen = name == "all";
        assert_eq!(accepted, [true, !first_is_seen, false], "{name}");
        database.audit().await;
    }
}

#[tokio::test]
async fn a_read_of_very_much_is_one_of_everything() {
    let world = World::new().await;
    let database = &world.database;
    let mut read = ReadSet::at(present(database).await);
    for n in 0..2_000 {
        read.document(format!("d{n}").parse().unwrap(), false);
    }
    database.put("other", None, "{}").await.unwrap();
    assert_eq!(transact(database, &called("1", read, "target")).await, Fate::Overtaken);
    // So is one of a beginning, once there is too much to look through.
    let mut read = ReadSet::at(present(database).await);
    read.prefix("b");
    let edits = (0..1_001).map(|n| put(&format!("e{n}"), None, "{}")).collect();
    database.db.write(&database.write, edits, Atomicity::EachAlone).await.unwrap();
    assert_eq!(transact(database, &called("2", read, "target")).await, Fate::Overtaken);
}

/// Until it has said something, it is only known that it is not refused.
#[tokio::test]
async fn a_call_that_was_not_made_decides_nothing() {
    let world = World::new().await;
    let said = world.ask("c", r#"{"id":"1","call":{"function":"d/f"}}"#).await;
    assert_eq!(said, "Overtaken");
    let require = r#"{"id":"1","require":[{"id":"a","exists":true}],"call":{"function":"d/f"}}"#;
    assert!(
        world.ask("c", require).await.starts_with(r#"{"accepted":false,"reason":"requirement""#)
    );
}

#[tokio::test]
async fn nothing_is_written_while_somebody_has_the_turn() {
    let world = World::new().await;
    let database = &world.database;
    let turn = database.db.turn(&database.write).await.unwrap();
    let mut read = ReadSet::at(present(database).await);
    read.everything();
    let mut other = Box::pin(database.put("other", None, "{}"));
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!(futures_now(&mut other).is_none(), "it was written in somebody else's turn");
    }
    let judgement = Judgement::Unasked(Verdict::NONE);
    let fates = turn.transact(&called("1", read, "target"), 0..1, judgement).await.unwrap();
    assert!(fates[0].is_accepted(), "{fates:?}");
    other.await.unwrap();
    database.audit().await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_ends_by_itself() {
    let world = World::new().await;
    let database = &world.database;
    let turn = database.db.turn(&database.write).await.unwrap();
    let read = ReadSet::at(present(database).await);
    database.put("other", None, "{}").await.unwrap();
    let judgement = Judgement::Unasked(Verdict::NONE);
    let fates = turn.transact(&called("1", read, "target"), 0..1, judgement).await.unwrap();
    assert_eq!(fates, [Fate::Overtaken]);
    // One that is given back is over at once.
    let began = tokio::time::Instant::now();
    drop(database.db.turn(&database.write).await.unwrap());
    database.put("another", None, "{}").await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(50));
    assert_eq!(show(database, "target").await, "-");
}

/// The output of a future that is ready.
fn futures_now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(future).poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}
