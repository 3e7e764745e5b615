//! What holds for every history.

use std::collections::BTreeMap;

use proptest::{prelude::*, sample::Index};
use settle_model::{revision::RevId, tree::Grafted};

use crate::histories::{
    Model, Tree, clashes, edits, graft, graft_all, leaves, merge, parents, shuffled,
};

fn model_of(history: &[crate::histories::Step]) -> Model {
    let mut model = Model::default();
    history.iter().for_each(|step| model.graft(step));
    model
}

fn any_history() -> impl Strategy<Value = Vec<crate::histories::Step>> {
    prop_oneof![edits(30).boxed(), clashes().boxed()]
}

proptest! {
    #[test]
    fn a_tree_holds_what_the_plain_model_holds(history in any_history()) {
        let (tree, model) = (graft_all(&history), model_of(&history));
        prop_assert_eq!(parents(&tree), model.parents());
        prop_assert_eq!(leaves(&tree), model.leaves());
    }

    /// Replicas that saw the same edits in different orders agree, also on what made-up revisions
    /// contradict each other about.
    #[test]
    fn the_order_of_arrival_does_not_matter((sent, received) in shuffled(any_history())) {
        prop_assert_eq!(graft_all(&sent), graft_all(&received));
    }

    #[test]
    fn a_second_copy_changes_nothing(history in any_history()) {
        let once = graft_all(&history);
        let mut twice = once.clone();
        for step in &history {
            let graft = graft(&mut twice, step);
            prop_assert_eq!(graft.outcome, Grafted::Known);
            prop_assert!(graft.replaced.is_empty());
        }
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn merging_is_commutative_associative_and_idempotent(
        history in edits(40),
        owners in prop::collection::vec(0..3_usize, 40),
    ) {
        let mut trees = [Tree::new(), Tree::new(), Tree::new()];
        for (step, owner) in history.iter().zip(owners) {
            graft(&mut trees[owner], step);
        }
        let [a, b, c] = trees;
        prop_assert_eq!(merge(a.clone(), &b), merge(b.clone(), &a));
        let left = merge(merge(a.clone(), &b), &c);
        prop_assert_eq!(&left, &merge(a.clone(), &merge(b, &c)));
        prop_assert_eq!(&merge(left.clone(), &a), &left);
        prop_assert_eq!(&left, &graft_all(&history));
    }

    #[test]
    fn the_winner_is_a_leaf_that_no_leaf_outranks(history in any_history()) {
        let tree = graft_all(&history);
        let rank = |it: &settle_model::tree::Leaf<String>| (!it.deleted, it.rev.clone());
        let best = tree.leaves().iter().max_by_key(|it| rank(it)).unwrap();
        prop_assert_eq!(tree.winner().unwrap(), best);
    }

    #[test]
    fn a_graft_says_which_leaves_it_replaced(history in any_history()) {
        let mut tree = Tree::new();
        for step in &history {
            let before = leaves(&tree);
            let graft = graft(&mut tree, step);
            let after = leaves(&tree);
            let mut gone: Vec<_> = before.iter().filter(|it| !after.contains(it)).collect();
            gone.sort_by_key(|(_, rev)| std::cmp::Reverse(rev.clone()));
            let replaced: Vec<_> =
                graft.replaced.iter().map(|it| (it.deleted, it.rev.clone())).collect();
            prop_assert_eq!(gone, replaced.iter().collect::<Vec<_>>());
            let is_new = !before.iter().any(|it| it.1 == step.0.newest())
                && after.iter().any(|it| it.1 == step.0.newest());
            let added = matches!(
                graft.outcome,
                Grafted::Extended | Grafted::Branched | Grafted::NewRoot
            );
            prop_assert_eq!(is_new, added);
        }
    }

    #[test]
    fn stemming_keeps_every_leaf_and_what_is_near_one(
        history in any_history(),
        limit in 0..12_u32,
    ) {
        let (mut tree, model) = (graft_all(&history), model_of(&history));
        let before = leaves(&tree);
        let far = model.distances().values().any(|&distance| distance >= limit.max(1));
        prop_assert_eq!(tree.stem(limit), far);
        prop_assert_eq!(leaves(&tree), before);

        let distances = model.distances();
        let near = |rev: &RevId| distances[rev] < limit.max(1);
        let expected: BTreeMap<_, _> = model
            .parents()
            .into_iter()
            .filter(|(rev, _)| near(rev))
            .map(|(rev, parent)| (rev, parent.filter(near)))
            .collect();
        prop_assert_eq!(parents(&tree), expected);
        prop_assert!(!tree.stem(limit));
    }

    /// One replica has forgotten old revisions, the other has not.
    #[test]
    fn a_stemmed_replica_and_a_whole_one_agree(history in edits(30), limit in 1..8_u32) {
        let whole = graft_all(&history);
        let mut stemmed = whole.clone();
        stemmed.stem(limit);
        prop_assert_eq!(&merge(whole.clone(), &stemmed), &whole);
        prop_assert_eq!(&merge(stemmed, &whole), &whole);
    }

    #[test]
    fn what_is_stored_reads_back_as_the_same_tree(history in any_history()) {
        let tree = graft_all(&history);
        let chains = tree.chains();
        let payloads = tree.leaves().iter().map(|leaf| (leaf.deleted, leaf.payload.clone()));
        let read = Tree::from_chains(chains.clone(), payloads).unwrap();
        prop_assert_eq!(read.chains(), chains);
        prop_assert_eq!(read, tree);
    }

    #[test]
    fn purging_leaves_the_tree_of_the_other_leaves(
        history in edits(30),
        chosen in prop::collection::vec(any::<Index>(), 0..6),
    ) {
        let whole = graft_all(&history);
        let revs: Vec<_> = parents(&whole).into_keys().collect();
        let purge: Vec<_> = chosen.iter().map(|it| it.get(&revs).clone()).collect();
        let mut tree = whole.clone();
        let purged = tree.purge(&purge);

        let expected = whole.leaves().iter().filter(|leaf| purge.contains(&leaf.rev));
        prop_assert_eq!(purged.iter().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        let kept: Vec<_> = whole
            .leaves()
            .iter()
            .filter(|leaf| !purge.contains(&leaf.rev))
            .map(|leaf| (whole.path(&leaf.rev).unwrap(), leaf.deleted))
            .collect();
        prop_assert_eq!(tree, graft_all(&kept));
    }

    #[test]
    fn questions_are_answered_as_the_model_would(
        history in any_history(),
        asked in prop::collection::vec((1..8_u32, "[abc0-9]"), 0..16),
    ) {
        let (tree, model) = (graft_all(&history), model_of(&history));
        let known = model.parents();
        for rev in known.keys() {
            let path: Vec<_> = tree.path(rev).unwrap().revs().collect();
            let climb = std::iter::successors(Some(rev.clone()), |at| known[at].clone());
            prop_assert_eq!(&path, &climb.collect::<Vec<_>>());
            for leaf in tree.leaves() {
                let descends = tree.path(&leaf.rev).unwrap().revs().any(|it| it == *rev);
                prop_assert_eq!(tree.latest(rev).contains(&leaf), descends);
            }
        }
        let revs: Vec<RevId> = asked
            .iter()
            .map(|(generation, digest)| format!("{generation}-{digest}").parse().unwrap())
            .collect();
        let answer = tree.missing(&revs);
        let missing: Vec<_> = revs.iter().filter(|it| !known.contains_key(it)).cloned().collect();
        prop_assert_eq!(&answer.missing, &missing);
        let newest = missing.iter().map(RevId::generation).max();
        let possible = model.leaves().into_iter().map(|it| it.1);
        let possible = possible.filter(|it| newest.is_some_and(|max| it.generation() < max));
        prop_assert_eq!(answer.possible_ancestors, possible.collect::<Vec<_>>());
    }
}
