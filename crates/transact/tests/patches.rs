//! The examples of RFC 7386 and RFC 6902, and what holds of all patches.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use settle_model::json::{minify, validate};
use settle_transact::patch::{Patch, merge};

/// RFC 7386, appendix A. Without those whose target or outcome is no object: a document is one.
#[test]
fn merge_patches_of_the_rfc() {
    for (target, patch, expected) in [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
        ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        (r#"{"\u0061":1,"n":1.0}"#, r#"{"a":2}"#, r#"{"\u0061":2,"n":1.0}"#),
    ] {
        let merged = String::from_utf8(merge(target.as_bytes(), patch.as_bytes())).unwrap();
        assert_eq!(merged, expected, "{target} {patch}");
    }
}

/// RFC 6902, appendix A; `-` where it fails.
#[test]
fn json_patches_of_the_rfc() {
    for (document, patch, expected) in [
        (
            r#"{"foo":"bar"}"#,
            r#"[{"op":"add","path":"/baz","value":"qux"}]"#,
            r#"{"foo":"bar","baz":"qux"}"#,
        ),
        (
            r#"{"foo":["bar","baz"]}"#,
            r#"[{"op":"add","path":"/foo/1","value":"qux"}]"#,
            r#"{"foo":["bar","qux","baz"]}"#,
        ),
        (r#"{"baz":"qux","foo":"bar"}"#, r#"[{"op":"remove","path":"/baz"}]"#, r#"{"foo":"bar"}"#),
        (
            r#"{"foo":["bar","qux","baz"]}"#,
            r#"[{"op":"remove","path":"/foo/1"}]"#,
            r#"{"foo":["bar","baz"]}"#,
        ),
        (
            r#"{"baz":"qux","foo":"bar"}"#,
            r#"[{"op":"replace","path":"/baz","value":"boo"}]"#,
            r#"{"baz":"boo","foo":"bar"}"#,
        ),
        (
            r#"{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}"#,
            r#"[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]"#,
            r#"{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}"#,
        ),
        (
            r#"{"foo":["all","grass","cows","eat"]}"#,
            r#"[{"op":"move","from":"/foo/1","path":"/foo/3"}]"#,
            r#"{"foo":["all","cows","eat","grass"]}"#,
        ),
        (
            r#"{"baz":"qux","foo":["a",2,"c"]}"#,
            r#"[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]"#,
            r#"{"baz":"qux","foo":["a",2,"c"]}"#,
        ),
        (r#"{"baz":"qux"}"#, r#"[{"op":"test","path":"/baz","value":"bar"}]"#, "-"),
        (
            r#"{"foo":"bar"}"#,
            r#"[{"op":"add","path":"/child","value":{"grandchild":{}}}]"#,
            r#"{"foo":"bar","child":{"grandchild":{}}}"#,
        ),
        (
            r#"{"foo":"bar"}"#,
            r#"[{"op":"add","path":"/baz","value":"qux","xyz":123}]"#,
            r#"{"foo":"bar","baz":"qux"}"#,
        ),
        (r#"{"foo":"bar"}"#, r#"[{"op":"add","path":"/baz/bat","value":"qux"}]"#, "-"),
        (r#"{"/":9,"~1":10}"#, r#"[{"op":"test","path":"/~01","value":10}]"#, r#"{"/":9,"~1":10}"#),
        (r#"{"/":9,"~1":10}"#, r#"[{"op":"test","path":"/~01","value":"10"}]"#, "-"),
        (
            r#"{"foo":["bar"]}"#,
            r#"[{"op":"add","path":"/foo/-","value":["abc","def"]}]"#,
            r#"{"foo":["bar",["abc","def"]]}"#,
        ),
        // Beyond the appendix.
        (r#"{"foo":[1]}"#, r#"[{"op":"add","path":"/foo/2","value":2}]"#, "-"),
        (r#"{"foo":[1]}"#, r#"[{"op":"replace","path":"/foo/-","value":2}]"#, "-"),
        (r#"{"foo":[1]}"#, r#"[{"op":"replace","path":"/foo/00","value":2}]"#, "-"),
        (r#"{"foo":[1]}"#, r#"[{"op":"remove","path":""}]"#, "-"),
        (r#"{"foo":[1]}"#, r#"[{"op":"replace","path":"","value":{"a": 1}}]"#, r#"{"a":1}"#),
        (r#"{"foo":[1]}"#, r#"[{"op":"replace","path":"","value":[1]}]"#, "-"),
        (r#"{"foo":{"_id":1}}"#, r#"[{"op":"copy","from":"/foo","path":""}]"#, "-"),
        (
            r#"{"foo":[1]}"#,
            r#"[{"op":"copy","from":"/foo","path":"/foo/0"},{"op":"copy","from":"","path":"/all"}]"#,
            r#"{"foo":[[1],1],"all":{"foo":[[1],1]}}"#,
        ),
        (r#"{"foo":1}"#, r#"[{"op":"move","from":"/foo","path":"/foo"}]"#, r#"{"foo":1}"#),
        (
            r#"{"n":12345678901234567890,"f":1.0}"#,
            r#"[{"op":"move","from":"/n","path":"/m"}]"#,
            r#"{"f":1.0,"m":12345678901234567890}"#,
        ),
    ] {
        let patch = minify(patch.as_bytes()).unwrap();
        let patched = Patch::parse(&patch).unwrap().apply(document.as_bytes());
        let seen = patched.map_or_else(|_| "-".to_owned(), |it| String::from_utf8(it).unwrap());
        assert_eq!(seen, expected, "{document} {}", String::from_utf8_lossy(&patch));
    }
}

#[test]
fn copies_do_not_grow_for_ever_and_nothing_gets_too_deep() {
    let double = r#"{"op":"copy","from":"","path":"/l/-"}"#;
    let patch = format!("[{}]", vec![double; 100].join(","));
    let patch = Patch::parse(patch.as_bytes()).unwrap();
    assert!(patch.apply(br#"{"l":["0123456789"]}"#).unwrap_err().to_string().contains("copies"));
    let deeper = format!(
        r#"[{{"op":"add","path":"/{}","value":{}{}}}]"#,
        vec!["a"; 200].join("/"),
        "[".repeat(57),
        "]".repeat(57)
    );
    let deep = format!("{}{}", "{\"a\":".repeat(199), "{}".to_owned() + &"}".repeat(199));
    let patched = Patch::parse(deeper.as_bytes()).unwrap().apply(deep.as_bytes());
    assert!(patched.unwrap_err().to_string().contains("too deep"));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-9_i64..9).prop_map(Value::from),
        "[a-c\"\\\\é/~]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            object_of(inner),
        ]
    })
}

fn object_of(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let members = prop::collection::btree_map("[a-c\"~/é]{1,2}", inner, 0..4);
    members.prop_map(|it| Value::Object(it.into_iter().collect::<Map<_, _>>()))
}

fn object() -> impl Strategy<Value = Value> {
    object_of(value())
}

/// The pseudocode of RFC 7386, section 2.
fn merged(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut target = target.as_object().cloned().unwrap_or_default();
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            let before = target.get(name).cloned().unwrap_or(Value::Null);
            target.insert(name.clone(), merged(&before, value));
        }
    }
    Value::Object(target)
}

/// A patch that makes `b` of `a`, member by member.
fn difference(a: &Value, b: &Value, path: &str, steps: &mut Vec<Value>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            for (name, value) in a {
                let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
                match b.get(name) {
                    None => steps.push(json!({"op": "remove", "path": path})),
                    Some(other) => difference(value, other, &path, steps),
                }
            }
            for (name, value) in b.iter().filter(|(name, _)| !a.contains_key(*name)) {
                let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
                steps.push(json!({"op": "add", "path": path, "value": value}));
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                difference(a, b, &format!("{path}/{at}"), steps);
            }
            for at in (b.len()..a.len()).rev() {
                steps.push(json!({"op": "remove", "path": format!("{path}/{at}")}));
            }
            for value in b.iter().skip(a.len()) {
                steps.push(json!({"op": "add", "path": format!("{path}/-"), "value": value}));
            }
        }
        (a, b) if a != b => steps.push(json!({"op": "replace", "path": path, "value": b})),
        _ => {}
    }
    steps.push(json!({"op": "test", "path": path, "value": b}));
}

proptest! {
    #[test]
    fn merging_is_what_the_rfc_writes_down(target in object(), patch in object()) {
        let out = merge(target.to_string().as_bytes(), patch.to_string().as_bytes());
        validate(&out).unwrap();
        let seen: Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(seen, merged(&target, &patch));
    }

    #[test]
    fn a_patch_of_the_difference_makes_one_of_the_other(a in object(), b in object()) {
        let mut steps = Vec::new();
        difference(&a, &b, "", &mut steps);
        prop_assume!(steps.len() <= 200);
        let patch = Value::from(steps).to_string();
        let patched = Patch::parse(patch.as_bytes()).unwrap().apply(a.to_string().as_bytes());
        let patched = patched.unwrap();
        validate(&patched).unwrap();
        let seen: Value = serde_json::from_slice(&patched).unwrap();
        prop_assert_eq!(seen, b);
    }

    #[test]
    fn a_copy_and_a_move_back_change_nothing(document in object(), added in value()) {
        let mut with = document.clone();
        with["zz"] = added.clone();
        let patch = json!([
            {"op": "copy", "from": "/zz", "path": "/yy"},
            {"op": "test", "path": "/yy", "value": added},
            {"op": "remove", "path": "/zz"},
            {"op": "move", "from": "/yy", "path": "/zz"},
        ]);
        let patched = Patch::parse(patch.to_string().as_bytes()).unwrap().apply(with.to_string().as_bytes());
        let seen: Value = serde_json::from_slice(&patched.unwrap()).unwrap();
        prop_assert_eq!(seen, with);
    }
}
