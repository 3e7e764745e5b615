//! What a run found: tables for people, a drawing, and every round as JSON.

mod finding;
mod svg;
mod table;

use std::{fs, path::Path};

use anyhow::Context as _;
use serde::Serialize;

pub(crate) use self::{
    finding::{Bound, Finding, write_findings},
    table::{memory_table, table},
};
use crate::round::Measure;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    bench: &'static str,
    /// The figures mean nothing.
    quick: bool,
    pub(crate) measures: Vec<Measure>,
    /// Figures that are compared with a bound alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) findings: Vec<Finding>,
    pub(crate) memory: Vec<MemoryUsed>,
}

/// The server's memory when a measure was done.
#[derive(Debug, Serialize)]
pub(crate) struct MemoryUsed {
    pub(crate) after: String,
    pub(crate) anonymous_kib: u64,
    pub(crate) peak_kib: u64,
}

impl Report {
    pub(crate) fn new(bench: &'static str, quick: bool) -> Self {
        Self { bench, quick, measures: Vec::new(), findings: Vec::new(), memory: Vec::new() }
    }
}

/// Writes the drawing to `svg` and all rounds beside it.
pub(crate) fn write(report: &Report, svg: &Path) -> Result<(), anyhow::Error> {
    if let Some(folder) = svg.parent() {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    let json = svg.with_extension("json");
    let text = serde_json::to_string_pretty(report).context("write all rounds as JSON")?;
    fs::write(&json, text).with_context(|| format!("write {}", json.display()))?;
    let drawing = svg::draw(&report.measures);
    fs::write(svg, drawing).with_context(|| format!("write {}", svg.display()))?;
    println!("\nwrote {} and {}", svg.display(), json.display());
    Ok(())
}
