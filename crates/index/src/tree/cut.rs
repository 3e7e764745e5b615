//! Sort keys that are longer than an engine's key can be.
//!
//! Of a long sort key, 768 bytes stand in the row key. Keys that have these in common are told apart
//! by a *label*, a number of 16 bytes that follows: labels order as the whole sort keys do, and rows
//! with equal sort keys have equal labels. So every row stands where it belongs, and nothing that
//! reads rows in order needs to know of long keys. What was cut off stands in the row.
//!
//! A new key gets a label between those of its neighbours, which a binary search over labels finds.
//! Where no number is left between them (after some eighty insertions at one place, by halving),
//! the labels of all keys that have the 768 bytes in common are given anew. Where a segment begins
//! does not depend on labels.

use std::{collections::BTreeMap, ops::Bound};

use settle_engine::{Direction, Engine, Plan, Scan, Step, Visit, Visitor, key};

use super::{
    Edge, Tree,
    error::TreeError,
    keys::{self, CUT, LABEL},
    record::{self, RowParts},
};

/// The label of the first key of a group, in the middle of all.
pub(super) const FIRST_LABEL: u128 = 1 << 127;

/// From the last label of a group to the next one behind it: room for 2^47 of them, and for eighty
/// insertions at one place between two.
pub(super) const LABEL_STEP: u128 = 1 << 80;

/// What is known of the place of one long sort key among those of its group that have rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Its label, where it has rows.
    pub(super) exact: Option<u128>,
    /// The greatest label below.
    pub(super) below: Option<u128>,
    /// The least label above.
    pub(super) above: Option<u128>,
}

/// The row keys under which long sort keys stand after an `apply`, and what has to move for it.
#[derive(Debug, Default)]
pub(super) struct Labels {
    /// By whole sort key. A key that only deletes name and that has no rows is missing.
    pub(super) by_key: BTreeMap<Vec<u8>, u128>,
    /// Rows whose labels changed: old row key, new row key, payload.
    pub(super) moves: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>,
}

impl Tree {
    /// Labels for long sort keys: `keys` says of each whether rows are put under it.
    pub(super) async fn labels(
        &self,
        engine: &dyn Engine,
        keys: &BTreeMap<&[u8], bool>,
    ) -> Result<Labels, TreeError> {
        let mut labels = Labels::default();
        let mut rest: Vec<(&[u8], bool)> = keys.iter().map(|(&key, &puts)| (key, puts)).collect();
        rest.reverse();
        while let Some(&(first, _)) = rest.last() {
            let mut group = Vec::new();
            while let Some(&(key, puts)) = rest.last()
                && key[..CUT] == first[..CUT]
            {
                group.push((key, puts));
                rest.pop();
            }
            self.labels_of_group(engine, &group, &mut labels).await?;
        }
        Ok(labels)
    }

    async fn labels_of_group(
        &self,
        engine: &dyn Engine,
        group: &[(&[u8], bool)],
        labels: &mut Labels,
    ) -> Result<(), TreeError> {
        // New keys that lie between the same neighbours.
        let mut gap: Vec<&[u8]> = Vec::new();
        let mut gap_between = (None, None);
        let mut given: Vec<(Vec<u8>, u128)> = Vec::new();
        for &(key, puts) in group {
            let found = self.find_label(engine, key).await?;
            if let Some(label) = found.exact {
                given.push((key.to_vec(), label));
            } else if puts {
                if gap_between != (found.below, found.above) {
                    if !spread(&gap, gap_between, &mut given) {
                        return self.label_anew(engine, group, labels).await;
                    }
                    gap.clear();
                    gap_between = (found.below, found.above);
                }
                gap.push(key);
            }
        }
        if !spread(&gap, gap_between, &mut given) {
            return self.label_anew(engine, group, labels).await;
        }
        labels.by_key.extend(given);
        Ok(())
    }

