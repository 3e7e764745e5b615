//! Whatever is done to documents with attachments, every revision that can be read has its data, and
//! nothing is kept for those that cannot.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::prelude::*;
use settle_database::{
    AttachmentEdit, AttachmentSource, Content, Edit, EditError, Extras, GetError, OpenRevs, Origin,
    Select, Verdict,
    blobs::{BlobDigest, Part, Received, UploadOptions},
};
use settle_model::{
    revision::{RevId, RevPath},
    tree::RevTree,
};

use crate::support::{TestDatabase, TestStore};

const IDS: [&str; 2] = ["a", "b"];
const NAMES: [&str; 3] = ["x", "y", "z/z"];
const CONTENTS: usize = 4;

#[derive(Debug, Clone)]
enum Op {
    /// Edits the n-th leaf (modulo their number), or creates.
    Edit {
        id: usize,
        leaf: usize,
        deleted: bool,
        attachments: Vec<(usize, Source)>,
    },
    /// Puts or takes away one attachment.
    Change {
        id: usize,
        leaf: usize,
        name: usize,
        content: Option<usize>,
    },
    /// A replica continues the n-th leaf.
    Graft {
        id: usize,
        leaf: usize,
        length: u32,
        attachments: Vec<(usize, Source)>,
    },
    /// A replica sends one of all revisions that there ever were, alone or with its history.
    Again {
        id: usize,
        n: usize,
        alone: bool,
    },
    Purge {
        id: usize,
        leaf: usize,
    },
    Compact,
    Wait {
        minutes: u64,
    },
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Keep,
    New(usize),
    /// What the winner of this document has under the same name.
    Copy(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let id = 0..IDS.len();
    let leaf = 0..3_usize;
    let source = prop_oneof![
        2 => Just(Source::Keep),
        2 => (0..CONTENTS).prop_map(Source::New),
        1 => (0..IDS.len()).prop_map(Source::Copy),
    ];
    let attachments = prop::collection::btree_map(0..NAMES.len(), source, 0..3)
        .prop_map(|it| it.into_iter().collect::<Vec<_>>());
    prop_oneof![
        6 => (id.clone(), leaf.clone(), prop::bool::weighted(0.2), attachments.clone())
            .prop_map(|(id, leaf, deleted, attachments)| Op::Edit { id, leaf, deleted, attachments }),
        3 => (id.clone(), leaf.clone(), 0..NAMES.len(), prop::option::of(0..CONTENTS))
            .prop_map(|(id, leaf, name, content)| Op::Change { id, leaf, name, content }),
        3 => (id.clone(), leaf.clone(), 1..3_u32, attachments)
            .prop_map(|(id, leaf, length, attachments)| Op::Graft { id, leaf, length, attachments }),
        3 => (id.clone(), 0..40_usize, any::<bool>())
            .prop_map(|(id, n, alone)| Op::Again { id, n, alone }),
        1 => (id, leaf).prop_map(|(id, leaf)| Op::Purge { id, leaf }),
        1 => Just(Op::Compact),
        2 => (1..90_u64).prop_map(|minutes| Op::Wait { minutes }),
    ]
}

/// Content by name.
type Attachments = BTreeMap<&'static str, usize>;

/// Some are large enough for a file.
fn bytes(content: usize) -> Vec<u8> {
    let length = if content == 0 { 70_000 } else { 10 * content };
    vec![u8::try_from(content).unwrap(); length]
}

#[derive(Default)]
struct Model {
    trees: BTreeMap<&'static str, RevTree<Attachments>>,
    /// Every revision that was ever made.
    known: BTreeMap<&'static str, Vec<(RevPath, bool, Attachments)>>,
    limit: u32,
    made: u32,
}

impl Model {
    fn leaf(&self, id: &str, n: usize) -> Option<(RevId, Attachments)> {
        let leaves = self.trees.get(id)?.leaves();
        let leaf = leaves.get(n % leaves.len().max(1))?;
        Some((leaf.rev.clone(), leaf.payload.clone()))
    }

