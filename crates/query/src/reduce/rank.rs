//! `_top_N` and `_bottom_N`: the values that come last or first in collation order, each once.
//!
//! Of values that collate as equal the one of the earliest row is kept.
//!
//! A value that is too long makes the whole partial an error, whatever its rank, so that rows that are
//! cut into segments otherwise do not give something else.

use settle_model::json;

use super::{ReduceError, bytes::DAMAGED, error::error_json, limits::RANKED_BYTES_MAX};
use crate::collate::{Collation, push_sort_key};

/// Which values rank first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    First,
    Last,
}

/// What an error's partial begins with.
const ERROR: u8 = 5;

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
    let value_bytes_max = RANKED_BYTES_MAX / usize::from(most.max(1));
    let mut ranking = Ranking::new(order, most);
    for value in values {
        if value.len() > value_bytes_max {
            return too_long(order, most, value_bytes_max);
        }
        ranking.insert(value);
    }
    ranking.write()
}

fn too_long(order: Order, most: u8, value_bytes_max: usize) -> Vec<u8> {
    let name = match order {
        Order::First => "bottom",
        Order::Last => "top",
    };
    let reason = format!(
        "Reduce output must shrink more rapidly: `_{name}_{most}` takes values of at most \
         {value_bytes_max} bytes"
    );
    [&[ERROR], &*error_json(&reason, None)].concat()
}

/// A partial is the JSON of its values, so an empty one is of no rows; or an error.
pub(super) fn combine<'a>(
    order: Order,
    most: u8,
    partials: impl Iterator<Item = &'a [u8]>,
) -> Vec<u8> {
    let mut ranking = Ranking::new(order, most);
    for partial in partials {
        if partial.first() == Some(&ERROR) {
            return partial.to_vec();
        }
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
        [ERROR, error @ ..] => Ok(error.to_vec()),
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
