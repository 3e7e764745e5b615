//! The invoices of `examples/invoices`: what is due by accounting code is what follows from all
//! invoices as they are, whatever happened to them, and in whatever order.

use std::collections::BTreeMap;

use proptest::prelude::*;
use settle_database::Direction;
use settle_query::collate::Collation;

use super::world::{Db, World, rows_of};
use crate::{
    ReadyView, Update,
    tree::{Grouping, Range, ReduceScan},
};

const LIB: &str = include_str!("../../../../examples/invoices/design/lib.js");
const DUE: &str = include_str!("../../../../examples/invoices/design/due.js");
const BALANCE: &str = include_str!("../../../../examples/invoices/design/balance.js");

/// Amounts are cents.
#[derive(Debug, Clone)]
struct Invoice {
    /// Of each line: code and amount of its parts.
    lines: Vec<Vec<(u8, i64)>>,
    payments: Vec<i64>,
}

#[derive(Debug, Clone)]
enum Op {
    Put {
        id: u8,
        invoice: Invoice,
    },
    Delete {
        id: u8,
    },
    /// A version that another replica made of the first one.
    Graft {
        id: u8,
        name: u8,
        deleted: bool,
        invoice: Invoice,
    },
    Purge {
        id: u8,
    },
    Compare,
    Restart,
}

fn invoice() -> impl Strategy<Value = Invoice> {
    let part = (0..5_u8, 1..10_000_i64);
    let line = prop::collection::vec(part, 1..4);
    (prop::collection::vec(line, 1..4), prop::collection::vec(1..10_000_i64, 0..4))
        .prop_map(|(lines, payments)| Invoice { lines, payments })
}

fn op() -> impl Strategy<Value = Op> {
    let id = || 0..12_u8;
    prop_oneof![
        10 => (id(), invoice()).prop_map(|(id, invoice)| Op::Put { id, invoice }),
        3 => id().prop_map(|id| Op::Delete { id }),
        4 => (id(), 0..6_u8, any::<bool>(), invoice())
            .prop_map(|(id, name, deleted, invoice)| Op::Graft { id, name, deleted, invoice }),
        1 => id().prop_map(|id| Op::Purge { id }),
        6 => Just(Op::Compare),
        1 => Just(Op::Restart),
    ]
}

impl Invoice {
    fn to_json(&self) -> String {
        let line = |parts: &Vec<(u8, i64)>| {
            let allocations: Vec<_> = parts
                .iter()
                .map(|(code, amount)| serde_json::json!({ "code": text(*code), "amount": amount }))
                .collect();
            let amount: i64 = parts.iter().map(|(_, amount)| amount).sum();
            serde_json::json!({ "text": "item", "amount": amount, "allocations": allocations })
        };
        let lines: Vec<_> = self.lines.iter().map(line).collect();
        let payments: Vec<_> = self
            .payments
            .iter()
            .map(|amount| serde_json::json!({ "date": "2026-02-01", "amount": amount }))
            .collect();
        let invoice = serde_json::json!({
            "type": "invoice", "number": "R-0001", "customer": "somebody", "date": "2026-01-01",
            "lines": lines, "payments": payments,
        });
        invoice.to_string()
    }
}

fn text(code: u8) -> String {
    format!("44{code:02}")
}

fn design() -> String {
    // The comment above a function is for its readers.
    let function = |source: &'static str| &source[source.find("function").unwrap()..];
    let design = serde_json::json!({ "views": {
        "lib": { "invoices": LIB },
        "due": { "map": function(DUE), "reduce": "_sum" },
        "balance": { "map": function(BALANCE), "reduce": "_count" },
    } });
    design.to_string()
}

/// What is due by code and in each invoice, from the documents: an allocation is settled as far as what
/// was paid reaches beyond all before it.
async fn expected(db: &Db) -> (BTreeMap<String, i64>, Vec<i64>) {
    let (mut by_code, mut balances) = (BTreeMap::new(), Vec::new());
    for document in db.documents().await {
        let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
        let amounts = |list: &serde_json::Value| -> Vec<i64> {
            let list = list.as_array().unwrap().iter();
            list.map(|it| it["amount"].as_i64().unwrap()).collect()
        };
        let paid: i64 = amounts(&document["payments"]).iter().sum();
        let mut before = 0;
        for line in document["lines"].as_array().unwrap() {
            for allocation in line["allocations"].as_array().unwrap() {
                let amount = allocation["amount"].as_i64().unwrap();
                let due = amount - (paid - before).clamp(0, amount);
                before += amount;
                if due > 0 {
                    let code = allocation["code"].as_str().unwrap().to_owned();
                    *by_code.entry(code).or_insert(0) += due;
                }
            }
        }
        balances.extend(Some(before - paid).filter(|due| *due > 0));
    }
    balances.sort_unstable();
    (by_code, balances)
}

async fn compare(world: &World, db: &Db) {
    let (by_code, balances) = expected(db).await;
    let due = db.ready(&world.indexes, "invoices/due", Update::Wait).await.unwrap();
    let groups = reduced(&due, Grouping::Level(1)).await;
    let found: BTreeMap<String, i64> = groups
        .iter()
        .map(|(key, value)| {
            let [code]: [String; 1] = serde_json::from_str(key).unwrap();
            (code, value.parse().unwrap())
        })
        .collect();
    assert_eq!(found, by_code);
    let total: i64 = by_code.values().sum();
    let all = reduced(&due, Grouping::All).await;
    assert_eq!(all.first().map_or("0", |(_, value)| value), total.to_string());

    let balance = db.ready(&world.indexes, "invoices/balance", Update::Wait).await.unwrap();
    let rows = rows_of(&balance).await;
    let found: Vec<i64> = rows.iter().map(|(_, key, _)| key.parse().unwrap()).collect();
    assert_eq!(found, balances);
}

/// Key and value of each group.
async fn reduced(view: &ReadyView, grouping: Grouping) -> Vec<(String, String)> {
    let scan = ReduceScan {
        range: Range::default(),
        reducer: view.place.reducer.unwrap(),
        grouping,
        direction: Direction::Ascending,
        skip: 0,
        limit: u64::MAX,
        partition: Vec::new(),
        collation: Collation::Unicode,
    };
    let (reduced, next) = view.tree.reduce(&*view.engine, scan).await.unwrap();
    assert!(matches!(next, settle_database::Next::Done));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    reduced
        .groups
        .iter()
        .map(|group| (group.key.as_deref().map(text).unwrap_or_default(), text(&group.value)))
        .collect()
}

async fn live(ops: Vec<Op>) {
    let mut world = World::new().await;
    let mut db = world.create("books").await;
    db.put("_design/invoices", &design()).await;
    for op in ops {
        match op {
            Op::Put { id, invoice } => db.put(&format!("R-{id}"), &invoice.to_json()).await,
            Op::Delete { id } => db.delete(&format!("R-{id}")).await,
            Op::Graft { id, name, deleted, invoice } => {
                let revs = format!("1 {name:032x}");
                db.graft(&format!("R-{id}"), &revs, deleted, &invoice.to_json()).await;
            }
            Op::Purge { id } => db.purge(&format!("R-{id}")).await,
            Op::Compare => compare(&world, &db).await,
            Op::Restart => {
                world.reopen().await;
                db = world.find("books").await;
            }
        }
    }
    compare(&world, &db).await;
    world.indexes.close().await;
    world.store.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn what_is_due_by_code_follows_from_the_invoices_as_they_are(
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(2).enable_all().build().unwrap().block_on(live(ops));
    }
}
