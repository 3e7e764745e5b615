//! JSON in and out: what functions see of a document, and what is written of what they emit, beside
//! the engine's own `JSON.parse` and `JSON.stringify`.

use expect_test::expect;
use proptest::prelude::*;
use serde_json::Value;

use crate::support::{bytes, check_map, map, program, scripts, written};

#[tokio::test]
async fn documents_are_what_json_parse_makes_of_them() {
    let scripts = scripts();
    for text in [
        r#"{"__proto__":{"polluted":true},"constructor":1,"toString":2,"hasOwnProperty":3}"#,
        r#"{"10":1,"2":2,"a":3,"":4,"-1":5}"#,
        r#"{"n":[0,-0,1,-1,2147483647,2147483648,-2147483648,9007199254740993,1e21,1e400,-1e-400]}"#,
        r#"{"n":[12345678901234567890,0.1,1.0,1e2,1E+2,5e-324,1.7976931348623157e308]}"#,
        r#"{"s":["\u0000","\ud83d\ude00","\"\\\/\b\f\n\r\t","é漢😀","\u2028"]}"#,
        r#"{"e":[{},[],"",null,true,false]}"#,
        r#"{"a\u0000b":1,"a\u0000c":2,"\"":3}"#,
        "[]",
        "1",
        r#""x""#,
    ] {
        let literal = serde_json::to_string(text).unwrap();
        let source = format!(
            "function(doc) {{ var other = JSON.parse({literal}); \
             emit(JSON.stringify(doc) === JSON.stringify(other), Object.is(doc.polluted, undefined)); \
             emit(same(doc, other)); \
             function same(a, b) {{ \
               if (typeof a !== 'object' || a === null) return Object.is(a, b); \
               var ka = Object.getOwnPropertyNames(a), kb = Object.getOwnPropertyNames(b); \
               return ka.join() === kb.join() && Object.getPrototypeOf(a) === Object.getPrototypeOf(b) \
                 && ka.every(function (k) {{ return same(a[k], b[k]) }}) }} }}"
        );
        let rows = written(map(&scripts, &source, &[text]).await);
        assert_eq!(rows, "true true\ntrue null\n--\n", "{text}");
    }
    scripts.close().await;
}

#[tokio::test]
async fn what_is_emitted_is_what_json_stringify_writes() {
    let scripts = scripts();
    for value in [
        "undefined",
        "null",
        "[undefined, function () {}, Symbol('x'), NaN, Infinity, -0, 724, 724.0, 1e21, 1e-7, 0.1 + 0.2]",
        "({a: undefined, b: function () {}, c: Symbol('x'), [Symbol('k')]: 1, d: NaN})",
        "new Date(0)",
        "({a: [new Date(1), {b: new Date(2)}]})",
        "({toJSON: function () { return {x: 1} }})",
        "({a: {toJSON: function () { return undefined }}, b: [{toJSON: function () {}}]})",
        "Object(1)",
        "[Object('s'), Object(true)]",
        "new Map([[1, 2]])",
        "new Uint8Array([1, 2])",
        "Object.create({inherited: 1}, {own: {value: 1, enumerable: true}, hidden: {value: 2}})",
        "Object.create(null)",
        "(function () { var o = Object.create(null); o.a = 1; return o })()",
        "new (function Thing() { this.a = 1 })()",
        "({get a() { return 1 }})",
        "new Proxy({a: 1}, {})",
        "new Proxy([1, 2], {})",
        "/x/",
        "new Error('x')",
        "'\\u0000\\u001f\\u007f\\u2028\"\\\\\\b\\f\\n\\r\\t/é😀'",
        "({'10': 1, '2': 2, b: 3, a: 4, '': 5, 'é\"': 6, 'a\\u0000b': 7})",
        "[1,,3]",
        "Array(3)",
        "function () {}",
        "Symbol('x')",
        "1e300 * 1e10",
        "'x'.repeat(1000) + 'y'",
        "2147483648",
        "-2147483649",
        "123456789012345680000",
        "[[[[[[[[1]]]]]]]]",
        "Object.assign([1], {extra: 1})",
    ] {
        // The engine's own writing is emitted as a string beside it.
        let source = format!(
            "function(doc) {{ var v = [{value}]; var text = JSON.stringify(v[0]); \
             emit({value}, 0); emit(text === undefined ? 'null' : text, 0) }}"
        );
        let rows = map(&scripts, &source, &["{}"]).await.unwrap();
        let rows = rows[0].maps[0].as_ref().unwrap();
        let expected: String = serde_json::from_slice(&rows[1].key).unwrap();
        assert_eq!(String::from_utf8_lossy(&rows[0].key), expected, "{value}");
    }
    scripts.close().await;
}

