//! `_sum`: numbers, arrays of numbers by their places, objects by their members.
//!
//! A number added to an array is added to its first place. Members of an object may be anything while
//! nothing is added to them, as in CouchDB. What cannot be added makes the whole sum an error, which
//! clients see as its value: `{"error": "builtin_reduce_error", …}`.

use std::collections::{BTreeMap, btree_map::Entry};

use settle_model::json;

use super::{
    ReduceError,
    bytes::{DAMAGED, Reader, push_bytes, push_varint},
    error::error_json,
    exact::Exact,
    limits::{NESTING_MAX, SUM_BYTES_MAX},
};

const REASON: &str = "The _sum function requires that map values be numbers, arrays of numbers, or \
    objects. Objects cannot be mixed with other data structures. Objects can be arbitrarily nested, \
    provided that the values for all fields are themselves numbers, arrays of numbers, or objects.";

/// A sum that is still right.
#[derive(Debug, Clone)]
enum Sum {
    Number(Exact),
    Array(Vec<Exact>),
    Object(BTreeMap<String, Self>),
    /// A member that nothing can be added to, as JSON.
    Other(Vec<u8>),
}

enum Partial {
    /// Of no rows.
    Empty,
    Sum(Sum),
    /// What clients see in place of a sum, as JSON.
    Error(Vec<u8>),
    Damaged,
}

/// What could not be added, as JSON.
struct Unfit(Vec<u8>);

const NUMBER: u8 = 1;
const ARRAY: u8 = 2;
const OBJECT: u8 = 3;
const OTHER: u8 = 4;
const ERROR: u8 = 5;

pub(super) fn reduce<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    fold(values.map(|value| Sum::of_row(value).map_or_else(Partial::of, Partial::Sum))).write()
}

pub(super) fn combine<'a>(partials: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    fold(partials.map(Partial::read)).write()
}

pub(super) fn finish(partial: &[u8]) -> Result<Vec<u8>, ReduceError> {
    match Partial::read(partial) {
        Partial::Empty => Ok(b"0".to_vec()),
        Partial::Sum(Sum::Array(numbers)) if numbers.is_empty() => Ok(b"[0]".to_vec()),
        Partial::Sum(sum) => {
            let mut out = Vec::new();
            Ok(match sum.push_json(&mut out) {
                Some(()) => out,
                None => error_json("The sum is beyond the range of numbers.", None),
            })
        }
        Partial::Error(error) => Ok(error),
        Partial::Damaged => Err(ReduceError::Damaged),
    }
}

fn fold(parts: impl Iterator<Item = Partial>) -> Partial {
    let mut total: Option<Sum> = None;
    for part in parts {
        match (&mut total, part) {
            (_, Partial::Empty) => {}
            (None, Partial::Sum(sum)) => total = Some(sum),
            (Some(total), Partial::Sum(sum)) => {
                if let Err(unfit) = total.add(sum) {
                    return Partial::of(unfit);
                }
            }
            (_, failed @ (Partial::Error(_) | Partial::Damaged)) => return failed,
        }
    }
    match total {
        None => Partial::Empty,
        Some(total) if total.weight() <= SUM_BYTES_MAX => Partial::Sum(total),
        Some(_) => Partial::too_long(),
    }
}

impl Partial {
    fn of(Unfit(value): Unfit) -> Self {
        Self::Error(error_json(REASON, Some(&value)))
    }

    fn too_long() -> Self {
        let reason = format!(
            "Reduce output must shrink more rapidly: a sum holds at most {SUM_BYTES_MAX} bytes of \
             names and numbers"
        );
        Self::Error(error_json(&reason, None))
    }

    fn read(partial: &[u8]) -> Self {
        let mut reader = Reader::new(partial);
        let read = match partial.split_first() {
            None => return Self::Empty,
            Some((&ERROR, rest)) => {
                reader = Reader::new(rest);
                reader.bytes().map(|error| Self::Error(error.to_vec()))
            }
            Some(_) => Sum::read(&mut reader, NESTING_MAX).map(Self::Sum),
        };
        read.filter(|_| reader.is_at_end()).unwrap_or(Self::Damaged)
    }

    fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Empty => {}
            Self::Sum(sum) => sum.write(&mut out),
            Self::Error(error) => {
                out.push(ERROR);
                push_bytes(&mut out, error);
            }
            Self::Damaged => out.extend_from_slice(DAMAGED),
        }
        out
    }
}

impl Sum {
    fn of_row(value: &[u8]) -> Result<Self, Unfit> {
        match Self::of(value, NESTING_MAX) {
            Self::Other(value) => Err(Unfit(value)),
            sum @ (Self::Number(_) | Self::Array(_) | Self::Object(_)) => Ok(sum),
        }
    }

