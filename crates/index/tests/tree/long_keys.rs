//! Keys that are longer than an engine's, and begin alike.

use settle_database::Direction;
use settle_index::tree::{Range, RowScan};

use crate::world::{World, between, key_of, row};

fn key(end: &str) -> String {
    format!("\"{}{end}\"", "common ".repeat(150))
}

async fn ends(world: &World) -> Vec<String> {
    let scan = RowScan {
        range: Range::default(),
        direction: Direction::Ascending,
        skip: 0,
        limit: u64::MAX,
    };
    let (rows, _) = world.rows(scan, 1_000).await;
    rows.into_iter().map(|row| row.key.trim_matches('"').replace("common ", "")).collect()
}

#[tokio::test]
async fn each_stands_where_its_whole_key_belongs() {
    let mut world = World::new();
    for end in ["m", "c", "x", "a", "cc", "z", "b"] {
        world.apply(vec![row(&key(end), "doc", 0, "1")], Vec::new()).await;
    }
    assert_eq!(ends(&world).await, ["a", "b", "c", "cc", "m", "x", "z"]);
    let several = ["d", "e", "f", "y", "zz"].map(|end| row(&key(end), "doc", 0, "1"));
    world.apply(several.to_vec(), Vec::new()).await;
    assert_eq!(ends(&world).await, ["a", "b", "c", "cc", "d", "e", "f", "m", "x", "y", "z", "zz"]);
    world.audit().await;
    world.check_range(&between(&key("b"), &key("g")), 0, 100).await;
    world.check_range(&between(&key("bb"), &key("zzz")), 1, 3).await;
    world.check_range(&between("\"common\"", &key("g")), 0, 100).await;
}

#[tokio::test]
async fn a_place_that_is_filled_again_and_again_is_widened() {
    let mut world = World::new();
    world.apply(vec![row(&key("a"), "doc", 0, "1"), row(&key("b"), "doc", 0, "1")], vec![]).await;
    // Each new one goes between "a" and the one before it: "a" + many "a" + "b".
    for count in (1..200).rev() {
        let end = format!("a{}b", "a".repeat(count));
        let gone = row(&key(&format!("a{}b", "a".repeat(count + 3))), "doc", 0, "1");
        let put = row(&key(&end), "doc", 0, "2");
        world.apply(vec![put], vec![key_of(&gone)]).await;
    }
    world.audit().await;
    // And from the other side.
    for count in 1..200 {
        let put = row(&key(&format!("a{}", "c".repeat(count))), "doc", 0, "3");
        world.apply(vec![put], Vec::new()).await;
    }
    world.audit().await;
    let sorted: Vec<String> = world
        .model
        .rows
        .values()
        .map(|(key, _)| String::from_utf8_lossy(key).trim_matches('"').replace("common ", ""))
        .collect();
    assert_eq!(ends(&world).await, sorted);
}

#[tokio::test]
async fn many_at_one_place_in_one_batch_find_room() {
    let mut world = World::new();
    let last = |n: u32| key(&format!("{n:05}"));
    world
        .apply(vec![row(&last(0), "doc", 0, "1"), row(&last(99_999), "doc", 0, "1")], vec![])
        .await;
    for start in 1..6 {
        let rows = (0..300).map(|n| row(&last(n * 10 + start), "doc", 0, "1")).collect();
        world.apply(rows, Vec::new()).await;
    }
    world.audit().await;
    assert_eq!(world.count(&between(&last(100), &last(199))).await, 50);
}

#[tokio::test]
async fn documents_with_long_ids_keep_their_ids() {
    let mut world = World::new();
    let ids: Vec<String> = ["", "a", "b"].map(|end| format!("{}{end}", "i".repeat(1_200))).into();
    let zeros = "\0".repeat(700);
    let rows = ids.iter().chain([&zeros]).map(|id| row("1", id, 3, "1")).collect();
    world.apply(rows, Vec::new()).await;
    world.audit().await;
    let scan =
        RowScan { range: Range::default(), direction: Direction::Ascending, skip: 0, limit: 9 };
    let mut found: Vec<String> = world.rows(scan, 1).await.0.into_iter().map(|it| it.id).collect();
    found.sort();
    let mut expected = ids;
    expected.push(zeros);
    expected.sort();
    assert_eq!(found, expected);
    let doomed = world.model.rows.keys().cloned().collect();
    world.apply(Vec::new(), doomed).await;
    world.audit().await;
}
