//! The `Range` header of a request for an attachment.
//!
//! Source: `mochiweb_http:parse_range_request/1`, `chttpd_db:parse_ranges/2`. What is not a list of byte
//! ranges, or one of ten and more, is passed over and the whole is sent. Different here: the last `n` bytes
//! of a shorter attachment are all of it, as RFC 9110 §14.1.2 has it.

use std::ops::Range;

use crate::limits::RANGES_MAX;

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    Whole,
    /// Not empty.
    One(Range<u64>),
    /// None of them empty.
    Several(Vec<Range<u64>>),
    /// A range lies outside of the attachment.
    Unsatisfiable,
}

/// `length` is that of the attachment.
pub(super) fn parse(header: &str, length: u64) -> Wanted {
    let Some(list) = header.strip_prefix("bytes=") else { return Wanted::Whole };
    let mut ranges = Vec::new();
    for text in list.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        match parse_one(text, length) {
            One::Range(range) => ranges.push(range),
            One::Whole => return Wanted::Whole,
            One::Outside => return Wanted::Unsatisfiable,
        }
        if ranges.len() >= RANGES_MAX {
            return Wanted::Whole;
        }
    }
    match ranges.pop() {
        None => Wanted::Whole,
        Some(only) if ranges.is_empty() => Wanted::One(only),
        Some(last) => {
            ranges.push(last);
            Wanted::Several(ranges)
        }
    }
}

enum One {
    Range(Range<u64>),
    /// All of it, or not a range.
    Whole,
    Outside,
}

fn parse_one(text: &str, length: u64) -> One {
    let Some((first, last)) = text.split_once('-') else { return One::Whole };
    let (first, last) = (first.trim(), last.trim());
    let range = match (first, last, number(first), number(last)) {
        ("", _, _, Some(count)) => length.saturating_sub(count)..length,
        (_, "", Some(0), _) => return One::Whole,
        (_, "", Some(first), _) => first..length,
        (_, _, Some(first), Some(last)) => first..last.saturating_add(1).min(length),
        (_, _, _, _) => return One::Whole,
    };
    if range.is_empty() { One::Outside } else { One::Range(range) }
}

/// Beyond 64 bits there is no attachment, so it does not matter how far beyond.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    fn check(headers: &[&str], length: u64, expected: Expect) {
        let lines = headers.iter().map(|header| format!("{header}: {:?}\n", parse(header, length)));
        expected.assert_eq(&lines.collect::<String>());
    }

    #[test]
    fn ranges_are_cut_at_the_end_and_refused_behind_it() {
        let headers = [
            "bytes=2-4",
            "bytes=8-99",
            "bytes=9-",
            "bytes=-3",
            "bytes=-30",
            "bytes=0-1, 4-5,",
            "bytes=10-",
            "bytes=50-60",
            "bytes=4-2",
            "bytes=-0",
            "bytes=0-1,50-60",
            "bytes=99999999999999999999-",
        ];
        check(
            &headers,
            10,
            expect![[r#"
            bytes=2-4: One(2..5)
            bytes=8-99: One(8..10)
            bytes=9-: One(9..10)
            bytes=-3: One(7..10)
            bytes=-30: One(0..10)
            bytes=0-1, 4-5,: Several([0..2, 4..6])
            bytes=10-: Unsatisfiable
            bytes=50-60: Unsatisfiable
            bytes=4-2: Unsatisfiable
            bytes=-0: Unsatisfiable
            bytes=0-1,50-60: Unsatisfiable
            bytes=99999999999999999999-: Unsatisfiable
        "#]],
        );
    }

    #[test]
    fn what_is_no_list_of_byte_ranges_asks_for_the_whole() {
        let headers = [
            "bytes=0-",
            "bytes=",
            "bytes=x-y",
            "bytes=1",
            "bytes=-",
            "bytes=+1-2",
            "lines=1-2",
            "bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8,9-9",
        ];
        for header in headers {
            assert_eq!(parse(header, 10), Wanted::Whole, "{header}");
        }
    }

    proptest! {
        #[test]
        fn every_range_lies_inside_and_is_not_empty(header in "bytes=[0-9,-]{0,20}", length in 0..30u64) {
            let ranges = match parse(&header, length) {
                Wanted::Whole | Wanted::Unsatisfiable => Vec::new(),
                Wanted::One(range) => vec![range],
                Wanted::Several(ranges) => ranges,
            };
            for range in ranges {
                prop_assert!(range.start < range.end && range.end <= length);
            }
        }
    }
}
