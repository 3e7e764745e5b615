//! A transaction with one write, beside a `PUT` of the same document to the same server.

use crate::{
    bench::{Bench, Repeat, make_database, send_all},
    client::Target,
    notes::{self, Order},
    round::{Goal, Side, alternate, sample},
};

const BYTES: usize = 300;
/// Of the design document whose function writes the same.
const FUNCTION: &str = r#"{"transactions":{"put":"function (db, doc) { db.put(doc) }"}}"#;

pub(super) fn run(bench: &mut Bench) -> Result<(), anyhow::Error> {
    for (connections, words, goal) in [
        (1, "1 connection", Goal::None),
        (16, "16 connections", Goal::None),
        (64, "64 connections", Goal::SpeedAtLeast(0.8)),
    ] {
        let name = format!("_transact with one write, {words}");
        if bench.wants(&name) {
            measure(bench, &name, connections, goal, transaction)?;
        }
    }
    let name = "_transact with a function, 64 connections";
    if bench.wants(name) {
        measure(bench, name, 64, Goal::None, call)?;
    }
    Ok(())
}

fn measure(
    bench: &mut Bench,
    name: &str,
    connections: usize,
    goal: Goal,
    ours: fn(&Target, &str, u64) -> Vec<u8>,
) -> Result<(), anyhow::Error> {
    let server = bench.server()?;
    let runtime = &bench.runtime;
    let per_round = bench.extent.puts_max * if connections == 1 { 1 } else { 5 };
    let (target, pid) = (&server.target, Some(server.process.pid()));
    let time = bench.extent.time;
    let side = |name, database: &'static str, request: fn(&Target, &str, u64) -> Vec<u8>| {
        runtime.block_on(make_database(target, database))?;
        let design = target.json("PUT", &format!("/{database}/_design/d"), FUNCTION.as_bytes());
        runtime.block_on(async { target.connect().await?.expect(&design).await })?;
        let mut connections = runtime.block_on(target.connections(connections))?;
        Ok::<_, anyhow::Error>(Side::new(name, move |round| {
            let from = round as u64 * per_round;
            let numbers = from..from + per_round;
            let requests: Vec<_> = numbers.map(|it| request(target, database, it)).collect();
            sample(pid, || {
                let sent = send_all(&mut connections, &requests, Repeat::Never, time);
                runtime.block_on(sent)
            })
        }))
    };
    let sides = vec![side("_transact", "bench-transact", ours)?, side("PUT", "bench-put", put)?];
    let measure = alternate(name, "writes", goal, sides)?;
    bench.add(measure);
    bench.note_memory(name, &server.process)
}

fn put(target: &Target, database: &str, number: u64) -> Vec<u8> {
    let path = format!("/{database}/{}", Order::Random.id(number));
    target.json("PUT", &path, notes::body(number, BYTES).as_bytes())
}

fn transaction(target: &Target, database: &str, number: u64) -> Vec<u8> {
    let (id, body) = (Order::Random.id(number), notes::body(number, BYTES));
    let writes = format!(r#""writes":[{{"id":"{id}","put":{body}}}]"#);
    exchange(target, database, number, &writes)
}

fn call(target: &Target, database: &str, number: u64) -> Vec<u8> {
    let document = notes::document(Order::Random, number, BYTES);
    let call = format!(r#""call":{{"function":"d/put","args":{document}}}"#);
    exchange(target, database, number, &call)
}

fn exchange(target: &Target, database: &str, number: u64, what: &str) -> Vec<u8> {
    let id = Order::Ordered.id(number);
    let text = format!(r#"{{"client":"bench","transactions":[{{"id":"{id}",{what}}}]}}"#);
    target.json("POST", &format!("/{database}/_transact"), text.as_bytes())
}
