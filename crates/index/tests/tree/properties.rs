//! Random rows, random changes, random questions.

use std::sync::Arc;

use proptest::prelude::*;
use settle_engine_lmdb::{LmdbEngine, OpenOptions};
use settle_index::tree::{Edge, NewRow, Range, RowKey};

use crate::world::{World, dump, key_of, row, sort_key};

/// Keys of all kinds, with many that are equal, and many that begin alike for long.
fn key() -> impl Strategy<Value = String> {
    let long = "lorem ipsum ".repeat(90);
    let number = (0..40_i32).prop_map(|n| n.to_string());
    let text = "[a-c]{0,3}".prop_map(|text| format!("{text:?}"));
    let long_text = "[a-c]{0,2}".prop_map(move |end| format!("\"{long}{end}\""));
    let element = prop_oneof![4 => number.clone(), 2 => text.clone(), 1 => Just("null".to_owned())];
    let arrays = proptest::collection::vec(element, 0..4)
        .prop_map(|elements| format!("[{}]", elements.join(",")));
    let long_array =
        (long_text.clone(), 0..3, 0..3).prop_map(|(text, a, b)| format!("[{text},{a},{b}]"));
    prop_oneof![
        1 => Just("null".to_owned()),
        4 => number,
        3 => text,
        8 => arrays,
        1 => long_text,
        1 => long_array,
    ]
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        20 => (0..60).prop_map(|n| format!("doc{n:02}")),
        1 => "[ab]".prop_map(|end| format!("zero\0{end}")),
        // The digests of these order as their ends do.
        1 => Just(format!("{}x", "long".repeat(300))),
    ]
}

fn new_row() -> impl Strategy<Value = NewRow> {
    (key(), id(), 0..3_u32, -50..50_i32)
        .prop_map(|(key, id, n, value)| row(&key, &id, n, &value.to_string()))
}

fn edge() -> impl Strategy<Value = Edge> {
    let point = || (key(), proptest::option::of(id()));
    prop_oneof![
        2 => Just(Edge::Open),
        3 => point().prop_map(|(key, id)| Edge::Before { sort_key: sort_key(&key), id }),
        3 => point().prop_map(|(key, id)| Edge::After { sort_key: sort_key(&key), id }),
        1 => new_row().prop_map(|row| Edge::BeforeRow(key_of(&row))),
        1 => new_row().prop_map(|row| Edge::AfterRow(key_of(&row))),
    ]
}

type Changes = (Vec<NewRow>, Vec<prop::sample::Index>);

fn changes() -> impl Strategy<Value = Changes> {
    let puts = proptest::collection::vec(new_row(), 0..60);
    let deletes = proptest::collection::vec(any::<prop::sample::Index>(), 0..60);
    (puts, deletes)
}

#[derive(Debug, Clone)]
struct Story {
    first: Vec<NewRow>,
    loads: bool,
    changes: Vec<Changes>,
    deletes_all: bool,
    questions: Vec<(Range, u64, u64)>,
}

fn story(rows: usize) -> impl Strategy<Value = Story> {
    let range = (edge(), edge()).prop_map(|(start, end)| Range { start, end });
    let skip = prop_oneof![3 => Just(0), 2 => 0..5_u64, 1 => 60..300_u64];
    let limit = prop_oneof![3 => Just(u64::MAX), 2 => 0..20_u64];
    (
        proptest::collection::vec(new_row(), 0..rows),
        any::<bool>(),
        proptest::collection::vec(changes(), 0..6),
        proptest::bool::weighted(0.1),
        proptest::collection::vec((range, skip, limit), 1..4),
    )
        .prop_map(|(first, loads, changes, deletes_all, questions)| Story {
            first,
            loads,
            changes,
            deletes_all,
            questions,
        })
}

async fn tell(world: &mut World, story: Story) {
    if story.loads {
        world.load(story.first).await;
    } else {
        world.apply(story.first, Vec::new()).await;
    }
    world.audit().await;
    for (puts, deletes) in story.changes {
        let mut doomed: Vec<RowKey> = Vec::new();
        if !world.model.rows.is_empty() {
            let keys: Vec<&RowKey> = world.model.rows.keys().collect();
            doomed.extend(deletes.iter().map(|index| (*index.get(&keys)).clone()));
        }
        doomed.sort();
        doomed.dedup();
        world.apply(puts, doomed).await;
        world.audit().await;
    }
    if story.deletes_all {
        let all = world.model.rows.keys().cloned().collect();
        world.apply(Vec::new(), all).await;
        world.audit().await;
        assert_eq!(dump(&*world.engine).await.len(), 0, "nothing is left of a tree without rows");
    }
    for (range, skip, limit) in story.questions {
        world.check_range(&range, skip, limit).await;
    }
    // The shape is that of a tree that was loaded at once.
    let mut loaded = World::new();
    let rows = world.model.rows.iter().map(|(key, (json, value))| NewRow {
        sort_key: key.sort_key.clone(),
        id: key.id.clone(),
        n: key.n,
        key: json.clone(),
        value: value.clone(),
    });
    loaded.load(rows.collect()).await;
    assert_eq!(loaded.audit().await, world.audit().await);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_a_tree_answers_as_its_rows_do(story in story(900)) {
        runtime().block_on(tell(&mut World::new(), story));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn the_embedded_engine_answers_alike(story in story(400)) {
        let folder = tempfile::tempdir().unwrap();
        let engine = LmdbEngine::open(folder.path(), &OpenOptions::default()).unwrap();
        let world = &mut World::on(Arc::clone(&engine) as Arc<_>);
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
            .block_on(tell(world, story));
    }
}
