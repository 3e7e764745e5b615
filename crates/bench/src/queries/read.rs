//! An index asked: one row, groups, and ranges.

use anyhow::bail;

use super::{ALLOCATIONS_OF_ROWS, Extent, fill, put_view, rows_of, times, view};
use crate::{
    bench::{Bench, Fresh, reading, remove_database},
    client::Target,
    invoices, notes,
    report::{Bound, Finding},
    round::{Goal, alternate, sample},
    usage::Pid,
};

pub(super) const DATABASE: &str = "bench-rows";
const CONNECTIONS: usize = 8;
/// Different documents and keys that are asked for.
const KEYS: u64 = 1_000;

pub(super) fn run(bench: &mut Bench, extent: Extent) -> Result<(), anyhow::Error> {
    let point = "a row of a view by its key, beside a GET of the document";
    let groups = format!("group_level=1, {} groups of {} rows", invoices::ACCOUNTS, extent.rows);
    let ranges = format!("reduce of a random range of {} rows", extent.rows);
    if ![point, &groups, &ranges].iter().any(|name| bench.wants(name)) {
        return Ok(());
    }
    let server = filled(bench, extent)?;
    if let Some(peer) = &bench.peer {
        bench.runtime.block_on(fill_views(peer, extent))?;
    }
    if bench.wants(point) {
        measure_point(bench, point, &server, extent)?;
    }
    let mut targets = vec![("", server.target.clone(), Some(server.process.pid()))];
    targets.extend(bench.peer.clone().map(|peer| ("peer: ", peer, None)));
    for (whose, target, pid) in &targets {
        let bound = |most| if pid.is_some() { Bound::AtMost(most) } else { Bound::None };
        if bench.wants(&groups) {
            let requests = group_requests(target, extent);
            note(bench, &format!("{whose}{groups}"), (target, *pid), requests, bound(20.0))?;
        }
        if bench.wants(&ranges) {
            let requests = range_requests(target, extent);
            note(bench, &format!("{whose}{ranges}"), (target, *pid), requests, bound(1.0))?;
        }
    }
    if let Some(peer) = &bench.peer {
        bench.runtime.block_on(remove_database(peer, DATABASE))?;
    }
    bench.note_memory("queries of an index", &server.process)
}

/// A server with the database and both views built.
pub(super) fn filled(bench: &Bench, extent: Extent) -> Result<Fresh, anyhow::Error> {
    let server = bench.server()?;
    bench.runtime.block_on(fill_views(&server.target, extent))?;
    Ok(server)
}

async fn fill_views(target: &Target, extent: Extent) -> Result<(), anyhow::Error> {
    let documents = extent.rows / ALLOCATIONS_OF_ROWS;
    fill(target, DATABASE, documents, ALLOCATIONS_OF_ROWS).await?;
    let mut connection = target.connect().await?;
    connection.expect(&put_view(target, DATABASE, "due", invoices::MAP, true)).await?;
    connection.expect(&put_view(target, DATABASE, "number", invoices::BY_NUMBER, false)).await?;
    let groups = rows_of(&mut connection, &view(target, DATABASE, "due", "group_level=1")).await?;
    if groups != invoices::ACCOUNTS.min(extent.rows) {
        bail!("{groups} groups, not {}", invoices::ACCOUNTS);
    }
    if rows_of(&mut connection, &by_number(target, 7, "")).await? != 1 {
        bail!("an invoice is not found by its number");
    }
    Ok(())
}

pub(super) fn by_number(target: &Target, number: u64, query: &str) -> Vec<u8> {
    let key = invoices::invoice_number(number);
    view(target, DATABASE, "number", &format!("key=%22{key}%22{query}"))
}

fn measure_point(
    bench: &mut Bench,
    name: &str,
    server: &Fresh,
    extent: Extent,
) -> Result<(), anyhow::Error> {
    let runtime = &bench.runtime;
    let numbers = || (0..KEYS).map(|it| notes::mix(it) % (extent.rows / ALLOCATIONS_OF_ROWS));
    let views = |target: &Target| numbers().map(|it| by_number(target, it, "")).collect();
    let gets = |target: &Target| {
        numbers().map(|it| target.get(&format!("/{DATABASE}/{}", invoices::id(it)))).collect()
    };
    let side = |name, target: &Target, requests, pid| {
        let connections = runtime.block_on(target.connections(CONNECTIONS))?;
        Ok::<_, anyhow::Error>(reading(name, bench, pid, connections, requests, 1))
    };
    let pid = Some(server.process.pid());
    let mut sides = vec![
        side("view", &server.target, views(&server.target), pid)?,
        side("document", &server.target, gets(&server.target), pid)?,
    ];
    if let Some(peer) = &bench.peer {
        sides.push(side("peer", peer, views(peer), None)?);
    }
    let measure = alternate(name, "requests", Goal::CpuAtMost(2.0), sides)?;
    bench.add(measure);
    Ok(())
}

fn group_requests(target: &Target, extent: Extent) -> Vec<Vec<u8>> {
    let request = view(target, DATABASE, "due", "group_level=1");
    (0..extent.requests / 10).map(|_| request.clone()).collect()
}

fn range_requests(target: &Target, extent: Extent) -> Vec<Vec<u8>> {
    let requests = (0..extent.requests).map(|number| {
        let key = |random| {
            let (account, date) = (invoices::account(random), invoices::date(notes::mix(random)));
            format!("[%22{account}%22,%22{date}%22]")
        };
        let mut ends = [key(notes::mix(number)), key(notes::mix(!number))];
        ends.sort();
        view(target, DATABASE, "due", &format!("startkey={}&endkey={}", ends[0], ends[1]))
    });
    requests.collect()
}

/// Sends them one after the other. The median is what is bounded; one of a hundred is shown, and what
/// the server computed for each.
fn note(
    bench: &mut Bench,
    name: &str,
    (target, pid): (&Target, Option<Pid>),
    requests: Vec<Vec<u8>>,
    bound: Bound,
) -> Result<(), anyhow::Error> {
    let mut found = Vec::new();
    let computed = sample(pid, || {
        found = bench.runtime.block_on(async {
            let mut connection = target.connect().await?;
            times(&mut connection, requests).await
        })?;
        Ok(found.len() as u64)
    })?;
    bench.found(Finding::new(name, found[found.len() / 2], "ms", bound));
    let slow = found[found.len() * 99 / 100];
    bench.found(Finding::new("… 99th of a hundred", slow, "ms", Bound::None));
    if let Some(cpu) = computed.cpu_each() {
        bench.found(Finding::new("… CPU of one", cpu * 1e3, "ms", Bound::None));
    }
    Ok(())
}
