//! `_top_N` and `_bottom_N`: the values that come last or first in collation order, each once.
//!
//! Of values that collate as equal the one of the earliest row is kept.

use settle_model::json;

use super::{ReduceError, bytes::DAMAGED};
use crate::collate::{Collation, push_sort_key};

/// Which values rank first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    First,
    Last,
}

/// At most so many values with their sort keys, best first.
struct Ranking<'a> {
    order: Order,
    most: usize,
    values: Vec<(Vec<u8>, &'a [u8])>,
    key: Vec<u8>,
}

pub(super) fn reduce<'a>(
    order: Order,
    most: u8,
    values: impl Iterator<Item = &'a [u8]>,
) -> Vec<u8> {
    let mut ranking = Ranking::new(order, most);
    values.for_each(|value| ranking.insert(value));
    ranking.write()
}

/// A partial is the JSON of its values, so an empty one is of no rows.
pub(super) fn combine<'a>(
    order: Order,
    most: u8,
    partials: impl Iterator<Item = &'a [u8]>,
) -> Vec<u8> {
    let mut ranking = Ranking::new(order, most);
    for partial in partials {
        if !is_array(partial) {
            return DAMAGED.to_vec();
        }
        json::elements(partial).for_each(|value| ranking.insert(value));
    }
    ranking.write()
}

pub(super) fn finish(partial: &[u8]) -> Result<Vec<u8>, ReduceError> {
    match partial {
        b"" => Ok(b"[]".to_vec()),
        _ if is_array(partial) => Ok(partial.to_vec()),
        _ => Err(ReduceError::Damaged),
    }
}

fn is_array(partial: &[u8]) -> bool {
    partial.len() >= 2 && partial.starts_with(b"[") && partial.ends_with(b"]")
}

impl<'a> Ranking<'a> {
    fn new(order: Order, most: u8) -> Self {
        Self { order, most: usize::from(most), values: Vec::new(), key: Vec::new() }
    }

    fn insert(&mut self, value: &'a [u8]) {
        self.key.clear();
        push_sort_key(&mut self.key, value, Collation::Unicode);
        let place = self.values.binary_search_by(|(key, _)| match self.order {
            Order::First => key.cmp(&self.key),
            Order::Last => self.key.cmp(key),
        });
        if let Err(place) = place
            && place < self.most
        {
            self.values.truncate(self.most - 1);
            self.values.insert(place, (self.key.clone(), value));
        }
    }

    fn write(&self) -> Vec<u8> {
        if self.values.is_empty() {
            return Vec::new();
        }
        let mut out = Vec::new();
        for (_, value) in &self.values {
            out.push(if out.is_empty() { b'[' } else { b',' });
            out.extend_from_slice(value);
        }
        out.push(b']');
        out
    }
}
