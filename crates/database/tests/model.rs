//! Whatever is done to a database, it says what a model of whole trees in memory says, and its own
//! counts are right.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use proptest::prelude::*;
use settle_database::{
    ChangeFilter, ChangeRow, ChangeScan, DocumentRow, DocumentScan, Edit, Extras, GetError, More,
    Next, OpenRevs, Select, Sink, Verdict,
};
use settle_engine::{Direction, Engine, memory::MemoryEngine};
use settle_model::{
    revision::{RevId, RevPath},
    tree::RevTree,
};

use crate::support::{TestDatabase, TestStore, delete, put, unlist_conflicts, whole};

const IDS: [&str; 4] = ["a", "a/b", "\u{0}z", "_design/d"];

#[derive(Debug, Clone)]
enum Op {
    /// Edits the n-th leaf (modulo their number), or creates; again and again.
    Edit {
        id: usize,
        leaf: usize,
        deleted: bool,
        body: usize,
        times: usize,
    },
    /// Grafts a path of so many new revisions on the n-th known revision, or on nothing.
    Graft {
        id: usize,
        on: Option<usize>,
        length: usize,
        deleted: bool,
        body: usize,
    },
    /// A replica sends the n-th of all revisions that there ever were, alone or with its history.
    Again {
        id: usize,
        n: usize,
        alone: bool,
    },
    /// Several edits in one write.
    Bulk {
        leaf: usize,
        body: usize,
    },
    Purge {
        id: usize,
        leaf: usize,
    },
    Compact,
    Wait {
        minutes: u64,
    },
    /// Ends a conflict by keeping the n-th live leaf, or by editing it.
    Resolve {
        id: usize,
        leaf: usize,
        body: Option<usize>,
    },
    /// `older`: what was there is as a program left it that did not list documents in conflict.
    Reopen {
        older: bool,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let id = 0..IDS.len();
    let body = prop_oneof![Just(0_usize), Just(20), Just(1_700), Just(2_500)];
    prop_oneof![
        6 => (id.clone(), 0..4_usize, any::<bool>(), body.clone(), prop_oneof![4 => Just(1_usize), 1 => 60..110_usize])
            .prop_map(|(id, leaf, deleted, body, times)| Op::Edit { id, leaf, deleted: deleted && times == 1, body, times }),
        4 => (id.clone(), prop::option::of(0..400_usize), prop_oneof![4 => 1..4_usize, 1 => 90..130_usize], any::<bool>(), body.clone())
            .prop_map(|(id, on, length, deleted, body)| Op::Graft { id, on, length, deleted, body }),
        3 => (id.clone(), 0..1_000_usize, any::<bool>())
            .prop_map(|(id, n, alone)| Op::Again { id, n, alone }),
        2 => (0..4_usize, body.clone()).prop_map(|(leaf, body)| Op::Bulk { leaf, body }),
        1 => (id.clone(), 0..4_usize).prop_map(|(id, leaf)| Op::Purge { id, leaf }),
        1 => Just(Op::Compact),
        1 => (1..200_u64).prop_map(|minutes| Op::Wait { minutes }),
        2 => (id.clone(), 0..4_usize, prop::option::of(body.clone()))
            .prop_map(|(id, leaf, body)| Op::Resolve { id, leaf, body }),
        1 => any::<bool>().prop_map(|older| Op::Reopen { older }),
    ]
}

/// Documents as whole trees, each leaf with its body.
#[derive(Default)]
struct Model {
    trees: BTreeMap<String, RevTree<String>>,
    /// Every revision that was ever made.
    known: BTreeMap<String, Vec<(RevPath, bool, String)>>,
    limit: u32,
    made: usize,
}

impl Model {
    fn tree(&mut self, id: &str) -> &mut RevTree<String> {
        self.trees.entry(id.to_owned()).or_default()
    }

