//! Documents as they were at a moment.
//!
//! What a document was is in the history record of the first update behind the moment, or in its head where there was
//! none. So heads are read first, and then, of documents that have been updated since, history: two views, of which the
//! second cannot contradict the first, since what was does not change. Only a purge changes it; then what a read needed
//! may be gone, and it begins again.
//!
//! A record does not repeat the body of a leaf that the update left in place: that stands in a later one, or in the head.

use std::ops::Bound;

use bytes::Bytes;
use settle_engine::{Direction, Plan, Progress, Scan, Step, Visit, Visitor};
use settle_model::{revision::RevId, time::Timestamp};

use super::moment::{Moment, PastError};
use crate::{
    database::Inner,
    error::StorageError,
    keys::{self, Keys},
    limits::{CLASHES_MAX, LISTED_BYTES_MAX, LISTED_ROWS_MAX, PAST_BYTES_MAX, PAST_ROWS_MAX},
    record::{
        body::decode_record,
        head::{BodyView, HeadView},
        history::{History, PastBody},
    },
    revision::Times,
    scan::Failure,
};

/// A document as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Then {
    pub(crate) id: String,
    /// Of the change that made it so.
    pub(crate) sequence: u64,
    /// When the document was made, and when this change was.
    pub(crate) times: Times,
    /// Winner first.
    pub(crate) leaves: Vec<LeafThen>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeafThen {
    pub(crate) rev: RevId,
    pub(crate) deleted: bool,
    pub(crate) body: BodyThen,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BodyThen {
    /// It was not asked for.
    Unread,
    /// It stands in a later record.
    Later,
    /// In the body record of this number.
    Record(u64),
    Here(Bytes),
}

/// Which bodies are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bodies {
    None,
    /// That of the winner, if it is live.
    Winner,
    /// That of the winner, be it a tombstone.
    Newest,
    /// Those of all leaves.
    All,
}

impl Then {
    pub(crate) fn winner(&self) -> &LeafThen {
        &self.leaves[0]
    }

    pub(crate) fn is_live(&self) -> bool {
        !self.winner().deleted
    }

    /// Live leaves other than the winner, in winner order.
    pub(crate) fn others(&self, deleted: bool) -> Vec<RevId> {
        let others = self.leaves.iter().skip(1).filter(|leaf| leaf.deleted == deleted);
        others.map(|leaf| leaf.rev.clone()).collect()
    }

    /// Bytes of bodies, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let bodies = self.leaves.iter().map(|leaf| match &leaf.body {
            BodyThen::Here(body) => body.len(),
            BodyThen::Unread | BodyThen::Later | BodyThen::Record(_) => 0,
        });
        self.id.len() + bodies.sum::<usize>()
    }

    /// Of a head that has not been replaced since.
    pub(crate) fn of_head(
        id: &str,
        head: &HeadView<'_>,
        bodies: Bodies,
    ) -> Result<Self, StorageError> {
        let mut leaves = Vec::with_capacity(head.leaf_count());
        for (at, leaf) in head.leaves().enumerate() {
            let leaf = leaf?;
            let body = if bodies.wants(at, leaf.deleted) {
                body_of_head(leaf.body)
            } else {
                BodyThen::Unread
            };
            leaves.push(LeafThen { rev: leaf.rev, deleted: leaf.deleted, body });
        }
        let (id, sequence) = (id.to_owned(), head.sequence);
        Ok(Self { id, sequence, times: head.times(), leaves })
    }

    /// `None` where a purge has taken all of it: that is as if it had never been.
    fn of_history(seen: &Replaced, history: History, bodies: Bodies) -> Option<Self> {
        let left = history.leaves.into_iter().filter(|leaf| leaf.body != PastBody::Erased);
        let leaves = left.enumerate().map(|(at, leaf)| {
            let body = if bodies.wants(at, leaf.deleted) {
                body_of_history(leaf.body)
            } else {
                BodyThen::Unread
            };
            LeafThen { rev: leaf.rev, deleted: leaf.deleted, body }
        });
        let leaves: Vec<_> = leaves.collect();
        let (id, sequence) = (seen.id.clone(), history.sequence);
        let times = Times { created: seen.created, updated: history.updated };
        (!leaves.is_empty()).then_some(Self { id, sequence, times, leaves })
    }

    /// Takes bodies that stand in a later state of the document.
    fn take_from(&mut self, history: History) {
        for later in history.leaves {
            for leaf in &mut self.leaves {
                if leaf.body == BodyThen::Later && leaf.rev == later.rev {
                    leaf.body = body_of_history(later.body.clone());
                }
            }
        }
    }

    fn take_from_head(&mut self, head: &HeadView<'_>) -> Result<(), StorageError> {
        for later in head.leaves() {
            let later = later?;
            for leaf in &mut self.leaves {
                if leaf.body == BodyThen::Later && leaf.rev == later.rev {
                    leaf.body = body_of_head(later.body);
                }
            }
        }
        Ok(())
    }

    fn misses_bodies(&self) -> bool {
        self.leaves.iter().any(|leaf| leaf.body == BodyThen::Later)
    }

    /// A body record that has to be read.
    fn wanted_record(&self) -> Option<u64> {
        self.leaves.iter().find_map(|leaf| match leaf.body {
            BodyThen::Record(number) => Some(number),
            BodyThen::Unread | BodyThen::Later | BodyThen::Here(_) => None,
        })
    }

    fn give_record(&mut self, number: u64, payload: &[u8]) {
        for leaf in &mut self.leaves {
            if leaf.body == BodyThen::Record(number) {
                leaf.body = BodyThen::Here(Bytes::copy_from_slice(payload));
            }
        }
    }
}

