//! Who has been wrong too often waits, longer each time.
//!
//! Counted are wrong passwords by address and name, by address, and by name. The first stops somebody who
//! guesses one password, the second somebody who tries many names, the third many who guess together. An
//! address from which a name has signed in rightly is not held up by what others do to that name, so that
//! nobody can be locked out by strangers; and the site's admin is never held up on the machine itself. Of an
//! IPv6 address the first 64 bits count, since who has one has all that begin so.
//!
//! Who is held up is not heard at all: not even with credentials that are remembered as right, or guesses
//! would be tried against those without any wait. While nobody is held up, that costs requests nothing.
//!
//! Units: times are durations of the clock that never goes back. The tables are bounded: the entry that
//! was wrong longest ago goes first. Who has signed in stands in a table of its own, which no guesses fill.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::limits::{LOCKOUT_ENTRIES_MAX, LOCKOUT_FORGOTTEN_AFTER, LOCKOUT_LONGEST};

/// Wrong passwords that are let pass before each further one doubles the wait.
const FREE_PAIR: u32 = 5;
const FREE_ADDRESS: u32 = 30;
const FREE_NAME: u32 = 50;

/// Where an attempt comes from. `None` stands for requests that came from no socket.
pub type Address = Option<IpAddr>;

/// What counts as one address: one of IPv4, or a /64 of IPv6, which is what one client is given.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        address @ IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Lockout {
    tables: Mutex<Tables>,
    /// Until when anybody at all is held up, in microseconds.
    until: AtomicU64,
}

#[derive(Debug, Default)]
struct Tables {
    pairs: HashMap<(String, Address), Failures>,
    addresses: HashMap<Address, Failures>,
    names: HashMap<String, Failures>,
    /// Who has signed in from where, and when last.
    known: HashMap<(String, Address), Duration>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Failures {
    count: u32,
    last: Duration,
}

impl Failures {
    fn left(&self, free: u32, now: Duration) -> Duration {
        let Some(over) = self.count.checked_sub(free) else { return Duration::ZERO };
        let wait = Duration::from_secs(1).saturating_mul(2u32.saturating_pow(over.min(20)));
        (self.last + wait.min(LOCKOUT_LONGEST)).saturating_sub(now)
    }

    fn add(&mut self, now: Duration) {
        if now.saturating_sub(self.last) > LOCKOUT_FORGOTTEN_AFTER {
            self.count = 0;
        }
        self.count += 1;
        self.last = now;
    }
}

impl Lockout {
    /// How long this one has to wait; zero if not at all.
    pub(crate) fn wait(&self, name: &str, address: Address, now: Duration) -> Duration {
        let address = address.map(network);
        let tables = self.lock();
        let key = (name.to_owned(), address);
        let pair = tables.pairs.get(&key).map(|it| it.left(FREE_PAIR, now));
        if tables.known.contains_key(&key) {
            return pair.unwrap_or_default();
        }
        let waits = [
            pair,
            tables.addresses.get(&address).map(|it| it.left(FREE_ADDRESS, now)),
            tables.names.get(name).map(|it| it.left(FREE_NAME, now)),
        ];
        waits.into_iter().flatten().max().unwrap_or(Duration::ZERO)
    }

    pub(crate) fn failed(&self, name: &str, address: Address, now: Duration) {
        let address = address.map(network);
        let mut tables = self.lock();
        let Tables { pairs, addresses, names, .. } = &mut *tables;
        let waits = [
            add(pairs, (name.to_owned(), address), now).left(FREE_PAIR, now),
            add(addresses, address, now).left(FREE_ADDRESS, now),
            add(names, name.to_owned(), now).left(FREE_NAME, now),
        ];
        let longest = waits.into_iter().max().unwrap_or_default();
        if !longest.is_zero() {
            self.until.fetch_max(micros(now + longest), Ordering::Relaxed);
        }
    }

    /// Whether nobody is held up at the moment. Asked for requests with remembered credentials; the clock
    /// is asked only if somebody ever was.
    pub(crate) fn is_quiet(&self, now: impl FnOnce() -> Duration) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        until == 0 || until <= micros(now())
    }

