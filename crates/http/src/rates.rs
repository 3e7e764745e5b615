//! How many requests an account and an address may send.
//!
//! A token bucket for each, kept as one number: the time at which the bucket would be full again. A request
//! moves it on by the time that one token takes; one that would move it further than the burst ahead of
//! now is refused, and told how long that lasts. Off until an administrator sets a rate.
//!
//! Source: the generic cell rate algorithm of ITU-T I.371, which behaves as a token bucket does.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use settle_access::{ADMIN_ROLE, Actor};
use settle_accounts::network;

use crate::{
    error::{ApiError, Code},
    limits::{RATES_IN_PART_MAX, RATES_PARTS},
    settings::RateSettings,
};

/// The buckets of everybody who has not been silent for long.
#[derive(Debug)]
pub(crate) struct Rates {
    parts: [Mutex<HashMap<u64, u64>>; RATES_PARTS],
    hasher: RandomState,
}

/// Whose bucket.
#[derive(Debug, Hash)]
enum Of<'a> {
    Address(IpAddr),
    Account(&'a str),
}

impl Default for Rates {
    fn default() -> Self {
        Self { parts: std::array::from_fn(|_| Mutex::default()), hasher: RandomState::new() }
    }
}

impl Rates {
    /// Before anybody is asked who they are, since that is what costs most. On the loopback address it
    /// waits until then, as an administrator there is never refused.
    pub(crate) fn arrived(
        &self,
        settings: &RateSettings,
        address: Option<IpAddr>,
        now: Duration,
    ) -> Result<(), ApiError> {
        match address {
            Some(address) if !address.is_loopback() => self.of_address(settings, address, now),
            Some(_) | None => Ok(()),
        }
    }

    /// When it is known who it is.
    pub(crate) fn known(
        &self,
        settings: &RateSettings,
        address: Option<IpAddr>,
        actor: &Actor,
        now: Duration,
    ) -> Result<(), ApiError> {
        let loopback = address.filter(IpAddr::is_loopback);
        let name = match actor {
            Actor::User { name, roles, .. } => {
                if loopback.is_some() && roles.iter().any(|role| role == ADMIN_ROLE) {
                    return Ok(());
                }
                Some(name)
            }
            Actor::Anonymous => None,
        };
        if let Some(address) = loopback {
            self.of_address(settings, address, now)?;
        }
        match (name, settings.per_account) {
            (Some(name), 1..) => {
                self.take(&Of::Account(name), settings.per_account, settings.burst, now)
            }
            (Some(_) | None, _) => Ok(()),
        }
    }

    fn of_address(
        &self,
        settings: &RateSettings,
        address: IpAddr,
        now: Duration,
    ) -> Result<(), ApiError> {
        match settings.per_address {
            0 => Ok(()),
            rate => self.take(&Of::Address(network(address)), rate, settings.burst, now),
        }
    }

    /// `rate` is in requests a second.
    fn take(&self, of: &Of<'_>, rate: u32, burst: Duration, now: Duration) -> Result<(), ApiError> {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let (now, burst) = (micros(now), micros(burst));
        let key = self.hasher.hash_one(of);
        let part = usize::try_from(key >> 32).expect("it has 32 bits") % RATES_PARTS;
        let mut part = self.parts[part].lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = part.get(&key).copied().unwrap_or(now).max(now);
        let next = full_at.saturating_add(1_000_000 / u64::from(rate));
        let too_far = next.saturating_sub(now.saturating_add(burst));
        if too_far > 0 {
            return Err(refusal(too_far));
        }
        if part.len() >= RATES_IN_PART_MAX && !part.contains_key(&key) {
            part.retain(|_, full_at| *full_at > now);
            if part.len() >= RATES_IN_PART_MAX {
                // So many at once that nobody's share can be told. They begin anew.
                part.clear();
            }
        }
        part.insert(key, next);
        Ok(())
    }
}

fn refusal(micros: u64) -> ApiError {
    let seconds = micros.div_ceil(1_000_000);
    let reason = "Too many requests; come back after the time in Retry-After.";
    ApiError::new(Code::TooManyRequests, reason)
        .with_header(http::header::RETRY_AFTER, http::HeaderValue::from(seconds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(per_account: u32, per_address: u32, burst_s: u64) -> RateSettings {
        RateSettings { per_account, per_address, burst: Duration::from_secs(burst_s) }
    }

    fn user(name: &str) -> Actor {
        Actor::user(name, Vec::new())
    }

    proptest! {
        /// Against a bucket that is filled and emptied by hand.
        #[test]
        fn it_grants_what_a_bucket_of_tokens_grants(
            rate in 1u32..50, burst_s in 1u64..5, waits_ms in proptest::collection::vec(0u64..400, 1..200),
        ) {
            let rates = Rates::default();
            let settings = settings(rate, 0, burst_s);
            let token = 1_000_000 / u64::from(rate);
            let most = burst_s * 1_000_000;
            let (mut now, mut micros) = (0, most);
            for wait in waits_ms {
                now += wait * 1_000;
                micros = (micros + wait * 1_000).min(most);
                let granted = rates.known(&settings, None, &user("a"), Duration::from_micros(now));
                prop_assert_eq!(granted.is_ok(), micros >= token);
                if granted.is_ok() {
                    micros -= token;
                }
            }
        }
    }

    #[test]
    fn memory_is_bounded_and_who_was_silent_is_forgotten_first() {
        let rates = Rates::default();
        let settings = settings(0, 1, 10);
        let address = |n: u32| Some(IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + n)));
        for n in 0..200_000 {
            drop(rates.arrived(&settings, address(n), Duration::from_micros(u64::from(n))));
        }
        let kept: usize = rates.parts.iter().map(|part| part.lock().unwrap().len()).sum();
        assert!(kept <= RATES_PARTS * RATES_IN_PART_MAX, "{kept}");
    }
}
