//! A database as replicators see it: revision trees, changes, checkpoint documents, and what of all
//! that is durable.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use settle_model::{
    revision::{Digest, RevId, RevPath},
    tree::{Missing, RevTree},
};
use settle_sync::{
    checkpoint::Checkpoint,
    replication::{Attachment, Document, Fetched, Page, Refusal, Row, Want},
    seq::Seq,
};

use crate::random::Random;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) bytes: usize,
    /// Name, generation, length.
    pub(crate) attachments: Vec<(String, u32, u64)>,
}

#[derive(Debug, Clone, Default)]
struct Doc {
    tree: RevTree<Body>,
    seq: u64,
    /// All attachments that were ever stored with the document.
    attachments: BTreeSet<(String, u32, u64)>,
}

#[derive(Debug, Clone, Default)]
struct State {
    docs: BTreeMap<Arc<str>, Doc>,
    seq: u64,
    /// Revision and content.
    checkpoint: Option<(u64, Checkpoint)>,
}

#[derive(Debug)]
pub(crate) struct Database {
    state: State,
    durable: State,
    /// Changes when something was lost: the `instance_start_time`, and the second half of sequences.
    pub(crate) timeline: u64,
    highest: u64,
    /// What was ever written, by revision: what a digest stands for.
    pub(crate) bodies: BTreeMap<(Arc<str>, RevId), (bool, Body)>,
}

impl Database {
    pub(crate) fn new(timeline: u64) -> Self {
        let (state, durable) = (State::default(), State::default());
        Self { state, durable, timeline, highest: 0, bodies: BTreeMap::new() }
    }

    /// A client writes something.
    pub(crate) fn edit(&mut self, random: &mut Random, with_attachments: bool) {
        let id: Arc<str> = match random.below(40) {
            0 => "_design/d".into(),
            1 => "forbidden".into(),
            _ => format!("doc{}", random.below(60)).into(),
        };
        let doc = self.state.docs.entry(id.clone()).or_default();
        let leaves = doc.tree.leaves();
        let base = match leaves.len() {
            0 => None,
            _ if random.percent(8) => None,
            _ => {
                let leaf = leaves[random.place(leaves.len())].rev.clone();
                let path = doc.tree.path(&leaf).unwrap();
                // Sometimes not from the leaf: a conflict.
                let age = if random.percent(15) { random.place(path.digests().len()) } else { 0 };
                path.revs().nth(age)
            }
        };
        let generation = base.as_ref().map_or(1, |rev| rev.generation() + 1);
        let mut digests = vec![Digest::md5(
            [random.next(), random.next()].map(u64::to_be_bytes).concat().try_into().unwrap(),
        )];
        let mut attachments: Vec<(String, u32, u64)> = Vec::new();
        if let Some(base) = &base {
            digests.extend(doc.tree.path(base).unwrap().digests().iter().cloned());
            if let Some((_, body)) = self.bodies.get(&(id.clone(), base.clone())) {
                attachments.clone_from(&body.attachments);
            }
        }
        if with_attachments && random.percent(30) {
            let name = format!("att{}", random.below(3));
            attachments.retain(|it| it.0 != name);
            let length = match random.below(3) {
                0 => random.between(1, 1_000),
                1 => random.between(1_000, 200_000),
                _ => random.between(300_000, 3_000_000),
            };
            attachments.push((name, generation, length));
        }
        let deleted = base.is_some() && random.percent(15);
        if deleted {
            attachments.clear();
        }
        let bytes = match random.below(20) {
            0 => random.between(10_000, 100_000),
            _ => random.between(20, 2_000),
        };
        let bytes = usize::try_from(bytes).unwrap();
        let path = RevPath::new(generation, digests).unwrap();
        self.store(&id, &path, deleted, Body { bytes, attachments });
    }

    fn store(&mut self, id: &Arc<str>, path: &RevPath, deleted: bool, body: Body) {
        let doc = self.state.docs.entry(id.clone()).or_default();
        doc.attachments.extend(body.attachments.iter().cloned());
        let is_new = !doc.tree.contains(&path.newest());
        doc.tree.graft(path, deleted, body.clone());
        self.bodies.insert((id.clone(), path.newest()), (deleted, body));
        if is_new {
            self.state.seq += 1;
            self.highest = self.highest.max(self.state.seq);
            doc.seq = self.state.seq;
        }
    }

    pub(crate) fn commit(&mut self) -> String {
        self.durable = self.state.clone();
        self.timeline.to_string()
    }

    /// What is not durable is lost.
    pub(crate) fn crash(&mut self) {
        self.state = self.durable.clone();
        self.new_timeline();
    }

