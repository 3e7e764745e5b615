//! The reducers that are built in, beside CouchDB's own examples and beside a fold of all rows.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod values;

use proptest::prelude::*;
use settle_query::reduce::{
    Native, ReduceError,
    limits::{RANKED_BYTES_MAX, SUM_BYTES_MAX},
};

use crate::values::value;

/// What clients see of these values, reduced at once and cut everywhere.
fn reduced(native: Native, values: &[&str]) -> String {
    let rows: Vec<(String, String)> =
        values.iter().enumerate().map(|(at, it)| (at.to_string(), (*it).to_owned())).collect();
    let whole = partial(native, &rows);
    for cut in 0..=rows.len() {
        let parts = [partial(native, &rows[..cut]), partial(native, &rows[cut..])];
        let combined = native.combine(parts.iter().map(Vec::as_slice));
        assert_eq!(show(native, &combined), show(native, &whole), "cut at {cut}");
    }
    show(native, &whole)
}

fn partial(native: Native, rows: &[(String, String)]) -> Vec<u8> {
    native.reduce(rows.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes())))
}

fn show(native: Native, partial: &[u8]) -> String {
    match native.finish(partial) {
        Ok(json) => String::from_utf8(json).unwrap(),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn sums_are_couchdbs() {
    let check = |values: &[&str], expected: &str| {
        assert_eq!(reduced(Native::Sum, values), expected, "{values:?}");
    };
    check(&[], "0");
    check(&["1", "2"], "3");
    check(&["1", "0.5", "1.5"], "3");
    check(&["1", "[1,4,6]"], "[2,4,6]");
    check(&["[3,2,4]", "[0,3,3]"], "[3,5,7]");
    check(&["2", "[1,2,3,4]", "[3,4]", "1"], "[7,6,3,4]");
    check(&["[]"], "[0]");
    check(&["[]", "[]", "5"], "[5]");
    let (x, y) =
        (r#"{"a":1,"b":[1,2],"c":{"d":3},"g":1}"#, r#"{"g":1,"a":2,"b":3,"c":{"e":5},"f":1}"#);
    let z = r#"{"a":3,"b":[4,2],"c":{"d":3,"e":5},"f":1,"g":2}"#;
    check(&[x, y], z);
    check(&[y, x], z);
    check(&["{}"], "{}");
    check(&[r#"{"a":"text"}"#], r#"{"a":"text"}"#); // nothing is added to it
    check(&[r#"{"\u0061":1}"#, r#"{"a":1}"#], r#"{"a":2}"#);
}

#[test]
fn sums_of_what_cannot_be_added_are_couchdbs_error() {
    let check = |values: &[&str], cause: &str| {
        let json: serde_json::Value = serde_json::from_str(&reduced(Native::Sum, values)).unwrap();
        assert_eq!(json["error"], "builtin_reduce_error", "{values:?}");
        let reason = json["reason"].as_str().unwrap();
        assert!(reason.starts_with("The _sum function requires that map values be numbers"));
        assert_eq!(json["caused_by"].to_string(), cause, "{values:?}");
    };
    check(&[r#""baz""#], r#""baz""#);
    check(&["1", "2", "null"], "null");
    check(&["[1,2]", r#"["baz"]"#, "3"], r#"["baz"]"#);
    check(&["1", r#"{"a":1}"#], r#"{"a":1}"#);
    check(&[r#"{"a":1}"#, "1"], "1");
    check(&[r#"{"a":"x"}"#, r#"{"a":1}"#], r#""x""#);
    check(&[r#"{"a":{"b":1}}"#, r#"{"a":[1]}"#], "[1]");
}

#[test]
fn a_sum_that_grows_with_its_rows_is_an_error() {
    let values: Vec<String> =
        (0..SUM_BYTES_MAX / 16).map(|at| format!(r#"{{"member {at}":1}}"#)).collect();
    let rows: Vec<_> = values.iter().map(|it| (b"1".as_slice(), it.as_bytes())).collect();
    let shown = show(Native::Sum, &Native::Sum.reduce(rows));
    assert!(shown.starts_with(
        r#"{"error":"builtin_reduce_error","reason":"Reduce output must shrink more rapidly"#
    ));
}

#[test]
fn a_sum_beyond_doubles_is_an_error() {
    let shown = reduced(Native::Sum, &["1e308", "1e308"]);
    assert!(shown.starts_with(r#"{"error":"builtin_reduce_error""#), "{shown}");
}

#[test]
fn counts_are_the_number_of_rows() {
    assert_eq!(reduced(Native::Count, &[]), "0");
    assert_eq!(reduced(Native::Count, &["1", "null", r#""a""#]), "3");
}

#[test]
fn stats_are_couchdbs() {
    let check = |values: &[&str], expected: &str| {
        assert_eq!(reduced(Native::Stats, values), expected, "{values:?}");
    };
    check(&[], r#"{"sum":0,"count":0,"min":0,"max":0,"sumsqr":0}"#);
    check(&["2"], r#"{"sum":2,"count":1,"min":2,"max":2,"sumsqr":4}"#);
    check(&["1", "0"], r#"{"sum":1,"count":2,"min":0,"max":1,"sumsqr":1}"#);
    check(&["-1.5", "10"], r#"{"sum":8.5,"count":2,"min":-1.5,"max":10,"sumsqr":102.25}"#);
    check(
        &["[1,2,3]", "[4,5,6]", "[7,8,9]"],
        concat!(
            r#"[{"sum":12,"count":3,"min":1,"max":7,"sumsqr":66},"#,
            r#"{"sum":15,"count":3,"min":2,"max":8,"sumsqr":93},"#,
            r#"{"sum":18,"count":3,"min":3,"max":9,"sumsqr":126}]"#
        ),
    );
    check(
        &["1", r#"{"sum":5,"count":2,"min":2,"max":3,"sumsqr":13,"more":true}"#],
        r#"{"sum":6,"count":3,"min":1,"max":3,"sumsqr":14}"#,
    );
}

#[test]
fn stats_of_what_is_no_number_say_so() {
    let check = |values: &[&str], expected: &str| {
        assert_eq!(reduced(Native::Stats, values), format!("error: {expected}"), "{values:?}");
    };
    let requires = "The _stats function requires that map values be numbers or arrays of numbers";
    check(&[r#""lala""#], &format!("{requires}, not '\"lala\"'"));
    check(&["[1,2,3]", "4"], &format!("{requires}, not a mixture"));
    check(
        &["[1,2,3]", "[1,2]"],
        "The _stats function requires that arrays have the same length, not 3 and 2",
    );
    check(&[r#"{"sum":1}"#], r#"user _stats input missing required field count ({"sum":1})"#);
    check(&[r#"{"sum":"1"}"#], r#"non-numeric _stats input received for sum: "1""#);
}

#[test]
fn ranks_are_the_distinct_values_at_either_end() {
    let values = ["3", "1", "null", "\"a\"", "3.0", "2", "[]", "\"A\"", "1"];
    assert_eq!(reduced(Native::Top(3), &values), r#"[[],"A","a"]"#);
    assert_eq!(reduced(Native::Top(100), &values), r#"[[],"A","a",3,2,1,null]"#);
    assert_eq!(reduced(Native::Bottom(2), &values), "[null,1]");
    assert_eq!(reduced(Native::Bottom(1), &["3.0", "3"]), "[3.0]"); // the earlier of equals
    assert_eq!(reduced(Native::Top(5), &[]), "[]");
}

#[test]
fn first_and_last_are_values_of_the_rows_at_the_ends() {
    assert_eq!(reduced(Native::First, &["{}", "2", "3"]), "{}");
    assert_eq!(reduced(Native::Last, &["{}", "2", "3"]), "3");
    assert_eq!(reduced(Native::First, &[]), "null");
}

#[test]
fn a_value_too_long_to_be_kept_is_an_error_in_its_place() {
    let quoted = |length: usize| format!("\"{}\"", "x".repeat(length - 2));
    let (fits, long) = (quoted(RANKED_BYTES_MAX), quoted(RANKED_BYTES_MAX + 1));
    let error = |name: &str, most: usize| {
        format!(
            "{{\"error\":\"builtin_reduce_error\",\"reason\":\"Reduce output must shrink more rapidly: \
             `{name}` takes values of at most {most} bytes\"}}"
        )
    };
    assert_eq!(reduced(Native::First, &[&fits, &long]), fits);
    assert_eq!(reduced(Native::First, &[&long, "1"]), error("_first", RANKED_BYTES_MAX));
    assert_eq!(reduced(Native::Last, &[&long, &fits]), fits);
    assert_eq!(reduced(Native::Last, &["1", &long]), error("_last", RANKED_BYTES_MAX));
    assert_eq!(reduced(Native::Top(1), &["1", &fits]), format!("[{fits}]"));
    // Whatever its rank, lest it depend on the cuts.
    assert_eq!(
        reduced(Native::Bottom(1), &["1", &long, "2"]),
        error("_bottom_1", RANKED_BYTES_MAX)
    );
    let (fits, long) = (quoted(RANKED_BYTES_MAX / 100), quoted(RANKED_BYTES_MAX / 100 + 1));
    assert_eq!(reduced(Native::Top(100), &["1", &fits]), format!("[{fits},1]"));
    assert_eq!(reduced(Native::Top(100), &["1", &long]), error("_top_100", 655));
}

#[test]
fn distinct_keys_are_counted_within_two_percent() {
    let mut errors = 0.0;
    for round in 0..20_u32 {
        let keys: Vec<String> = (0..20_000).map(|at| format!("[{round},\"key {at}\"]")).collect();
        let parts: Vec<Vec<u8>> = keys
            .chunks(997)
            .map(|part| {
                let twice = part.iter().chain(part);
                Native::ApproxCountDistinct.reduce(twice.map(|it| (it.as_bytes(), b"1".as_slice())))
            })
            .collect();
        let partial = Native::ApproxCountDistinct.combine(parts.iter().map(Vec::as_slice));
        let count: f64 = show(Native::ApproxCountDistinct, &partial).parse().unwrap();
        errors += (count / 20_000.0 - 1.0).abs();
    }
    assert!(errors / 20.0 < 0.02, "{}", errors / 20.0);
}

#[test]
fn few_distinct_keys_are_counted_exactly() {
    for count in [0, 1, 2, 10, 50] {
        let keys: Vec<String> = (0..count).map(|at| format!("\"{at}\"")).collect();
        let rows = keys.iter().map(|key| (key.as_bytes(), b"null".as_slice()));
        let partial = Native::ApproxCountDistinct.reduce(rows);
        assert_eq!(show(Native::ApproxCountDistinct, &partial), count.to_string());
    }
    let rows = ["1", "1.0", "\"a\"", "\"\\u0061\""].map(|key| (key.as_bytes(), b"1".as_slice()));
    let partial = Native::ApproxCountDistinct.reduce(rows);
    assert_eq!(show(Native::ApproxCountDistinct, &partial), "2");
}

#[test]
fn names_are_read_as_couchdb_reads_them() {
    let parse = |source: &str| Native::parse(source);
    assert_eq!(parse("function(k, v) {}"), None);
    assert_eq!(parse(" _sum"), None);
    assert_eq!(parse("_sum\n \r\nandothergarbage"), Some(Ok(Native::Sum)));
    assert_eq!(parse("_count"), Some(Ok(Native::Count)));
    assert_eq!(parse("_stats"), Some(Ok(Native::Stats)));
    assert_eq!(parse("_approx_count_distinct"), Some(Ok(Native::ApproxCountDistinct)));
    assert_eq!(parse("_top_100"), Some(Ok(Native::Top(100))));
    assert_eq!(parse("_bottom_01"), Some(Ok(Native::Bottom(1))));
    assert_eq!(parse("_first"), Some(Ok(Native::First)));
    assert_eq!(parse("_last"), Some(Ok(Native::Last)));
    assert_eq!(parse("_top_x"), Some(Err(ReduceError::RankNotANumber)));
    assert_eq!(parse("_top_"), Some(Err(ReduceError::RankNotANumber)));
    for source in ["_top_0", "_bottom_101", "_top_-1", "_top_99999999999999999999"] {
        assert_eq!(parse(source), Some(Err(ReduceError::RankOutOfRange)), "{source}");
    }
    let error = parse("_product").unwrap().unwrap_err();
    assert_eq!(error.to_string(), "`_product` is not a supported reduce function.");
}

const ALL: [Native; 8] = [
    Native::Sum,
    Native::Count,
    Native::Stats,
    Native::ApproxCountDistinct,
    Native::Top(3),
    Native::Bottom(3),
    Native::First,
    Native::Last,
];

/// Cuts `rows` at random places, and joins the partials by twos and threes, as levels of an index do.
fn in_levels(native: Native, rows: &[(String, String)], cuts: &[usize]) -> Vec<u8> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (rows.len() + 1)).collect();
    cuts.extend([0, rows.len()]);
    cuts.sort_unstable();
    let mut parts: Vec<Vec<u8>> =
        cuts.windows(2).map(|cut| partial(native, &rows[cut[0]..cut[1]])).collect();
    while parts.len() > 1 {
        let widths = parts.len() % 2 + 2;
        parts = parts
            .chunks(widths)
            .map(|chunk| native.combine(chunk.iter().map(Vec::as_slice)))
            .collect();
    }
    parts.pop().unwrap_or_default()
}

fn is_error(shown: &str) -> bool {
    shown.starts_with("error: ") || shown.starts_with(r#"{"error":"#)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn rows_that_are_cut_anywhere_reduce_to_the_same_bytes(
        numbers in prop::collection::vec(values::number(), 0..40),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let rows: Vec<_> = numbers.iter().map(|it| (format!("[{it}]"), it.clone())).collect();
        for native in ALL {
            prop_assert_eq!(in_levels(native, &rows, &cuts), partial(native, &rows), "{:?}", native);
        }
    }

    #[test]
    fn nested_sums_that_are_cut_anywhere_are_the_same_bytes(
        values in prop::collection::vec(summand(), 0..12),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let rows: Vec<_> = values.into_iter().map(|it| (String::from("1"), it)).collect();
        prop_assert_eq!(in_levels(Native::Sum, &rows, &cuts), partial(Native::Sum, &rows));
    }

    /// Of what cannot be reduced only the message may depend on where it was cut.
    #[test]
    fn any_values_that_are_cut_anywhere_reduce_alike(
        values in prop::collection::vec(value(), 0..6),
        cuts in prop::collection::vec(any::<usize>(), 0..4),
    ) {
        let rows: Vec<_> = values.iter().map(|it| (it.to_json(), it.to_json())).collect();
        for native in ALL {
            let whole = show(native, &partial(native, &rows));
            let cut = show(native, &in_levels(native, &rows, &cuts));
            prop_assert!(cut == whole || is_error(&cut) && is_error(&whole), "{}: {}", whole, cut);
        }
    }

    #[test]
    fn what_clients_see_is_json(values in prop::collection::vec(value(), 0..6)) {
        let rows: Vec<_> = values.iter().map(|it| (it.to_json(), it.to_json())).collect();
        for native in ALL {
            if let Ok(json) = native.finish(&partial(native, &rows)) {
                prop_assert!(settle_model::json::minify(&json).is_ok(), "{:?}", String::from_utf8(json));
            }
        }
    }

    #[test]
    fn damaged_partials_are_found_or_read_but_never_fatal(
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        other in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        for native in ALL {
            drop(native.finish(&bytes));
            drop(native.finish(&native.combine([&*bytes, &*other])));
        }
    }
}

fn summand() -> impl Strategy<Value = String> {
    let number = values::number();
    let array =
        prop::collection::vec(values::number(), 0..3).prop_map(|it| format!("[{}]", it.join(",")));
    let leaf = prop_oneof![number, array];
    let members = prop::collection::btree_map("[abc]", leaf, 0..3);
    members.prop_map(|members| {
        let members: Vec<_> =
            members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{\"x\":{{{}}}}}", members.join(","))
    })
}
