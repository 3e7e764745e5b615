//! What selectors select, as CouchDB's own tests say it.
//!
//! Source: the tests in `mango_selector.erl`, and of the Mango suite.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use settle_query::selector::Selector;

/// Which values of the field `x` a condition accepts, and that its negation accepts the others.
fn check(condition: &str, accepted: &[&str], refused: &[&str]) {
    let plain = parse(&format!("{{\"x\":{condition}}}"));
    let negated = parse(&format!("{{\"x\":{{\"$not\":{condition}}}}}"));
    for (values, wanted) in [(accepted, true), (refused, false)] {
        for value in values {
            let document = format!("{{\"x\":{value}}}");
            assert_eq!(plain.matches(document.as_bytes()), wanted, "{condition} {value}");
            assert_eq!(negated.matches(document.as_bytes()), !wanted, "not {condition} {value}");
        }
    }
}

fn parse(selector: &str) -> Selector {
    Selector::parse(selector.as_bytes()).unwrap()
}

fn selects(selector: &str, document: &str) -> bool {
    parse(selector).matches(document.as_bytes())
}

fn refused(selector: &str, reason: &str) {
    let error = Selector::parse(selector.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), reason, "{selector}");
}

fn normal(selector: &str, expected: &str) {
    let json = parse(selector).to_json();
    assert_eq!(String::from_utf8(json).unwrap(), expected);
}