    pub(crate) fn copy(&self) -> Copy {
        Copy(self.state.clone())
    }

    /// Becomes what it was.
    pub(crate) fn restore(&mut self, copy: Copy) {
        self.state = copy.0;
        self.durable = self.state.clone();
        self.new_timeline();
    }

    fn new_timeline(&mut self) {
        self.timeline += 1;
        self.highest += 100;
        self.state.seq = self.highest;
        self.durable.seq = self.highest;
    }

    /// A document is purged: as if it had never been.
    pub(crate) fn purge(&mut self, random: &mut Random) {
        let id = format!("doc{}", random.below(60));
        self.state.docs.remove(&*id);
        self.durable.docs.remove(&*id);
    }

    pub(crate) fn lose_checkpoint(&mut self) {
        self.state.checkpoint = None;
        self.durable.checkpoint = None;
    }

    pub(crate) fn seq(&self, number: u64) -> Seq {
        Seq::from_text(&format!("{number}-{}", self.timeline))
    }

    pub(crate) fn update_seq(&self) -> Seq {
        self.seq(self.state.seq)
    }

    /// The number, if it was counted on the present timeline.
    pub(crate) fn resolve(&self, seq: &Seq) -> Option<u64> {
        let number = seq.integer()?;
        (self.seq(number) == *seq && number <= self.state.seq).then_some(number)
    }

    pub(crate) fn changes(
        &self,
        since: &Seq,
        limit: usize,
        select: &Select,
        quirks: &Quirks,
    ) -> Page {
        let since = self.resolve(since).unwrap_or(0);
        let mut all: Vec<_> = self.state.docs.iter().filter(|(_, doc)| doc.seq > since).collect();
        all.sort_by_key(|(_, doc)| doc.seq);
        let mut rows = Vec::new();
        let mut last = since;
        let mut passed = 0;
        for (id, doc) in &all {
            if rows.len() == limit {
                break;
            }
            passed += 1;
            last = doc.seq;
            if select.holds(id) {
                let seq = (doc.seq % quirks.seq_interval == 0).then(|| self.seq(doc.seq));
                rows.push(Row {
                    seq,
                    id: (*id).clone(),
                    revs: select.revs(&doc.tree),
                    unreadable: 0,
                });
            }
        }
        let last_seq = self.seq(if passed == all.len() { self.state.seq } else { last });
        let pending = quirks.says_pending.then_some((all.len() - passed) as u64);
        Page { rows, last_seq, pending }
    }

    pub(crate) fn missing(&self, revs: &[(Arc<str>, Vec<RevId>)]) -> Vec<(Arc<str>, Missing)> {
        let none = RevTree::new();
        let missing = revs.iter().map(|(id, revs)| {
            let tree = self.state.docs.get(id).map_or(&none, |doc| &doc.tree);
            (id.clone(), tree.missing(revs))
        });
        missing.filter(|(_, it)| !it.missing.is_empty()).collect()
    }

    pub(crate) fn fetch(&self, want: &Want, with_attachments: bool) -> Fetched {
        let Some(doc) = self.state.docs.get(&want.id) else { return Fetched::Missing };
        let documents: Vec<_> = doc
            .tree
            .latest(&want.rev)
            .into_iter()
            .map(|leaf| {
                let path = doc.tree.path(&leaf.rev).unwrap();
                let known = path.revs().filter(|rev| want.atts_since.contains(rev));
                let since = known.map(|rev| rev.generation()).max().unwrap_or(0);
                let inside = |revpos: u32| with_attachments && revpos > since;
                let content = &leaf.payload.attachments;
                let data: u64 =
                    content.iter().filter(|it| inside(it.1)).map(|it| it.2 * 4 / 3).sum();
                let stubs = content.iter().filter(|it| !inside(it.1));
                let attachments = stubs.map(|(name, revpos, length)| Attachment {
                    name: name.clone(),
                    revpos: Some(*revpos),
                    length: *length,
                });
                Document {
                    id: want.id.clone(),
                    rev: leaf.rev.clone(),
                    json: vec![b' '; leaf.payload.bytes + usize::try_from(data).unwrap()],
                    attachments: attachments.collect(),
                    path: Some(path),
                }
            })
            .collect();
        if documents.is_empty() { Fetched::Missing } else { Fetched::Documents(documents) }
    }

