//! Messages between host and worker: all kinds of them, whole and cut, and what the fuzzer kept.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "fuzzed/message.rs"]
mod message;

use std::{fs, path::Path};

use bytes::Bytes;
use settle_script::{
    DocRows, FunctionKind, MapFailure, ReduceLimit, Row, Rows, Thrown,
    message::{Failure, GroupRows, Hello, Operation, Outcome, ProgramKey, Reply, Request},
};

const KEY: ProgramKey = ProgramKey { database: 7, digest: [9; 16] };

fn requests() -> Vec<Vec<u8>> {
    let call = |operation| Request::Call { key: KEY, design: "d", operation };
    let mut rows = Rows::default();
    rows.push(b"1", "a", b"{}");
    let (bytes, count) = (rows.bytes(), 1);
    [
        Request::Hello(Hello {
            deadline_ms: 5_000,
            runtime_bytes_max: 1,
            worker_bytes_max: 2,
            reduce_limit: ReduceLimit::Log,
        }),
        Request::Program { key: KEY, design: "d", source: b"{}" },
        Request::ListRows { rows: vec![b"{}", b"1"], last: true },
        Request::Answered { answer: Ok(b"{}") },
        Request::Answered {
            answer: Err(Thrown { error: "not_found".to_owned(), reason: "missing".to_owned() }),
        },
        call(Operation::Map { maps: vec!["function(doc) {}"], docs: vec![b"{}", b"{}"] }),
        call(Operation::Reduce { source: "f", groups: vec![GroupRows { count, bytes }] }),
        call(Operation::Rereduce { source: "f", groups: vec![vec![b"1", b"2"], vec![]] }),
        call(Operation::Filter { name: "f", request: b"{}", docs: vec![b"{}"] }),
        call(Operation::MapFilter { view: "v", docs: vec![b"{}"] }),
        call(Operation::Validate {
            user_ctx: b"{}",
            security: b"{}",
            edits: vec![(b"{}", None), (b"{}", Some(b"{}"))],
        }),
        call(Operation::Update { name: "u", doc: None, request: b"{}" }),
        call(Operation::Show { name: "s", doc: Some(b"{}"), request: b"{}" }),
        call(Operation::List { name: "l", head: b"{}", request: b"{}" }),
        call(Operation::Rewrite { request: b"{}" }),
        call(Operation::Apply { path: vec!["a", "b"], arguments: vec![b"1"] }),
        call(Operation::Compile { kind: FunctionKind::Reduce, source: "function() {}" }),
        call(Operation::Transaction { name: "t", arguments: b"{}", user_ctx: b"{}" }),
    ]
    .iter()
    .map(|request| request.encode().unwrap())
    .collect()
}

fn replies() -> Vec<Vec<u8>> {
    let thrown = || Thrown { error: "forbidden".to_owned(), reason: "no".to_owned() };
    let json = || Bytes::from_static(b"{}");
    let done = |outcome| Reply::Done { log: vec!["a line".to_owned()], outcome };
    let failed = |failure| Reply::Failed { log: vec![], failure };
    let row = Row { key: json(), value: json() };
    let failure = MapFailure { message: "why".to_owned() };
    [
        Reply::Ready { missing: vec!["Landlock".to_owned()] },
        Reply::NeedProgram,
        Reply::Listed { log: vec![], response: Some(json()), chunk: json(), ended: false },
        Reply::Asked { log: vec![], question: json() },
        done(Outcome::Mapped(vec![DocRows { maps: vec![Ok(vec![row]), Err(failure)] }])),
        done(Outcome::Values(vec![json()])),
        done(Outcome::Flags(vec![true, false])),
        done(Outcome::Verdicts(vec![Ok(()), Err(thrown())])),
        done(Outcome::Updated { document: Some(json()), response: json() }),
        done(Outcome::Response(json())),
        done(Outcome::MaybeResponse(None)),
        done(Outcome::Compiled),
        failed(Failure::Compilation("why".to_owned())),
        failed(Failure::Missing { kind: "shows".to_owned(), name: "f".to_owned() }),
        failed(Failure::Thrown(thrown())),
        failed(Failure::Deadline),
        failed(Failure::Memory),
        failed(Failure::BadResult("why".to_owned())),
        failed(Failure::TooLarge),
    ]
    .iter()
    .map(|reply| reply.encode().unwrap())
    .collect()
}

#[test]
fn every_kind_of_message_is_read_as_it_was_written() {
    for written in requests() {
        let body = &written[4..];
        assert_eq!(Request::decode(body).unwrap().encode().unwrap(), written);
        message::check(body);
    }
    for written in replies() {
        let body = Bytes::copy_from_slice(&written[4..]);
        assert_eq!(Reply::decode(&body).unwrap().encode().unwrap(), written);
        message::check(&body);
    }
}

#[test]
fn a_message_that_is_cut_or_goes_on_is_refused() {
    for written in requests() {
        for end in 4..written.len() {
            Request::decode(&written[4..end]).unwrap_err();
        }
        Request::decode(&[&written[4..], b"x"].concat()).unwrap_err();
    }
    for written in replies() {
        for end in 4..written.len() {
            Reply::decode(&Bytes::copy_from_slice(&written[4..end])).unwrap_err();
        }
    }
}

#[test]
fn a_length_that_cannot_be_is_refused_before_there_is_room_made_for_it() {
    for written in requests().into_iter().chain(replies()) {
        let body = &written[4..];
        for at in 2..body.len().saturating_sub(3) {
            let mut body = body.to_vec();
            body[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
            message::check(&body);
        }
    }
}

#[test]
fn every_kept_message_keeps_the_rules() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/script_message");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display()); // shown when the check fails
        message::check(&fs::read(path).unwrap());
        count += 1;
    }
    assert!(count >= 30, "only {count} inputs");
}

/// Run with `--ignored` after a change of the protocol: seeds for the fuzzer.
#[test]
#[ignore = "writes the corpus"]
fn write_seeds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/script_message");
    for (index, written) in requests().into_iter().chain(replies()).enumerate() {
        fs::write(folder.join(format!("seed-{index:02}")), &written[4..]).unwrap();
    }
}
