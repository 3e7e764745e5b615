//! Random lives of a database: what the index shows at any time is what one that is built from
//! nothing at that moment shows.

use proptest::prelude::*;
use settle_engine::faulty::{Fault, Kind};

use super::world::{World, mango, script, settings};
use crate::Update;

#[derive(Debug, Clone)]
enum Op {
    Put {
        id: u8,
        body: String,
    },
    Delete {
        id: u8,
    },
    Graft {
        id: u8,
        name: u8,
        deleted: bool,
        body: String,
    },
    Purge {
        id: u8,
    },
    /// Another definition takes a design document's place.
    Design {
        id: u8,
        body: String,
    },
    DeleteDesign {
        id: u8,
    },
    /// Somebody asks for all views.
    Ask,
    Cleanup,
    /// The indexes' engine does something else some operations from now.
    Fault {
        after: u64,
        fault: Fault,
    },
    /// The process is killed and started.
    Restart,
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        (-3_i32..30).prop_map(|it| it.to_string()),
        "[a-cA-Cäß]{0,3}".prop_map(|it| format!("{it:?}")),
        Just("1.50".to_owned()),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|it| format!("[{}]", it.join(","))),
            inner.prop_map(|it| format!("{{\"x\":{it}}}")),
        ]
    })
}

fn body() -> impl Strategy<Value = String> {
    (prop::option::of(value()), prop::option::of(value()), any::<bool>()).prop_map(
        |(a, b, long)| {
            let mut members =
                vec![format!("\"long\":\"{}\"", "x".repeat(if long { 900 } else { 0 }))];
            members.extend(a.map(|a| format!("\"a\":{a}")));
            members.extend(b.map(|b| format!("\"b\":{b}")));
            format!("{{{}}}", members.join(","))
        },
    )
}

fn mango_design() -> impl Strategy<Value = String> {
    let fields = prop_oneof![
        Just(&["a"][..]),
        Just(&["b", "a"][..]),
        Just(&["a.x"][..]),
        Just(&["long"][..]),
        Just(&["_id"][..]),
    ];
    prop::collection::vec(fields, 1..4).prop_map(|all| {
        let views: Vec<_> = ["u", "v", "w"].into_iter().zip(all).collect();
        mango(&views)
    })
}

const MAPS: &[&str] = &[
    "function (doc) { emit(doc.a, 1); }",
    "function (doc) { emit([doc.b, doc.a], doc.long.length); emit(doc._id, 2); }",
    "function (doc) { if (Array.isArray(doc.a)) doc.a.forEach(function (it) { emit(it, doc.b); }); }",
    "function (doc) { if (doc._conflicts) emit(doc._conflicts, null); }",
    "function (doc) { if (doc.b === true) throw new Error('no'); emit(null, 1); emit(null, 2); }",
    "function (doc) { emit(doc.long, doc.a === undefined ? 0 : 1); }",
];

const REDUCERS: &[Option<&str>] = &[
    None,
    Some("_count"),
    Some("_approx_count_distinct"),
    Some("function (keys, values, again) { return again ? sum(values) : values.length; }"),
];

fn script_design() -> impl Strategy<Value = String> {
    let view = (prop::sample::select(MAPS), prop::sample::select(REDUCERS));
    prop::collection::vec(view, 1..4).prop_map(|all| {
        let named = ["u", "v", "w"].into_iter().zip(all);
        script(&named.map(|(name, (map, reduce))| (name, map, reduce)).collect::<Vec<_>>())
    })
}

fn op(design: impl Strategy<Value = String>) -> impl Strategy<Value = Op> {
    let id = || 0..8_u8;
    let fault = prop_oneof![
        Just(Fault::Fails { storage_full: false }),
        Just(Fault::Crash { applied: true }),
        Just(Fault::Crash { applied: false }),
        Just(Fault::Unknown { applied: true, halts: true }),
        Just(Fault::Unknown { applied: false, halts: true }),
    ];
    prop_oneof![
        12 => (id(), body()).prop_map(|(id, body)| Op::Put { id, body }),
        3 => id().prop_map(|id| Op::Delete { id }),
        4 => (id(), 0..6_u8, any::<bool>(), body())
            .prop_map(|(id, name, deleted, body)| Op::Graft { id, name, deleted, body }),
        2 => id().prop_map(|id| Op::Purge { id }),
        3 => (0..2_u8, design).prop_map(|(id, body)| Op::Design { id, body }),
        1 => (0..2_u8).prop_map(|id| Op::DeleteDesign { id }),
        5 => Just(Op::Ask),
        1 => Just(Op::Cleanup),
        1 => (0..12_u64, fault).prop_map(|(after, fault)| Op::Fault { after, fault }),
        1 => Just(Op::Restart),
    ]
}

async fn live(ops: Vec<Op>, build_bytes_max: usize) {
    let mut world = World::with(settings(build_bytes_max)).await;
    let mut db = world.create("life").await;
    let mut asked = 0;
    for op in ops {
        match op {
            Op::Put { id, body } => db.put(&format!("d{id}"), &body).await,
            Op::Delete { id } => db.delete(&format!("d{id}")).await,
            Op::Graft { id, name, deleted, body } => {
                let name = format!("{name:032x}");
                db.graft(&format!("d{id}"), &format!("1 {name}"), deleted, &body).await;
            }
            Op::Purge { id } => db.purge(&format!("d{id}")).await,
            Op::Design { id, body } => db.put(&format!("_design/{id}"), &body).await,
            Op::DeleteDesign { id } => db.delete(&format!("_design/{id}")).await,
            Op::Ask => {
                asked += 1;
                for entry in world.indexes.designs(&db.db).await.unwrap().usable() {
                    for view in entry.design.view_names() {
                        let update = if asked % 3 == 0 { Update::No } else { Update::Wait };
                        // It may meet the fault.
                        drop(
                            db.ready(&world.indexes, &format!("{}/{view}", entry.name), update)
                                .await,
                        );
                    }
                }
            }
            Op::Cleanup => drop(world.indexes.cleanup(&db.db, &db.admin).await),
            Op::Fault { after, fault } => {
                let counts = world.engine.counts();
                let now = counts.reads + counts.commits + counts.clears + counts.checkpoints;
                world.engine.fail_at(Kind::Any, now + after, fault);
            }
            Op::Restart => {
                world.reopen().await;
                db = world.find("life").await;
            }
        }
    }
    world.reopen().await;
    let db = world.find("life").await;
    let fresh = world.fresh_indexes().await;
    assert_eq!(db.everything(&world.indexes).await, db.everything(&fresh).await);
    fresh.close().await;
    world.indexes.close().await;
    world.store.close().await;
}

fn run(ops: Vec<Op>, build_bytes_max: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .start_paused(false)
        .build()
        .unwrap();
    runtime.block_on(live(ops, build_bytes_max));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn an_index_over_fields_is_what_a_rebuild_makes(
        ops in prop::collection::vec(op(mango_design()), 1..60),
        small in any::<bool>(),
    ) {
        run(ops, if small { 2_000 } else { 1 << 20 });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 100, ..ProptestConfig::default() })]
    #[test]
    fn an_index_of_functions_is_what_a_rebuild_makes(
        ops in prop::collection::vec(op(script_design()), 1..50),
        small in any::<bool>(),
    ) {
        run(ops, if small { 2_000 } else { 1 << 20 });
    }
}
