//! Positions in a database's order of changes, and how clients write them.
//!
//! A position is shown as `12-00c0ffee00c0ffee`: the sequence, and the timeline it was counted on.
//! Clients keep it and send it back as `since`, maybe after the database was restored or moved. What
//! cannot be placed on the present timeline reads as the start, so that a client sees rows again
//! rather than misses some.
//!
//! Units: sequences count changes; the first change of a database has 1, and 0 lies before it.
//!
//! Source: the `since` values of `_changes` (`fabric_view_changes:unpack_seqs/2`). CouchDB's own tokens
//! also begin with a number and a hyphen; a client that moves from there sends them, and starts over.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::limits::{SEQUENCE_DIGITS_MAX, SINCE_BYTES_MAX};

/// A position in a database's order of changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

/// Names one unforked history of a database, at random. Written as 16 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timeline(pub [u8; 8]);

/// The timelines that led to a database as it is.
///
/// A restore begins a new one, whose sequences lie above all
/// that its database had handed out before, and takes over the rows of the older ones up to where it left them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timelines {
    /// Oldest first, each with the sequence that it began above; never empty.
    starts: Vec<TimelineStart>,
}

/// A timeline, and what it began above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimelineStart {
    pub timeline: Timeline,
    pub above: Sequence,
}

/// A position as clients see it: `12-00c0ffee00c0ffee`, or `12` from those who write it by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceToken {
    pub sequence: Sequence,
    pub timeline: Option<Timeline>,
}

/// What a client asks to continue from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// After all there is.
    Now,
    Token(SequenceToken),
    /// A token that some other server made; [`Since::resolve`] reads it as the start.
    Foreign,
}

/// A `since` that is neither `now` nor a number with or without a token's rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("Malformed sequence supplied in 'since' parameter.")]
pub struct SinceError;

impl Sequence {
    /// Before the first change.
    pub const ZERO: Self = Self(0);

    /// The one after this.
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("a database does not live for 2^64 changes"))
    }

    pub fn token(self, timeline: Timeline) -> SequenceToken {
        SequenceToken { sequence: self, timeline: Some(timeline) }
    }
}

impl Since {
    /// The position to continue after, in a database that is at `end` on `timeline`. What was
    /// counted on another timeline, or lies beyond the end, reads as the start.
    pub fn resolve(self, timeline: Timeline, end: Sequence) -> Sequence {
        match self {
            Self::Now => end,
            Self::Foreign => Sequence::ZERO,
            Self::Token(token) => {
                let known = token.timeline.is_none_or(|counted_on| counted_on == timeline);
                if known && token.sequence <= end { token.sequence } else { Sequence::ZERO }
            }
        }
    }
}

impl Since {
    /// As [`resolve`](Self::resolve), in a database that has had these timelines. A position on one of the
    /// older ones is where that was left, if it lies behind that: what the client has seen beyond is not in
    /// this database, and what has happened here since it has not seen.
    pub fn resolve_on(self, timelines: &Timelines, end: Sequence) -> Sequence {
        let Self::Token(SequenceToken { sequence, timeline: Some(counted_on) }) = self else {
            return self.resolve(timelines.present(), end);
        };
        match timelines.left_at(counted_on) {
            Some(left_at) => sequence.min(left_at),
            None => self.resolve(timelines.present(), end),
        }
    }
}

impl Timelines {
    /// `None` without any.
    pub fn new(starts: Vec<TimelineStart>) -> Option<Self> {
        if starts.is_empty() { None } else { Some(Self { starts }) }
    }

    /// Oldest first.
    pub fn starts(&self) -> &[TimelineStart] {
        &self.starts
    }

    pub fn present(&self) -> Timeline {
        self.starts.last().expect("there is always one").timeline
    }

    /// Up to where this database has the rows of an older timeline; `None` for the present one and for those
    /// that it does not know.
    fn left_at(&self, timeline: Timeline) -> Option<Sequence> {
        let at = self.starts.iter().rposition(|start| start.timeline == timeline)?;
        Some(self.starts.get(at + 1)?.above)
    }
}

impl FromStr for Since {
    type Err = SinceError;

    /// Takes `now`, `12`, `12-token`, and each as the JSON string that some clients send.
    fn from_str(text: &str) -> Result<Self, SinceError> {
        let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let text = quoted.unwrap_or(text);
        if text == "now" {
            return Ok(Self::Now);
        }
        if text.len() > SINCE_BYTES_MAX {
            return Err(SinceError);
        }
        let (sequence, rest) = match text.split_once('-') {
            None => (parse_sequence(text)?, None),
            Some((sequence, rest)) => (parse_sequence(sequence)?, Some(rest)),
        };
        let Some(rest) = rest else {
            return Ok(Self::Token(SequenceToken { sequence, timeline: None }));
        };
        if rest.is_empty() || !rest.bytes().all(is_token_byte) {
            return Err(SinceError);
        }
        Ok(match rest.parse() {
            Ok(timeline) => Self::Token(sequence.token(timeline)),
            Err(SinceError) => Self::Foreign,
        })
    }
}

fn parse_sequence(text: &str) -> Result<Sequence, SinceError> {
    let digits = (1..=SEQUENCE_DIGITS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        return Err(SinceError);
    }
    text.parse().map(Sequence).map_err(|_| SinceError)
}

/// What tokens consist of, here and elsewhere: base64 in its URL form.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' || byte == b'='
}

impl FromStr for Timeline {
    type Err = SinceError;

    fn from_str(text: &str) -> Result<Self, SinceError> {
        let canonical = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 16 || !text.bytes().all(canonical) {
            return Err(SinceError);
        }
        let number = u64::from_str_radix(text, 16).map_err(|_| SinceError)?;
        Ok(Self(number.to_be_bytes()))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Display for SequenceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.timeline {
            Some(timeline) => write!(f, "{}-{timeline}", self.sequence),
            None => write!(f, "{}", self.sequence),
        }
    }
}