    fn of(value: &[u8], depth: usize) -> Self {
        match value.first() {
            Some(b'[') => {
                let numbers = json::elements(value).map(Exact::parse).collect();
                if let Some(numbers) = numbers {
                    return Self::Array(numbers);
                }
            }
            Some(b'{') if depth > 0 => {
                let members = json::members(value);
                return Self::Object(
                    members
                        .map(|(key, value)| {
                            (json::unescape(key).into_owned(), Self::of(value, depth - 1))
                        })
                        .collect(),
                );
            }
            Some(_) | None => {
                if let Some(number) = Exact::parse(value) {
                    return Self::Number(number);
                }
            }
        }
        Self::Other(value.to_vec())
    }

    fn add(&mut self, other: Self) -> Result<(), Unfit> {
        match (&mut *self, other) {
            (Self::Number(sum), Self::Number(number)) => sum.add(&number),
            (Self::Array(sums), Self::Array(numbers)) => {
                for (at, number) in numbers.into_iter().enumerate() {
                    match sums.get_mut(at) {
                        Some(sum) => sum.add(&number),
                        None => sums.push(number),
                    }
                }
            }
            (Self::Array(sums), Self::Number(number)) => match sums.first_mut() {
                Some(sum) => sum.add(&number),
                None => sums.push(number),
            },
            (Self::Number(sum), Self::Array(mut numbers)) => {
                match numbers.first_mut() {
                    Some(number) => number.add(sum),
                    None => numbers.push(sum.clone()),
                }
                *self = Self::Array(numbers);
            }
            (Self::Object(sums), Self::Object(members)) => {
                for (key, value) in members {
                    match sums.entry(key) {
                        Entry::Vacant(place) => {
                            place.insert(value);
                        }
                        Entry::Occupied(mut place) => place.get_mut().add(value)?,
                    }
                }
            }
            (Self::Other(value), _) => return Err(Unfit(std::mem::take(value))),
            (_, Self::Other(value)) => return Err(Unfit(value)),
            (Self::Object(_), other @ (Self::Number(_) | Self::Array(_)))
            | (Self::Number(_) | Self::Array(_), other @ Self::Object(_)) => {
                let mut value = Vec::new();
                return Err(Unfit(
                    other.push_json(&mut value).map_or_else(|| b"null".to_vec(), |()| value),
                ));
            }
        }
        Ok(())
    }

    /// Never less than that of what was added to make it, so that whether a sum is too long does not
    /// depend on how its rows were cut.
    fn weight(&self) -> usize {
        match self {
            Self::Number(_) => 16,
            Self::Array(numbers) => numbers.len() * 16,
            Self::Object(members) => members.iter().map(|(key, it)| key.len() + it.weight()).sum(),
            Self::Other(value) => value.len().min(16),
        }
    }

    /// `None` where a number is beyond the range of a double.
    fn push_json(&self, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Number(number) => out.extend_from_slice(number.to_json()?.as_bytes()),
            Self::Array(numbers) => {
                out.push(b'[');
                for (at, number) in numbers.iter().enumerate() {
                    out.extend_from_slice(if at > 0 { b"," } else { b"" });
                    out.extend_from_slice(number.to_json()?.as_bytes());
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                for (at, (key, value)) in members.iter().enumerate() {
                    out.extend_from_slice(if at > 0 { b"," } else { b"" });
                    json::write_string(out, key);
                    out.push(b':');
                    value.push_json(out)?;
                }
                out.push(b'}');
            }
            Self::Other(value) => out.extend_from_slice(value),
        }
        Some(())
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Number(number) => {
                out.push(NUMBER);
                number.write(out);
            }
            Self::Array(numbers) => {
                out.push(ARRAY);
                push_varint(out, numbers.len() as u64);
                numbers.iter().for_each(|number| number.write(out));
            }
            Self::Object(members) => {
                out.push(OBJECT);
                push_varint(out, members.len() as u64);
                for (key, value) in members {
                    push_bytes(out, key.as_bytes());
                    value.write(out);
                }
            }
            Self::Other(value) => {
                out.push(OTHER);
                push_bytes(out, value);
            }
        }
    }

    fn read(reader: &mut Reader<'_>, depth: usize) -> Option<Self> {
        Some(match reader.byte()? {
            NUMBER => Self::Number(Exact::read(reader)?),
            ARRAY => {
                let count = reader.count()?;
                Self::Array((0..count).map(|_| Exact::read(reader)).collect::<Option<_>>()?)
            }
            OBJECT if depth > 0 => {
                let count = reader.count()?;
                let mut members = BTreeMap::new();
                for _ in 0..count {
                    let key = reader.text()?.to_owned();
                    members.insert(key, Self::read(reader, depth - 1)?);
                }
                Self::Object(members)
            }
            OTHER => Self::Other(reader.bytes()?.to_vec()),
            _ => return None,
        })
    }
}
