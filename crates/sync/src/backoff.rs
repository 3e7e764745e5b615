//! How long to wait before the next try.
//!
//! Pauses double with each failure, up to a longest one, and each is drawn from its upper half: what
//! failed together shall not come back together.

use std::time::Duration;

use crate::limits::{JOB_PAUSE_FIRST, JOB_PAUSE_MAX, REQUEST_PAUSE_FIRST, REQUEST_PAUSE_MAX};

/// The pause before a job starts again that has failed `failures` times in a row. `chance` is any
/// random number.
pub fn job_pause(failures: u32, chance: u64) -> Duration {
    pause(JOB_PAUSE_FIRST, JOB_PAUSE_MAX, failures, chance)
}

/// The pause before the next request to a peer that has failed `failures` times in a row.
pub(crate) fn request_pause(failures: u32, chance: u64) -> Duration {
    pause(REQUEST_PAUSE_FIRST, REQUEST_PAUSE_MAX, failures, chance)
}

fn pause(first: Duration, longest: Duration, failures: u32, chance: u64) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1).min(31));
    let whole = first.saturating_mul(doubled).min(longest);
    let share = u32::try_from(chance >> 32).expect("32 bits");
    let half = whole / 2;
    half + half.mul_f64(f64::from(share) / f64::from(u32::MAX))
}

/// Random numbers that follow from the first one. Not for secrets.
///
/// Source: `SplitMix64` (Steele, Lea, Flood, 2014).
#[derive(Debug, Clone)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_hours_and_are_spread() {
        assert_eq!(job_pause(1, u64::MAX), JOB_PAUSE_FIRST);
        assert_eq!(job_pause(2, u64::MAX), JOB_PAUSE_FIRST * 2);
        assert_eq!(job_pause(2, 0), JOB_PAUSE_FIRST);
        assert_eq!(job_pause(u32::MAX, u64::MAX), JOB_PAUSE_MAX);
        assert_eq!(job_pause(u32::MAX, 0), JOB_PAUSE_MAX / 2);
    }
}
