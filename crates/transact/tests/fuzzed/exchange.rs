//! What must hold of any bytes that are sent as an exchange, or said by a transaction function: a line with it, then lines with documents, which stand
//! for what is stored, each under its `_id`.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a find")]

use std::collections::HashMap;

use settle_model::{
    document,
    id::DocumentId,
    json::{minify, validate},
};
use settle_transact::{Call, Content, Done, Exchange, Present, accepted, refused};

pub(crate) fn check(data: &[u8]) {
    let mut lines = data.split(|&byte| byte == b'\n');
    let Some(first) = lines.next() else { return };
    check_done(first);
    let Ok(exchange) = Exchange::parse(first) else { return };
    assert_same(&exchange, &Exchange::parse(&minify(first).unwrap()).unwrap());
    let stored: HashMap<DocumentId, Present> = lines.filter_map(present).collect();
    for transaction in &exchange.transactions {
        assert!(transaction.contents().all(|(id, _)| transaction.documents().any(|it| it == id)));
        match transaction.plan(|id| stored.get(id)) {
            Ok(plan) => {
                assert_eq!(plan.changes.len(), transaction.writes.len());
                for change in &plan.changes {
                    match &change.content {
                        // What is planned can be stored, but for its size and depth, which the database looks at.
                        Content::Whole(body) => validate(body).unwrap(),
                        Content::Body(body) => {
                            assert!(body.starts_with(b"{"));
                            validate(body).unwrap();
                        }
                        Content::Tombstone => {}
                    }
                }
                let revs = stored.iter().map(|(id, present)| (id, &present.rev));
                validate(&accepted(revs, &plan.taken, None)).unwrap();
            }
            Err(refusal) => {
                validate(&refusal.detail).unwrap();
                let current = refusal
                    .failed_on
                    .as_ref()
                    .map(|id| (id, stored.get(id).map(|present| &*present.document)));
                validate(&refused(&refusal, current)).unwrap();
            }
        }
    }
}

/// The same as what a transaction function says in the end.
fn check_done(text: &[u8]) {
    let (design, function) = ("d".to_owned(), "f".to_owned());
    let call = Call { design, function, arguments: b"null".to_vec() };
    match Done::parse(&call, text) {
        Ok(Done::Writes { result, .. }) => {
            validate(&accepted(std::iter::empty(), &[], Some(&result))).unwrap();
        }
        Ok(Done::Refused(refusal)) => validate(&refused(&refusal, None)).unwrap(),
        Err(_) => {}
    }
}

/// White space between tokens makes no difference.
fn assert_same(a: &Exchange, b: &Exchange) {
    assert_eq!((&a.client, a.mode, a.since), (&b.client, b.mode, b.since));
    let digests = |it: &Exchange| it.transactions.iter().map(|it| it.digest).collect::<Vec<_>>();
    assert_eq!(digests(a), digests(b));
}

fn present(line: &[u8]) -> Option<(DocumentId, Present)> {
    let document = minify(line).ok()?.into_owned();
    let incoming = document::parse(&document).ok()?;
    let id = incoming.id?.parse().ok()?;
    let rev = incoming.rev.and_then(document::AnyRev::into_document);
    let rev = rev.or_else(|| "1-a".parse().ok())?;
    Some((id, Present { rev, body: incoming.body, document }))
}
