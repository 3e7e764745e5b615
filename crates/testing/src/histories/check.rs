//! The verdict on a history.

use std::fmt;

use super::{
    anomaly::{Anomaly, AnomalyKind},
    cycle,
    graph::Graph,
    history::{History, Outcome},
    observed::Observed,
};

/// What was found, and how much there was to find it in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// The first ones of them. None: there is an order of all operations in which every answer is right, and that
    /// keeps to time.
    pub anomalies: Vec<Anomaly>,
    pub made: usize,
    pub refused: usize,
    pub unanswered: usize,
    /// Of the unanswered, those whose elements somebody saw.
    pub unanswered_made: usize,
    pub lists: usize,
    /// Elements that somebody saw.
    pub elements: usize,
    /// How often one operation is known to be before another.
    pub edges: usize,
}

/// A faulty server makes thousands of them, of which a person reads a few.
const ANOMALIES_MAX: usize = 20;

/// So that many of one kind do not hide the others.
const OF_ONE_KIND_MAX: usize = 10;

/// Looks for contradictions.
///
/// # Panics
///
/// If an element is appended twice: nothing can be said about such a history, and whoever recorded it is wrong.
pub fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    for operation in &history.operations {
        match operation.outcome {
            Outcome::Made { .. } => verdict.made += 1,
            Outcome::Refused { .. } => verdict.refused += 1,
            Outcome::Unknown => verdict.unanswered += 1,
        }
    }
    let observed = Observed::of(history, &mut verdict);
    let graph = Graph::of(history, &observed);
    verdict.edges = graph.edge_count();
    cycle::find(history, &observed, &graph, &mut verdict);
    verdict
}

impl Verdict {
    pub(super) fn is_full(&self) -> bool {
        self.anomalies.len() >= ANOMALIES_MAX
    }

    fn count_of(&self, kind: AnomalyKind) -> usize {
        self.anomalies.iter().filter(|it| it.kind == kind).count()
    }

    pub(super) fn add(&mut self, kind: AnomalyKind, explain: impl FnOnce() -> String) {
        if !self.is_full() && self.count_of(kind) < OF_ONE_KIND_MAX {
            self.anomalies.push(Anomaly { kind, explanation: explain() });
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.made + self.refused + self.unanswered;
        writeln!(
            f,
            "{all} operations: {} made, {} refused, {} unanswered of which {} were made",
            self.made, self.refused, self.unanswered, self.unanswered_made
        )?;
        writeln!(
            f,
            "{} elements in {} lists, {} times known that one was before another",
            self.elements, self.lists, self.edges
        )?;
        let has_many = |it: &Anomaly| self.count_of(it.kind) == OF_ONE_KIND_MAX;
        match self.anomalies.len() {
            0 => f.write_str("strictly serializable"),
            _ if self.is_full() || self.anomalies.iter().any(has_many) => {
                f.write_str("not strictly serializable, among others:")
            }
            count => write!(f, "not strictly serializable, {count} anomalies:"),
        }?;
        self.anomalies.iter().try_for_each(|anomaly| write!(f, "\n{anomaly}"))
    }
}
