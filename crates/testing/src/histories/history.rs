//! What clients did, and what they heard of it.

use std::fmt;

/// A list that clients read and append to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListId(pub u32);

/// An element of a list. Each is appended once in a whole history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Element(pub u32);

/// All that was done. What one client did is in the order in which it did it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    pub operations: Vec<Operation>,
}

/// Something that was done at one point in time, or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Who did it; a client does one thing after the other.
    pub client: u32,
    /// When it was sent at first. Times count up, in whatever unit; all clients share them.
    pub began: u64,
    pub outcome: Outcome,
    /// In order: a read behind an append to the same list sees that.
    pub steps: Vec<Step>,
}

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered that it was made.
    Made { ended: u64 },
    /// It was answered that nothing of it was made. What it read on the way is as it was all the same.
    Refused { ended: u64 },
    /// It was never answered: it was made at some time after it began, or is never made.
    Unknown,
}

/// A part of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The list was this, from its first element to its last. A list that is not there is empty.
    Read {
        list: ListId,
        elements: Box<[Element]>,
    },
    Append {
        list: ListId,
        element: Element,
    },
}

impl Outcome {
    /// When it was answered.
    pub fn ended(self) -> Option<u64> {
        match self {
            Self::Made { ended } | Self::Refused { ended } => Some(ended),
            Self::Unknown => None,
        }
    }
}

impl Operation {
    pub(super) fn appends(&self) -> impl Iterator<Item = (ListId, Element)> {
        self.steps.iter().filter_map(|step| match step {
            Step::Append { list, element } => Some((*list, *element)),
            Step::Read { .. } => None,
        })
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {}, ", self.client)?;
        match self.outcome {
            Outcome::Made { ended } => write!(f, "{} to {ended}, made:", self.began)?,
            Outcome::Refused { ended } => write!(f, "{} to {ended}, refused:", self.began)?,
            Outcome::Unknown => write!(f, "from {} on, unanswered:", self.began)?,
        }
        for (at, step) in self.steps.iter().enumerate() {
            f.write_str(if at == 0 { " " } else { ", " })?;
            match step {
                Step::Read { list, elements } => write!(f, "read {list} as {}", Shown(elements))?,
                Step::Append { list, element } => write!(f, "append {element} to {list}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for ListId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "list {}", self.0)
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The end of a list, which is where lists differ.
pub(super) struct Shown<'e>(pub(super) &'e [Element]);

const SHOWN_MAX: usize = 8;

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skipped = self.0.len().saturating_sub(SHOWN_MAX);
        f.write_str("[")?;
        if skipped > 0 {
            write!(f, "({skipped} more) ")?;
        }
        for (at, element) in self.0[skipped..].iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{element}")?;
        }
        f.write_str("]")
    }
}