impl Bodies {
    fn wants(self, at: usize, deleted: bool) -> bool {
        match self {
            Self::None => false,
            Self::Winner => at == 0 && !deleted,
            Self::Newest => at == 0,
            Self::All => true,
        }
    }
}

fn body_of_head(body: BodyView<'_>) -> BodyThen {
    match body {
        BodyView::Inline(payload) => BodyThen::Here(Bytes::copy_from_slice(payload)),
        BodyView::Record { number, .. } => BodyThen::Record(number),
    }
}

fn body_of_history(body: PastBody) -> BodyThen {
    match body {
        PastBody::Inline(payload) => BodyThen::Here(payload.into()),
        PastBody::Record { number, .. } => BodyThen::Record(number),
        // A purge that comes between two views is noticed by what is then missing.
        PastBody::Later | PastBody::Erased => BodyThen::Later,
    }
}

/// How much one slice of a read brings together: it ends with the row that reaches one of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portion {
    pub(crate) rows: usize,
    /// Of what documents were, and once more of what replaced them.
    pub(crate) bytes: usize,
}

impl Portion {
    /// Where what is found goes into a reply, which may have enough after any row: what it did not take is read again.
    pub(crate) const LISTED: Self = Self { rows: LISTED_ROWS_MAX, bytes: LISTED_BYTES_MAX };
    /// Where all that is found is taken.
    pub(crate) const WHOLE: Self = Self { rows: PAST_ROWS_MAX, bytes: PAST_BYTES_MAX };
}

impl Inner {
    /// Documents as they were, in the order of `ids`; `None` for one that was not there.
    pub(crate) async fn then(
        &self,
        ids: &[String],
        moment: Moment,
        bodies: Bodies,
    ) -> Result<Vec<Option<Then>>, PastError> {
        let mut all = Vec::with_capacity(ids.len());
        while all.len() < ids.len() {
            let portion = Portion::WHOLE;
            all.append(&mut self.then_some(&ids[all.len()..], moment, bodies, portion).await?);
        }
        Ok(all)
    }

    /// The first of these documents as they were, at least one, and no more than a slice has.
    pub(crate) async fn then_some(
        &self,
        ids: &[String],
        moment: Moment,
        bodies: Bodies,
        portion: Portion,
    ) -> Result<Vec<Option<Then>>, PastError> {
        let ids = ids.get(..portion.rows).unwrap_or(ids);
        let steps = ids.iter().map(|id| Step::Get(self.keys.head_at(id))).collect();
        let all = Portion { rows: ids.len(), ..portion };
        let mut heads = Heads::new(self.keys, moment, bodies, all);
        let mut plan = Plan::new(steps);
        loop {
            let read = self.shared.engine.read(plan.clone(), heads).await;
            let (back, progress) = read.map_err(StorageError::from)?;
            heads = back;
            match progress {
                Progress::Paused(resume) if !heads.is_full() => plan.resume = Some(resume),
                Progress::Paused(_) | Progress::Done => break,
            }
        }
        let found = self.complete(heads.finish()?, moment, bodies, portion).await?;
        self.check_moment(moment).await?;
        Ok(found)
    }

