//! Selectors over raw JSON, beside an evaluation of the same selector over a tree of values.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;
use serde_json::{Value, json};
use settle_query::{
    collate::{Collation, sort_key},
    selector::Selector,
};

proptest! {
    #[test]
    fn a_compiled_selector_selects_what_a_plain_evaluation_selects(
        selector in selector(),
        documents in prop::collection::vec(document(), 1..6),
    ) {
        let compiled = Selector::parse(selector.to_string().as_bytes()).unwrap();
        for document in documents {
            let expected = plain::selects(&selector, &document);
            let text = document.to_string();
            prop_assert_eq!(compiled.matches(text.as_bytes()), expected, "{} {}", selector, text);
        }
    }

    #[test]
    fn the_normal_form_is_a_selector_that_selects_the_same(
        selector in selector(),
        documents in prop::collection::vec(document(), 1..6),
    ) {
        let compiled = Selector::parse(selector.to_string().as_bytes()).unwrap();
        let normal = compiled.to_json();
        // A field without a name is the element itself, which can only be said inside.
        prop_assume!(!String::from_utf8_lossy(&normal).contains("\"\":"));
        let again = Selector::parse(&normal).unwrap();
        prop_assert_eq!(again.to_json(), normal);
        for document in documents {
            let text = document.to_string();
            prop_assert_eq!(again.matches(text.as_bytes()), compiled.matches(text.as_bytes()));
        }
    }
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "a.b", "b.0", "a.b.c", "é", "a\\.b"])
        .prop_map(str::to_owned)
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2_i64..3).prop_map(Value::from),
        prop::sample::select(vec![0.5, 1.0, -2.0]).prop_map(Value::from),
        prop::sample::select(vec!["", "a", "A", "ab", "b", "é", "\"", "e\u{301}"])
            .prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(
                prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned),
                inner,
                0..3,
            )
            .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn document() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec!["a", "b", "c", "é", "a.b"]).prop_map(str::to_owned);
    prop::collection::btree_map(names, value(), 0..5)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

/// What may be asked of one value.
fn condition() -> impl Strategy<Value = Value> {
    let compare = prop::sample::select(vec!["$lt", "$lte", "$eq", "$ne", "$gte", "$gt"]);
    let values = prop::collection::vec(value(), 0..3);
    let lists = prop::sample::select(vec!["$in", "$nin", "$all"]);
    let types = vec!["null", "boolean", "number", "string", "array", "object"];
    let leaf = prop_oneof![
        3 => (compare, value()).prop_map(|(operator, value)| json!({ operator: value })),
        2 => (lists, values).prop_map(|(operator, values)| json!({ operator: values })),
        1 => any::<bool>().prop_map(|wanted| json!({ "$exists": wanted })),
        1 => prop::sample::select(types).prop_map(|name| json!({ "$type": name })),
        1 => (0..3).prop_map(|size| json!({ "$size": size })),
        1 => (1..3, -1..2).prop_map(|(divisor, rest)| json!({ "$mod": [divisor, rest] })),
        1 => prop::sample::select(vec!["", "a", "é"]).prop_map(|it| json!({ "$beginsWith": it })),
        1 => prop::sample::select(vec!["^a", "b$", "."]).prop_map(|it| json!({ "$regex": it })),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let several = prop::sample::select(vec!["$and", "$or", "$nor"]);
        let quantifier = prop::sample::select(vec!["$elemMatch", "$allMatch", "$keyMapMatch"]);
        prop_oneof![
            (several, prop::collection::vec(inner.clone(), 0..3))
                .prop_map(|(operator, all)| json!({ operator: all })),
            inner.clone().prop_map(|it| json!({ "$not": it })),
            (quantifier, inner.clone()).prop_map(|(operator, it)| json!({ operator: it })),
            (name(), inner).prop_map(|(name, it)| json!({ name: it })),
        ]
    })
}

fn selector() -> impl Strategy<Value = Value> {
    let asked = prop_oneof![condition(), value()];
    let fields = prop::collection::btree_map(name(), asked, 0..3)
        .prop_map(|members| Value::Object(members.into_iter().collect()));
    fields
        .prop_recursive(3, 8, 3, move |inner| {
            let several = prop::sample::select(vec!["$and", "$or", "$nor"]);
            prop_oneof![
                (several, prop::collection::vec(inner.clone(), 0..3))
                    .prop_map(|(operator, all)| json!({ operator: all })),
                inner
                    .prop_filter("`$not` of nothing is `$not` of an empty object", |it| {
                        it.as_object().is_some_and(|it| !it.is_empty())
                    })
                    .prop_map(|it| json!({ "$not": it })),
            ]
        })
        .prop_filter("a condition at the top has a field", |it| {
            Selector::parse(it.to_string().as_bytes()).is_ok()
        })
}

/// The rules as they are explained, not as they are compiled: nothing is put in a normal form, a
/// negation is carried along.
mod plain {
    use super::*;

    pub(super) fn selects(selector: &Value, document: &Value) -> bool {
        let empty = selector.as_object().is_some_and(serde_json::Map::is_empty);
        empty || holds(selector, document, &[], false, false)
    }

    enum Found<'a> {
        Value(&'a Value),
        Missing,
        BadPath,
    }

