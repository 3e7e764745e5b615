//! How bad the network is, and how that is written: `--rate 1Mbit --stall 2s/20s --cut-every 5s`.

use std::{num::NonZeroU64, str::FromStr, time::Duration};

use crate::config::{ByteCount, Value as _};

/// What a link does to those who use it. The default is a good one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conditions {
    /// From one side to the other. A new connection waits for two of them, as for TCP's handshake.
    pub latency: Duration,
    /// Up to this much is added to the latency, for each piece anew. What was sent first still arrives first.
    pub jitter: Duration,
    /// `None` is as fast as the machine.
    pub rate: Option<Rate>,
    pub stalls: Option<Stalls>,
    /// How long connections live on average before they are reset: any time up to twice that.
    pub reset_after: Option<Duration>,
    pub cuts: Option<Cuts>,
}

/// What a link carries in each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub bytes_per_second: NonZeroU64,
}

/// The whole link stands still for a while, once in each period, at a moment that the seed decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stalls {
    length: Duration,
    every: Duration,
}

/// All connections are reset, regularly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cuts {
    /// At least a millisecond.
    pub every: Duration,
    /// How long new connections are reset at once after a cut.
    pub length: Duration,
}

/// In bits a second, in powers of 1,000.
const BIT_UNITS: [(&str, u64); 3] = [("kbit", 1_000), ("Mbit", 1_000_000), ("Gbit", 1_000_000_000)];

impl Rate {
    /// How long this many bytes take.
    pub fn time(self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second.get());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many bytes there are in so much time.
    pub fn bytes(self, time: Duration) -> u64 {
        let bytes = time.as_nanos() * u128::from(self.bytes_per_second.get()) / 1_000_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// `1 Mbit`, `125 kB`; a second is meant, and may be said (`1Mbit/s`). A small `b` is refused, since some
/// mean bits by it.
impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected bits or bytes a second, as in 1 Mbit or 125 kB".to_owned();
        let amount = text.trim().trim_end_matches("/s");
        if amount.ends_with('b') {
            return Err(expected());
        }
        let in_bits = BIT_UNITS.into_iter().find_map(|(unit, size)| {
            let number = amount.strip_suffix(unit)?.trim_end().parse::<u64>().ok()?;
            Some(number.checked_mul(size)? / 8)
        });
        let bytes = match in_bits {
            Some(bytes) => bytes,
            None => ByteCount::parse(amount).map_err(|_| expected())?.0,
        };
        let bytes_per_second = NonZeroU64::new(bytes).ok_or_else(expected)?;
        Ok(Self { bytes_per_second })
    }
}

impl Stalls {
    pub fn length(self) -> Duration {
        self.length
    }

    pub fn every(self) -> Duration {
        self.every
    }

    /// The most that the beginning of a stall can be after that of its period.
    pub(super) fn play(self) -> Duration {
        self.every - self.length
    }
}

/// `2s/20s`: for two seconds, once in each twenty.
impl FromStr for Stalls {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            "expected how long and how often, as in 2s/20s, the second longer than the first";
        let (length, every) = text.split_once('/').ok_or(expected)?;
        let (length, every) = (Duration::parse(length)?, Duration::parse(every)?);
        if length.is_zero() || length >= every {
            return Err(expected.into());
        }
        Ok(Self { length, every })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(text: &str) -> Result<u64, String> {
        text.parse().map(|rate: Rate| rate.bytes_per_second.get())
    }

    #[test]
    fn a_rate_is_written_in_bits_or_in_bytes() {
        assert_eq!(rate("1 Mbit"), Ok(125_000));
        assert_eq!(rate("1Mbit/s"), Ok(125_000));
        assert_eq!(rate("64 kbit"), Ok(8_000));
        assert_eq!(rate("125KB"), Ok(125_000));
        assert_eq!(rate("1 MiB"), Ok(1 << 20));
        assert_eq!(rate("512"), Ok(512));
        for wrong in ["", "fast", "0", "-1 Mbit", "1 Mb", "7 bit", "99999999999999999999 Gbit"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_stall_is_shorter_than_its_period() {
        let stalls: Stalls = "2s/20s".parse().unwrap();
        assert_eq!(
            (stalls.length(), stalls.every()),
            (Duration::from_secs(2), Duration::from_secs(20))
        );
        for wrong in ["", "2s", "2/20", "20s/2s", "2s/2s", "0s/2s"] {
            assert!(wrong.parse::<Stalls>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_takes_a_time_fits_into_it(bytes in 1_u64..1 << 40, bytes_per_second in 1_u64..1 << 40) {
            let rate = Rate { bytes_per_second: NonZeroU64::new(bytes_per_second).unwrap() };
            let fitting = rate.bytes(rate.time(bytes));
            // Nanoseconds are rounded down, and with them the bytes.
            prop_assert!(fitting <= bytes);
            prop_assert!(bytes - fitting <= 1 + bytes_per_second / 1_000_000_000);
        }
    }
}
