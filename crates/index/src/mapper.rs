//! Documents in, rows out: the map functions and Mango indexes of one index.
//!
//! JavaScript runs in worker processes, on as many at a time as the pool has; sort keys are made on
//! threads that may block. A map function that throws on a document emits nothing for it, as in
//! CouchDB; one that does not compile, does not end or asks for too much memory fails the batch.

use std::sync::Arc;

use bytes::Bytes;
use settle_database::DocumentForm;
use settle_engine::key::push_bytes;
use settle_query::{
    collate::{Collation, push_sort_key, sort_key},
    design::{IndexDefinition, MapSource},
    mango::MangoIndex,
};
use settle_script::{Program, Row, ScriptError, Scripts};
use tokio::task::spawn_blocking;

use crate::limits::{DOCUMENT_ROWS_BYTES_MAX, LOGGED_FAILURES_MAX};

/// A document as a map function takes it.
#[derive(Debug, Clone)]
pub(crate) struct Mappable {
    pub(crate) id: String,
    /// The winner, where it is live.
    pub(crate) document: Option<Bytes>,
    /// Every other leaf, a tombstone that has won included; only where the index keeps leaves.
    pub(crate) leaves: Vec<Bytes>,
}

/// What the maps of an index made of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapped {
    pub(crate) id: String,
    /// For each tree of the index, in the order in which they were emitted.
    pub(crate) maps: Vec<Vec<MappedRow>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MappedRow {
    pub(crate) sort_key: Vec<u8>,
    /// JSON.
    pub(crate) key: Bytes,
    /// JSON.
    pub(crate) value: Bytes,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Mapper {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    definition: Arc<IndexDefinition>,
    scripts: Scripts,
    program: Program,
    /// The sources of the maps in JavaScript.
    functions: Vec<Arc<str>>,
    maps: Vec<Map>,
}

#[derive(Debug)]
struct Map {
    kind: Kind,
    collation: Collation,
}

#[derive(Debug)]
enum Kind {
    /// A place in `functions`.
    Function(usize),
    Fields(Box<MangoIndex>),
    /// A Mango index that cannot be understood has no rows.
    Nothing,
}

impl Mapper {
    pub(crate) fn new(
        definition: &Arc<IndexDefinition>,
        program: Program,
        scripts: Scripts,
    ) -> Self {
        let mut functions = Vec::new();
        let maps = definition.maps.iter().map(|map| {
            let kind = match &map.source {
                MapSource::Script(source) => {
                    functions.push(source.clone());
                    Kind::Function(functions.len() - 1)
                }
                MapSource::Fields(json) => match MangoIndex::parse(json) {
                    Ok(index) => Kind::Fields(Box::new(index)),
                    Err(_) => Kind::Nothing,
                },
            };
            Map { kind, collation: map.collation }
        });
        let maps = maps.collect();
        let definition = definition.clone();
        Self { inner: Arc::new(Inner { definition, scripts, program, functions, maps }) }
    }

    /// What documents have to look like.
    pub(crate) fn form(&self) -> DocumentForm {
        let tombstones = self.inner.definition.keeps_leaves();
        DocumentForm { local_seq: self.inner.definition.local_seq, conflicts: true, tombstones }
    }

    /// Whether a document of this id is mapped at all.
    pub(crate) fn admits(&self, id: &str) -> bool {
        let definition = &self.inner.definition;
        (definition.include_design || !id.starts_with("_design/"))
            && (!definition.partitioned || partition_of(id).is_some())
    }

    /// Maps documents that are [admitted](Self::admits); the rows of each, in their order.
    pub(crate) async fn map(&self, documents: Vec<Mappable>) -> Result<Vec<Mapped>, ScriptError> {
        let inner = &self.inner;
        if documents.is_empty() {
            return Ok(Vec::new());
        }
        let emitted = if inner.functions.is_empty() {
            None
        } else {
            let bodies = documents.iter().filter_map(|it| it.document.clone()).collect();
            Some(inner.scripts.map(&inner.program, &inner.functions, bodies).await?)
        };
        let inner = inner.clone();
        let finishing = spawn_blocking(move || {
            let mut emitted = emitted.map(Vec::into_iter);
            let mut failures = Failures::default();
            let mapped = documents.into_iter().map(|document| {
                let maps = emitted.as_mut().and_then(Iterator::next).map(|rows| rows.maps);
                let mut functions = maps.unwrap_or_default();
                let functions = functions.iter_mut().map(|rows| match rows {
                    Ok(rows) => std::mem::take(rows),
                    Err(failure) => {
                        failures.note(&document.id, &failure.message);
                        Vec::new()
                    }
                });
                inner.rows(&document, functions.collect())
            });
            let mapped = mapped.collect();
            failures.log(&inner.program);
            mapped
        });
        Ok(finishing.await.expect("making sort keys does not panic"))
    }
}

impl Inner {
    fn rows(&self, document: &Mappable, mut functions: Vec<Vec<Row>>) -> Mapped {
        let mut prefix = Vec::new();
        if self.definition.partitioned {
            prefix = partition_prefix(partition_of(&document.id).unwrap_or_default());
        }
        let (mut room, mut leaf_room) = (Vec::new(), Vec::new());
        let maps = self.maps.iter().map(|map| {
            let rows = match &map.kind {
                Kind::Function(at) => {
                    functions.get_mut(*at).map(std::mem::take).unwrap_or_default()
                }
                Kind::Fields(index) => document.document.iter().filter_map(row_of(index)).collect(),
                Kind::Nothing => Vec::new(),
            };
            self.finish(&document.id, map, rows, &prefix, &mut room)
        });
        let mut maps: Vec<_> = maps.collect();
        if self.definition.keeps_leaves() {
            maps.extend(self.maps.iter().map(|map| {
                let rows = match &map.kind {
                    Kind::Fields(index) => {
                        document.leaves.iter().filter_map(row_of(index)).collect()
                    }
                    Kind::Function(_) | Kind::Nothing => Vec::new(),
                };
                self.finish(&document.id, map, rows, &prefix, &mut leaf_room)
            }));
        }
        Mapped { id: document.id.clone(), maps }
    }

    /// Rows of one document in one tree, with their sort keys and in order.
    fn finish(
        &self,
        id: &str,
        map: &Map,
        rows: Vec<Row>,
        prefix: &[u8],
        room: &mut Vec<u8>,
    ) -> Vec<MappedRow> {
        let rows = rows.into_iter().map(|Row { key, value }| {
            room.clear();
            room.extend_from_slice(prefix);
            push_sort_key(room, &key, map.collation);
            MappedRow { sort_key: room.clone(), key, value }
        });
        let mut rows: Vec<_> = rows.collect();
        sort_equal_keys(&mut rows);
        let bytes: usize = rows.iter().map(MappedRow::bytes).sum();
        if bytes > DOCUMENT_ROWS_BYTES_MAX {
            let design = &self.program.design;
            tracing::warn!(id, %design, bytes, "a document emits too much, and is left out");
            return Vec::new();
        }
        rows
    }
}

/// The row that a Mango index has of a document.
fn row_of(index: &MangoIndex) -> impl Fn(&Bytes) -> Option<Row> {
    |document| {
        let mut key = Vec::new();
        index
            .push_key(&mut key, document)
            .then(|| Row { key: key.into(), value: Bytes::from_static(b"null") })
    }
}

impl MappedRow {
    fn bytes(&self) -> usize {
        self.sort_key.len() + self.key.len() + self.value.len()
    }
}

/// Rows of one document with equal keys are ordered by their values, as Erlang orders terms.
///
/// Source: `couch_mrview_updater:insert_results/6`, which sorts what a function emitted.
fn sort_equal_keys(rows: &mut [MappedRow]) {
    if rows.len() < 2 {
        return;
    }
    let value = |row: &MappedRow| sort_key(&row.value, Collation::Raw);
    rows.sort_by(|a, b| a.sort_key.cmp(&b.sort_key).then_with(|| value(a).cmp(&value(b))));
}

/// The partition of a document: what stands before the first colon of its id.
pub(crate) fn partition_of(id: &str) -> Option<&str> {
    let (partition, _) = id.split_once(':')?;
    (!partition.is_empty() && !partition.starts_with('_')).then_some(partition)
}

/// What the sort keys of a partition's rows begin with, in an index that is partitioned.
pub fn partition_prefix(partition: &str) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(partition.len() + 2);
    push_bytes(&mut prefix, partition.as_bytes());
    prefix
}

/// Functions that threw: the first ones are logged, the others counted.
#[derive(Debug, Default)]
struct Failures {
    count: usize,
    first: Vec<(String, String)>,
}

impl Failures {
    fn note(&mut self, id: &str, message: &str) {
        self.count += 1;
        if self.first.len() < LOGGED_FAILURES_MAX {
            self.first.push((id.to_owned(), message.to_owned()));
        }
    }

    fn log(&self, program: &Program) {
        let (database, index) = (program.database, &program.design);
        for (id, message) in &self.first {
            tracing::info!(database, %index, id, message, "a map function threw");
        }
        if self.count > self.first.len() {
            tracing::info!(database, %index, count = self.count, "map functions threw");
        }
    }
}
