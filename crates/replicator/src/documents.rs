//! Documents of `_replicator` databases, and how far each has come.
//!
//! Each document asks for one replication ([`settle_sync::document`] has the rules). One task follows all
//! databases of such documents (`documents/follow.rs`): it makes documents into jobs of the scheduler, and
//! writes back what became of them. What it knows stands in a table (`documents/table.rs`), which is looked
//! at for `_scheduler/docs`. A database that nobody writes to costs nothing.
//!
//! States, as CouchDB calls them (`couch_replicator_doc_processor`):
//!
//! ```text
//! initializing ──► running ⇄ pending ──► completed   written into the document, one-shot jobs alone
//!    │  ▲             │
//!    │  └─ pause      └──► crashing ──► pending       the scheduler's own back-off
//!    ├──► error                                        it could not be started; tried again
//!    └──► failed                                       written into the document, until that is edited
//! ```

mod follow;
mod place;
mod table;

use std::{collections::HashMap, ops::Bound, sync::Arc};

use settle_access::{Grant, Read, Resource};
use settle_database::{
    CreateError, CreateOptions, Database, Direction, DocumentRow, DocumentScan, More, Next, Sink,
    StorageError, Tasks,
};
use settle_model::time::Timestamp;
use settle_site::Site;
use settle_sync::{
    document::{self, Settled},
    id::ReplicationId,
};

use self::{
    follow::Follower,
    table::{State, Table},
};
use crate::{DocumentPlace, JobStatus, Scheduler};

/// The site's own database of replications.
const REPLICATOR: &str = "_replicator";

/// What is followed.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    table: Arc<Table>,
    tasks: Tasks,
}

/// A document, and how far it has come.
#[derive(Debug)]
pub struct DocumentStatus {
    pub place: DocumentPlace,
    pub state: DocumentState,
}

#[derive(Debug)]
pub enum DocumentState {
    /// It is being made into a job, or was written a moment ago: then nobody knows since when.
    Initializing {
        added: Option<Timestamp>,
    },
    /// It could not be started, and will be tried again.
    Error {
        failures: u32,
        reason: String,
        updated: Timestamp,
        added: Timestamp,
    },
    Scheduled(Box<JobStatus>),
    /// What was written into the document; `body` is the document.
    Settled {
        settled: Settled,
        body: Vec<u8>,
    },
}

/// Makes the site's database of replications if it is not there.
pub(crate) async fn ensure(site: &Site) -> Result<(), CreateError> {
    let name = REPLICATOR.parse().expect("a system database's name");
    let grant = Grant::internal(Resource::Server, "the server has a database of replications");
    match site.store.create(&grant, &name, CreateOptions::default()).await {
        Ok(_) | Err(CreateError::Exists { .. }) => Ok(()),
        Err(error @ CreateError::Storage(_)) => Err(error),
    }
}

impl Documents {
    pub(crate) async fn follow(
        &self,
        site: Arc<Site>,
        scheduler: Arc<Scheduler>,
    ) -> Result<(), StorageError> {
        let follower = Follower::begin(site, scheduler, Arc::clone(&self.table)).await?;
        self.tasks.spawn(follower.run(self.tasks.clone()));
        Ok(())
    }

    pub(crate) async fn close(&self) {
        self.tasks.stop().await;
    }

    pub(crate) async fn statuses(
        &self,
        scheduler: &Scheduler,
        database: &Database,
    ) -> Result<(Vec<DocumentStatus>, u64), StorageError> {
        let scan = DocumentScan {
            start: Bound::Unbounded,
            end: Bound::Unbounded,
            direction: Direction::Ascending,
            skip: 0,
            limit: u64::MAX,
            content: true,
            in_conflict: false,
        };
        let (mut statuses, mut count) = (Vec::new(), 0);
        let jobs = scheduler.jobs().into_iter().map(|job| (job.task.id.clone(), job));
        let mut jobs: HashMap<_, _> = jobs.collect();
        let grant: Grant<Read> = Grant::internal(database.resource(), READS);
        let mut next = Next::Go(scan);
        while let Next::Go(scan) = next {
            let found;
            (found, next) = database.scan_documents(&grant, scan, Found::default()).await?;
            count += found.0.len() as u64;
            let found = found.0.into_iter();
            statuses.extend(
                found.filter_map(|(id, body)| self.told(database, id, body, |id| jobs.remove(id))),
            );
        }
        Ok((statuses, count))
    }

    pub(crate) async fn status(
        &self,
        scheduler: &Scheduler,
        database: &Database,
        id: &str,
    ) -> Result<Option<DocumentStatus>, StorageError> {
        let Ok(parsed) = id.parse() else { return Ok(None) };
        let found = place::read(database, &parsed).await?;
        let job = |id: &ReplicationId| scheduler.job(&id.to_string());
        Ok(found.and_then(|found| self.told(database, id.to_owned(), found.body.into(), job)))
    }

    /// `None` for what is no replication.
    fn told(
        &self,
        database: &Database,
        id: String,
        body: Vec<u8>,
        job: impl FnOnce(&ReplicationId) -> Option<JobStatus>,
    ) -> Option<DocumentStatus> {
        if id.starts_with("_design/") {
            return None;
        }
        let place = DocumentPlace { database: database.name().clone(), id };
        let state = match document::settled(&body) {
            Some(settled) => DocumentState::Settled { settled, body },
            None => {
                let known = self.table.with(&place, |entry| match &entry.state {
                    State::Initializing => DocumentState::Initializing { added: Some(entry.added) },
                    State::Error { reason, updated, .. } => DocumentState::Error {
                        failures: entry.failures,
                        reason: reason.clone(),
                        updated: *updated,
                        added: entry.added,
                    },
                    State::Scheduled { id, .. } => match job(id) {
                        Some(job) => DocumentState::Scheduled(Box::new(job)),
                        // It has ended, and that is about to be written.
                        None => DocumentState::Initializing { added: Some(entry.added) },
                    },
                });
                known.unwrap_or(DocumentState::Initializing { added: None })
            }
        };
        Some(DocumentStatus { place, state })
    }
}

const READS: &str = "what a document of replications asks for";

/// Ids and bodies of a slice.
#[derive(Default)]
struct Found(Vec<(String, Vec<u8>)>);

impl Sink<DocumentRow<'_>> for Found {
    fn row(&mut self, row: &DocumentRow<'_>) -> More {
        let content = row.found.as_ref().and_then(|found| found.content.as_ref());
        let body = content.map_or_else(Vec::new, |content| content.body.to_vec());
        self.0.push((row.id.to_owned(), body));
        More::Yes
    }
}
