//! A name and a password with every request, beside requests of nobody. `/_up` is what both may ask, and who
//! asks is found out there as everywhere.

use anyhow::Context as _;

use super::{PASSWORD, add_user};
use crate::{
    bench::{Bench, reading},
    client::Target,
    report::{Bound, Finding},
    round::{Goal, alternate},
};

const CONNECTIONS: usize = 8;
const MICROS_MAX: f64 = 5.0;

pub(super) fn run(bench: &mut Bench) -> Result<(), anyhow::Error> {
    let name = "GET with Basic, remembered";
    if !bench.wants(name) {
        return Ok(());
    }
    let server = bench.server()?;
    bench.runtime.block_on(add_user(&server.target, "ada"))?;
    let side = |name, target: &Target| {
        let connections = bench.runtime.block_on(target.connections(CONNECTIONS))?;
        let pid = Some(server.process.pid());
        Ok::<_, anyhow::Error>(reading(name, bench, pid, connections, vec![target.get("/_up")], 1))
    };
    let sides = vec![
        side("a user", &server.process.target_as(Some(("ada", PASSWORD))))?,
        side("nobody", &server.process.target_as(None))?,
        side("the admin", &server.target)?,
    ];
    let measure = alternate(name, "requests", Goal::None, sides)?;
    let micros: Vec<_> = measure.sides.iter().map(|side| Some(side.cpu_each()? * 1e6)).collect();
    let micros: Option<Vec<_>> = micros.into_iter().collect();
    let micros = micros.context("find the CPU time of the server")?;
    bench.add(measure);
    for (who, spent) in [("a user", micros[0]), ("the admin", micros[2])] {
        let name = format!("CPU that Basic adds, {who}");
        bench.found(Finding::new(name, spent - micros[1], "µs", Bound::AtMost(MICROS_MAX)));
    }
    bench.note_memory(name, &server.process)
}