    fn leaf(&self, id: &str, n: usize) -> Option<RevId> {
        let leaves = self.trees.get(id)?.leaves();
        (!leaves.is_empty()).then(|| leaves[n % leaves.len()].rev.clone())
    }

    fn body(&mut self, length: usize) -> String {
        self.made += 1;
        format!(r#"{{"n":{},"pad":"{}"}}"#, self.made, "x".repeat(length))
    }

    fn graft(&mut self, id: &str, path: &RevPath, deleted: bool, body: &str) {
        let limit = self.limit;
        let tree = self.tree(id);
        tree.graft(path, deleted, body.to_owned());
        tree.stem(limit);
        let path = self.trees[id].path(&path.newest()).unwrap_or_else(|| path.clone());
        self.known.entry(id.to_owned()).or_default().push((path, deleted, body.to_owned()));
    }

    /// A purged branch may have been why older ancestors of another one were still near to a leaf.
    fn purge(&mut self, id: &str, rev: RevId) {
        let limit = self.limit;
        let tree = self.tree(id);
        tree.purge(&[rev]);
        tree.stem(limit);
    }

    /// A path of new revisions on top of the n-th known one.
    fn path(&mut self, id: &str, on: Option<usize>, length: usize) -> RevPath {
        let known: Vec<RevId> = self.trees.get(id).map_or_else(Vec::new, |tree| {
            let mut all = BTreeSet::new();
            for leaf in tree.leaves() {
                all.extend(tree.path(&leaf.rev).unwrap().revs());
            }
            all.into_iter().collect()
        });
        let base = on.and_then(|n| known.get(n % known.len().max(1)).cloned());
        let older = base.and_then(|rev| self.trees[id].path(&rev));
        let start = older.as_ref().map_or(0, RevPath::start);
        let mut digests = Vec::new();
        for _ in 0..length {
            self.made += 1;
            digests.push(format!("{:032x}", self.made * 7_919).parse().unwrap());
        }
        let start = start + u32::try_from(length).unwrap();
        digests.extend(older.iter().flat_map(|path| path.digests().iter().cloned()));
        RevPath::new(start, digests).unwrap()
    }
}

#[derive(Default)]
struct Feed(Vec<(u64, String, Leaves)>);

type Leaves = Vec<(RevId, bool)>;

impl Sink<ChangeRow<'_>> for Feed {
    fn row(&mut self, row: &ChangeRow<'_>) -> More {
        self.0.push((row.sequence, row.id.to_owned(), row.leaves.to_vec()));
        if self.0.len().is_multiple_of(2) { More::Enough } else { More::Yes }
    }
}

#[derive(Default)]
struct Docs(Vec<(String, RevId, String)>);

impl Sink<DocumentRow<'_>> for Docs {
    fn row(&mut self, row: &DocumentRow<'_>) -> More {
        let found = row.found.as_ref().unwrap();
        let body = String::from_utf8(found.content.as_ref().unwrap().body.to_vec()).unwrap();
        self.0.push((row.id.to_owned(), found.rev.clone(), body));
        if self.0.len().is_multiple_of(2) { More::Enough } else { More::Yes }
    }
}