    fn graft(&mut self, id: &'static str, path: RevPath, deleted: bool, attachments: Attachments) {
        let tree = self.trees.entry(id).or_default();
        tree.graft(&path, deleted, attachments.clone());
        tree.stem(self.limit);
        self.known.entry(id).or_default().push((path, deleted, attachments));
    }

    fn winner(&self, id: &str) -> Option<&Attachments> {
        let winner = self.trees.get(id)?.winner()?;
        (!winner.deleted).then_some(&winner.payload)
    }
}

struct World {
    store: TestStore,
    db: TestDatabase,
    model: Model,
}

impl World {
    async fn new_source(&self, content: usize) -> AttachmentSource {
        let content_type = "application/octet-stream".to_owned();
        let options = UploadOptions::new(Received::Plain { content_type: &content_type });
        let blob = self.store.store.blobs().stage(&bytes(content), &options).await.unwrap();
        AttachmentSource::New { content_type, blob: Arc::new(blob) }
    }

    /// The edits of a list of attachments, and what it comes to when `base` is what stubs refer to;
    /// `None` when a stub refers to nothing.
    async fn attachments(
        &self,
        list: &[(usize, Source)],
        base: &Attachments,
    ) -> (Vec<AttachmentEdit>, Option<Attachments>) {
        let mut edits = Vec::new();
        let mut expected = Some(Attachments::new());
        for &(name, source) in list {
            let name = NAMES[name];
            let (source, content) = match source {
                Source::Keep => (AttachmentSource::Keep, base.get(name).copied()),
                Source::New(content) => (self.new_source(content).await, Some(content)),
                Source::Copy(id) => match self.model.winner(IDS[id]).and_then(|it| it.get(name)) {
                    Some(&content) => {
                        let (id, name) = (IDS[id].parse().unwrap(), name.parse().unwrap());
                        let found = self.db.db.attachment(&self.db.read, &id, &name, None).await;
                        (AttachmentSource::Stored(found.unwrap().0), Some(content))
                    }
                    None => (self.new_source(1).await, Some(1)),
                },
            };
            edits.push(AttachmentEdit { name: name.parse().unwrap(), source, revpos: None });
            expected = expected.zip(content).map(|(mut all, content)| {
                all.insert(name, content);
                all
            });
        }
        (edits, expected)
    }

    async fn act(&mut self, op: Op) {
        match op {
            Op::Edit { id, leaf, deleted, attachments } => {
                let base = self.model.leaf(IDS[id], leaf);
                let kept = base.as_ref().map(|(_, it)| it.clone()).unwrap_or_default();
                let (attachments, expected) = self.attachments(&attachments, &kept).await;
                let content = Content::Whole { body: b"{}".to_vec(), attachments };
                self.interactive(IDS[id], base, deleted, content, expected).await;
            }
            Op::Change { id, leaf, name, content } => {
                let base = self.model.leaf(IDS[id], leaf);
                let mut kept = base.as_ref().map(|(_, it)| it.clone()).unwrap_or_default();
                let (new, expected) = match content {
                    Some(content) => {
                        kept.insert(NAMES[name], content);
                        (Some(self.new_source(content).await), Some(kept))
                    }
                    None => (None, kept.remove(NAMES[name]).map(|_| kept)),
                };
                let content = Content::Attachment { name: NAMES[name].parse().unwrap(), new };
                self.interactive(IDS[id], base, false, content, expected).await;
            }
            Op::Graft { id, leaf, length, attachments } => {
                let (older, kept) = match self.model.leaf(IDS[id], leaf) {
                    Some((rev, kept)) => (self.model.trees[IDS[id]].path(&rev), kept),
                    None => (None, Attachments::new()),
                };
                let mut digests = Vec::new();
                for _ in 0..length {
                    self.model.made += 1;
                    digests.push(format!("{:032x}", self.model.made).parse().unwrap());
                }
                let start = older.as_ref().map_or(0, RevPath::start) + length;
                digests.extend(older.iter().flat_map(|path| path.digests().iter().cloned()));
                let path = RevPath::new(start, digests).unwrap();
                let (attachments, expected) = self.attachments(&attachments, &kept).await;
                self.replicated(IDS[id], path, false, attachments, expected).await;
            }
            Op::Again { id, n, alone } => {
                let known = self.model.known.get(IDS[id]).map_or(&[][..], Vec::as_slice);
                let Some((path, deleted, held)) = known.get(n % known.len().max(1)).cloned() else {
                    return;
                };
                let path = if alone { RevPath::single(path.newest()) } else { path };
                let mut edits = Vec::new();
                for (name, content) in &held {
                    let (name, source) = (name.parse().unwrap(), self.new_source(*content).await);
                    edits.push(AttachmentEdit { name, source, revpos: None });
                }
                self.replicated(IDS[id], path, deleted, edits, Some(held)).await;
            }
            Op::Purge { id, leaf } => {
                let Some((rev, _)) = self.model.leaf(IDS[id], leaf) else { return };
                let items = vec![(IDS[id].parse().unwrap(), vec![rev.clone()])];
                self.db.db.purge(&self.db.admin, items).await.unwrap();
                self.model.trees.get_mut(IDS[id]).unwrap().purge(&[rev]);
            }
            Op::Compact => self.db.db.compact(&self.db.admin).await.unwrap(),
            Op::Wait { minutes } => self.wait(minutes).await,
        }
    }

