//! Histories by hand with what is said of them, and histories by the thousand: serial ones, which are never blamed, and
//! the same with one thing wrong, which always are.
//!
//! A line is an operation: its client, its times, what became of it, its steps. `1=4,5` reads list 1 as `[4 5]`, `1+6`
//! appends 6 to it.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;

mod lives;

fn check_text(history: &str, expected: &Expect) {
    let operations = history.lines().map(str::trim).filter(|it| !it.is_empty()).map(operation);
    let history = History { operations: operations.collect() };
    let verdict = check(&history);
    let mut said = String::new();
    for anomaly in &verdict.anomalies {
        writeln!(said, "{anomaly}").unwrap();
    }
    expected.assert_eq(&said);
}

fn operation(line: &str) -> Operation {
    let mut words = line.split_whitespace();
    let client = words.next().unwrap().parse().unwrap();
    let (began, ended) = words.next().unwrap().split_once('-').unwrap();
    let outcome = match words.next().unwrap() {
        "made" => Outcome::Made { ended: ended.parse().unwrap() },
        "refused" => Outcome::Refused { ended: ended.parse().unwrap() },
        "unknown" => Outcome::Unknown,
        other => panic!("{other:?} is no outcome"),
    };
    let steps = words.map(step).collect();
    Operation { client, began: began.parse().unwrap(), outcome, steps }
}

fn step(word: &str) -> Step {
    if let Some((list, element)) = word.split_once('+') {
        let element = Element(element.parse().unwrap());
        return Step::Append { list: ListId(list.parse().unwrap()), element };
    }
    let (list, elements) = word.split_once('=').unwrap();
    let elements = elements.split(',').filter(|it| !it.is_empty());
    let elements = elements.map(|it| Element(it.parse().unwrap())).collect();
    Step::Read { list: ListId(list.parse().unwrap()), elements }
}

#[test]
fn what_has_an_order_is_not_blamed() {
    check_text(
        "0 1-4 made 1= 1+1
         1 2-5 made 1+2 2+3
         2 3-6 refused 1=1 1+4
         0 7-8 made 1=1,2 2=3
         1 9- unknown 1=1,2 1+5
         2 10-11 made 1=1,2,5
         3 12- unknown 1= 1+6",
        &expect![[r""]],
    );
}

#[test]
fn what_is_unanswered_may_be_made_late_or_never() {
    check_text(
        "0 1- unknown 1+1
         1 2-3 made 1=
         1 4-5 made 1=1
         2 1- unknown 1+2",
        &expect![[r""]],
    );
}

