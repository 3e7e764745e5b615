//! The reply of `_find`, while it is sent.

use std::fmt::Write as _;

use settle_index::{Ending, Finding, Stats};
use settle_model::json;

use crate::{
    error::ApiError,
    pieces::{Piece, Pieces},
};

pub(crate) struct Found {
    /// Gone when its end has been sent.
    finding: Option<Finding>,
    shows_stats: bool,
    began: bool,
    count: u64,
}

impl Found {
    pub(crate) fn new(finding: Finding, shows_stats: bool) -> Self {
        Self { finding: Some(finding), shows_stats, began: false, count: 0 }
    }
}

impl Pieces for Found {
    async fn next(&mut self) -> Result<Piece, ApiError> {
        let mut text = Vec::new();
        let Some(finding) = &mut self.finding else { return Ok(Piece::Last(text)) };
        if !std::mem::replace(&mut self.began, true) {
            let head: &[u8] = if finding.is_grouped() { b"{\"groups\":[" } else { b"{\"docs\":[" };
            text.extend_from_slice(head);
        }
        if let Some(documents) = finding.next().await? {
            for document in documents {
                text.extend_from_slice(if self.count == 0 { b"\r\n" } else { b",\r\n" });
                text.extend_from_slice(&document);
                self.count += 1;
            }
            return Ok(Piece::More(text));
        }
        if let Some(finding) = self.finding.take() {
            write_end(&mut text, &finding.end().await?, self.shows_stats);
        }
        Ok(Piece::Last(text))
    }
}

fn write_end(text: &mut Vec<u8>, ending: &Ending, shows_stats: bool) {
    text.extend_from_slice(b"\r\n]");
    if let Some(bookmark) = &ending.bookmark {
        text.extend_from_slice(b",\r\n\"bookmark\": ");
        json::write_string(text, bookmark);
    }
    if let Some(count) = ending.count {
        text.extend_from_slice(format!(",\r\n\"count\": {count}").as_bytes());
    }
    if shows_stats && ending.bookmark.is_some() {
        text.extend_from_slice(b",\r\n\"execution_stats\": ");
        text.extend_from_slice(stats(&ending.stats).as_bytes());
    }
    if let Some(warning) = &ending.warning {
        text.extend_from_slice(b",\r\n\"warning\": ");
        json::write_string(text, warning);
    }
    text.extend_from_slice(b"}\r\n\n");
}

fn stats(stats: &Stats) -> String {
    let mut text = String::new();
    let micros = stats.time.as_micros();
    write!(
        text,
        "{{\"total_keys_examined\":{},\"total_docs_examined\":{},\
         \"total_quorum_docs_examined\":{},\"results_returned\":{},\
         \"execution_time_ms\":{}.{:03}}}",
        stats.keys_examined,
        stats.docs_examined,
        stats.quorum_docs_examined,
        stats.results_returned,
        micros / 1_000,
        micros % 1_000,
    )
    .expect("a string takes everything");
    text
}
