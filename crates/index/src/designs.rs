//! The design documents of a database, parsed once for each of their epochs.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use bytes::Bytes;
use settle_access::{Grant, Read};
use settle_database::{
    Database, DocumentForm, DocumentRow, More, Next, RenderedDocument, RenderedScan, Sink,
    StorageError,
};
use settle_model::revision::RevId;
use settle_query::{
    design::{self, Design, DesignError, IndexDefinition, ViewPlace},
    mango,
};
use settle_script::Program;

use crate::{
    catalog::{Catalog, ServedRecord},
    lane::ValidatorsCell,
    limits::{MAP_BYTES_MAX, MAP_COUNT_MAX, OPEN_IDLE_MAX},
    view::View,
};

/// All design documents that are not deleted, by name (what stands behind `_design/`).
#[derive(Debug, Default)]
pub struct Designs {
    /// The database's design epoch at which they were read.
    pub epoch: u64,
    pub all: BTreeMap<Arc<str>, DesignResult>,
    pub(crate) validators: ValidatorsCell,
    /// The Mango indexes in them, once somebody has asked.
    pub(crate) mango: OnceLock<Arc<[Arc<mango::Index>]>>,
}

pub type DesignResult = Result<Arc<DesignEntry>, BrokenDesign>;

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

impl DesignEntry {
    /// For calling its functions, as those of a database.
    pub fn program(&self, database: u64) -> Program {
        Program {
            database,
            design: self.name.clone(),
            digest: self.digest,
            source: self.source.clone(),
        }
    }

    fn read(document: RenderedDocument, partitioned: bool) -> (Arc<str>, DesignResult) {
        let RenderedDocument { id, rev, document: source, .. } = document;
        let name: Arc<str> = id.strip_prefix(PREFIX).unwrap_or(&id).into();
        let entry = match design::parse(&name, &source) {
            Ok(design) => {
                let index = design.index(partitioned).map(Arc::new);
                let digest = digest_of(&source);
                Ok(Arc::new(Self { name: name.clone(), rev, design, source, digest, index }))
            }
            Err(error) => Err(BrokenDesign { rev, error: Arc::new(error) }),
        };
        (name, entry)
    }
}

pub(crate) const PREFIX: &str = "_design/";

pub(crate) fn digest_of(source: &[u8]) -> [u8; 16] {
    let digest = blake3::hash(source);
    *digest.as_bytes().first_chunk().expect("a hash has 32 bytes")
}

/// Whether the design document was there and is deleted.
pub(crate) async fn is_deleted(
    database: &Database,
    grant: &Grant<Read>,
    name: &str,
) -> Result<bool, StorageError> {
    let ids = [format!("{PREFIX}{name}")];
    let (found, _) = database.look_up(grant, &ids, false, Found(false)).await?;
    Ok(found.0)
}

struct Found(bool);

impl Sink<DocumentRow<'_>> for Found {
    fn row(&mut self, row: &DocumentRow<'_>) -> More {
        self.0 = row.found.is_some();
        More::Yes
    }
}

/// Parsed design documents of the databases that are in use.
#[derive(Debug, Default)]
pub(crate) struct DesignCache(Mutex<HashMap<u64, Arc<Designs>>>);

impl DesignCache {
    pub(crate) async fn of(&self, database: &Database) -> Result<Arc<Designs>, StorageError> {
        loop {
            let epoch = database.epochs().design;
            let cached = self.cached(database.number());
            if let Some(designs) = cached.filter(|designs| designs.epoch == epoch) {
                return Ok(designs);
            }
            let designs = Arc::new(read(database, epoch).await?);
            if database.epochs().design == epoch {
                let mut all = lock(&self.0);
                if all.len() >= OPEN_IDLE_MAX {
                    all.retain(|_, designs| Arc::strong_count(designs) > 1);
                }
                all.insert(database.number(), designs.clone());
                return Ok(designs);
            }
        }
    }

