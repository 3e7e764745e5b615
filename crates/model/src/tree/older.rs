//! Keeping the oldest part of a long history elsewhere.
//!
//! ```text
//!   segment            segment               tree
//!   1 … 64  <── older ─ 65 … 128  <── cut ── 129 … 200 ┬─ 201 … 240
//!                                                      └─ 201
//! ```
//!
//! Only runs without a branch are moved, in segments that end at multiples of their length. So a
//! segment never changes and can be stored under its newest revision, and a history that is fetched
//! and moved out again comes to the same segments.

use super::{NO_PARENT, RevTree, RootCut, TreeError, encode};
use crate::revision::{Digest, RevId};

/// Says that the ancestors of a root are stored elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The root's parent, by which its segment is found.
    pub newest: RevId,
    /// How many ancestors there are, this one included; at least 1. A segment may hold more: those
    /// were stemmed.
    pub count: u32,
}

/// A run of revisions without a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Generation of the newest.
    pub start: u32,
    /// Newest first.
    pub digests: Vec<Digest>,
    /// What came before, when the segment was made.
    pub older: Option<Cut>,
}

impl Cut {
    /// The generation of the oldest revision behind the cut.
    pub fn oldest_generation(&self) -> u32 {
        self.newest.generation().saturating_sub(self.count - 1)
    }
}

impl Segment {
    /// The revision by which it is found; `None` for what is not a segment.
    pub fn newest(&self) -> Option<RevId> {
        RevId::new(self.start, self.digests.first()?.clone())
    }
}

impl<T> RevTree<T> {
    pub fn cuts(&self) -> impl Iterator<Item = &Cut> {
        self.cuts.iter().map(|it| &it.cut)
    }

    /// The generation of the newest revision behind a cut.
    pub fn newest_cut_generation(&self) -> Option<u32> {
        self.cuts().map(|cut| cut.newest.generation()).max()
    }

    /// Whether `rev` could be known, though not here: it is of a generation that is behind a cut.
    pub fn may_be_behind_cut(&self, rev: &RevId) -> bool {
        let generation = rev.generation();
        self.cuts().any(|cut| {
            cut.oldest_generation() <= generation && generation <= cut.newest.generation()
        })
    }

    /// Moves out what is older than the `keep` newest ancestors of every leaf, in segments of at
    /// most `length` revisions, oldest segment first. Whoever calls this stores the segments.
    pub fn split_older(&mut self, keep: u32, length: u32) -> Vec<Segment> {
        let mut segments = Vec::new();
        if self.nodes.len() <= keep as usize {
            return segments;
        }
        let distances = self.distances_to_end();
        let children = self.only_children();
        let mut moved = vec![false; self.nodes.len()];
        let roots = (0..self.nodes.len()).filter(|&it| self.nodes[it].parent == NO_PARENT);
        for root in roots.collect::<Vec<_>>() {
            let mut root = root;
            while let Some(run) = self.run_to_move(root, keep, length, &distances, &children) {
                let (segment, new_root) = self.cut_off(root, &run, &children);
                segments.push(segment);
                for place in run {
                    moved[place] = true;
                }
                root = new_root;
            }
        }
        if !segments.is_empty() {
            self.retain(|place| !moved[place]);
        }
        segments
    }

    /// The revisions from `root` to the next multiple of `length`, oldest first, if all of them can
    /// go.
    fn run_to_move(
        &self,
        root: usize,
        keep: u32,
        length: u32,
        distances: &[u32],
        children: &[OnlyChild],
    ) -> Option<Vec<usize>> {
        let oldest = self.nodes[root].rev.generation();
        let length = length.max(1);
        let count = oldest.next_multiple_of(length) - oldest;
        // Distances shrink by one towards the ends, as long as there is no branch.
        if distances[root] <= keep.checked_add(count)? {
            return None;
        }
        let mut run = vec![root];
        for _ in 0..count {
            run.push(children[run[run.len() - 1]].get()?);
        }
        children[run[run.len() - 1]].get()?;
        Some(run)
    }

