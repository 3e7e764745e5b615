//! What happens when: plain functions of a seed and of the time since the proxy started.
//!
//! Numbers are drawn by purpose and place, not one after the other, so that nothing depends on the
//! order in which tasks come to ask.

use std::time::Duration;

use settle_model::time::{Entropy as _, SeededEntropy};

use super::conditions::Conditions;

/// The conditions of a link with the seed that decides where they leave something open.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    conditions: Conditions,
    seed: u64,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

impl Direction {
    pub(super) fn index(self) -> usize {
        match self {
            Self::ToServer => 0,
            Self::ToClient => 1,
        }
    }
}

/// What a number is drawn for.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    Stall,
    Life,
    Jitter(Direction),
}

impl Schedule {
    pub fn new(conditions: Conditions, seed: u64) -> Self {
        Self { conditions, seed }
    }

    pub fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// The first moment, this one or later, at which the link does not stand still.
    pub fn moves_at(&self, now: Duration) -> Duration {
        let Some(stalls) = self.conditions.stalls else { return now };
        let period = u64::try_from(now.as_nanos() / stalls.every().as_nanos());
        let period = period.expect("a run has fewer periods than 64 bits can count");
        let begin_of_period =
            Duration::from_nanos_u128(u128::from(period) * stalls.every().as_nanos());
        let begin = begin_of_period + self.share(stalls.play(), Purpose::Stall, period, 0);
        let end = begin + stalls.length();
        if (begin..end).contains(&now) { end } else { now }
    }

    /// How long a connection lives before it is reset.
    pub fn life(&self, connection: u64) -> Option<Duration> {
        let mean = self.conditions.reset_after?;
        Some(self.share(mean * 2, Purpose::Life, connection, 0))
    }

    /// How long a piece takes from one side to the other.
    pub fn latency(&self, direction: Direction, connection: u64, piece: u64) -> Duration {
        let Conditions { latency, jitter, .. } = self.conditions;
        latency + self.share(jitter, Purpose::Jitter(direction), connection, piece)
    }

    /// Whether new connections are turned away.
    pub fn is_cut(&self, now: Duration) -> bool {
        let Some(cuts) = self.conditions.cuts else { return false };
        // The first cut comes after one period.
        now >= cuts.every && now.as_nanos() % cuts.every.as_nanos() < cuts.length.as_nanos()
    }

    /// Some part of `whole`.
    fn share(&self, whole: Duration, purpose: Purpose, place: u64, part: u64) -> Duration {
        let purpose = match purpose {
            Purpose::Stall => 1,
            Purpose::Life => 2,
            Purpose::Jitter(Direction::ToServer) => 3,
            Purpose::Jitter(Direction::ToClient) => 4,
        };
        let drawn =
            [purpose, place, part].into_iter().fold(self.seed, |so_far, it| next(so_far ^ it));
        let share = u32::try_from(drawn >> 32).expect("32 bits");
        whole.mul_f64(f64::from(share) / f64::from(u32::MAX))
    }
}

fn next(seed: u64) -> u64 {
    let mut bytes = [0; 8];
    SeededEntropy::new(seed).fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::slow_proxy::Cuts;

    fn bad() -> Conditions {
        Conditions {
            latency: Duration::from_millis(150),
            jitter: Duration::from_millis(40),
            stalls: Some("2s/20s".parse().unwrap()),
            reset_after: Some(Duration::from_secs(30)),
            ..Conditions::default()
        }
    }

    /// All that the schedule decides in the first minutes.
    fn written(schedule: &Schedule) -> Vec<Duration> {
        let seconds = (0..300).map(|it| schedule.moves_at(Duration::from_secs(it)));
        let lives = (0..20).filter_map(|it| schedule.life(it));
        let ways = [Direction::ToServer, Direction::ToClient];
        let pieces = (0..20).flat_map(|it| ways.map(|way| schedule.latency(way, it % 3, it)));
        seconds.chain(lives).chain(pieces).collect()
    }

    proptest! {
        #[test]
        fn a_seed_gives_the_same_schedule_and_another_seed_another(seed: u64, other: u64) {
            let of = |seed| written(&Schedule::new(bad(), seed));
            prop_assert_eq!(of(seed), of(seed));
            prop_assert_eq!(of(seed) == of(other), seed == other);
        }

        #[test]
        fn the_link_stands_still_once_in_each_period_and_for_as_long_as_was_said(seed: u64, period in 0_u64..1_000) {
            let schedule = Schedule::new(bad(), seed);
            let begin = Duration::from_secs(20 * period);
            let still: Vec<_> = (0..2_000)
                .map(|it| begin + Duration::from_millis(10 * it))
                .filter(|&it| schedule.moves_at(it) != it)
                .collect();
            prop_assert!((199..=201).contains(&still.len()), "{} times 10 ms", still.len());
            let end = schedule.moves_at(still[0]);
            prop_assert!(still.iter().all(|&it| schedule.moves_at(it) == end));
            prop_assert!(schedule.moves_at(end) == end || end == begin + Duration::from_secs(20));
        }

        #[test]
        fn latencies_and_lives_stay_within_their_bounds(seed: u64, connection: u64, piece: u64) {
            let schedule = Schedule::new(bad(), seed);
            let latency = schedule.latency(Direction::ToClient, connection, piece);
            prop_assert!((150..=190).contains(&latency.as_millis()), "{latency:?}");
            prop_assert!(schedule.life(connection).unwrap() <= Duration::from_secs(60));
        }
    }

    #[test]
    fn a_good_link_lets_everything_through() {
        let schedule = Schedule::new(Conditions::default(), 7);
        let now = Duration::from_secs(5);
        assert_eq!(schedule.moves_at(now), now);
        assert_eq!(schedule.life(0), None);
        assert_eq!(schedule.latency(Direction::ToServer, 0, 0), Duration::ZERO);
        assert!(!schedule.is_cut(now));
    }

    #[test]
    fn connections_are_turned_away_for_a_while_after_each_cut() {
        let cuts = Cuts { every: Duration::from_secs(5), length: Duration::from_millis(500) };
        let schedule = Schedule::new(Conditions { cuts: Some(cuts), ..bad() }, 7);
        let is_cut = |ms| schedule.is_cut(Duration::from_millis(ms));
        assert_eq!([0, 400, 4_999].map(is_cut), [false; 3]);
        assert_eq!([5_000, 5_499, 10_200].map(is_cut), [true; 3]);
        assert_eq!([5_500, 9_999].map(is_cut), [false; 2]);
    }
}
