//! What must hold of any bytes that are sent as a request of Mango: a line with a selector, a request
//! or a definition, and lines with documents.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a find")]

use std::sync::Arc;

use settle_model::json::{minify, validate};
use settle_query::{
    collate::{Collation, sort_key},
    mango::{
        Bookmark, DatabaseFacts, DesignEdit, FindRequest, Groups, Index, IndexCreation, MangoIndex,
        NamedIndex, Purpose, explain, parse_bulk_delete, plan, without_index,
    },
    selector::Selector,
};

pub(crate) fn check(data: &[u8]) {
    let mut lines = data.split(|&byte| byte == b'\n').filter_map(|line| minify(line).ok());
    let Some(first) = lines.next() else { return };
    let documents: Vec<_> = lines.filter(|it| it.starts_with(b"{")).collect();
    let documents: Vec<&[u8]> = documents.iter().map(|it| &**it).collect();
    if let Ok(selector) = Selector::parse(&first) {
        check_selector(&selector, &documents);
    }
    if let Ok(request) = FindRequest::parse(&first) {
        check_request(&request, &documents);
    }
    if let Ok(creation) = IndexCreation::parse(&first) {
        check_creation(&creation, &documents);
    }
    drop(parse_bulk_delete(&first));
    if let Ok(text) = str::from_utf8(data)
        && let Ok(bookmark) = Bookmark::parse(text)
    {
        assert_eq!(Bookmark::parse(&bookmark.to_text()), Ok(bookmark));
    }
}

/// The normal form is JSON, and stays as it is.
fn check_selector(selector: &Selector, documents: &[&[u8]]) {
    let normal = selector.to_json();
    validate(&normal).unwrap();
    let again = Selector::parse(&normal);
    for document in documents {
        let matches = selector.matches(document);
        if let Ok(again) = &again {
            assert_eq!(again.matches(document), matches);
        }
    }
}

/// What is made of a request is JSON, and an index finds what a scan finds.
fn check_request(request: &FindRequest, documents: &[&[u8]]) {
    let map = br#"{"fields":{"a":"asc","b":"asc"}}"#;
    let index = NamedIndex::of_view("_design/i", "i", map, false).unwrap();
    let indexes = [Arc::new(Index::AllDocs), Arc::new(Index::Json(index))];
    let documents_only = request.of_documents();
    if let Ok(plan) = plan(&documents_only, &indexes, false, Purpose::Explain) {
        let facts = DatabaseFacts { name: "db", partitioned: false };
        validate(&explain(request, &plan, facts)).unwrap();
        drop(plan.ranges.ids());
        if let Some(Index::Json(index)) = plan.index.as_deref()
            && request.sort.is_empty()
        {
            let span = plan.ranges.span();
            for document in documents {
                let mut key = Vec::new();
                let read = index.definition.push_key(&mut key, document)
                    && span.holds(&sort_key(&key, Collation::Unicode));
                let is_design = document.starts_with(b"{\"_id\":\"_design");
                let selected = request.selector.matches(document) && !is_design;
                if !plan.ranges.is_empty() {
                    // A prefix that Unicode orders otherwise is missed, as by CouchDB.
                    assert!(read || !selected || has_prefix(request) || has_design_id(document));
                }
            }
        }
    }
    for document in documents {
        if let Some(fields) = &request.fields {
            let mut out = Vec::new();
            fields.push(&mut out, document);
            validate(&out).unwrap();
        }
    }
    if let Some(aggregation) = &request.aggregation {
        let mut groups = Groups::new(aggregation);
        documents.iter().for_each(|it| groups.add(it).unwrap());
        for row in groups.finish(&request.sort, request.skip, request.limit) {
            validate(&row).unwrap();
        }
    }
}

fn has_prefix(request: &FindRequest) -> bool {
    String::from_utf8_lossy(&request.selector.to_json()).contains("$beginsWith")
}

fn has_design_id(document: &[u8]) -> bool {
    String::from_utf8_lossy(document).contains("_design/")
}

/// The design document is JSON, holds the index, and is not changed by the same index again.
fn check_creation(creation: &IndexCreation, documents: &[&[u8]]) {
    let Ok(DesignEdit::Write(body)) = creation.edit(None) else { return };
    validate(&body).unwrap();
    assert_eq!(creation.edit(Some(&body)), Ok(DesignEdit::Unchanged));
    assert!(without_index(&body, &creation.name).is_some());
    let views = settle_model::json::members(&body).find(|(key, _)| *key == "views").unwrap().1;
    let view = settle_model::json::members(views).next().unwrap().1;
    let map = settle_model::json::members(view).find(|(key, _)| *key == "map").unwrap().1;
    let index = MangoIndex::parse(map).unwrap();
    for document in documents {
        let mut key = Vec::new();
        if index.push_key(&mut key, document) {
            validate(&key).unwrap();
        }
    }
}
