//! Trees whose oldest part is stored elsewhere behave as if it were here.

use std::collections::BTreeMap;

use proptest::prelude::*;
use settle_model::{
    revision::{RevId, RevPath},
    tree::{Segment, TreeError},
};

use crate::histories::{Step, Tree, edits, graft, graft_all, leaves};

/// Where segments are stored, under their newest revision, never taken away.
#[derive(Debug, Default)]
struct Store(BTreeMap<RevId, Segment>);

impl Store {
    fn split(&mut self, tree: &mut Tree, keep: u32, length: u32) {
        for segment in tree.split_older(keep, length) {
            assert!(segment.digests.len() <= length as usize);
            assert_eq!(segment.start % length, 0, "segments end at multiples of their length");
            self.0.insert(segment.newest().unwrap(), segment);
        }
    }

    fn expand(&self, tree: &Tree) -> Tree {
        let mut tree = tree.clone();
        tree.expand(|newest| Ok::<_, TreeError>(self.0[newest].clone())).unwrap();
        assert_eq!(tree.cuts().count(), 0);
        tree
    }

    /// As a database does it: older parts are fetched only when they make a difference.
    fn graft(&self, tree: &mut Tree, step: &Step) -> settle_model::tree::Graft<String> {
        if tree.graft_needs_older(&step.0) {
            *tree = self.expand(tree);
        }
        graft(tree, step)
    }
}

fn long_history() -> impl Strategy<Value = Vec<Step>> {
    edits(60)
}

proptest! {
    #[test]
    fn what_was_moved_out_comes_back(
        history in long_history(),
        keep in 0..5_u32,
        length in 1..6_u32,
    ) {
        let whole = graft_all(&history);
        let mut tree = whole.clone();
        let mut store = Store::default();
        store.split(&mut tree, keep, length);
        prop_assert_eq!(leaves(&tree), leaves(&whole));
        prop_assert_eq!(tree.cuts().count() > 0, tree.newest_cut_generation().is_some());
        prop_assert!(tree.clone().split_older(keep, length).is_empty());

        let read = Tree::from_chains(
            tree.chains(),
            tree.leaves().iter().map(|leaf| (leaf.deleted, leaf.payload.clone())),
        );
        prop_assert_eq!(&read.unwrap(), &tree);
        prop_assert_eq!(store.expand(&tree), whole);
    }

    #[test]
    fn the_newest_ancestors_of_each_leaf_stay(
        history in long_history(),
        keep in 0..5_u32,
        length in 1..6_u32,
    ) {
        let whole = graft_all(&history);
        let mut tree = whole.clone();
        Store::default().split(&mut tree, keep, length);
        for leaf in whole.leaves() {
            let mut near = whole.path(&leaf.rev).unwrap();
            near.truncate(keep + 1);
            prop_assert!(near.revs().all(|rev| tree.contains(&rev)));
        }
    }

    #[test]
    fn a_graft_that_needs_nothing_older_comes_out_as_on_the_whole_tree(
        history in long_history(),
        keep in 0..5_u32,
        length in 1..6_u32,
    ) {
        let (mut whole, mut tree, mut store) = (Tree::new(), Tree::new(), Store::default());
        for step in history.iter().chain(&history) {
            let on_whole = graft(&mut whole, step);
            let on_part = store.graft(&mut tree, step);
            prop_assert_eq!(on_part, on_whole);
            prop_assert_eq!(&store.expand(&tree), &whole);
            store.split(&mut tree, keep, length);
        }
    }

    #[test]
    fn stemming_reaches_behind_the_cuts(
        history in long_history(),
        keep in 0..5_u32,
        length in 1..6_u32,
        limit in 0..12_u32,
    ) {
        let (mut whole, mut tree, mut store) = (Tree::new(), Tree::new(), Store::default());
        for step in &history {
            graft(&mut whole, step);
            let changed = whole.stem(limit);
            store.graft(&mut tree, step);
            prop_assert_eq!(tree.stem(limit), changed);
            prop_assert_eq!(&store.expand(&tree), &whole);
            store.split(&mut tree, keep, length);
        }
    }

    #[test]
    fn purging_takes_the_cut_of_a_branch_along(
        history in long_history(),
        keep in 0..5_u32,
        length in 1..6_u32,
    ) {
        let whole = graft_all(&history);
        let mut store = Store::default();
        for leaf in whole.leaves() {
            let mut tree = whole.clone();
            store.split(&mut tree, keep, length);
            let mut expected = whole.clone();
            expected.purge(std::slice::from_ref(&leaf.rev));
            let purged = tree.purge(std::slice::from_ref(&leaf.rev));
            prop_assert_eq!(&purged, std::slice::from_ref(leaf));
            prop_assert_eq!(store.expand(&tree), expected);
        }
    }
}

