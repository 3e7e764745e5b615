//! Edit history of one document.
//!
//! Replicas that edit the same document apart from each other grow separate branches. A merge
//! keeps every branch, and [`RevTree::winner`] picks the one to show by a rule that needs no
//! talking, so replicas that hold the same revisions show the same document.
//!
//! A tree is the set of revisions that were ever named to it. Grafting only adds to that: a revision
//! that was once named as somebody's parent is never a leaf again, and of several parents that are
//! offered for one revision the greatest is taken. Each of these rules gives the same result in any
//! order, so the order in which paths arrive does not matter. Two parents for one revision can only
//! come from a client that makes up its revisions; the branch that loses its child stays as a *dead
//! end*, so that it is still known, and no revision on it can come back as a leaf.
//!
//! Very long histories are kept in parts: the tree of a stored document ends at *cuts*, behind which
//! runs of older revisions without a branch are stored elsewhere ([`Cut`]). Whoever stores
//! trees fetches those parts when [`RevTree::graft_needs_older`] or [`RevTree::may_be_behind_cut`]
//! says that they could make a difference.
//!
//! Units: a *generation* counts edits; the first is 1.
//!
//! Source: branch merging, stemming and the winner rule are CouchDB's (`couch_key_tree.erl`,
//! `couch_doc:to_doc_info_path/1`). Different here: CouchDB keeps a revision twice where it came with
//! two parents, here a revision is in a tree once.

mod chains;
mod graft;
mod older;
mod resolve;
mod trim;

use std::cmp::Reverse;

use thiserror::Error;

pub use self::{
    chains::{Chain, ChainParent},
    graft::{Graft, Grafted},
    older::{Cut, Segment},
    resolve::{Resolution, ResolveError},
};
use crate::revision::{RevId, RevPath};

/// The revisions of one document, with a payload `T` for each leaf. May be empty.
///
/// Trees are equal when they hold the same revisions with the same parents and the same leaves, in
/// whatever order those arrived.
#[derive(Debug, Clone)]
pub struct RevTree<T> {
    /// In no particular order. A parent is one generation older than its child, so following parents
    /// ends.
    nodes: Vec<Node>,
    /// Winner first. One for each node that `is_leaf`.
    leaves: Vec<Leaf<T>>,
    /// At most one for each node without a parent.
    cuts: Vec<RootCut>,
}

#[derive(Debug, Clone)]
struct Node {
    rev: RevId,
    /// Place in `nodes`, or [`NO_PARENT`]: small, since trees are searched by going through them.
    parent: u32,
    /// False for what was ever named as a parent, with or without children now.
    is_leaf: bool,
}

const NO_PARENT: u32 = u32::MAX;

/// So many revisions are looked for one by one. For more, a stranger's request could cost the product
/// of two long lists.
const FEW: usize = 8;

/// The newest revision of a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf<T> {
    pub rev: RevId,
    pub deleted: bool,
    pub payload: T,
    /// Place in `nodes`; the tree's own, and meaningless once the leaf has left it.
    node: Place,
}

/// A place in `nodes`, which differs between equal trees.
#[derive(Debug, Clone, Copy)]
struct Place(u32);

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Place {}

#[derive(Debug, Clone)]
struct RootCut {
    root: usize,
    cut: Cut,
}

/// What a replica that offers revisions has to send, and which of ours they may descend from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// Of the revisions asked for, in their order.
    pub missing: Vec<RevId>,
    /// Leaves older than the newest missing one, winner first.
    pub possible_ancestors: Vec<RevId>,
}

/// A stored tree does not describe one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TreeError {
    #[error(
        "chain {chain} has {len} revisions, which do not fit between generations 1 and {start}"
    )]
    ChainLength { chain: usize, start: u32, len: usize },
    #[error("the parent of chain {chain} is not there, or is not one generation older")]
    Parent { chain: usize },
    #[error("chain {chain} hangs on a leaf")]
    ParentIsLeaf { chain: usize },
    #[error("there are {leaves} leaves for {chains} chains")]
    Leaves { leaves: usize, chains: usize },
    #[error("revision {rev} is there twice")]
    Duplicate { rev: RevId },
    #[error("no cut waits for the segment of generation {start}")]
    UnexpectedSegment { start: u32 },
    #[error("history ends at generation {generation}, {missing} revisions too early")]
    HistoryEnds { generation: u32, missing: u32 },
}

