//! Changes that a selector lets through: an index names all of them, and the database is not looked through.

use std::sync::Arc;

use proptest::prelude::*;
use settle_database::{ChangeFilter, ChangeScan, Direction, LeafForm, Next};
use settle_engine::memory::MemoryEngine;
use settle_query::selector::Selector;

use super::{
    counting::Counting,
    world::{Db, World, mango, settings},
};
use crate::{Indexes, Update};

#[derive(Debug, Clone)]
enum Step {
    Put(u8, String),
    /// A revision of another replica: a name, whether it is a tombstone, its body.
    Graft(u8, u8, bool, String),
    Delete(u8),
    Purge(u8),
    Design(String),
    /// A selector, and which of all changes is the last one that is known.
    Ask(String, prop::sample::Index),
}

fn body() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec!["null", "1", "2", "\"x\"", "\"xy\"", "[1]", "{\"b\":1}"]);
    let members = prop::collection::btree_map(prop::sample::select(vec!["a", "b"]), value, 0..3);
    members.prop_map(|members| {
        let members: Vec<_> =
            members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

fn selector() -> impl Strategy<Value = String> {
    let condition = prop::sample::select(vec![
        "1",
        "{\"$gt\":1}",
        "{\"$lte\":\"x\"}",
        "{\"$gte\":null}",
        "{\"$exists\":true}",
        "{\"$exists\":false}",
        "{\"$beginsWith\":\"x\"}",
        "{\"$ne\":2}",
        "{\"$in\":[1,\"x\"]}",
        "{\"$not\":{\"$eq\":1}}",
    ]);
    let of = |member: &'static str| {
        condition.clone().prop_map(move |it| format!("{{\"{member}\":{it}}}"))
    };
    let one = prop_oneof![
        6 => of("a"),
        2 => of("b"),
        1 => Just("{\"_deleted\":true}".to_owned()),
        1 => Just("{\"_conflicts\":{\"$exists\":true}}".to_owned()),
    ];
    prop_oneof![
        one.clone(),
        prop::collection::vec(one.clone(), 1..3)
            .prop_map(|all| format!("{{\"$and\":[{}]}}", all.join(","))),
        prop::collection::vec(one, 0..3).prop_map(|all| format!("{{\"$or\":[{}]}}", all.join(","))),
    ]
}

fn design() -> impl Strategy<Value = String> {
    let fields = prop::sample::select(vec![
        &["a"][..],
        &["b"][..],
        &["a", "b"][..],
        &["_id", "a"][..],
        &["_conflicts"][..],
    ]);
    fields.prop_map(|fields| mango(&[("v", fields)]))
}

fn step() -> impl Strategy<Value = Step> {
    let id = || any::<u8>().prop_map(|id| id % 8);
    prop_oneof![
        4 => (id(), body()).prop_map(|(id, body)| Step::Put(id, body)),
        4 => (id(), any::<u8>(), any::<bool>(), body())
            .prop_map(|(id, name, deleted, body)| Step::Graft(id, name % 4, deleted, body)),
        1 => id().prop_map(Step::Delete),
        1 => id().prop_map(Step::Purge),
        1 => design().prop_map(Step::Design),
        8 => (selector(), any::<prop::sample::Index>()).prop_map(|(it, since)| Step::Ask(it, since)),
    ]
}

/// The sequences of changes of which a leaf is selected, by looking at every change.
async fn by_looking(db: &Db, selector: &Selector, since: u64, until: u64) -> Vec<u64> {
    let mut scan = ChangeScan {
        since,
        until,
        direction: Direction::Ascending,
        content: false,
        times: false,
        only: ChangeFilter::All,
    };
    let form = LeafForm { all: true, ancestors: 0, count_max: 100, bytes_max: usize::MAX };
    let mut found = Vec::new();
    loop {
        let (changes, next) = db.db.scan_leaves(&db.read, &scan, form).await.unwrap();
        let selected =
            changes.iter().filter(|it| it.documents.iter().any(|it| selector.matches(it)));
        found.extend(selected.map(|it| it.sequence));
        match next {
            Next::Go(cursor) => scan.since = cursor.at,
            Next::Done => return found,
        }
    }
}

async fn named(indexes: &Indexes, db: &Db, selector: &str, range: (u64, u64)) -> Option<Vec<u64>> {
    let selector = Selector::parse(selector.as_bytes()).unwrap();
    indexes.selected_changes(&db.db, &db.read, &selector, range).await.unwrap()
}

/// How often an index was asked.
async fn live(steps: Vec<Step>, first: String) -> u32 {
    let world = World::new().await;
    let db = world.create("d").await;
    db.put("_design/i", &first).await;
    // So many that it is worth while to ask an index about the others.
    db.put_all((0..150).map(|n| (format!("filler-{n}"), "{}".to_owned()))).await;
    let mut asked = 0;
    for step in steps {
        match step {
            Step::Put(id, body) => db.put(&format!("d{id}"), &body).await,
            Step::Graft(id, name, deleted, body) => {
                db.graft(&format!("d{id}"), &format!("2 g{name} r"), deleted, &body).await;
            }
            Step::Delete(id) => db.delete(&format!("d{id}")).await,
            Step::Purge(id) => db.purge(&format!("d{id}")).await,
            Step::Design(body) => db.put("_design/i", &body).await,
            Step::Ask(selector, since) => {
                db.ready(&world.indexes, "i/v", Update::Wait).await.unwrap();
                // What comes now is taken in by the one who asks.
                db.put("late", "{\"a\":1,\"b\":\"x\"}").await;
                let until = db.db.sequence();
                let range = (since.index(usize::try_from(until).unwrap() / 4) as u64, until);
                let Some(found) = named(&world.indexes, &db, &selector, range).await else {
                    continue;
                };
                asked += 1;
                assert!(found.is_sorted_by(|left, right| left < right));
                assert!(found.iter().all(|it| (range.0 + 1..=until).contains(it)));
                let parsed = Selector::parse(selector.as_bytes()).unwrap();
                let expected = by_looking(&db, &parsed, range.0, until).await;
                let missing: Vec<_> = expected.iter().filter(|it| !found.contains(it)).collect();
                assert!(missing.is_empty(), "{selector} {range:?}: {missing:?} of {expected:?}");
            }
        }
    }
    world.indexes.close().await;
    asked
}

#[test]
fn an_index_names_every_change_that_is_selected() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let asked = std::cell::Cell::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(96));
    let lives = (prop::collection::vec(step(), 1..40), design());
    runner
        .run(&lives, |(steps, first)| {
            asked.set(asked.get() + runtime.block_on(live(steps, first)));
            Ok(())
        })
        .unwrap();
    // Some 200; fewer than this would be another test.
    assert!(asked.get() > 48, "an index was asked {} times", asked.get());
}

