//! Many clients at once, on one document that all of them write: there is one order in which all answers are right,
//! and it keeps to real time.
//!
//! Each transaction puts its name at the end of a list, in the write in which it takes from the stock, so the list is
//! the order. What was refused is placed by the document that it was shown.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use settle_database::Fate;
use settle_engine::{Engine, memory::MemoryEngine};
use settle_model::json::{elements, members, string_value};

use super::world::{ask, said, show};
use crate::support::{TestDatabase, TestStore, embedded};

const CLIENTS: usize = 32;
const STOCK: usize = 120;

/// One transaction, as its client saw it.
struct Event {
    name: String,
    began: usize,
    ended: usize,
    /// The boxes that were taken, or the names that had taken before it was refused.
    outcome: Result<usize, Vec<String>>,
}

fn member<'a>(object: &'a [u8], name: &str) -> &'a [u8] {
    members(object).find(|(key, _)| *key == name).map_or(b"", |(_, value)| value)
}

fn number(json: &[u8]) -> usize {
    str::from_utf8(json).unwrap().parse().unwrap()
}

fn names(json: &[u8]) -> Vec<String> {
    elements(json).map(|it| string_value(it).unwrap().into_owned()).collect()
}

async fn client(
    database: Arc<TestDatabase>,
    me: usize,
    turns: usize,
    clock: Arc<AtomicUsize>,
) -> Vec<Event> {
    let mut events = Vec::new();
    for turn in 0..turns {
        let name = format!("{me}-{turn}");
        // Some are greedy, and refused when the stock gets low.
        let (want, least) = (1 + (me + turn) % 5, 1 + (me + turn) % 3);
        let least = least.min(want);
        let transaction = format!(
            r#"{{"id":"{name}","require":[{{"id":"stock","match":{{"boxes":{{"$gte":{least}}}}}}}],"writes":[{{"id":"stock","ops":[{{"take":{{"field":"boxes","want":{want},"least":{least}}}}},{{"append":{{"field":"log","value":"{name}"}}}}]}}]}}"#
        );
        let began = clock.fetch_add(1, Ordering::SeqCst);
        let fates = ask(&database, &format!("client-{me}"), &transaction).await;
        let ended = clock.fetch_add(1, Ordering::SeqCst);
        let Fate::Decided { accepted, answer } = &fates[0] else { panic!("{}", said(&fates[0])) };
        let outcome = if *accepted {
            Ok(number(member(member(member(answer, "taken"), "stock"), "boxes")))
        } else {
            Err(names(member(member(member(answer, "current"), "stock"), "log")))
        };
        events.push(Event { name, began, ended, outcome });
    }
    events
}

/// Replays the order that the list tells, and compares every answer.
fn check(log: &[String], left: usize, events: &[Event]) {
    let place = |name: &str| log.iter().position(|it| it == name);
    let mut boxes = STOCK;
    let mut stocks = vec![STOCK];
    for name in log {
        let event = events.iter().find(|it| it.name == *name).expect("nobody else writes");
        let taken = *event.outcome.as_ref().expect("what is in the list was accepted");
        let (me, turn) = name.split_once('-').unwrap();
        let want = 1 + (me.parse::<usize>().unwrap() + turn.parse::<usize>().unwrap()) % 5;
        assert_eq!(taken, want.min(boxes), "{name}");
        boxes -= taken;
        stocks.push(boxes);
    }
    assert_eq!(boxes, left);
    // A place for each: of what was accepted that in the list, of what was refused behind what it was shown.
    let placed: Vec<(f64, &Event)> = events
        .iter()
        .map(|event| match &event.outcome {
            Ok(_) => (place(&event.name).expect("what was accepted is in the list") as f64, event),
            Err(shown) => {
                assert!(log.starts_with(shown), "{} was shown a state that never was", event.name);
                let (me, turn) = event.name.split_once('-').unwrap();
                let sum = me.parse::<usize>().unwrap() + turn.parse::<usize>().unwrap();
                let least = (1 + sum % 3).min(1 + sum % 5);
                assert!(stocks[shown.len()] < least, "{} was refused for nothing", event.name);
                (shown.len() as f64 - 0.5, event)
            }
        })
        .collect();
    for (a_place, a) in &placed {
        for (b_place, b) in &placed {
            assert!(
                a.ended > b.began || a_place <= b_place,
                "{} ended before {} began",
                a.name,
                b.name
            );
        }
    }
}

async fn run(engine: Arc<dyn Engine>, turns: usize) {
    let store = TestStore::on(engine).await;
    let database = Arc::new(store.create("shop").await);
    database.put("stock", None, &format!(r#"{{"boxes":{STOCK},"log":[]}}"#)).await.unwrap();
    let clock = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|me| tokio::spawn(client(database.clone(), me, turns, clock.clone())))
        .collect();
    let mut events = Vec::new();
    for client in clients {
        events.append(&mut client.await.unwrap());
    }
    let stock = show(&database, "stock").await;
    let log = names(member(stock.as_bytes(), "log"));
    check(&log, number(member(stock.as_bytes(), "boxes")), &events);
    assert!(events.iter().any(|it| it.outcome.is_err()), "some came too late");
    database.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_one_order_in_which_all_answers_are_right() {
    for _ in 0..5 {
        run(Arc::new(MemoryEngine::new()), 6).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_on_the_embedded_engine() {
    let (_folder, engine) = embedded();
    run(engine, 4).await;
}
