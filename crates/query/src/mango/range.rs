//! Which part of an index a selector needs.
//!
//! Source: `mango_idx_view:field_ranges/1`, `start_key/1` and `end_key/1`.

use std::borrow::Cow;

use settle_model::json::{string_value, write_string};

use super::{
    index::{Index, MangoIndex},
    limits::EXACT_KEY_BYTES_MAX,
};
use crate::{
    collate::{self, Collation},
    selector::{Comparison, Condition, FieldPath, Node, Operand},
};

/// What a selector allows one field to be.
#[derive(Debug, Clone)]
pub(crate) enum FieldRange {
    /// No value at all.
    Empty,
    Between {
        low: Option<Bound>,
        high: Option<Bound>,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct Bound {
    pub(crate) json: Box<[u8]>,
    sort_key: Box<[u8]>,
    /// Whether the value itself is allowed.
    inclusive: bool,
}

/// The ranges of an index's first fields, as far as the selector narrows them.
#[derive(Debug, Clone, Default)]
pub struct Ranges {
    pub(crate) fields: Vec<FieldRange>,
    /// The selector is one of those that CouchDB does not run because they can find nothing.
    pub(crate) nothing: bool,
}

/// Sort keys of an index's rows, between two edges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySpan {
    pub start: KeyEdge,
    pub end: KeyEdge,
}

/// A place between sort keys: before or after all that begin with these bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyEdge {
    Before(Vec<u8>),
    After(Vec<u8>),
}

impl KeySpan {
    pub fn holds(&self, sort_key: &[u8]) -> bool {
        self.start.is_before(sort_key) && !self.end.is_before(sort_key)
    }
}

impl KeyEdge {
    fn is_before(&self, sort_key: &[u8]) -> bool {
        match self {
            Self::Before(edge) => sort_key >= edge.as_slice(),
            Self::After(edge) => sort_key > edge.as_slice() && !sort_key.starts_with(edge),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Before(edge) | Self::After(edge) => edge.len(),
        }
    }
}

impl Bound {
    fn new(operand: &Operand, inclusive: bool) -> Self {
        let (json, sort_key) = (operand.json().into(), operand.sort_key().into());
        Self { json, sort_key, inclusive }
    }
}

/// Fields that are compared, each once and in order, with what the selector allows them. If one of
/// them can have no value, only that one is returned.
pub(crate) fn field_ranges(node: &Node) -> Vec<(FieldPath, FieldRange)> {
    let mut ranges = Vec::new();
    for path in indexable_paths(node) {
        let mut range = FieldRange::Between { low: None, high: None };
        narrow(node, &path, &mut range);
        match range {
            FieldRange::Empty => return vec![(path, range)],
            FieldRange::Between { .. } => ranges.push((path, range)),
        }
    }
    ranges
}

/// Fields with a condition that a range can stand for, in order.
pub(crate) fn indexable_paths(node: &Node) -> Vec<FieldPath> {
    let mut paths = Vec::new();
    collect_indexable(node, &mut paths);
    paths.sort();
    paths.dedup();
    paths
}

fn collect_indexable(node: &Node, paths: &mut Vec<FieldPath>) {
    match node {
        Node::And(nodes) => nodes.iter().for_each(|node| collect_indexable(node, paths)),
        Node::Field(field) => {
            let indexable = match &field.condition {
                Condition::Compare(comparison, _) => *comparison != Comparison::NotEqual,
                Condition::BeginsWith(_) | Condition::Exists(_) => true,
                Condition::In(_)
                | Condition::NotIn(_)
                | Condition::Type(_)
                | Condition::Mod { .. }
                | Condition::Regex(_)
                | Condition::All(_)
                | Condition::Size(_)
                | Condition::Elements(..)
                | Condition::Not(_) => false,
            };
            if indexable {
                paths.push(field.path.clone());
            }
        }
        Node::Everything | Node::Or(_) | Node::Not(_) | Node::Nor(_) => {}
    }
}

