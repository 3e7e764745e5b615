//! Documents of `_replicator` databases: what becomes of those that are sent.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use expect_test::{Expect, expect};
use proptest::prelude::*;
use settle_model::{json::minify, time::SeededEntropy};
use settle_sync::{
    document::{Author, DocumentError, NoJob, Proposed, Stored, asked, prepare, with_state},
    job::Job,
    sealing::{KEY_BYTES, Sealer},
};

const ADA: Author<'static> = Author { name: "ada", is_server_admin: false, administers: false };
const EVE: Author<'static> = Author { name: "eve", ..ADA };
const KEEPER: Author<'static> = Author { name: "keeper", administers: true, ..ADA };
const ADMIN: Author<'static> = Author { name: "admin", is_server_admin: true, administers: true };

fn sealer() -> Sealer {
    Sealer::new([1; KEY_BYTES], &[])
}

fn proposed(body: &[u8]) -> Proposed<'_> {
    Proposed { database: 7, id: "backup", deleted: false, body, replicated: false }
}

fn write(by: Author<'_>, body: &str, before: Option<&str>) -> Result<String, DocumentError> {
    let body = minify(body.as_bytes()).unwrap();
    let before = before.map(str::as_bytes);
    let stored = prepare(by, proposed(&body), before, &sealer(), &SeededEntropy::new(1))?;
    Ok(String::from_utf8(stored).unwrap())
}

/// What is stored, with seals cut short, or what is said.
#[track_caller]
fn check(by: Author<'_>, body: &str, before: Option<&str>, expected: &Expect) {
    let shown = match write(by, body, before) {
        Ok(stored) => stored
            .split("\"1.")
            .enumerate()
            .map(|(at, part)| match part.split_once('"') {
                Some((_, rest)) if at > 0 => format!("\"1.…\"{rest}"),
                Some(_) | None => part.to_owned(),
            })
            .collect(),
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&shown);
}

/// As it is stored when `ada` has written it.
fn of_ada(body: &str) -> String {
    write(ADA, body, None).unwrap()
}

fn job_of(body: &str) -> Result<Job, NoJob> {
    let document = Stored { database: 7, id: "backup", body: body.as_bytes() };
    asked(document, &sealer()).map(|asked| asked.job)
}

const REMOTE: &str = r#"{"source":"https://u:secret@example.org/a","target":"b"}"#;

