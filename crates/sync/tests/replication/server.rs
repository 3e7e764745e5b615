//! Runs a job against a server that is made up, and writes down what it is asked.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use settle_model::{revision::RevId, time::Timestamp, tree::Missing};
use settle_sync::{
    checkpoint::Checkpoint,
    job::Job,
    replication::{
        Attachment, Document, Ending, Failure, FailureKind, Fetched, Info, Input, Now, Output,
        Page, Refusal, Replication, Reply, Request, RequestId, Row, Run,
    },
    seq::Seq,
};

/// What a server does with a request.
pub(crate) enum Do {
    Reply(Reply),
    /// It takes longer than the usual 10 ms.
    Later(Duration, Reply),
    Fail(FailureKind),
    /// Some bytes of an attachment come, then the connection is lost.
    Cut(u64),
    Nothing,
    /// The operator cancels the job.
    Cancel,
}

/// Runs a job against `serve`, to which every request comes 10 ms after it was sent, and writes down
/// what was asked. The second argument of `serve` counts the requests of that kind.
pub(crate) fn run(job: &str, mut serve: impl FnMut(&Request, usize) -> Do) -> String {
    run_timed(job, |request, count, _| serve(request, count))
}

/// The third argument of `serve` is the time.
pub(crate) fn run_timed(
    job: &str,
    mut serve: impl FnMut(&Request, usize, Duration) -> Do,
) -> String {
    let job = Arc::new(Job::parse(job.as_bytes()).unwrap());
    let mut time = Duration::ZERO;
    let now = |time: Duration| Now {
        monotonic: time,
        time_of_day: Timestamp::from_seconds(1_700_000_000 + time.as_secs()),
    };
    let mut replication = Replication::new(job, Run::new("s1".to_owned(), u64::MAX), now(time));
    let mut log = String::new();
    let mut seen: Vec<std::mem::Discriminant<Request>> = Vec::new();
    let mut inputs: Vec<(Duration, Input)> = vec![(time, Input::Tick)];
    for _ in 0..5_000 {
        inputs.sort_by_key(|(time, _)| *time);
        let wake = replication.wake_at().unwrap_or(Duration::MAX);
        let is_first = inputs.first().is_some_and(|(time, _)| *time <= wake);
        let (at, input) = if is_first { inputs.remove(0) } else { (wake, Input::Tick) };
        if at == Duration::MAX {
            break;
        }
        time = time.max(at);
        for output in replication.handle(now(time), input) {
            let millis = time.as_millis();
            match output {
                Output::Send { id, request } => {
                    let kind = std::mem::discriminant(&request);
                    let count = seen.iter().filter(|it| **it == kind).count();
                    seen.push(kind);
                    writeln!(log, "{millis:6} {}", shown(&request)).unwrap();
                    let answer = |answer| Input::Answer { request: id, answer };
                    let later = time + Duration::from_millis(10);
                    match serve(&request, count, time) {
                        Do::Reply(reply) => inputs.push((later, answer(Ok(reply)))),
                        Do::Later(pause, reply) => {
                            inputs.push((time + pause, answer(Ok(reply))));
                        }
                        Do::Fail(kind) => inputs.push((later, answer(Err(failure(kind))))),
                        Do::Cut(received) => {
                            inputs.push((later, Input::Progress { request: id, received }));
                            inputs.push((later, answer(Err(failure(FailureKind::Lost)))));
                        }
                        Do::Nothing => {}
                        Do::Cancel => inputs.push((later, Input::Cancel)),
                    }
                }
                Output::Abandon { id: RequestId(_) } => {
                    writeln!(log, "{millis:6} abandon").unwrap();
                }
                Output::Refused(Refusal { id, error, .. }) => {
                    writeln!(log, "{millis:6} refused {id}: {error}").unwrap();
                }
                Output::End(outcome) => {
                    let ending = match outcome.ending {
                        Ending::Completed => "completed".to_owned(),
                        Ending::Cancelled => "cancelled".to_owned(),
                        Ending::Failed(error) => format!("{}: {error}", error.code()),
                    };
                    writeln!(log, "{millis:6} {ending}").unwrap();
                }
            }
        }
    }
    assert_eq!(replication.memory_bytes(), 0, "nothing is held any more");
    let stats = replication.progress().stats;
    let (read, written, failed) = (stats.docs_read, stats.docs_written, stats.doc_write_failures);
    writeln!(log, "read {read} written {written} failed {failed}").unwrap();
    log
}

