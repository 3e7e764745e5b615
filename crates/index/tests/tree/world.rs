//! A tree and its model.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use settle_database::{Direction, More, Next, Sink};
use settle_engine::{Batch, Engine, Operation, Outcome, memory::MemoryEngine};
use settle_index::tree::{
    Edge, Group, Grouping, NewRow, Range, ReduceScan, Reducers, RowKey, RowScan, Shape, ShapeKey,
    Tree, TreeRow,
};
use settle_query::{
    collate::{self, Collation},
    design::ReduceSource,
    reduce::Native,
};

use crate::model::Model;

pub(crate) const SHAPE: ShapeKey = ShapeKey([7; 32]);

pub(crate) const REDUCERS: [Native; 7] = [
    Native::Sum,
    Native::Count,
    Native::Stats,
    Native::First,
    Native::Last,
    Native::Top(3),
    Native::ApproxCountDistinct,
];

pub(crate) struct World {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) tree: Tree,
    pub(crate) model: Model,
    pub(crate) visits: u64,
}

/// What a scan shows of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) value: String,
}

/// Takes rows, some at a time.
pub(crate) struct Taker {
    pub(crate) rows: Vec<Shown>,
    pub(crate) at_once: usize,
}

impl<'r> Sink<TreeRow<'r>> for Taker {
    fn row(&mut self, row: &TreeRow<'r>) -> More {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        self.rows.push(Shown { id: row.id.to_owned(), key: text(row.key), value: text(row.value) });
        if self.rows.len().is_multiple_of(self.at_once) { More::Enough } else { More::Yes }
    }
}

pub(crate) fn sort_key(json: &str) -> Vec<u8> {
    let mut out = Vec::new();
    collate::push_sort_key(&mut out, json.as_bytes(), Collation::Unicode);
    out
}

pub(crate) fn row(key: &str, id: &str, n: u32, value: &str) -> NewRow {
    NewRow {
        sort_key: sort_key(key),
        id: id.to_owned(),
        n,
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
    }
}

pub(crate) fn key_of(row: &NewRow) -> RowKey {
    RowKey { sort_key: row.sort_key.clone(), id: row.id.clone(), n: row.n }
}

pub(crate) fn reducers() -> Reducers {
    Reducers::new(REDUCERS.map(ReduceSource::Native).into(), None)
}

pub(crate) async fn commit(engine: &dyn Engine, operations: Vec<Operation>) {
    let batch = Batch { operations, ..Batch::default() };
    assert_eq!(engine.commit(batch).await, Outcome::Committed);
}

impl World {
    pub(crate) fn new() -> Self {
        Self::on(Arc::new(MemoryEngine::new()))
    }

    pub(crate) fn on(engine: Arc<dyn Engine>) -> Self {
        let tree = Tree::new(b"tree".to_vec(), reducers());
        Self { engine, tree, model: Model::default(), visits: 0 }
    }

    pub(crate) async fn apply(&mut self, puts: Vec<NewRow>, deletes: Vec<RowKey>) {
        self.model.apply(&puts, &deletes);
        let mut operations = Vec::new();
        self.tree.apply(&*self.engine, &SHAPE, puts, deletes, &mut operations).await.unwrap();
        let keys: BTreeSet<&[u8]> = operations.iter().map(Operation::key).collect();
        assert_eq!(keys.len(), operations.len(), "a key is written once");
        commit(&*self.engine, operations).await;
    }

    pub(crate) async fn load(&mut self, mut rows: Vec<NewRow>) {
        rows.sort_by_key(key_of);
        rows.dedup_by_key(|row| key_of(row));
        self.model.apply(&rows, &[]);
        let mut loader = self.tree.loader(&SHAPE);
        let mut operations = Vec::new();
        for row in rows {
            loader.push(row.lend()).unwrap();
            if loader.waiting_bytes() > 1 << 16 {
                loader.drain(&mut operations).await.unwrap();
                commit(&*self.engine, std::mem::take(&mut operations)).await;
            }
        }
        loader.finish(&mut operations).await.unwrap();
        commit(&*self.engine, operations).await;
    }