    /// What documents were whose heads have been read: of the first of them, at least one, and no more than a slice
    /// has. The caller checks the moment.
    pub(crate) async fn complete(
        &self,
        heads: Vec<Seen>,
        moment: Moment,
        bodies: Bodies,
        portion: Portion,
    ) -> Result<Vec<Option<Then>>, StorageError> {
        let mut found = Vec::with_capacity(heads.len());
        let mut replaced = Vec::new();
        for seen in heads {
            match seen {
                Seen::Nothing => found.push(None),
                Seen::Present(then) => found.push(Some(then)),
                Seen::Replaced(head) => {
                    replaced.push((found.len(), head));
                    found.push(None);
                }
            }
        }
        if replaced.is_empty() {
            return Ok(found);
        }
        let (places, heads): (Vec<_>, Vec<_>) = replaced.into_iter().unzip();
        let replaced = self.read_replaced(heads, moment, bodies, portion).await?;
        if let Some(first_left_out) = places.get(replaced.len()) {
            found.truncate(*first_left_out);
        }
        for (place, then) in places.into_iter().zip(replaced) {
            found[place] = then;
        }
        Ok(found)
    }

    /// Of the first of these, at least one, and no more than a slice has.
    async fn read_replaced(
        &self,
        mut heads: Vec<Replaced>,
        moment: Moment,
        bodies: Bodies,
        portion: Portion,
    ) -> Result<Vec<Option<Then>>, StorageError> {
        for _ in 0..CLASHES_MAX {
            let steps = heads.iter().map(|head| {
                let all = self.keys.histories_at(&head.id);
                let all = Scan::prefix(&all, Direction::Ascending);
                let start = Bound::Excluded(self.keys.history_at(&head.id, moment.0));
                Step::Scan(Scan { start, ..all })
            });
            let mut plan = Plan::new(steps.collect());
            let mut states = States::new(self.keys, moment, bodies, heads, portion);
            loop {
                let (back, progress) = self.shared.engine.read(plan.clone(), states).await?;
                states = back;
                match progress {
                    Progress::Done => break,
                    Progress::Paused(resume) if states.is_full() => {
                        states.found.truncate(resume.step + 1);
                        break;
                    }
                    Progress::Paused(resume) => plan.resume = Some(resume),
                }
            }
            states.failure.check_in_place()?;
            match states.take_from_heads(self).await? {
                Some(found) => return Ok(found),
                // Something was purged, or went from one record to another, between two views.
                None => heads = self.again(states.heads).await?,
            }
        }
        Err(StorageError::Contended)
    }

    /// The same documents' heads as they are now.
    async fn again(&self, mut heads: Vec<Replaced>) -> Result<Vec<Replaced>, StorageError> {
        for head in &mut heads {
            let value = self.shared.engine.get(self.keys.head_at(&head.id)).await?;
            head.value = value.unwrap_or_default();
        }
        Ok(heads)
    }
}

/// What the head of a document says of how it was.
#[derive(Debug)]
pub(crate) enum Seen {
    Nothing,
    /// It has not changed since.
    Present(Then),
    Replaced(Replaced),
}

/// A document that has changed since.
#[derive(Debug)]
pub(crate) struct Replaced {
    id: String,
    created: Timestamp,
    /// Its head's record; empty when it has gone, or no bodies are wanted.
    value: Vec<u8>,
}

/// Reads heads, with the bodies of documents that have not changed since.
pub(crate) struct Heads {
    keys: Keys,
    moment: Moment,
    bodies: Bodies,
    seen: Vec<Seen>,
    /// Whether a body record of the last one is visited next.
    waiting: Option<u64>,
    failure: Failure,
    portion: Portion,
    bytes: usize,
}

impl Heads {
    pub(crate) fn new(keys: Keys, moment: Moment, bodies: Bodies, portion: Portion) -> Self {
        let seen = Vec::with_capacity(portion.rows);
        let failure = Failure::default();
        Self { keys, moment, bodies, seen, waiting: None, failure, portion, bytes: 0 }
    }

    fn is_full(&self) -> bool {
        self.seen.len() >= self.portion.rows || self.bytes >= self.portion.bytes
    }

    pub(crate) fn finish(self) -> Result<Vec<Seen>, StorageError> {
        self.failure.check()?;
        Ok(self.seen)
    }

