//! What the rules are, case by case.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use settle_model::{revision::RevId, tree::Leaf};

use crate::histories::{Tree, graft, path};

/// One step a line. A graft has the oldest digest first: `a b c`, or `2: b c` where generation 1 is
/// not known; a trailing `x` marks a deleted leaf. Otherwise a question or another operation. This is
/// the only place that knows the API.
#[track_caller]
fn check(steps: &str, expected: &Expect) {
    let mut tree = Tree::new();
    let mut seen = String::new();
    for line in steps.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let revs = || rest.split_whitespace().map(|it| it.parse().unwrap()).collect::<Vec<RevId>>();
        let answer = match word {
            "stem" => format!("{}", tree.stem(rest.parse().unwrap())),
            "purge" => show(&tree.purge(&revs())),
            "path" => tree.path(&revs()[0]).map_or_else(String::new, |it| join(it.revs())),
            "latest" => show(tree.latest(&revs()[0])),
            "missing" => {
                let answer = tree.missing(&revs());
                match join(answer.possible_ancestors) {
                    none if none.is_empty() => join(answer.missing),
                    ancestors => format!("{}, perhaps from {ancestors}", join(answer.missing)),
                }
            }
            _ => {
                let graft = graft(&mut tree, &parse(line));
                match show(&graft.replaced) {
                    none if none.is_empty() => format!("{:?}", graft.outcome),
                    replaced => format!("{:?}, replaces {replaced}", graft.outcome),
                }
            }
        };
        writeln!(seen, "{line:10} => {}", if answer.is_empty() { "none" } else { &answer })
            .unwrap();
    }
    writeln!(seen, "leaves     => {}", show(tree.leaves())).unwrap();
    expected.assert_eq(&seen);
}

fn parse(line: &str) -> crate::histories::Step {
    let (oldest, names) = line.split_once(": ").unwrap_or(("1", line));
    let (names, deleted) = match names.strip_suffix(" x") {
        Some(names) => (names, true),
        None => (names, false),
    };
    let digests: Vec<_> = names.split(' ').rev().map(str::to_owned).collect();
    (path(oldest.parse().unwrap(), &digests), deleted)
}

fn show<'a>(leaves: impl IntoIterator<Item = &'a Leaf<String>>) -> String {
    let show = |leaf: &Leaf<String>| {
        assert_eq!(leaf.payload, leaf.rev.to_string());
        format!("{}{}", leaf.rev, if leaf.deleted { " x" } else { "" })
    };
    leaves.into_iter().map(show).collect::<Vec<_>>().join(", ")
}

