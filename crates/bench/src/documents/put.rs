//! Single durable writes, beside the raw engine with as many writers, and the disk's syncs.

use std::time::Duration;

use crate::{
    bench::{Bench, Repeat, make_database, remove_database, send_all},
    client::Target,
    notes::{self, Order},
    raw::{RawStore, Recorder, syncs},
    round::{Goal, Sample, Side, alternate, sample},
    usage::Pid,
};

const BYTES: usize = 300;

pub(super) fn run(bench: &mut Bench) -> Result<(), anyhow::Error> {
    let cases = [
        (1, "1 connection", Goal::SpeedAtLeast(0.7)),
        (16, "16 connections", Goal::None),
        (64, "64 connections", Goal::SpeedAtLeast(0.5)),
    ];
    for (connections, words, goal) in cases {
        let name = format!("PUT a document of {BYTES} B, {words}");
        if bench.wants(&name) {
            measure(bench, &name, connections, goal)?;
        }
    }
    Ok(())
}

fn measure(
    bench: &mut Bench,
    name: &str,
    connections: usize,
    goal: Goal,
) -> Result<(), anyhow::Error> {
    let server = bench.server()?;
    let runtime = &bench.runtime;
    let database = format!("bench-put-{connections}");
    // With many connections a group shares its syncs, but one connection does not get faster.
    let per_round = bench.extent.puts_max * if connections == 1 { 1 } else { 5 };
    let numbers = |round: usize| {
        let from = round as u64 * per_round;
        from..from + per_round
    };
    let raw = RawStore::open(&bench.path().join(&database))?;
    let recorder = runtime.block_on(Recorder::new())?;
    let time = bench.extent.time;

    let (numbers, database) = (&numbers, &*database);
    let side = |name, target: &Target, pid: Option<Pid>| {
        runtime.block_on(make_database(target, database))?;
        let mut connections = runtime.block_on(target.connections(connections))?;
        let target = target.clone();
        Ok::<_, anyhow::Error>(Side::new(name, move |round| {
            let requests: Vec<_> = numbers(round).map(|it| put(&target, database, it)).collect();
            sample(pid, || {
                let sent = send_all(&mut connections, &requests, Repeat::Never, time);
                runtime.block_on(sent)
            })
        }))
    };
    let mut sides = vec![
        side("settle", &server.target, Some(server.process.pid()))?,
        Side::new("raw engine", |round| {
            let batches = recorder.batches(Order::Random, numbers(round), BYTES, 1);
            let batches = runtime.block_on(batches)?;
            sample(Some(Pid::own()), || runtime.block_on(raw.commit(batches, connections, time)))
        }),
        disk_side(bench, time),
    ];
    if let Some(peer) = &bench.peer {
        sides.push(side("peer", peer, None)?);
    }
    let measure = alternate(name, "writes", goal, sides)?;
    if let Some(peer) = &bench.peer {
        runtime.block_on(remove_database(peer, database))?;
    }
    bench.add(measure);
    bench.note_memory(name, &server.process)
}

/// How often this disk can sync a page. A commit of the embedded engine syncs twice.
fn disk_side(bench: &Bench, time: Duration) -> Side<'_> {
    Side::new("syncs of a page", move |_| -> Result<Sample, anyhow::Error> {
        sample(Some(Pid::own()), || syncs(bench.path(), time))
    })
}

fn put(target: &Target, database: &str, number: u64) -> Vec<u8> {
    let path = format!("/{database}/{}", Order::Random.id(number));
    target.json("PUT", &path, notes::body(number, BYTES).as_bytes())
}
