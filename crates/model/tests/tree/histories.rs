//! Histories to grow trees from, and the plain model that trees are compared with.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prelude::*, sample::Index};
use settle_model::{
    revision::{RevId, RevPath},
    tree::RevTree,
};

/// The payload of each leaf is its name, so that a mix-up shows.
pub(crate) type Tree = RevTree<String>;

/// A path and whether its newest revision is deleted.
pub(crate) type Step = (RevPath, bool);

/// Digests, newest first, with the generation of the oldest.
pub(crate) fn path(oldest: u32, newest_first: &[String]) -> RevPath {
    let digests: Vec<_> = newest_first.iter().map(|it| it.parse().unwrap()).collect();
    RevPath::new(oldest - 1 + u32::try_from(digests.len()).unwrap(), digests).unwrap()
}

pub(crate) fn graft(tree: &mut Tree, (path, deleted): &Step) -> settle_model::tree::Graft<String> {
    tree.graft(path, *deleted, path.newest().to_string())
}

pub(crate) fn graft_all(history: &[Step]) -> Tree {
    let mut tree = Tree::new();
    for step in history {
        graft(&mut tree, step);
    }
    tree
}

/// What replication from `other` brings: the paths of its leaves.
pub(crate) fn merge(mut tree: Tree, other: &Tree) -> Tree {
    for leaf in other.leaves() {
        graft(&mut tree, &(other.path(&leaf.rev).unwrap(), leaf.deleted));
    }
    tree
}

/// Grows a document as replicas do: each step edits the last revision or any other, and is sent
/// with some or all of its ancestors. The digest names the step, so that a revision always comes
/// with the same parent.
pub(crate) fn edits(max: usize) -> impl Strategy<Value = Vec<Step>> {
    let base = prop_oneof![6 => Just(None), 1 => any::<Index>().prop_map(Some)];
    let sent = prop_oneof![3 => Just(u32::MAX), 1 => 1..6_u32];
    let root = prop::bool::weighted(0.03);
    prop::collection::vec((base, sent, any::<bool>(), root), 1..max).prop_map(|steps| {
        let mut known: Vec<Vec<String>> = Vec::new();
        let mut history = Vec::new();
        for (number, (base, sent, deleted, is_root)) in steps.into_iter().enumerate() {
            let base = match base {
                _ if is_root => None,
                Some(index) if !known.is_empty() => Some(index.get(&known)),
                Some(_) | None => known.last(),
            };
            let mut digests = vec![format!("{number}")];
            digests.extend(base.into_iter().flatten().cloned());
            let mut whole = path(1, &digests);
            known.push(digests);
            whole.truncate(sent);
            history.push((whole, deleted));
        }
        history
    })
}

/// What no honest client sends: few digests, so that a revision comes with several parents, is a
/// leaf here and an ancestor there, and roots meet.
pub(crate) fn clashes() -> impl Strategy<Value = Vec<Step>> {
    let step = prop::collection::vec("[abc]", 1..5).prop_flat_map(|digests| {
        (1..4_u32).prop_map(move |oldest| (path(oldest, &digests), digests[0] == "c"))
    });
    prop::collection::vec(step, 1..10)
}

pub(crate) fn shuffled(
    history: impl Strategy<Value = Vec<Step>>,
) -> impl Strategy<Value = (Vec<Step>, Vec<Step>)> {
    history.prop_flat_map(|sent| (Just(sent.clone()), Just(sent).prop_shuffle()))
}

/// The rules of grafting, without any thought for speed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    parents: BTreeMap<RevId, Option<RevId>>,
    ancestors: BTreeSet<RevId>,
    deleted: BTreeMap<RevId, bool>,
}

impl Model {
    pub(crate) fn graft(&mut self, (path, deleted): &Step) {
        let revs: Vec<_> = path.revs().collect();
        self.deleted.insert(revs[0].clone(), *deleted);
        for (place, rev) in revs.iter().enumerate() {
            let parent = self.parents.entry(rev.clone()).or_default();
            let offered = revs.get(place + 1).cloned();
            *parent = parent.take().max(offered);
        }
        self.ancestors.extend(revs.into_iter().skip(1));
    }

    /// Every revision with its parent.
    pub(crate) fn parents(&self) -> BTreeMap<RevId, Option<RevId>> {
        self.parents.clone()
    }

    /// `(deleted, rev)`, winner first.
    pub(crate) fn leaves(&self) -> Vec<(bool, RevId)> {
        let revs = self.parents.keys().filter(|rev| !self.ancestors.contains(rev));
        let mut leaves: Vec<_> = revs.map(|rev| (self.deleted[rev], rev.clone())).collect();
        leaves.sort_by_key(|(deleted, rev)| (*deleted, std::cmp::Reverse(rev.clone())));
        leaves
    }

    /// How far each revision is from what has no child.
    pub(crate) fn distances(&self) -> BTreeMap<RevId, u32> {
        let parents: BTreeSet<_> = self.parents.values().flatten().collect();
        let mut distances = BTreeMap::new();
        for end in self.parents.keys().filter(|rev| !parents.contains(rev)) {
            let mut at = Some(end.clone());
            let mut distance = 0;
            while let Some(rev) = at {
                let known = distances.entry(rev.clone()).or_insert(distance);
                *known = distance.min(*known);
                distance += 1;
                at = self.parents[&rev].clone();
            }
        }
        distances
    }
}

/// Every revision of a tree with its parent, read from the form it is stored in.
pub(crate) fn parents(tree: &Tree) -> BTreeMap<RevId, Option<RevId>> {
    let chains = tree.chains();
    let rev = |chain: usize, offset: usize| {
        let chain = &chains[chain];
        let generation = chain.start - u32::try_from(offset).unwrap();
        RevId::new(generation, chain.digests[offset].clone()).unwrap()
    };
    let mut parents = BTreeMap::new();
    for (number, chain) in chains.iter().enumerate() {
        for offset in 0..chain.digests.len() {
            let parent = if offset + 1 < chain.digests.len() {
                Some(rev(number, offset + 1))
            } else {
                match &chain.parent {
                    settle_model::tree::ChainParent::None => None,
                    settle_model::tree::ChainParent::Chain { chain, offset } => {
                        Some(rev(*chain, *offset))
                    }
                    settle_model::tree::ChainParent::Cut(cut) => Some(cut.newest.clone()),
                }
            };
            let before = parents.insert(rev(number, offset), parent);
            assert_eq!(before, None, "each revision is written once");
        }
    }
    parents
}

pub(crate) fn leaves(tree: &Tree) -> Vec<(bool, RevId)> {
    let leaf = |it: &settle_model::tree::Leaf<String>| {
        assert_eq!(it.rev.to_string(), it.payload, "a leaf has its own payload");
        (it.deleted, it.rev.clone())
    };
    tree.leaves().iter().map(leaf).collect()
}