#[test]
fn a_refused_element_is_never_seen() {
    check_text(
        "0 1-2 refused 1+1
         1 3-4 made 1=1",
        &expect![[r#"
            read of what was refused (G1a)
            1 in list 1 was refused, and seen:
              #0: client 0, 1 to 2, refused: append 1 to list 1
              #1: client 1, 3 to 4, made: read list 1 as [1]
        "#]],
    );
}

#[test]
fn a_state_from_the_midst_of_an_operation_is_never_seen() {
    check_text(
        "0 1-4 made 1+1 1+2
         1 2-3 made 1=1
         1 5-6 made 1=1,2",
        &expect![[r#"
            intermediate read (G1b)
            list 1 was seen up to 1, behind which the same operation appended more:
              #0: client 0, 1 to 4, made: append 1 to list 1, append 2 to list 1
              #1: client 1, 2 to 3, made: read list 1 as [1]
            read skew (G-single)
              #0: client 0, 1 to 4, made: append 1 to list 1, append 2 to list 1
              #1: client 1, 2 to 3, made: read list 1 as [1]
              #0 appended 1 to list 1, and #1 saw it
              #1 read list 1 without 2, which #0 appended
        "#]],
    );
}

#[test]
fn two_changes_of_one_state_are_a_lost_update() {
    check_text(
        "0 1-4 made 1= 1+1
         1 2-5 made 1= 1+2
         0 6-7 made 1=2",
        &expect![[r#"
            lost update
            both read list 1 as [] and changed it:
              #0: client 0, 1 to 4, made: read list 1 as [], append 1 to list 1
              #1: client 1, 2 to 5, made: read list 1 as [], append 2 to list 1
            acknowledged and gone
            1 was appended to list 1, and is not there later:
              #0: client 0, 1 to 4, made: read list 1 as [], append 1 to list 1
              #2: client 0, 6 to 7, made: read list 1 as [2]
        "#]],
    );
}

#[test]
fn no_element_is_there_twice() {
    check_text(
        "0 1-2 made 1+1
         1 3-4 made 1=1,1",
        &expect![[r#"
            duplicate element
            1 is in list 1 twice:
              #1: client 1, 3 to 4, made: read list 1 as [1 1]
        "#]],
    );
}

#[test]
fn all_reads_show_one_order() {
    check_text(
        "0 1-9 made 1+1
         1 2-9 made 1+2
         2 3-9 made 1=1,2
         3 4-9 made 1=2,1",
        &expect![[r#"
            incompatible orders
            [2 1] is no beginning of [1 2] in list 1:
              #3: client 3, 4 to 9, made: read list 1 as [2 1]
              #2: client 2, 3 to 9, made: read list 1 as [1 2]
        "#]],
    );
}

#[test]
fn what_was_acknowledged_stays() {
    check_text(
        "0 1-2 made 1+1
         1 3-4 made 1=",
        &expect![[r#"
            acknowledged and gone
            1 was appended to list 1, and is not there later:
              #0: client 0, 1 to 2, made: append 1 to list 1
              #1: client 1, 3 to 4, made: read list 1 as []
        "#]],
    );
}

#[test]
fn nobody_reads_what_nobody_wrote() {
    check_text(
        "0 1-2 made 1+1
         1 3-4 made 1=1,7",
        &expect![[r#"
            read of what nobody wrote
            nobody appended 7 to list 1:
              #1: client 1, 3 to 4, made: read list 1 as [1 7]
        "#]],
    );
}

#[test]
fn an_operation_agrees_with_itself() {
    check_text(
        "0 1-2 made 1= 1+1 1=
         1 1-2 made 2= 2=3
         2 1-2 made 2+3",
        &expect![[r#"
            internal contradiction
            of list 1 its own steps do not agree:
              #0: client 0, 1 to 2, made: read list 1 as [], append 1 to list 1, read list 1 as []
            internal contradiction
            of list 2 its own steps do not agree:
              #1: client 1, 1 to 2, made: read list 2 as [], read list 2 as [3]
        "#]],
    );
}

#[test]
fn appends_do_not_go_in_a_circle() {
    check_text(
        "0 1-9 made 1+1 2+2
         1 2-9 made 1+3 2+4
         2 3-9 made 1=1,3
         3 4-9 made 2=4,2",
        &expect![[r#"
            circle of writes (G0)
              #1: client 1, 2 to 9, made: append 3 to list 1, append 4 to list 2
              #0: client 0, 1 to 9, made: append 1 to list 1, append 2 to list 2
              #1 appended 4 to list 2, and #0 2 behind it
              #0 appended 1 to list 1, and #1 3 behind it
        "#]],
    );
}

#[test]
fn nor_does_what_is_seen() {
    check_text(
        "0 1-9 made 1+1 2=2
         1 2-9 made 2+2 1=1",
        &expect![[r#"
            circular information flow (G1c)
              #1: client 1, 2 to 9, made: append 2 to list 2, read list 1 as [1]
              #0: client 0, 1 to 9, made: append 1 to list 1, read list 2 as [2]
              #1 appended 2 to list 2, and #0 saw it
              #0 appended 1 to list 1, and #1 saw it
        "#]],
    );
}

#[test]
fn a_read_of_two_lists_is_of_one_state() {
    check_text(
        "0 1-9 made 1+1 2+2
         1 2-9 made 1=1 2=
         2 3-9 made 2=2",
        &expect![[r#"
            read skew (G-single)
              #0: client 0, 1 to 9, made: append 1 to list 1, append 2 to list 2
              #1: client 1, 2 to 9, made: read list 1 as [1], read list 2 as []
              #0 appended 1 to list 1, and #1 saw it
              #1 read list 2 without 2, which #0 appended
        "#]],
    );
}

#[test]
fn two_operations_do_not_miss_each_other() {
    check_text(
        "0 1-9 made 1= 2+2
         1 2-9 made 2= 1+1
         2 10-11 made 1=1 2=2",
        &expect![[r#"
            circle of reads that missed writes (G2)
              #1: client 1, 2 to 9, made: read list 2 as [], append 1 to list 1
              #0: client 0, 1 to 9, made: read list 1 as [], append 2 to list 2
              #1 read list 2 without 2, which #0 appended
              #0 read list 1 without 1, which #1 appended
        "#]],
    );
}

#[test]
fn a_read_is_not_of_the_past() {
    check_text(
        "0 1-2 made 1+1
         1 3-4 made 1+2
         2 5-6 made 1=1
         3 7-8 made 1=1,2",
        &expect![[r#"
            circle against time (not strict)
              #2: client 2, 5 to 6, made: read list 1 as [1]
              #1: client 1, 3 to 4, made: append 2 to list 1
              #2 read list 1 without 2, which #1 appended
              #1 had ended when #2 began
        "#]],
    );
}

#[test]
fn nor_of_a_past_that_another_client_had_left() {
    check_text(
        "0 1-20 made 1+1
         1 2-3 made 1=1
         2 4-5 made 1=",
        &expect![[r#"
            circle against time (not strict)
              #1: client 1, 2 to 3, made: read list 1 as [1]
              #2: client 2, 4 to 5, made: read list 1 as []
              #0: client 0, 1 to 20, made: append 1 to list 1
              #1 had ended when #2 began
              #2 read list 1 without 1, which #0 appended
              #0 appended 1 to list 1, and #1 saw it
        "#]],
    );
}

#[test]
fn what_one_request_asks_for_is_made_in_its_order() {
    check_text(
        "0 1-9 made 1+1
         0 1-9 made 1=
         1 10-11 made 1=1",
        &expect![[r#"
            circle against time (not strict)
              #1: client 0, 1 to 9, made: read list 1 as []
              #0: client 0, 1 to 9, made: append 1 to list 1
              #1 read list 1 without 1, which #0 appended
              client 0 did #0 before #1
        "#]],
    );
}

#[test]
fn what_a_refusal_shows_has_a_place_too() {
    check_text(
        "0 1-2 made 1+1
         1 3-4 refused 1= 2+2
         2 5-6 made 1=1",
        &expect![[r#"
            circle against time (not strict)
              #1: client 1, 3 to 4, refused: read list 1 as [], append 2 to list 2
              #0: client 0, 1 to 2, made: append 1 to list 1
              #1 read list 1 without 1, which #0 appended
              #0 had ended when #1 began
        "#]],
    );
}