    /// Gives all keys of a group new labels, with room between them.
    async fn label_anew(
        &self,
        engine: &dyn Engine,
        group: &[(&[u8], bool)],
        labels: &mut Labels,
    ) -> Result<(), TreeError> {
        let prefix = &group.first().expect("a group has a key").0[..CUT];
        let rows = self.group_rows(engine, prefix).await?;
        let mut anew: BTreeMap<Vec<u8>, u128> = BTreeMap::new();
        for (_, payload, parts) in &rows {
            anew.insert(whole_key(prefix, payload, parts), 0);
        }
        for &(key, puts) in group {
            if puts {
                anew.insert(key.to_vec(), 0);
            }
        }
        let mut next = FIRST_LABEL;
        for label in anew.values_mut() {
            *label = next;
            next += LABEL_STEP;
        }
        for (old, payload, parts) in rows {
            let label = anew[&whole_key(prefix, &payload, &parts)];
            let mut new = prefix.to_vec();
            new.extend_from_slice(&label.to_be_bytes());
            new.extend_from_slice(old.get(CUT + LABEL..).unwrap_or_default());
            if new != old {
                labels.moves.push((old, new, payload));
            }
        }
        labels.by_key.extend(anew);
        Ok(())
    }

    /// Looks for the place of a long sort key among the rows: some probes for the ends of its group,
    /// then a binary search between them.
    pub(super) async fn find_label(
        &self,
        engine: &dyn Engine,
        sort_key: &[u8],
    ) -> Result<Found, TreeError> {
        let (group, tail) = sort_key.split_at(CUT);
        let mut found = Found { exact: None, below: None, above: None };
        for direction in [Direction::Ascending, Direction::Descending] {
            let Some((label, at_end)) = self.probe(engine, group, None, direction).await? else {
                return Ok(found);
            };
            match at_end.as_slice().cmp(tail) {
                std::cmp::Ordering::Less => found.below = found.below.max(Some(label)),
                std::cmp::Ordering::Equal => return Ok(Found { exact: Some(label), ..found }),
                std::cmp::Ordering::Greater => {
                    found.above = Some(found.above.map_or(label, |above| above.min(label)));
                }
            }
        }
        let (Some(mut below), Some(mut above)) = (found.below, found.above) else {
            return Ok(found);
        };
        // All labels below `low` belong to lesser keys, those from `high` to greater ones.
        let (mut low, mut high) = (below + 1, above);
        while low < high {
            let middle = low + (high - low) / 2;
            let probed = self.probe(engine, group, Some(middle), Direction::Ascending).await?;
            let Some((label, at)) = probed else {
                high = middle;
                continue;
            };
            match at.as_slice().cmp(tail) {
                std::cmp::Ordering::Less => {
                    below = label;
                    low = label + 1;
                }
                std::cmp::Ordering::Equal => {
                    return Ok(Found { exact: Some(label), ..found });
                }
                std::cmp::Ordering::Greater => {
                    above = above.min(label);
                    high = middle;
                }
            }
        }
        Ok(Found { exact: None, below: Some(below), above: Some(above) })
    }

    /// Label and cut off part of the first row of a group, at `from` or behind it where it is given.
    async fn probe(
        &self,
        engine: &dyn Engine,
        group: &[u8],
        from: Option<u128>,
        direction: Direction,
    ) -> Result<Option<(u128, Vec<u8>)>, TreeError> {
        let mut scan = Scan::prefix(&self.at(0, group), direction);
        if let Some(from) = from {
            let start = [group, &from.to_be_bytes()].concat();
            scan.start = Bound::Included(self.at(0, &start));
        }
        let visitor = Probe { prefix_length: self.at(0, b"").len(), found: None };
        let plan = Plan::new(vec![Step::Scan(scan)]);
        engine.read(plan, visitor).await?.0.found.transpose()
    }

