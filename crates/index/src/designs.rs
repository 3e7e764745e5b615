//! The design documents of a database, parsed once for each of their epochs.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use settle_model::revision::RevId;
use settle_query::design::{Design, DesignError, IndexDefinition};

/// All design documents that are not deleted, by name (what stands behind `_design/`).
#[derive(Debug, Default)]
pub struct Designs {
    /// The database's design epoch at which they were read.
    pub epoch: u64,
    pub all: BTreeMap<Arc<str>, Result<Arc<DesignEntry>, BrokenDesign>>,
}

/// A design document that can be used.
#[derive(Debug)]
pub struct DesignEntry {
    pub name: Arc<str>,
    pub rev: RevId,
    pub design: Design,
    /// The document as JSON with `_id` and `_rev`, as its functions see it.
    pub source: Bytes,
    /// Of `source`.
    pub digest: [u8; 16],
    /// What its views ask to be kept; `None` where it has none.
    pub index: Option<Arc<IndexDefinition>>,
}

/// One that is no design document at all; others are not touched by it.
#[derive(Debug, Clone)]
pub struct BrokenDesign {
    pub rev: RevId,
    pub error: Arc<DesignError>,
}

impl Designs {
    /// The usable design document of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<DesignEntry>> {
        self.all.get(name)?.as_ref().ok()
    }

    /// All usable ones, in the order of their names.
    pub fn usable(&self) -> impl Iterator<Item = &Arc<DesignEntry>> {
        self.all.values().filter_map(|entry| entry.as_ref().ok())
    }
}
