//! `_stats`: sum, count, least, greatest, and sum of squares, of numbers or of each place of arrays.
//!
//! A value may also be such a result, made before: an object with the five members.

use std::cmp::Ordering;

use settle_model::json;

use super::{
    ReduceError,
    bytes::{DAMAGED, Reader, push_bytes, push_varint, quoted},
    exact::Exact,
    limits::NESTING_MAX,
};

#[derive(Debug, Clone)]
enum Stats {
    Numbers(Box<Figures>),
    /// All arrays so far have this many elements.
    Array(Vec<Self>),
}

#[derive(Debug, Clone)]
struct Figures {
    sum: Exact,
    count: Exact,
    least: Exact,
    greatest: Exact,
    squares: Exact,
}

/// Why there are no figures.
struct Reason(String);

const NUMBERS: u8 = 1;
const ARRAY: u8 = 2;
const ERROR: u8 = 3;

enum Partial {
    /// Of no rows.
    Empty,
    Stats(Stats),
    Error(Reason),
    Damaged,
}

pub(super) fn reduce<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let of = |value| Stats::of(value, NESTING_MAX).map_or_else(Partial::Error, Partial::Stats);
    fold(values.map(of)).write()
}

pub(super) fn combine<'a>(partials: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    fold(partials.map(Partial::read)).write()
}

pub(super) fn finish(partial: &[u8]) -> Result<Vec<u8>, ReduceError> {
    match Partial::read(partial) {
        Partial::Empty => Ok(br#"{"sum":0,"count":0,"min":0,"max":0,"sumsqr":0}"#.to_vec()),
        Partial::Stats(stats) => {
            let mut out = Vec::new();
            let beyond = "a figure of _stats is beyond the range of a double";
            stats
                .push_json(&mut out)
                .ok_or_else(|| ReduceError::InvalidValue { reason: beyond.to_owned() })?;
            Ok(out)
        }
        Partial::Error(Reason(reason)) => Err(ReduceError::InvalidValue { reason }),
        Partial::Damaged => Err(ReduceError::Damaged),
    }
}

fn fold(parts: impl Iterator<Item = Partial>) -> Partial {
    let mut total: Option<Stats> = None;
    for part in parts {
        match (&mut total, part) {
            (_, Partial::Empty) => {}
            (None, Partial::Stats(stats)) => total = Some(stats),
            (Some(total), Partial::Stats(stats)) => {
                if let Err(reason) = total.add(stats) {
                    return Partial::Error(reason);
                }
            }
            (_, failed @ (Partial::Error(_) | Partial::Damaged)) => return failed,
        }
    }
    total.map_or(Partial::Empty, Partial::Stats)
}

impl Partial {
    fn read(partial: &[u8]) -> Self {
        let mut reader = Reader::new(partial);
        let read = match partial.split_first() {
            None => return Self::Empty,
            Some((&ERROR, rest)) => {
                reader = Reader::new(rest);
                reader.text().map(|reason| Self::Error(Reason(reason.to_owned())))
            }
            Some(_) => Stats::read(&mut reader, NESTING_MAX).map(Self::Stats),
        };
        read.filter(|_| reader.is_at_end()).unwrap_or(Self::Damaged)
    }

    fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Empty => {}
            Self::Stats(stats) => stats.write(&mut out),
            Self::Error(Reason(reason)) => {
                out.push(ERROR);
                push_bytes(&mut out, reason.as_bytes());
            }
            Self::Damaged => out.extend_from_slice(DAMAGED),
        }
        out
    }
}

impl Stats {
    fn of(value: &[u8], depth: usize) -> Result<Self, Reason> {
        match value.first() {
            Some(b'[') if depth > 0 => json::elements(value)
                .map(|element| Self::of(element, depth - 1))
                .collect::<Result<_, _>>()
                .map(Self::Array),
            Some(b'{') => Figures::of_object(value).map(|it| Self::Numbers(Box::new(it))),
            Some(_) | None => match Exact::parse(value) {
                Some(number) => Ok(Self::Numbers(Box::new(Figures::of_number(number)))),
                None => Err(Reason::unfit(value)),
            },
        }
    }

