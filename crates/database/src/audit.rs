//! Counts everything in a database anew and compares that with what its records say. Tests end
//! with it; operators may run it on a store that they doubt.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use settle_access::{Administer, Grant};
use settle_engine::{Direction, Plan, Scan, Step, Visit, Visitor, key::take_number};
use settle_model::{revision::RevId, tree::Segment};

use crate::{
    Database,
    blobs::BlobDigest,
    codec::RecordError,
    error::StorageError,
    keys::{self, family},
    record::{
        body::{decode_payload, decode_record},
        change::ChangeView,
        head::{BodyPlace, Head},
        history::{History, PastBody},
        later::{BUCKET_BITS, decode_count},
        segment,
        state::{Sizes, State},
    },
    scan::Failure,
};

impl Database {
    /// What is not as it should be, in words; empty for a sound database. Reads everything, so
    /// the database should be quiet meanwhile.
    pub async fn audit(&self, grant: &Grant<Administer>) -> Result<Vec<String>, StorageError> {
        self.inner.check(grant);
        self.inner.list_conflicts().await?;
        let scan = Scan::prefix(&self.inner.keys.all(), Direction::Ascending);
        let plan = Plan::new(vec![Step::Scan(scan)]);
        let mut all = self.inner.shared.engine.read_to_end(plan, Everything::default()).await?;
        all.failure.check()?;
        let needed = self.inner.needed().await?;
        all.found.points = needed.points().collect();
        let mut wrong = all.found.differences();
        let attached = self.inner.attached_bytes().await?;
        if let Some(stored) = all.found.state.sizes.attached.filter(|it| *it != attached) {
            wrong.push(format!("bytes of attachments: stored {stored}, counted {attached}"));
        }
        let blobs: BTreeSet<BlobDigest> = all.found.references.iter().map(|it| it.0).collect();
        for blob in blobs {
            if self.inner.shared.blobs.find(blob).await?.is_none() {
                wrong.push(format!("the data of {blob} is missing"));
            }
        }
        Ok(wrong)
    }
}

#[derive(Default)]
struct Everything {
    found: Found,
    failure: Failure,
}

#[derive(Default)]
struct Found {
    state: State,
    heads: HashMap<String, Head>,
    segments: HashMap<(String, RevId), Segment>,
    /// By sequence: the document, and whether the row is shown.
    changes: BTreeMap<u64, (String, bool)>,
    superseded: BTreeSet<u64>,
    histories: Vec<(String, u64, History)>,
    counts: BTreeMap<u64, u64>,
    bodies: BTreeMap<u64, Body>,
    references: BTreeSet<Reference>,
    /// Documents that have a row as one in conflict.
    conflicts: BTreeSet<String>,
    /// Sequences at which snapshots and pins need the past.
    points: BTreeSet<u64>,
    sizes: Sizes,
}

/// A body record.
struct Body {
    /// Of key and value.
    bytes: u64,
    /// Of the JSON, and of attachments before compression.
    size: u64,
    blobs: Vec<BlobDigest>,
}

/// A revision that refers to a blob.
type Reference = (BlobDigest, String, RevId);

