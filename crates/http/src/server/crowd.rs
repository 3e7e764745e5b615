//! How many connections each address has.
//!
//! Without a bound for one address, one machine takes all the places that there are for everybody. An
//! IPv6 address is counted by its /64, which is what one customer is given.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use settle_accounts::network;

/// Clones share one count.
#[derive(Debug, Clone)]
pub(super) struct Crowd {
    max: usize,
    present: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A place of an address; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    crowd: Crowd,
    of: IpAddr,
}

impl Crowd {
    pub(super) fn new(max: usize) -> Self {
        Self { max, present: Arc::default() }
    }

    /// `None` when the address has as many as it may have.
    pub(super) fn seat(&self, address: IpAddr) -> Option<Seat> {
        let of = network(address);
        let mut present = self.lock();
        let count = present.entry(of).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Seat { crowd: self.clone(), of })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut present = self.crowd.lock();
        let Some(count) = present.get_mut(&self.of) else { return };
        *count -= 1;
        if *count == 0 {
            present.remove(&self.of);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_they_are_free_again() {
        let crowd = Crowd::new(2);
        let of = |text: &str| crowd.seat(text.parse().unwrap());
        let seats = [of("10.0.0.1"), of("10.0.0.1")];
        assert!(seats.iter().all(Option::is_some));
        assert!(of("10.0.0.1").is_none());
        assert!(of("::ffff:10.0.0.1").is_none(), "the same address, written for IPv6");
        assert!(of("10.0.0.2").is_some());
        drop(seats);
        assert!(of("10.0.0.1").is_some());
        assert!(crowd.lock().is_empty(), "who has left is forgotten");
    }

    #[test]
    fn all_addresses_of_a_customer_count_as_one() {
        let crowd = Crowd::new(1);
        let first = crowd.seat("2001:db8:0:1::1".parse().unwrap());
        assert!(first.is_some());
        assert!(crowd.seat("2001:db8:0:1:ffff::2".parse().unwrap()).is_none());
        assert!(crowd.seat("2001:db8:0:2::1".parse().unwrap()).is_some());
    }
}
