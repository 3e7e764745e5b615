//! Queries of one index while another is built.

use std::{cell::Cell, time::Instant};

use anyhow::bail;
use futures_util::future::try_join;

use super::{ALLOCATIONS_OF_ROWS, Extent, put_view, read, rows_of, times, view};
use crate::{
    bench::Bench,
    client::Target,
    invoices, notes,
    report::{Bound, Finding},
};

pub(super) fn run(bench: &mut Bench, extent: Extent) -> Result<(), anyhow::Error> {
    let name = "update=false during a build, median";
    if !bench.wants(name) {
        return Ok(());
    }
    let server = read::filled(bench, extent)?;
    let target = &server.target;
    let quiet = bench.runtime.block_on(async {
        let mut connection = target.connect().await?;
        let asked = || (0..extent.requests).map(|it| ask(target, extent, it));
        times(&mut connection, asked()).await?; // so that both sides find warm caches
        times(&mut connection, asked()).await
    })?;
    let busy = bench.runtime.block_on(while_building(target, extent))?;
    if busy.is_empty() {
        bail!("the other index was built before anything was asked");
    }
    let median = |times: &[f64]| times[times.len() / 2];
    bench.found(Finding::new("update=false, median", median(&quiet), "ms", Bound::None));
    bench.found(Finding::new(name, median(&busy), "ms", Bound::None));
    let slow = busy[busy.len() * 99 / 100];
    bench.found(Finding::new("… 99th of a hundred", slow, "ms", Bound::None));
    let ratio = median(&busy) / median(&quiet);
    bench.found(Finding::new("… beside one without a build", ratio, "times", Bound::AtMost(2.0)));
    Ok(())
}

fn ask(target: &Target, extent: Extent, number: u64) -> Vec<u8> {
    let number = notes::mix(number) % (extent.rows / ALLOCATIONS_OF_ROWS);
    read::by_number(target, number, "&update=false")
}

/// Milliseconds of queries that were answered before the other index was there.
async fn while_building(target: &Target, extent: Extent) -> Result<Vec<f64>, anyhow::Error> {
    let built = Cell::new(false);
    let build = async {
        let mut connection = target.connect().await?;
        let map = format!("{} // while asked", invoices::MAP);
        connection.expect(&put_view(target, read::DATABASE, "beside", &map, true)).await?;
        let request = view(target, read::DATABASE, "beside", "reduce=true");
        let rows = rows_of(&mut connection, &request).await;
        built.set(true);
        rows
    };
    let asked = async {
        let mut connection = target.connect().await?;
        let (mut times, mut number) = (Vec::new(), 0);
        while !built.get() {
            let begun = Instant::now();
            connection.expect(&ask(target, extent, number)).await?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
            number += 1;
        }
        times.sort_by(f64::total_cmp);
        Ok(times)
    };
    Ok(try_join(build, asked).await?.1)
}