    /// Stores a revision from elsewhere. `staged` are the places of attachments that came beside it.
    pub(crate) fn write(
        &mut self,
        document: &Document,
        staged: &[usize],
        (deleted, body): &(bool, Body),
    ) -> Result<(), Refusal> {
        let refusal = |error: &str| Refusal {
            id: document.id.clone(),
            rev: Some(document.rev.clone()),
            error: error.to_owned(),
            reason: "so it is".to_owned(),
        };
        if &*document.id == "forbidden" {
            return Err(refusal("forbidden"));
        }
        let known = self.state.docs.get(&document.id).map(|doc| &doc.attachments);
        for (place, stub) in document.attachments.iter().enumerate() {
            let key = (stub.name.clone(), stub.revpos.unwrap(), stub.length);
            if !staged.contains(&place) && !known.is_some_and(|known| known.contains(&key)) {
                return Err(refusal("missing_stub"));
            }
        }
        self.store(&document.id, document.path.as_ref().unwrap(), *deleted, body.clone());
        Ok(())
    }

    pub(crate) fn checkpoint(&self) -> Option<(String, Option<Checkpoint>)> {
        let (rev, checkpoint) = self.state.checkpoint.clone()?;
        Some((format!("0-{rev}"), Some(checkpoint)))
    }

    /// The new revision; `None` on a conflict. Durable, as local documents are in most servers.
    pub(crate) fn write_checkpoint(
        &mut self,
        rev: Option<&str>,
        checkpoint: &Checkpoint,
    ) -> Option<String> {
        let now = self.state.checkpoint.as_ref().map(|(rev, _)| format!("0-{rev}"));
        if now.as_deref() != rev {
            return None;
        }
        let next = self.state.checkpoint.as_ref().map_or(1, |(rev, _)| rev + 1);
        self.state.checkpoint = Some((next, checkpoint.clone()));
        self.durable.checkpoint.clone_from(&self.state.checkpoint);
        Some(format!("0-{next}"))
    }

    /// Documents, with the revisions selected, up to a sequence.
    pub(crate) fn selected(&self, up_to: u64, select: &Select) -> Vec<(Arc<str>, Vec<RevId>)> {
        let docs = self.state.docs.iter();
        let docs = docs.filter(|(id, doc)| doc.seq <= up_to && select.holds(id));
        docs.map(|(id, doc)| (id.clone(), select.revs(&doc.tree))).collect()
    }

    pub(crate) fn has_durably(&self, id: &str, rev: &RevId) -> bool {
        self.durable.docs.get(id).is_some_and(|doc| doc.tree.contains(rev))
    }

    /// The attachments of a leaf.
    pub(crate) fn leaf(&self, id: &str, rev: &RevId) -> Option<&Body> {
        Some(&self.state.docs.get(id)?.tree.leaf(rev)?.payload)
    }

    pub(crate) fn has(&self, id: &str, rev: &RevId) -> bool {
        self.state.docs.get(id).is_some_and(|doc| doc.tree.contains(rev))
    }

    pub(crate) fn is_at_end(&self, seq: &Seq) -> bool {
        self.resolve(seq).is_some_and(|number| self.state.docs.values().all(|it| it.seq <= number))
    }
}

pub(crate) struct Copy(State);

/// What servers do differently.
#[derive(Debug, Clone)]
pub(crate) struct Quirks {
    pub(crate) says_pending: bool,
    /// Of so many rows, one has a sequence.
    pub(crate) seq_interval: u64,
    pub(crate) knows_bulk: bool,
    /// Attachments can be had inside a document.
    pub(crate) sends_attachments: bool,
    pub(crate) refuses_checkpoints: bool,
    pub(crate) refuses_commits: bool,
    /// Of 100 revisions asked for, so many are not there yet.
    pub(crate) lags: u64,
    pub(crate) request_documents_max: usize,
}

impl Quirks {
    pub(crate) fn drawn(random: &mut Random) -> Self {
        Self {
            says_pending: random.percent(70),
            seq_interval: if random.percent(70) { 1 } else { random.between(2, 20) },
            knows_bulk: random.percent(80),
            sends_attachments: random.percent(80),
            refuses_checkpoints: random.percent(10),
            refuses_commits: random.percent(5),
            lags: if random.percent(20) { 10 } else { 0 },
            request_documents_max: if random.percent(20) { 3 } else { 10_000 },
        }
    }
}

/// What a job selects.
#[derive(Debug, Clone)]
pub(crate) struct Select {
    pub(crate) ids: Option<Vec<String>>,
    pub(crate) winners: bool,
}

impl Select {
    fn holds(&self, id: &str) -> bool {
        self.ids.as_ref().is_none_or(|ids| ids.iter().any(|it| it == id))
    }

    fn revs(&self, tree: &RevTree<Body>) -> Vec<RevId> {
        let leaves = tree.leaves().iter().map(|leaf| leaf.rev.clone());
        leaves.take(if self.winners { 1 } else { usize::MAX }).collect()
    }
}
