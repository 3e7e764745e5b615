//! Forgetting revisions.

use super::{Leaf, NO_PARENT, RevTree, encode};
use crate::revision::RevId;

const DROPPED: u32 = u32::MAX;

impl<T> RevTree<T> {
    /// Forgets what is not among the newest `limit` revisions of some branch, and says whether there
    /// was any. Never a leaf: a limit of 0 is one of 1.
    pub fn stem(&mut self, limit: u32) -> bool {
        let behind: u64 = self.cuts().map(|cut| u64::from(cut.count)).sum();
        if self.nodes.len() as u64 + behind <= u64::from(limit) {
            return false;
        }
        let limit = limit.max(1);
        let distances = self.distances_to_end();
        let mut shortened = false;
        self.cuts.retain_mut(|it| {
            // The newest one behind the cut is one farther from the end than the root.
            let left = (limit - 1).saturating_sub(distances[it.root]);
            shortened |= left < it.cut.count;
            it.cut.count = it.cut.count.min(left);
            left > 0
        });
        let drops = distances.iter().any(|&distance| distance >= limit);
        if drops {
            self.retain(|place| distances[place] < limit);
        }
        drops || shortened
    }

    /// Removes those of `revs` that are leaves, with the ancestors that belong to them alone, and
    /// returns them, winner first. Dead ends go too. A leaf's parent that is left without children
    /// never becomes a leaf.
    pub fn purge(&mut self, revs: &[RevId]) -> Vec<Leaf<T>> {
        let leaves = std::mem::take(&mut self.leaves);
        let (purged, kept): (Vec<_>, _) =
            leaves.into_iter().partition(|leaf| revs.contains(&leaf.rev));
        self.leaves = kept;
        if purged.is_empty() {
            return purged;
        }
        let mut needed = vec![false; self.nodes.len()];
        for leaf in &self.leaves {
            let fresh = |it: &usize| !std::mem::replace(&mut needed[*it], true);
            self.climb(leaf.place()).take_while(fresh).for_each(drop);
        }
        self.retain(|place| needed[place]);
        purged
    }

    /// How many steps each node is away from the nearest leaf or dead end below it.
    pub(super) fn distances_to_end(&self) -> Vec<u32> {
        let mut distances = vec![u32::MAX; self.nodes.len()];
        let mut has_child = vec![false; self.nodes.len()];
        for node in &self.nodes {
            if let Some(parent) = node.parent() {
                has_child[parent] = true;
            }
        }
        for end in (0..self.nodes.len()).filter(|&it| !has_child[it]) {
            for (distance, place) in (0..).zip(self.climb(end)) {
                if distances[place] <= distance {
                    break;
                }
                distances[place] = distance;
            }
        }
        distances
    }

    /// Keeps the nodes that `keep` says, all leaves being among them. A node whose parent goes is a
    /// root; a cut goes with its root.
    pub(super) fn retain(&mut self, keep: impl Fn(usize) -> bool) {
        let mut kept = 0;
        let mut moved_to = Vec::with_capacity(self.nodes.len());
        for place in 0..self.nodes.len() {
            if keep(place) {
                moved_to.push(encode(Some(kept)));
                kept += 1;
            } else {
                moved_to.push(DROPPED);
            }
        }
        let mut place = 0;
        self.nodes.retain(|_| {
            place += 1;
            moved_to[place - 1] != DROPPED
        });
        for node in &mut self.nodes {
            node.parent = node.parent().map_or(NO_PARENT, |parent| moved_to[parent]);
        }
        for leaf in &mut self.leaves {
            leaf.node.0 = moved_to[leaf.node.0 as usize];
        }
        self.cuts.retain_mut(|it| {
            let moved_to = moved_to[it.root];
            it.root = moved_to as usize;
            moved_to != DROPPED
        });
    }
}