    /// `inside`: within elements, where a negation holds of whatever its argument does not.
    fn holds(selector: &Value, root: &Value, path: &[String], negated: bool, inside: bool) -> bool {
        let members = match selector.as_object() {
            Some(members) if !members.is_empty() => members,
            Some(_) | None => return applies("$eq", selector, root, path, negated),
        };
        let one =
            |(key, argument): (&String, &Value)| member(key, argument, root, path, negated, inside);
        // Several members are one `$and`.
        if negated && members.len() > 1 { members.iter().any(one) } else { members.iter().all(one) }
    }

    fn member(
        key: &str,
        argument: &Value,
        root: &Value,
        path: &[String],
        negated: bool,
        inside: bool,
    ) -> bool {
        let all = || argument.as_array().unwrap().iter();
        let each = |negated| move |it: &Value| holds(it, root, path, negated, inside);
        let empty = argument.as_array().is_some_and(Vec::is_empty);
        match (key, negated) {
            ("$and", false) => all().all(each(false)),
            ("$or", true) => all().all(each(true)),
            ("$nor", false) if inside => !all().any(each(false)),
            ("$nor", false) => all().all(each(true)),
            ("$or", false) => empty || all().any(each(false)),
            ("$and", true) => empty || all().any(each(true)),
            ("$nor", true) => empty || all().any(each(false)),
            ("$not", _) if inside => !holds(argument, root, path, false, true),
            ("$not", _) => holds(argument, root, path, !negated, false),
            _ if key.starts_with('$') => applies(key, argument, root, path, negated),
            _ => {
                let mut longer = path.to_vec();
                longer.extend(parts(key));
                holds(argument, root, &longer, negated, inside)
            }
        }
    }

    fn parts(name: &str) -> Vec<String> {
        let name = name.replace("\\.", "\u{1}");
        name.split('.').map(|part| part.replace('\u{1}', ".")).collect()
    }

    fn find<'a>(mut value: &'a Value, path: &[String]) -> Found<'a> {
        for part in path {
            let next = match value {
                Value::Object(members) => members.get(part).ok_or(Found::Missing),
                Value::Array(all) => {
                    part.parse().ok().and_then(|at: usize| all.get(at)).ok_or(Found::BadPath)
                }
                _ => Err(Found::BadPath),
            };
            match next {
                Ok(next) => value = next,
                Err(end) => return end,
            }
        }
        Found::Value(value)
    }

    fn applies(
        operator: &str,
        argument: &Value,
        root: &Value,
        path: &[String],
        negated: bool,
    ) -> bool {
        match find(root, path) {
            Found::Value(value) => accepts(operator, argument, value) != negated,
            Found::Missing => operator == "$exists" && argument == &Value::from(negated),
            Found::BadPath => false,
        }
    }

    fn key(value: &Value) -> Vec<u8> {
        sort_key(value.to_string().as_bytes(), Collation::Unicode)
    }

    fn accepts(operator: &str, argument: &Value, value: &Value) -> bool {
        let list = || argument.as_array().unwrap();
        let is_one_of = || match value.as_array() {
            Some(values) => values.iter().any(|it| list().iter().any(|arg| key(arg) == key(it))),
            None => list().iter().any(|arg| key(arg) == key(value)),
        };
        let inner = |value: &Value| holds(argument, value, &[], false, true);
        match operator {
            "$lt" => key(value) < key(argument),
            "$lte" => key(value) <= key(argument),
            "$eq" => key(value) == key(argument),
            "$ne" => key(value) != key(argument),
            "$gte" => key(value) >= key(argument),
            "$gt" => key(value) > key(argument),
            "$in" => is_one_of(),
            "$nin" => !is_one_of(),
            "$exists" => argument == &Value::Bool(true),
            "$all" => value.as_array().is_some_and(|values| {
                !list().is_empty()
                    && (list().iter().all(|it| values.contains(it))
                        || (list().len() == 1 && loosely_equal(&list()[0], value)))
            }),
            "$type" => {
                let name = match value {
                    Value::Null => "null",
                    Value::Bool(_) => "boolean",
                    Value::Number(_) => "number",
                    Value::String(_) => "string",
                    Value::Array(_) => "array",
                    Value::Object(_) => "object",
                };
                argument == name
            }
            "$size" => {
                let size = argument.as_u64().unwrap();
                value.as_array().is_some_and(|it| it.len() as u64 == size)
            }
            "$mod" => value.as_i64().is_some_and(|value| {
                let [divisor, rest] = [0, 1].map(|at| argument[at].as_i64().unwrap());
                value % divisor == rest
            }),
            "$beginsWith" => {
                let prefix = argument.as_str().unwrap();
                value.as_str().is_some_and(|it| it.starts_with(prefix))
            }
            "$regex" => {
                let regex = fancy_regex::Regex::new(argument.as_str().unwrap()).unwrap();
                value.as_str().is_some_and(|it| regex.is_match(it).unwrap())
            }
            "$elemMatch" => value.as_array().is_some_and(|it| it.iter().any(inner)),
            "$allMatch" => {
                value.as_array().is_some_and(|it| !it.is_empty() && it.iter().all(inner))
            }
            "$keyMapMatch" => value
                .as_object()
                .is_some_and(|it| it.keys().any(|key| inner(&Value::from(key.as_str())))),
            _ => unreachable!("{operator} is not generated"),
        }
    }

    /// Numbers by their values, however they are spelt.
    fn loosely_equal(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| loosely_equal(a, b))
            }
            (Value::Object(a), Value::Object(b)) => {
                a.len() == b.len()
                    && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && loosely_equal(a.1, b.1))
            }
            (a, b) => a == b,
        }
    }
}