fn join(revs: impl IntoIterator<Item = RevId>) -> String {
    revs.into_iter().map(|rev| rev.to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_longest_live_branch_wins() {
    check(
        "a b\na c d",
        &expect![[r#"
        a b        => NewRoot
        a c d      => Branched
        leaves     => 3-d, 2-b
    "#]],
    );
}

#[test]
fn equal_length_is_decided_by_digest() {
    check(
        "a b\na c",
        &expect![[r#"
        a b        => NewRoot
        a c        => Branched
        leaves     => 2-c, 2-b
    "#]],
    );
}

#[test]
fn a_live_branch_beats_a_longer_deleted_one() {
    check(
        "a b\na c d e x",
        &expect![[r#"
        a b        => NewRoot
        a c d e x  => Branched
        leaves     => 2-b, 4-e x
    "#]],
    );
}

#[test]
fn an_edit_replaces_the_leaf_it_was_made_from() {
    check(
        "a\na b\na b c",
        &expect![[r#"
        a          => NewRoot
        a b        => Extended, replaces 1-a
        a b c      => Extended, replaces 2-b
        leaves     => 3-c
    "#]],
    );
}

#[test]
fn deleting_the_winner_lets_the_other_branch_win() {
    check(
        "a b\na c\na c d x",
        &expect![[r#"
        a b        => NewRoot
        a c        => Branched
        a c d x    => Extended, replaces 2-c
        leaves     => 2-b, 3-d x
    "#]],
    );
}

#[test]
fn a_document_may_have_several_roots() {
    check(
        "a\nb",
        &expect![[r#"
        a          => NewRoot
        b          => NewRoot
        leaves     => 1-b, 1-a
    "#]],
    );
}

#[test]
fn history_cut_off_on_one_side_is_joined_up() {
    check(
        "3: c d\na b c",
        &expect![[r#"
        3: c d     => NewRoot
        a b c      => KnownNowJoined
        leaves     => 4-d
    "#]],
    );
}

#[test]
fn roots_that_meet_later_are_joined() {
    check(
        "a b\n4: d\n3: c\na b c d e",
        &expect![[r#"
        a b        => NewRoot
        4: d       => NewRoot
        3: c       => NewRoot
        a b c d e  => Extended, replaces 4-d, 3-c, 2-b
        leaves     => 5-e
    "#]],
    );
}

#[test]
fn a_leaf_that_turns_out_to_be_an_ancestor_is_replaced() {
    check(
        "2: b\na\na b",
        &expect![[r#"
        2: b       => NewRoot
        a          => NewRoot
        a b        => KnownNowJoined, replaces 1-a
        leaves     => 2-b
    "#]],
    );
}

#[test]
fn an_ancestor_sent_alone_is_known() {
    check(
        "a b c\na b\n2: b",
        &expect![[r#"
        a b c      => NewRoot
        a b        => Known
        2: b       => Known
        leaves     => 3-c
    "#]],
    );
}

#[test]
fn of_two_parents_the_greater_is_taken() {
    check(
        "a b c\na z c\npath 3-c\nlatest 2-b\nlatest 2-z",
        &expect![[r#"
        a b c      => NewRoot
        a z c      => KnownNowJoined
        path 3-c   => 3-c 2-z 1-a
        latest 2-b => none
        latest 2-z => 3-c
        leaves     => 3-c
    "#]],
    );
}

#[test]
fn of_two_parents_the_greater_is_taken_whichever_came_first() {
    check(
        "a z c\na b c\npath 3-c\n2: b",
        &expect![[r#"
        a z c      => NewRoot
        a b c      => KnownNowJoined
        path 3-c   => 3-c 2-z 1-a
        2: b       => Known
        leaves     => 3-c
    "#]],
    );
}

#[test]
fn digests_of_32_hex_digits_are_ordered_by_their_bytes() {
    check(
        "a ff\na 00000000000000000000000000000000\na ~",
        &expect![[r#"
        a ff       => NewRoot
        a 00000000000000000000000000000000 => Branched
        a ~        => Branched
        leaves     => 2-~, 2-ff, 2-00000000000000000000000000000000
    "#]],
    );
}

#[test]
fn stemming_keeps_the_newest_of_each_branch() {
    check(
        "a b c d\na e\nstem 2\nstem 2\npath 4-d\npath 2-e\npath 1-a",
        &expect![[r#"
        a b c d    => NewRoot
        a e        => Branched
        stem 2     => true
        stem 2     => false
        path 4-d   => 4-d 3-c
        path 2-e   => 2-e 1-a
        path 1-a   => 1-a
        leaves     => 4-d, 2-e
    "#]],
    );
}

#[test]
fn stemming_never_takes_a_leaf() {
    check(
        "a b\na c\nstem 0\npath 2-b",
        &expect![[r#"
        a b        => NewRoot
        a c        => Branched
        stem 0     => true
        path 2-b   => 2-b
        leaves     => 2-c, 2-b
    "#]],
    );
}

#[test]
fn a_path_stemmed_elsewhere_joins_where_it_can() {
    check(
        "a b c\nstem 2\n2: b c d\n4: d e\na b c d e",
        &expect![[r#"
        a b c      => NewRoot
        stem 2     => true
        2: b c d   => Extended, replaces 3-c
        4: d e     => Extended, replaces 4-d
        a b c d e  => KnownNowJoined
        leaves     => 5-e
    "#]],
    );
}

#[test]
fn only_leaves_are_purged() {
    check(
        "a b\na c\npurge 1-a\npurge 2-c 1-a\npath 2-b",
        &expect![[r#"
        a b        => NewRoot
        a c        => Branched
        purge 1-a  => none
        purge 2-c 1-a => 2-c
        path 2-b   => 2-b 1-a
        leaves     => 2-b
    "#]],
    );
}

#[test]
fn purging_the_last_leaf_empties_the_tree() {
    check(
        "a b c\npurge 3-c\npath 1-a\na",
        &expect![[r#"
        a b c      => NewRoot
        purge 3-c  => 3-c
        path 1-a   => none
        a          => NewRoot
        leaves     => 1-a
    "#]],
    );
}

#[test]
fn missing_revisions_come_with_the_leaves_they_may_descend_from() {
    check(
        "a b\na c d\nmissing 1-a 3-d\nmissing 3-e 2-b\nmissing 4-f 3-e",
        &expect![[r#"
        a b        => NewRoot
        a c d      => Branched
        missing 1-a 3-d => none
        missing 3-e 2-b => 3-e, perhaps from 2-b
        missing 4-f 3-e => 4-f 3-e, perhaps from 3-d 2-b
        leaves     => 3-d, 2-b
    "#]],
    );
}

#[test]
fn the_latest_of_an_ancestor_are_all_leaves_above_it() {
    check(
        "a b\na c d\nlatest 1-a\nlatest 2-c\nlatest 2-b\nlatest 9-z",
        &expect![[r#"
        a b        => NewRoot
        a c d      => Branched
        latest 1-a => 3-d, 2-b
        latest 2-c => 3-d
        latest 2-b => 2-b
        latest 9-z => none
        leaves     => 3-d, 2-b
    "#]],
    );
}
