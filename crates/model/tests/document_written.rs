//! Documents as they are sent.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use expect_test::{Expect, expect};
use settle_model::{
    document::{
        AnyRev, AttachmentIn, AttachmentOut, ContentOut, Encoding, Extras, Outgoing, RevStatus,
        Unsaved, parse,
    },
    revision::{Digest, RevId, RevPath},
};

fn rev(text: &str) -> RevId {
    text.parse().unwrap()
}

#[track_caller]
fn check_written(document: &Outgoing<'_>, expected: &Expect) {
    let mut out = Vec::new();
    document.write(&mut out);
    let text = String::from_utf8(out).unwrap();
    let parsed = parse(text.as_bytes()).unwrap();
    assert_eq!((parsed.id.as_deref(), &*parsed.body), (Some(document.id), document.body));
    assert_eq!(parsed.deleted, document.deleted);
    expected.assert_eq(&text);
}

#[test]
fn a_document_is_sent_with_its_special_members_round_the_body() {
    let plain = Outgoing {
        id: "a \"b\"",
        rev: &rev("1-0785e9eb543380151003dc452c3a001a").into(),
        deleted: false,
        body: br#"{"x":1.0}"#,
        extras: Extras::default(),
    };
    check_written(
        &plain,
        &expect![[r#"{"_id":"a \"b\"","_rev":"1-0785e9eb543380151003dc452c3a001a","x":1.0}"#]],
    );
    check_written(
        &Outgoing { deleted: true, body: b"{}", ..plain },
        &expect![[
            r#"{"_id":"a \"b\"","_rev":"1-0785e9eb543380151003dc452c3a001a","_deleted":true}"#
        ]],
    );
    check_written(
        &Outgoing { id: "_local/cp", rev: &AnyRev::Local(12), ..plain },
        &expect![[r#"{"_id":"_local/cp","_rev":"0-12","x":1.0}"#]],
    );
}

#[test]
fn what_was_asked_for_is_sent_in_the_order_that_couchdb_has() {
    let digests = ["b", "a"].map(|it| it.parse::<Digest>().unwrap());
    let path = RevPath::new(2, digests.to_vec()).unwrap();
    let info = [
        (rev("3-c"), RevStatus::Available),
        (rev("2-b"), RevStatus::Missing),
        (rev("1-a"), RevStatus::Deleted),
    ];
    let extras = Extras {
        revisions: Some(&path),
        revs_info: &info,
        conflicts: &[rev("2-x"), rev("1-y")],
        deleted_conflicts: &[rev("2-z")],
        local_seq: Some(17),
        attachments: &[],
    };
    let rev = rev("2-b").into();
    let document = Outgoing { id: "d", rev: &rev, deleted: true, body: br#"{"v":1}"#, extras };
    check_written(
        &document,
        &expect![[
            r#"{"_id":"d","_rev":"2-b","v":1,"_deleted":true,"_revisions":{"start":2,"ids":["b","a"]},"_revs_info":[{"rev":"3-c","status":"available"},{"rev":"2-b","status":"missing"},{"rev":"1-a","status":"deleted"}],"_conflicts":["2-x","1-y"],"_deleted_conflicts":["2-z"],"_local_seq":17}"#
        ]],
    );
}

#[test]
fn attachments_are_sent_as_stubs_or_with_their_content() {
    let stub = AttachmentOut {
        name: "a/b.txt",
        content_type: "text/plain",
        revpos: 2,
        md5: *b"0123456789abcdef",
        length: 5,
        encoding: None,
        content: ContentOut::Stub,
    };
    let attachments = [
        stub,
        AttachmentOut { name: "follows", content: ContentOut::Follows, ..stub },
        AttachmentOut { name: "inline", content: ContentOut::Inline(b"hello"), ..stub },
        AttachmentOut { name: "gzip", encoding: Some((Encoding::Gzip, 25)), ..stub },
        AttachmentOut { name: "plain", encoding: Some((Encoding::Identity, 5)), ..stub },
    ];
    let extras = Extras { attachments: &attachments, ..Extras::default() };
    let rev = rev("1-a").into();
    let document = Outgoing { id: "d", rev: &rev, deleted: false, body: b"{}", extras };
    check_written(
        &document,
        &expect![[
            r#"{"_id":"d","_rev":"1-a","_attachments":{"a/b.txt":{"content_type":"text/plain","revpos":2,"digest":"md5-MDEyMzQ1Njc4OWFiY2RlZg==","length":5,"stub":true},"follows":{"content_type":"text/plain","revpos":2,"digest":"md5-MDEyMzQ1Njc4OWFiY2RlZg==","length":5,"follows":true},"inline":{"content_type":"text/plain","revpos":2,"digest":"md5-MDEyMzQ1Njc4OWFiY2RlZg==","data":"aGVsbG8="},"gzip":{"content_type":"text/plain","revpos":2,"digest":"md5-MDEyMzQ1Njc4OWFiY2RlZg==","length":5,"stub":true,"encoding":"gzip","encoded_length":25},"plain":{"content_type":"text/plain","revpos":2,"digest":"md5-MDEyMzQ1Njc4OWFiY2RlZg==","length":5,"stub":true}}}"#
        ]],
    );

    let mut out = Vec::new();
    document.write(&mut out);
    let parsed = parse(&out).unwrap();
    let names: Vec<_> = parsed.attachments.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a/b.txt", "follows", "inline", "gzip", "plain"]);
    let (_, inline) = &parsed.attachments[2];
    assert!(matches!(inline, AttachmentIn::Inline { data, .. } if data == b"hello"));
}

#[test]
fn a_document_that_is_not_stored_yet_has_no_revisions() {
    let mut out = Vec::new();
    Unsaved { id: "a", deleted: true, body: br#"{"n":1}"#, attachments: &[] }.write(&mut out);
    let expected = r#"{"_id":"a","n":1,"_deleted":true,"_revisions":{"start":0,"ids":[]}}"#;
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}
