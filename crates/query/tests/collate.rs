//! The order of sort keys, beside CouchDB's and beside a plain comparison of values.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod values;

use std::cmp::Ordering;

use icu_collator::{CollatorBorrowed, CollatorPreferences, options::CollatorOptions};
use proptest::prelude::*;
use settle_query::collate::{ABOVE, Collation, VERSION, group_key, group_prefix, sort_key};

use crate::values::{Value, value};

#[derive(serde::Deserialize)]
struct Recorded {
    order: Vec<(Box<serde_json::value::RawValue>, String)>,
}

#[test]
fn keys_are_in_the_order_in_which_couchdb_returned_them() {
    let recorded: Recorded = serde_json::from_str(include_str!("recorded/collation.json")).unwrap();
    assert_eq!(recorded.order.len(), 119);
    let keys: Vec<_> = recorded
        .order
        .iter()
        .map(|(key, id)| {
            let minified = settle_model::json::minify(key.get().as_bytes()).unwrap().into_owned();
            (sort_key(&minified, Collation::Unicode), id, key)
        })
        .collect();
    for pair in keys.windows(2) {
        assert!((&pair[0].0, pair[0].1) < (&pair[1].0, pair[1].1), "{} {}", pair[0].2, pair[1].2);
    }
}

#[test]
fn raw_keys_are_in_the_order_of_erlangs_terms() {
    let order = [
        "-1",
        "0",
        "1.5",
        "2",
        "1e300",
        "false",
        "null",
        "true",
        "{}",
        r#"{"A":9}"#,
        r#"{"a":1}"#,
        r#"{"a":1,"b":0}"#,
        r#"{"a":"x"}"#,
        r#"{"aa":0}"#,
        "[]",
        "[1]",
        "[1,2]",
        "[null]",
        "[[]]",
        r#"["a"]"#,
        r#""""#,
        r#""\u0000""#,
        r#""\u0000a""#,
        r#""\u0001""#,
        r#""\u0002""#,
        r#""A""#,
        r#""Aa""#,
        r#""B""#,
        r#""a""#,
        r#""é""#,
        r#""中""#,
        r#""😀""#,
    ];
    let keys: Vec<_> = order.iter().map(|it| sort_key(it.as_bytes(), Collation::Raw)).collect();
    for (at, pair) in keys.windows(2).enumerate() {
        assert!(pair[0] < pair[1], "{} {}", order[at], order[at + 1]);
    }
}

#[test]
fn numbers_are_compared_by_value_however_they_are_spelt() {
    let equal = [
        ("0", "-0"),
        ("0", "-0.0"),
        ("0", "0e5"),
        ("1", "1.0"),
        ("10", "1e1"),
        ("100", "1E+2"),
        ("0.5", "5e-1"),
        ("9007199254740992", "9007199254740993"),
        ("1e-400", "0"),
    ];
    for (one, other) in equal {
        assert_eq!(
            sort_key(one.as_bytes(), Collation::Unicode),
            sort_key(other.as_bytes(), Collation::Unicode),
            "{one} {other}"
        );
    }
    let digits = "9".repeat(400);
    let order =
        [&*format!("-{digits}"), "-1e300", "-1", "-1e-300", "0", "5e-324", "1", "1e308", &digits];
    for pair in order.windows(2) {
        let [one, other] = [pair[0], pair[1]];
        assert!(
            sort_key(one.as_bytes(), Collation::Unicode)
                < sort_key(other.as_bytes(), Collation::Unicode),
            "{one} {other}"
        );
    }
}