    pub(crate) fn cached(&self, database: u64) -> Option<Arc<Designs>> {
        lock(&self.0).get(&database).cloned()
    }

    pub(crate) fn forget(&self, database: u64) {
        lock(&self.0).remove(&database);
    }
}

async fn read(database: &Database, epoch: u64) -> Result<Designs, StorageError> {
    let grant = Grant::internal(database.resource(), "design documents say what indexes there are");
    let partitioned = database.info(&grant).await?.partitioned;
    let mut designs = Designs { epoch, ..Designs::default() };
    let mut scan = RenderedScan {
        start: Bound::Included(PREFIX.to_owned()),
        // `0` is what follows `/`.
        end: Bound::Excluded("_design0".to_owned()),
        form: DocumentForm::default(),
        in_conflict: false,
        count_max: MAP_COUNT_MAX,
        bytes_max: MAP_BYTES_MAX,
    };
    loop {
        let (documents, next) = database.scan_rendered(&grant, scan).await?;
        let read = documents.into_iter().map(|it| DesignEntry::read(it, partitioned));
        designs.all.extend(read);
        match next {
            Next::Go(next) => scan = next,
            Next::Done => return Ok(designs),
        }
    }
}

/// What a design document was when the index was made that answers for it.
#[derive(Debug)]
pub(crate) struct ServedDesign {
    pub(crate) index: u64,
    pub(crate) definition: Arc<IndexDefinition>,
    design: Design,
    /// The record that says so.
    bytes: Vec<u8>,
}

impl ServedDesign {
    /// Where a view's rows were, if they can be asked for as those of `view`.
    pub(crate) fn place_like(&self, view: &View) -> Option<ViewPlace> {
        let place = self.design.view(view.name()).ok()?;
        let is_like = self.definition.partitioned == view.is_partitioned()
            && self.definition.maps[place.map].collation == view.collation()
            && place.reducer.is_some() == view.place.reducer.is_some();
        is_like.then_some(place)
    }
}

/// Old design documents that are still served, parsed.
#[derive(Debug, Default)]
pub(crate) struct ServedCache(Mutex<HashMap<DesignName, Arc<ServedDesign>>>);

/// The number of the database, and the name behind `_design/`.
type DesignName = (u64, Arc<str>);

impl ServedCache {
    /// What answers for the design document of `view`, if anything was ever built for it.
    pub(crate) async fn of(
        &self,
        catalog: &Catalog,
        view: &View,
    ) -> Result<Option<Arc<ServedDesign>>, StorageError> {
        let (database, name) = (view.database.number(), &view.entry.name);
        let Some(stored) = catalog.served(database, name).await? else { return Ok(None) };
        let cached = lock(&self.0).get(&(database, name.clone())).cloned();
        if let Some(cached) = cached.filter(|cached| cached.bytes == stored.bytes) {
            return Ok(Some(cached));
        }
        let ServedRecord { signature, index, source } = stored.record;
        let Ok(design) = design::parse(name, &source) else { return Ok(None) };
        // Whether it was partitioned follows from the signature.
        let definition = [view.definition.partitioned, !view.definition.partitioned]
            .into_iter()
            .filter_map(|partitioned| design.index(partitioned))
            .find(|definition| definition.signature == signature);
        // Another version of the program made it, and will never be asked for.
        let Some(definition) = definition else { return Ok(None) };
        let definition = Arc::new(definition);
        let served = Arc::new(ServedDesign { index, definition, design, bytes: stored.bytes });
        let mut all = lock(&self.0);
        if all.len() >= OPEN_IDLE_MAX {
            all.clear();
        }
        all.insert((database, name.clone()), served.clone());
        Ok(Some(served))
    }

    pub(crate) fn forget(&self, database: u64) {
        lock(&self.0).retain(|(number, _), _| *number != database);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change to what they hold is one call, so a panic elsewhere leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
