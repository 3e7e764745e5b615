//! What cannot have been so.

use std::fmt;

/// A contradiction, with the operations that it is between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anomaly {
    pub kind: AnomalyKind,
    /// What contradicts what; several lines.
    pub explanation: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AnomalyKind {
    /// An operation contradicts itself: two reads of a list differ, or one does not see what was appended before.
    Internal,
    /// Somebody read an element that nobody appended to that list.
    Unwritten,
    /// Somebody read what was refused (G1a).
    RefusedRead,
    /// Somebody read a state from the midst of an operation (G1b).
    IntermediateRead,
    /// An element is in a list twice.
    Duplicate,
    /// Of two reads of a list, neither is the beginning of the other.
    IncompatibleOrders,
    /// Two operations read the same state of a list and changed it, and both were made.
    LostUpdate,
    /// It was answered that an element was appended, and a read that began after that does not have it, nor any other.
    Lost,
    /// Appends in a circle.
    G0,
    /// A circle of appends, and reads that saw them.
    G1c,
    /// A circle in which one read did not see an append.
    GSingle,
    /// A circle in which several reads did not see appends.
    G2,
    /// As above, where some operation came before another for no other reason than that its client, or everybody
    /// who looked at a clock, knows that it did.
    InTime,
}

impl fmt::Display for AnomalyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Internal => "internal contradiction",
            Self::Unwritten => "read of what nobody wrote",
            Self::RefusedRead => "read of what was refused (G1a)",
            Self::IntermediateRead => "intermediate read (G1b)",
            Self::Duplicate => "duplicate element",
            Self::IncompatibleOrders => "incompatible orders",
            Self::LostUpdate => "lost update",
            Self::Lost => "acknowledged and gone",
            Self::G0 => "circle of writes (G0)",
            Self::G1c => "circular information flow (G1c)",
            Self::GSingle => "read skew (G-single)",
            Self::G2 => "circle of reads that missed writes (G2)",
            Self::InTime => "circle against time (not strict)",
        })
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.kind, self.explanation)
    }
}
