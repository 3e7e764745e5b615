//! One direction of the link, which all connections share: what is sent waits for what was sent before.

use std::{num::NonZeroU32, time::Duration};

use super::schedule::Schedule;
use crate::limits::SLOW_PROXY_TIMER_SLACK;

#[derive(Debug, Default)]
pub(super) struct Wire {
    /// When the last of what was sent has left.
    free_at: Duration,
}

impl Wire {
    /// Sends bytes now, and says when the last of them has left. A sender asks again only then.
    ///
    /// Timers wake late, so a wire that was free for less than the slack counts as busy until now: else
    /// each piece would lose that time, and the rate would never be reached.
    pub(super) fn book(
        &mut self,
        schedule: &Schedule,
        now: Duration,
        bytes: NonZeroU32,
    ) -> Duration {
        let Some(rate) = schedule.conditions().rate else { return schedule.moves_at(now) };
        let begin = self.free_at.max(now.saturating_sub(SLOW_PROXY_TIMER_SLACK));
        self.free_at = schedule.moves_at(begin) + rate.time(u64::from(bytes.get()));
        self.free_at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::slow_proxy::{Conditions, Rate};

    const BYTES_PER_SECOND: u64 = 125_000;

    proptest! {
        #[test]
        fn no_stretch_of_time_carries_more_than_the_rate(
            pieces in prop::collection::vec((0_u64..60, 1_u32..2_500), 1..200),
            from in 0_usize..200,
        ) {
            let rate: Rate = BYTES_PER_SECOND.to_string().parse().unwrap();
            let schedule = Schedule::new(Conditions { rate: Some(rate), ..Conditions::default() }, 1);
            let (mut wire, mut now) = (Wire::default(), Duration::from_secs(1));
            let mut left = Vec::new();
            for (pause_ms, bytes) in pieces {
                now += Duration::from_millis(pause_ms);
                let leaves = wire.book(&schedule, now, NonZeroU32::new(bytes).unwrap());
                prop_assert!(leaves + SLOW_PROXY_TIMER_SLACK >= now);
                left.push((leaves, u64::from(bytes)));
            }
            let from = from % left.len();
            for to in from + 1..left.len() {
                let carried: u64 = left[from + 1..=to].iter().map(|it| it.1).sum();
                let fits = rate.bytes(left[to].0 - left[from].0);
                // Each piece's time is rounded down to nanoseconds.
                prop_assert!(carried <= fits + 1, "{carried} bytes where {fits} fit");
            }
        }
    }

    #[test]
    fn a_busy_wire_reaches_its_rate_though_timers_are_late() {
        let rate: Rate = BYTES_PER_SECOND.to_string().parse().unwrap();
        let schedule = Schedule::new(Conditions { rate: Some(rate), ..Conditions::default() }, 1);
        let (mut wire, mut now) = (Wire::default(), Duration::ZERO);
        for _ in 0..50 {
            let leaves = wire.book(&schedule, now, NonZeroU32::new(2_500).unwrap());
            now = leaves + Duration::from_millis(1);
        }
        assert_eq!(now, Duration::from_millis(1_001));
    }
}
