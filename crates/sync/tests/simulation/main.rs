//! Replications between two databases that crash, over a network that loses, repeats and reorders,
//! under clocks that jump.
//!
//! Everything follows from a seed. A failure prints it; `SETTLE_TEST_SEED=17` runs that one alone,
//! and `SETTLE_TEST_SEEDS=10000` runs as many.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod database;
mod life;
mod network;
mod random;

use std::{env, panic};

const SEEDS: u64 = 400;

fn env_number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn after_quiet_the_target_has_every_selected_leaf_of_the_source() {
    let seeds = match env_number("SETTLE_TEST_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..env_number("SETTLE_TEST_SEEDS").unwrap_or(SEEDS),
    };
    let mut summary = life::Summary::default();
    for seed in seeds {
        match panic::catch_unwind(|| life::live(seed)) {
            Ok(lived) => summary.add(&lived),
            Err(cause) => {
                println!("SETTLE_TEST_SEED={seed}");
                panic::resume_unwind(cause);
            }
        }
    }
    println!("{summary:?}");
    if summary.lives >= SEEDS {
        summary.check();
    }
}

#[test]
fn a_seed_gives_the_same_life_again() {
    for seed in 0..5 {
        assert_eq!(life::live(seed), life::live(seed));
    }
}