async fn compare(model: &Model, db: &TestDatabase) {
    let mut expected_docs = Vec::new();
    let mut rows = BTreeMap::new();
    for (id, tree) in &model.trees {
        let Some(winner) = tree.winner() else { continue };
        let leaves: Vec<_> = tree.leaves().iter().map(|it| (it.rev.clone(), it.deleted)).collect();
        rows.insert(id.clone(), leaves);
        if !winner.deleted {
            expected_docs.push((id.clone(), winner.rev.clone(), winner.payload.clone()));
        }
        let document = id.parse().unwrap();
        let extras = Extras { path: true, ..Extras::default() };
        let all =
            db.db.open_revs(&db.read, &document, &OpenRevs::All, false, extras).await.unwrap();
        let all: Vec<_> = all.into_iter().map(Result::unwrap).collect();
        let seen: Vec<_> = all.iter().map(|it| (it.rev.clone(), it.deleted)).collect();
        assert_eq!(seen, rows[id]);
        for (found, leaf) in all.iter().zip(tree.leaves()) {
            assert_eq!(std::str::from_utf8(&found.body).unwrap(), leaf.payload);
            let path = tree.path(&leaf.rev).unwrap();
            let found = found.path.as_ref().unwrap();
            assert_eq!(found.digests(), path.digests(), "path of {} in {id:?}", leaf.rev);
        }
        let plain = db.db.get(&db.read, &document, &Select::Winner, Extras::default()).await;
        match plain {
            Ok(found) => assert_eq!((found.rev, winner.deleted), (winner.rev.clone(), false)),
            Err(GetError::Deleted) => assert!(winner.deleted),
            Err(error) => panic!("{error}"),
        }
    }

    for direction in [Direction::Ascending, Direction::Descending] {
        let until = db.db.sequence();
        let mut scan = ChangeScan {
            since: 0,
            until,
            direction,
            content: false,
            times: false,
            only: ChangeFilter::All,
        };
        let mut feed = Feed::default();
        loop {
            let (back, next) = db.db.scan_changes(&db.read, &scan, feed).await.unwrap();
            feed = back;
            match (next, direction) {
                (Next::Done, _) => break,
                (Next::Go(cursor), Direction::Ascending) => scan.since = cursor.at,
                (Next::Go(cursor), Direction::Descending) => scan.until = cursor.at - 1,
            }
        }
        let seen: BTreeMap<_, _> =
            feed.0.iter().map(|(_, id, leaves)| (id.clone(), leaves.clone())).collect();
        assert_eq!(seen.len(), feed.0.len(), "one row a document");
        assert_eq!(seen, rows);
        for (index, (sequence, _, _)) in feed.0.iter().enumerate() {
            let after =
                if direction == Direction::Ascending { feed.0.len() - index - 1 } else { index };
            assert_eq!(db.db.pending(&db.read, *sequence).await.unwrap(), after as u64);
        }
    }

    let mut scan = Next::Go(DocumentScan {
        start: std::ops::Bound::Unbounded,
        end: std::ops::Bound::Unbounded,
        direction: Direction::Ascending,
        skip: 0,
        limit: u64::MAX,
        content: true,
        in_conflict: false,
    });
    let mut docs = Docs::default();
    while let Next::Go(next) = scan {
        (docs, scan) = db.db.scan_documents(&db.read, next, docs).await.unwrap();
    }
    assert_eq!(docs.0, expected_docs);
    compare_conflicts(model, db).await;
    db.audit().await;
}

/// Documents in conflict, each with its winner and what that won against.
#[derive(Default)]
struct Conflicts(Vec<(String, RevId, Vec<RevId>)>);

impl Sink<DocumentRow<'_>> for Conflicts {
    fn row(&mut self, row: &DocumentRow<'_>) -> More {
        let found = row.found.as_ref().unwrap();
        self.0.push((row.id.to_owned(), found.rev.clone(), found.conflicts.to_vec()));
        if self.0.len().is_multiple_of(2) { More::Enough } else { More::Yes }
    }
}

async fn compare_conflicts(model: &Model, db: &TestDatabase) {
    let mut expected = Vec::new();
    for (id, tree) in &model.trees {
        let live: Vec<RevId> =
            tree.leaves().iter().filter(|it| !it.deleted).map(|it| it.rev.clone()).collect();
        if let [winner, others @ ..] = &*live
            && !others.is_empty()
        {
            expected.push((id.clone(), winner.clone(), others.to_vec()));
        }
    }
    for direction in [Direction::Ascending, Direction::Descending] {
        let mut scan = Next::Go(DocumentScan {
            start: std::ops::Bound::Unbounded,
            end: std::ops::Bound::Unbounded,
            direction,
            skip: 0,
            limit: u64::MAX,
            content: false,
            in_conflict: true,
        });
        let mut found = Conflicts::default();
        while let Next::Go(next) = scan {
            (found, scan) = db.db.scan_documents(&db.read, next, found).await.unwrap();
        }
        assert_eq!(found.0, expected);
        expected.reverse();
    }
    assert_eq!(db.db.conflict_count(&db.read).await, Ok(expected.len() as u64));
}

