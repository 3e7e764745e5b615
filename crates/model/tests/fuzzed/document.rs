//! What must hold of any bytes that are sent as a document, or as many.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a find")]

use std::borrow::Cow;

use serde_json::Value;
use settle_model::{
    document::{Extras, Incoming, Outgoing, parse, parse_bulk},
    json::{self, JsonProblem},
    revision_hash::next,
};

pub(crate) fn check(data: &[u8]) {
    let small = json::minify(data);
    assert_eq!(json::validate(data).err(), small.as_ref().err().cloned());
    if let Ok(small) = &small {
        assert!(matches!(json::minify(small), Ok(Cow::Borrowed(again)) if again == &**small));
    }
    judge_as_serde_json(data, small.as_deref());
    if let Ok(document) = parse(data) {
        check_document(&document);
    }
    if let Ok(bulk) = parse_bulk(data) {
        bulk.docs.iter().for_each(check_document);
    }
    // Readers of stored text end on any text.
    assert!(json::members(data).count() <= data.len());
    assert!(json::elements(data).count() <= data.len());
}

fn judge_as_serde_json(data: &[u8], small: Result<&[u8], &json::JsonError>) {
    match (small, serde_json::from_slice::<Value>(data)) {
        (Ok(small), Ok(value)) => {
            assert_eq!(serde_json::from_slice::<Value>(small).unwrap(), value);
        }
        (Ok(_), Err(error)) => {
            let error = error.to_string();
            assert!(error.contains("out of range") || error.contains("recursion"), "{error}");
        }
        (Err(error), Ok(_)) => assert!(
            matches!(error.problem(), JsonProblem::DuplicateKey { .. }),
            "{error} where serde_json finds nothing"
        ),
        (Err(_), Err(_)) => {}
    }
}

/// What was taken is right, gets an id, and comes back when it is sent.
fn check_document(document: &Incoming) {
    assert!(matches!(json::minify(&document.body), Ok(Cow::Borrowed(_))));
    assert!(document.body.starts_with(b"{"));
    assert!(next(document.deleted, None, &document.body, &[]).is_some());

    let rev = document.rev.clone().unwrap_or_else(|| "1-a".parse().unwrap());
    let id = document.id.as_deref().unwrap_or("a");
    let extras = Extras { revisions: document.revisions.as_ref(), ..Extras::default() };
    let mut sent = Vec::new();
    Outgoing { id, rev: &rev, deleted: document.deleted, body: &document.body, extras }
        .write(&mut sent);
    let again = parse(&sent).unwrap();
    assert_eq!(again.body, document.body);
    assert_eq!(again.id.as_deref(), Some(id));
    assert_eq!(again.rev, Some(rev));
    assert_eq!(again.deleted, document.deleted);
    assert_eq!(again.revisions, document.revisions);
}
