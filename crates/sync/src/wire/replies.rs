//! Bodies of replies.

use std::{borrow::Cow, sync::Arc};

use settle_model::{
    json::{elements, members, minify, string_value, unescape},
    revision::RevId,
    tree::Missing,
};

use super::{WireError, document::parse_document};
use crate::{
    checkpoint::Checkpoint,
    json::{member, natural, text_member},
    replication::{Fetched, Info, Page, Refusal, Row, Want},
    seq::Seq,
};

fn object<'a>(
    body: &'a [u8],
    request: &'static str,
    expected: &'static str,
) -> Result<Cow<'a, [u8]>, WireError> {
    let json = minify(body).ok().filter(|json| json.first() == Some(&b'{'));
    json.ok_or(WireError { request, expected })
}

/// The reply to `GET /{db}/`.
pub fn parse_info(body: &[u8]) -> Result<Info, WireError> {
    let (request, expected) = ("GET /{db}", "description of a database");
    let error = WireError { request, expected };
    let json = object(body, request, expected)?;
    let seq = member(&json, "update_seq").and_then(|it| Seq::from_json(it).ok());
    let start = member(&json, "instance_start_time").ok_or_else(|| error.clone())?;
    Ok(Info { instance_start_time: text_or_number(start), update_seq: seq.ok_or(error)? })
}

/// The reply to `_ensure_full_commit`: the `instance_start_time`.
pub fn parse_committed(body: &[u8]) -> Result<String, WireError> {
    let (request, expected) = ("_ensure_full_commit", "object with `instance_start_time`");
    let json = object(body, request, expected)?;
    let start = member(&json, "instance_start_time").map(text_or_number);
    start.ok_or(WireError { request, expected })
}

fn text_or_number(value: &[u8]) -> String {
    match string_value(value) {
        Some(text) => text.into_owned(),
        None => String::from_utf8_lossy(value).into_owned(),
    }
}

/// A checkpoint document: its revision, and its content, if it can be read as one.
pub fn parse_checkpoint(body: &[u8]) -> Result<(String, Option<Checkpoint>), WireError> {
    let (request, expected) = ("GET _local", "document");
    let json = object(body, request, expected)?;
    let rev = text_member(&json, "_rev").ok_or(WireError { request, expected })?;
    Ok((rev, Checkpoint::parse(&json).ok()))
}

/// The reply to a write of one document: its new revision.
pub fn parse_rev(body: &[u8]) -> Result<String, WireError> {
    let (request, expected) = ("PUT _local", "object with `rev`");
    let rev = text_member(&object(body, request, expected)?, "rev");
    rev.ok_or(WireError { request, expected })
}

/// The reply to `_changes` with `feed=normal` or `longpoll`.
pub fn parse_changes(body: &[u8]) -> Result<Page, WireError> {
    let (request, expected) = ("_changes", "page of changes");
    let json = object(body, request, expected)?;
    let results = member(&json, "results").filter(|it| it.first() == Some(&b'['));
    let last_seq = member(&json, "last_seq").and_then(|it| Seq::from_json(it).ok());
    let (Some(results), Some(last_seq)) = (results, last_seq) else {
        return Err(WireError { request, expected });
    };
    let rows = elements(results).filter_map(row).collect();
    Ok(Page { rows, last_seq, pending: member(&json, "pending").and_then(natural) })
}

/// A row without an id is none: old servers had documents with an empty one, which nobody can get.
fn row(value: &[u8]) -> Option<Row> {
    let id = text_member(value, "id").filter(|id| !id.is_empty())?;
    let all: Vec<_> = elements(member(value, "changes").unwrap_or_default())
        .map(|change| text_member(change, "rev").and_then(|rev| rev.parse().ok()))
        .collect();
    let unreadable = all.iter().filter(|rev: &&Option<RevId>| rev.is_none()).count() as u64;
    Some(Row {
        seq: member(value, "seq").and_then(|it| Seq::from_json(it).ok()),
        id: id.into(),
        revs: all.into_iter().flatten().collect(),
        unreadable,
    })
}

/// The reply to `_revs_diff`.
pub fn parse_revs_diff(body: &[u8]) -> Result<Vec<(Arc<str>, Missing)>, WireError> {
    let json = object(body, "_revs_diff", "object of missing revisions")?;
    let missing = members(&json).map(|(id, value)| {
        let revs = |name| {
            let list = elements(member(value, name).unwrap_or_default());
            list.filter_map(|rev| string_value(rev)?.parse().ok()).collect()
        };
        let missing =
            Missing { missing: revs("missing"), possible_ancestors: revs("possible_ancestors") };
        (Arc::from(&*unescape(id)), missing)
    });
    Ok(missing.collect())
}

/// The reply to `_bulk_docs`, or to a write of one document that was refused: what was not written.
pub fn parse_bulk_docs(body: &[u8]) -> Result<Vec<Refusal>, WireError> {
    let error = WireError { request: "_bulk_docs", expected: "list of results" };
    let json = minify(body).ok().filter(|json| json.first() == Some(&b'['));
    let json = json.ok_or(error)?;
    let refused = elements(&json).filter_map(|result| {
        let error = text_member(result, "error")?;
        let rev = text_member(result, "rev").and_then(|rev| rev.parse().ok());
        let reason = text_member(result, "reason").unwrap_or_default();
        Some(Refusal { id: text_member(result, "id")?.into(), rev, error, reason })
    });
    Ok(refused.collect())
}

/// The code of a filter function, from its design document.
pub fn parse_filter(design: &[u8], function: &str) -> Option<String> {
    let json = object(design, "", "").ok()?;
    text_member(member(&json, "filters")?, function)
}

