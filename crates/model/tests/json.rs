//! What is JSON here, what it becomes, and what is said of the rest.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{borrow::Cow, fmt::Write as _};

use expect_test::{Expect, expect};
use settle_model::json::{self, limits};

/// Each line is a text; what becomes of it stands behind the arrow. `·` stands for a byte that is no
/// UTF-8. This is the only place that knows the API.
#[track_caller]
fn check(texts: &str, expected: &Expect) {
    let mut seen = String::new();
    for line in texts.lines() {
        let text: Vec<u8> = line.replace('·', "\u{7f}").bytes().collect();
        let text: Vec<u8> = text.iter().map(|&it| if it == 0x7f { 0xFF } else { it }).collect();
        match json::minify(&text) {
            Ok(Cow::Borrowed(_)) => writeln!(seen, "{line} → as it is").unwrap(),
            Ok(Cow::Owned(it)) => {
                writeln!(seen, "{line} → {}", String::from_utf8(it).unwrap()).unwrap();
            }
            Err(error) => writeln!(seen, "{line} → {error}").unwrap(),
        }
        assert_eq!(json::validate(&text).err(), json::minify(&text).err(), "{line}");
    }
    expected.assert_eq(&seen);
}

#[test]
fn white_space_between_tokens_is_left_out_and_nothing_else() {
    check(
        concat!(
            "{\"a\":[1,2.50,\"x y\"],\"b\":{}}\n",
            "{ \"a\" : [ 1 , 2.50 ,\t\"x  y\" ] , \"b\" : { } , \"c\":[ ] }\n",
            "  {\"a\":1}  \n",
            "\"\\u00e9 \\/\"\n",
            " 12345678901234567890123 \n",
            "[-0,-0.0,1e2,1E+2,0.10]\n",
            "[ true , false , null ]",
        ),
        &expect![[r#"
            {"a":[1,2.50,"x y"],"b":{}} → as it is
            { "a" : [ 1 , 2.50 ,	"x  y" ] , "b" : { } , "c":[ ] } → {"a":[1,2.50,"x  y"],"b":{},"c":[]}
              {"a":1}   → as it is
            "\u00e9 \/" → as it is
             12345678901234567890123  → as it is
            [-0,-0.0,1e2,1E+2,0.10] → as it is
            [ true , false , null ] → [true,false,null]
        "#]],
    );
}

#[test]
fn what_is_not_json_is_refused_with_the_place() {
    check(
        concat!(
            "\n{\n{\"a\":\n{\"a\" 1}\n{\"a\":1,}\n{a:1}\n[1,]\n[1 2]\n{} {}\ntru\nnulll\n",
            "01\n-\n1.\n1.e2\n1e\n1e+\n.5\n+1\nNaN\n'a'\n",
            "\"a\n\"a\tb\"\n\"\\x\"\n\"\\u12g4\"\n\"\\",
        ),
        &expect![[r#"
             → the text ends, expected a value at byte 0
            { → the text ends, expected a key in quotes at byte 1
            {"a": → the text ends, expected a value at byte 5
            {"a" 1} → expected `:` at byte 5
            {"a":1,} → expected a key in quotes at byte 7
            {a:1} → expected a key in quotes at byte 1
            [1,] → expected a value at byte 3
            [1 2] → expected `,` or `]` at byte 3
            {} {} → text after the value at byte 3
            tru → expected a value at byte 0
            nulll → text after the value at byte 4
            01 → text after the value at byte 1
            - → the text ends, expected a digit at byte 1
            1. → the text ends, expected a digit at byte 2
            1.e2 → expected a digit at byte 2
            1e → the text ends, expected a digit at byte 2
            1e+ → the text ends, expected a digit at byte 3
            .5 → expected a value at byte 0
            +1 → expected a value at byte 0
            NaN → expected a value at byte 0
            'a' → expected a value at byte 0
            "a → the text ends, expected the rest of a string at byte 2
            "a	b" → a control character inside a string; write it as an escape at byte 2
            "\x" → an escape that JSON does not know at byte 1
            "\u12g4" → an escape that JSON does not know at byte 1
            "\ → the text ends, expected the rest of a string at byte 1
        "#]],
    );
}

#[test]
fn bytes_that_are_not_utf_8_are_refused() {
    check(
        "\"é·\"\n·",
        &expect![[r#"
            "é·" → a byte that is not UTF-8 at byte 3
            · → a byte that is not UTF-8 at byte 0
        "#]],
    );
}

#[test]
fn a_key_may_stand_once_in_an_object_however_it_is_spelt() {
    check(
        r#"{"a":1,"a":2}
{"a":1,"\u0061":2}
{"":1,"":2}
[{"x":{"b":1,"c":{},"b":[]}}]
{"a":{"a":{"a":1}},"A":1}
{"12345678":1,"123456789":1,"1234567":1}
{"a long key, longer than sixteen bytes":1,"a long key, longer than sixteen bytes":2}
{"a long key, 1 in the middle of it":1,"a long key, 2 in the middle of it":2}"#,
        &expect![[r#"
            {"a":1,"a":2} → a second member "a" in one object at byte 7
            {"a":1,"\u0061":2} → a second member "a" in one object at byte 7
            {"":1,"":2} → a second member "" in one object at byte 6
            [{"x":{"b":1,"c":{},"b":[]}}] → a second member "b" in one object at byte 20
            {"a":{"a":{"a":1}},"A":1} → as it is
            {"12345678":1,"123456789":1,"1234567":1} → as it is
            {"a long key, longer than sixteen bytes":1,"a long key, longer than sixteen bytes":2} → a second member "a long key, longer than sixteen bytes" in one object at byte 43
            {"a long key, 1 in the middle of it":1,"a long key, 2 in the middle of it":2} → as it is
        "#]],
    );
}

#[test]
fn numbers_that_no_double_holds_are_refused() {
    check(
        "1e308\n1e309\n-1e309\n1.7976931348623157e308\n1.7976931348623159e308\n1e-400\n0e999999999",
        &expect![[r#"
            1e308 → as it is
            1e309 → a number beyond the range of a double at byte 0
            -1e309 → a number beyond the range of a double at byte 0
            1.7976931348623157e308 → as it is
            1.7976931348623159e308 → a number beyond the range of a double at byte 0
            1e-400 → as it is
            0e999999999 → as it is
        "#]],
    );
    let long = format!("{}.5", "9".repeat(310));
    let error = json::validate(long.as_bytes()).unwrap_err();
    assert_eq!(*error.problem(), json::JsonProblem::NumberOutOfRange);
}

#[test]
fn half_a_surrogate_pair_is_refused() {
    check(
        r#""\ud83d\ude00"
"\ud83d"
"\ude00"
"\ud83d\u0041"
"\ud83dx"
{"\udc00":1}"#,
        &expect![[r#"
            "\ud83d\ude00" → as it is
            "\ud83d" → half a surrogate pair at byte 1
            "\ude00" → half a surrogate pair at byte 1
            "\ud83d\u0041" → half a surrogate pair at byte 1
            "\ud83dx" → half a surrogate pair at byte 1
            {"\udc00":1} → half a surrogate pair at byte 2
        "#]],
    );
}

#[test]
fn an_integer_keeps_as_many_digits_as_the_limit_says() {
    let digits = "7".repeat(limits::JSON_INTEGER_DIGITS_MAX);
    json::validate(digits.as_bytes()).unwrap();
    let error = json::validate(format!("-{digits}7").as_bytes()).unwrap_err();
    expect!["an integer of more than 1000 digits at byte 0"].assert_eq(&error.to_string());
}

#[test]
fn nesting_ends_at_the_limit_and_never_overflows_the_stack() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    json::validate(nested(limits::JSON_DEPTH_MAX).as_bytes()).unwrap();
    let error = json::validate(nested(limits::JSON_DEPTH_MAX + 1).as_bytes()).unwrap_err();
    expect!["nested deeper than 256 levels at byte 256"].assert_eq(&error.to_string());

    json::validate("{\"a\":".repeat(1_000_000).as_bytes()).unwrap_err();
    json::validate("[".repeat(1_000_000).as_bytes()).unwrap_err();
}

#[test]
fn many_keys_are_told_apart_in_one_object() {
    let object = |keys: &[String]| {
        let members: Vec<_> = keys.iter().map(|key| format!("\"{key}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    let mut keys: Vec<String> = (0..50_000).map(|n| format!("key-{n:06}-of-many-keys")).collect();
    json::validate(object(&keys).as_bytes()).unwrap();
    keys.push("key-\\u0030\\u00300001-of-many-keys".to_owned());
    let error = json::validate(object(&keys).as_bytes()).unwrap_err();
    expect![[r#"a second member "key-000001-of-many-keys" in one object at byte 1400001"#]]
        .assert_eq(&error.to_string());
}

#[test]
fn a_duplicate_is_found_at_every_size_of_object() {
    for count in 1..60 {
        let keys: Vec<_> = (0..count).map(|n| format!("\"k{n}\":0")).collect();
        let text = keys.join(",");
        json::validate(format!("{{{text}}}").as_bytes()).unwrap();
        for twice in [0, count / 2, count - 1] {
            json::validate(format!("{{{text},\"k{twice}\":1}}").as_bytes()).unwrap_err();
        }
    }
}

#[test]
fn a_long_key_is_cut_in_the_message() {
    let key = "é".repeat(100);
    let error = json::validate(format!("{{\"{key}\":1,\"{key}\":2}}").as_bytes()).unwrap_err();
    assert!(error.to_string().len() < 140, "{error}");
}

#[test]
fn members_and_elements_are_read_without_parsing() {
    let text = br#"{"a":1,"b\"}":[1,{"x":"]"},"\\"],"c":{"d":{}},"":null}"#;
    let members: Vec<_> = json::members(text)
        .map(|(key, value)| format!("{key} = {}", str::from_utf8(value).unwrap()))
        .collect();
    expect![[r#"
        a = 1
        b\"} = [1,{"x":"]"},"\\"]
        c = {"d":{}}
         = null"#]]
    .assert_eq(&members.join("\n"));

    let elements: Vec<_> =
        json::elements(br#"[1,{"x":"]"},"\\",[]]"#).map(|it| str::from_utf8(it).unwrap()).collect();
    assert_eq!(elements, ["1", r#"{"x":"]"}"#, r#""\\""#, "[]"]);
    assert_eq!(json::members(b"[1]").count(), 0);
    assert_eq!(json::elements(b"{}").count(), 0);
    assert_eq!(json::members(b"{}").count(), 0);
    assert_eq!(json::string_value(br#""a\u0062""#).as_deref(), Some("ab"));
    assert_eq!(json::string_value(b"12"), None);
}

#[test]
fn a_string_is_written_with_the_escapes_it_needs() {
    let mut out = Vec::new();
    json::write_string(&mut out, "plain é😀 \"\\ \n\r\t\u{8}\u{c}\u{0}\u{1f}/");
    expect![[r#""plain é😀 \"\\ \n\r\t\b\f\u0000\u001f/""#]]
        .assert_eq(&String::from_utf8(out).unwrap());
}
