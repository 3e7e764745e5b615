//! A thousand documents in a request, beside raw engine batches of the same records.

use std::time::Duration;

use crate::{
    bench::{Bench, Repeat, make_database, remove_database, send_all},
    client::Target,
    notes::{self, Order},
    raw::{RawStore, Recorder},
    round::{Goal, Side, alternate, sample},
    usage::Pid,
};

const DATABASE: &str = "bench-bulk";
const EACH: u64 = 1_000;
const GOAL: Goal = Goal::SpeedAtLeast(0.4);

/// A round is so many requests, however long they take.
const NO_END: Duration = Duration::from_secs(600);

pub(super) fn run(bench: &mut Bench) -> Result<(), anyhow::Error> {
    for bytes in [300, 1024] {
        for order in Order::ALL {
            let name = format!("_bulk_docs of {EACH} × {bytes} B, {} ids", order.name());
            if bench.wants(&name) {
                measure(bench, &name, order, bytes)?;
            }
        }
    }
    Ok(())
}

fn measure(bench: &mut Bench, name: &str, order: Order, bytes: usize) -> Result<(), anyhow::Error> {
    let server = bench.server()?;
    let runtime = &bench.runtime;
    let count = bench.extent.bulk_requests;
    let raw = RawStore::open(&bench.path().join(format!("raw-{bytes}-{}", order.name())))?;
    let recorder = runtime.block_on(Recorder::new())?;

    let side = |name, target: &Target, pid: Option<Pid>| {
        runtime.block_on(make_database(target, DATABASE))?;
        let mut connections = runtime.block_on(target.connections(1))?;
        let target = target.clone();
        Ok::<_, anyhow::Error>(Side::new(name, move |round| {
            let first = round as u64 * count;
            let requests: Vec<_> = (first..first + count)
                .map(|request| {
                    let numbers = request * EACH..(request + 1) * EACH;
                    let body = notes::bulk(order, numbers, bytes);
                    target.json("POST", &format!("/{DATABASE}/_bulk_docs"), body.as_bytes())
                })
                .collect();
            sample(pid, || {
                let sent = send_all(&mut connections, &requests, Repeat::Never, NO_END);
                Ok(runtime.block_on(sent)? * EACH)
            })
        }))
    };
    let mut sides = vec![
        side("settle", &server.target, Some(server.process.pid()))?,
        Side::new("raw engine", |round| {
            let first = round as u64 * count * EACH;
            let each = usize::try_from(EACH).expect("a thousand");
            let batches = recorder.batches(order, first..first + count * EACH, bytes, each);
            let batches = runtime.block_on(batches)?;
            sample(
                Some(Pid::own()),
                || Ok(runtime.block_on(raw.commit(batches, 1, NO_END))? * EACH),
            )
        }),
    ];
    if let Some(peer) = &bench.peer {
        sides.push(side("peer", peer, None)?);
    }
    let measure = alternate(name, "documents", GOAL, sides)?;
    if let Some(peer) = &bench.peer {
        runtime.block_on(remove_database(peer, DATABASE))?;
    }
    bench.add(measure);
    bench.note_memory(name, &server.process)
}