    /// Long enough for all background work that is due.
    async fn wait(&self, minutes: u64) {
        self.store.clock.advance(Duration::from_secs(60 * minutes));
        tokio::time::sleep(Duration::from_secs(130)).await;
    }

    async fn interactive(
        &mut self,
        id: &'static str,
        base: Option<(RevId, Attachments)>,
        deleted: bool,
        content: Content,
        expected: Option<Attachments>,
    ) {
        let base = base.map(|(rev, _)| rev);
        let origin = Origin::Interactive { base: base.clone(), must_exist: false };
        let result = self
            .db
            .one(Edit {
                id: id.parse().unwrap(),
                origin,
                deleted,
                content,
                verdict: Verdict::internal("a test"),
            })
            .await;
        let Some(expected) = expected else {
            assert!(
                matches!(
                    result,
                    Err(EditError::MissingStub { .. } | EditError::MissingAttachment { .. })
                ),
                "{result:?}"
            );
            return;
        };
        let rev = result.unwrap().rev;
        let mut digests = vec![rev.digest().clone()];
        digests.extend(base.map(RevId::into_digest));
        let path = RevPath::new(rev.generation(), digests).unwrap();
        self.model.graft(id, path, deleted, expected);
    }

    async fn replicated(
        &mut self,
        id: &'static str,
        path: RevPath,
        deleted: bool,
        attachments: Vec<AttachmentEdit>,
        expected: Option<Attachments>,
    ) {
        let content = Content::Whole { body: b"{}".to_vec(), attachments };
        let origin = Origin::Replicated { path: path.clone() };
        let result = self
            .db
            .one(Edit {
                id: id.parse().unwrap(),
                origin,
                deleted,
                content,
                verdict: Verdict::internal("a test"),
            })
            .await;
        match expected {
            Some(expected) => {
                result.unwrap();
                self.model.graft(id, path, deleted, expected);
            }
            None => assert!(matches!(result, Err(EditError::MissingStub { .. })), "{result:?}"),
        }
    }

