//! The reducers that are built in, as operations on partial results that can be stored.
//!
//! An index keeps partial reductions of its segments and combines them for any range that is asked, so
//! every reducer is three functions: rows to a partial, partials to a partial, a partial to what clients
//! see. Combining is associative, to the last digit: however rows are cut into segments, and in whatever order
//! an index came about, the same rows give the same JSON. Sums of doubles are therefore kept exactly
//! ([`exact`]) and rounded once, when they are shown.
//!
//! Reducing never fails. A value that a reducer cannot take makes a partial that says so, and everything
//! that it is combined with becomes one too, so that one document never stops an index.
//!
//! Source: `couch_query_servers.erl` of CouchDB 3.5. Differences, each deliberate:
//! - sums are exact, where CouchDB rounds after each addition, in an order that depends on its tree;
//! - numbers are printed as JavaScript prints them (`3`, where CouchDB may print `3.0`);
//! - `_sum` refuses to add a number to an object in either order, and a string in an array wherever it
//!   stands; CouchDB lets some of these pass, depending on which row comes first;
//! - what a sum may grow to is a fixed size ([`limits`]), not a ratio to what went in;
//! - what a `_top_N`, `_bottom_N`, `_first` or `_last` keeps has a fixed size, where CouchDB has none;
//! - a `_stats` over unusable values fails when it is asked for; CouchDB fails the whole index;
//! - `_approx_count_distinct` has twice the registers, hence 1.6 % for a standard error in place of 2.3 %.

mod bytes;
mod distinct;
mod error;
pub mod exact;
pub mod limits;
mod one;
mod rank;
mod stats;
mod sum;

pub use self::error::ReduceError;
use self::{bytes::DAMAGED, limits::RANK_MAX, rank::Order};

/// A reducer that needs no JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Native {
    /// Numbers, arrays of numbers by their places, objects by their members.
    Sum,
    Count,
    /// Sum, count, least, greatest, and sum of squares.
    Stats,
    /// How many different keys there are, nearly.
    ApproxCountDistinct,
    /// The values that come last in collation order, each once, the last one first; at most so many.
    Top(u8),
    /// The values that come first in collation order, each once; at most so many.
    Bottom(u8),
    /// The value of the first row.
    First,
    /// The value of the last row.
    Last,
}

impl Native {
    /// The reducer that a design document names. `None` where `source` does not begin with `_`, so
    /// that it is a function's source. What follows a name is ignored, as CouchDB does.
    pub fn parse(source: &str) -> Option<Result<Self, ReduceError>> {
        if !source.starts_with('_') {
            return None;
        }
        let named = [
            ("_sum", Self::Sum),
            ("_count", Self::Count),
            ("_stats", Self::Stats),
            ("_approx_count_distinct", Self::ApproxCountDistinct),
            ("_first", Self::First),
            ("_last", Self::Last),
        ];
        let found = named.iter().find(|(name, _)| source.starts_with(name));
        Some(if let Some((_, native)) = found {
            Ok(*native)
        } else if let Some(rank) = source.strip_prefix("_top_") {
            parse_rank(rank).map(Self::Top)
        } else if let Some(rank) = source.strip_prefix("_bottom_") {
            parse_rank(rank).map(Self::Bottom)
        } else {
            Err(ReduceError::Unsupported { name: source.to_owned() })
        })
    }

    /// The partial of rows in key order: key and value as minified JSON.
    pub fn reduce<'a>(self, rows: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
        let mut rows = rows.into_iter();
        match self {
            Self::Sum => sum::reduce(rows.map(|(_, value)| value)),
            Self::Count => write_count(rows.count() as u64),
            Self::Stats => stats::reduce(rows.map(|(_, value)| value)),
            Self::ApproxCountDistinct => distinct::reduce(rows.map(|(key, _)| key)),
            Self::Top(most) => rank::reduce(Order::Last, most, rows.map(|(_, value)| value)),
            Self::Bottom(most) => rank::reduce(Order::First, most, rows.map(|(_, value)| value)),
            Self::First => one::reduce(self, rows.next().map(|(_, value)| value)),
            Self::Last => one::reduce(self, rows.last().map(|(_, value)| value)),
        }
    }

    /// The partial of all rows of `partials`, which are in key order. Associative; no partials are
    /// as no rows.
    pub fn combine<'a>(self, partials: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut values = partials.into_iter().filter(|it| !it.is_empty());
        match self {
            Self::Sum => sum::combine(values),
            Self::Count => combine_counts(values),
            Self::Stats => stats::combine(values),
            Self::ApproxCountDistinct => distinct::combine(values),
            Self::Top(most) => rank::combine(Order::Last, most, values),
            Self::Bottom(most) => rank::combine(Order::First, most, values),
            Self::First => values.next().unwrap_or_default().to_vec(),
            Self::Last => values.last().unwrap_or_default().to_vec(),
        }
    }

    /// What clients see, as JSON. Of no rows: 0, `[]`, or `null` where there is no value to show.
    pub fn finish(self, partial: &[u8]) -> Result<Vec<u8>, ReduceError> {
        if partial == DAMAGED {
            return Err(ReduceError::Damaged);
        }
        match self {
            Self::Sum => sum::finish(partial),
            Self::Count => {
                let count = read_count(partial).ok_or(ReduceError::Damaged)?;
                Ok(count.to_string().into_bytes())
            }
            Self::Stats => stats::finish(partial),
            Self::ApproxCountDistinct => distinct::finish(partial),
            Self::Top(_) | Self::Bottom(_) => rank::finish(partial),
            Self::First | Self::Last => Ok(one::finish(partial)),
        }
    }
}

fn parse_rank(text: &str) -> Result<u8, ReduceError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|it| it.is_ascii_digit()) {
        return Err(ReduceError::RankNotANumber);
    }
    match text.parse() {
        Ok(rank @ 1..=RANK_MAX) => Ok(rank),
        Ok(_) | Err(_) => Err(ReduceError::RankOutOfRange),
    }
}

fn write_count(count: u64) -> Vec<u8> {
    let mut partial = Vec::new();
    if count > 0 {
        bytes::push_varint(&mut partial, count);
    }
    partial
}

fn read_count(partial: &[u8]) -> Option<u64> {
    if partial.is_empty() {
        return Some(0);
    }
    let mut reader = bytes::Reader::new(partial);
    let count = reader.varint()?;
    reader.is_at_end().then_some(count)
}

fn combine_counts<'a>(partials: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut total = 0_u64;
    for partial in partials {
        match read_count(partial) {
            Some(count) => total = total.saturating_add(count),
            None => return DAMAGED.to_vec(),
        }
    }
    write_count(total)
}