async fn resolve(model: &mut Model, db: &TestDatabase, id: &str, leaf: usize, body: Option<usize>) {
    let live: Vec<RevId> =
        model.tree(id).leaves().iter().filter(|it| !it.deleted).map(|it| it.rev.clone()).collect();
    if live.is_empty() {
        return;
    }
    let kept = live[leaf % live.len()].clone();
    let document = id.parse().unwrap();
    let planned = db.db.plan_resolution(&db.write, &document, Some(&kept), Some(&live)).await;
    let planned = planned.unwrap().unwrap();
    let body = body.map(|length| model.body(length));
    let edits: Vec<Edit> = planned
        .edits(body.as_deref().map(whole))
        .into_iter()
        .map(|edit| Edit { verdict: Verdict::internal("a test"), ..edit })
        .collect();
    let leaves: Vec<RevId> =
        body.is_some().then(|| kept.clone()).into_iter().chain(planned.resolution.closed).collect();
    assert_eq!(edits.len(), leaves.len());
    let atomicity = settle_database::Atomicity::AllOrNothing;
    let results = db.db.write(&db.write, edits, atomicity).await.unwrap();
    let mut body = body;
    for (result, leaf) in results.into_iter().zip(leaves) {
        let rev = result.unwrap().rev;
        let (body, deleted) = body.take().map_or_else(|| ("{}".to_owned(), true), |it| (it, false));
        model.graft(id, &child(&rev, Some(leaf)), deleted, &body);
    }
    assert_eq!(model.tree(id).conflicts().count(), 0);
}

async fn run(engine: Arc<dyn Engine>, ops: Vec<Op>, limit: u32) {
    let mut store = TestStore::on(engine).await;
    let mut db = store.create("model").await;
    db.db.set_revs_limit(&db.admin, limit).await.unwrap();
    let mut model = Model { limit, ..Model::default() };
    for op in ops {
        match op {
            Op::Edit { id, leaf, deleted, body, times } => {
                for _ in 0..times {
                    edit(&mut model, &db, IDS[id], leaf, deleted, body).await;
                }
            }
            Op::Graft { id, on, length, deleted, body } => {
                let id = IDS[id];
                let path = model.path(id, on, length);
                let body = model.body(body);
                let origin = settle_database::Origin::Replicated { path: path.clone() };
                let edit = Edit {
                    id: id.parse().unwrap(),
                    origin,
                    deleted,
                    content: whole(&body),
                    verdict: Verdict::internal("a test"),
                };
                db.one(edit).await.unwrap();
                model.graft(id, &path, deleted, &body);
            }
            Op::Again { id, n, alone } => {
                let id = IDS[id];
                let known = model.known.get(id).map_or(&[][..], Vec::as_slice);
                let Some((path, deleted, body)) = known.get(n % known.len().max(1)).cloned() else {
                    continue;
                };
                let path = if alone { RevPath::single(path.newest()) } else { path };
                let origin = settle_database::Origin::Replicated { path: path.clone() };
                let edit = Edit {
                    id: id.parse().unwrap(),
                    origin,
                    deleted,
                    content: whole(&body),
                    verdict: Verdict::internal("a test"),
                };
                db.one(edit).await.unwrap();
                model.graft(id, &path, deleted, &body);
            }
            Op::Bulk { leaf, body } => {
                let mut edits = Vec::new();
                let mut bodies = Vec::new();
                for id in IDS.iter().chain(&IDS) {
                    let body = model.body(body);
                    edits.push(put(id, model.leaf(id, leaf).as_ref(), &body));
                    bodies.push((*id, model.leaf(id, leaf), body));
                }
                let atomicity = settle_database::Atomicity::EachAlone;
                let results = db.db.write(&db.write, edits, atomicity).await.unwrap();
                let mut edited = BTreeSet::new();
                for (result, (id, base, body)) in results.into_iter().zip(bodies) {
                    // The second edit of a document starts from what the first has replaced.
                    assert_eq!(result.is_ok(), edited.insert(id), "{id:?} {result:?}");
                    if let Ok(written) = result {
                        model.graft(id, &child(&written.rev, base), false, &body);
                    }
                }
            }
            Op::Purge { id, leaf } => {
                let Some(rev) = model.leaf(IDS[id], leaf) else { continue };
                let items = vec![(IDS[id].parse().unwrap(), vec![rev.clone()])];
                let purged = db.db.purge(&db.admin, items).await.unwrap();
                assert_eq!(purged[0].1, std::slice::from_ref(&rev));
                model.purge(IDS[id], rev);
            }
            Op::Compact => db.db.compact(&db.admin).await.unwrap(),
            Op::Wait { minutes } => {
                store.clock.advance(std::time::Duration::from_secs(60 * minutes));
            }
            Op::Resolve { id, leaf, body } => resolve(&mut model, &db, IDS[id], leaf, body).await,
            Op::Reopen { older } => {
                store.store.close().await;
                if older {
                    unlist_conflicts(&store.engine).await;
                }
                let now = settle_model::time::Clock::now(&*store.clock);
                store = TestStore::on(store.engine.clone()).await;
                store.clock.set(now);
                let found = store.store.find(&"model".parse().unwrap()).await.unwrap();
                db = TestDatabase::new(found.unwrap());
            }
        }
    }
    compare(&model, &db).await;
    store.store.close().await;
}

