//! Whatever index is chosen, the range that is read of it holds every document that is selected,
//! and no other where the plan says so.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use settle_query::{
    collate::{Collation, sort_key},
    mango::{FindRequest, Index, NamedIndex, Purpose, document_of_key, plan, sort_indexes},
};

const FIELDS: [&str; 4] = ["a", "b", "c", "a.b"];

proptest! {
    #[test]
    fn an_index_finds_what_a_scan_finds(
        selector in selector(),
        indexes in prop::collection::vec(fields(), 1..4),
        documents in prop::collection::vec(document(), 1..12),
    ) {
        let mut all = vec![Arc::new(Index::AllDocs)];
        for (place, fields) in indexes.iter().enumerate() {
            let fields: Vec<_> = fields.iter().map(|name| format!("\"{name}\":\"asc\"")).collect();
            let map = format!("{{\"fields\":{{{}}}}}", fields.join(","));
            let ddoc = format!("_design/{place}");
            let index = NamedIndex::of_view(&ddoc, "i", map.as_bytes(), false).unwrap();
            all.push(Arc::new(Index::Json(index)));
        }
        sort_indexes(&mut all);
        let request = json!({ "selector": selector, "fields": ["_id"] }).to_string();
        let request = FindRequest::parse(request.as_bytes()).unwrap();
        let plan = plan(&request, &all, false, Purpose::Find).unwrap();
        let Some(Index::Json(index)) = plan.index.as_deref() else { return Ok(()) };
        if plan.ranges.is_empty() {
            let any = documents.iter().any(|it| request.selector.matches(it.to_string().as_bytes()));
            prop_assert!(!any);
            return Ok(());
        }
        let span = plan.ranges.span();
        for document in &documents {
            let text = document.to_string();
            let selected = request.selector.matches(text.as_bytes());
            let mut key = Vec::new();
            let indexed = index.definition.push_key(&mut key, text.as_bytes());
            let sorted = sort_key(&key, Collation::Unicode);
            let read = indexed && span.holds(&sorted);
            prop_assert!(read || !selected, "{} is not read of {:?}", text, index.definition);
            if plan.exact {
                prop_assert_eq!(read, selected, "{}", text);
            }
            if plan.covering && read {
                let derived = document_of_key(index.definition.fields(), "x", &key);
                prop_assert_eq!(request.selector.matches(&derived), selected, "{}", text);
            }
        }
    }
}

fn fields() -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(FIELDS.to_vec(), 1..=3).prop_shuffle()
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        (-2_i64..4).prop_map(Value::from),
        prop::sample::select(vec!["", "a", "A", "ab", "b", "é"]).prop_map(Value::from),
        prop::collection::vec(-1_i64..2, 0..3).prop_map(Value::from),
        prop::option::of(-1_i64..2)
            .prop_map(|it| it.map_or_else(|| json!({}), |b| json!({ "b": b }))),
    ]
}

fn document() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned);
    prop::collection::btree_map(names, value(), 0..4).prop_map(|members| {
        let mut document = json!({ "_id": "x" });
        document.as_object_mut().unwrap().extend(members);
        document
    })
}

fn selector() -> impl Strategy<Value = Value> {
    let operators = vec!["$lt", "$lte", "$eq", "$ne", "$gte", "$gt"];
    let condition = prop_oneof![
        6 => (prop::sample::select(operators), value()).prop_map(|(it, value)| json!({ it: value })),
        1 => any::<bool>().prop_map(|it| json!({ "$exists": it })),
        1 => prop::sample::select(vec!["", "a"]).prop_map(|it| json!({ "$beginsWith": it })),
        1 => prop::collection::vec(value(), 0..3).prop_map(|it| json!({ "$in": it })),
        1 => (0..2).prop_map(|it| json!({ "$size": it })),
    ];
    let field = (prop::sample::select(FIELDS.to_vec()), condition)
        .prop_map(|(name, condition)| json!({ name: condition }));
    let clause = field.prop_recursive(2, 6, 2, |inner| {
        let several = prop::sample::select(vec!["$and", "$or", "$nor"]);
        prop_oneof![
            (several, prop::collection::vec(inner.clone(), 1..3))
                .prop_map(|(operator, all)| json!({ operator: all })),
            inner.prop_map(|it| json!({ "$not": it })),
        ]
    });
    prop::collection::vec(clause, 1..5).prop_map(|all| json!({ "$and": all }))
}
