//! How many sort keys are made, and how many rows are reduced, in a second on one thread.
//!
//! `cargo bench -p settle-query --bench keys`. Prints the median of eleven rounds, in million.

#![expect(clippy::print_stdout, reason = "the figures are what it is run for")]
#![expect(clippy::unwrap_used, reason = "what it measures was made here")]

use std::{hint::black_box, time::Duration};

use settle_query::{
    collate::{Collation, push_sort_key},
    reduce::Native,
};

const ROUNDS: usize = 11;
const EACH: usize = 200_000;

/// The key of that number.
type Make = fn(usize) -> String;

fn main() {
    println!("million sort keys a second");
    let kinds: [(&str, Make); 7] = [
        ("number", |at| at.to_string()),
        ("fraction", |at| format!("{at}.25")),
        ("word", |at| format!("\"customer-{at}\"")),
        ("uuid", |at| format!("\"{at:032x}\"")),
        ("code and date", |at| format!("[\"4{:03}\",\"2026-08-{:02}\"]", at % 1000, at % 28)),
        ("escaped", |at| format!("\"a\\n{at}\"")),
        ("not ASCII", |at| format!("\"Käufer {at}\"")),
    ];
    for (name, make) in kinds {
        let keys: Vec<String> = (0..EACH).map(make).collect();
        let mut out = Vec::with_capacity(1024);
        row(name, || {
            for key in &keys {
                out.clear();
                push_sort_key(&mut out, key.as_bytes(), Collation::Unicode);
                black_box(&out);
            }
        });
    }

    println!("million rows a second, reduced in segments of 64");
    let numbers: Vec<_> = (0..EACH).map(|at| (format!("\"k{at}\""), format!("{at}.37"))).collect();
    let whole: Vec<_> = (0..EACH).map(|at| (format!("\"k{at}\""), at.to_string())).collect();
    for (name, native, rows) in [
        ("_sum of integers", Native::Sum, &whole),
        ("_sum of doubles", Native::Sum, &numbers),
        ("_stats of integers", Native::Stats, &whole),
        ("_stats of doubles", Native::Stats, &numbers),
        ("_approx_count_distinct", Native::ApproxCountDistinct, &numbers),
        ("_top_10", Native::Top(10), &numbers),
    ] {
        row(name, || {
            for rows in rows.chunks(64) {
                let rows = rows.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes()));
                black_box(native.reduce(rows));
            }
        });
    }
    println!("million partials a second, combined by 64");
    for (name, native) in [("_sum of doubles", Native::Sum), ("_stats of doubles", Native::Stats)] {
        let partials: Vec<_> = numbers
            .iter()
            .map(|(key, value)| native.reduce([(key.as_bytes(), value.as_bytes())]))
            .collect();
        row(name, || {
            for partials in partials.chunks(64) {
                black_box(native.combine(partials.iter().map(Vec::as_slice)));
            }
        });
    }
}

fn row(name: &str, mut work: impl FnMut()) {
    let mut rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            #[expect(clippy::disallowed_methods, reason = "a bench measures time")]
            let start = std::time::Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    rounds.sort_unstable();
    let count = f64::from(u32::try_from(EACH).unwrap());
    println!("  {name:24}{:>8.1}", count / rounds[ROUNDS / 2].as_secs_f64() / 1e6);
}
