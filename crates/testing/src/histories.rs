//! Histories of what many clients did at once and were answered, and whether a strictly serializable database could
//! have answered so.
//!
//! Clients read lists and append to them, and no element is ever appended twice. So whoever reads a list reads the
//! order in which its elements came to be, and from that follows which operation was before which other one: the
//! writer of an element before that of the next one (*ww*), the writer before whoever saw its element (*wr*), and
//! whoever did not see an element before its writer (*rw*). Together with what clients know of time (who was answered
//! before another began) these must not go in a circle; where they do, no order of all operations explains the answers.
//! Some contradictions are said more directly, and found first: what was refused is seen, an element is in no later
//! read although its append was answered, two operations changed the same state of a list.
//!
//! This is the list-append check of Elle: Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental
//! Observations", PVLDB 14(3), 2020. The names of circles (G0, G1c, G-single, G2) are Adya's, as there. Differences: an
//! operation that was refused may have read, and what it read has a place in the order like that of any other; time is
//! a chain of the ends of operations, so that it takes as many edges as there are operations.
//!
//! Plain functions: no I/O, no clock. A million operations take some seconds, if lists stay short.

mod anomaly;
mod check;
mod cycle;
mod graph;
mod history;
mod observed;
#[cfg(test)]
mod tests;

pub use self::{
    anomaly::{Anomaly, AnomalyKind},
    check::{Verdict, check},
    history::{Element, History, ListId, Operation, Outcome, Step},
};
