//! Where a replication goes on, from what is found on both sides.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use expect_test::{Expect, expect};
use proptest::prelude::*;
use settle_sync::{
    checkpoint::{Checkpoint, Session, common_ancestor},
    seq::Seq,
    stats::Stats,
};

/// A side as its sessions, newest first: `c30 b20 a10`. `-` is none; `!7` behind them says that the
/// source refuses checkpoints, and had this `instance_start_time`.
fn side(text: &str) -> Option<Checkpoint> {
    let mut words = text.split(' ').filter(|it| *it != "-").peekable();
    words.peek()?;
    let (mut history, mut alone) = (Vec::new(), None);
    for word in words {
        match word.strip_prefix('!') {
            Some(start) => alone = Some(start.to_owned()),
            None => history.push(session(&word[..1], &Seq::from_text(&word[1..]))),
        }
    }
    Some(Checkpoint {
        session_id: history[0].session_id.clone(),
        source_last_seq: history[0].recorded_seq.clone(),
        history,
        source_without_checkpoint: alone,
    })
}

fn session(id: &str, seq: &Seq) -> Session {
    Session {
        session_id: id.to_owned(),
        start_time: "Tue, 12 Nov 2024 10:00:00 GMT".to_owned(),
        end_time: "Tue, 12 Nov 2024 10:00:30 GMT".to_owned(),
        start_last_seq: Seq::zero(),
        end_last_seq: seq.clone(),
        recorded_seq: seq.clone(),
        stats: Stats::default(),
    }
}

#[track_caller]
fn check(source: &str, target: &str, expected: &str) {
    let (source, target) = (side(source), side(target));
    let found = common_ancestor(source.as_ref(), target.as_ref(), "7");
    let history: Vec<_> = found.history.iter().map(|it| it.session_id.as_str()).collect();
    let seq = found.seq.map_or_else(|| "nothing".to_owned(), |seq| seq.text().into_owned());
    assert_eq!(format!("{seq} after {}", history.join(" ")).trim_end(), expected);
}

#[test]
fn the_newest_session_that_both_sides_know_counts() {
    check("-", "-", "nothing after");
    check("a10", "-", "nothing after");
    check("-", "a10", "nothing after");
    check("b20 a10", "b20 a10", "20 after b a");
    check("c30 b20 a10", "b20 a10", "20 after b a");
    check("b20 a10", "c30 b20 a10", "20 after b a");
    check("d40 c30 a10", "e50 b20 a10", "10 after a");
    check("b20 a10", "d40 c30", "nothing after");
}

#[test]
fn of_one_session_the_earlier_place_counts() {
    check("b20 a10", "b15 a10", "15 after b a");
    check("b15 a10", "b20 a10", "15 after b a");
    check("c30 b15", "b20 a10", "15 after b a");
    check("b9-x", "b10-y", "9-x after b");
}

#[test]
fn a_target_counts_alone_for_the_source_that_refused() {
    check("-", "b20 a10 !7", "20 after b a");
    check("-", "b20 a10 !6", "nothing after");
    check("a10", "b20 a10 !7", "10 after a");
}

#[track_caller]
fn check_text(document: &str, expected: &Expect) {
    let shown = match Checkpoint::parse(document.as_bytes()) {
        Ok(checkpoint) => String::from_utf8(checkpoint.to_json()).unwrap(),
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&shown);
}

#[test]
fn a_checkpoint_of_couchdb_is_read() {
    check_text(
        r#"{"_id":"_local/x","_rev":"0-4","session_id":"s2","source_last_seq":"5-g1AAA",
        "replication_id_version":4,"history":[{"session_id":"s2",
        "start_time":"Tue, 12 Nov 2024 10:00:00 GMT","end_time":"Tue, 12 Nov 2024 10:00:30 GMT",
        "start_last_seq":0,"end_last_seq":"5-g1AAA","recorded_seq":"5-g1AAA","missing_checked":3,
        "missing_found":2,"docs_read":2,"docs_written":1,"doc_write_failures":1,"bulk_get_docs":2,
        "bulk_get_attempts":2,"more":null},{"no":"session"},7]}"#,
        &expect![[
            r#"{"session_id":"s2","source_last_seq":"5-g1AAA","replication_id_version":5,"history":[{"session_id":"s2","start_time":"Tue, 12 Nov 2024 10:00:00 GMT","end_time":"Tue, 12 Nov 2024 10:00:30 GMT","start_last_seq":0,"end_last_seq":"5-g1AAA","recorded_seq":"5-g1AAA","missing_checked":3,"missing_found":2,"docs_read":2,"docs_written":1,"doc_write_failures":1,"bulk_get_docs":2,"bulk_get_attempts":2}]}"#
        ]],
    );
}

#[test]
fn what_is_no_checkpoint_is_none() {
    check_text(
        "{}",
        &expect!["the document is no checkpoint: it needs a `session_id` and a `source_last_seq`"],
    );
    check_text(
        "[",
        &expect!["the document is no checkpoint: it needs a `session_id` and a `source_last_seq`"],
    );
    check_text(
        r#"{"session_id":"a","source_last_seq":null}"#,
        &expect!["the document is no checkpoint: it needs a `session_id` and a `source_last_seq`"],
    );
    check_text(
        r#"{"last_seq":5,"session_id":"of PouchDB","history":[]}"#,
        &expect!["the document is no checkpoint: it needs a `session_id` and a `source_last_seq`"],
    );
    check_text(
        r#"{"session_id":"a","source_last_seq":[5,"x"],"history":{}}"#,
        &expect![[
            r#"{"session_id":"a","source_last_seq":[5,"x"],"replication_id_version":5,"history":[]}"#
        ]],
    );
}

fn any_seq() -> impl Strategy<Value = Seq> {
    prop_oneof![
        (0..50_u64).prop_map(|number| Seq::from_text(&format!("{number}-x"))),
        (0..50_u64).prop_map(|number| Seq::from_json(number.to_string().as_bytes()).unwrap()),
        ".{0,8}".prop_map(|text| Seq::from_text(&text)),
    ]
}

fn any_checkpoint() -> impl Strategy<Value = Checkpoint> {
    let session = ("[a-f]", any_seq()).prop_map(|(id, seq)| session(&id, &seq));
    let alone = proptest::option::of("[67]");
    (prop::collection::vec(session, 1..6), alone).prop_map(|(history, alone)| Checkpoint {
        session_id: history[0].session_id.clone(),
        source_last_seq: history[0].recorded_seq.clone(),
        history,
        source_without_checkpoint: alone,
    })
}

proptest! {
    #[test]
    fn a_checkpoint_is_read_as_it_was_written(checkpoint in any_checkpoint()) {
        let text = checkpoint.to_json();
        prop_assert_eq!(Checkpoint::parse(&text), Ok(checkpoint));
    }

    /// Nothing is made up: the place is one that both sides name the session of.
    #[test]
    fn a_common_ancestor_is_common(source in any_checkpoint(), target in any_checkpoint()) {
        let found = common_ancestor(Some(&source), Some(&target), "7");
        if let Some(seq) = found.seq {
            let names = |side: &Checkpoint| {
                let ids = side.history.iter().map(|it| it.session_id.clone());
                ids.collect::<std::collections::BTreeSet<_>>()
            };
            let both = names(&source).intersection(&names(&target)).count();
            prop_assert!(both > 0);
            let all = source.history.iter().chain(&target.history);
            prop_assert!(all.into_iter().any(|it| it.recorded_seq == seq));
        }
    }
}
