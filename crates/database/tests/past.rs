//! Whatever is done to a database, and whatever is let go: a moment that is kept is what it was, and what a snapshot, a
//! pin or the window needs is kept.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;
use settle_database::{
    At, AttachmentEdit, AttachmentSource, ChangeFilter, ChangeRow, ChangeScan, Content,
    DocumentRow, DocumentScan, Edit, Extras, HeldMoment, KeepError, Moment, More, Next, OpenRevs,
    Origin, PastError, Retention, Reversal, Sink, Verdict,
    blobs::{Received, UploadOptions},
};
use settle_engine::{Direction, Engine, memory::MemoryEngine};
use settle_model::{
    revision::{RevId, RevPath},
    sequence::Sequence,
    time::{Clock as _, Timestamp},
};

use crate::support::{TestDatabase, TestStore, delete, put};

const IDS: [&str; 4] = ["a", "a/b", "\u{0}z", "_design/d"];

#[derive(Debug, Clone)]
enum Op {
    /// Edits the n-th leaf (modulo their number), or creates.
    Edit {
        id: usize,
        leaf: usize,
        deleted: bool,
        body: usize,
        attached: bool,
    },
    /// A replica sends a branch of its own.
    Branch {
        id: usize,
        deleted: bool,
        body: usize,
    },
    /// A replica sends a revision again that was there once, alone.
    Again {
        id: usize,
        n: usize,
    },
    Purge {
        id: usize,
        leaf: usize,
    },
    Compact,
    Wait {
        minutes: u64,
    },
    Take {
        name: usize,
    },
    Forget {
        name: usize,
    },
    Hold,
    LetGo,
    Window {
        minutes: u64,
    },
    Revert {
        to: usize,
    },
    Check {
        moment: usize,
        other: usize,
    },
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let id = 0..IDS.len();
    // The largest fills a slice of a list alone.
    let body = prop_oneof![Just(0_usize), Just(20), Just(1_700), Just(2_500), Just(17_000)];
    prop_oneof![
        9 => (id.clone(), 0..4_usize, any::<bool>(), body.clone(), any::<bool>())
            .prop_map(|(id, leaf, deleted, body, attached)| Op::Edit { id, leaf, deleted, body, attached }),
        4 => (id.clone(), any::<bool>(), body).prop_map(|(id, deleted, body)| Op::Branch { id, deleted, body }),
        2 => (id.clone(), 0..100_usize).prop_map(|(id, n)| Op::Again { id, n }),
        1 => (id, 0..4_usize).prop_map(|(id, leaf)| Op::Purge { id, leaf }),
        3 => Just(Op::Compact),
        2 => (1..100_u64).prop_map(|minutes| Op::Wait { minutes }),
        3 => (0..4_usize).prop_map(|name| Op::Take { name }),
        2 => (0..4_usize).prop_map(|name| Op::Forget { name }),
        1 => Just(Op::Hold),
        1 => Just(Op::LetGo),
        1 => prop_oneof![Just(0), 1..150_u64].prop_map(|minutes| Op::Window { minutes }),
        1 => (0..100_usize).prop_map(|to| Op::Revert { to }),
        1 => (0..100_usize, 0..100_usize).prop_map(|(moment, other)| Op::Check { moment, other }),
        1 => Just(Op::Reopen),
    ]
}

/// A leaf with what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Leaf {
    rev: RevId,
    deleted: bool,
    body: String,
    /// Names and digests of attachments.
    attached: Vec<String>,
}

type Documents = BTreeMap<String, Vec<Leaf>>;

/// What the database was from one moment on.
struct State {
    sequence: u64,
    began: Timestamp,
    documents: Documents,
}

struct World {
    store: TestStore,
    db: TestDatabase,
    /// Oldest first.
    states: Vec<State>,
    /// Every revision that was ever made, by document.
    known: BTreeMap<String, Vec<Leaf>>,
    snapshots: BTreeMap<String, u64>,
    held: Vec<(HeldMoment, Timestamp)>,
    window: Duration,
    /// The window says nothing of what ended before.
    kept_since: Timestamp,
    made: usize,
}

impl World {
    async fn new(engine: Arc<dyn Engine>, limit: u32) -> Self {
        let store = TestStore::on(engine).await;
        let db = store.create("past").await;
        db.db.set_revs_limit(&db.admin, limit).await.unwrap();
        let kept_since = store.clock.now();
        Self {
            store,
            db,
            states: Vec::new(),
            known: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            held: Vec::new(),
            window: Duration::ZERO,
            kept_since,
            made: 0,
        }
    }