#[test]
fn strings_that_collate_as_equal_have_equal_keys() {
    for (one, other) in
        [(r#""é""#, r#""e\u0301""#), (r#""ab""#, r#""a\u0000b""#), (r#""a""#, r#""\u0061""#)]
    {
        assert_eq!(
            sort_key(one.as_bytes(), Collation::Unicode),
            sort_key(other.as_bytes(), Collation::Unicode),
            "{one} {other}"
        );
    }
}

/// An index keeps the version it was built under. Where this test fails, the keys have changed:
/// change the version too.
#[test]
fn the_version_stands_for_these_keys() {
    let mut digest = blake3::Hasher::new();
    for start in (0..0x3_0000).step_by(16) {
        let text: String = (start..start + 16).filter_map(char::from_u32).collect();
        for collation in [Collation::Unicode, Collation::Raw] {
            let mut json = Vec::new();
            settle_model::json::write_string(&mut json, &text);
            digest.update(&sort_key(&json, collation));
        }
    }
    for json in ["null", "false", "true", "-1.5", "[1,[2]]", r#"{"a":{"b":[]}}"#] {
        for collation in [Collation::Unicode, Collation::Raw] {
            digest.update(&sort_key(json.as_bytes(), collation));
        }
    }
    expect_test::expect!["icu_collator 2.4 root, encoding 1: b4f0846c2f22155e"]
        .assert_eq(&format!("{VERSION}: {}", &digest.finalize().to_hex()[..16]));
}

#[test]
fn a_group_is_shown_under_the_first_elements_of_its_key() {
    let check = |key: &str, level: u32, expected: &str| {
        assert_eq!(group_key(key.as_bytes(), level), expected.as_bytes(), "{key} at {level}");
    };
    check("[1,2,3]", 1, "[1]");
    check("[1,2,3]", 2, "[1,2]");
    check("[1,2,3]", 3, "[1,2,3]");
    check("[1,2,3]", 4, "[1,2,3]");
    check("[]", 1, "[]");
    check(r#"["a,]",{"b":[1,2]},3]"#, 2, r#"["a,]",{"b":[1,2]}]"#);
    check(r#""abc""#, 1, r#""abc""#);
    check(r#"{"a":1}"#, 1, r#"{"a":1}"#);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn keys_are_ordered_as_values_are(a in value(), b in value()) {
        for collation in [Collation::Unicode, Collation::Raw] {
            let keys = [key(&a, collation), key(&b, collation)];
            prop_assert_eq!(keys[0].cmp(&keys[1]), compare(&a, &b, collation));
        }
    }

    #[test]
    fn no_key_begins_with_another(a in value(), b in value()) {
        for collation in [Collation::Unicode, Collation::Raw] {
            let keys = [key(&a, collation), key(&b, collation)];
            prop_assert!(keys[0] == keys[1] || !keys[0].starts_with(&keys[1]));
        }
    }

    #[test]
    fn rows_of_a_group_are_those_that_begin_with_its_prefix(
        a in prop::collection::vec(prop::sample::select(vec!["1", "\"a\"", "[]", "[1]", "{}"]), 0..5),
        b in prop::collection::vec(prop::sample::select(vec!["1", "\"a\"", "[]", "[1]", "{}"]), 0..5),
        level in 1..5_u32,
    ) {
        let [a, b] = [a, b].map(|it| format!("[{}]", it.join(",")));
        let together = group_key(a.as_bytes(), level) == group_key(b.as_bytes(), level);
        let prefix = group_prefix(a.as_bytes(), level, Collation::Unicode);
        let row = sort_key(b.as_bytes(), Collation::Unicode);
        prop_assert_eq!(row.starts_with(&prefix), together, "{} {}", a, b);
        let mut above = prefix.clone();
        above.push(ABOVE);
        prop_assert_eq!(row >= prefix && row < above, together);
    }
}

fn key(value: &Value, collation: Collation) -> Vec<u8> {
    sort_key(value.to_json().as_bytes(), collation)
}

/// As `couch_ejson_compare:less_erl` and Erlang's own order of terms do it.
fn compare(a: &Value, b: &Value, collation: Collation) -> Ordering {
    let rank = |value: &Value| {
        let [unicode, raw] = match value {
            Value::Null => [0, 2],
            Value::Bool(false) => [1, 1],
            Value::Bool(true) => [2, 3],
            Value::Number(_) => [3, 0],
            Value::String(_) => [4, 6],
            Value::Array(_) => [5, 5],
            Value::Object(_) => [6, 4],
        };
        if collation == Collation::Unicode { unicode } else { raw }
    };
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a.parse::<f64>().unwrap().partial_cmp(&b.parse().unwrap()).unwrap()
        }
        (Value::String(a), Value::String(b)) => compare_strings(a, b, collation),
        (Value::Array(a), Value::Array(b)) => {
            let pairs = a.iter().zip(b).map(|(a, b)| compare(a, b, collation));
            pairs.fold(Ordering::Equal, Ordering::then).then(a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => {
            let pairs = a.iter().zip(b).map(|((a_key, a), (b_key, b))| {
                compare_strings(a_key, b_key, collation).then_with(|| compare(a, b, collation))
            });
            pairs.fold(Ordering::Equal, Ordering::then).then(a.len().cmp(&b.len()))
        }
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

fn compare_strings(a: &str, b: &str, collation: Collation) -> Ordering {
    match collation {
        Collation::Unicode => {
            let (preferences, options) =
                (CollatorPreferences::default(), CollatorOptions::default());
            CollatorBorrowed::try_new(preferences, options).unwrap().compare(a, b)
        }
        Collation::Raw => a.cmp(b),
    }
}
