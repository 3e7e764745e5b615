//! The documents that queries are measured on: invoices whose lines are split over accounts.
//!
//! Every invoice follows from its number. One has about 400 bytes; the ones for large indexes have as many
//! allocations as are asked for.

use std::fmt::Write as _;

use crate::notes::mix;

/// Accounts that are booked to; the groups of a query by account.
pub(crate) const ACCOUNTS: u64 = 1_000;

/// What is due by account, from the allocations of all lines.
pub(crate) const MAP: &str = "function (doc) { if (doc.type === 'invoice') { \
    for (var i = 0; i < doc.lines.length; i++) { var all = doc.lines[i].allocations; \
    for (var j = 0; j < all.length; j++) { emit([all[j].account, doc.date], all[j].amount); } } } }";

/// One row an invoice.
pub(crate) const BY_NUMBER: &str = "function (doc) { emit(doc.number, null); }";

/// Allocations of an invoice of about 400 bytes, over two lines.
pub(crate) const ALLOCATIONS: u64 = 4;

pub(crate) fn id(number: u64) -> String {
    format!("{:016x}{number:016x}", mix(number))
}

/// `number` of a document.
pub(crate) fn invoice_number(number: u64) -> String {
    format!("R-{number:07}")
}

pub(crate) fn account(random: u64) -> String {
    format!("4{:03}", random % ACCOUNTS)
}

pub(crate) fn date(random: u64) -> String {
    format!("20{:02}-{:02}-{:02}", 10 + random % 16, 1 + random / 16 % 12, 1 + random / 192 % 28)
}

pub(crate) fn customer(random: u64) -> String {
    format!("customer-{}", random % 5_000)
}

/// A document as `_bulk_docs` takes it.
pub(crate) fn document(number: u64, allocations: u64) -> String {
    let mut random = mix(number);
    let mut next = || {
        random = mix(random);
        random
    };
    let mut text = format!(
        r#"{{"_id":"{}","type":"invoice","number":"{}","customer":"{}","date":"{}","currency":"EUR","terms":"30 days net","lines":["#,
        id(number),
        invoice_number(number),
        customer(next()),
        date(next()),
    );
    for allocation in 0..allocations {
        let begins = allocation % 2 == 0;
        let ends = !begins || allocation + 1 == allocations;
        if begins {
            text.push_str(if allocation > 0 { "," } else { "" });
            write!(text, r#"{{"text":"item no. {}","allocations":["#, next() % 1_000)
                .expect("strings take everything");
        }
        let amount = next() % 100_000;
        write!(
            text,
            r#"{}{{"account":"{}","amount":{}.{:02}}}"#,
            if begins { "" } else { "," },
            account(next()),
            amount / 100,
            amount % 100
        )
        .expect("strings take everything");
        if ends {
            text.push_str("]}");
        }
    }
    text.push_str("]}");
    text
}

/// The body of a `_bulk_docs` request.
pub(crate) fn bulk(numbers: std::ops::Range<u64>, allocations: u64) -> String {
    let documents: Vec<_> = numbers.map(|number| document(number, allocations)).collect();
    format!(r#"{{"docs":[{}]}}"#, documents.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invoice_has_about_four_hundred_bytes_and_is_json() {
        let lengths: Vec<_> = (0..100).map(|number| document(number, ALLOCATIONS).len()).collect();
        let mean = lengths.iter().sum::<usize>() / lengths.len();
        assert!((380..=420).contains(&mean), "{mean}");
        for allocations in [1, 4, 7, 10] {
            let parsed: serde_json::Value =
                serde_json::from_str(&document(7, allocations)).unwrap();
            let lines = parsed["lines"].as_array().unwrap();
            let found: usize =
                lines.iter().map(|line| line["allocations"].as_array().unwrap().len()).sum();
            assert_eq!(found as u64, allocations);
        }
    }
}