fn narrow(node: &Node, path: &FieldPath, range: &mut FieldRange) {
    match node {
        Node::And(nodes) => nodes.iter().for_each(|node| narrow(node, path, range)),
        Node::Field(field) if field.path == *path => match &field.condition {
            Condition::Compare(comparison, operand) => range.narrow(*comparison, operand),
            Condition::BeginsWith(prefix) => {
                let collation = path.collation();
                range.narrow(Comparison::GreaterOrEqual, &string(prefix, collation));
                // The character that collates after all others.
                let last = match collation {
                    Collation::Unicode => '\u{FFFF}',
                    Collation::Raw => '\u{10FFFF}',
                };
                let last = string(&format!("{prefix}{last}"), collation);
                range.narrow(Comparison::LessOrEqual, &last);
            }
            Condition::In(_)
            | Condition::NotIn(_)
            | Condition::Exists(_)
            | Condition::Type(_)
            | Condition::Mod { .. }
            | Condition::Regex(_)
            | Condition::All(_)
            | Condition::Size(_)
            | Condition::Elements(..)
            | Condition::Not(_) => {}
        },
        Node::Everything | Node::Or(_) | Node::Not(_) | Node::Nor(_) | Node::Field(_) => {}
    }
}

fn string(text: &str, collation: Collation) -> Operand {
    let mut json = Vec::new();
    write_string(&mut json, text);
    Operand::new(&json, collation)
}

impl FieldRange {
    fn narrow(&mut self, comparison: Comparison, operand: &Operand) {
        match comparison {
            Comparison::Less => self.lower_to(Bound::new(operand, false)),
            Comparison::LessOrEqual => self.lower_to(Bound::new(operand, true)),
            Comparison::Equal => {
                self.raise_to(Bound::new(operand, true));
                self.lower_to(Bound::new(operand, true));
            }
            Comparison::NotEqual => {}
            Comparison::GreaterOrEqual => self.raise_to(Bound::new(operand, true)),
            Comparison::Greater => self.raise_to(Bound::new(operand, false)),
        }
    }

    fn raise_to(&mut self, bound: Bound) {
        if let Self::Between { low, .. } = self {
            let closer = low.as_ref().is_none_or(|low| {
                (&bound.sort_key, !bound.inclusive) > (&low.sort_key, !low.inclusive)
            });
            if closer {
                *low = Some(bound);
            }
        }
        self.empty_if_crossed();
    }

    fn lower_to(&mut self, bound: Bound) {
        if let Self::Between { high, .. } = self {
            let closer = high.as_ref().is_none_or(|high| {
                (&bound.sort_key, bound.inclusive) < (&high.sort_key, high.inclusive)
            });
            if closer {
                *high = Some(bound);
            }
        }
        self.empty_if_crossed();
    }

    fn empty_if_crossed(&mut self) {
        if let Self::Between { low: Some(low), high: Some(high) } = self {
            let left = low.sort_key.cmp(&high.sort_key);
            if left.is_gt() || (left.is_eq() && !(low.inclusive && high.inclusive)) {
                *self = Self::Empty;
            }
        }
    }

    /// What is left of a range of `_id` where ids are rows of an index, in another order than they
    /// are compared in: one value, or any.
    pub(crate) fn of_id_in_rows(&self) -> Self {
        match self {
            Self::Between { .. } if !self.is_one_value() => Self::Between { low: None, high: None },
            Self::Empty | Self::Between { .. } => self.clone(),
        }
    }

    fn low(&self) -> Option<&Bound> {
        match self {
            Self::Empty => None,
            Self::Between { low, .. } => low.as_ref(),
        }
    }

    fn high(&self) -> Option<&Bound> {
        match self {
            Self::Empty => None,
            Self::Between { high, .. } => high.as_ref(),
        }
    }

    fn is_one_value(&self) -> bool {
        match (self.low(), self.high()) {
            (Some(low), Some(high)) => low.sort_key == high.sort_key,
            (Some(_) | None, None) | (None, Some(_)) => false,
        }
    }
}

impl Ranges {
    /// Whether nothing can be found, and nothing is looked for.
    pub fn is_empty(&self) -> bool {
        self.nothing || matches!(self.fields[..], [FieldRange::Empty])
    }

