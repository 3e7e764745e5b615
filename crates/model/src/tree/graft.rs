//! Adding revisions.

use super::{Leaf, RevTree, encode};
use crate::revision::RevPath;

/// What a graft did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graft<T> {
    pub outcome: Grafted,
    /// Leaves that turned out to be ancestors, the newest first.
    pub replaced: Vec<Leaf<T>>,
}

/// What became of the path's newest revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grafted {
    /// It was there, and so was all of its history. Nothing changed.
    Known,
    /// It was there; older history was not, or not joined to it.
    KnownNowJoined,
    /// It is a leaf now, and its nearest known ancestor was one.
    Extended,
    /// It is a leaf now, and its nearest known ancestor had other descendants.
    Branched,
    /// It is a leaf now, and no ancestor was known.
    NewRoot,
}

const UNKNOWN: u32 = u32::MAX;

impl<T> RevTree<T> {
    /// Adds `path`, whose newest revision is a leaf unless it is known already. Idempotent: for a
    /// known revision the first `deleted` and payload stay. Where a revision always comes with the
    /// same `deleted`, as a digest of the edit ensures, the order of grafts does not matter.
    ///
    /// # Panics
    ///
    /// Where [`graft_needs_older`](Self::graft_needs_older).
    pub fn graft(&mut self, path: &RevPath, deleted: bool, payload: T) -> Graft<T> {
        let known = self.locate(path);
        assert!(!self.needs_older(path, &known), "the caller has fetched what the graft needs");
        let nearest = known.iter().find(|&&place| place != UNKNOWN).map(|&place| place as usize);
        let added = match nearest {
            None => Grafted::NewRoot,
            Some(nearest) if self.nodes[nearest].is_leaf => Grafted::Extended,
            Some(_) => Grafted::Branched,
        };
        let is_new = known[0] == UNKNOWN;

        let mut replaced = Vec::new();
        let mut changed = false;
        let (mut child, mut newest) = (None, None);
        for (age, (&found, digest)) in known.iter().zip(path.digests()).enumerate() {
            let place = if found == UNKNOWN {
                changed = true;
                self.add_node(path.rev(age, digest), None, false)
            } else {
                found as usize
            };
            newest.get_or_insert(place);
            if let Some(child) = child {
                changed |= self.adopt(child, place);
                replaced.extend(self.end_leaf(place));
            }
            if self.cut_at(place).is_some() {
                break; // what follows is behind the cut, as needs_older has found
            }
            child = Some(place);
        }

        if let Some(place) = newest.filter(|_| is_new) {
            self.nodes[place].is_leaf = true;
            self.add_leaf(place, deleted, payload);
        }
        let outcome = match (is_new, changed || !replaced.is_empty()) {
            (true, _) => added,
            (false, true) => Grafted::KnownNowJoined,
            (false, false) => Grafted::Known,
        };
        Graft { outcome, replaced }
    }

    /// Whether a graft of `path` could come out otherwise, were the parts behind the cuts here.
    ///
    /// That is so where a revision that is not known here may be behind a cut, or where the path
    /// knows older history than all that is there. The ancestors of a known revision behind a cut
    /// are taken to be those that are stored.
    pub fn graft_needs_older(&self, path: &RevPath) -> bool {
        !self.cuts.is_empty() && self.needs_older(path, &self.locate(path))
    }

    fn needs_older(&self, path: &RevPath, known: &[u32]) -> bool {
        if self.cuts.is_empty() {
            return false;
        }
        for (age, (&found, digest)) in known.iter().zip(path.digests()).enumerate() {
            if found == UNKNOWN {
                if self.may_be_behind_cut(&path.rev(age, digest)) {
                    return true;
                }
                continue;
            }
            let Some(cut) = self.cut_at(found as usize) else { continue };
            let older = &path.digests()[age + 1..];
            return match older.first() {
                None => false,
                Some(parent) => parent != cut.newest.digest() || older.len() > cut.count as usize,
            };
        }
        false
    }

    /// Where each revision of `path` is, newest first, in one walk over the nodes.
    fn locate(&self, path: &RevPath) -> Vec<u32> {
        let digests = path.digests();
        let mut known = vec![UNKNOWN; digests.len()];
        for (place, node) in self.nodes.iter().enumerate() {
            // Newer ones than the path wrap round to ages that it does not have.
            let age = path.start().wrapping_sub(node.rev.generation()) as usize;
            if digests.get(age).is_some_and(|digest| digest == node.rev.digest()) {
                known[age] = encode(Some(place));
            }
        }
        known
    }

    /// Of the parent that `child` has and the one that is offered, the greater is its parent now.
    fn adopt(&mut self, child: usize, offered: usize) -> bool {
        let replace = match self.nodes[child].parent() {
            None => true,
            Some(parent) => self.nodes[parent].rev < self.nodes[offered].rev,
        };
        if replace {
            self.nodes[child].parent = encode(Some(offered));
        }
        replace
    }

    fn end_leaf(&mut self, place: usize) -> Option<Leaf<T>> {
        if !self.nodes[place].is_leaf {
            return None;
        }
        self.nodes[place].is_leaf = false;
        let at = self.leaves.iter().position(|leaf| leaf.place() == place);
        Some(self.leaves.remove(at.expect("a node that is a leaf is among the leaves")))
    }
}
