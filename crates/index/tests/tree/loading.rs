//! Loading in key order makes the tree that changes would have made, wherever its commits are cut.

use settle_index::tree::{NewRow, TreeError};

use crate::world::{SHAPE, World, commit, dump, key_of, row};

fn rows(count: u32) -> Vec<NewRow> {
    let long = "y".repeat(1_000);
    let mut rows: Vec<NewRow> = (0..count)
        .map(|n| {
            let key = match n % 50 {
                0 => format!("\"{long}{}\"", n % 7),
                _ => format!("[{},{}]", n % 13, n),
            };
            row(&key, &format!("d{n}"), n % 2, "1")
        })
        .collect();
    rows.sort_by_key(key_of);
    rows
}

#[tokio::test]
async fn a_load_that_is_committed_in_parts_makes_the_same_tree() {
    let rows = rows(3_000);
    let mut whole = World::new();
    whole.load(rows.clone()).await;
    let expected = dump(&*whole.engine).await;
    for every in [75, 100, 999] {
        let world = World::new();
        let mut loader = world.tree.loader(&SHAPE);
        for part in rows.chunks(every) {
            for row in part {
                loader.push(row.lend()).unwrap();
            }
            let mut operations = Vec::new();
            loader.drain(&mut operations).await.unwrap();
            assert_eq!(loader.waiting_bytes(), 0);
            commit(&*world.engine, operations).await;
        }
        let mut operations = Vec::new();
        loader.finish(&mut operations).await.unwrap();
        commit(&*world.engine, operations).await;
        assert_eq!(dump(&*world.engine).await, expected, "every {every}");
    }
}

#[tokio::test]
async fn changes_make_byte_for_byte_what_loading_makes() {
    let rows: Vec<NewRow> = rows(2_000).into_iter().filter(|row| row.key.len() < 900).collect();
    let mut loaded = World::new();
    loaded.load(rows.clone()).await;
    let mut changed = World::new();
    let mut shuffled = rows;
    shuffled.sort_by_key(|row| blake3::hash(row.id.as_bytes()).as_bytes()[..8].to_vec());
    for part in shuffled.chunks(77) {
        changed.apply(part.to_vec(), Vec::new()).await;
    }
    assert_eq!(dump(&*loaded.engine).await, dump(&*changed.engine).await);
}

#[tokio::test]
async fn a_loader_without_rows_makes_nothing() {
    let world = World::new();
    let mut operations = Vec::new();
    world.tree.loader(&SHAPE).finish(&mut operations).await.unwrap();
    assert_eq!(operations.len(), 0);
    world.audit().await;
}

#[tokio::test]
async fn rows_out_of_order_are_refused() {
    let mut loader = World::new().tree.loader(&SHAPE);
    loader.push(row("1", "b", 0, "1").lend()).unwrap();
    for late in [row("1", "b", 0, "1"), row("1", "a", 0, "1"), row("0", "c", 0, "1")] {
        assert!(matches!(loader.push(late.lend()), Err(TreeError::Disorder)));
    }
    loader.push(row("1", "b", 1, "1").lend()).unwrap();
}
