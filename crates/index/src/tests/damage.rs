//! Damaged indexes: documents are the truth, so what is unusable goes and is built again.

use settle_engine::{Batch, Direction, Engine, Outcome, Plan, Scan, Step, Visit, Visitor};

use super::world::{Db, Row, World, mango, script};
use crate::{Update, ViewError, keys};

struct Stored(Vec<(Vec<u8>, Vec<u8>)>);

impl Visitor for Stored {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.0.push((key.to_vec(), value.unwrap_or_default().to_vec()));
        Visit::Next
    }
}

/// Flips a bit in the value of every key that begins so; what was there.
async fn damage(engine: &dyn Engine, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let plan = Plan::new(vec![Step::Scan(Scan::prefix(prefix, Direction::Ascending))]);
    let stored = engine.read_to_end(plan, Stored(Vec::new())).await.unwrap().0;
    assert!(!stored.is_empty());
    let flipped = stored.iter().map(|(key, value)| {
        let mut value = value.clone();
        *value.last_mut().unwrap() ^= 1;
        (key.clone(), value)
    });
    put(engine, flipped).await;
    stored
}

async fn put(engine: &dyn Engine, rows: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) {
    let mut batch = Batch::default();
    for (key, value) in rows {
        batch.put(key, value);
    }
    assert_eq!(engine.commit(batch).await, Outcome::Committed);
}

/// Two views that were asked, and their rows.
async fn asked() -> (World, Db, Vec<Row>) {
    let world = World::new().await;
    let db = world.create("d").await;
    db.put("_design/s", &script(&[("v", "function (doc) { emit(doc.n, 1); }", Some("_sum"))]))
        .await;
    db.put("_design/m", &mango(&[("v", &["n"])])).await;
    db.put_all((0..100).map(|n| (format!("d{n}"), format!("{{\"n\":{n}}}")))).await;
    db.rows(&world.indexes, "m/v", Update::Wait).await;
    let rows = db.rows(&world.indexes, "s/v", Update::Wait).await;
    assert_eq!(rows.len(), 100);
    (world, db, rows)
}

async fn number(world: &World, db: &Db, view: &str) -> u64 {
    db.ready(&world.indexes, view, Update::No).await.unwrap().number
}

/// All rows, or what went wrong.
async fn try_rows(world: &World, db: &Db, view: &str) -> Result<Vec<Row>, ViewError> {
    let view = db.ready(&world.indexes, view, Update::Wait).await?;
    view.total().await?;
    view.count(&crate::tree::Range::default()).await?;
    let all = crate::tree::RowScan {
        range: crate::tree::Range::default(),
        direction: Direction::Ascending,
        skip: 0,
        limit: u64::MAX,
    };
    view.rows(all, Nothing).await?;
    Ok(super::world::rows_of(&view).await)
}

struct Nothing;

impl settle_database::Sink<crate::tree::TreeRow<'_>> for Nothing {
    fn row(&mut self, _: &crate::tree::TreeRow<'_>) -> settle_database::More {
        settle_database::More::Yes
    }
}

#[tokio::test]
async fn rows_that_are_damaged_are_made_again_for_the_next_one_who_asks() {
    let (world, db, rows) = asked().await;
    for view in ["s/v", "m/v"] {
        let number = number(&world, &db, view).await;
        let of_index = keys::rows(db.db.number(), number);
        let before = world.indexes.damaged_count();
        damage(&**world.engine.inner(), &of_index).await;
        let met = try_rows(&world, &db, view).await;
        assert!(matches!(met, Err(ViewError::Damaged { .. })), "{met:?}");
        let again = try_rows(&world, &db, view).await.unwrap();
        assert_eq!(again.len(), rows.len());
        assert!(view == "m/v" || again == rows);
        assert_eq!(world.indexes.damaged_count(), before + 1);
    }
    let everything = db.everything(&world.indexes).await;
    assert_eq!(everything, db.everything(&world.fresh_indexes().await).await);
    world.indexes.close().await;
}

#[tokio::test]
async fn an_update_that_meets_a_damage_builds_the_index_anew() {
    let (world, db, _) = asked().await;
    let database = db.db.number();
    for (at, prefix) in [keys::documents, keys::rows].into_iter().enumerate() {
        for view in ["s/v", "m/v"] {
            let number = number(&world, &db, view).await;
            damage(&**world.engine.inner(), &prefix(database, number)).await;
            db.put("d7", &format!("{{\"n\":{}}}", 1_000 + at)).await;
            assert_eq!(try_rows(&world, &db, view).await.unwrap().len(), 100, "{at} {view}");
            assert_ne!(self::number(&world, &db, view).await, number);
        }
    }
    assert_eq!(world.indexes.damaged_count(), 4);
    let everything = db.everything(&world.indexes).await;
    assert_eq!(everything, db.everything(&world.fresh_indexes().await).await);
    world.indexes.close().await;
}

#[tokio::test]
async fn records_of_the_catalog_are_made_again() {
    let (mut world, db, rows) = asked().await;
    let (database, name) = (db.db.number(), db.db.name().as_str().to_owned());
    let number = number(&world, &db, "s/v").await;
    for prefix in [keys::cursor(database, number), keys::indexes(database)] {
        damage(&**world.engine.inner(), &prefix).await;
        world.reopen().await;
        let db = world.find(&name).await;
        assert_eq!(try_rows(&world, &db, "s/v").await.unwrap(), rows);
        assert_eq!(world.indexes.damaged_count(), 1);
    }
    world.indexes.close().await;
}

/// A damage that is in the documents is not mended by building anew: it is told, and tried once for each
/// who asks.
#[tokio::test]
async fn what_cannot_be_built_again_is_an_error_and_no_loop() {
    let (world, db, rows) = asked().await;
    let number = number(&world, &db, "s/v").await;
    damage(&**world.engine.inner(), &keys::rows(db.db.number(), number)).await;
    // Of the documents' engine, what is not of the site.
    let intact = damage(&*world.documents, &keys::database(db.db.number())).await;
    assert!(try_rows(&world, &db, "s/v").await.is_err());
    for _ in 0..3 {
        assert!(try_rows(&world, &db, "s/v").await.is_err());
    }
    assert_eq!(world.indexes.damaged_count(), 1);
    put(&*world.documents, intact).await;
    assert_eq!(try_rows(&world, &db, "s/v").await.unwrap(), rows);
    world.indexes.close().await;
}
