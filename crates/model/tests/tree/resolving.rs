//! Ending conflicts: after it one live leaf is left, which wins wherever it comes.

use proptest::{prelude::*, sample::Index};
use settle_model::{
    revision::{RevId, RevPath},
    revision_hash,
    tree::{Resolution, ResolveError},
};

use crate::histories::{Step, Tree, edits, graft, graft_all, merge, path};

/// The edits that a plan leads to: with a merged body a revision on the leaf that is kept, and on each of the
/// others a tombstone.
fn steps(resolution: &Resolution, merged: Option<&[u8]>) -> Vec<Step> {
    let on = |leaf: &RevId, deleted, body| {
        let rev = revision_hash::next(deleted, Some(leaf), body, &[]).unwrap();
        let digests = vec![rev.digest().clone(), leaf.digest().clone()];
        (RevPath::new(rev.generation(), digests).unwrap(), deleted)
    };
    let merged = merged.map(|body| on(&resolution.kept, false, body));
    let closed = resolution.closed.iter().map(|leaf| on(leaf, true, b"{}"));
    merged.into_iter().chain(closed).collect()
}

fn apply(tree: &Tree, steps: &[Step]) -> Tree {
    let mut tree = tree.clone();
    for step in steps {
        graft(&mut tree, step);
    }
    tree
}

fn live(tree: &Tree) -> Vec<RevId> {
    tree.leaves().iter().filter(|leaf| !leaf.deleted).map(|leaf| leaf.rev.clone()).collect()
}

fn merged() -> impl Strategy<Value = Option<&'static [u8]>> {
    prop::option::of(prop::sample::select(vec![b"{}".as_slice(), br#"{"both":true}"#]))
}

proptest! {
    #[test]
    fn one_live_leaf_is_left_and_wins_on_every_replica(
        history in edits(30),
        kept in prop::option::of(any::<Index>()),
        merged in merged(),
        received in prop::collection::vec(any::<bool>(), 30),
    ) {
        let tree = graft_all(&history);
        let before = live(&tree);
        prop_assume!(!before.is_empty());
        let kept = kept.map(|index| index.get(&before));
        let resolution = tree.resolve(kept, Some(&before)).unwrap();
        let steps = steps(&resolution, merged);
        let after = apply(&tree, &steps);
        let winner = match merged {
            None => resolution.kept.clone(),
            Some(_) => steps[0].0.newest(),
        };
        prop_assert_eq!(live(&after), std::slice::from_ref(&winner));
        prop_assert_eq!(&after.winner().unwrap().rev, &winner);
        prop_assert_eq!(after.conflicts().count(), 0);
        // A replica that had only some of the revisions.
        let some = history.iter().zip(received).filter(|(_, it)| *it).map(|(step, _)| step.clone());
        let replica = merge(graft_all(&some.collect::<Vec<_>>()), &after);
        prop_assert_eq!(&replica.winner().unwrap().rev, &winner);
        prop_assert_eq!(live(&replica), vec![winner]);
    }

    #[test]
    fn replicas_that_resolve_alike_make_the_same_revisions(
        (sent, received) in crate::histories::shuffled(edits(30)),
        merged in merged(),
    ) {
        let (a, b) = (graft_all(&sent), graft_all(&received));
        prop_assert_eq!(a.resolve(None, None), b.resolve(None, None));
        if let Ok(resolution) = a.resolve(None, None) {
            let (a, b) = (apply(&a, &steps(&resolution, merged)), apply(&b, &steps(&resolution, merged)));
            prop_assert_eq!(&a, &b);
            prop_assert_eq!(merge(a.clone(), &b), a);
        }
    }

    #[test]
    fn nothing_is_resolved_by_who_saw_other_leaves(history in edits(30), left_out in any::<Index>()) {
        let tree = graft_all(&history);
        let live = live(&tree);
        prop_assume!(!live.is_empty());
        let mut seen = live.clone();
        seen.remove(left_out.index(live.len()));
        let moved = || Err(ResolveError::Moved { live: live.clone() });
        prop_assert_eq!(tree.resolve(None, Some(&seen)), moved());
        let mut seen = live.clone();
        seen.push("9-never".parse().unwrap());
        prop_assert_eq!(tree.resolve(None, Some(&seen)), moved());
        seen.pop();
        seen.reverse();
        prop_assert!(tree.resolve(None, Some(&seen)).is_ok(), "their order says nothing");
    }
}

fn tree(paths: &[(&str, bool)]) -> Tree {
    let step = |(names, deleted): &(&str, bool)| {
        let digests: Vec<_> = names.split(' ').map(str::to_owned).collect();
        (path(1, &digests), *deleted)
    };
    graft_all(&paths.iter().map(step).collect::<Vec<_>>())
}

#[test]
fn what_is_not_there_or_not_live_cannot_be_kept() {
    let empty = Tree::new();
    assert_eq!(empty.resolve(None, None), Err(ResolveError::Missing));
    let deleted = tree(&[("b a", true)]);
    assert_eq!(deleted.resolve(None, None), Err(ResolveError::Deleted));
    let conflict = tree(&[("b a", false), ("c a", false), ("d a", true)]);
    for rev in ["1-a", "2-d", "2-x"] {
        let rev: RevId = rev.parse().unwrap();
        let refused = Err(ResolveError::NotLive { rev: rev.clone() });
        assert_eq!(conflict.resolve(Some(&rev), None), refused);
    }
}

#[test]
fn a_document_without_conflict_has_nothing_to_close() {
    let resolution = tree(&[("b a", false), ("c a", true)]).resolve(None, None).unwrap();
    assert_eq!(resolution, Resolution { kept: "2-b".parse().unwrap(), closed: Vec::new() });
}