#[tokio::test]
async fn what_has_no_json_fails_the_document() {
    check_map(
        "function(doc) { if (doc.n === 0) { var a = {}; a.a = a; emit(a) } \
           if (doc.n === 1) emit(10n); \
           if (doc.n === 2) { var d = []; for (var i = 0; i < 1000; i++) d = [d]; emit(d) } \
           if (doc.n === 3) emit({toJSON: function () { throw new Error('mine') }}); \
           if (doc.n === 4) emit({get a() { throw new Error('mine too') }}); \
           if (doc.n === 5) emit({a: 10n}) }",
        &["{\"n\":0}", "{\"n\":1}", "{\"n\":2}", "{\"n\":3}", "{\"n\":4}", "{\"n\":5}"],
        expect![[r#"
            failed: function raised exception RangeError: the value is nested deeper than 256 levels, or holds itself
            --
            failed: function raised exception TypeError: BigInt are forbidden in JSON.stringify
            --
            failed: function raised exception RangeError: the value is nested deeper than 256 levels, or holds itself
            --
            failed: function raised exception Error: mine
            --
            failed: function raised exception Error: mine too
            --
            failed: function raised exception TypeError: BigInt are forbidden in JSON.stringify
            --
        "#]],
    )
    .await;
}

#[tokio::test]
async fn lone_surrogates_become_replacement_characters() {
    check_map(
        "function(doc) { emit('a\\ud800b', ['\\udc00', {'\\ud800': 1}]); emit('\\ud83d\\ude00', '\\ud83d' + '\\ude00') }",
        &["{}"],
        expect![[r#"
            "a�b" ["�",{"�":1}]
            "😀" "😀"
            --
        "#]],
    )
    .await;
}

#[tokio::test]
async fn emit_may_be_called_while_a_value_is_written() {
    check_map(
        "function(doc) { emit('outer', {toJSON: function () { emit('inner', 1); return 2 }}) }",
        &["{}"],
        expect![[r#"
            "inner" 1
            "outer" 2
            --
        "#]],
    )
    .await;
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[\u{0}-\u{7f}]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map("\\PC{0,6}|__proto__|[0-9]{1,3}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

#[test]
fn any_json_goes_in_and_out_as_the_engine_reads_and_writes_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(20));
    let scripts = runtime.block_on(async { scripts() });
    runner
        .run(&prop::collection::vec(json(), 1..40), |docs| {
            let docs: Vec<_> = docs.iter().map(|doc| bytes(&doc.to_string())).collect();
            let maps = [
                "function(doc) { emit(doc) }".into(),
                "function(doc) { emit(JSON.stringify(doc)) }".into(),
            ];
            let rows = runtime.block_on(scripts.map(&program("{}"), &maps, docs)).unwrap();
            for doc in rows {
                let ours = &doc.maps[0].as_ref().unwrap()[0].key;
                let theirs: String =
                    serde_json::from_slice(&doc.maps[1].as_ref().unwrap()[0].key).unwrap();
                prop_assert_eq!(String::from_utf8_lossy(ours), theirs);
            }
            Ok(())
        })
        .unwrap();
    runtime.block_on(scripts.close());
}
