//! How long to wait before trying again what has failed.

use std::time::Duration;

use settle_model::time::Entropy;

/// Doubles from `first` to `longest`; each wait is spread over its second half, so that many that failed
/// together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(60) }
    }
}

impl Backoff {
    /// The wait after so many failures in a row.
    pub fn delay(&self, failures: u32, entropy: &dyn Entropy) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let whole = self.first.saturating_mul(1 << doublings).min(self.longest);
        let mut random = [0; 4];
        entropy.fill(&mut random);
        let part = f64::from(u32::from_le_bytes(random)) / (f64::from(u32::MAX) + 1.0);
        whole / 2 + (whole / 2).mul_f64(part)
    }
}

#[cfg(test)]
mod tests {
    use settle_model::time::SeededEntropy;

    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_are_spread() {
        let entropy = SeededEntropy::new(1);
        let backoff =
            Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(2) };
        for (failures, whole) in [(1, 100), (2, 200), (3, 400), (5, 1_600), (6, 2_000), (99, 2_000)]
        {
            let whole = Duration::from_millis(whole);
            let waits: Vec<_> = (0..100).map(|_| backoff.delay(failures, &entropy)).collect();
            assert!(waits.iter().all(|wait| (whole / 2..whole).contains(wait)), "{waits:?}");
            assert!(
                waits.iter().max() > waits.iter().min().map(|least| *least + whole / 4).as_ref()
            );
        }
    }
}