    fn add(&mut self, other: Self) -> Result<(), Reason> {
        match (self, other) {
            (Self::Numbers(total), Self::Numbers(figures)) => total.add(&figures),
            (Self::Array(totals), Self::Array(elements)) if totals.len() == elements.len() => {
                for (total, element) in totals.iter_mut().zip(elements) {
                    total.add(element)?;
                }
            }
            (Self::Array(totals), Self::Array(elements)) => {
                return Err(Reason(format!(
                    "The _stats function requires that arrays have the same length, not {} and {}",
                    totals.len(),
                    elements.len()
                )));
            }
            (Self::Numbers(_), Self::Array(_)) | (Self::Array(_), Self::Numbers(_)) => {
                return Err(Reason(
                    "The _stats function requires that map values be numbers or arrays of numbers, \
                     not a mixture"
                        .to_owned(),
                ));
            }
        }
        Ok(())
    }

    fn push_json(&self, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Numbers(figures) => figures.push_json(out)?,
            Self::Array(elements) => {
                out.push(b'[');
                for (at, element) in elements.iter().enumerate() {
                    out.extend_from_slice(if at > 0 { b"," } else { b"" });
                    element.push_json(out)?;
                }
                out.push(b']');
            }
        }
        Some(())
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Numbers(figures) => {
                out.push(NUMBERS);
                figures.all().into_iter().for_each(|(_, figure)| figure.write(out));
            }
            Self::Array(elements) => {
                out.push(ARRAY);
                push_varint(out, elements.len() as u64);
                elements.iter().for_each(|element| element.write(out));
            }
        }
    }

    fn read(reader: &mut Reader<'_>, depth: usize) -> Option<Self> {
        Some(match reader.byte()? {
            NUMBERS => Self::Numbers(Box::new(Figures {
                sum: Exact::read(reader)?,
                count: Exact::read(reader)?,
                least: Exact::read(reader)?,
                greatest: Exact::read(reader)?,
                squares: Exact::read(reader)?,
            })),
            ARRAY if depth > 0 => {
                let count = reader.count()?;
                Self::Array(
                    (0..count).map(|_| Self::read(reader, depth - 1)).collect::<Option<_>>()?,
                )
            }
            _ => return None,
        })
    }
}

impl Figures {
    fn of_number(number: Exact) -> Self {
        Self {
            squares: number.square(),
            count: Exact::integer(1),
            least: number.clone(),
            greatest: number.clone(),
            sum: number,
        }
    }

    fn of_object(object: &[u8]) -> Result<Self, Reason> {
        let figure = |name: &str| {
            let found = json::members(object).find(|(key, _)| json::unescape(key) == name);
            let (_, value) = found.ok_or_else(|| Reason::missing(name, object))?;
            Exact::parse(value).ok_or_else(|| Reason::not_a_figure(name, value))
        };
        Ok(Self {
            sum: figure("sum")?,
            count: figure("count")?,
            least: figure("min")?,
            greatest: figure("max")?,
            squares: figure("sumsqr")?,
        })
    }

    fn add(&mut self, other: &Self) {
        self.sum.add(&other.sum);
        self.count.add(&other.count);
        self.squares.add(&other.squares);
        choose(&mut self.least, &other.least, Ordering::Less);
        choose(&mut self.greatest, &other.greatest, Ordering::Greater);
    }

    fn all(&self) -> [(&'static str, &Exact); 5] {
        [
            ("sum", &self.sum),
            ("count", &self.count),
            ("min", &self.least),
            ("max", &self.greatest),
            ("sumsqr", &self.squares),
        ]
    }

    fn push_json(&self, out: &mut Vec<u8>) -> Option<()> {
        for (at, (name, figure)) in self.all().into_iter().enumerate() {
            out.push(if at > 0 { b',' } else { b'{' });
            json::write_string(out, name);
            out.push(b':');
            out.extend_from_slice(figure.to_json()?.as_bytes());
        }
        out.push(b'}');
        Some(())
    }
}

/// Keeps whichever is further towards `side`. Of an integer and an equal double the integer stays,
/// whichever came first.
fn choose(kept: &mut Exact, other: &Exact, side: Ordering) {
    let order = other.compare(kept);
    if order == side || (order == Ordering::Equal && kept.is_double()) {
        kept.clone_from(other);
    }
}

impl Reason {
    fn unfit(value: &[u8]) -> Self {
        Self(format!(
            "The _stats function requires that map values be numbers or arrays of numbers, not '{}'",
            quoted(value)
        ))
    }

    fn missing(name: &str, object: &[u8]) -> Self {
        Self(format!("user _stats input missing required field {name} ({})", quoted(object)))
    }

    fn not_a_figure(name: &str, value: &[u8]) -> Self {
        Self(format!("non-numeric _stats input received for {name}: {}", quoted(value)))
    }
}
