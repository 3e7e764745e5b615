//! Which index is chosen, what is read of it, and what is said of it.
//!
//! Source: CouchDB's Mango suite (`05_index_selection`, `12_use_correct_index`, `22_covering_index`,
//! `23-explain-indexes`), and the recorded explanation.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use expect_test::{Expect, expect};
use serde_json::Value;
use settle_query::mango::{
    DatabaseFacts, DesignEdit, FindRequest, Index, IndexCreation, MangoIndex, NamedIndex, Plan,
    Purpose, explain, list_json, parse_bulk_delete, plan, sort_indexes, without_index,
};

/// Indexes from `ddoc: field, field`; one per line.
fn indexes(lines: &[&str]) -> Vec<Arc<Index>> {
    let mut indexes = vec![Arc::new(Index::AllDocs)];
    for line in lines {
        let (ddoc, map) = line.split_once(": ").unwrap();
        let map = if map.starts_with('{') {
            map.to_owned()
        } else {
            let fields: Vec<_> =
                map.split(", ").map(|name| format!("\"{name}\":\"asc\"")).collect();
            format!("{{\"fields\":{{{}}}}}", fields.join(","))
        };
        let (ddoc, partitioned) = match ddoc.strip_suffix('*') {
            Some(ddoc) => (ddoc, true),
            None => (ddoc, false),
        };
        let id = format!("_design/{ddoc}");
        let index = NamedIndex::of_view(&id, ddoc, map.as_bytes(), partitioned).unwrap();
        indexes.push(Arc::new(Index::Json(index)));
    }
    sort_indexes(&mut indexes);
    indexes
}

const USERS: &[&str] = &[
    "age: age",
    "age_and_name: age, name.first",
    "company: company, manager",
    "manager: manager",
    "name: name.first, name.last",
    r#"old: {"fields":{"age":"asc"},"partial_filter_selector":{"age":{"$gt":65}}}"#,
];

fn planned(request: &str, lines: &[&str]) -> Result<(FindRequest, Plan), String> {
    let request = FindRequest::parse(request.as_bytes()).map_err(|error| error.to_string())?;
    let plan = plan(&request, &indexes(lines), false, Purpose::Find);
    plan.map(|plan| (request, plan)).map_err(|error| error.to_string())
}

/// Which of [`USERS`] is chosen, or why none.
fn check(request: &str, expected: &str) {
    let chosen = match planned(request, USERS) {
        Ok((request, plan)) => {
            let index = plan.index.as_ref().unwrap().name().to_owned();
            match plan.warnings(&request, 0, 0) {
                Some(warning) => format!("{index}\n{warning}"),
                None => index,
            }
        }
        Err(error) => error,
    };
    assert_eq!(chosen, expected, "{request}");
}

const UNINDEXED: &str =
    "_all_docs\nNo matching index found, create an index to optimize query time.";