    async fn group_rows(
        &self,
        engine: &dyn Engine,
        group: &[u8],
    ) -> Result<Vec<(Vec<u8>, Vec<u8>, RowParts)>, TreeError> {
        let scan = Scan::prefix(&self.at(0, group), Direction::Ascending);
        let visitor = GroupRows { prefix_length: self.at(0, b"").len(), rows: Ok(Vec::new()) };
        engine.read_to_end(Plan::new(vec![Step::Scan(scan)]), visitor).await?.rows
    }

    /// The row key that an edge stands for: rows at or behind it are behind the edge. `None` where
    /// there can be none.
    pub(super) async fn place(
        &self,
        engine: &dyn Engine,
        edge: &Edge,
        open: Option<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, TreeError> {
        let (sort_key, id, n, is_after) = match edge {
            Edge::Open => return Ok(open),
            Edge::Before { sort_key, id } => (sort_key, id.as_deref(), None, false),
            Edge::After { sort_key, id } => (sort_key, id.as_deref(), None, true),
            Edge::BeforeRow(row) => (&row.sort_key, Some(row.id.as_str()), Some(row.n), false),
            Edge::AfterRow(row) => (&row.sort_key, Some(row.id.as_str()), Some(row.n), true),
        };
        let Some(sort) = keys::whole(sort_key) else {
            return self.long_place(engine, sort_key, (id, n), is_after).await;
        };
        Ok(edge_in(sort, id, n, is_after))
    }

    async fn long_place(
        &self,
        engine: &dyn Engine,
        sort_key: &[u8],
        (id, n): (Option<&str>, Option<u32>),
        is_after: bool,
    ) -> Result<Option<Vec<u8>>, TreeError> {
        let behind = |found: Found| match found.above {
            Some(label) => Some(keys::labelled(sort_key, label)),
            None => key::after_prefix(&sort_key[..CUT]),
        };
        if id.is_some() {
            let found = self.find_label(engine, sort_key).await?;
            return Ok(match found.exact {
                Some(label) => edge_in(&keys::labelled(sort_key, label), id, n, is_after),
                None => behind(found),
            });
        }
        // Before or behind all keys that begin with this.
        let beyond = if is_after { key::after_prefix(sort_key) } else { Some(sort_key.to_vec()) };
        let Some(beyond) = beyond.filter(|beyond| beyond.get(..CUT) == Some(&sort_key[..CUT]))
        else {
            return Ok(key::after_prefix(&sort_key[..CUT]));
        };
        if beyond.len() == CUT {
            return Ok(Some(beyond));
        }
        let found = self.find_label(engine, &beyond).await?;
        Ok(match found.exact {
            Some(label) => Some(keys::labelled(sort_key, label)),
            None => behind(found),
        })
    }
}

/// The row key of an edge at a sort key that stands in row keys as `sort`.
fn edge_in(sort: &[u8], id: Option<&str>, n: Option<u32>, is_after: bool) -> Option<Vec<u8>> {
    match (id, n) {
        (Some(id), Some(n)) if is_after => Some(keys::after(&keys::row_key(sort, id, n))),
        (Some(id), Some(n)) => Some(keys::row_key(sort, id, n)),
        (Some(id), None) if is_after => key::after_prefix(&keys::document_key(sort, id)),
        (Some(id), None) => Some(keys::document_key(sort, id)),
        (None, _) if is_after => key::after_prefix(sort),
        (None, _) => Some(sort.to_vec()),
    }
}

/// Labels for keys that lie between two neighbours. Whether there is room.
fn spread(
    keys: &[&[u8]],
    between: (Option<u128>, Option<u128>),
    given: &mut Vec<(Vec<u8>, u128)>,
) -> bool {
    let count = keys.len() as u128;
    if count == 0 {
        return true;
    }
    let (first, step) = match between {
        (None, None) => (FIRST_LABEL, LABEL_STEP),
        (Some(below), None) => {
            let step = LABEL_STEP.min((u128::MAX - below) / (count + 1));
            (below + step, step)
        }
        (None, Some(above)) => {
            let step = LABEL_STEP.min(above / (count + 1));
            (above - step * count, step)
        }
        (Some(below), Some(above)) => {
            let step = (above - below) / (count + 1);
            (below + step, step)
        }
    };
    if step == 0 {
        return false;
    }
    let mut label = first;
    for key in keys {
        given.push((key.to_vec(), label));
        label = label.saturating_add(step);
    }
    true
}

/// The sort key of a row of a group.
pub(super) fn whole_key(group: &[u8], payload: &[u8], parts: &RowParts) -> Vec<u8> {
    let tail = parts.tail.clone().map(|range| &payload[range]).unwrap_or_default();
    [group, tail].concat()
}

struct Probe {
    prefix_length: usize,
    found: Option<Result<(u128, Vec<u8>), TreeError>>,
}

impl Visitor for Probe {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.found = Some(label_and_tail(self.prefix_length, key, value.unwrap_or_default()));
        Visit::Stop
    }
}

