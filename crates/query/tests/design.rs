//! Design documents: what may be saved, what is read, and which definitions share an index.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;
use settle_query::{
    collate::Collation,
    design::{
        self, Design, Language, MapSource, ReduceSource, Rewrites, Validation, ViewError,
        ViewPlace, check_save,
    },
    reduce::Native,
};

fn parse(body: &str) -> Design {
    let minified = settle_model::json::minify(body.as_bytes()).unwrap();
    design::parse("d", &minified).unwrap()
}

fn signature(body: &str) -> [u8; 16] {
    parse(body).index(false).unwrap().signature
}

#[test]
fn documents_are_saved_or_refused_in_couchdbs_words() {
    let check = |body: &str, expected: &str| {
        let minified = settle_model::json::minify(body.as_bytes()).unwrap();
        let found =
            check_save(&minified, false).map_or_else(|error| error.to_string(), |()| "ok".into());
        assert_eq!(found, expected, "{body}");
    };
    check("{}", "ok");
    check(r#"{"views": {}}"#, "ok");
    check(r#"{"views": {"v": {"map": "f"}}, "anything": 1}"#, "ok");
    check(r#"{"views": {"v": {"map": "f", "reduce": "g"}}}"#, "ok");
    check(r#"{"views": {"v": {"map": "f"}, "lib": {"a": 1, "b": {"c": "x"}}}}"#, "ok");
    check(r#"{"options": {"option1": "x"}}"#, "ok");
    check(r#"{"filters": {"f": "x", "g": {"h": "y"}}}"#, "ok");
    check(r#"{"rewrites": "function(req) {}"}"#, "ok");
    check(r#"{"rewrites": []}"#, "ok");
    check(r#"{"validate_doc_update": {"newDoc.type": "a"}, "language": "query"}"#, "ok");
    check(
        r#"{"language": "query", "views": {"v": {"map": {"fields": {"a": "asc"}}, "reduce": "_count"}}}"#,
        "ok",
    );
    check(r#"{"language": "erlang", "views": {"v": {"map": "f", "reduce": "_product"}}}"#, "ok");

    check("1", "design document must be an object");
    check(r#"{"options": "invalid"}"#, "`options` field must have object type");
    check(r#"{"options": {"local_seq": 1}}"#, "`options.local_seq` field must have boolean type");
    check(r#"{"filters": "x"}"#, "`filters` field must have object type");
    check(r#"{"filters": {"a": 1}}"#, "`filters.a` field must have string or object type");
    check(r#"{"lists": null}"#, "`lists` field must have object type");
    check(r#"{"shows": []}"#, "`shows` field must have object type");
    check(r#"{"updates": {"a": []}}"#, "`updates.a` field must have string or object type");
    check(r#"{"language": 1}"#, "`language` field must have string type");
    check(
        r#"{"validate_doc_update": 1}"#,
        "`validate_doc_update` field must have object or string type",
    );
    check(r#"{"rewrites": 42}"#, "`rewrites` field must have array or string type");
    check(r#"{"views": "x"}"#, "`views` field must have object type");
    check(r#"{"views": {"lib": 1}}"#, "`views.lib` field must have object type");
    check(r#"{"views": {"v": 1}}"#, "`views.v` field must have object type");
    check(r#"{"views": {"v": {}}}"#, "View `v` must contain map function");
    check(r#"{"views": {"v": {"map": {}}}}"#, "`views.v.map` field must have string type");
    check(
        r#"{"language": "query", "views": {"v": {"map": "f"}}}"#,
        "`views.v.map` field must have object type",
    );
    check(
        r#"{"views": {"v": {"map": "f", "reduce": null}}}"#,
        "`views.v.reduce` field must have string type",
    );
    check(
        r#"{"views": {"v": {"map": "f", "reduce": "_foobar"}}}"#,
        "`_foobar` is not a supported reduce function.",
    );
    check(
        r#"{"views": {"v": {"map": "f", "reduce": "_top_101"}}}"#,
        "rank value must be between 1 and 100",
    );
    check(r#"{"views": {"v": {"map": "f", "reduce": "_bottom_x"}}}"#, "invalid rank reducer");
    check(
        r#"{"options": {"partitioned": true}}"#,
        "partitioned option cannot be true in a non-partitioned database.",
    );
    check(r#"{"schemas": {}}"#, "`schemas` field must have array type");
    check(r#"{"schemas": [{"selector": {}}]}"#, "`schemas.0.schema` field is missing");
    check(
        r#"{"schemas": [{"selector": 1, "schema": {}}]}"#,
        "`schemas.0.selector` field must have object type",
    );
    check(
        r#"{"schemas": [{"selector": {}, "schema": 1}]}"#,
        "`schemas.0.schema` field must have object or boolean type",
    );
}

#[test]
fn a_partitioned_design_document_is_saved_in_a_partitioned_database() {
    check_save(br#"{"options":{"partitioned":true}}"#, true).unwrap();
}

#[test]
fn views_with_the_same_map_share_its_rows() {
    let design = parse(
        r#"{"views": {
            "sum": {"map": "b", "reduce": "_sum"},
            "rows": {"map": "b"},
            "own": {"map": "b", "reduce": "function(k, v) {}"},
            "again": {"map": "b", "reduce": "_sum\n"},
            "raw": {"map": "b", "options": {"collation": "raw"}},
            "other": {"map": "a", "reduce": "_count"},
            "lib": {"map": "not a view"}
        }}"#,
    );
    let index = design.index(false).unwrap();
    let shown: Vec<_> = index
        .maps
        .iter()
        .map(|it| (it.source.clone(), it.collation, it.reducers.clone()))
        .collect();
    let script = |source: &str| MapSource::Script(source.into());
    assert_eq!(
        shown,
        [
            (script("a"), Collation::Unicode, vec![ReduceSource::Native(Native::Count)]),
            (
                script("b"),
                Collation::Unicode,
                vec![
                    ReduceSource::Native(Native::Sum),
                    ReduceSource::Script("function(k, v) {}".into()),
                ]
            ),
            (script("b"), Collation::Raw, vec![]),
        ]
    );
    assert_eq!(design.view("sum"), Ok(ViewPlace { map: 1, reducer: Some(0) }));
    assert_eq!(design.view("again"), Ok(ViewPlace { map: 1, reducer: Some(0) }));
    assert_eq!(design.view("own"), Ok(ViewPlace { map: 1, reducer: Some(1) }));
    assert_eq!(design.view("rows"), Ok(ViewPlace { map: 1, reducer: None }));
    assert_eq!(design.view("raw"), Ok(ViewPlace { map: 2, reducer: None }));
    assert_eq!(design.view("other"), Ok(ViewPlace { map: 0, reducer: Some(0) }));
    assert_eq!(design.view("lib"), Err(ViewError::Missing));
    assert_eq!(design.view("none"), Err(ViewError::Missing));
}

#[test]
fn equal_definitions_have_equal_signatures() {
    let one = signature(
        r#"{"views": {"a": {"map": "m", "reduce": "_sum"}, "b": {"map": "n"},
            "lib": {"x": "1", "y": {"p": "2", "q": "3"}}}, "filters": {"f": "g"}}"#,
    );
    let other = signature(
        r#"{"language": "javascript", "options": {"timestamps": true, "unknown": 1}, "autoupdate": false,
            "views": {"lib": {"y": {"q": "3", "p": "2"}, "x": "1"},
            "d": {"map": "n"}, "c": {"reduce": "_sum", "map": "\u006d"}, "e": {"map": "m"}}}"#,
    );
    assert_eq!(one, other);
}

#[test]
fn other_definitions_have_other_signatures() {
    let all = [
        r#"{"views": {"a": {"map": "m"}}}"#,
        r#"{"views": {"a": {"map": "mm"}}}"#,
        r#"{"views": {"a": {"map": "m"}, "b": {"map": "n"}}}"#,
        r#"{"views": {"a": {"map": "m", "reduce": "_sum"}}}"#,
        r#"{"views": {"a": {"map": "m", "reduce": "_count"}}}"#,
        r#"{"views": {"a": {"map": "m", "reduce": "_top_1"}}}"#,
        r#"{"views": {"a": {"map": "m", "reduce": "_top_2"}}}"#,
        r#"{"views": {"a": {"map": "m", "reduce": "sum"}}}"#,
        r#"{"views": {"a": {"map": "m", "options": {"collation": "raw"}}}}"#,
        r#"{"views": {"a": {"map": "m"}, "lib": {"x": "1"}}}"#,
        r#"{"views": {"a": {"map": "m"}, "lib": {"x": "2"}}}"#,
        r#"{"views": {"a": {"map": "m"}}, "options": {"local_seq": true}}"#,
        r#"{"views": {"a": {"map": "m"}}, "options": {"include_design": true}}"#,
        r#"{"language": "query", "views": {"a": {"map": {"fields": {"m": "asc"}}}}}"#,
        r#"{"language": "query", "views": {"a": {"map": {"fields": {"n": "asc"}}}}}"#,
    ];
    let signatures: std::collections::BTreeSet<_> = all.iter().map(|it| signature(it)).collect();
    assert_eq!(signatures.len(), all.len());
    let partitioned = parse(all[0]).index(true).unwrap();
    assert!(partitioned.partitioned && !signatures.contains(&partitioned.signature));
    let global = parse(r#"{"views": {"a": {"map": "m"}}, "options": {"partitioned": false}}"#);
    assert_eq!(global.index(true).unwrap().signature, signature(all[0]));
}

/// An index outlives the program that built it.
#[test]
fn a_signature_stays_what_it_was() {
    let body = r#"{"views": {"a": {"map": "m", "reduce": "_top_3"}, "lib": {"x": "1"}}}"#;
    expect_test::expect!["a6a42266a2a848dd239bc431ef198da1"]
        .assert_eq(&hex::encode(signature(body)));
}

#[test]
fn a_broken_member_breaks_only_itself() {
    let design = parse(
        r#"{"language": 7, "options": 1, "filters": {"good": "f", "bad": 1}, "updates": [],
            "validate_doc_update": 5, "rewrites": {}, "autoupdate": "no",
            "schemas": [1, {"selector": {}, "schema": true}, {"selector": {}}],
            "views": {"good": {"map": "m"}, "none": {}, "odd": 3, "map": {"map": 1},
                "reduce": {"map": "m", "reduce": "_product"}, "type": {"map": "m", "reduce": 1}}}"#,
    );
    assert_eq!(design.language, Language::JavaScript);
    assert!(design.autoupdate);
    assert_eq!(design.filters.keys().collect::<Vec<_>>(), ["good"]);
    assert!(design.updates.is_empty());
    assert_eq!((design.validate.as_ref(), design.rewrites.as_ref()), (None, None));
    assert_eq!(design.schemas.len(), 1);
    assert_eq!(design.view("good"), Ok(ViewPlace { map: 0, reducer: None }));
    for missing in ["none", "odd", "map"] {
        assert_eq!(design.view(missing), Err(ViewError::Missing), "{missing}");
    }
    assert_eq!(
        design.view("reduce").unwrap_err().to_string(),
        "`_product` is not a supported reduce function."
    );
    assert_eq!(
        design.view("type").unwrap_err().to_string(),
        "`views.type.reduce` field must have string type"
    );
    assert_eq!(design.index(false).unwrap().maps.len(), 1);
}

#[test]
fn mango_indexes_are_found_with_their_definitions() {
    let design = parse(
        r#"{"language": "query", "validate_doc_update": {"newDoc.a": 1}, "views": {
            "by-a": {"map": {"fields": {"a": "asc"}, "partial_filter_selector": {}},
                "reduce": "_count", "options": {"def": {"fields": ["a"]}}},
            "bad": {"map": "function"}}}"#,
    );
    let views: Vec<_> = design.mango_views().collect();
    assert_eq!(views.len(), 1);
    assert_eq!(views[0].name, "by-a");
    assert_eq!(views[0].map, br#"{"fields":{"a":"asc"},"partial_filter_selector":{}}"#);
    assert_eq!(views[0].def, Some(br#"{"fields":["a"]}"#.as_slice()));
    assert_eq!(design.view("by-a"), Ok(ViewPlace { map: 0, reducer: Some(0) }));
    assert_eq!(design.validate, Some(Validation::Selector(br#"{"newDoc.a":1}"#.as_slice().into())));
}

#[test]
fn functions_are_read_with_their_escapes() {
    let design = parse(
        r#"{"lists": {"l": "a\nb"}, "shows": {"s": "\u0041"}, "validate_doc_update": "v",
            "rewrites": [{"from": "a"}], "autoupdate": false,
            "options": {"local_seq": true, "include_design": true, "timestamps": true}}"#,
    );
    assert_eq!(&*design.lists["l"], "a\nb");
    assert_eq!(&*design.shows["s"], "A");
    assert_eq!(design.validate, Some(Validation::Script("v".into())));
    assert_eq!(design.rewrites, Some(Rewrites::Rules(br#"[{"from":"a"}]"#.as_slice().into())));
    assert!(!design.autoupdate);
    let options = design.options;
    assert!(options.local_seq && options.include_design && options.timestamps);
    assert_eq!(options.partitioned, None);
    assert_eq!(design.index(false), None);
}

#[test]
fn documents_in_other_languages_have_no_index() {
    let design = parse(r#"{"language": "erlang", "views": {"v": {"map": "fun"}}}"#);
    assert_eq!(design.index(false), None);
    assert_eq!(design.view("v").unwrap_err().to_string(), "unknown query language \"erlang\"");
}

proptest! {
    /// What may be saved has every view that it names.
    #[test]
    fn saved_views_are_found(names in prop::collection::btree_map("[a-z]{1,3}", "[ab]", 0..6)) {
        let views: Vec<_> = names
            .iter()
            .map(|(name, map)| format!(r#""{name}":{{"map":"{map}","reduce":"_sum"}}"#))
            .collect();
        let body = format!(r#"{{"views":{{{}}}}}"#, views.join(","));
        prop_assume!(!names.contains_key("lib"));
        prop_assert!(check_save(body.as_bytes(), false).is_ok());
        let design = parse(&body);
        let maps = design.index(false).map(|it| it.maps).unwrap_or_default();
        prop_assert!(maps.len() <= 2);
        for (name, map) in &names {
            let place = design.view(name).unwrap();
            prop_assert_eq!(&maps[place.map].source, &MapSource::Script(map.as_str().into()));
            prop_assert_eq!(place.reducer, Some(0));
        }
    }
}