    fn cut_off(&mut self, root: usize, run: &[usize], children: &[OnlyChild]) -> (Segment, usize) {
        let newest = run[run.len() - 1];
        let new_root = children[newest].get().expect("run_to_move: the run goes on");
        let newest = self.nodes[newest].rev.clone();
        let older = match self.cuts.iter().position(|it| it.root == root) {
            Some(at) => Some(self.cuts.swap_remove(at).cut),
            None => None,
        };
        let length = encode(Some(run.len()));
        let count = length + older.as_ref().map_or(0, |cut| cut.count);
        let digests = run.iter().rev().map(|&it| self.nodes[it].rev.digest().clone()).collect();
        self.nodes[new_root].parent = NO_PARENT;
        self.cuts.push(RootCut { root: new_root, cut: Cut { newest: newest.clone(), count } });
        (Segment { start: newest.generation(), digests, older }, new_root)
    }

    /// Puts back what [`split_older`](Self::split_older) moved out: the newest segment of a cut. After
    /// an error the tree is of no use.
    pub fn join(&mut self, segment: &Segment) -> Result<(), TreeError> {
        let start = segment.start;
        let unexpected = TreeError::UnexpectedSegment { start };
        let newest = segment.newest().ok_or_else(|| unexpected.clone())?;
        let waiting = self.cuts.iter().position(|it| it.cut.newest == newest);
        let RootCut { root, cut } = self.cuts.swap_remove(waiting.ok_or(unexpected)?);

        let mut child = root;
        let mut generation = start;
        let mut missing = cut.count;
        for digest in segment.digests.iter().take(cut.count as usize) {
            let ends = TreeError::HistoryEnds { generation, missing };
            let rev = RevId::new(generation, digest.clone()).ok_or(ends)?;
            let place = self.add_node(rev, None, false);
            self.nodes[child].parent = encode(Some(place));
            child = place;
            generation -= 1;
            missing -= 1;
        }
        if missing > 0 {
            let Some(older) = &segment.older else {
                return Err(TreeError::HistoryEnds { generation: generation + 1, missing });
            };
            let cut = Cut { newest: older.newest.clone(), count: missing };
            self.cuts.push(RootCut { root: child, cut });
        }
        Ok(())
    }

    /// Puts back all that is behind the cuts, with `load` to fetch the segment that begins with a
    /// revision. After an error the tree is of no use.
    pub fn expand<E: From<TreeError>>(
        &mut self,
        mut load: impl FnMut(&RevId) -> Result<Segment, E>,
    ) -> Result<(), E> {
        while let Some(RootCut { cut, .. }) = self.cuts.first() {
            let newest = cut.newest.clone();
            let segment = load(&newest)?;
            if segment.newest().as_ref() != Some(&newest) {
                return Err(TreeError::UnexpectedSegment { start: segment.start }.into());
            }
            self.join(&segment)?;
        }
        Ok(())
    }

    fn only_children(&self) -> Vec<OnlyChild> {
        let mut children = vec![OnlyChild(OnlyChild::NONE); self.nodes.len()];
        for (place, node) in self.nodes.iter().enumerate() {
            if let Some(parent) = node.parent() {
                children[parent].add(encode(Some(place)));
            }
        }
        children
    }
}

/// The child of a node that has exactly one.
#[derive(Debug, Clone, Copy)]
struct OnlyChild(u32);

impl OnlyChild {
    const NONE: u32 = u32::MAX;
    const SEVERAL: u32 = u32::MAX - 1;

    fn add(&mut self, child: u32) {
        self.0 = if self.0 == Self::NONE { child } else { Self::SEVERAL };
    }

    fn get(self) -> Option<usize> {
        (self.0 < Self::SEVERAL).then_some(self.0 as usize)
    }
}