#[tokio::test]
async fn the_database_is_not_looked_through() {
    let documents = Arc::new(Counting::over(Arc::new(MemoryEngine::new())));
    let world =
        World::of(documents.clone(), Arc::new(MemoryEngine::new()), settings(64 << 20)).await;
    let db = world.create("d").await;
    db.put("_design/i", &mango(&[("v", &["kind"])])).await;
    let kind = |n: u32| if n % 1_000 == 7 { "rare" } else { "common" };
    db.put_all((0..3_000).map(|n| (format!("d{n:04}"), format!("{{\"kind\":\"{}\"}}", kind(n)))))
        .await;
    for n in 0..200 {
        db.delete(&format!("d{:04}", n * 10)).await;
    }
    db.graft("torn", "1 a", false, "{\"kind\":\"common\"}").await;
    db.graft("torn", "1 b", false, "{\"kind\":\"rare\"}").await;
    db.graft("torn", "1 c", false, "{\"kind\":\"common\"}").await;
    db.graft("gone", "1 a", true, "{\"kind\":\"rare\"}").await;
    db.ready(&world.indexes, "i/v", Update::Wait).await.unwrap();
    let selector = "{\"kind\":\"rare\"}";
    let until = db.db.sequence();
    documents.take_visits();
    let found = named(&world.indexes, &db, selector, (0, until)).await.unwrap();
    let visits = documents.take_visits();
    let parsed = Selector::parse(selector.as_bytes()).unwrap();
    let expected = by_looking(&db, &parsed, 0, until).await;
    assert_eq!(expected.len(), 5);
    assert!(documents.take_visits() > 3_000, "looking at all of them is what is spared");
    // The design document is looked at always.
    assert_eq!(found[1..], expected);
    assert!(visits < 100, "{visits} records were visited");
    // An index of which too much is selected is left alone, and so is one that is not built.
    assert_eq!(named(&world.indexes, &db, "{\"kind\":\"common\"}", (0, until)).await, None);
    assert_eq!(named(&world.indexes, &db, selector, (until - 3, until)).await, None);
    db.put("_design/i", &mango(&[("v", &["kind", "_id"])])).await;
    assert_eq!(named(&world.indexes, &db, selector, (0, db.db.sequence())).await, None);
    world.indexes.close().await;
}
