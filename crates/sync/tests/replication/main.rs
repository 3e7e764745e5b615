//! What is asked of the two databases, in which order and when, where a server has its ways.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a server of a test does something of its own about one request"
)]

mod server;

use std::time::Duration;

use expect_test::{Expect, expect};
use settle_model::{revision::RevPath, tree::Missing};
use settle_sync::{
    checkpoint::Checkpoint,
    replication::{
        Document, Ending, FailureKind, Fetched, Outcome, Page, Refusal, Replication, Reply,
        Request, Row, Side,
    },
    seq::Seq,
    stats::{Progress, Stats},
};

use crate::server::{Do, document, only, run, run_timed, serve};

#[track_caller]
fn check(log: &str, expected: &Expect) {
    expected.assert_eq(log);
}

const ONCE: &str = r#"{"source":"a","target":"b"}"#;
const ALWAYS: &str = r#"{"source":"a","target":"b","continuous":true,"checkpoint_interval":1000}"#;

#[test]
fn a_run_reads_compares_fetches_writes_and_records() {
    let log = run(ONCE, |request, _| serve(&["x", "y"], request));
    check(
        &log,
        &expect![[r#"
             0 info source
             0 info target
            10 checkpoint? source
            10 checkpoint? target
            20 changes since 0
            30 diff x y
            40 fetch bulk x y
            50 write x y
            60 commit source
            60 commit target
            70 checkpoint source "2-x" over none
            80 checkpoint target "2-x" over none
            90 completed
        read 2 written 2 failed 0
    "#]],
    );
}

#[test]
fn design_documents_are_written_apart() {
    let log = run(ONCE, |request, _| match request {
        Request::Write(documents) if documents[0].id.starts_with('_') => {
            Do::Fail(FailureKind::Forbidden)
        }
        _ => serve(&["x", "_design/d"], request),
    });
    check(
        &log,
        &expect![[r#"
             0 info source
             0 info target
            10 checkpoint? source
            10 checkpoint? target
            20 changes since 0
            30 diff x _design/d
            40 fetch bulk x _design/d
            50 write _design/d
            50 write x
            60 refused _design/d: forbidden
            60 commit source
            60 commit target
            70 checkpoint source "2-x" over none
            80 checkpoint target "2-x" over none
            90 completed
        read 2 written 1 failed 1
    "#]],
    );
}

#[test]
fn a_source_without_bulk_requests_is_asked_for_one_document_at_a_time() {
    let log = run(ONCE, |request, _| match request {
        Request::Fetch(fetch) if fetch.bulk => Do::Fail(FailureKind::NotFound),
        _ => serve(&["x", "y", "z"], request),
    });
    check(
        &log,
        &expect![[r#"
             0 info source
             0 info target
            10 checkpoint? source
            10 checkpoint? target
            20 changes since 0
            30 diff x y z
            40 fetch bulk x y z
            50 fetch single x
            50 fetch single y
            50 fetch single z
            60 write x y z
            70 commit source
            70 commit target
            80 checkpoint source "3-x" over none
            90 checkpoint target "3-x" over none
           100 completed
        read 3 written 3 failed 0
    "#]],
    );
}

#[test]
fn what_is_too_large_together_is_written_in_parts_and_what_is_too_large_alone_is_refused() {
    let log = run(ONCE, |request, _| match request {
        Request::Write(documents) if documents.iter().any(|it| &*it.id == "big") => {
            Do::Fail(FailureKind::TooLarge)
        }
        _ => serve(&["w", "big", "x", "y"], request),
    });
    check(
        &log,
        &expect![[r#"
             0 info source
             0 info target
            10 checkpoint? source
            10 checkpoint? target
            20 changes since 0
            30 diff w big x y
            40 fetch bulk w big x y
            50 write w big x y
            60 write w big
            60 write x y
            70 write w
            70 write big
            80 refused big: too_large
            80 commit source
            80 commit target
            90 checkpoint source "4-x" over none
           100 checkpoint target "4-x" over none
           110 completed
        read 4 written 3 failed 1
    "#]],
    );
}

#[test]
fn a_busy_peer_is_left_alone_as_long_as_it_says() {
    let retry_after = Some(Duration::from_secs(17));
    let log = run(ONCE, |request, count| match request {
        Request::Diff(_) if count == 0 => Do::Fail(FailureKind::Busy { retry_after }),
        _ => serve(&["x"], request),
    });
    check(
        &log,
        &expect![[r#"
             0 info source
             0 info target
            10 checkpoint? source
            10 checkpoint? target
            20 changes since 0
            30 diff x
         17040 diff x
         17050 fetch bulk x
         17060 write x
         17070 commit source
         17070 commit target
         17080 checkpoint source "1-x" over none
         17090 checkpoint target "1-x" over none
         17100 completed
        read 1 written 1 failed 0
    "#]],
    );
}

#[test]
fn a_peer_that_is_gone_is_tried_again_with_growing_pauses_and_then_given_up() {
    let log = run(ONCE, |request, _| match request {
        Request::Changes { .. } => Do::Fail(FailureKind::Lost),
        _ => serve(&["x"], request),
    });
    check(
        &log,
        &expect![[r#"
             0 info source
             0 info target
            10 checkpoint? source
            10 checkpoint? target
            20 changes since 0
           266 changes since 0
           754 changes since 0
          1374 changes since 0
          2810 changes since 0
          6232 changes since 0
          6242 changes_req_failed: changes of the source failed, connection lost: so it is
        read 0 written 0 failed 0
    "#]],
    );
}

#[test]
fn an_answer_that_never_comes_is_not_waited_for() {
    let log = run(ONCE, |request, count| match request {
        Request::Diff(_) if count == 0 => Do::Nothing,
        _ => serve(&["x"], request),
    });
    check(
        &log,
        &expect![[r#"
             0 info source
             0 info target
            10 checkpoint? source
            10 checkpoint? target
            20 changes since 0
            30 diff x
         30030 abandon
         30266 diff x
         30276 fetch bulk x
         30286 write x
         30296 commit source
         30296 commit target
         30306 checkpoint source "1-x" over none
         30316 checkpoint target "1-x" over none
         30326 completed
        read 1 written 1 failed 0
    "#]],
    );
}

#[test]
fn a_large_attachment_goes_on_where_it_stopped() {
    let log = run(ONCE, |request, count| match request {
        Request::Fetch(_) => only(document("x", &[("photo", 1_000_000), ("film", 9_000_000)])),
        Request::Stage { from, .. } if count < 9 => Do::Cut(from + 200_000),
        _ => serve(&["x"], request),
    });
    check(
        &log,
        &expect![[r#"
             0 info source
             0 info target
            10 checkpoint? source
            10 checkpoint? target
            20 changes since 0
            30 diff x
            40 fetch bulk x
            50 stage x/photo from 0
           296 stage x/photo from 200000
           545 stage x/photo from 400000
           708 stage x/photo from 600000
           896 stage x/photo from 800000
          1119 stage x/photo from 1000000
          1357 stage x/photo from 1200000
          1610 stage x/photo from 1400000
          1777 stage x/photo from 1600000
          2008 stage x/photo from 1800000
          2018 stage x/film from 0
          2028 write x [0, 1]
          2038 commit source
          2038 commit target
          2048 checkpoint source "1-x" over none
          2058 checkpoint target "1-x" over none
          2068 completed
        read 1 written 1 failed 0
    "#]],
    );
}

#[test]
fn an_attachment_that_always_stops_at_the_same_place_is_not_tried_for_ever() {
    let job = r#"{"source":"a","target":"b","retries_per_request":2}"#;
    let log = run(job, |request, _| match request {
        Request::Fetch(_) => only(document("x", &[("photo", 1_000_000)])),
        Request::Stage { .. } => Do::Cut(300_000),
        _ => serve(&["x"], request),
    });
    check(
        &log,
        &expect![[r#"
             0 info source
             0 info target
            10 checkpoint? source
            10 checkpoint? target
            20 changes since 0
            30 diff x
            40 fetch bulk x
            50 stage x/photo from 0
           296 stage x/photo from 300000
           784 stage x/photo from 300000
           794 http_request_failed: attachment of the source failed, connection lost: so it is
        read 1 written 0 failed 0
    "#]],
    );
}

#[test]
fn small_attachments_come_inside_their_document() {
    let log = run(ONCE, |request, _| match request {
        Request::Fetch(fetch) if !fetch.attachments => only(document("x", &[("icon", 1_000)])),
        _ => serve(&["x"], request),
    });
    check(
        &log,
        &expect![[r#"
             0 info source
             0 info target
            10 checkpoint? source
            10 checkpoint? target
            20 changes since 0
            30 diff x
            40 fetch bulk x
            50 fetch bulk x with attachments
            60 write x
            70 commit source
            70 commit target
            80 checkpoint source "1-x" over none
            90 checkpoint target "1-x" over none
           100 completed
        read 1 written 1 failed 0
    "#]],
    );
}

#[test]
fn an_attachment_that_the_target_does_not_have_after_all_is_sent() {
    let log = run(ONCE, |request, count| match request {
        Request::Diff(revs) => {
            let possible_ancestors = vec!["1-a".parse().unwrap()];
            let missing = Missing { missing: revs[0].1.clone(), possible_ancestors };
            Do::Reply(Reply::Missing(vec![(revs[0].0.clone(), missing)]))
        }
        Request::Fetch(fetch) if !fetch.attachments => {
            let path = RevPath::single("1-a".parse().unwrap());
            only(Document { path: Some(path), ..document("x", &[("icon", 1_000)]) })
        }
        Request::Write(documents) if count == 0 => {
            let (id, rev) = (documents[0].id.clone(), None);
            let (error, reason) = ("missing_stub".to_owned(), String::new());
            Do::Reply(Reply::Written(vec![Refusal { id, rev, error, reason }]))
        }
        _ => serve(&["x"], request),
    });
    check(
        &log,
        &expect![[r#"
             0 info source
             0 info target
            10 checkpoint? source
            10 checkpoint? target
            20 changes since 0
            30 diff x
            40 fetch bulk x
            50 write x
            60 fetch bulk x
            70 fetch bulk x with attachments
            80 write x
            90 commit source
            90 commit target
           100 checkpoint source "1-x" over none
           110 checkpoint target "1-x" over none
           120 completed
        read 1 written 1 failed 0
    "#]],
    );
}

#[test]
fn a_continuous_run_waits_for_changes_and_records_on_its_way() {
    let log = run(ALWAYS, |request, count| match request {
        Request::Changes { since, wait: Some(wait), .. } => match count {
            // Some time later there is nothing; a source that comes back at once has a pause.
            1 | 2 => {
                let last_seq = since.clone();
                Do::Reply(Reply::Page(Page { rows: Vec::new(), last_seq, pending: Some(0) }))
            }
            3 => {
                assert_eq!(wait.as_secs(), 50);
                Do::Nothing
            }
            _ => Do::Cancel,
        },
        _ => serve(&["x"], request),
    });
    check(
        &log,
        &expect![[r#"
             0 info source
             0 info target
            10 checkpoint? source
            10 checkpoint? target
            20 changes since 0
            30 changes since "1-x" wait 50 s
            30 diff x
            40 fetch bulk x
            50 write x
          1020 commit source
          1020 commit target
          1030 checkpoint source "1-x" over none
          1040 changes since "1-x" wait 50 s
          1040 checkpoint target "1-x" over none
          2050 changes since "1-x" wait 50 s
         82050 abandon
         82286 changes since "1-x" wait 50 s
         82296 abandon
         82296 cancelled
        read 1 written 1 failed 0
    "#]],
    );
}

#[test]
fn what_is_done_while_a_checkpoint_is_written_is_in_the_next_one() {
    let log = run(ALWAYS, |request, count| match request {
        Request::Changes { wait: None, .. } => serve(&["x"], request),
        Request::Changes { .. } if count == 1 => {
            let Do::Reply(page) = serve(&["x", "y"], request) else { unreachable!() };
            Do::Later(Duration::from_millis(1_100), page)
        }
        Request::Changes { .. } if count == 2 => Do::Nothing,
        Request::Changes { .. } => Do::Cancel,
        Request::WriteCheckpoint { .. } => {
            let written = Reply::CheckpointWritten(format!("0-{count}"));
            Do::Later(Duration::from_millis(300), written)
        }
        _ => serve(&["x", "y"], request),
    });
    check(
        &log,
        &expect![[r#"
             0 info source
             0 info target
            10 checkpoint? source
            10 checkpoint? target
            20 changes since 0
            30 changes since "1-x" wait 50 s
            30 diff x
            40 fetch bulk x
            50 write x
          1020 commit source
          1020 commit target
          1030 checkpoint source "1-x" over none
          1130 changes since "2-x" wait 50 s
          1130 diff y
          1140 fetch bulk y
          1150 write y
          1330 checkpoint target "1-x" over none
          2630 commit source
          2630 commit target
          2640 checkpoint source "2-x" over 0-0
          2940 checkpoint target "2-x" over 0-1
         81130 abandon
         81366 changes since "2-x" wait 50 s
         81376 abandon
         81376 cancelled
        read 2 written 2 failed 0
    "#]],
    );
}

#[test]
fn a_cancelled_run_records_what_it_has_done() {
    let job = r#"{"source":"a","target":"b","worker_batch_size":1,"worker_processes":1}"#;
    let log = run(job, |request, count| match request {
        Request::Diff(_) if count == 1 => Do::Cancel,
        _ => serve(&["x", "y"], request),
    });
    check(
        &log,
        &expect![[r#"
             0 info source
             0 info target
            10 checkpoint? source
            10 checkpoint? target
            20 changes since 0
            30 diff x
            40 fetch bulk x
            50 write x
            60 diff y
            70 abandon
            70 commit source
            70 commit target
            80 checkpoint source "1-x" over none
            90 checkpoint target "1-x" over none
           100 cancelled
        read 1 written 1 failed 0
    "#]],
    );
}

#[test]
fn a_source_that_lets_nobody_write_is_replicated_with_a_checkpoint_at_the_target_alone() {
    let log = run(ONCE, |request, _| match request {
        Request::WriteCheckpoint { side: Side::Source, .. } => Do::Fail(FailureKind::Forbidden),
        Request::Commit(Side::Source) => Do::Fail(FailureKind::Unauthorized),
        _ => serve(&["x"], request),
    });
    check(
        &log,
        &expect![[r#"
             0 info source
             0 info target
            10 checkpoint? source
            10 checkpoint? target
            20 changes since 0
            30 diff x
            40 fetch bulk x
            50 write x
            60 commit source
            60 commit target
            70 checkpoint source "1-x" over none
            80 checkpoint target "1-x" over none alone
            90 completed
        read 1 written 1 failed 0
    "#]],
    );
}

#[test]
fn a_database_that_lost_writes_ends_the_run_without_a_checkpoint() {
    let log = run(ONCE, |request, _| match request {
        Request::Commit(Side::Target) => Do::Reply(Reply::Committed("8".to_owned())),
        _ => serve(&["x"], request),
    });
    check(
        &log,
        &expect![[r#"
             0 info source
             0 info target
            10 checkpoint? source
            10 checkpoint? target
            20 changes since 0
            30 diff x
            40 fetch bulk x
            50 write x
            60 commit source
            60 commit target
            70 checkpoint_commit_failure: instance_start_time on target database has changed since last checkpoint.
        read 1 written 1 failed 0
    "#]],
    );
}

#[test]
fn a_checkpoint_whose_answer_was_lost_is_written_over_itself() {
    let mut written = None;
    let log = run(ONCE, |request, count| match request {
        Request::WriteCheckpoint { side: Side::Source, rev: None, checkpoint } => {
            written = Some(Checkpoint::clone(checkpoint));
            Do::Fail(if count == 0 { FailureKind::Lost } else { FailureKind::Conflict })
        }
        Request::ReadCheckpoint(Side::Source) if written.is_some() => {
            Do::Reply(Reply::Checkpoint(Some(("0-1".to_owned(), written.clone()))))
        }
        _ => serve(&["x"], request),
    });
    check(
        &log,
        &expect![[r#"
             0 info source
             0 info target
            10 checkpoint? source
            10 checkpoint? target
            20 changes since 0
            30 diff x
            40 fetch bulk x
            50 write x
            60 commit source
            60 commit target
            70 checkpoint source "1-x" over none
           316 checkpoint source "1-x" over none
           326 checkpoint? source
           336 checkpoint source "1-x" over 0-1
           346 checkpoint target "1-x" over none
           356 completed
        read 1 written 1 failed 0
    "#]],
    );
}

#[test]
fn somebody_elses_checkpoint_is_not_overwritten() {
    let log = run(ONCE, |request, _| match request {
        Request::WriteCheckpoint { .. } => Do::Fail(FailureKind::Conflict),
        _ => serve(&["x"], request),
    });
    check(
        &log,
        &expect![[r#"
             0 info source
             0 info target
            10 checkpoint? source
            10 checkpoint? target
            20 changes since 0
            30 diff x
            40 fetch bulk x
            50 write x
            60 commit source
            60 commit target
            70 checkpoint source "1-x" over none
            80 checkpoint? source
            90 checkpoint_commit_failure: Error updating the source checkpoint document: conflict
        read 1 written 1 failed 0
    "#]],
    );
}

#[test]
fn a_revision_that_the_source_has_not_got_is_asked_for_again_and_then_fails_the_run() {
    let log = run(ONCE, |request, _| match request {
        Request::Fetch(_) => Do::Reply(Reply::Fetched(vec![Fetched::Missing])),
        _ => serve(&["x"], request),
    });
    check(
        &log,
        &expect![[r#"
             0 info source
             0 info target
            10 checkpoint? source
            10 checkpoint? target
            20 changes since 0
            30 diff x
            40 fetch bulk x
          2050 fetch single x
          4060 fetch single x
          6070 fetch single x
          6080 missing_doc: the source does not give revision 1-a of document "x": missing
        read 0 written 0 failed 0
    "#]],
    );
}

#[test]
fn a_refusal_that_passes_is_tried_again_for_that_document_alone() {
    let log = run(ONCE, |request, count| match request {
        Request::Write(documents) if count == 0 => {
            let (id, rev) = (documents[1].id.clone(), Some(documents[1].rev.clone()));
            let (error, reason) = ("timeout".to_owned(), String::new());
            Do::Reply(Reply::Written(vec![Refusal { id, rev, error, reason }]))
        }
        _ => serve(&["x", "y", "z"], request),
    });
    check(
        &log,
        &expect![[r#"
             0 info source
             0 info target
            10 checkpoint? source
            10 checkpoint? target
            20 changes since 0
            30 diff x y z
            40 fetch bulk x y z
            50 write x y z
           296 write y
           306 commit source
           306 commit target
           316 checkpoint source "3-x" over none
           326 checkpoint target "3-x" over none
           336 completed
        read 3 written 3 failed 0
    "#]],
    );
}

#[test]
fn a_document_that_the_peer_chokes_on_is_found_by_halves() {
    let log = run(ONCE, |request, _| match request {
        Request::Write(documents) if documents.iter().any(|it| &*it.id == "x") => {
            Do::Fail(FailureKind::Broken)
        }
        _ => serve(&["w", "x", "y", "z"], request),
    });
    check(
        &log,
        &expect![[r#"
             0 info source
             0 info target
            10 checkpoint? source
            10 checkpoint? target
            20 changes since 0
            30 diff w x y z
            40 fetch bulk w x y z
            50 write w x y z
           296 write w x
           296 write y z
           784 write w
           784 write x
           947 write x
          1313 write x
          2176 write x
          4011 write x
          7906 write x
          7916 bulk_docs_failed: bulk_docs of the target failed, failed: so it is
        read 4 written 3 failed 0
    "#]],
    );
}

#[test]
fn requests_grow_with_what_the_peers_bear() {
    let ids: Vec<_> = (0..20_000).map(|number| format!("doc{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut left = ids.len();
    let log = run(ONCE, |request, _| match request {
        Request::Changes { since, limit, .. } => {
            let Do::Reply(Reply::Page(mut page)) = serve(&ids, request) else { unreachable!() };
            page.rows.truncate(*limit);
            left -= page.rows.len();
            let last = page.rows.last().and_then(|row| row.seq.clone());
            page.last_seq = last.unwrap_or_else(|| since.clone());
            page.pending = Some(left as u64);
            Do::Reply(Reply::Page(page))
        }
        _ => serve(&ids, request),
    });
    assert!(log.contains("completed") && log.contains("written 20000 failed 0"), "{log}");
    let requests = log.lines().count();
    assert!(requests < 250, "{requests} requests");
}

#[test]
fn a_job_that_waits_takes_little_memory() {
    let bytes = size_of::<Replication>();
    assert!(bytes < 2_048, "{bytes} bytes");
}

#[test]
fn progress_and_results_are_told_in_couchdbs_words() {
    let stats = Stats { docs_read: 3, docs_written: 2, ..Stats::default() };
    let seq = Seq::from_text("5-x");
    let progress = Progress {
        stats,
        changes_pending: None,
        source_seq: seq.clone(),
        through_seq: seq.clone(),
        checkpointed_source_seq: Seq::zero(),
    };
    let text = |json: Vec<u8>| String::from_utf8(json).unwrap();
    check(
        &text(progress.to_json()),
        &expect![[
            r#"{"revisions_checked":0,"missing_revisions_found":0,"docs_read":3,"docs_written":2,"changes_pending":null,"doc_write_failures":0,"bulk_get_docs":0,"bulk_get_attempts":0,"checkpointed_source_seq":0,"source_seq":"5-x","through_seq":"5-x"}"#
        ]],
    );
    let checkpoint = Checkpoint {
        session_id: "s1".to_owned(),
        source_last_seq: seq,
        history: Vec::new(),
        source_without_checkpoint: None,
    };
    let mut outcome =
        Outcome { checkpoint: Some(checkpoint), recorded: true, ending: Ending::Completed };
    check(
        &text(outcome.to_json(true)),
        &expect![[
            r#"{"ok":true,"session_id":"s1","source_last_seq":"5-x","replication_id_version":5,"history":[]}"#
        ]],
    );
    outcome.recorded = false;
    check(
        &text(outcome.to_json(true)),
        &expect![[
            r#"{"ok":true,"no_changes":true,"session_id":"s1","source_last_seq":"5-x","replication_id_version":5,"history":[]}"#
        ]],
    );
    check(&text(outcome.to_json(false)), &expect![[r#"{"ok":true,"use_checkpoints":false}"#]]);
}

/// 200 documents of 20 KB over 40 KB/s, with 30 s for each request, take 100 s at least.
#[test]
fn a_slow_link_gets_what_it_can_carry() {
    let ids: Vec<_> = (0..200).map(|number| format!("doc{number:03}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut free_at = Duration::ZERO;
    let mut sent = 0;
    let log = run_timed(ONCE, |request, _, now| match request {
        Request::Fetch(fetch) => {
            let count = fetch.wants.len().min(fetch.bytes_max / 20_300);
            let documents = fetch.wants.iter().take(count).map(|want| {
                let json = vec![b' '; 20_000];
                Fetched::Documents(vec![Document { json, ..document(&want.id, &[]) }])
            });
            sent += count;
            free_at = free_at.max(now) + Duration::from_millis(500) * u32::try_from(count).unwrap();
            Do::Later(free_at - now, Reply::Fetched(documents.collect()))
        }
        _ => serve(&ids, request),
    });
    let end: u64 =
        log.lines().rev().nth(1).unwrap().trim().split(' ').next().unwrap().parse().unwrap();
    assert!(log.contains("completed"), "{log}");
    assert!(end < 200_000 && sent < 400, "{end} ms, {sent} documents sent: {log}");
}

#[test]
fn a_source_that_is_written_to_all_the_time_has_an_end() {
    let mut number = 0;
    let log = run(ONCE, |request, _| match request {
        Request::Changes { .. } => {
            let rows = (0..10).map(|_| {
                number += 1;
                let (seq, id) = (Seq::from_text(&format!("{number}-x")), format!("doc{number}"));
                Row { seq: Some(seq), id: id.into(), revs: Vec::new(), unreadable: 0 }
            });
            let rows = rows.collect();
            let last_seq = Seq::from_text(&format!("{number}-x"));
            Do::Reply(Reply::Page(Page { rows, last_seq, pending: Some(50) }))
        }
        _ => serve(&[], request),
    });
    let pages = log.matches("changes since").count();
    assert!(log.contains("completed") && pages == 13, "{log}");
}

#[test]
fn a_target_is_created_if_that_was_asked_for() {
    let job = r#"{"source":"a","target":"b","create_target":true,"use_checkpoints":false}"#;
    let log = run(job, |request, _| serve(&[], request));
    check(
        &log,
        &expect![[r#"
             0 info source
             0 create
            10 checkpoint? source
            10 info target
            20 checkpoint? target
            30 changes since 0
            40 completed
        read 0 written 0 failed 0
    "#]],
    );
}

#[test]
fn lost_credentials_end_the_run() {
    let log = run(ONCE, |request, _| match request {
        Request::Fetch(_) => Do::Fail(FailureKind::Unauthorized),
        _ => serve(&["x"], request),
    });
    check(
        &log,
        &expect![[r#"
             0 info source
             0 info target
            10 checkpoint? source
            10 checkpoint? target
            20 changes since 0
            30 diff x
            40 fetch bulk x
            50 unauthorized: bulk_get of the source failed, unauthorized: so it is
        read 0 written 0 failed 0
    "#]],
    );
}
