//! Bodies and parameters of requests.

use std::{sync::Arc, time::Duration};

use settle_model::{id::LocalId, revision::RevId};

use crate::{
    checkpoint::Checkpoint,
    job::{Job, Selection},
    json::{Object, array, quoted},
    replication::{Document, Want},
    seq::Seq,
};

/// Parameters of `_changes`, not yet encoded. `wait` becomes a long poll, which the source ends.
pub fn changes_query(
    job: &Job,
    since: &Seq,
    limit: usize,
    wait: Option<Duration>,
) -> Vec<(String, String)> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let style = if job.winning_revs_only { "main_only" } else { "all_docs" };
    let mut query = vec![
        pair("feed", if wait.is_some() { "longpoll" } else { "normal" }),
        pair("style", style),
        pair("since", &since.text()),
        pair("limit", &limit.to_string()),
    ];
    if let Some(wait) = wait {
        query.push(pair("timeout", &wait.as_millis().to_string()));
    }
    match &job.selection {
        Selection::Everything => {}
        Selection::DocIds(_) => query.push(pair("filter", "_doc_ids")),
        Selection::Selector(_) => query.push(pair("filter", "_selector")),
        Selection::Filter { name, params } => {
            query.push(pair("filter", name));
            for (name, value) in params {
                if !query.iter().any(|(taken, _)| taken == name) {
                    query.push(pair(name, value));
                }
            }
        }
    }
    query
}

/// The body of `_changes`, which is posted then; `None` where it is simply got.
pub fn changes_body(selection: &Selection) -> Option<Vec<u8>> {
    let mut object = Object::new();
    match selection {
        Selection::Everything | Selection::Filter { .. } => return None,
        Selection::DocIds(ids) => {
            object.raw("doc_ids", &array(ids, |out, id| out.extend_from_slice(&quoted(id))));
        }
        Selection::Selector(selector) => object.raw("selector", selector),
    }
    Some(object.finish())
}

pub fn revs_diff_body(revs: &[(Arc<str>, Vec<RevId>)]) -> Vec<u8> {
    // An id may be there twice, with a row for each of its changes; an object has it once.
    let mut merged: Vec<(&str, Vec<&RevId>)> = Vec::with_capacity(revs.len());
    let mut sorted: Vec<_> = revs.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    for (id, revs) in sorted {
        match merged.last_mut() {
            Some((last, all)) if *last == &**id => all.extend(revs),
            Some(_) | None => merged.push((id, revs.iter().collect())),
        }
    }
    let mut object = Object::new();
    for (id, mut revs) in merged {
        revs.sort();
        revs.dedup();
        object.raw(id, &rev_list(revs));
    }
    object.finish()
}

/// Parameters of `_bulk_get`: what its body says too, as older servers read it only here.
pub fn bulk_get_query(attachments: bool) -> Vec<(String, String)> {
    let pair = |name: &str, value: bool| (name.to_owned(), value.to_string());
    vec![pair("revs", true), pair("latest", true), pair("attachments", attachments)]
}

/// The body of `_bulk_get`.
pub fn bulk_get_body(wants: &[Want], attachments: bool) -> Vec<u8> {
    let docs = array(wants, |out, want| {
        let mut object = Object::new();
        object.text("id", &want.id);
        object.text("rev", &want.rev.to_string());
        object.raw("atts_since", &rev_list(&*want.atts_since));
        out.extend_from_slice(&object.finish());
    });
    let mut object = Object::new();
    object.raw("docs", &docs);
    object.flag("latest", true);
    object.flag("revs", true);
    object.flag("attachments", attachments);
    object.finish()
}

/// Parameters that get revisions of one document, not yet encoded. The reply is a list, in JSON if that
/// is asked for, of `{"ok": document}` and `{"missing": revision}`.
pub fn open_revs_query(wants: &[Want], attachments: bool) -> Vec<(String, String)> {
    let text = |json: Vec<u8>| String::from_utf8(json).expect("JSON is UTF-8");
    let pair = |name: &str, value: String| (name.to_owned(), value);
    let mut query = bulk_get_query(attachments);
    query.push(pair("open_revs", text(rev_list(wants.iter().map(|want| &want.rev)))));
    if let Some(want) = wants.first().filter(|want| !want.atts_since.is_empty()) {
        query.push(pair("atts_since", text(rev_list(&*want.atts_since))));
    }
    query
}

pub fn bulk_docs_body(documents: &[Arc<Document>]) -> Vec<u8> {
    let bytes: usize = documents.iter().map(|it| it.json.len() + 1).sum();
    let mut out = Vec::with_capacity(bytes + 32);
    out.extend_from_slice(b"{\"new_edits\":false,\"docs\":[");
    for (place, document) in documents.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&document.json);
    }
    out.extend_from_slice(b"]}");
    out
}

/// The checkpoint document, `rev` being the revision that it replaces.
pub fn checkpoint_body(id: &LocalId, rev: Option<&str>, checkpoint: &Checkpoint) -> Vec<u8> {
    let mut object = Object::new();
    object.text("_id", id.as_str());
    if let Some(rev) = rev {
        object.text("_rev", rev);
    }
    checkpoint.write(&mut object);
    object.finish()
}

fn rev_list<'a>(revs: impl IntoIterator<Item = &'a RevId>) -> Vec<u8> {
    array(revs, |out, rev| {
        out.push(b'"');
        rev.write_to(out);
        out.push(b'"');
    })
}