    pub(crate) async fn audit(&self) -> Shape {
        let shape = self.tree.audit(&*self.engine, &SHAPE).await.unwrap();
        assert_eq!(shape.rows, self.model.rows.len() as u64);
        assert_eq!(self.tree.total(&*self.engine).await.unwrap(), shape.rows);
        shape
    }

    /// All rows of a scan, taken some at a time, and the offset that it says.
    pub(crate) async fn rows(&self, scan: RowScan, at_once: usize) -> (Vec<Shown>, u64) {
        let taker = Taker { rows: Vec::new(), at_once };
        let (mut taker, place, mut next) =
            self.tree.rows_and_place(&*self.engine, scan, taker).await.unwrap();
        assert_eq!(place.total, self.model.rows.len() as u64);
        while let Next::Go(scan) = next {
            (taker, next) = self.tree.rows(&*self.engine, scan, taker).await.unwrap();
        }
        (taker.rows, place.offset)
    }

    pub(crate) async fn count(&self, range: &Range) -> u64 {
        self.tree.count(&*self.engine, range).await.unwrap()
    }

    pub(crate) async fn reduce(&mut self, mut scan: ReduceScan) -> Vec<(Option<String>, String)> {
        let mut all = Vec::new();
        loop {
            let (reduced, next) = self.tree.reduce(&*self.engine, scan).await.unwrap();
            self.visits += reduced.visits;
            all.extend(reduced.groups.into_iter().map(|Group { key, value }| {
                let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
                (key.map(text), text(value))
            }));
            match next {
                Next::Done => return all,
                Next::Go(next) => scan = next,
            }
        }
    }

    /// Rows, counts and reductions of a range are those of the model.
    pub(crate) async fn check_range(&mut self, range: &Range, skip: u64, limit: u64) {
        for direction in [Direction::Ascending, Direction::Descending] {
            let scan = RowScan { range: range.clone(), direction, skip, limit };
            let (rows, offset) = self.rows(scan.clone(), 7).await;
            let (expected, expected_offset) = self.model.rows(&scan);
            assert_eq!(rows, expected, "{scan:?}");
            assert_eq!(offset, expected_offset, "{scan:?}");
            for (reducer, native) in REDUCERS.into_iter().enumerate() {
                let groupings =
                    [Grouping::All, Grouping::Exact, Grouping::Level(1), Grouping::Level(2)];
                for grouping in groupings {
                    let scan = ReduceScan {
                        range: range.clone(),
                        reducer,
                        grouping,
                        direction,
                        skip: if grouping == Grouping::All { 0 } else { skip },
                        limit,
                        partition: Vec::new(),
                        collation: Collation::Unicode,
                    };
                    let groups = self.reduce(scan.clone()).await;
                    assert_eq!(groups, self.model.reduce(&scan, native), "{scan:?}");
                }
            }
        }
        assert_eq!(self.count(range).await, self.model.count(range));
    }
}

pub(crate) fn between(start: &str, end: &str) -> Range {
    Range {
        start: Edge::Before { sort_key: sort_key(start), id: None },
        end: Edge::After { sort_key: sort_key(end), id: None },
    }
}

/// Everything that the engine holds.
pub(crate) async fn dump(engine: &dyn Engine) -> BTreeMap<Vec<u8>, Vec<u8>> {
    use settle_engine::{Plan, Scan, Step, Visit, Visitor};
    struct All(BTreeMap<Vec<u8>, Vec<u8>>);
    impl Visitor for All {
        fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
            self.0.insert(key.to_vec(), value.unwrap().to_vec());
            Visit::Next
        }
    }
    let plan = Plan::new(vec![Step::Scan(Scan::prefix(b"tree", Direction::Ascending))]);
    engine.read_to_end(plan, All(BTreeMap::new())).await.unwrap().0
}