    /// Forgets what was wrong from there. That others were wrong stays.
    pub(crate) fn succeeded(&self, name: &str, address: Address, now: Duration) {
        let address = address.map(network);
        let mut tables = self.lock();
        let key = (name.to_owned(), address);
        tables.pairs.remove(&key);
        make_room(&mut tables.known, |last| *last);
        tables.known.insert(key, now);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tables> {
        // Every change is one assignment, so a panic elsewhere leaves the tables whole.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn add<K: Hash + Eq>(table: &mut HashMap<K, Failures>, key: K, now: Duration) -> Failures {
    make_room(table, |it| it.last);
    let failures = table.entry(key).or_default();
    failures.add(now);
    *failures
}

/// Half of a full table goes at once, so that making room costs each entry little.
fn make_room<K: Hash + Eq, V>(table: &mut HashMap<K, V>, last: impl Fn(&V) -> Duration) {
    if table.len() < LOCKOUT_ENTRIES_MAX {
        return;
    }
    let mut times: Vec<_> = table.values().map(&last).collect();
    let middle = times.len() / 2;
    let (_, &mut oldest_kept, _) = times.select_nth_unstable(middle);
    table.retain(|_, it| last(it) > oldest_kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u8) -> Address {
        Some(IpAddr::from([192, 0, 2, n]))
    }

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn who_guesses_waits_twice_as_long_each_time_and_then_a_while() {
        let lockout = Lockout::default();
        let mut waits = Vec::new();
        for _ in 0..16 {
            waits.push(lockout.wait("ada", at(1), seconds(9)).as_secs());
            lockout.failed("ada", at(1), seconds(9));
        }
        assert_eq!(waits, [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(lockout.wait("ada", at(1), seconds(310)), Duration::ZERO);
        assert_eq!(lockout.wait("bob", at(1), seconds(9)), Duration::ZERO);
        assert_eq!(lockout.wait("ada", at(2), seconds(9)), Duration::ZERO);
        // After an hour of quiet, it begins anew.
        lockout.failed("ada", at(1), seconds(9_000));
        assert_eq!(lockout.wait("ada", at(1), seconds(9_000)), Duration::ZERO);
    }

    #[test]
    fn who_tries_many_names_waits_with_every_name() {
        let lockout = Lockout::default();
        for n in 0..32 {
            lockout.failed(&format!("name {n}"), at(1), seconds(0));
        }
        assert_eq!(lockout.wait("another", at(1), seconds(0)), seconds(4));
        assert_eq!(lockout.wait("another", at(2), seconds(0)), Duration::ZERO);
    }

    #[test]
    fn many_who_guess_one_name_wait_but_not_whoever_has_signed_in_with_it() {
        let lockout = Lockout::default();
        lockout.succeeded("ada", at(200), seconds(0));
        for n in 0..60 {
            lockout.failed("ada", at(n), seconds(1));
        }
        assert!(lockout.wait("ada", at(100), seconds(1)) > Duration::ZERO);
        assert_eq!(lockout.wait("ada", at(200), seconds(1)), Duration::ZERO);
    }

    #[test]
    fn guesses_of_many_do_not_make_it_forget_who_has_signed_in() {
        let lockout = Lockout::default();
        lockout.succeeded("ada", at(200), seconds(0));
        for n in 0..2 * LOCKOUT_ENTRIES_MAX {
            let address = IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
            lockout.failed("ada", Some(address), seconds(1));
        }
        assert!(lockout.wait("ada", at(100), seconds(1)) > Duration::ZERO);
        assert_eq!(lockout.wait("ada", at(200), seconds(1)), Duration::ZERO);
    }

    #[test]
    fn it_is_quiet_while_nobody_is_held_up() {
        let lockout = Lockout::default();
        for _ in 0..5 {
            assert!(lockout.is_quiet(|| unreachable!("nobody ever was")));
            lockout.failed("ada", at(1), seconds(9));
        }
        assert!(!lockout.is_quiet(|| seconds(9)));
        assert!(lockout.is_quiet(|| seconds(10)));
    }

    #[test]
    fn all_addresses_of_one_network_of_ipv6_are_one() {
        let lockout = Lockout::default();
        let at = |text: &str| Some(text.parse().unwrap());
        for n in 0..32 {
            lockout.failed(&format!("name {n}"), at(&format!("2001:db8::{n}:1")), seconds(0));
        }
        assert_eq!(lockout.wait("another", at("2001:db8::9"), seconds(0)), seconds(4));
        assert_eq!(lockout.wait("another", at("2001:db8:0:1::9"), seconds(0)), Duration::ZERO);
    }

    #[test]
    fn the_tables_do_not_grow_without_end() {
        let lockout = Lockout::default();
        for n in 0..3 * LOCKOUT_ENTRIES_MAX {
            lockout.failed(&n.to_string(), at(1), seconds(u64::try_from(n).unwrap()));
        }
        let tables = lockout.lock();
        assert!(tables.names.len() <= LOCKOUT_ENTRIES_MAX);
        assert!(tables.names.contains_key(&(3 * LOCKOUT_ENTRIES_MAX - 1).to_string()));
    }
}