/// `error` and `reason` of any reply that says so.
pub fn parse_problem(body: &[u8]) -> Option<(String, String)> {
    let json = object(body, "", "").ok()?;
    Some((text_member(&json, "error")?, text_member(&json, "reason").unwrap_or_default()))
}

/// The reply to `_bulk_get`, or the beginning of it: results that are not complete are left out.
///
/// Their order is that of the wants. A source that answers with something else does not know such requests:
/// its host reports [`FailureKind::Refused`](crate::replication::FailureKind).
pub fn parse_bulk_get(wants: &[Want], body: &[u8]) -> Result<Vec<Fetched>, WireError> {
    let fetch = |results: &mut dyn Iterator<Item = &[u8]>| {
        wants.iter().zip(results).map(|(want, result)| fetched(want, result)).collect()
    };
    if let Some(results) = complete_results(body) {
        return Ok(fetch(&mut results.into_iter()));
    }
    let (request, expected) = ("_bulk_get", "list of results");
    let json = object(body, request, expected)?; // other members come first
    let results = member(&json, "results").filter(|it| it.first() == Some(&b'['));
    Ok(fetch(&mut elements(results.ok_or(WireError { request, expected })?)))
}

/// The reply to a request for revisions of one document, as JSON: a result for each want. Leaves that
/// came instead of a revision that is no leaf any more are taken for the first want without its own.
pub fn parse_open_revs(wants: &[Want], body: &[u8]) -> Result<Vec<Fetched>, WireError> {
    let body = body.trim_ascii();
    if !body.starts_with(b"[") || !body.ends_with(b"]") {
        return Err(WireError { request: "open_revs", expected: "list of revisions" });
    }
    let no_documents =
        || wants.iter().map(|_| no_document("it is not JSON that we take")).collect();
    let Ok(json) = minify(body) else { return Ok(no_documents()) };
    let documents = elements(&json).filter_map(|result| member(result, "ok"));
    let Ok(documents) = documents.map(parse_document).collect::<Result<Vec<_>, _>>() else {
        return Ok(no_documents());
    };
    let mut results: Vec<_> = wants.iter().map(|_| Vec::new()).collect();
    let mut others = Vec::new();
    for document in documents {
        match wants.iter().position(|want| want.rev == document.rev) {
            Some(place) => results[place].push(document),
            None => others.push(document),
        }
    }
    let missing: Vec<RevId> =
        elements(&json).filter_map(|result| text_member(result, "missing")?.parse().ok()).collect();
    let empty = (0..wants.len())
        .find(|&place| results[place].is_empty() && !missing.contains(&wants[place].rev));
    let unclaimed = !others.is_empty();
    if let Some(place) = empty {
        results[place].extend(others);
    }
    let fetched = wants.iter().zip(results).map(|(want, documents)| {
        let is_there = !documents.is_empty() || (unclaimed && !missing.contains(&want.rev));
        if is_there { Fetched::Documents(documents) } else { Fetched::Missing }
    });
    Ok(fetched.collect())
}

/// What is no document will not become one: it is refused.
fn no_document(reason: &str) -> Fetched {
    Fetched::Failed { error: "doc_validation".to_owned(), reason: reason.to_owned() }
}

fn fetched(want: &Want, result: &[u8]) -> Fetched {
    // With rules of ours that other servers do not have, such as no key twice.
    let Ok(result) = minify(result) else { return no_document("it is not JSON that we take") };
    if text_member(&result, "id").as_deref() != Some(&*want.id) {
        let (error, reason) = ("bad_reply".to_owned(), "it is about another document".to_owned());
        return Fetched::Failed { error, reason };
    }
    let mut documents = Vec::new();
    let mut problem = None;
    for doc in elements(member(&result, "docs").unwrap_or_default()) {
        if let Some(document) = member(doc, "ok") {
            match parse_document(document) {
                Ok(document) if document.id == want.id => documents.push(document),
                Ok(_) | Err(_) => return no_document("it is no document with a revision"),
            }
        } else if let Some(error) = member(doc, "error") {
            let text = |name| text_member(error, name).unwrap_or_default();
            problem = Some((text("error"), text("reason")));
        }
    }
    match problem {
        _ if !documents.is_empty() => Fetched::Documents(documents),
        None => Fetched::Missing,
        Some((error, _)) if error == "not_found" => Fetched::Missing,
        Some((error, reason)) => Fetched::Failed { error, reason },
    }
}

/// The elements of the array `results` of an object that may end too early, not checked.
fn complete_results(body: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = expect(body, b'{')?;
    rest = expect(rest, b'"')?.strip_prefix(b"results\"")?;
    rest = expect(expect(rest, b':')?, b'[')?;
    let mut results = Vec::new();
    loop {
        rest = rest.trim_ascii_start();
        let Some(end) = object_end(rest) else { return Some(results) };
        results.push(&rest[..end]);
        match rest[end..].trim_ascii_start().strip_prefix(b",") {
            Some(next) => rest = next,
            None => return Some(results),
        }
    }
}

fn expect(text: &[u8], byte: u8) -> Option<&[u8]> {
    text.trim_ascii_start().strip_prefix(&[byte])
}

/// Where the object ends that `text` begins with.
fn object_end(text: &[u8]) -> Option<usize> {
    if text.first() != Some(&b'{') {
        return None;
    }
    let (mut depth, mut in_string, mut at) = (0_usize, false, 0);
    while let Some(&byte) = text.get(at) {
        match (in_string, byte) {
            (true, b'\\') => at += 1,
            (_, b'"') => in_string = !in_string,
            (false, b'{' | b'[') => depth += 1,
            (false, b'}' | b']') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}
