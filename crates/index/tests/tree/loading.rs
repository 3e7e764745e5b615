//! Loading in key order makes the tree that changes would have made, whenever it is interrupted.

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
async fn a_load_that_is_interrupted_goes_on_where_it_was_committed() {
    let rows = rows(3_000);
    let mut whole = World::new();
    whole.load(rows.clone()).await;
    let expected = dump(&*whole.engine).await;
    for every in [1, 7, 100, 999] {
        let world = World::new();
        let mut checkpoint: Option<Vec<u8>> = None;
        let mut done = 0;
        while done < rows.len() {
            let mut loader = match &checkpoint {
                None => world.tree.loader(&SHAPE),
                Some(checkpoint) => {
                    world.tree.resume(&*world.engine, &SHAPE, checkpoint).await.unwrap()
                }
            };
            assert_eq!(loader.row_count(), done as u64);
            let mut operations = Vec::new();
            let end = rows.len().min(done + every.max(rows.len() / 40));
            for row in &rows[done..end] {
                loader.push(row.clone()).unwrap();
            }
            loader.drain(&mut operations).await.unwrap();
            commit(&*world.engine, operations).await;
            checkpoint = Some(loader.checkpoint());
            done = end;
            // These are pushed, and lost.
            for row in rows[done..].iter().take(30) {
                loader.push(row.clone()).unwrap();
            }
        }
        let checkpoint = checkpoint.unwrap();
        let loader = world.tree.resume(&*world.engine, &SHAPE, &checkpoint).await.unwrap();
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
    let empty = world.tree.loader(&SHAPE).checkpoint();
    assert_eq!(world.tree.resume(&*world.engine, &SHAPE, &empty).await.unwrap().row_count(), 0);
    world.audit().await;
}

#[tokio::test]
async fn rows_out_of_order_are_refused() {
    let mut loader = World::new().tree.loader(&SHAPE);
    loader.push(row("1", "b", 0, "1")).unwrap();
    for late in [row("1", "b", 0, "1"), row("1", "a", 0, "1"), row("0", "c", 0, "1")] {
        assert!(matches!(loader.push(late), Err(TreeError::Disorder)));
    }
    loader.push(row("1", "b", 1, "1")).unwrap();
}
