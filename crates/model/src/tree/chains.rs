//! The form in which trees are exchanged with storage.
//!
//! A tree is written as one chain for each leaf, winner first, and after those one for each dead
//! end. A chain goes from its newest revision to the root, or ends where it meets a chain that was
//! written before. So the same tree is always written the same way.

use super::{Cut, RevTree, RootCut, TreeError};
use crate::revision::{Digest, RevId};

/// A run of revisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Generation of the newest.
    pub start: u32,
    /// Newest first.
    pub digests: Vec<Digest>,
    pub parent: ChainParent,
}

/// What the oldest revision of a chain was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainParent {
    /// Nothing, or nothing that is known.
    None,
    /// The revision `offset` steps older than the newest of an earlier chain.
    Chain {
        chain: usize,
        offset: usize,
    },
    Cut(Cut),
}

impl<T> RevTree<T> {
    /// One chain for each leaf, in the order of [`leaves`](Self::leaves), then the dead ends.
    pub fn chains(&self) -> Vec<Chain> {
        let mut ends: Vec<usize> = self.leaves.iter().map(|leaf| leaf.place()).collect();
        let leaves = ends.len();
        let mut written = vec![None; self.nodes.len()];
        let mut chains = Vec::with_capacity(leaves);
        let mut remaining = self.nodes.len();
        let mut next = 0;
        while remaining > 0 {
            if next == leaves {
                ends.extend(self.dead_ends());
            }
            let end = ends[next];
            let chain = self.chain_from(end, next, &mut written);
            remaining -= chain.digests.len();
            chains.push(chain);
            next += 1;
        }
        chains
    }

    /// Greatest first.
    fn dead_ends(&self) -> Vec<usize> {
        let mut has_child = vec![false; self.nodes.len()];
        for parent in self.nodes.iter().filter_map(|node| node.parent()) {
            has_child[parent] = true;
        }
        let is_dead_end = |&it: &usize| !has_child[it] && !self.nodes[it].is_leaf;
        let mut ends: Vec<_> = (0..self.nodes.len()).filter(is_dead_end).collect();
        ends.sort_unstable_by(|&a, &b| self.nodes[b].rev.cmp(&self.nodes[a].rev));
        ends
    }

    /// `written` says of each node in which chain it is, and where.
    fn chain_from(
        &self,
        end: usize,
        number: usize,
        written: &mut [Option<(usize, usize)>],
    ) -> Chain {
        let start = self.nodes[end].rev.generation();
        let mut digests = Vec::new();
        let mut parent = ChainParent::None;
        let mut oldest = end;
        for place in self.climb(end) {
            if let Some((chain, offset)) = written[place] {
                return Chain { start, digests, parent: ChainParent::Chain { chain, offset } };
            }
            written[place] = Some((number, digests.len()));
            digests.push(self.nodes[place].rev.digest().clone());
            oldest = place;
        }
        if let Some(cut) = self.cut_at(oldest) {
            parent = ChainParent::Cut(cut.clone());
        }
        Chain { start, digests, parent }
    }

    /// The inverse of [`chains`](Self::chains) and [`leaves`](Self::leaves); `leaves` holds for
    /// each of the first chains whether its newest revision is deleted, and its payload.
    pub fn from_chains(
        chains: impl IntoIterator<Item = Chain>,
        leaves: impl IntoIterator<Item = (bool, T)>,
    ) -> Result<Self, TreeError> {
        let mut tree = Self::new();
        let mut leaves = leaves.into_iter();
        // Of each chain: where its newest revision is, and how many there are.
        let mut known: Vec<(usize, usize)> = Vec::new();
        for chain in chains {
            let (first, length) = (tree.nodes.len(), chain.digests.len());
            tree.add_chain(chain, &known)?;
            known.push((first, length));
            if let Some((deleted, payload)) = leaves.next() {
                tree.nodes[first].is_leaf = true;
                tree.add_leaf(first, deleted, payload);
            }
        }
        let surplus = leaves.count();
        if surplus > 0 || (tree.leaves.is_empty() && !known.is_empty()) {
            let leaves = tree.leaves.len() + surplus;
            return Err(TreeError::Leaves { leaves, chains: known.len() });
        }
        Ok(tree)
    }

    fn add_chain(&mut self, chain: Chain, known: &[(usize, usize)]) -> Result<(), TreeError> {
        let number = known.len();
        let Chain { start, digests, parent } = chain;
        let len = digests.len();
        let oldest = match u32::try_from(len) {
            Ok(len @ 1..) if len <= start => start - (len - 1),
            Ok(_) | Err(_) => return Err(TreeError::ChainLength { chain: number, start, len }),
        };
        self.check_unique(start, &digests, known)?;
        let first = self.nodes.len();
        let parent = match parent {
            ChainParent::None => None,
            ChainParent::Chain { chain, offset } => Some(match known.get(chain) {
                Some(&(first, length)) if offset < length => first + offset,
                Some(_) | None => return Err(TreeError::Parent { chain: number }),
            }),
            ChainParent::Cut(cut) => {
                let newest = cut.newest.generation();
                if newest.checked_add(1) != Some(oldest) || !(1..=newest).contains(&cut.count) {
                    return Err(TreeError::Parent { chain: number });
                }
                self.cuts.push(RootCut { root: first + len - 1, cut });
                None
            }
        };
        if let Some(parent) = parent {
            if self.nodes[parent].rev.generation().checked_add(1) != Some(oldest) {
                return Err(TreeError::Parent { chain: number });
            }
            if self.nodes[parent].is_leaf {
                return Err(TreeError::ParentIsLeaf { chain: number });
            }
        }
        self.nodes.reserve(len + 1); // most trees that are read are about to get one more
        let generations = (oldest..=start).rev();
        for (place, (generation, digest)) in (first..).zip(generations.zip(digests)) {
            let rev = RevId::new(generation, digest).expect("checked above: from 1 to start");
            let is_oldest = generation == oldest;
            self.add_node(rev, if is_oldest { parent } else { Some(place + 1) }, false);
        }
        Ok(())
    }

    fn check_unique(
        &self,
        start: u32,
        digests: &[Digest],
        known: &[(usize, usize)],
    ) -> Result<(), TreeError> {
        for &(first, length) in known {
            for node in &self.nodes[first..first + length] {
                let age = start.wrapping_sub(node.rev.generation()) as usize;
                if digests.get(age).is_some_and(|digest| digest == node.rev.digest()) {
                    return Err(TreeError::Duplicate { rev: node.rev.clone() });
                }
            }
        }
        Ok(())
    }
}