#[test]
fn a_document_belongs_to_who_wrote_it() {
    check(
        ADA,
        r#"{"source":"a", "target":"b"}"#,
        None,
        &expect![[r#"{"source":"a","target":"b","owner":"ada"}"#]],
    );
    check(
        ADA,
        r#"{"owner":null,"source":"a","target":"b"}"#,
        None,
        &expect![[r#"{"owner":"ada","source":"a","target":"b"}"#]],
    );
    check(
        ADMIN,
        r#"{"source":"a","target":"b","owner":"ada"}"#,
        None,
        &expect![[r#"{"source":"a","target":"b","owner":"ada"}"#]],
    );
}

#[test]
fn nobody_but_the_owner_and_admins_of_the_server_changes_a_document() {
    let before = of_ada(r#"{"source":"a","target":"b"}"#);
    let other = r#"{"source":"c","target":"b","owner":"ada"}"#;
    let refused = expect!["Can't update replication documents from other users."];
    check(EVE, other, Some(&before), &refused);
    check(EVE, r#"{"source":"c","target":"b"}"#, Some(&before), &refused);
    check(EVE, other, None, &refused);
    check(KEEPER, other, Some(&before), &refused);
    let changed = expect![[r#"{"source":"c","target":"b","owner":"ada"}"#]];
    check(ADMIN, other, Some(&before), &changed);
    check(ADA, other, Some(&before), &changed);
}

#[test]
fn who_administers_the_database_may_delete_documents_of_others() {
    let before = of_ada(REMOTE);
    let delete = |by| {
        let deletion = Proposed { deleted: true, ..proposed(REMOTE.as_bytes()) };
        let entropy = SeededEntropy::new(1);
        let body = prepare(by, deletion, Some(before.as_bytes()), &sealer(), &entropy)?;
        Ok::<_, DocumentError>(String::from_utf8(body).unwrap())
    };
    assert_eq!(delete(EVE), Err(DocumentError::OtherOwner));
    for by in [ADA, KEEPER, ADMIN] {
        assert_eq!(delete(by).unwrap(), "{}", "a tombstone needs no endpoints");
    }
}

#[test]
fn what_is_secret_is_sealed_wherever_it_stands() {
    check(
        ADA,
        REMOTE,
        None,
        &expect![[
            r#"{"source":"https://example.org/a","target":"b","owner":"ada","sealed":{"source":"1.…"}}"#
        ]],
    );
    check(
        ADA,
        r#"{"_replication_state":"error","source":{"url":"http://example.org/a","note":1,
            "auth":{"basic":{"username":"u","password":"secret"}},"headers":{"X-Key":"secret"}},
            "target":{"headers":{"Authorization":"Bearer secret"},"url":"https://u:secret@b.example/b?x"},
            "source_proxy":"http://u:secret@proxy.example","target_proxy":"","continuous":true}"#,
        None,
        &expect![[
            r#"{"_replication_state":"error","source":{"url":"http://example.org/a","note":1},"target":{"url":"https://b.example/b?x"},"source_proxy":"http://proxy.example","target_proxy":"","continuous":true,"owner":"ada","sealed":{"source":"1.…","target":"1.…","source_proxy":"1.…"}}"#
        ]],
    );
    check(
        ADA,
        r#"{"source":"a","target":"b","proxy":"socks5://u:secret@proxy.example:1080"}"#,
        None,
        &expect![[
            r#"{"source":"a","target":"b","proxy":"socks5://proxy.example:1080","owner":"ada","sealed":{"proxy":"1.…"}}"#
        ]],
    );
}

#[test]
fn a_document_can_be_sent_back_as_it_was_read() {
    let before = of_ada(REMOTE);
    assert_eq!(write(ADA, &before, Some(&before)).unwrap(), before);
    assert_eq!(write(ADMIN, &before, Some(&before)).unwrap(), before);
    let continuous = before.replace("\"b\"", "\"b\",\"continuous\":true");
    let stored = write(ADA, &continuous, Some(&before)).unwrap();
    let expected = Job::parse(REMOTE.replace("\"b\"", "\"b\",\"continuous\":true").as_bytes());
    assert_eq!(job_of(&stored).unwrap(), expected.unwrap());
}

#[test]
fn for_another_server_credentials_are_asked_for_again() {
    let before = of_ada(REMOTE);
    let again =
        expect!["the credentials of `source` are sealed for something else; send them again"];
    for change in ["https://eve.example/a", "http://example.org/a", "https://example.org:5984/a"] {
        check(ADA, &before.replace("https://example.org/a", change), Some(&before), &again);
    }
    check(ADA, &before.replace("\"owner\":\"ada\"", "\"owner\":\"eve\""), Some(&before), &{
        expect!["Can't update replication documents from other users."]
    });
    check(ADMIN, &before.replace("\"owner\":\"ada\"", "\"owner\":\"eve\""), Some(&before), &again);
    let elsewhere = before.replace("example.org/a", "example.org/elsewhere");
    let stored = write(ADA, &elsewhere, Some(&before)).unwrap();
    assert!(job_of(&stored).is_ok(), "another database of the same server");
    check(
        ADA,
        r#"{"source":"https://new:pair@eve.example/a","target":"b","sealed":{"source":"1.x"}}"#,
        Some(&before),
        &expect![[
            r#"{"source":"https://eve.example/a","target":"b","sealed":{"source":"1.…"},"owner":"ada"}"#
        ]],
    );
    check(
        ADA,
        r#"{"source":"https://example.org/a","target":"b"}"#,
        Some(&before),
        &expect![[r#"{"source":"https://example.org/a","target":"b","owner":"ada"}"#]],
    );
}

#[test]
fn a_document_from_another_server_is_taken_and_says_why_it_does_not_run() {
    let there = Sealer::new([9; KEY_BYTES], &[]);
    let sent = prepare(ADA, proposed(REMOTE.as_bytes()), None, &there, &SeededEntropy::new(1));
    let sent = sent.unwrap();
    let replicated = Proposed { replicated: true, ..proposed(&sent) };
    let stored = prepare(ADMIN, replicated, None, &sealer(), &SeededEntropy::new(2)).unwrap();
    assert_eq!(stored, sent);
    let error = job_of(&String::from_utf8(stored).unwrap()).unwrap_err();
    assert_eq!(error, NoJob::Sealed { endpoint: "source" });
}

#[test]
fn a_replica_does_not_write_in_the_name_of_others_unless_it_is_an_admins() {
    let body = br#"{"source":"a","target":"b","owner":"ada"}"#;
    let replicated = Proposed { replicated: true, ..proposed(body) };
    let write = |by| prepare(by, replicated, None, &sealer(), &SeededEntropy::new(1));
    assert_eq!(write(EVE).unwrap_err(), DocumentError::OtherOwner);
    assert_eq!(write(ADMIN).unwrap(), body);
}

#[test]
fn what_asks_for_nothing_is_refused() {
    check(ADA, "{}", None, &expect!["Missing replicator database: `source` is not there"]);
    check(
        ADA,
        r#"{"source":"a","target":"b","sealed":[]}"#,
        None,
        &expect!["`sealed` must be as it was read, or left out"],
    );
    check(
        ADA,
        r#"{"source":"a","target":"b","owner":1}"#,
        None,
        &expect!["`owner` must be the name of a user"],
    );
    check(
        ADA,
        r#"{"source":"a","target":"b","continuous":1}"#,
        None,
        &expect!["parameter `continuous` must be a boolean"],
    );
}

#[test]
fn a_job_runs_as_somebody_else_if_an_admin_says_so() {
    let other = r#"{"source":"a","target":"b","user_ctx":{"name":"eve","roles":["_admin"]}}"#;
    let nobody = r#"{"source":"a","target":"b","user_ctx":{"roles":["_admin"]}}"#;
    let refused =
        expect!["`user_ctx` must name yourself; server admins alone may name somebody else"];
    check(ADA, other, None, &refused);
    check(ADA, nobody, None, &refused);
    assert!(write(ADMIN, other, None).is_ok() && write(ADMIN, nobody, None).is_ok());
    assert!(write(ADA, &other.replace("eve", "ada"), None).is_ok());
}

#[test]
fn a_document_that_asks_for_something_else_starts_again() {
    let job = of_ada(REMOTE);
    let before = with_state(
        job.as_bytes(),
        &[
            ("_replication_state", b"\"completed\"".to_vec()),
            ("_replication_id", b"\"0\"".to_vec()),
        ],
    );
    let before = String::from_utf8(before).unwrap();
    assert_eq!(write(ADA, &before, Some(&before)).unwrap(), before);
    let changed = before.replace("\"b\"", "\"c\"");
    assert_eq!(write(ADA, &changed, Some(&before)).unwrap(), job.replace("\"b\"", "\"c\""));
    let password = before.replace("//example.org", "//u:other@example.org");
    let stored = write(ADA, &password, Some(&before)).unwrap();
    assert!(!stored.contains("_replication_"), "{stored}");
}

#[test]
fn what_an_earlier_key_sealed_is_sealed_anew() {
    let before = of_ada(REMOTE);
    let sealer = Sealer::new([2; KEY_BYTES], &[[1; KEY_BYTES]]);
    let entropy = SeededEntropy::new(2);
    let proposed = proposed(before.as_bytes());
    let stored = prepare(ADA, proposed, Some(before.as_bytes()), &sealer, &entropy).unwrap();
    let alone = Sealer::new([2; KEY_BYTES], &[]);
    let asked = asked(Stored { database: 7, id: "backup", body: &stored }, &alone).unwrap();
    assert_eq!(asked.job, Job::parse(REMOTE.as_bytes()).unwrap());
}

/// A password that stands for nothing else in a document.
fn password() -> impl Strategy<Value = String> {
    "[a-z]{4}Q[a-zA-Z0-9%\\\\\"äß/ ]{0,12}Q[a-z]{4}"
}

fn json(text: &str) -> String {
    let mut out = Vec::new();
    settle_model::json::write_string(&mut out, text);
    String::from_utf8(out).unwrap()
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

proptest! {
    #[test]
    fn no_password_is_stored_and_each_comes_out_again(
        passwords in prop::array::uniform4(password()),
        by_auth in any::<bool>(),
    ) {
        let [source, header, target, proxy] = passwords;
        let source_auth = format!(
            r#"{{"url":"https://example.org/a","auth":{{"basic":{{"username":"u","password":{}}}}},"headers":{{"X-Key":{}}}}}"#,
            json(&source), json(&header.replace(|it: char| !it.is_ascii_graphic(), "")),
        );
        let source_url = json(&format!("https://u:{}@example.org/a", percent_encoded(&source)));
        let sent = format!(
            r#"{{"source":{},"target":{},"proxy":{}}}"#,
            if by_auth { source_auth } else { source_url },
            json(&format!("https://u:{}@b.example:8080/b", percent_encoded(&target))),
            json(&format!("http://u:{}@proxy.example", percent_encoded(&proxy))),
        );
        let stored = of_ada(&sent);
        for secret in [&source, &header, &target, &proxy] {
            for form in [secret.clone(), percent_encoded(secret), json(secret)] {
                prop_assert!(!stored.contains(form.trim_matches('"')), "{} in {}", form, stored);
            }
        }
        prop_assert_eq!(job_of(&stored).unwrap(), Job::parse(sent.as_bytes()).unwrap());
        prop_assert_eq!(&write(ADA, &stored, Some(&stored)).unwrap(), &stored);
    }
}
