//! The same rows in a map.

use std::{cmp::Ordering, collections::BTreeMap};

use bytes::Bytes;
use settle_database::Direction;
use settle_index::tree::{Edge, Grouping, NewRow, Range, ReduceScan, RowKey, RowScan};
use settle_query::{
    collate::{self, Collation},
    reduce::Native,
};

use crate::world::{Shown, key_of};

/// What its sort keys begin with, the key that is shown, keys and values of its rows.
type Group = (Vec<u8>, Option<String>, Vec<(Bytes, Bytes)>);

#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    /// Key and value as JSON.
    pub(crate) rows: BTreeMap<RowKey, (Bytes, Bytes)>,
}

impl Model {
    pub(crate) fn apply(&mut self, puts: &[NewRow], deletes: &[RowKey]) {
        for key in deletes {
            self.rows.remove(key);
        }
        for row in puts {
            self.rows.insert(key_of(row), (row.key.clone(), row.value.clone()));
        }
    }

    /// The rows of a range in the scan's direction, and how many are before it.
    pub(crate) fn rows(&self, scan: &RowScan) -> (Vec<Shown>, u64) {
        let mut inside: Vec<Shown> = Vec::new();
        let mut before = 0;
        for (key, (json, value)) in &self.rows {
            let is_before = match scan.direction {
                Direction::Ascending => !is_behind(key, &scan.range.start),
                Direction::Descending => {
                    is_behind(key, &scan.range.end) && scan.range.end != Edge::Open
                }
            };
            before += u64::from(is_before);
            if is_inside(key, &scan.range) {
                let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
                inside.push(Shown { id: key.id.clone(), key: text(json), value: text(value) });
            }
        }
        if scan.direction == Direction::Descending {
            inside.reverse();
        }
        let skip = usize::try_from(scan.skip).unwrap();
        let limit = usize::try_from(scan.limit).unwrap_or(usize::MAX);
        let shown = inside.into_iter().skip(skip).take(limit).collect();
        (shown, (before + scan.skip).min(self.rows.len() as u64))
    }

    pub(crate) fn count(&self, range: &Range) -> u64 {
        self.rows.keys().filter(|key| is_inside(key, range)).count() as u64
    }

    pub(crate) fn reduce(
        &self,
        scan: &ReduceScan,
        native: Native,
    ) -> Vec<(Option<String>, String)> {
        let rows = self.rows.iter().filter(|(key, _)| is_inside(key, &scan.range));
        let mut groups: Vec<Group> = Vec::new();
        for (key, (json, value)) in rows {
            let (prefix, shown) = match scan.grouping {
                Grouping::All => (Vec::new(), None),
                Grouping::Exact => (key.sort_key.clone(), Some(json.to_vec())),
                Grouping::Level(level) => (
                    collate::group_prefix(json, level, Collation::Unicode),
                    Some(collate::group_key(json, level).into_owned()),
                ),
            };
            let shown = shown.map(|shown| String::from_utf8(shown).unwrap());
            match groups.last_mut() {
                Some(group) if group.0 == prefix => group.2.push((json.clone(), value.clone())),
                Some(_) | None => {
                    groups.push((prefix, shown, vec![(json.clone(), value.clone())]));
                }
            }
        }
        if scan.direction == Direction::Descending {
            groups.reverse();
        }
        let skip = usize::try_from(scan.skip).unwrap();
        let limit = usize::try_from(scan.limit).unwrap_or(usize::MAX);
        groups
            .into_iter()
            .skip(skip)
            .take(limit)
            .map(|(_, shown, rows)| {
                let rows = rows.iter().map(|(key, value)| (&key[..], &value[..]));
                let value = native.finish(&native.reduce(rows)).unwrap();
                (shown, String::from_utf8(value).unwrap())
            })
            .collect()
    }
}

fn is_inside(key: &RowKey, range: &Range) -> bool {
    is_behind(key, &range.start) && (range.end == Edge::Open || !is_behind(key, &range.end))
}

/// Whether the row is behind the edge, as a start.
fn is_behind(key: &RowKey, edge: &Edge) -> bool {
    match edge {
        Edge::Open => true,
        Edge::Before { sort_key, id } => match compare(key, sort_key) {
            Ordering::Less => false,
            Ordering::Equal => id.as_ref().is_none_or(|id| key.id >= *id),
            Ordering::Greater => true,
        },
        Edge::After { sort_key, id } => match compare(key, sort_key) {
            Ordering::Less => false,
            Ordering::Equal => id.as_ref().is_some_and(|id| key.id > *id),
            Ordering::Greater => true,
        },
        Edge::BeforeRow(row) => key >= row,
        Edge::AfterRow(row) => key > row,
    }
}

/// Equal where the sort key begins so.
fn compare(key: &RowKey, sort_key: &[u8]) -> Ordering {
    if key.sort_key.starts_with(sort_key) {
        Ordering::Equal
    } else {
        key.sort_key.as_slice().cmp(sort_key)
    }
}
