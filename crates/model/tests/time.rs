//! The clock and the source of chance that tests own.

use std::time::Duration;

use settle_model::time::{Clock as _, Entropy as _, ManualClock, SeededEntropy, Timestamp};

#[test]
fn a_manual_clock_moves_only_when_told() {
    let clock = ManualClock::at(Timestamp::from_seconds(100));
    assert_eq!(clock.now(), clock.now());
    clock.advance(Duration::from_millis(1_500));
    assert_eq!(clock.now().micros(), 101_500_000);
    assert_eq!(clock.monotonic(), Duration::from_millis(1_500));
}

#[test]
fn setting_the_time_of_day_back_does_not_move_the_monotonic_clock() {
    let clock = ManualClock::at(Timestamp::from_seconds(100));
    clock.advance(Duration::from_secs(1));
    clock.set(Timestamp::from_seconds(50));
    assert_eq!(clock.now().seconds(), 50);
    assert_eq!(clock.monotonic(), Duration::from_secs(1));
}

#[test]
fn time_does_not_wrap_round() {
    let (early, late) = (Timestamp::from_micros(1), Timestamp::from_micros(u64::MAX));
    assert_eq!(early.since(late), Duration::ZERO);
    assert_eq!(late.since(early), Duration::from_micros(u64::MAX - 1));
    assert_eq!(late.plus(Duration::MAX), late);
    assert_eq!(early.minus(Duration::from_secs(1)), Timestamp::from_micros(0));
}

#[test]
fn a_seed_gives_the_same_bytes_every_time() {
    let draw = |seed| {
        let entropy = SeededEntropy::new(seed);
        let mut bytes = [[0; 13]; 2];
        bytes.iter_mut().for_each(|it| entropy.fill(it));
        bytes
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
    assert_ne!(draw(7)[0], draw(7)[1]);
}
