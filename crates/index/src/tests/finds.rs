//! Finding documents: whatever is asked of whatever indexes, the same is found as by looking at every
//! document.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use proptest::prelude::*;
use settle_query::{
    collate::{Collation, sort_key},
    mango::FindRequest,
    selector::{FieldPath, Found, Selector},
};

use super::world::{Db, World, mango};
use crate::{FindError, Indexes};

#[derive(Debug, Clone)]
enum Step {
    Put(u8, String),
    Delete(u8),
    Ask(Question),
}

#[derive(Debug, Clone)]
struct Question {
    selector: String,
    sort: Vec<&'static str>,
    descending: bool,
    page: u64,
    covered: bool,
}

const FIELDS: [&str; 3] = ["a", "b", "c"];

fn document() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec![
        "null",
        "1",
        "1.0",
        "2",
        "3",
        "\"x\"",
        "\"X\"",
        "\"xy\"",
        "\"é\"",
        "[1]",
        "{\"b\":1}",
    ]);
    let members = prop::collection::btree_map(prop::sample::select(FIELDS.to_vec()), value, 0..4);
    members.prop_map(|members| object(&members))
}

fn object(members: &BTreeMap<&str, &str>) -> String {
    let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn question() -> impl Strategy<Value = Question> {
    let values = vec!["null", "1", "2", "\"x\"", "\"xy\"", "[1]"];
    let operators = vec!["$lt", "$lte", "$eq", "$gte", "$gt", "$ne"];
    let condition = (prop::sample::select(operators), prop::sample::select(values))
        .prop_map(|(operator, value)| format!("{{\"{operator}\":{value}}}"));
    let condition = prop_oneof![
        4 => condition,
        1 => Just("{\"$exists\":true}".to_owned()),
        1 => Just("{\"$beginsWith\":\"x\"}".to_owned()),
    ];
    let conditions =
        prop::collection::btree_map(prop::sample::select(FIELDS.to_vec()), condition, 0..4);
    let sort = prop::sample::subsequence(FIELDS.to_vec(), 0..3).prop_shuffle();
    (conditions, sort, any::<bool>(), 1_u64..6, any::<bool>()).prop_map(
        |(conditions, sort, descending, page, covered)| {
            let conditions: BTreeMap<_, _> =
                conditions.iter().map(|(key, value)| (*key, value.as_str())).collect();
            Question { selector: object(&conditions), sort, descending, page, covered }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<u8>(), document()).prop_map(|(id, body)| Step::Put(id % 24, body)),
        1 => any::<u8>().prop_map(|id| Step::Delete(id % 24)),
        3 => question().prop_map(Step::Ask),
    ]
}

impl Question {
    fn request(&self, bookmark: Option<&str>) -> FindRequest {
        let direction = if self.descending { "desc" } else { "asc" };
        let sort: Vec<_> =
            self.sort.iter().map(|name| format!("{{\"{name}\":\"{direction}\"}}")).collect();
        let mut request = format!(
            "{{\"selector\":{},\"sort\":[{}],\"limit\":{},\"count\":true",
            self.selector,
            sort.join(","),
            self.page,
        );
        if self.covered {
            let mut fields = vec!["\"_id\"".to_owned()];
            fields.extend(self.sort.iter().map(|name| format!("\"{name}\"")));
            write!(request, ",\"fields\":[{}]", fields.join(",")).unwrap();
        }
        if let Some(bookmark) = bookmark {
            write!(request, ",\"bookmark\":\"{bookmark}\"").unwrap();
        }
        request.push('}');
        FindRequest::parse(request.as_bytes()).unwrap()
    }

    /// All pages, one behind the other; `None` if no index has this order.
    async fn answer(&self, indexes: &Indexes, db: &Db) -> Option<(Vec<String>, u64)> {
        let (mut documents, mut bookmark): (Vec<String>, Option<String>) = (Vec::new(), None);
        loop {
            let request = self.request(bookmark.as_deref());
            let mut finding = match indexes.find(&db.db, db.read.clone(), request).await {
                Ok(finding) => finding,
                Err(FindError::Request(_)) => return None,
                Err(error) => panic!("{error}"),
            };
            let mut found = Vec::new();
            while let Some(piece) = finding.next().await.unwrap() {
                found.extend(piece.into_iter().map(|it| String::from_utf8(it).unwrap()));
            }
            let ending = finding.end().await.unwrap();
            assert!(found.len() as u64 <= self.page);
            if found.is_empty() {
                return Some((documents, ending.count.unwrap()));
            }
            documents.extend(found);
            bookmark = ending.bookmark;
        }
    }

    fn check(&self, found: &[String], count: u64, documents: &BTreeMap<String, String>) {
        let selector = Selector::parse(self.selector.as_bytes()).unwrap();
        let has_order =
            |document: &str| self.sort.iter().all(|name| value(document, name).is_some());
        let selected = documents.iter().filter(|(_, it)| selector.matches(it.as_bytes()));
        assert_eq!(count, selected.clone().count() as u64, "{self:?}");
        let mut expected: Vec<&String> =
            selected.filter(|(_, it)| has_order(it)).map(|(id, _)| id).collect();
        let ids: Vec<String> = found
            .iter()
            .map(|it| {
                settle_model::json::string_value(&value(it, "_id").unwrap()).unwrap().into_owned()
            })
            .collect();
        let keys: Vec<Vec<Vec<u8>>> = ids
            .iter()
            .map(|id| {
                let values = self.sort.iter().map(|name| value(&documents[id], name).unwrap());
                values.map(|it| sort_key(&it, Collation::Unicode)).collect()
            })
            .collect();
        if self.descending {
            assert!(keys.iter().rev().is_sorted(), "{self:?} {found:?}");
        } else {
            assert!(keys.is_sorted(), "{self:?} {found:?}");
        }
        let mut ids: Vec<&String> = ids.iter().collect();
        ids.sort();
        expected.sort();
        assert_eq!(ids, expected, "{self:?}");
    }
}

fn value(document: &str, name: &str) -> Option<Vec<u8>> {
    match FieldPath::parse(name).unwrap().find(document.as_bytes()) {
        Found::Value(value) => Some(value.to_vec()),
        Found::Missing | Found::BadPath => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn an_index_finds_what_every_document_says(
        indexes in prop::collection::vec(
            prop::sample::subsequence(FIELDS.to_vec(), 1..=3).prop_shuffle(),
            0..4,
        ),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            let db = world.create("finds").await;
            let names: Vec<_> = (0..indexes.len()).map(|at| format!("i{at}")).collect();
            let views: Vec<_> =
                names.iter().zip(&indexes).map(|(name, it)| (name.as_str(), it.as_slice())).collect();
            if !views.is_empty() {
                db.put("_design/d", &mango(&views)).await;
            }
            let mut documents = BTreeMap::new();
            for step in &steps {
                match step {
                    Step::Put(id, body) => {
                        let id = format!("{id:02}");
                        db.put(&id, body).await;
                        documents.insert(id, body.clone());
                    }
                    Step::Delete(id) => {
                        let id = format!("{id:02}");
                        db.delete(&id).await;
                        documents.remove(&id);
                    }
                    Step::Ask(question) => {
                        if let Some((found, count)) = question.answer(&world.indexes, &db).await {
                            question.check(&found, count, &documents);
                        }
                    }
                }
            }
            world.indexes.close().await;
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_built_anew_is_not_asked_as_it_was() {
    let world = World::new().await;
    let db = world.create("anew").await;
    db.put("x", "{\"a\":1,\"b\":2}").await;
    db.put("_design/d", &mango(&[("v", &["a"])])).await;
    let ask = async |request: &str| {
        let request = FindRequest::parse(request.as_bytes()).unwrap();
        let mut finding = world.indexes.find(&db.db, db.read.clone(), request).await.unwrap();
        finding.next().await.unwrap().unwrap_or_default().len()
    };
    assert_eq!(ask("{\"selector\":{\"a\":1},\"fields\":[\"a\"]}").await, 1);
    db.put("_design/d", &mango(&[("v", &["b"])])).await;
    assert_eq!(ask("{\"selector\":{\"b\":2},\"fields\":[\"b\"],\"update\":false}").await, 1);
    assert_eq!(ask("{\"selector\":{\"b\":1},\"fields\":[\"b\"],\"update\":false}").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_cut_where_they_are_stored_are_found() {
    let world = World::new().await;
    let db = world.create("long").await;
    let long = |end: &str| format!("\"{}{end}\"", "x".repeat(900));
    for end in ["a", "b", "c"] {
        db.put(end, &format!("{{\"v\":{}}}", long(end))).await;
    }
    db.put("_design/d", &mango(&[("v", &["v"])])).await;
    for (condition, expected) in [
        (long("b"), 1),
        (format!("{{\"$gt\":{}}}", long("a")), 2),
        ("{\"$gt\":\"x\"}".to_owned(), 3),
    ] {
        let request = format!("{{\"selector\":{{\"v\":{condition}}},\"count\":true,\"limit\":1}}");
        let request = FindRequest::parse(request.as_bytes()).unwrap();
        let mut finding = world.indexes.find(&db.db, db.read.clone(), request).await.unwrap();
        while finding.next().await.unwrap().is_some() {}
        assert_eq!(finding.end().await.unwrap().count, Some(expected));
    }
    let shared: Arc<_> = world.indexes.mango_indexes(&db.db, &db.read).await.unwrap();
    assert_eq!(shared.len(), 2);
}