    fn look(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<Visit, StorageError> {
        if let Some(number) = self.waiting.take() {
            let lost = || StorageError::Inconsistent { reason: format!("body {number} is gone") };
            let payload = decode_record(key, value.ok_or_else(lost)?)?;
            if let Some(Seen::Present(then)) = self.seen.last_mut() {
                then.give_record(number, payload);
            }
            return Ok(self.go_on());
        }
        let Some(value) = value else {
            self.seen.push(Seen::Nothing);
            return Ok(self.go_on());
        };
        let id = keys::text_of(key).unwrap_or_default();
        let head = HeadView::decode(key, value)?;
        self.seen.push(if head.sequence <= self.moment.0 {
            Seen::Present(Then::of_head(id, &head, self.bodies)?)
        } else {
            // Only bodies may have to be taken from it.
            let value = if self.bodies == Bodies::None { Vec::new() } else { value.to_vec() };
            self.bytes += id.len() + value.len();
            let (id, created) = (id.to_owned(), head.created);
            Seen::Replaced(Replaced { id, created, value })
        });
        Ok(self.go_on())
    }

    fn go_on(&mut self) -> Visit {
        if let Some(Seen::Present(then)) = self.seen.last() {
            if let Some(number) = then.wanted_record() {
                self.waiting = Some(number);
                return Visit::Follow(self.keys.body(number));
            }
            self.bytes += then.bytes();
        }
        if self.is_full() { Visit::Pause } else { Visit::Next }
    }
}

impl Visitor for Heads {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.look(key, value).unwrap_or_else(|error| self.failure.stop(error))
    }
}

/// Reads history records behind the moment, a document a step.
struct States {
    keys: Keys,
    moment: Moment,
    bodies: Bodies,
    heads: Vec<Replaced>,
    found: Vec<Option<Then>>,
    /// A body record that is visited next.
    waiting: Option<u64>,
    failure: Failure,
    portion: Portion,
    bytes: usize,
}

impl States {
    fn new(
        keys: Keys,
        moment: Moment,
        bodies: Bodies,
        heads: Vec<Replaced>,
        portion: Portion,
    ) -> Self {
        let (found, failure) = (vec![None; heads.len()], Failure::default());
        Self { keys, moment, bodies, heads, found, waiting: None, failure, portion, bytes: 0 }
    }

    fn is_full(&self) -> bool {
        self.bytes >= self.portion.bytes
    }

    fn look(
        &mut self,
        step: usize,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<Visit, StorageError> {
        if let Some(number) = self.waiting.take() {
            let lost = || StorageError::Inconsistent { reason: format!("body {number} is gone") };
            let payload = decode_record(key, value.ok_or_else(lost)?)?;
            if let Some(then) = &mut self.found[step] {
                then.give_record(number, payload);
            }
            return Ok(self.go_on(step));
        }
        let history = History::decode(key, value.unwrap_or_default())?;
        match &mut self.found[step] {
            Some(then) => then.take_from(history),
            // It began after the moment.
            None if history.sequence > self.moment.0 => return Ok(Visit::NextStep),
            found @ None => {
                *found = Then::of_history(&self.heads[step], history, self.bodies);
            }
        }
        Ok(self.go_on(step))
    }

    fn go_on(&mut self, step: usize) -> Visit {
        let Some(then) = &self.found[step] else { return Visit::NextStep };
        if let Some(number) = then.wanted_record() {
            self.waiting = Some(number);
            return Visit::Follow(self.keys.body(number));
        }
        if then.misses_bodies() {
            return Visit::Next;
        }
        self.bytes += then.bytes();
        if self.is_full() { Visit::Pause } else { Visit::NextStep }
    }

    /// Takes what no history record has from the heads, up to what a slice has; `None` where that is not to be found.
    async fn take_from_heads(
        &mut self,
        inner: &Inner,
    ) -> Result<Option<Vec<Option<Then>>>, StorageError> {
        let mut bytes = 0;
        for at in 0..self.found.len() {
            let seen = &self.heads[at];
            let then = self.found[at].as_mut().filter(|then| then.misses_bodies());
            let Some(then) = then else { continue };
            if seen.value.is_empty() {
                return Ok(None);
            }
            let key = self.keys.head_at(&seen.id);
            then.take_from_head(&HeadView::decode(&key, &seen.value)?)?;
            while let Some(number) = then.wanted_record() {
                let key = self.keys.body(number);
                let Some(value) = inner.shared.engine.get(key.clone()).await? else {
                    return Ok(None);
                };
                then.give_record(number, decode_record(&key, &value)?);
            }
            if then.misses_bodies() {
                return Ok(None);
            }
            bytes += then.bytes();
            if bytes >= self.portion.bytes {
                self.found.truncate(at + 1);
                break;
            }
        }
        Ok(Some(std::mem::take(&mut self.found)))
    }
}

impl Visitor for States {
    fn visit(&mut self, step: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.look(step, key, value).unwrap_or_else(|error| self.failure.stop(error))
    }
}