fn line(oldest: u32, newest: u32) -> RevPath {
    let digests = (oldest..=newest).rev().map(|it| format!("{it}").parse().unwrap()).collect();
    RevPath::new(newest, digests).unwrap()
}

#[test]
fn a_long_history_that_only_grows_never_needs_its_older_parts() {
    let (mut tree, mut store) = (Tree::new(), Store::default());
    for generation in 1..=2_000_u32 {
        // As replicators send it, with all the ancestors that the limit leaves.
        let path = line(generation.saturating_sub(999).max(1), generation);
        assert!(!tree.graft_needs_older(&path), "at generation {generation}");
        graft(&mut tree, &(path, false));
        tree.stem(1_000);
        store.split(&mut tree, 32, 64);
        let stored: usize = tree.chains().iter().map(|chain| chain.digests.len()).sum();
        assert!(stored <= 33 + 64);
    }
    let whole = store.expand(&tree);
    assert_eq!(whole.path(&line(1, 2_000).newest()).unwrap(), line(1_001, 2_000));
}

#[test]
fn a_branch_from_behind_the_cut_needs_the_older_parts() {
    let (mut tree, mut store) = (Tree::new(), Store::default());
    graft(&mut tree, &(line(1, 200), false));
    store.split(&mut tree, 32, 64);
    assert_eq!(tree.newest_cut_generation(), Some(128));

    let needs = |path: &str| {
        let revs: Vec<RevId> = path.split(' ').map(|it| it.parse().unwrap()).collect();
        let digests = revs.iter().map(|rev| rev.digest().clone()).collect();
        tree.graft_needs_older(&RevPath::new(revs[0].generation(), digests).unwrap())
    };
    assert!(needs("101-x 100-100"));
    assert!(needs("128-128"), "what is behind the cut could be sent alone");
    assert!(needs("129-129 128-x"), "another parent for the root");
    assert!(needs("130-x 129-y 128-z"), "a branch that reaches below the cut");
    assert!(!needs("130-x 129-129 128-128 127-127"));
    assert!(!needs("130-x 129-y"));
    assert!(!needs("201-x 200-200"));
}

#[test]
fn a_path_that_knows_more_than_was_ever_here_needs_the_older_parts() {
    let (mut tree, mut store) = (Tree::new(), Store::default());
    graft(&mut tree, &(line(10, 200), false));
    store.split(&mut tree, 32, 64);
    assert!(!tree.graft_needs_older(&line(10, 201)));
    assert!(tree.graft_needs_older(&line(9, 201)));
    store.graft(&mut tree, &(line(9, 201), false));
    assert_eq!(tree.path(&line(1, 201).newest()).unwrap(), line(9, 201));
}

#[test]
fn a_history_fetched_and_moved_out_again_comes_to_the_same_segments() {
    let (mut tree, mut store) = (Tree::new(), Store::default());
    graft(&mut tree, &(line(1, 300), false));
    store.split(&mut tree, 32, 64);
    let first = store.0.clone();
    let mut again = store.expand(&tree);
    again.stem(280);
    store.split(&mut again, 32, 64);
    assert_eq!(first.keys().collect::<Vec<_>>(), store.0.keys().collect::<Vec<_>>());
}

#[test]
fn a_segment_that_nobody_waits_for_is_an_error() {
    let mut tree = Tree::new();
    graft(&mut tree, &(line(1, 200), false));
    let segments = tree.split_older(32, 64);
    let unexpected = TreeError::UnexpectedSegment { start: 64 };
    assert_eq!(tree.clone().join(&segments[0]), Err(unexpected));

    let mut ended = segments[1].clone();
    ended.older = None;
    let ends = TreeError::HistoryEnds { generation: 65, missing: 64 };
    assert_eq!(tree.clone().join(&ended), Err(ends));

    let other = |_: &RevId| Ok::<_, TreeError>(segments[0].clone());
    assert_eq!(tree.clone().expand(other), Err(TreeError::UnexpectedSegment { start: 64 }));
}
