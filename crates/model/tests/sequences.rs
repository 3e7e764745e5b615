//! What `since` may say, and where it leads.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use settle_model::sequence::{Sequence, Since, SinceError, Timeline, TimelineStart, Timelines};

const HERE: Timeline = Timeline([0, 0, 0, 0, 0, 0, 0, 0xAB]);

/// Where each `since` leads in a database that is at 20.
#[track_caller]
fn check(texts: &[&str], expected: &Expect) {
    let mut seen = String::new();
    for text in texts {
        match text.parse::<Since>() {
            Ok(since) => writeln!(seen, "{text} => {}", since.resolve(HERE, Sequence(20))).unwrap(),
            Err(error) => writeln!(seen, "{text} is refused: {error}").unwrap(),
        }
    }
    expected.assert_eq(&seen);
}

#[test]
fn a_token_of_this_timeline_goes_on_where_it_was() {
    check(
        &["now", "0", "12", "20", "12-00000000000000ab", "0-00000000000000ab"],
        &expect![[r#"
        now => 20
        0 => 0
        12 => 12
        20 => 20
        12-00000000000000ab => 12
        0-00000000000000ab => 0
    "#]],
    );
}

#[test]
fn some_clients_send_the_json_form() {
    check(
        &["\"12-00000000000000ab\"", "\"12\"", "\"now\"", "\"0\""],
        &expect![[r#"
        "12-00000000000000ab" => 12
        "12" => 12
        "now" => 20
        "0" => 0
    "#]],
    );
}

#[test]
fn what_cannot_be_placed_reads_as_the_start() {
    check(
        &[
            "21",
            "21-00000000000000ab",
            "12-00000000000000ac",
            "12-00000000000000AB",
            "12-g1AAAACbeJzLYWBgYMpgTmHgz8tPSTV0MDQy1zMAQsMckEQiQ1L9____szKYE5lygQLsZolJqaYpBth0EDAoSQFIJtlDDGKBGJRkaG6WaGKITUMWAAbQKMY",
            "18446744073709551615",
        ],
        &expect![[r#"
            21 => 0
            21-00000000000000ab => 0
            12-00000000000000ac => 0
            12-00000000000000AB => 0
            12-g1AAAACbeJzLYWBgYMpgTmHgz8tPSTV0MDQy1zMAQsMckEQiQ1L9____szKYE5lygQLsZolJqaYpBth0EDAoSQFIJtlDDGKBGJRkaG6WaGKITUMWAAbQKMY => 0
            18446744073709551615 => 0
        "#]],
    );
}

#[test]
fn a_token_of_an_older_timeline_goes_on_where_that_was_left() {
    let start = |byte: u8, above| TimelineStart {
        timeline: Timeline([0, 0, 0, 0, 0, 0, 0, byte]),
        above: Sequence(above),
    };
    // At 7 the first was left for the second, at 12 that for the present one.
    let timelines = Timelines::new(vec![start(1, 0), start(2, 7), start(0xAB, 12)]).unwrap();
    assert_eq!(timelines.present(), HERE);
    let mut seen = String::new();
    for text in [
        "5-0000000000000001",
        "9-0000000000000001",
        "900-0000000000000001",
        "9-0000000000000002",
        "13-0000000000000002",
        "13-00000000000000ab",
        "21-00000000000000ab",
        "9-0000000000000003",
        "9",
        "now",
    ] {
        let since: Since = text.parse().unwrap();
        writeln!(seen, "{text} => {}", since.resolve_on(&timelines, Sequence(20))).unwrap();
    }
    expect![[r#"
        5-0000000000000001 => 5
        9-0000000000000001 => 7
        900-0000000000000001 => 7
        9-0000000000000002 => 9
        13-0000000000000002 => 12
        13-00000000000000ab => 13
        21-00000000000000ab => 0
        9-0000000000000003 => 0
        9 => 9
        now => 20
    "#]]
    .assert_eq(&seen);
    assert_eq!(Timelines::new(Vec::new()), None);
}

#[test]
fn what_is_no_sequence_is_refused() {
    check(
        &[
            "",
            "x",
            "-1",
            "+1",
            "1.5",
            "1e3",
            " 1",
            "12-",
            "12-a b",
            "12-ä",
            "\"12",
            "\"\"",
            "[1]",
            "18446744073709551616",
            "000000000000000000001",
        ],
        &expect![[r#"
             is refused: Malformed sequence supplied in 'since' parameter.
            x is refused: Malformed sequence supplied in 'since' parameter.
            -1 is refused: Malformed sequence supplied in 'since' parameter.
            +1 is refused: Malformed sequence supplied in 'since' parameter.
            1.5 is refused: Malformed sequence supplied in 'since' parameter.
            1e3 is refused: Malformed sequence supplied in 'since' parameter.
             1 is refused: Malformed sequence supplied in 'since' parameter.
            12- is refused: Malformed sequence supplied in 'since' parameter.
            12-a b is refused: Malformed sequence supplied in 'since' parameter.
            12-ä is refused: Malformed sequence supplied in 'since' parameter.
            "12 is refused: Malformed sequence supplied in 'since' parameter.
            "" is refused: Malformed sequence supplied in 'since' parameter.
            [1] is refused: Malformed sequence supplied in 'since' parameter.
            18446744073709551616 is refused: Malformed sequence supplied in 'since' parameter.
            000000000000000000001 is refused: Malformed sequence supplied in 'since' parameter.
        "#]],
    );
    let long = format!("1-{}", "a".repeat(70_000));
    assert_eq!(long.parse::<Since>(), Err(SinceError));
}

#[test]
fn a_token_reads_back_as_it_was_written() {
    let token = Sequence(12).token(Timeline(*b"\x00settle\xFF"));
    expect!["12-00736574746c65ff"].assert_eq(&token.to_string());
    assert_eq!(token.to_string().parse(), Ok(Since::Token(token)));
    assert_eq!(Sequence::ZERO.next().to_string(), "1");
}