impl<T> RevTree<T> {
    pub fn new() -> Self {
        Self { nodes: Vec::new(), leaves: Vec::new(), cuts: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The leaf that a plain read shows: live before deleted, then the greatest [`RevId`]. `None`
    /// for an empty tree.
    pub fn winner(&self) -> Option<&Leaf<T>> {
        self.leaves.first()
    }

    /// Winner first, each before what it would win against.
    pub fn leaves(&self) -> &[Leaf<T>] {
        &self.leaves
    }

    /// The live leaves that a live winner won against, in their order. A document that has any is *in conflict*.
    pub fn conflicts(&self) -> impl Iterator<Item = &Leaf<T>> {
        self.leaves.iter().skip(1).filter(|leaf| !leaf.deleted)
    }

    pub fn leaf(&self, rev: &RevId) -> Option<&Leaf<T>> {
        self.leaves.iter().find(|leaf| leaf.rev == *rev)
    }

    pub fn payload_mut(&mut self, rev: &RevId) -> Option<&mut T> {
        let leaf = self.leaves.iter_mut().find(|leaf| leaf.rev == *rev)?;
        Some(&mut leaf.payload)
    }

    /// Winner first.
    pub fn payloads_mut(&mut self) -> impl Iterator<Item = (&RevId, &mut T)> {
        self.leaves.iter_mut().map(|leaf| (&leaf.rev, &mut leaf.payload))
    }

    /// The same tree with other payloads.
    pub fn map<U>(self, mut change: impl FnMut(T) -> U) -> RevTree<U> {
        let leaves = self.leaves.into_iter().map(|leaf| Leaf {
            rev: leaf.rev,
            deleted: leaf.deleted,
            payload: change(leaf.payload),
            node: leaf.node,
        });
        RevTree { nodes: self.nodes, leaves: leaves.collect(), cuts: self.cuts }
    }

    /// Whether `rev` is known here. What is behind a cut is not.
    pub fn contains(&self, rev: &RevId) -> bool {
        self.find(rev).is_some()
    }

    /// `rev` and its ancestors, to the oldest known, or to the cut.
    pub fn path(&self, rev: &RevId) -> Option<RevPath> {
        let place = self.find(rev)?;
        let digests = self.climb(place).map(|it| self.nodes[it].rev.digest().clone()).collect();
        Some(RevPath::new(rev.generation(), digests).expect("each parent is a generation older"))
    }

    /// The leaves that descend from `rev`, winner first; `rev` itself if it is one.
    pub fn latest(&self, rev: &RevId) -> Vec<&Leaf<T>> {
        let Some(place) = self.find(rev) else { return Vec::new() };
        let descends = |leaf: &&Leaf<T>| {
            let above = |it: &usize| self.nodes[*it].rev.generation() >= rev.generation();
            self.climb(leaf.place()).take_while(above).last() == Some(place)
        };
        self.leaves.iter().filter(descends).collect()
    }

    /// Which of `revs` are not known here. Ask [`may_be_behind_cut`](Self::may_be_behind_cut) first
    /// whether older parts are needed.
    pub fn missing(&self, revs: &[RevId]) -> Missing {
        let missing: Vec<_> = if revs.len() <= FEW {
            revs.iter().filter(|rev| !self.contains(rev)).cloned().collect()
        } else {
            let mut known: Vec<_> = self.nodes.iter().map(|node| &node.rev).collect();
            known.sort_unstable();
            revs.iter().filter(|rev| known.binary_search(rev).is_err()).cloned().collect()
        };
        let newest = missing.iter().map(RevId::generation).max().unwrap_or(0);
        let older = self.leaves.iter().filter(|leaf| leaf.rev.generation() < newest);
        let possible_ancestors = older.map(|leaf| leaf.rev.clone()).collect();
        Missing { missing, possible_ancestors }
    }

    fn find(&self, rev: &RevId) -> Option<usize> {
        // What is asked for is mostly new, and what is new was mostly added last.
        self.nodes.iter().rposition(|node| node.rev == *rev)
    }

    /// `place`, its parent, and so on.
    fn climb(&self, place: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(place), |&it| self.nodes[it].parent())
    }

    fn cut_at(&self, root: usize) -> Option<&Cut> {
        self.cuts.iter().find(|it| it.root == root).map(|it| &it.cut)
    }

    fn add_node(&mut self, rev: RevId, parent: Option<usize>, is_leaf: bool) -> usize {
        let place = self.nodes.len();
        self.nodes.push(Node { rev, parent: encode(parent), is_leaf });
        place
    }

    fn add_leaf(&mut self, place: usize, deleted: bool, payload: T) {
        let rev = self.nodes[place].rev.clone();
        let before = |leaf: &Leaf<T>| rank(leaf.deleted, &leaf.rev) < rank(deleted, &rev);
        let at = self.leaves.partition_point(before);
        let node = Place(encode(Some(place)));
        self.leaves.insert(at, Leaf { rev, deleted, payload, node });
    }
}

/// The order of leaves: the least is the winner.
fn rank(deleted: bool, rev: &RevId) -> impl Ord {
    (deleted, Reverse(rev))
}

fn encode(place: Option<usize>) -> u32 {
    place.map_or(NO_PARENT, |place| {
        u32::try_from(place).expect("a tree has less than 2^32 revisions: none fits a request")
    })
}

impl Node {
    fn parent(&self) -> Option<usize> {
        (self.parent != NO_PARENT).then_some(self.parent as usize)
    }
}

impl<T> Leaf<T> {
    fn place(&self) -> usize {
        self.node.0 as usize
    }
}

impl<T> Default for RevTree<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: PartialEq> PartialEq for RevTree<T> {
    fn eq(&self, other: &Self) -> bool {
        self.nodes.len() == other.nodes.len()
            && self.leaves == other.leaves
            && self.chains() == other.chains()
    }
}

impl<T: Eq> Eq for RevTree<T> {}