    fn body(&mut self, length: usize) -> String {
        self.made += 1;
        format!(r#"{{"n":{},"pad":"{}"}}"#, self.made, "x".repeat(length))
    }

    fn leaf(&self, id: &str, n: usize) -> Option<Leaf> {
        let leaves = self.states.last()?.documents.get(id)?;
        Some(leaves[n % leaves.len()].clone())
    }

    async fn run(&mut self, op: Op) {
        self.store.clock.advance(Duration::from_secs(1));
        match op {
            Op::Edit { id, leaf, deleted, body, attached } => {
                self.edit(IDS[id], leaf, deleted, body, attached).await;
            }
            Op::Branch { id, deleted, body } => {
                let body = self.body(body);
                let digest = format!("{:032x}", self.made * 7_919);
                let path = RevPath::new(1, vec![digest.parse().unwrap()]).unwrap();
                self.send(IDS[id], path, deleted, &body).await;
            }
            Op::Again { id, n } => {
                let known = self.known.get(IDS[id]).map_or(&[][..], Vec::as_slice);
                let Some(leaf) = known.get(n % known.len().max(1)).cloned() else { return };
                if leaf.attached.is_empty() {
                    let path = RevPath::single(leaf.rev);
                    self.send(IDS[id], path, leaf.deleted, &leaf.body).await;
                }
            }
            Op::Purge { id, leaf } => self.purge(IDS[id], leaf).await,
            Op::Compact => self.db.db.compact(&self.db.admin).await.unwrap(),
            Op::Wait { minutes } => {
                self.store.clock.advance(Duration::from_secs(60 * minutes));
                self.held.retain(|(_, expires)| *expires > self.store.clock.now());
            }
            Op::Take { name } => self.take(format!("s{name}")).await,
            Op::Forget { name } => self.forget(format!("s{name}")).await,
            Op::Hold => self.hold().await,
            Op::LetGo => {
                if let Some((held, _)) = self.held.pop() {
                    held.release().await.unwrap();
                }
            }
            Op::Window { minutes } => self.set_window(Duration::from_secs(60 * minutes)).await,
            Op::Revert { to } => self.revert(to).await,
            Op::Check { moment, other } => {
                self.check_moment(moment).await;
                self.check_difference(moment, other).await;
            }
            Op::Reopen => self.reopen().await,
        }
        self.note().await;
    }

    async fn edit(&mut self, id: &str, leaf: usize, deleted: bool, body: usize, attached: bool) {
        let base = self.leaf(id, leaf);
        let base = base.map(|leaf| leaf.rev);
        if deleted {
            // Refused where there is nothing to delete.
            drop(self.db.one(delete(id, base.as_ref())).await);
            return;
        }
        let body = self.body(body);
        let mut edit = put(id, base.as_ref(), &body);
        if attached && let Content::Whole { attachments, .. } = &mut edit.content {
            let options = UploadOptions::new(Received::Plain { content_type: "image/png" });
            let text = format!("attachment {}", self.made % 3);
            let blob = self.store.store.blobs().stage(text.as_bytes(), &options).await.unwrap();
            let content_type = "image/png".to_owned();
            let source = AttachmentSource::New { content_type, blob: Arc::new(blob) };
            let name = "x".parse().unwrap();
            attachments.push(AttachmentEdit { name, source, revpos: None });
        }
        self.db.one(edit).await.unwrap();
    }

    async fn send(&self, id: &str, path: RevPath, deleted: bool, body: &str) {
        let edit = Edit {
            id: id.parse().unwrap(),
            origin: Origin::Replicated { path },
            deleted,
            content: support::whole(body),
            verdict: Verdict::internal("a test"),
        };
        self.db.one(edit).await.unwrap();
    }

    async fn purge(&mut self, id: &str, n: usize) {
        let Some(leaf) = self.leaf(id, n) else { return };
        let before = self.paths(id).await;
        let items = vec![(id.parse().unwrap(), vec![leaf.rev.clone()])];
        self.db.db.purge(&self.db.admin, items).await.unwrap();
        let left: BTreeSet<RevId> = self.paths(id).await.into_iter().flatten().collect();
        let gone = before.into_iter().filter(|path| path.first() == Some(&leaf.rev)).flatten();
        let gone: BTreeSet<RevId> = gone.filter(|rev| !left.contains(rev)).collect();
        let is_gone = left.is_empty();
        for state in &mut self.states {
            if let Some(leaves) = state.documents.get_mut(id) {
                leaves.retain(|leaf| !is_gone && !gone.contains(&leaf.rev));
            }
            state.documents.retain(|_, leaves| !leaves.is_empty());
        }
    }

    /// Of each leaf, the revisions that are remembered, newest first.
    async fn paths(&self, id: &str) -> Vec<Vec<RevId>> {
        let (id, extras) = (id.parse().unwrap(), Extras { path: true, ..Extras::default() });
        let all = self.db.db.open_revs(&self.db.read, &id, &OpenRevs::All, false, extras).await;
        let all = all.unwrap_or_default().into_iter();
        all.map(|it| it.unwrap().path.unwrap().revs().collect()).collect()
    }

    async fn take(&mut self, name: String) {
        let sequence = self.db.db.sequence();
        let taken = self.db.db.take_snapshot(&self.db.admin, name.parse().unwrap(), None).await;
        assert_eq!(taken.is_ok(), !self.snapshots.contains_key(&name));
        self.snapshots.entry(name).or_insert(sequence);
    }

    async fn forget(&mut self, name: String) {
        let gone = self.db.db.forget_snapshot(&self.db.admin, name.parse().unwrap()).await;
        assert_eq!(gone.is_ok(), self.snapshots.remove(&name).is_some());
    }

    async fn hold(&mut self) {
        let now = self.moment(self.db.db.sequence()).await.unwrap();
        let held = self.db.db.hold(&self.db.read, now, "a test").await.unwrap();
        let expires = self.store.clock.now().plus(settle_database::limits::PIN_TIME);
        self.held.push((held, expires));
    }

    async fn set_window(&mut self, window: Duration) {
        let retention = Retention { window, ..Retention::default() };
        self.db.db.set_retention(&self.db.admin, retention).await.unwrap();
        let kept = self.store.clock.now().minus(self.window);
        self.kept_since = self.kept_since.max(kept);
        self.window = window;
    }

    async fn revert(&mut self, to: usize) {
        let Some((state, moment, held)) = self.kept(to).await else { return };
        let reversals = self.plan(moment).await;
        let grants = (&self.db.read, &self.db.write);
        self.made += 1;
        let name = format!("before-{}", self.made);
        let sequence = self.db.db.sequence();
        let done =
            self.db.db.make_revert(grants, moment, &reversals, Some(name.parse().unwrap())).await;
        done.unwrap();
        self.snapshots.insert(name, sequence);
        let now = present(&self.db).await;
        let shown = |documents: &Documents| {
            let live = documents.iter().filter(|(_, leaves)| !leaves[0].deleted);
            live.map(|(id, leaves)| {
                (id.clone(), leaves[0].body.clone(), leaves[0].attached.clone())
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(shown(&now), shown(&self.states[state].documents));
        assert_eq!(self.plan(moment).await, [], "it is as it was");
        let_go(held).await;
    }

    async fn plan(&self, moment: Moment) -> Vec<Reversal> {
        let mut reversals = Vec::new();
        let mut next = Next::Go(0);
        while let Next::Go(since) = next {
            let (found, after) =
                self.db.db.plan_revert(&self.db.read, moment, (since, None), None).await.unwrap();
            reversals.extend(found);
            next = after;
        }
        reversals
    }

    async fn reopen(&mut self) {
        // What is held stays held, by nobody.
        self.held.clear();
        self.store.store.close().await;
        let now = self.store.clock.now();
        self.store = TestStore::on(self.store.engine.clone()).await;
        self.store.clock.set(now);
        let found = self.store.store.find(&"past".parse().unwrap()).await.unwrap();
        self.db = TestDatabase::new(found.unwrap());
    }

    /// Remembers what the database is now.
    async fn note(&mut self) {
        let sequence = self.db.db.sequence();
        if self.states.last().is_some_and(|state| state.sequence == sequence) {
            return;
        }
        let documents = present(&self.db).await;
        for (id, leaves) in &documents {
            let known = self.known.entry(id.clone()).or_default();
            for leaf in leaves {
                if known.iter().all(|it| it.rev != leaf.rev) {
                    known.push(leaf.clone());
                }
            }
        }
        self.states.push(State { sequence, began: self.store.clock.now(), documents });
    }

    async fn moment(&self, sequence: u64) -> Result<Moment, PastError> {
        let token = Sequence(sequence).token(self.db.db.timeline());
        self.db.db.moment(&self.db.read, &At::Sequence(token)).await
    }

    /// The n-th state, if it is kept; then it stays so until it is let go, whatever goes on in the background.
    async fn kept(&self, n: usize) -> Option<(usize, Moment, Option<HeldMoment>)> {
        let n = n % self.states.len().max(1);
        let state = self.states.get(n)?;
        let moment = match self.moment(state.sequence).await {
            Ok(moment) => moment,
            Err(PastError::NotKept) => {
                assert!(!self.must_be_kept(n), "state {n} must be kept");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        if self.must_be_kept(n) {
            return Some((n, moment, None));
        }
        match self.db.db.hold(&self.db.read, moment, "a look").await {
            Ok(held) => Some((n, moment, Some(held))),
            Err(KeepError::NotKept) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn must_be_kept(&self, n: usize) -> bool {
        let (state, next) = (&self.states[n], self.states.get(n + 1));
        let now = self.store.clock.now();
        let since = self.kept_since.max(now.minus(self.window));
        let is_in_window = next.is_none_or(|next| next.began > since);
        is_in_window
            || self.snapshots.values().any(|sequence| *sequence == state.sequence)
            || self.held.iter().any(|(held, _)| held.moment.sequence() == state.sequence)
    }

    async fn check_moment(&self, n: usize) {
        let Some((n, moment, held)) = self.kept(n).await else { return };
        let state = &self.states[n];
        assert_eq!(past(&self.db, moment).await, winners(&state.documents), "state {n}");
        for (id, leaves) in &state.documents {
            let found = self
                .db
                .db
                .get_at(&self.db.read, moment, &id.parse().unwrap(), Extras::default())
                .await
                .unwrap();
            let found = found.map(|it| (it.rev, String::from_utf8(it.body.to_vec()).unwrap()));
            let expected = leaves.first().filter(|leaf| !leaf.deleted);
            assert_eq!(found, expected.map(|leaf| (leaf.rev.clone(), leaf.body.clone())));
        }
        assert_eq!(looked_up(&self.db, moment).await, winners(&state.documents), "state {n}");
        let leaves = |leaves: &[Leaf]| -> Leaves {
            leaves.iter().map(|leaf| (leaf.rev.clone(), leaf.deleted)).collect()
        };
        for (content, times) in [(false, false), (false, true), (true, false)] {
            let body = |leaves: &[Leaf]| content.then(|| leaves[0].body.clone());
            let expected: BTreeMap<_, _> = state
                .documents
                .iter()
                .map(|(id, it)| (id.clone(), (leaves(it), body(it), times)))
                .collect();
            let found = feed(&self.db, moment, content, times).await;
            assert_eq!(found, expected, "feed of state {n}");
        }
        self.check_time(n).await;
        let_go(held).await;
    }

    /// Its time names it, where times are told apart and none was purged.
    async fn check_time(&self, n: usize) {
        let at = At::Time(self.states[n].began);
        let Ok(moment) = self.db.db.moment(&self.db.read, &at).await else { return };
        let Ok(held) = self.db.db.hold(&self.db.read, moment, "a look").await else { return };
        assert_eq!(past(&self.db, moment).await, winners(&self.states[n].documents));
        let_go(Some(held)).await;
    }

    async fn check_difference(&self, a: usize, b: usize) {
        let (Some((a, from, held)), Some((b, to, also_held))) =
            (self.kept(a).await, self.kept(b).await)
        else {
            return;
        };
        if a > b {
            return;
        }
        let mut found = BTreeMap::new();
        let mut next = Next::Go(0);
        while let Next::Go(since) = next {
            let (some, after) =
                self.db.db.difference(&self.db.read, from, to, since, 2).await.unwrap();
            found.extend(some.into_iter().map(|it| (it.id, (it.from, it.to))));
            next = match after {
                Next::Done => Next::Done,
                Next::Go(cursor) => Next::Go(cursor.at),
            };
        }
        let winner = |n: usize, id: &str| {
            let leaves = self.states[n].documents.get(id)?;
            leaves.first().map(|leaf| (leaf.rev.clone(), leaf.deleted))
        };
        let ids = self.states[b].documents.keys();
        let expected: BTreeMap<_, _> = ids
            .map(|id| (id.clone(), (winner(a, id), winner(b, id))))
            .filter(|(_, (from, to))| from != to)
            .collect();
        assert_eq!(found, expected, "from state {a} to state {b}");
        let_go(held).await;
        let_go(also_held).await;
    }

    async fn check_copy(&self, n: usize) {
        let Some((n, moment, held)) = self.kept(n).await else { return };
        let copy = self.store.create("copy").await;
        let mut next = Next::Go(String::new());
        while let Next::Go(after) = next {
            let after = (!after.is_empty()).then_some(after);
            let target = (&copy.db, &copy.write);
            let read = &self.db.read;
            next = self.db.db.copy_at(read, moment, after.as_deref(), target).await.unwrap();
        }
        assert_eq!(present(&copy).await, self.states[n].documents);
        copy.audit().await;
        let_go(held).await;
    }

    /// When nothing is needed any more, nothing is kept.
    async fn let_go_of_all(&mut self) {
        let names: Vec<String> = self.snapshots.keys().cloned().collect();
        for name in names {
            self.forget(name).await;
        }
        self.set_window(Duration::ZERO).await;
        self.store.clock.advance(settle_database::limits::PIN_TIME);
        self.db.db.compact(&self.db.admin).await.unwrap();
        self.db.audit().await;
        let info = self.db.db.info(&self.db.read).await.unwrap();
        assert_eq!(info.file_bytes, info.active_bytes, "nothing is left of the past");
    }
}

async fn let_go(held: Option<HeldMoment>) {
    if let Some(held) = held {
        held.release().await.unwrap();
    }
}

/// Every leaf with what it holds.
async fn present(db: &TestDatabase) -> Documents {
    let mut documents = Documents::new();
    for id in IDS {
        let document = id.parse().unwrap();
        let all = OpenRevs::All;
        let found = db.db.open_revs(&db.read, &document, &all, false, Extras::default()).await;
        let leaves: Vec<Leaf> = found
            .unwrap_or_default()
            .into_iter()
            .map(Result::unwrap)
            .map(|it| Leaf {
                rev: it.rev,
                deleted: it.deleted,
                body: String::from_utf8(it.body.to_vec()).unwrap(),
                attached: it.attachments.iter().map(|it| it.digest.to_string()).collect(),
            })
            .collect();
        if !leaves.is_empty() {
            documents.insert(id.to_owned(), leaves);
        }
    }
    documents
}

type Winners = Vec<(String, RevId, String, Vec<String>)>;

fn winners(documents: &Documents) -> Winners {
    let live = documents.iter().filter(|(_, leaves)| !leaves[0].deleted);
    live.map(|(id, leaves)| {
        let Leaf { rev, body, attached, .. } = leaves[0].clone();
        (id.clone(), rev, body, attached)
    })
    .collect()
}

#[derive(Default)]
struct Docs(Winners);

impl Sink<DocumentRow<'_>> for Docs {
    fn row(&mut self, row: &DocumentRow<'_>) -> More {
        // What is asked for by its id may have been deleted, or never been there.
        let Some(found) = row.found.as_ref().filter(|it| !it.deleted) else { return More::Yes };
        let content = found.content.as_ref().unwrap();
        let body = String::from_utf8(content.body.to_vec()).unwrap();
        let attached = content.attachments.iter().map(|it| it.digest.to_string()).collect();
        self.0.push((row.id.to_owned(), found.rev.clone(), body, attached));
        if self.0.len().is_multiple_of(2) { More::Enough } else { More::Yes }
    }
}

/// Lists the documents as they were, in both directions.
async fn past(db: &TestDatabase, moment: Moment) -> Winners {
    let mut lists = Vec::new();
    for direction in [Direction::Ascending, Direction::Descending] {
        let (start, end) = (Bound::Unbounded, Bound::Unbounded);
        let (skip, limit, content, in_conflict) = (0, u64::MAX, true, false);
        let mut next =
            Next::Go(DocumentScan { start, end, direction, skip, limit, content, in_conflict });
        let mut docs = Docs::default();
        while let Next::Go(scan) = next {
            (docs, next) = db.db.scan_documents_at(&db.read, moment, scan, docs).await.unwrap();
        }
        lists.push(docs.0);
    }
    let mut backwards = lists.pop().unwrap();
    backwards.reverse();
    let list = lists.pop().unwrap();
    assert_eq!(list, backwards);
    list
}

/// Looks all documents up as they were.
async fn looked_up(db: &TestDatabase, moment: Moment) -> Winners {
    let mut ids = IDS.map(str::to_owned);
    ids.sort();
    let (mut docs, mut done) = (Docs::default(), 0);
    while done < ids.len() {
        let count;
        (docs, count) = db.db.look_up_at(&db.read, moment, &ids[done..], true, docs).await.unwrap();
        assert!(count > 0);
        done += count;
    }
    docs.0
}

/// Winner first, each with whether it is deleted.
type Leaves = Vec<(RevId, bool)>;

/// Leaves, the content, and whether there were times.
type Change = (Leaves, Option<String>, bool);

#[derive(Default)]
struct Feed(Vec<(String, Change)>);

impl Sink<ChangeRow<'_>> for Feed {
    fn row(&mut self, row: &ChangeRow<'_>) -> More {
        let content = row.content.as_ref();
        let body = content.map(|it| String::from_utf8(it.body.to_vec()).unwrap());
        let change = (row.leaves.to_vec(), body, row.times.is_some());
        self.0.push((row.id.to_owned(), change));
        if self.0.len().is_multiple_of(2) { More::Enough } else { More::Yes }
    }
}

/// Lists the changes as they were, in both directions.
async fn feed(
    db: &TestDatabase,
    moment: Moment,
    content: bool,
    times: bool,
) -> BTreeMap<String, Change> {
    let mut feeds = Vec::new();
    for direction in [Direction::Ascending, Direction::Descending] {
        let (only, until) = (ChangeFilter::All, moment.sequence());
        let mut scan = ChangeScan { since: 0, until, direction, content, times, only };
        let mut feed = Feed::default();
        loop {
            let (back, next) = db.db.scan_changes_at(&db.read, moment, &scan, feed).await.unwrap();
            feed = back;
            match (next, direction) {
                (Next::Done, _) => break,
                (Next::Go(cursor), Direction::Ascending) => scan.since = cursor.at,
                (Next::Go(cursor), Direction::Descending) => scan.until = cursor.at - 1,
            }
        }
        feeds.push(feed.0);
    }
    let mut backwards = feeds.pop().unwrap();
    backwards.reverse();
    let forwards = feeds.pop().unwrap();
    assert_eq!(forwards, backwards);
    let count = forwards.len();
    let rows: BTreeMap<_, _> = forwards.into_iter().collect();
    assert_eq!(rows.len(), count, "one row a document");
    rows
}

async fn live(engine: Arc<dyn Engine>, ops: Vec<Op>, limit: u32) {
    let mut world = World::new(engine, limit).await;
    for op in ops {
        world.run(op).await;
    }
    world.db.audit().await;
    for n in 0..world.states.len() {
        world.check_moment(n).await;
    }
    world.check_copy(world.states.len() / 2).await;
    world.let_go_of_all().await;
    world.store.store.close().await;
}

fn on(engine: Arc<dyn Engine>, ops: Vec<Op>, limit: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(live(engine, ops, limit));
}

fn life() -> impl Strategy<Value = (Vec<Op>, u32)> {
    (prop::collection::vec(op(), 1..60), prop_oneof![Just(1_000_u32), Just(3), Just(1)])
}

#[test]
fn a_stemmed_revision_that_is_sent_again_leaves_nothing_of_its_first_life_behind() {
    let edit = || Op::Edit { id: 3, leaf: 0, deleted: false, body: 0, attached: false };
    let first = Op::Branch { id: 3, deleted: false, body: 2_500 };
    let again = Op::Again { id: 3, n: 0 };
    let ops = vec![first, Op::Take { name: 0 }, edit(), edit(), again, Op::Compact];
    on(Arc::new(MemoryEngine::new()), ops, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_kept_moment_is_what_it_was((ops, limit) in life()) {
        on(Arc::new(MemoryEngine::new()), ops, limit);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn so_it_is_on_the_embedded_engine((ops, limit) in life()) {
        let (_folder, engine) = support::embedded();
        on(engine, ops, limit);
    }
}