async fn edit(
    model: &mut Model,
    db: &TestDatabase,
    id: &str,
    leaf: usize,
    deleted: bool,
    body: usize,
) {
    let base = model.leaf(id, leaf);
    if deleted {
        let winner_deleted = model.trees.get(id).and_then(|it| Some(it.winner()?.deleted));
        let result = db.one(delete(id, base.as_ref())).await;
        match winner_deleted {
            Some(false) => {
                let rev = result.unwrap().rev;
                model.graft(id, &child(&rev, base), true, "{}");
            }
            Some(true) | None => assert!(result.is_err()),
        }
        return;
    }
    let body = model.body(body);
    let rev = db.put(id, base.as_ref(), &body).await.unwrap();
    model.graft(id, &child(&rev, base), false, &body);
}

fn child(rev: &RevId, base: Option<RevId>) -> RevPath {
    let mut digests = vec![rev.digest().clone()];
    digests.extend(base.map(RevId::into_digest));
    RevPath::new(rev.generation(), digests).unwrap()
}

fn on(engine: Arc<dyn Engine>, ops: Vec<Op>, limit: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(engine, ops, limit));
}

fn life() -> impl Strategy<Value = (Vec<Op>, u32)> {
    let limit = prop_oneof![Just(1_000_u32), Just(150), Just(50), Just(20), Just(2)];
    (prop::collection::vec(op(), 1..40), limit)
}

#[test]
fn a_branch_is_stemmed_when_the_shorter_one_beside_it_is_purged() {
    let edits = Op::Edit { id: 0, leaf: 0, deleted: false, body: 0, times: 91 };
    let longer = Op::Graft { id: 0, on: Some(56), length: 125, deleted: false, body: 0 };
    on(Arc::new(MemoryEngine::new()), vec![edits, longer, Op::Purge { id: 0, leaf: 1 }], 150);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_database_says_what_whole_trees_say((ops, limit) in life()) {
        on(Arc::new(MemoryEngine::new()), ops, limit);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn so_it_does_on_the_embedded_engine((ops, limit) in life()) {
        let (_folder, engine) = support::embedded();
        on(engine, ops, limit);
    }
}
