//! How many documents a second map functions get through, from one caller over the socket to one worker and
//! back: `cargo run --release -p settle-script --example map_speed`, and `-- b` for one function alone.
//!
//! Documents of 400 B and 4 KB; functions a, b and c of `reference/measured.md`. Told are documents a
//! second of time, and of the processor in both processes, which says more on a busy machine.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "it measures, and tells people")]

use std::{fmt::Write as _, fs, process::ExitCode, sync::Arc, time::Duration};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use settle_script::{Launcher, Program, ScriptSettings, Scripts, ValidateEdit, worker};

const ROUNDS: usize = 5;

const MAPS: [(&str, &str); 3] = [
    ("a: two members", "function(doc) { emit(doc.type, doc.amount) }"),
    (
        "b: nested loops",
        "function(doc) { if (doc.type === 'invoice') doc.lines.forEach(function (line) { \
         line.allocations.forEach(function (it) { emit([it.code, doc.date], it.amount) }) }) }",
    ),
    (
        "c: words of a text",
        "function(doc) { var words = doc.note.toLowerCase().split(/[^a-z0-9]+/); \
         for (var i = 0; i < words.length; i++) if (words[i]) emit(words[i], 1) }",
    ),
];

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(settle_script::SUBCOMMAND) {
        return worker::main();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure());
    ExitCode::SUCCESS
}

async fn measure() {
    let scripts = Scripts::new(
        Launcher::this_program().unwrap(),
        ScriptSettings { workers: 1, ..ScriptSettings::default() },
    );
    for (size, count) in [("400 B", 40_000), ("4 KB", 8_000)] {
        let words = if size == "400 B" { 6 } else { 600 };
        let docs: Vec<_> = (0..count).map(|n| invoice(n, words)).collect();
        let only = std::env::args().nth(1);
        let is_wanted = |name: &str| only.as_deref().is_none_or(|only| name.starts_with(only));
        for (name, source) in MAPS.into_iter().filter(|(name, _)| is_wanted(name)) {
            let (wall, cpu) = best(&scripts, source, &docs).await;
            println!(
                "{size} {name:20} {:9.0} docs/s {:9.0} docs/s of CPU",
                per_second(count, wall),
                per_second(count, cpu)
            );
        }
    }
    let (wall, cpu) = validations(&scripts).await;
    println!(
        "a trivial validator, one edit a call: {:.0} µs, {:.0} µs of CPU in both processes",
        wall.as_secs_f64() * 1e6,
        cpu.as_secs_f64() * 1e6
    );
    scripts.close().await;
}

#[expect(clippy::cast_precision_loss, reason = "a count of documents")]
fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// Of some rounds the fastest, by each clock.
async fn best(scripts: &Scripts, source: &str, docs: &[Bytes]) -> (Duration, Duration) {
    let program = program();
    let maps = [Arc::from(source)];
    let (mut wall, mut cpu) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let (start, used) = (now(), processor());
        let rows = scripts.map(&program, &maps, docs.to_vec()).await.unwrap();
        assert_eq!(rows.len(), docs.len());
        wall = wall.min(now() - start);
        cpu = cpu.min(processor() - used);
    }
    (wall, cpu)
}

async fn validations(scripts: &Scripts) -> (Duration, Duration) {
    const COUNT: u32 = 5_000;
    let program = Program {
        source: Bytes::from_static(
            br#"{"validate_doc_update":"function(doc) { if (!doc.type) throw {forbidden: 'no'} }"}"#,
        ),
        digest: [2; 16],
        ..program()
    };
    let doc = invoice(1, 6);
    let empty = || Bytes::from_static(b"{}");
    let (mut wall, mut cpu) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let (start, used) = (now(), processor());
        for _ in 0..COUNT {
            let edits = vec![ValidateEdit { new: doc.clone(), old: None }];
            let verdicts = scripts.validate(&program, edits, empty(), empty()).await.unwrap();
            assert_eq!(verdicts, [Ok(())]);
        }
        wall = wall.min((now() - start) / COUNT);
        cpu = cpu.min((processor() - used) / COUNT);
    }
    (wall, cpu)
}

fn program() -> Program {
    Program { database: 1, design: "d".into(), digest: [1; 16], source: Bytes::from_static(b"{}") }
}

fn invoice(n: usize, words: usize) -> Bytes {
    let mut note = String::new();
    for word in 0..words {
        write!(note, "word{} ", (n * 31 + word * 7) % 1_000).unwrap();
    }
    format!(
        "{{\"_id\":\"invoice-{n:08}\",\"_rev\":\"1-967a00dff5e02add41819138abb3284d\",\"type\":\"invoice\",\
         \"customer\":\"c{}\",\"amount\":{}.{},\"date\":\"2024-03-{:02}\",\"lines\":[{{\"account\":\"4000\",\
         \"amount\":{},\"allocations\":[{{\"code\":\"A{}\",\"amount\":12.5}},{{\"code\":\"B{}\",\"amount\":{}}}]}},\
         {{\"account\":\"4010\",\"amount\":7,\"allocations\":[{{\"code\":\"C1\",\"amount\":7}}]}}],\"note\":\"{}\"}}",
        n % 97,
        n % 1_000,
        n % 10 + 1,
        n % 28 + 1,
        n % 500,
        n % 9,
        n % 7,
        n % 300,
        note.trim_end()
    )
    .into()
}

fn time(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

fn now() -> Duration {
    time(ClockId::Monotonic)
}

/// Of this process and its workers, which live: from `/proc`, in hundredths of a second.
fn processor() -> Duration {
    let mut ticks = ticks("/proc/self/stat");
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let children = fs::read_to_string(task.unwrap().path().join("children")).unwrap();
        for child in children.split_whitespace() {
            ticks += self::ticks(&format!("/proc/{child}/stat"));
        }
    }
    Duration::from_millis(ticks * 10)
}

fn ticks(path: &str) -> u64 {
    let stat = fs::read_to_string(path).unwrap();
    let behind_name = stat.rsplit_once(") ").unwrap().1;
    let fields: Vec<_> = behind_name.split(' ').collect();
    // The last two are of workers that have ended.
    fields[11..15].iter().map(|field| field.parse::<u64>().unwrap()).sum()
}