    async fn compare(&self) {
        for (id, tree) in &self.model.trees {
            let document = id.parse().unwrap();
            let all = OpenRevs::All;
            let found =
                self.db.db.open_revs(&self.db.read, &document, &all, false, Extras::default());
            let found = match found.await {
                Ok(found) => found,
                Err(GetError::Missing) => Vec::new(),
                Err(error) => panic!("{error}"),
            };
            assert_eq!(found.len(), tree.leaves().len());
            for (found, leaf) in found.into_iter().map(Result::unwrap).zip(tree.leaves()) {
                assert_eq!(found.rev, leaf.rev);
                let mut seen = BTreeMap::new();
                for attachment in found.attachments {
                    let blobs = self.store.store.blobs();
                    let reader = blobs.read(attachment.digest, Part::Stored).await.unwrap();
                    let read = reader.into_bytes().await.unwrap();
                    seen.insert(attachment.name.as_str().to_owned(), read);
                }
                let expected: BTreeMap<_, _> = leaf
                    .payload
                    .iter()
                    .map(|(name, content)| ((*name).to_owned(), bytes(*content)))
                    .collect();
                assert!(seen == expected, "attachments of {id:?} {}", leaf.rev);
            }
        }
        self.db.audit().await;
    }
}

async fn run(ops: Vec<Op>, limit: u32) {
    let store = TestStore::new().await;
    let db = store.create("attachments").await;
    db.db.set_revs_limit(&db.admin, limit).await.unwrap();
    let mut world = World { store, db, model: Model { limit, ..Model::default() } };
    for op in ops {
        world.act(op).await;
    }
    world.compare().await;
    world.wait(90).await;
    world.compare().await;

    for (id, tree) in &world.model.trees {
        let revs = tree.leaves().iter().map(|leaf| leaf.rev.clone()).collect();
        let items = vec![(id.parse().unwrap(), revs)];
        world.db.db.purge(&world.db.admin, items).await.unwrap();
    }
    world.db.audit().await;
    // Condemned, then deleted.
    for _ in 0..3 {
        world.wait(30).await;
    }
    for content in 0..CONTENTS {
        let blob = world.store.store.blobs().find(BlobDigest::of(&bytes(content))).await.unwrap();
        assert!(blob.is_none(), "content {content} is left over");
    }
    world.store.store.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_readable_revision_has_its_data_and_no_other_has(
        ops in prop::collection::vec(op(), 1..40),
        limit in prop_oneof![Just(1_000_u32), Just(1), Just(2), Just(3)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(run(ops, limit));
    }
}

/// `a` holds what an edit could refer to; then its data goes.
#[tokio::test(start_paused = true)]
async fn an_edit_whose_attachment_data_has_gone_is_refused_alone() {
    let store = TestStore::new().await;
    let db = store.create("attachments").await;
    let world = World { store, db, model: Model::default() };
    let (read, id) = (&world.db.read, "a".parse().unwrap());
    let content =
        Content::Attachment { name: "x".parse().unwrap(), new: Some(world.new_source(2).await) };
    let origin = Origin::Interactive { base: None, must_exist: false };
    let made = world
        .db
        .one(Edit {
            id,
            origin: origin.clone(),
            deleted: false,
            content,
            verdict: Verdict::internal("a test"),
        })
        .await;
    let id = "a".parse().unwrap();
    let stored = world.db.db.attachment(read, &id, &"x".parse().unwrap(), None).await.unwrap().0;
    let purged = vec![(id.clone(), vec![made.unwrap().rev])];
    world.db.db.purge(&world.db.admin, purged).await.unwrap();
    for _ in 0..3 {
        world.wait(30).await;
    }

    let source = AttachmentSource::Stored(stored);
    let attachments = vec![AttachmentEdit { name: "y".parse().unwrap(), source, revpos: None }];
    let content = Content::Whole { body: b"{}".to_vec(), attachments };
    let edits = vec![
        support::put("b", None, "{}"),
        Edit {
            id: "c".parse().unwrap(),
            origin,
            deleted: false,
            content,
            verdict: Verdict::internal("a test"),
        },
        support::put("d", None, "{}"),
    ];
    let atomicity = settle_database::Atomicity::EachAlone;
    let results = world.db.db.write(&world.db.write, edits, atomicity).await.unwrap();
    let name = "y".parse().unwrap();
    assert_eq!(results[1], Err(EditError::MissingStub { name }));
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    let refused = "c".parse().unwrap();
    let found = world.db.db.get(read, &refused, &Select::Winner, Extras::default()).await;
    assert!(matches!(found, Err(GetError::Missing)));
    world.db.audit().await;
}
