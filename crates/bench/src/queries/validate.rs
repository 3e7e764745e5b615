//! Single writes that a function looks at first.

use crate::{
    bench::{Bench, Repeat, make_database, send_all},
    client::Target,
    notes::{self, Order},
    round::{Goal, Side, alternate, sample},
};

const BYTES: usize = 300;
const CONNECTIONS: usize = 64;
const DESIGN: &[u8] =
    br#"{"validate_doc_update":"function (doc) { if (!doc.kind) { throw { forbidden: 'no kind' }; } }"}"#;

pub(super) fn run(bench: &mut Bench) -> Result<(), anyhow::Error> {
    let name = "PUT with a validator, 64 connections, beside PUT without";
    if !bench.wants(name) {
        return Ok(());
    }
    let server = bench.server()?;
    let (runtime, target) = (&bench.runtime, &server.target);
    let per_round = bench.extent.puts_max * 5;
    let (time, pid) = (bench.extent.time, Some(server.process.pid()));
    let side = |name, database: &'static str, validated: bool| {
        runtime.block_on(make_database(target, database))?;
        if validated {
            let design = target.json("PUT", &format!("/{database}/_design/v"), DESIGN);
            runtime.block_on(async { target.connect().await?.expect(&design).await })?;
        }
        let mut connections = runtime.block_on(target.connections(CONNECTIONS))?;
        Ok::<_, anyhow::Error>(Side::new(name, move |round| {
            let from = round as u64 * per_round;
            let requests: Vec<_> =
                (from..from + per_round).map(|it| put(target, database, it)).collect();
            sample(pid, || {
                runtime.block_on(send_all(&mut connections, &requests, Repeat::Never, time))
            })
        }))
    };
    let sides = vec![
        side("validated", "bench-validated", true)?,
        side("not validated", "bench-not-validated", false)?,
    ];
    let measure = alternate(name, "writes", Goal::SpeedAtLeast(0.6), sides)?;
    bench.add(measure);
    bench.note_memory(name, &server.process)
}

fn put(target: &Target, database: &str, number: u64) -> Vec<u8> {
    let path = format!("/{database}/{}", Order::Random.id(number));
    target.json("PUT", &path, notes::body(number, BYTES).as_bytes())
}
