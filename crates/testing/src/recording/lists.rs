//! Which lists are in use.

use super::world::Random;
use crate::histories::ListId;

/// The database in which writes are only written.
pub(super) const PLAIN: &str = "plain";

/// The one in which validators are asked, and functions are.
pub(super) const JUDGED: &str = "judged";

/// Of each database, in use at a time: so few that clients meet.
const IN_USE: usize = 16;

/// How often a list is chosen to be written before another takes its place.
const WRITES_MAX: u32 = 40;

/// How many of those that are not written any more are still read.
const RETIRED: usize = 64;

/// The lists of both databases. Those with odd numbers are judged.
#[derive(Debug)]
pub(super) struct Lists {
    plain: Pool,
    judged: Pool,
}

#[derive(Debug)]
struct Pool {
    in_use: Vec<(ListId, u32)>,
    retired: Vec<ListId>,
    next: u32,
}

pub(super) fn database_of(list: ListId) -> &'static str {
    if is_judged(list) { JUDGED } else { PLAIN }
}

pub(super) fn is_judged(list: ListId) -> bool {
    list.0 % 2 == 1
}

impl Lists {
    pub(super) fn new() -> Self {
        Self { plain: Pool::new(0), judged: Pool::new(1) }
    }

    /// Up to so many different lists of one database.
    pub(super) fn choose(&mut self, judged: bool, count: usize, random: &Random) -> Vec<ListId> {
        let pool = self.pool(judged);
        let mut lists = Vec::new();
        for _ in 0..count {
            let list = pool.in_use[pool.pick(random)].0;
            if !lists.contains(&list) {
                lists.push(list);
            }
        }
        lists
    }

    /// Counts a write, after which the list may be in use no longer.
    pub(super) fn use_up(&mut self, list: ListId) {
        self.pool(is_judged(list)).use_up(list);
    }

    /// One that is not written any more, or hardly.
    pub(super) fn retired(&mut self, judged: bool, random: &Random) -> Option<ListId> {
        let retired = &self.pool(judged).retired;
        (!retired.is_empty()).then(|| retired[random.index(retired.len())])
    }

    /// All that there ever were.
    pub(super) fn all(&self) -> Vec<ListId> {
        let of = |end: u32| (0..end).map(ListId).filter(move |it| it.0 % 2 == end % 2);
        of(self.plain.next).chain(of(self.judged.next)).collect()
    }

    fn pool(&mut self, judged: bool) -> &mut Pool {
        if judged { &mut self.judged } else { &mut self.plain }
    }
}

impl Pool {
    fn new(first: u32) -> Self {
        let mut pool = Self { in_use: Vec::new(), retired: Vec::new(), next: first };
        for _ in 0..IN_USE {
            let list = pool.take();
            pool.in_use.push((list, 0));
        }
        pool
    }

    fn take(&mut self) -> ListId {
        self.next += 2;
        ListId(self.next - 2)
    }

    /// The first ones more often than the last, as things are used.
    fn pick(&self, random: &Random) -> usize {
        random.index(self.in_use.len()).min(random.index(self.in_use.len()))
    }

    fn use_up(&mut self, list: ListId) {
        let Some(place) = self.in_use.iter().position(|it| it.0 == list) else { return };
        self.in_use[place].1 += 1;
        if self.in_use[place].1 < WRITES_MAX {
            return;
        }
        self.in_use[place] = (self.take(), 0);
        if self.retired.len() == RETIRED {
            self.retired.remove(0);
        }
        self.retired.push(list);
    }
}