#[test]
fn values_compare_as_they_collate() {
    check(r#"{"$lt":5}"#, &["4", "null", "true"], &["5", "5.0", "6", r#""a""#]);
    check(r#"{"$lt":"hello"}"#, &[r#""held""#, "7"], &[r#""hello""#, r#""help""#]);
    check(r#"{"$lt":[1,2,3]}"#, &["[1,2,2]", "[1,2]"], &["[1,2,3]", "[1,2,4]", "[1,3]"]);
    check(r#"{"$lte":5}"#, &["4", "5", "5.0"], &["6"]);
    check(r#"{"$lte":[1,2,3]}"#, &["[1,2]", "[1,2,3]"], &["[1,2,4]", "[1,3]"]);
    check(r#"{"$gt":"hello"}"#, &[r#""help""#, "[]", "{}"], &[r#""held""#, r#""hello""#]);
    check(r#"{"$gte":5}"#, &["5", "6"], &["4"]);
    check(r#"{"$gt":"a"}"#, &[r#""A""#, r#""ä""#, r#""b""#], &[r#""a""#, r#""_""#]);
    check(r#"{"$gt":null}"#, &["false", "0"], &["null"]);
}

#[test]
fn equal_is_what_collates_alike() {
    check(r#"{"$eq":5}"#, &["5", "5.0", "5e0"], &["6", r#""5""#]);
    check(r#"{"$eq":"hello"}"#, &[r#""hello""#, r#""h\u0065llo""#], &[r#""help""#, r#""Hello""#]);
    check(r#"{"$eq":[1,[2,3,4],5]}"#, &["[1,[2,3,4],5]"], &["[1,[2,3,4]]", "[1,[2,7,4],5]"]);
    check(
        r#"{"$eq":{"a":{"b":{"c":7}}}}"#,
        &[r#"{"a":{"b":{"c":7}}}"#],
        &[r#"{"a":{"b":{"c":8}}}"#, r#"{"a":{"d":{"c":7}}}"#],
    );
    check(r#"{"$ne":5}"#, &["6"], &["5"]);
    check(r#"{"$eq":"é"}"#, &[r#""é""#, r#""e\u0301""#], &[r#""e""#]);
}

#[test]
fn a_condition_needs_the_field_and_so_does_its_negation() {
    for selector in [
        r#"{"x":{"$ne":5}}"#,
        r#"{"$not":{"x":5}}"#,
        r#"{"x":{"$nin":[5]}}"#,
        r#"{"x":{"$not":{"$regex":"a"}}}"#,
        r#"{"x":{"$lt":5}}"#,
        r#"{"x":null}"#,
        r#"{"x.y":{"$exists":true}}"#,
    ] {
        assert!(!selects(selector, "{}"), "{selector}");
    }
    assert!(selects(r#"{"x":{"$not":{"$exists":true,"$eq":0}}}"#, "{}"));
}

#[test]
fn whether_a_field_exists_is_asked_of_objects_only() {
    assert!(selects(r#"{"x":{"$exists":false}}"#, r#"{"y":0}"#));
    assert!(selects(r#"{"x.y":{"$exists":false}}"#, r#"{"x":{}}"#));
    assert!(!selects(r#"{"x.y":{"$exists":false}}"#, r#"{"x":1}"#));
    assert!(!selects(r#"{"x":{"$exists":false}}"#, r#"{"x":null}"#));
    assert!(selects(r#"{"x":{"$exists":true}}"#, r#"{"x":null}"#));
}

#[test]
fn one_of_several_values_is_looked_for_in_arrays_too() {
    check(r#"{"$in":[]}"#, &[], &["0", "true", "[]", r#""foo""#]);
    let values = r#"[42,false,"bar",[["nested"],"list"],{"b":2}]"#;
    let found: &[&str] =
        &["42", "false", r#""bar""#, r#"{"b":2}"#, "[0,42]", r#"[0,[["nested"],"list"]]"#];
    let others: &[&str] = &["43", "true", r#"{"b":2,"c":3}"#, r#"[["nested"],"list"]"#];
    check(&format!("{{\"$in\":{values}}}"), found, others);
    check(&format!("{{\"$nin\":{values}}}"), others, found);
    check(r#"{"$nin":[]}"#, &["0", "[]"], &[]);
}

#[test]
fn all_means_each_of_them_exactly_or_the_one_array() {
    check(r#"{"$all":[]}"#, &[], &["[]", "[42]", "{}"]);
    check(r#"{"$all":[1,2,3]}"#, &["[3,2,1]", "[0,3,5,2,1]"], &["[3,2]", "[]", "[1.0,2,3]", "1"]);
    check(r#"{"$all":[[1,2]]}"#, &["[1,2]", "[5,[1,2]]"], &["[2,1]", "[5,[2,1]]", "[]"]);
    check(r#"{"$all":["hello"]}"#, &[r#"["hello"]"#, r#"[0,"hello"]"#], &[r#""hello""#, "[]"]);
    check(r#"{"$all":[{"a":1}]}"#, &[r#"[{"a":1}]"#], &[r#"[{"a":1,"b":2}]"#]);
}

#[test]
fn types_have_names() {
    check(r#"{"$type":"null"}"#, &["null"], &["false", "{}"]);
    check(r#"{"$type":"boolean"}"#, &["true", "false"], &["0"]);
    check(r#"{"$type":"number"}"#, &["42", "-3.14", "0"], &["true", "[1]", r#""1""#]);
    check(r#"{"$type":"string"}"#, &[r#""""#, r#""hello""#], &["[]"]);
    check(r#"{"$type":"array"}"#, &["[]", "[1,2]"], &["{}", r#""hi""#]);
    check(r#"{"$type":"object"}"#, &["{}", r#"{"a":1}"#], &[r#"[{"a":1}]"#, "null"]);
    check(r#"{"$type":"thing"}"#, &[], &["null"]);
}

#[test]
fn strings_are_searched_and_others_are_not() {
    check(r#"{"$regex":"^[0-9a-f]+$"}"#, &[r#""3a0df5e""#], &[r#""""#, r#""3a0gf5e""#, "42"]);
    check(r#"{"$regex":"(?i)^h.llo"}"#, &[r#""HELLO""#, r#""hällo""#], &[r#""jello""#]);
    check(r#"{"$regex":"^(?!_design/)"}"#, &[r#""note""#], &[r#""_design/note""#]);
    check(r#"{"$regex":"(a)\\1"}"#, &[r#""baab""#], &[r#""aba""#]);
    check(
        r#"{"$beginsWith":"foo"}"#,
        &[r#""foo""#, r#""food""#, r#""\u0066oo""#],
        &[r#""more food""#, r#""fo""#, r#""Foo""#, "42"],
    );
}

#[test]
fn a_regular_expression_that_takes_too_long_does_not_match() {
    let document = format!("{{\"x\":\"{}b\"}}", "a".repeat(60));
    assert!(!selects(r#"{"x":{"$regex":"^(?=a)(a|aa)+\\1$"}}"#, &document));
}

#[test]
fn only_integers_have_remainders() {
    check(r#"{"$mod":[28,1]}"#, &["1", "29", "57"], &["58", r#""57""#, "29.0", "1e0"]);
    check(r#"{"$mod":[5,-3]}"#, &["-3", "-13"], &["3", "-2"]);
    check(
        r#"{"$mod":[7,3]}"#,
        &["1000000000000000000000000000000000000000000000000004"],
        &["1000000000000000000000000000000000000000000000000005"],
    );
}

#[test]
fn arrays_have_sizes_and_elements() {
    check(r#"{"$size":3}"#, &["[0,0,0]"], &["3", r#""fun""#, "[0,0]", r#"{"a":1,"b":2,"c":3}"#]);
    check(r#"{"$allMatch":{"$eq":0}}"#, &["[0]", "[0,0]"], &["[]", "[1]", "[0,1]", "0"]);
    check(r#"{"$elemMatch":{"$ne":0}}"#, &["[1]", "[0,1]"], &["[]", "[0]", "1"]);
    check(r#"{"$elemMatch":{"$gte":80,"$lt":85}}"#, &["[70,82]"], &["[70,90]"]);
    check(
        r#"{"$elemMatch":{"a.b":1,"c":{"$exists":false}}}"#,
        &[r#"[{"a":{"b":1}}]"#],
        &[r#"[{"a":{"b":1},"c":2}]"#, r#"[{"a":{"b":2}},{}]"#],
    );
    check(
        r#"{"$keyMapMatch":{"$regex":"^[a-z]+$"}}"#,
        &[r#"{"hello":0}"#, r#"{"a":1,"b4":2}"#],
        &[r#"{"b4":2}"#, "{}", r#"["hello"]"#],
    );
    check(r#"{"$keyMapMatch":{"$eq":"a\"b"}}"#, &[r#"{"a\"b":0}"#], &["{}"]);
}

#[test]
fn inside_elements_a_negation_holds_of_what_is_missing() {
    assert!(selects(r#"{"x":{"$elemMatch":{"a":{"$not":{"$eq":1}}}}}"#, r#"{"x":[{}]}"#));
    assert!(selects(r#"{"x":{"$elemMatch":{"$nor":[{"a":1},{"a":2}]}}}"#, r#"{"x":[{"a":3}]}"#));
    assert!(!selects(r#"{"x":{"$elemMatch":{"$nor":[{"a":1},{"a":3}]}}}"#, r#"{"x":[{"a":3}]}"#));
}

#[test]
fn operators_without_arguments_refuse_nothing() {
    for selector in [
        r#"{"x":{"$and":[]}}"#,
        r#"{"x":{"$or":[]}}"#,
        r#"{"x":{"$nor":[]}}"#,
        r#"{"x":{"$not":{"$and":[]}}}"#,
        r#"{"x":{"$not":{"$or":[]}}}"#,
        "{}",
    ] {
        assert!(selects(selector, r#"{"x":0}"#) && selects(selector, "{}"), "{selector}");
    }
}

#[test]
fn conditions_are_combined() {
    check(r#"{"$and":[{"$gt":3},{"$lt":7}]}"#, &["6"], &["2", "9"]);
    check(r#"{"$gt":3,"$lt":7}"#, &["6"], &["2", "9"]);
    check(r#"{"$or":[{"$lt":3},{"$gt":7}]}"#, &["2", "9"], &["6"]);
    check(r#"{"$nor":[{"$lt":3},{"$gt":7}]}"#, &["6"], &["2", "9"]);
    check(r#"{"a":1,"b":2}"#, &[r#"{"a":1,"b":2,"c":3}"#], &[]);
}

#[test]
fn many_fields_are_found_in_one_document() {
    let fields: Vec<_> = (0..40).map(|n| format!("\"f{n}\":{n}")).collect();
    let document = format!("{{{}}}", fields.join(","));
    assert!(selects(&document, &document));
    assert!(!selects(&document.replace("\"f7\":7", "\"f7\":8"), &document));
    assert!(selects(&document, &document.replace("\"f30\"", "\"\\u006630\"")));
}

#[test]
fn the_normal_form_is_couchdbs() {
    normal("{}", "{}");
    normal(r#"{"a":1}"#, r#"{"a":{"$eq":1}}"#);
    normal(r#"{"a":{"b":{"$gt":1,"$lt":5}}}"#, r#"{"$and":[{"a.b":{"$gt":1}},{"a.b":{"$lt":5}}]}"#);
    normal(r#"{"a":{}}"#, r#"{"a":{"$eq":{}}}"#);
    normal(r#"{"$not":{"a":{}}}"#, r#"{"a":{"$ne":{}}}"#);
    normal(
        r#"{"$not":{"$and":[{"a":{"$gt":10}},{"a":{"$regex":"x"}}]}}"#,
        r#"{"$or":[{"a":{"$lte":10}},{"a":{"$not":{"$regex":"x"}}}]}"#,
    );
    normal(r#"{"$nor":[{"a":1},{"b":{"$in":[1]}}]}"#, {
        r#"{"$and":[{"a":{"$ne":1}},{"b":{"$nin":[1]}}]}"#
    });
    normal(r#"{"a":{"$elemMatch":{"$not":{"b":1}}}}"#, {
        r#"{"a":{"$elemMatch":{"$not":{"b":{"$eq":1}}}}}"#
    });
    normal(r#"{"a":{"$elemMatch":{"$gt":1}}}"#, r#"{"a":{"$elemMatch":{"":{"$gt":1}}}}"#);
}

#[test]
fn what_is_wrong_is_said_in_couchdbs_words() {
    refused("[]", "Selector must be a JSON object, not: []");
    refused(r#""a""#, "Selector must be a JSON object, not: <<97>>");
    refused(r#"{"v":{"$no":1}}"#, "Invalid operator: $no");
    refused(r#"{"$gt":1}"#, "One or more conditions is missing a field name.");
    refused(r#"{"$not":{"$gt":1}}"#, "One or more conditions is missing a field name.");
    refused(r#"{"a":{"$where":"x"}}"#, "Unsupported operator: $where");
    refused(r#"{"a..b":1}"#, "Invalid field name: a..b");
    refused(r#"{"$and":{"a":1}}"#, "Bad argument for operator $and: {[{<<97>>,1}]}");
    for (operator, argument) in [
        ("$or", "1"),
        ("$nor", "null"),
        ("$not", "[]"),
        ("$in", "1.5"),
        ("$nin", "true"),
        ("$all", "1"),
        ("$exists", "1"),
        ("$type", "1"),
        ("$mod", "[1]"),
        ("$mod", "[0,1]"),
        ("$mod", "[1,1.5]"),
        ("$regex", "1"),
        ("$size", "-1"),
        ("$size", "1.0"),
        ("$beginsWith", "1"),
        ("$elemMatch", "[]"),
        ("$allMatch", "1"),
        ("$keyMapMatch", "1"),
        ("$text", "null"),
    ] {
        let reason = format!("Bad argument for operator {operator}: {argument}");
        refused(&format!("{{\"a\":{{\"{operator}\":{argument}}}}}"), &reason);
    }
    refused(r#"{"a":{"$regex":"("}}"#, "Bad argument for operator $regex: <<40>>");
    refused(r#"{"$text":"a"}"#, {
        "Unsupported operator: $text, because there is no full text search yet"
    });
    refused(r#"{"$default":1}"#, {
        "Invalid field normalization on selector: {[{<<36,100,101,102,97,117,108,116>>,1}]}"
    });
}