fn label_and_tail(
    prefix_length: usize,
    key: &[u8],
    value: &[u8],
) -> Result<(u128, Vec<u8>), TreeError> {
    let malformed = || TreeError::Malformed { reason: "a long key without a label" };
    let payload = record::open(key, value)?;
    let parts = RowParts::parse(payload)?;
    let label = key.get(prefix_length + CUT..prefix_length + CUT + LABEL).ok_or_else(malformed)?;
    let label = u128::from_be_bytes(label.try_into().map_err(|_| malformed())?);
    let tail = parts.tail.ok_or_else(malformed)?;
    Ok((label, payload[tail].to_vec()))
}

struct GroupRows {
    prefix_length: usize,
    rows: Result<Vec<(Vec<u8>, Vec<u8>, RowParts)>, TreeError>,
}

impl Visitor for GroupRows {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        let Ok(rows) = &mut self.rows else { return Visit::Stop };
        let payload = record::open(key, value.unwrap_or_default());
        match payload.and_then(|payload| Ok((payload, RowParts::parse(payload)?))) {
            Ok((payload, parts)) => {
                rows.push((key[self.prefix_length..].to_vec(), payload.to_vec(), parts));
                Visit::Next
            }
            Err(error) => {
                self.rows = Err(error);
                Visit::Stop
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FIRST_LABEL, LABEL_STEP, spread};

    fn labels(count: usize, between: (Option<u128>, Option<u128>)) -> Option<Vec<u128>> {
        let keys: Vec<&[u8]> = vec![b"key"; count];
        let mut given = Vec::new();
        spread(&keys, between, &mut given)
            .then(|| given.into_iter().map(|(_, label)| label).collect())
    }

    #[test]
    fn labels_lie_between_their_neighbours_in_order() {
        let ends = [None, Some(0), Some(1000), Some(FIRST_LABEL), Some(u128::MAX)];
        for below in ends {
            for above in ends {
                if below.zip(above).is_some_and(|(below, above)| below >= above) {
                    continue;
                }
                for count in [1, 2, 7] {
                    let Some(labels) = labels(count, (below, above)) else { continue };
                    assert!(labels.is_sorted_by(|left, right| left < right));
                    assert!(below.is_none_or(|below| below < labels[0]), "{below:?} {labels:?}");
                    assert!(above.is_none_or(|above| labels[count - 1] < above));
                }
            }
        }
    }

    #[test]
    fn where_there_is_no_room_it_is_said() {
        assert_eq!(labels(1, (Some(5), Some(6))), None);
        assert_eq!(labels(2, (Some(5), Some(7))), None);
        assert_eq!(labels(1, (Some(5), Some(7))), Some(vec![6]));
        assert_eq!(labels(1, (Some(u128::MAX), None)), None);
        assert_eq!(labels(1, (None, Some(0))), None);
        assert_eq!(labels(1, (Some(FIRST_LABEL), None)), Some(vec![FIRST_LABEL + LABEL_STEP]));
    }
}
