//! Ids that the server makes up: for documents that come without one, and for `_uuids`.
//!
//! All but the random ones grow with time, so documents that are created one after the other lie side by
//! side in storage.
//!
//! | algorithm | 32 hex digits of |
//! |---|---|
//! | `sequential` (default) | 13 random bytes that stay, then a 3-byte counter that grows by random steps |
//! | `utc_random` | microseconds since 1970 (7 bytes), 9 random bytes |
//! | `utc_id` | microseconds since 1970 (14 digits), then a configured suffix |
//! | `uuid_v7` | RFC 9562: milliseconds since 1970 (6 bytes), version, 74 random bits |
//! | `uuid_v4`, `random` | random bytes, with and without the version's marks |
//!
//! Source: `couch_uuids.erl`. Different here: a `uuid_v7` of the same millisecond is never smaller than
//! the one before, since its first random bits count up.

use std::{
    str::FromStr,
    sync::{Mutex, PoisonError},
};

use settle_model::time::{Clock, Entropy};

/// How ids are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UuidAlgorithm {
    #[default]
    Sequential,
    UtcRandom,
    UtcId,
    V7,
    V4,
    Random,
}

/// Makes ids; shared by all requests.
#[derive(Debug, Default)]
pub struct Uuids {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    prefix: [u8; 13],
    counter: u32,
    last_micros: u64,
    last_v7: (u64, u16),
}

/// Where the counter of `sequential` ends and a new prefix is drawn.
const COUNTER_END: u32 = 0xFF_F000;

impl Uuids {
    /// `suffix` is for `utc_id` alone.
    pub fn make(
        &self,
        algorithm: UuidAlgorithm,
        suffix: &str,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> String {
        let mut random = [0; 16];
        if algorithm != UuidAlgorithm::UtcId {
            entropy.fill(&mut random);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match algorithm {
            UuidAlgorithm::Sequential => hex::encode(state.sequential(random, entropy)),
            UuidAlgorithm::UtcRandom => {
                let micros = state.micros(clock.now().micros());
                random[..7].copy_from_slice(&micros.to_be_bytes()[1..]);
                hex::encode(random)
            }
            UuidAlgorithm::UtcId => {
                let micros = state.micros(clock.now().micros());
                format!("{micros:014x}{suffix}")
            }
            UuidAlgorithm::V7 => hex::encode(state.v7(clock.now().micros() / 1_000, random)),
            UuidAlgorithm::V4 => {
                random[6] = random[6] & 0x0F | 0x40;
                random[8] = random[8] & 0x3F | 0x80;
                hex::encode(random)
            }
            UuidAlgorithm::Random => hex::encode(random),
        }
    }
}

impl State {
    fn sequential(&mut self, random: [u8; 16], entropy: &dyn Entropy) -> [u8; 16] {
        if self.counter == 0 || self.counter >= COUNTER_END {
            entropy.fill(&mut self.prefix);
            self.counter = 0;
        }
        let step = u16::from_le_bytes([random[0], random[1]]) % 0xFFD + 1;
        self.counter += u32::from(step);
        let mut id = [0; 16];
        id[..13].copy_from_slice(&self.prefix);
        id[13..].copy_from_slice(&self.counter.to_be_bytes()[1..]);
        id
    }

    /// Later than the last time, even if the clock is not.
    fn micros(&mut self, now: u64) -> u64 {
        self.last_micros = now.max(self.last_micros + 1);
        self.last_micros
    }

    fn v7(&mut self, now_millis: u64, random: [u8; 16]) -> [u8; 16] {
        let (last, counter) = self.last_v7;
        self.last_v7 = if now_millis > last {
            // Half the range is left to count in.
            (now_millis, u16::from_le_bytes([random[0], random[1]]) & 0x7FF)
        } else if counter < 0xFFF {
            (last, counter + 1)
        } else {
            (last + 1, 0)
        };
        let (millis, counter) = self.last_v7;
        let mut id = random;
        id[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        id[6..8].copy_from_slice(&(0x7000 | counter).to_be_bytes());
        id[8] = id[8] & 0x3F | 0x80;
        id
    }
}

impl UuidAlgorithm {
    pub const NAMES: &[&str] =
        &["sequential", "utc_random", "utc_id", "uuid_v7", "uuid_v4", "random"];
}

impl FromStr for UuidAlgorithm {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "sequential" => Ok(Self::Sequential),
            "utc_random" => Ok(Self::UtcRandom),
            "utc_id" => Ok(Self::UtcId),
            "uuid_v7" => Ok(Self::V7),
            "uuid_v4" => Ok(Self::V4),
            "random" => Ok(Self::Random),
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use settle_model::time::{ManualClock, SeededEntropy, Timestamp};

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_230_346);

    fn made(algorithm: &str, count: usize) -> Vec<String> {
        let (uuids, clock) = (Uuids::default(), ManualClock::at(NOW));
        let entropy = SeededEntropy::new(1);
        let algorithm = algorithm.parse().unwrap();
        (0..count).map(|_| uuids.make(algorithm, "node", &clock, &entropy)).collect()
    }

    #[test]
    fn each_algorithm_has_its_form() {
        let all: Vec<_> = UuidAlgorithm::NAMES.iter().map(|name| made(name, 2)).collect();
        expect![[r#"
            [
                [
                    "5e5532fbeea293f80bc942ee90000cd1",
                    "5e5532fbeea293f80bc942ee900012ac",
                ],
                [
                    "0660c0a31036809167ec8e65a18debbe",
                    "0660c0a3103681f80bc942ee9086c171",
                ],
                [
                    "0660c0a3103680node",
                    "0660c0a3103681node",
                ],
                [
                    "01a1fc112b1074c1a7ec8e65a18debbe",
                    "01a1fc112b1074c28bc942ee9086c171",
                ],
                [
                    "c15c0289ec2d4a91a7ec8e65a18debbe",
                    "5e5532fbeea243f88bc942ee9086c171",
                ],
                [
                    "c15c0289ec2d0a9167ec8e65a18debbe",
                    "5e5532fbeea293f80bc942ee9086c171",
                ],
            ]
        "#]]
        .assert_debug_eq(&all);
    }

    #[test]
    fn ids_of_a_clock_that_stands_still_or_goes_back_still_grow() {
        for name in ["sequential", "utc_random", "utc_id", "uuid_v7"] {
            let ids = made(name, 3_000);
            assert!(ids.is_sorted_by(|a, b| a < b), "{name}");
        }
    }

    #[test]
    fn a_used_up_counter_gets_a_new_prefix_and_never_overflows() {
        let ids = made("sequential", 40_000);
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        let prefixes: std::collections::HashSet<_> = ids.iter().map(|id| &id[..26]).collect();
        assert!(prefixes.len() > 1);
        assert!(ids.iter().all(|id| id.len() == 32));
    }
}