pub(crate) fn failure(kind: FailureKind) -> Failure {
    Failure { kind, reason: "so it is".to_owned() }
}

pub(crate) fn shown(request: &Request) -> String {
    let side = request.side();
    match request {
        Request::Create => "create".to_owned(),
        Request::Info(_) => format!("info {side}"),
        Request::ReadCheckpoint(_) => format!("checkpoint? {side}"),
        Request::Changes { since, wait, .. } => {
            let wait = wait.map(|wait| format!(" wait {} s", wait.as_secs())).unwrap_or_default();
            format!("changes since {since}{wait}")
        }
        Request::Diff(revs) => {
            let ids: Vec<_> = revs.iter().map(|(id, _)| &**id).collect();
            format!("diff {}", ids.join(" "))
        }
        Request::Fetch(fetch) => {
            let ids: Vec<_> = fetch.wants.iter().map(|want| &*want.id).collect();
            let kind = if fetch.bulk { "bulk" } else { "single" };
            let with = if fetch.attachments { " with attachments" } else { "" };
            format!("fetch {kind} {}{with}", ids.join(" "))
        }
        Request::Stage { document, attachment, from } => {
            format!("stage {}/{} from {from}", document.id, document.attachments[*attachment].name)
        }
        Request::Write(documents) => {
            let ids: Vec<_> = documents.iter().map(|it| &*it.id).collect();
            format!("write {}", ids.join(" "))
        }
        Request::WriteStaged { document, staged } => format!("write {} {staged:?}", document.id),
        Request::Commit(_) => format!("commit {side}"),
        Request::WriteCheckpoint { rev, checkpoint, .. } => {
            let Checkpoint { source_last_seq, source_without_checkpoint, .. } = checkpoint.as_ref();
            let rev = rev.as_deref().unwrap_or("none");
            let alone = source_without_checkpoint.as_deref().map_or("", |_| " alone");
            format!("checkpoint {side} {source_last_seq} over {rev}{alone}")
        }
    }
}

/// A source with `ids` and a target with nothing, which do what they are asked.
pub(crate) fn serve(ids: &[&str], request: &Request) -> Do {
    let rev: RevId = "1-a".parse().unwrap();
    let last = ids.len() as u64;
    let seq = |number: u64| Seq::from_text(&format!("{number}-x"));
    Do::Reply(match request {
        Request::Create | Request::Stage { .. } => Reply::Done,
        Request::Info(_) => {
            Reply::Info(Info { instance_start_time: "7".to_owned(), update_seq: seq(last) })
        }
        Request::ReadCheckpoint(_) => Reply::Checkpoint(None),
        Request::Changes { since, .. } => {
            let since = usize::try_from(since.integer().unwrap()).unwrap();
            let rows = ids.iter().enumerate().skip(since).map(|(place, id)| Row {
                seq: Some(seq(place as u64 + 1)),
                id: (*id).into(),
                revs: vec![rev.clone()],
                unreadable: 0,
            });
            Reply::Page(Page { rows: rows.collect(), last_seq: seq(last), pending: Some(0) })
        }
        Request::Diff(revs) => {
            let missing = revs.iter().map(|(id, revs)| {
                (id.clone(), Missing { missing: revs.clone(), possible_ancestors: Vec::new() })
            });
            Reply::Missing(missing.collect())
        }
        Request::Fetch(fetch) => {
            let documents = fetch.wants.iter().map(|want| document(&want.id, &[]));
            Reply::Fetched(documents.map(|it| Fetched::Documents(vec![it])).collect())
        }
        Request::Write(_) | Request::WriteStaged { .. } => Reply::Written(Vec::new()),
        Request::Commit(_) => Reply::Committed("7".to_owned()),
        Request::WriteCheckpoint { .. } => Reply::CheckpointWritten("0-1".to_owned()),
    })
}

pub(crate) fn document(id: &str, attachments: &[(&str, u64)]) -> Document {
    let attachments = attachments.iter().map(|(name, length)| Attachment {
        name: (*name).to_owned(),
        revpos: Some(1),
        length: *length,
    });
    let json = format!(r#"{{"_id":"{id}","_rev":"1-a"}}"#).into_bytes();
    let attachments = attachments.collect();
    Document { id: id.into(), rev: "1-a".parse().unwrap(), json, attachments, path: None }
}

pub(crate) fn only(document: Document) -> Do {
    Do::Reply(Reply::Fetched(vec![Fetched::Documents(vec![document])]))
}