#[test]
fn an_index_is_chosen_whose_fields_must_all_be_there() {
    check(r#"{"selector":{"age":30}}"#, "age");
    check(r#"{"selector":{"company":"a"}}"#, UNINDEXED);
    check(r#"{"selector":{"company":"a","manager":{"$exists":false}}}"#, UNINDEXED);
    check(r#"{"selector":{"company":"a","manager":true}}"#, "company");
    check(r#"{"selector":{"manager":{"$exists":true}}}"#, "manager");
    check(r#"{"selector":{"manager":{"$regex":"x"}}}"#, "manager");
    check(r#"{"selector":{"company":{"$gt":"a"},"$or":[{"manager":1},{"manager":2}]}}"#, "company");
    check(r#"{"selector":{"$or":[{"age":1},{"manager":2}]}}"#, UNINDEXED);
    check(r#"{"selector":{}}"#, UNINDEXED);
}

#[test]
fn the_index_that_narrows_most_fields_is_chosen_then_the_smallest_then_the_first() {
    check(r#"{"selector":{"name.first":"a","name.last":"b","age":{"$gt":1}}}"#, "age_and_name");
    check(r#"{"selector":{"name":{"first":"a","last":"b"}}}"#, "name");
    check(r#"{"selector":{"age":1,"name.first":{"$in":["a"]}}}"#, "age");
    check(r#"{"selector":{"age":1,"name.first":{"$exists":true}}}"#, "age_and_name");
    let two = &["b: x", "a: x", "c: x, y"];
    let (_, plan) = planned(r#"{"selector":{"x":1,"y":{"$ne":1}}}"#, two).unwrap();
    assert_eq!(plan.index.unwrap().name(), "a");
}

#[test]
fn a_sort_needs_an_index_in_its_order() {
    let none = "No index exists for this sort, try indexing by the sort fields.";
    check(r#"{"selector":{"age":{"$gt":1}},"sort":["age"]}"#, "age");
    check(r#"{"selector":{"age":{"$gt":1}},"sort":["age","name.first"]}"#, "age_and_name");
    check(r#"{"selector":{"age":30},"sort":["name.first"]}"#, "age_and_name");
    check(r#"{"selector":{"age":{"$gt":1}},"sort":["name.first"]}"#, none);
    check(r#"{"selector":{"company":{"$gt":null}},"sort":["company"]}"#, none);
    check(r#"{"selector":{"zz":1},"sort":["zz"]}"#, none);
    check(r#"{"selector":{"_id":{"$gt":null}},"sort":["_id"]}"#, UNINDEXED);
    check(r#"{"selector":{"zz":1},"sort":["_id"]}"#, none);
    // The sort itself makes documents have its fields.
    check(r#"{"selector":{"zz":1},"sort":[{"age":"desc"}]}"#, "age");
}

#[test]
fn a_named_index_is_used_if_it_can_be_and_passed_over_with_a_warning_if_not() {
    check(r#"{"selector":{"age":1,"name.first":"a"},"use_index":"age"}"#, "age");
    check(r#"{"selector":{"age":1},"use_index":"_design/age"}"#, "age");
    check(r#"{"selector":{"age":1},"use_index":["_design/age","age"]}"#, "age");
    check(
        r#"{"selector":{"age":1},"use_index":"company"}"#,
        "age\n_design/company was not used because it does not contain a valid index for this query.",
    );
    check(
        r#"{"selector":{"age":1},"use_index":["company","x"]}"#,
        "age\n_design/company, x was not used because it is not a valid index for this query.",
    );
    check(
        r#"{"selector":{"age":1},"use_index":"company","allow_fallback":false}"#,
        "_design/company specified by `use_index` could not be found or it is not suitable.",
    );
    check(
        r#"{"selector":{"age":1},"use_index":["company","x"],"allow_fallback":false}"#,
        "_design/company, x specified by `use_index` could not be found or it is not suitable.",
    );
    check(
        r#"{"selector":{"company":1},"allow_fallback":false}"#,
        "You must specify an index with the `use_index` parameter.",
    );
    check(r#"{"selector":{"age":1},"use_index":[],"allow_fallback":false}"#, "age");
}

#[test]
fn a_partial_index_is_used_only_when_it_is_named() {
    check(r#"{"selector":{"age":{"$gt":70}},"use_index":"old"}"#, "old");
    check(r#"{"selector":{"age":{"$gt":70}}}"#, "age");
}

#[test]
fn a_partition_is_asked_of_partitioned_indexes_and_the_rest_of_global_ones() {
    let lines = &["a*: x", "b: x"];
    let name = |request: &str| planned(request, lines).unwrap().1.index.unwrap().name().to_owned();
    assert_eq!(name(r#"{"selector":{"x":1}}"#), "b");
    assert_eq!(name(r#"{"selector":{"x":1},"partition":"p"}"#), "a");
    let request = FindRequest::parse(br#"{"selector":{"x":1},"sort":["y"],"partition":"p"}"#);
    let error = plan(&request.unwrap(), &indexes(lines), true, Purpose::Find).unwrap_err();
    assert_eq!(
        error.to_string(),
        "No partitioned index exists for this sort, try indexing by the sort fields."
    );
}

/// The range that is read of an index on a, b and c, and whether every row in it is found.
fn check_range(selector: &str, start: &str, end: &str, exact: bool) {
    let request = format!("{{\"selector\":{selector}}}");
    let lines = &["abc: a, b, c"];
    let (_, plan) = planned(&request, lines).unwrap();
    let request = FindRequest::parse(request.as_bytes()).unwrap();
    let database = DatabaseFacts { name: "db", partitioned: false };
    let explained: Value = serde_json::from_slice(&explain(&request, &plan, database)).unwrap();
    let arguments = &explained["mrargs"];
    let range = (arguments["start_key"].to_string(), arguments["end_key"].to_string());
    assert_eq!((range.0.as_str(), range.1.as_str()), (start, end), "{selector}");
    assert_eq!(plan.exact, exact, "{selector}");
}

#[test]
fn a_selector_becomes_a_range_of_an_index() {
    let all = r#""b":{"$exists":true},"c":{"$exists":true}"#;
    let rest = |a: &str| format!("{{\"a\":{a},{all}}}");
    check_range(&rest("1"), "[1]", r#"[1,"<MAX>"]"#, true);
    check_range(&rest(r#"{"$gt":1}"#), "[1]", r#"["<MAX>"]"#, true);
    check_range(&rest(r#"{"$gte":1,"$lt":5}"#), "[1]", r#"[5,"<MAX>"]"#, true);
    check_range(&rest(r#"{"$gt":1,"$gte":1,"$lte":7,"$lt":5}"#), "[1]", r#"[5,"<MAX>"]"#, true);
    check_range(&rest(r#"{"$ne":1}"#), "[]", r#"["<MAX>"]"#, false);
    check_range(&rest(r#"{"$gt":5,"$lt":1}"#), "null", "null", false);
    check_range(&rest(r#"{"$gt":5,"$lte":5}"#), "null", "null", false);
    check_range(&rest(r#"{"$gte":5,"$lte":5}"#), "[5]", r#"[5,"<MAX>"]"#, true);
    check_range(&rest(r#"{"$beginsWith":"x"}"#), r#"["x"]"#, "[\"x\u{FFFF}\",\"<MAX>\"]", false);
    check_range(r#"{"a":1,"b":2,"c":3}"#, "[1,2,3]", r#"[1,2,3,"<MAX>"]"#, true);
    check_range(r#"{"a":1,"b":{"$gt":2},"c":{"$gt":3}}"#, "[1,2,3]", r#"[1,"<MAX>"]"#, false);
    check_range(r#"{"a":1,"b":{"$regex":"x"},"c":3}"#, "[1]", r#"[1,"<MAX>"]"#, false);
    check_range(
        &format!("{{\"a\":{:?},{all}}}", "x".repeat(800)),
        &format!("[{:?}]", "x".repeat(800)),
        &format!("[{:?},\"<MAX>\"]", "x".repeat(800)),
        false,
    );
}

#[test]
fn ids_are_a_range_of_all_documents() {
    let ids = |selector: &str| {
        let request = format!("{{\"selector\":{selector}}}");
        planned(&request, &[]).unwrap().1.ranges.ids()
    };
    let some = |id: &str| Some(id.to_owned());
    assert_eq!(ids("{}"), Some((None, None)));
    assert_eq!(ids(r#"{"_id":"a"}"#), Some((some("a"), some("a"))));
    assert_eq!(ids(r#"{"_id":{"$gt":"a","$lte":"b"}}"#), Some((some("a"), some("b"))));
    assert_eq!(ids(r#"{"_id":{"$gt":null}}"#), Some((None, None)));
    assert_eq!(ids(r#"{"_id":{"$lt":{}}}"#), Some((None, None)));
    assert_eq!(ids(r#"{"_id":{"$lt":5}}"#), None);
    assert_eq!(ids(r#"{"_id":{"$gt":[]}}"#), None);
    assert_eq!(ids(r#"{"$and":[]}"#), None);
}

/// Whether an index on age and name.first holds all that is asked for.
fn covers(request: &str) -> bool {
    planned(request, &["i: age, name.first"]).unwrap().1.covering
}

#[test]
fn an_index_covers_what_asks_for_its_fields_only() {
    let selector = r#""selector":{"age":1,"name":{"first":"x"}}"#;
    assert!(covers(&format!(r#"{{{selector},"fields":["_id"]}}"#)));
    assert!(covers(&format!(r#"{{{selector},"fields":["name.first","age"]}}"#)));
    assert!(!covers(&format!(r#"{{{selector},"fields":["name"]}}"#)));
    assert!(!covers(&format!(r#"{{{selector},"fields":["_rev"]}}"#)));
    assert!(!covers(&format!(r#"{{{selector}}}"#)));
    assert!(!covers(r#"{"selector":{"age":1,"name.first":"x","z":1},"fields":["_id"]}"#));
    assert!(!covers(r#"{"selector":{"age":1,"name.first":"x"},"fields":["name\\.first"]}"#));
    assert!(covers(&format!(r#"{{{selector},"group":["age"]}}"#)));
    assert!(!covers(&format!(r#"{{{selector},"group":["paid"]}}"#)));
}

#[test]
fn scanning_much_for_little_is_warned_of() {
    let (request, plan) = planned(r#"{"selector":{"age":1}}"#, USERS).unwrap();
    assert_eq!(plan.warnings(&request, 10, 1), None);
    let warning = plan.warnings(&request, 11, 1).unwrap();
    assert!(warning.starts_with("The number of documents examined is high in proportion"));
    assert_eq!(plan.warnings(&request, 10, 0), None);
}

fn check_explained(request: &str, lines: &[&str], expected: &Expect) {
    let request = FindRequest::parse(request.as_bytes()).unwrap();
    let plan = plan(&request, &indexes(lines), false, Purpose::Explain).unwrap();
    let database = DatabaseFacts { name: "rec", partitioned: false };
    expected.assert_eq(&String::from_utf8(explain(&request, &plan, database)).unwrap());
}

#[test]
fn an_explanation_is_couchdbs() {
    // As recorded, but for the name of the index.
    check_explained(
        r#"{"selector":{"v":{"$gte":1}},"limit":3}"#,
        &["ix: v"],
        &expect![[
            r#"{"dbname":"rec","index":{"ddoc":"_design/ix","name":"ix","type":"json","partitioned":false,"def":{"fields":[{"v":"asc"}]}},"partitioned":false,"selector":{"v":{"$gte":1}},"opts":{"use_index":[],"bookmark":"nil","limit":3,"skip":0,"sort":{},"fields":[],"partition":"","r":1,"conflicts":false,"stale":false,"update":true,"stable":false,"execution_stats":false,"allow_fallback":true},"limit":3,"skip":0,"fields":[],"index_candidates":[{"index":{"ddoc":null,"name":"_all_docs","type":"special","def":{"fields":[{"_id":"asc"}]}},"analysis":{"usable":true,"reasons":[{"name":"unfavored_type"}],"ranking":1,"covering":null}}],"selector_hints":[{"type":"json","indexable_fields":["v"],"unindexable_fields":[]}],"mrargs":{"include_docs":true,"view_type":"map","reduce":false,"partition":null,"start_key":[1],"end_key":["<MAX>"],"direction":"fwd","stable":false,"update":true,"conflicts":"undefined"},"covering":false}"#
        ]],
    );
}

#[test]
fn an_explanation_says_why_the_others_were_not_chosen() {
    let request = FindRequest::parse(
        br#"{"selector":{"age":{"$gt":1},"name.first":{"$regex":"x"}},"sort":[{"age":"desc"}],"fields":["age"],"use_index":["age"]}"#,
    )
    .unwrap();
    let plan = plan(&request, &indexes(USERS), false, Purpose::Explain).unwrap();
    let database = DatabaseFacts { name: "db", partitioned: false };
    let explained: Value = serde_json::from_slice(&explain(&request, &plan, database)).unwrap();
    let candidates = explained["index_candidates"].as_array().unwrap().iter();
    let candidates: Vec<_> =
        candidates.map(|it| format!("{} {}", it["index"]["name"], it["analysis"])).collect();
    expect![[r#"
        "old" {"covering":true,"ranking":3,"reasons":[{"name":"is_partial"}],"usable":false}
        "name" {"covering":false,"ranking":2,"reasons":[{"name":"field_mismatch"}],"usable":false}
        "manager" {"covering":false,"ranking":2,"reasons":[{"name":"field_mismatch"}],"usable":false}
        "company" {"covering":false,"ranking":2,"reasons":[{"name":"field_mismatch"}],"usable":false}
        "age_and_name" {"covering":true,"ranking":1,"reasons":[{"name":"excluded_by_user"}],"usable":true}
        "_all_docs" {"covering":null,"ranking":2,"reasons":[{"name":"field_mismatch"}],"usable":false}"#]]
    .assert_eq(&candidates.join("\n"));
    assert_eq!(explained["mrargs"]["start_key"].to_string(), r#"["<MAX>"]"#);
    assert_eq!(explained["mrargs"]["end_key"].to_string(), "[1]");
    assert_eq!(explained["mrargs"]["direction"], "rev");
    assert_eq!(explained["opts"]["sort"].to_string(), r#"{"age":"desc"}"#);
    assert_eq!(
        explained["selector_hints"][0]["unindexable_fields"].to_string(),
        r#"["name.first"]"#
    );
}

#[test]
fn an_explanation_needs_no_usable_index() {
    check_explained(
        r#"{"selector":{"a":1},"sort":["b"]}"#,
        &[],
        &expect![[
            r#"{"dbname":"rec","index":null,"partitioned":false,"selector":{"a":{"$eq":1}},"opts":{"use_index":[],"bookmark":"nil","limit":25,"skip":0,"sort":{"b":"asc"},"fields":[],"partition":"","r":1,"conflicts":false,"stale":false,"update":true,"stable":false,"execution_stats":false,"allow_fallback":true},"limit":25,"skip":0,"fields":[],"index_candidates":[{"index":{"ddoc":null,"name":"_all_docs","type":"special","def":{"fields":[{"_id":"asc"}]}},"analysis":{"usable":false,"reasons":[{"name":"field_mismatch"}],"ranking":1,"covering":null}}],"selector_hints":[{"type":"json","indexable_fields":["a"],"unindexable_fields":[]}]}"#
        ]],
    );
}

#[test]
fn requests_are_refused_in_couchdbs_words() {
    for (request, reason) in [
        ("[]", "Request body must be a JSON object"),
        ("{}", "Missing required key: selector"),
        (r#"{"selector":1}"#, "Selector must be a JSON object, not: 1"),
        (r#"{"selector":{},"limit":-1}"#, "-1 is not an integer greater than or equal to zero"),
        (r#"{"selector":{},"limit":1.0}"#, "1.0 is not an integer greater than or equal to zero"),
        (r#"{"selector":{},"skip":"a"}"#, "<<97>> is not an integer greater than or equal to zero"),
        (r#"{"selector":{},"r":0}"#, "0 is not an integer greater than zero"),
        (r#"{"selector":{},"conflicts":1}"#, "Invalid boolean value: 1"),
        (r#"{"selector":{},"sort":{}}"#, "Sort must be an array of sort specs, not: {[]}"),
        (r#"{"selector":{},"sort":[{"a":"up"}]}"#, {
            "Invalid sort field: {[{<<\"a\">>,<<\"up\">>}]}"
        }),
        (r#"{"selector":{},"sort":["a",{"b":"desc"}]}"#, {
            "Sorts currently only support a single direction for all fields."
        }),
        (r#"{"selector":{},"fields":"a"}"#, "Fields must be an array of strings, not: <<97>>"),
        (r#"{"selector":{},"fields":[1]}"#, "Invalid JSON for field spec: 1"),
        (r#"{"selector":{},"fields":["a..b"]}"#, "Invalid field name: a..b"),
        (r#"{"selector":{},"use_index":"a/b/c"}"#, { "Invalid index name: <<97,47,98,47,99>>" }),
        (r#"{"selector":{},"use_index":["a","b","c"]}"#, {
            "Invalid index name: [<<97>>,<<98>>,<<99>>]"
        }),
        (r#"{"selector":{},"bookmark":1}"#, "Invalid bookmark value: 1"),
        (r#"{"selector":{},"nope":1}"#, "Invalid key nope for this request."),
        (r#"{"selector":{},"join":[{"from":"a","to":"_id","as":"_x"}]}"#, {
            "`as` of a join must not begin with an underscore"
        }),
        (r#"{"selector":{},"join":[{"from":"a","as":"x"}]}"#, {
            "a join needs a field's name in `to`"
        }),
    ] {
        assert_eq!(FindRequest::parse(request.as_bytes()).unwrap_err().to_string(), reason);
    }
}

#[test]
fn a_document_is_indexed_if_it_has_all_fields_and_is_selected() {
    let index = MangoIndex::parse(
        br#"{"fields":{"b.c":"asc","a":"asc"},"partial_filter_selector":{"x":{"$ne":1}}}"#,
    )
    .unwrap();
    let key = |document: &str| {
        let mut key = Vec::new();
        index.push_key(&mut key, document.as_bytes()).then(|| String::from_utf8(key).unwrap())
    };
    assert_eq!(key(r#"{"_id":"1","a":1.0,"b":{"c":[{}]},"x":0}"#).as_deref(), Some("[[{}],1.0]"),);
    assert_eq!(key(r#"{"_id":"1","a":null,"b":{"c":"é"},"x":0}"#).as_deref(), Some("[\"é\",null]"));
    assert_eq!(key(r#"{"_id":"1","a":1,"b":{},"x":0}"#), None);
    assert_eq!(key(r#"{"_id":"1","a":1,"b":{"c":1},"x":1}"#), None);
    assert_eq!(key(r#"{"_id":"1","a":1,"b":{"c":1}}"#), None);
    assert_eq!(key(r#"{"_id":"_design/1","a":1,"b":{"c":1},"x":0}"#), None);
}

#[test]
fn what_is_no_index_definition_is_none() {
    for map in ["\"function(doc) {}\"", "{}", r#"{"fields":["a"]}"#, r#"{"fields":{"a..b":"asc"}}"#]
    {
        assert!(NamedIndex::of_view("_design/a", "a", map.as_bytes(), false).is_none(), "{map}");
    }
}

fn created(request: &str) -> IndexCreation {
    IndexCreation::parse(request.as_bytes()).unwrap()
}

fn written(edit: DesignEdit) -> String {
    match edit {
        DesignEdit::Write(body) => String::from_utf8(body).unwrap(),
        DesignEdit::Unchanged | DesignEdit::Delete => panic!("{edit:?}"),
    }
}

#[test]
fn an_index_is_laid_out_as_couchdb_does() {
    let creation = created(r#"{"index":{"fields":["v"]},"name":"by-v","ddoc":"ix"}"#);
    assert_eq!((creation.ddoc.as_str(), creation.name.as_str()), ("_design/ix", "by-v"));
    let body = written(creation.edit(None).unwrap());
    assert_eq!(
        body,
        r#"{"language":"query","views":{"by-v":{"map":{"fields":{"v":"asc"},"partial_filter_selector":{}},"reduce":"_count","options":{"def":{"fields":["v"]}}}}}"#
    );
    assert_eq!(creation.edit(Some(body.as_bytes())).unwrap(), DesignEdit::Unchanged);

    let second = created(
        r#"{"index":{"fields":[{"a":"desc"}],"partial_filter_selector":{"s":{"$not":{"$eq":1}}}},"name":"n","ddoc":"_design/ix"}"#,
    );
    let both = written(second.edit(Some(body.as_bytes())).unwrap());
    let views = both.strip_prefix(body.strip_suffix("}}").unwrap()).unwrap();
    assert_eq!(
        views,
        r#","n":{"map":{"fields":{"a":"desc"},"partial_filter_selector":{"s":{"$ne":1}}},"reduce":"_count","options":{"def":{"fields":[{"a":"desc"}],"partial_filter_selector":{"s":{"$not":{"$eq":1}}}}}}}}"#
    );

    assert_eq!(without_index(both.as_bytes(), "n"), Some(DesignEdit::Write(body.into_bytes())));
    assert_eq!(without_index(both.as_bytes(), "m"), None);
}

#[test]
fn the_last_index_takes_its_design_document_with_it() {
    let body = written(created(r#"{"index":{"fields":["v"]}}"#).edit(None).unwrap());
    let name = created(r#"{"index":{"fields":["v"]}}"#).name;
    assert_eq!(without_index(body.as_bytes(), &name), Some(DesignEdit::Delete));
    let more = body.replacen("{\"language\"", "{\"x\":1,\"language\"", 1);
    assert_eq!(
        without_index(more.as_bytes(), &name),
        Some(DesignEdit::Write(br#"{"x":1,"language":"query"}"#.to_vec()))
    );
}

#[test]
fn an_index_without_a_name_has_couchdbs() {
    let creation = created(r#"{"index":{"fields":["age"]},"name":"age","type":"json","w":3}"#);
    // Without `partitioned`, which came later, it would be the name in CouchDB's `01_index_crud`.
    assert_eq!(creation.ddoc, "_design/39e5d7fc94ce74fc5ed0b10975943a7bf3746eae");
}

#[test]
fn whether_an_index_is_partitioned_is_settled_with_its_design_document() {
    let global =
        created(r#"{"index":{"fields":["v"]},"ddoc":"ix","name":"a","partitioned":false}"#);
    let body = written(global.edit(None).unwrap());
    assert!(body.ends_with(r#","options":{"partitioned":false}}"#), "{body}");
    assert_eq!(global.edit(Some(body.as_bytes())).unwrap(), DesignEdit::Unchanged);
    let other = created(r#"{"index":{"fields":["v"]},"ddoc":"ix","name":"a","partitioned":true}"#);
    assert_eq!(
        other.edit(Some(body.as_bytes())).unwrap_err().to_string(),
        "Requested partitioned option does not match existing value on design document _design/ix"
    );
}

#[test]
fn definitions_are_refused_in_couchdbs_words() {
    for (request, reason) in [
        ("{}", "Missing required key: index"),
        (r#"{"index":1}"#, "JSON indexes must be an object, not: 1"),
        (r#"{"index":{}}"#, "Missing required key: fields"),
        (r#"{"index":{"fields":"a"}}"#, "Sort must be an array of sort specs, not: <<\"a\">>"),
        (r#"{"index":{"fields":[""]}}"#, "Invalid sort field: <<>>"),
        (r#"{"index":{"fields":["a"],"x":1}}"#, "Invalid key x for this request."),
        (r#"{"index":{"fields":["a"]},"x":1}"#, "Invalid key x for this request."),
        (r#"{"index":{"fields":["a"]},"name":""}"#, "Index name or ddoc cannot be empty string"),
        (r#"{"index":{"fields":["a"]},"ddoc":1}"#, "Invalid string: 1"),
        (r#"{"index":{"fields":["a"]},"type":"geo"}"#, "Invalid type for index: geo"),
        (r#"{"index":{"fields":["a"]},"type":"text"}"#, "text"),
        (r#"{"index":{"fields":["a"]},"partitioned":1}"#, "Invalid value for partitioned: 1"),
        (r#"{"index":{"fields":["a"],"partial_filter_selector":{"$x":1}}}"#, {
            "Invalid operator: $x"
        }),
    ] {
        assert_eq!(IndexCreation::parse(request.as_bytes()).unwrap_err().to_string(), reason);
    }
    let creation = created(r#"{"index":{"fields":["a"]},"ddoc":"x"}"#);
    assert_eq!(
        creation.edit(Some(b"{\"views\":{}}")).unwrap_err().to_string(),
        "Existing design doc has an invalid language: false"
    );
}

#[test]
fn design_documents_are_named_for_deletion() {
    assert_eq!(
        parse_bulk_delete(br#"{"docids":["a","_design/b"],"w":3}"#).unwrap(),
        ["_design/a", "_design/b"]
    );
    assert_eq!(
        parse_bulk_delete(br#"{"docids":"a"}"#).unwrap_err().to_string(),
        "Bulk Delete requires an array of non-null docids. Docids: <<97>>"
    );
    assert!(parse_bulk_delete(br#"{"docids":[1]}"#).is_err());
}

#[test]
fn indexes_are_listed_with_all_documents_first() {
    let lines =
        &["b: v, w", r#"a: {"fields":{"v":"desc"},"partial_filter_selector":{"a":{"$eq":1}}}"#];
    let listed = String::from_utf8(list_json(&indexes(lines), 0, None)).unwrap();
    assert_eq!(
        listed,
        r#"{"total_rows":3,"indexes":[{"ddoc":null,"name":"_all_docs","type":"special","def":{"fields":[{"_id":"asc"}]}},{"ddoc":"_design/a","name":"a","type":"json","partitioned":false,"def":{"fields":[{"v":"desc"}],"partial_filter_selector":{"a":{"$eq":1}}}},{"ddoc":"_design/b","name":"b","type":"json","partitioned":false,"def":{"fields":[{"v":"asc"},{"w":"asc"}]}}]}"#
    );
    assert_eq!(list_json(&indexes(lines), 3, Some(1)), br#"{"total_rows":3,"indexes":[]}"#);
}
