//! Reading the changes of the source, ahead of what is worked on.

use std::{collections::VecDeque, time::Duration};

use super::{
    Replication,
    message::{Page, Row, Side},
    task::{Task, Work},
};
use crate::{
    limits::{CHANGES_WAIT_MAX, EMPTY_PAGE_PAUSE, PAGE_ROWS_MIN, PORTIONS_READ_AHEAD},
    seq::Seq,
};

#[derive(Debug)]
pub(super) struct Feed {
    /// Where the next page begins.
    pub(super) since: Seq,
    /// Changes behind that, if the source says.
    pub(super) pending: Option<u64>,
    queue: VecDeque<Entry>,
    /// A page has been asked for.
    is_asked: bool,
    /// Nothing more will be read.
    has_ended: bool,
    /// The last page had all there was; the next one waits.
    is_at_end: bool,
    /// The next page is not asked for before.
    not_before: Duration,
    /// Rows read, and those after which a one-shot replication has seen enough: [`Feed::is_enough`].
    seen: u64,
    enough: Option<u64>,
}

#[derive(Debug)]
enum Entry {
    Row(Row),
    /// Where a page ends, if that is behind its last row.
    End(Seq),
}

impl Feed {
    pub(super) fn new() -> Self {
        Self {
            since: Seq::zero(),
            pending: None,
            queue: VecDeque::new(),
            is_asked: false,
            has_ended: false,
            is_at_end: false,
            not_before: Duration::ZERO,
            seen: 0,
            enough: None,
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_done(&self) -> bool {
        self.has_ended && self.queue.is_empty()
    }

    pub(super) fn stop(&mut self) {
        self.has_ended = true;
        self.queue = VecDeque::new();
    }

    /// The next rows, at most `limit`, and the sequence that they reach.
    pub(super) fn take(&mut self, limit: usize) -> (Vec<Row>, Option<Seq>) {
        let (mut rows, mut reached) = (Vec::new(), None);
        while rows.len() < limit {
            match self.queue.pop_front() {
                None => break,
                Some(Entry::End(seq)) => reached = Some(seq),
                Some(Entry::Row(row)) => {
                    if row.seq.is_some() {
                        reached.clone_from(&row.seq);
                    }
                    rows.push(row);
                }
            }
        }
        if let Some(Entry::End(_)) = self.queue.front()
            && let Some(Entry::End(seq)) = self.queue.pop_front()
        {
            reached = Some(seq);
        }
        (rows, reached)
    }

    /// A source that is written to faster than it is read has no end. What there was at the start has
    /// been read by far when twice as much has come.
    fn is_enough(&mut self, page: &Page) -> bool {
        let rows = page.rows.len() as u64;
        self.seen += rows;
        if self.enough.is_none() {
            let all = page.pending.map(|pending| pending.saturating_add(rows));
            self.enough = all.map(|all| all.saturating_mul(2));
        }
        self.enough.is_some_and(|enough| self.seen > enough)
    }
}

impl Replication {
    /// Rows of one portion.
    pub(super) fn portion_rows(&self) -> usize {
        let documents = self.peers.iter().map(|peer| peer.pace.documents()).max().unwrap_or(1);
        documents.min(self.job.worker_batch_size)
    }

    pub(super) fn read_ahead(&mut self) {
        let enough = self.portion_rows() * PORTIONS_READ_AHEAD;
        let feed = &mut self.feed;
        if feed.is_asked || feed.has_ended || feed.queue.len() >= enough {
            return;
        }
        feed.is_asked = true;
        let limit = enough.max(PAGE_ROWS_MIN);
        let wait = (self.job.continuous && feed.is_at_end).then_some(CHANGES_WAIT_MAX);
        let not_before = feed.not_before;
        let work = Work { not_before, ..Work::new(Task::Changes { limit, wait }) };
        self.peer(Side::Source).queue.push_front(work);
    }

    /// `waited` is how long the page took that was asked to wait.
    pub(super) fn got_page(&mut self, page: Page, limit: usize, waited: Option<Duration>) {
        let feed = &mut self.feed;
        feed.is_asked = false;
        feed.pending = page.pending;
        let is_stuck = page.rows.is_empty() && page.last_seq == feed.since;
        let is_short = page.rows.len() < limit;
        let all_read = match page.pending {
            Some(pending) => is_short && pending == 0,
            None => page.rows.is_empty(),
        };
        feed.is_at_end = all_read || is_stuck || (is_short && page.pending.is_none());
        let ends = all_read || is_stuck || feed.is_enough(&page);
        feed.has_ended = !self.job.continuous && ends;
        if waited.is_some_and(|waited| waited < EMPTY_PAGE_PAUSE) && page.rows.is_empty() {
            feed.not_before = self.now.monotonic + EMPTY_PAGE_PAUSE;
        }
        let row_seq = page.rows.iter().rev().find_map(|row| row.seq.as_ref());
        let ends_behind = match page.rows.last() {
            None => page.last_seq != feed.since,
            Some(row) => row.seq.is_none() || row_seq != Some(&page.last_seq),
        };
        feed.since = page.last_seq.clone();
        feed.queue.extend(page.rows.into_iter().map(Entry::Row));
        if ends_behind {
            feed.queue.push_back(Entry::End(page.last_seq));
        }
    }
}
