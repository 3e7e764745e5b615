//! The documents of the benches: notes of an exact length, with ids in one of two orders.
//!
//! Every note follows from its number, so that all sides of a measure write the same.

use std::fmt::Write as _;

/// How ids follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Each after the one before, as ids that servers and clients make from the time.
    Ordered,
    /// Anywhere, as random uuids.
    Random,
}

impl Order {
    pub(crate) const ALL: [Self; 2] = [Self::Ordered, Self::Random];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ordered => "ordered",
            Self::Random => "random",
        }
    }

    /// 32 hexadecimal digits.
    pub(crate) fn id(self, number: u64) -> String {
        match self {
            Self::Ordered => format!("{number:016x}{:016x}", mix(number)),
            Self::Random => format!("{:016x}{:016x}", mix(number), mix(!number)),
        }
    }
}

const WORDS: [&str; 8] = ["the ", "ferry ", "leaves ", "at ", "noon ", "from ", "quay ", "seven "];

/// A note without its id: an object of exactly `bytes` bytes, of which there are at least 60.
pub(crate) fn body(number: u64, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes);
    write!(text, r#"{{"kind":"note","n":{number},"done":{},"text":""#, number.is_multiple_of(3))
        .expect("strings take everything");
    let mut random = number;
    while text.len() + 2 < bytes {
        random = mix(random);
        text.push_str(WORDS[usize::try_from(random % 8).expect("less than 8")]);
    }
    text.truncate(bytes - 2);
    text.push_str("\"}");
    text
}

/// The same with its id, which is not counted: a document as `_bulk_docs` takes it.
pub(crate) fn document(order: Order, number: u64, bytes: usize) -> String {
    with_id(&order.id(number), number, bytes)
}

/// The same with an id of choice, which is not counted either.
pub(crate) fn with_id(id: &str, number: u64, bytes: usize) -> String {
    let body = body(number, bytes);
    format!(r#"{{"_id":"{id}",{}"#, &body[1..])
}

/// The same as a replicator writes it, with a revision that somebody else has made.
pub(crate) fn replica(order: Order, number: u64, bytes: usize) -> String {
    let body = body(number, bytes);
    let (id, rev) = (order.id(number), Order::Random.id(number));
    format!(
        r#"{{"_id":"{id}","_rev":"1-{rev}","_revisions":{{"start":1,"ids":["{rev}"]}},{}"#,
        &body[1..]
    )
}

/// The body of a `_bulk_docs` request.
pub(crate) fn bulk(order: Order, numbers: std::ops::Range<u64>, bytes: usize) -> String {
    let documents: Vec<_> = numbers.map(|number| document(order, number, bytes)).collect();
    format!(r#"{{"docs":[{}]}}"#, documents.join(","))
}

/// The body of a `_bulk_docs` request of a replicator.
pub(crate) fn replicas(order: Order, numbers: std::ops::Range<u64>, bytes: usize) -> String {
    let documents: Vec<_> = numbers.map(|number| replica(order, number, bytes)).collect();
    format!(r#"{{"new_edits":false,"docs":[{}]}}"#, documents.join(","))
}

/// Source: `SplitMix64` (Steele, Lea, Flood, 2014).
pub(crate) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_have_the_length_that_was_asked_for_and_are_json() {
        for (number, bytes) in [(0, 300), (7, 1024), (u64::MAX, 100)] {
            let text = body(number, bytes);
            assert_eq!(text.len(), bytes);
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
            let with_id = document(Order::Random, number, bytes);
            let with_id: serde_json::Value = serde_json::from_str(&with_id).unwrap();
            assert_eq!(with_id["_id"], Order::Random.id(number));
            let replica: serde_json::Value =
                serde_json::from_str(&replica(Order::Ordered, number, bytes)).unwrap();
            let rev = replica["_rev"].as_str().unwrap();
            assert_eq!(rev.strip_prefix("1-"), replica["_revisions"]["ids"][0].as_str());
        }
    }

    #[test]
    fn ordered_ids_ascend_and_random_ones_do_not() {
        let ascends = |order: Order| (0..100).is_sorted_by_key(|number| order.id(number));
        assert!(ascends(Order::Ordered));
        assert!(!ascends(Order::Random));
    }
}