    /// `mrargs.start_key` and `end_key` of `_explain`, for an index that is read forwards.
    pub(crate) fn explained(&self, index: &Index) -> (Vec<u8>, Vec<u8>) {
        const MAX: &[u8] = b"\"<MAX>\"";
        if self.is_empty() {
            return (b"null".to_vec(), b"null".to_vec());
        }
        match index {
            Index::AllDocs | Index::Conflicts => {
                let first = self.fields.first();
                let low = first.and_then(FieldRange::low).map(|it| it.json.to_vec());
                let high = first.and_then(FieldRange::high).map(|it| it.json.to_vec());
                // What CouchDB narrows ids to where the selector says nothing about them.
                let low = low.unwrap_or_else(|| {
                    if first.is_some() { b"\"\"".to_vec() } else { b"null".to_vec() }
                });
                (low, high.unwrap_or_else(|| MAX.to_vec()))
            }
            Index::Json(_) => {
                let low = self.fields.iter().map_while(FieldRange::low);
                let high = self.fields.iter().map_while(FieldRange::high);
                let start: Vec<&[u8]> = low.map(|bound| &*bound.json).collect();
                let mut end: Vec<&[u8]> = high.map(|bound| &*bound.json).collect();
                end.push(MAX);
                (array(&start), array(&end))
            }
        }
    }

    /// The rows of a Mango index that may be selected.
    pub fn span(&self) -> KeySpan {
        let (start, inclusive) = prefix(self.fields.iter().map_while(FieldRange::low));
        let start = if inclusive { KeyEdge::Before(start) } else { KeyEdge::After(start) };
        let (end, inclusive) = prefix(self.fields.iter().map_while(FieldRange::high));
        let end = if inclusive { KeyEdge::After(end) } else { KeyEdge::Before(end) };
        KeySpan { start, end }
    }

    /// Whether [`Ranges::span`] of `index` holds exactly what `node` selects: every condition is
    /// one that the span stands for, fields before the last one that is narrowed have one value
    /// each, and no key in question is so long that it is cut.
    /// `partition_bytes` stand before the keys.
    pub(crate) fn is_exact(&self, node: &Node, index: &MangoIndex, partition_bytes: usize) -> bool {
        let narrowed = |range: &FieldRange| range.low().is_some() || range.high().is_some();
        let last = self.fields.iter().rposition(narrowed);
        let before = &self.fields[..last.unwrap_or(0)];
        let span = self.span();
        let narrowed_columns = last.map_or(0, |last| last + 1);
        before.iter().all(FieldRange::is_one_value)
            && partition_bytes + span.start.bytes().max(span.end.bytes()) <= EXACT_KEY_BYTES_MAX
            && is_spanned(node, index, narrowed_columns)
    }

    /// The ids that may be selected, where the index is that of all documents: from the first to
    /// the last, both of them included. `None` when no id can be.
    ///
    /// Ids are listed by their bytes, and compared so too.
    pub fn ids(&self) -> Option<(Option<String>, Option<String>)> {
        if self.is_empty() {
            return None;
        }
        let Some(range) = self.fields.first() else { return Some((None, None)) };
        let text = |bound: &Bound| string_value(&bound.json).map(Cow::into_owned);
        // Whatever is not text comes before all ids.
        let from = range.low().and_then(text);
        let to = match range.high() {
            None => None,
            Some(bound) => Some(text(bound)?),
        };
        Some((from, to))
    }
}

fn is_spanned(node: &Node, index: &MangoIndex, narrowed_columns: usize) -> bool {
    match node {
        Node::Everything => true,
        Node::And(nodes) => nodes.iter().all(|it| is_spanned(it, index, narrowed_columns)),
        Node::Field(field) => {
            let column = index.fields().iter().position(|it| it.path == field.path);
            match (&field.condition, column) {
                // Rows with other ids may collate as this one.
                (Condition::Compare(..), Some(_)) if field.path.is_id() => false,
                (Condition::Compare(comparison, _), Some(column)) => {
                    *comparison != Comparison::NotEqual && column < narrowed_columns
                }
                (Condition::Exists(wanted), Some(_)) => *wanted,
                (_, _) => false,
            }
        }
        Node::Or(_) | Node::Not(_) | Node::Nor(_) => false,
    }
}

/// What the sort keys of arrays begin with whose first elements are these, up to one that is not
/// itself allowed, and whether all are.
fn prefix<'a>(bounds: impl Iterator<Item = &'a Bound>) -> (Vec<u8>, bool) {
    let mut key = collate::sort_key(b"[", Collation::Unicode);
    for bound in bounds {
        collate::push_sort_key(&mut key, &bound.json, Collation::Unicode);
        if !bound.inclusive {
            return (key, false);
        }
    }
    (key, true)
}

fn array(values: &[&[u8]]) -> Vec<u8> {
    let mut out = b"[".to_vec();
    out.extend_from_slice(&values.join(&b','));
    out.push(b']');
    out
}