impl Found {
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        let bytes = (key.len() + value.len()) as u64;
        let kind = take_number(key).and_then(|(_, rest)| rest.first()).copied();
        match kind.unwrap_or_default() {
            family::STATE => self.state = State::decode(key, value)?,
            family::HEAD => {
                let id = keys::text_of(key).unwrap_or_default().to_owned();
                self.sizes.active += bytes;
                self.heads.insert(id, Head::decode(key, value)?);
            }
            family::SEGMENT => {
                self.sizes.active += bytes;
                let segment = segment::decode(key, value)?;
                let id = keys::segment_of(key).unwrap_or_default();
                if let Some(newest) = segment.newest() {
                    self.segments.insert((id, newest), segment);
                }
            }
            family::BODY => {
                let payload = decode_record(key, value)?;
                let (size, blobs) = (size_of(payload)?, blobs_of(payload)?);
                let body = Body { bytes, size, blobs };
                self.bodies.insert(keys::number_of(key).unwrap_or_default(), body);
            }
            family::HISTORY => {
                self.sizes.history += bytes;
                if let Some((id, sequence)) = keys::history_of(key) {
                    self.histories.push((id, sequence, History::decode(key, value)?));
                }
            }
            family::CHANGE => {
                let change = ChangeView::decode(key, value)?;
                let sequence = keys::number_of(key).unwrap_or_default();
                if change.superseded_by.is_some() {
                    self.sizes.history += bytes;
                    self.superseded.insert(sequence);
                } else {
                    self.sizes.active += bytes;
                    let shown = !change.purge || change.leaf_count > 0;
                    self.changes.insert(sequence, (change.id.to_owned(), shown));
                }
            }
            family::REFERENCE => self.references.extend(keys::reference_of(key)),
            family::CONFLICT => {
                self.sizes.active += bytes;
                self.conflicts.extend(keys::conflict_of(key).map(str::to_owned));
            }
            family::CHANGE_COUNT => {
                let count = decode_count(key, value)?;
                self.counts.insert(keys::number_of(key).unwrap_or_default(), count);
            }
            _ => {}
        }
        Ok(())
    }

    fn differences(&mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        let (mut live, mut deleted) = (0, 0);
        let mut needed: BTreeSet<u64> = BTreeSet::new();
        let heads = std::mem::take(&mut self.heads);
        for (id, head) in &heads {
            let is_deleted = head.tree.winner().is_none_or(|leaf| leaf.deleted);
            *if is_deleted { &mut deleted } else { &mut live } += 1;
            match self.changes.get(&head.sequence) {
                Some((row, true)) if row == id => {}
                Some(_) | None => wrong.push(format!("{id:?} has no row at {}", head.sequence)),
            }
            for leaf in head.tree.leaves() {
                self.sizes.external += match &leaf.payload.place {
                    BodyPlace::Inline(payload) => size_of(payload).unwrap_or_default(),
                    BodyPlace::Record { number, .. } => {
                        needed.insert(*number);
                        self.bodies.get(number).map_or(0, |body| body.size)
                    }
                };
            }
        }
        for (number, body) in &self.bodies {
            let active = needed.remove(number);
            *if active { &mut self.sizes.active } else { &mut self.sizes.history } += body.bytes;
        }
        wrong.extend(needed.iter().map(|number| format!("body {number} is missing")));
        self.check_segments(&heads, &mut wrong);
        self.check_histories(&heads, &mut wrong);
        self.check_references(&heads, &mut wrong);
        self.check_counts(&mut wrong);
        self.check_conflicts(&heads, &mut wrong);
        let shown = self.changes.values().filter(|(_, shown)| *shown).count();
        let mut compare = |what: &str, stored: u64, counted: u64| {
            if stored != counted {
                wrong.push(format!("{what}: stored {stored}, counted {counted}"));
            }
        };
        compare("documents", self.state.doc_count, live);
        compare("tombstones", self.state.deleted_count, deleted);
        let in_conflict = self.conflicts.len() as u64;
        compare("conflicts", self.state.conflicts.count().unwrap_or_default(), in_conflict);
        compare("rows of the feed", live + deleted, shown as u64);
        compare("active bytes", self.state.sizes.active, self.sizes.active);
        compare("history bytes", self.state.sizes.history, self.sizes.history);
        compare("external bytes", self.state.sizes.external, self.sizes.external);
        wrong
    }

    /// Every cut of a head leads to segments that hold what it says, and to every segment leads one.
    fn check_segments(&mut self, heads: &HashMap<String, Head>, wrong: &mut Vec<String>) {
        for (id, head) in heads {
            for cut in head.tree.cuts() {
                let mut missing = cut.count as usize;
                let mut next = Some(cut.newest.clone());
                while let Some(rev) = next.take() {
                    let Some(segment) = self.segments.remove(&(id.clone(), rev)) else { break };
                    missing = missing.saturating_sub(segment.digests.len());
                    next = segment.older.map(|cut| cut.newest);
                }
                if missing > 0 {
                    wrong.push(format!("{missing} revisions of {id:?} are missing"));
                }
            }
        }
        let orphans = self.segments.keys();
        wrong.extend(orphans.map(|(id, rev)| format!("segment {rev} of {id:?} is left over")));
    }

    /// Every body record is somebody's, and every history record's can be read.
    fn check_histories(&self, heads: &HashMap<String, Head>, wrong: &mut Vec<String>) {
        let mut owned: BTreeSet<u64> = BTreeSet::new();
        let mut inline: BTreeSet<(&str, &RevId)> = BTreeSet::new();
        for (id, head) in heads {
            for leaf in head.tree.leaves() {
                match leaf.payload.place {
                    BodyPlace::Record { number, .. } => _ = owned.insert(number),
                    BodyPlace::Inline(_) => _ = inline.insert((id, &leaf.rev)),
                }
            }
        }
        for (id, sequence, history) in &self.histories {
            if *sequence <= self.state.history_floor && !self.is_needed(history, *sequence) {
                wrong.push(format!("{id:?} has history of {sequence}, below the floor"));
            }
            if !self.superseded.contains(&history.sequence) {
                wrong.push(format!("{id:?} has no superseded row at {}", history.sequence));
            }
            for leaf in &history.leaves {
                match &leaf.body {
                    PastBody::Record { number, .. } => {
                        owned.insert(*number);
                        if !self.bodies.contains_key(number) {
                            wrong.push(format!("body {number} of {id:?} is missing"));
                        }
                    }
                    PastBody::Inline(_) => _ = inline.insert((id, &leaf.rev)),
                    PastBody::Later | PastBody::Erased => {}
                }
            }
        }
        self.check_later(heads, wrong);
        if self.superseded.len() != self.histories.len() {
            let (rows, records) = (self.superseded.len(), self.histories.len());
            wrong.push(format!("{rows} superseded rows for {records} history records"));
        }
        let orphans = self.bodies.keys().filter(|number| !owned.contains(number));
        wrong.extend(orphans.map(|number| format!("body {number} is nobody's")));
    }

    /// Whether a snapshot or a pin needs what a history record says, or needed it a moment ago.
    fn is_needed(&self, history: &History, replaced: u64) -> bool {
        let is_looked_at_again = self.state.past.is_some_and(|past| {
            history.sequence > past.again.0 && history.sequence <= past.again.1
        });
        is_looked_at_again || self.points.range(history.sequence..replaced).next().is_some()
    }

    /// What a history record leaves to a later one can be found there, or in the head.
    fn check_later(&self, heads: &HashMap<String, Head>, wrong: &mut Vec<String>) {
        let mut later: HashSet<(&str, &RevId)> = HashSet::new();
        for (id, head) in heads {
            later.extend(head.tree.leaves().iter().map(|leaf| (id.as_str(), &leaf.rev)));
        }
        // In the order of sequences for each document.
        for (id, sequence, history) in self.histories.iter().rev() {
            for leaf in &history.leaves {
                let place = (id.as_str(), &leaf.rev);
                match leaf.body {
                    PastBody::Inline(_) | PastBody::Record { .. } => _ = later.insert(place),
                    PastBody::Later if later.contains(&place) => {}
                    PastBody::Later => {
                        let rev = &leaf.rev;
                        wrong.push(format!("{rev} of {id:?} is lost to history of {sequence}"));
                    }
                    PastBody::Erased => {}
                }
            }
        }
    }

    /// Every revision that can be read refers to the blobs of its attachments, and nothing else does.
    fn check_references(&self, heads: &HashMap<String, Head>, wrong: &mut Vec<String>) {
        let mut needed: BTreeSet<Reference> = BTreeSet::new();
        let mut need = |id: &str, rev: &RevId, inline: Option<&[u8]>, record: Option<u64>| {
            let blobs = match (inline, record.and_then(|number| self.bodies.get(&number))) {
                (Some(payload), _) => blobs_of(payload).unwrap_or_default(),
                (None, Some(body)) => body.blobs.clone(),
                (None, None) => Vec::new(),
            };
            needed.extend(blobs.into_iter().map(|blob| (blob, id.to_owned(), rev.clone())));
        };
        for (id, head) in heads {
            for leaf in head.tree.leaves() {
                let inline = match &leaf.payload.place {
                    BodyPlace::Inline(payload) => Some(payload.as_slice()),
                    BodyPlace::Record { .. } => None,
                };
                need(id, &leaf.rev, inline, leaf.payload.place.record());
            }
        }
        for (id, _, history) in &self.histories {
            for leaf in &history.leaves {
                let inline = match &leaf.body {
                    PastBody::Inline(payload) => Some(payload.as_slice()),
                    PastBody::Record { .. } | PastBody::Later | PastBody::Erased => None,
                };
                need(id, &leaf.rev, inline, leaf.body.record());
            }
        }
        let show = |(blob, id, rev): &Reference| format!("reference of {id:?} {rev} to {blob}");
        let missing = needed.difference(&self.references);
        wrong.extend(missing.map(|it| format!("{} is missing", show(it))));
        let needless = self.references.difference(&needed);
        wrong.extend(needless.map(|it| format!("{} is left over", show(it))));
    }

    /// Every document in conflict has its row, and no other.
    fn check_conflicts(&self, heads: &HashMap<String, Head>, wrong: &mut Vec<String>) {
        let in_conflict = |head: &Head| head.tree.conflicts().next().is_some();
        let found = heads.iter().filter(|(_, head)| in_conflict(head)).map(|(id, _)| id.clone());
        let found: BTreeSet<String> = found.collect();
        let missing = found.difference(&self.conflicts);
        wrong.extend(missing.map(|id| format!("{id:?} is in conflict and has no row")));
        let needless = self.conflicts.difference(&found);
        wrong.extend(needless.map(|id| format!("{id:?} has a row and is not in conflict")));
    }

    fn check_counts(&self, wrong: &mut Vec<String>) {
        let mut counted: BTreeMap<u64, u64> = BTreeMap::new();
        for (sequence, (_, shown)) in &self.changes {
            if *shown {
                *counted.entry(sequence >> BUCKET_BITS).or_default() += 1;
            }
        }
        if counted != self.counts {
            wrong.push(format!("buckets: stored {:?}, counted {counted:?}", self.counts));
        }
    }
}

/// Bytes of a payload's JSON, and of its attachments before compression.
fn size_of(payload: &[u8]) -> Result<u64, RecordError> {
    let (attachments, json) = decode_payload(payload)?;
    Ok(json.len() as u64 + attachments.iter().map(|it| it.length).sum::<u64>())
}

/// What the attachments of a payload refer to.
fn blobs_of(payload: &[u8]) -> Result<Vec<BlobDigest>, RecordError> {
    let attachments = decode_payload(payload)?.0;
    Ok(attachments.into_iter().map(|attachment| attachment.digest).collect())
}

impl Visitor for Everything {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        match self.found.take(key, value.unwrap_or_default()) {
            Ok(()) => Visit::Next,
            Err(error) => self.failure.stop(error),
        }
    }
}
