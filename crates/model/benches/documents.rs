//! Megabytes of JSON a second through each step of a document's way in and out, on one thread.
//!
//! `cargo bench -p settle-model --bench documents`. Prints the median of eleven rounds. The first
//! two columns are documents of a few short members as applications write them, the last is prose.

#![expect(clippy::print_stdout, reason = "the figures are what it is run for")]
#![expect(clippy::unwrap_used, reason = "what it measures was made here")]

use std::{fmt::Write as _, hint::black_box, time::Duration};

use settle_model::{
    document::{Extras, Outgoing, parse, parse_bulk},
    json,
    revision_hash::next,
};

const ROUNDS: usize = 11;
const BYTES_A_ROUND: usize = 16 << 20;

fn main() {
    let samples = [order(300, "  "), order(300, ""), order(1024, ""), order(4096, ""), prose(4096)];
    let names = ["300 B, indented", "300 B", "1 KiB", "4 KiB", "4 KiB prose"];
    print!("{:28}", "MB/s of the text as sent");
    names.iter().for_each(|name| print!("{name:>17}"));
    println!();
    row("memcpy", &samples, |text| drop(black_box(text.to_vec())));
    row("check UTF-8", &samples, |text| _ = black_box(str::from_utf8(text)));
    row("json::validate", &samples, |text| drop(black_box(json::validate(text))));
    row("json::minify", &samples, |text| drop(black_box(json::minify(text).unwrap())));
    row("document::parse", &samples, |text| drop(black_box(parse(text).unwrap())));
    row("revision_hash::next", &bodies(&samples), |body| {
        drop(black_box(next(false, None, body, &[]).unwrap()));
    });
    row("parse and next", &samples, |text| {
        let document = parse(text).unwrap();
        drop(black_box(next(false, None, &document.body, &[]).unwrap()));
    });
    let bulks = samples.clone().map(|text| bulk(&text));
    row("parse_bulk of 1000", &bulks, |text| drop(black_box(parse_bulk(text).unwrap())));
    let rev = "1-967a00dff5e02add41819138abb3284d".parse().unwrap();
    let mut out = Vec::with_capacity(8192);
    row("Outgoing::write", &bodies(&samples), |body| {
        out.clear();
        let extras = Extras::default();
        Outgoing { id: "0123456789abcdef", rev: &rev, deleted: false, body, extras }
            .write(&mut out);
        black_box(&out);
    });
    row("json::members", &bodies(&samples), |body| {
        black_box(json::members(body).count());
    });
}

fn row(name: &str, texts: &[Vec<u8>], mut work: impl FnMut(&[u8])) {
    print!("{name:28}");
    for text in texts {
        let times = BYTES_A_ROUND / text.len() + 1;
        let mut rounds: Vec<Duration> = (0..ROUNDS)
            .map(|_| {
                #[expect(clippy::disallowed_methods, reason = "a bench measures time")]
                let start = std::time::Instant::now();
                (0..times).for_each(|_| work(black_box(text)));
                start.elapsed()
            })
            .collect();
        rounds.sort_unstable();
        let bytes = u32::try_from(times * text.len()).unwrap();
        print!("{:>17.0}", f64::from(bytes) / rounds[ROUNDS / 2].as_secs_f64() / 1e6);
    }
    println!();
}

fn bodies(texts: &[Vec<u8>]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| parse(text).unwrap().body).collect()
}

fn bulk(document: &[u8]) -> Vec<u8> {
    let mut text = b"{\"docs\":[".to_vec();
    text.extend_from_slice(&vec![document; 1000].join(&b","[..]));
    text.extend_from_slice(b"],\"new_edits\":true}");
    text
}

/// About `bytes` of an order with its items; each level indented by `indent`.
fn order(bytes: usize, indent: &str) -> Vec<u8> {
    let end = if indent.is_empty() { String::new() } else { format!("\n{indent}") };
    let mut text = format!(
        "{{{end}\"_id\":\"order:01928f3a-7c1e\",{end}\"type\":\"order\",{end}\"user\":50317,\
         {end}\"paid\":false,{end}\"at\":\"2026-08-14T09:30:00Z\",{end}\"items\":["
    );
    let mut item = 0;
    while item == 0 || text.len() + 90 < bytes {
        let comma = if item > 0 { "," } else { "" };
        write!(
            text,
            "{comma}{end}{indent}{{\"sku\":\"A-{}\",\"quantity\":{},\"amount\":{}.25,\"note\":null}}",
            1000 + item,
            1 + item % 7,
            17 + item,
        )
        .unwrap();
        item += 1;
    }
    write!(text, "{end}]}}").unwrap();
    text.into_bytes()
}

fn prose(bytes: usize) -> Vec<u8> {
    let sentence =
        "It was the best of times, it was the worst of times, said \\\"someone\\\" — so. ";
    let text = sentence.repeat(bytes / sentence.len());
    format!("{{\"title\":\"A tale\",\"text\":\"{text}\"}}").into_bytes()
}
