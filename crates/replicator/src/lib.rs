//! Replications of a site.
//!
//! The rules of one replication are in `settle-sync`, a state machine. Here it is *run*: its requests are carried
//! to its *peers*, which are databases of this site or behind a URL, and large attachments are
//! *spooled* between them. The *scheduler* decides which jobs run, and *documents* of `_replicator`
//! databases say which jobs there are. A [`Replicator`] is all of it.
//!
//! *Does not know* who asks for it over HTTP.

mod documents;
pub mod limits;
mod peer;
mod run;
mod scheduler;
mod spool;
mod stub;

use std::sync::Arc;

use settle_database::{CreateError, Database, StorageError};
use settle_model::id::AccountName;
use settle_site::Site;
pub use settle_sync::sealing::{KEY_BYTES, Sealer};
use settle_sync::{
    id::ReplicationId,
    job::{Job, ReplicateRequest},
    replication::{Ending, Outcome, ReplicationError},
};
use thiserror::Error;

use crate::documents::Documents;
pub use crate::{
    documents::{DocumentState, DocumentStatus},
    scheduler::{
        AsWhom, DocumentPlace, Ended, JobEvent, JobEventKind, JobState, JobStatus, Scheduler,
        SchedulerParts, SchedulerSettings, Task,
    },
};

/// All replications of a site.
#[derive(Debug)]
pub struct Replicator {
    site: Arc<Site>,
    scheduler: Arc<Scheduler>,
    documents: Documents,
}

/// What a request came to.
#[derive(Debug)]
pub enum Replicated {
    /// It runs until it is cancelled.
    Continues {
        id: ReplicationId,
    },
    Completed {
        outcome: Outcome,
        use_checkpoints: bool,
    },
    Cancelled {
        id: ReplicationId,
    },
}

/// Why a request failed.
#[derive(Debug, Error)]
pub enum ReplicateError {
    #[error("there is no such replication")]
    Missing,
    /// Somebody else has started it.
    #[error("the replication is somebody else's")]
    OfOthers,
    #[error("the replication was cancelled")]
    Cancelled,
    #[error("the server stops")]
    Stopping,
    /// Both ends as they are shown.
    #[error("replicate {from} to {to}")]
    Failed {
        from: String,
        to: String,
        #[source]
        error: Box<ReplicationError>,
    },
}

impl Replicator {
    /// Runs what is asked for, and nothing else until [`follow_documents`](Self::follow_documents).
    pub fn new(site: Arc<Site>, scheduler: Arc<Scheduler>) -> Self {
        Self { site, scheduler, documents: Documents::default() }
    }

    /// Runs what documents of all databases of replications ask for, from now on. Called once.
    pub async fn follow_documents(&self) -> Result<(), StorageError> {
        self.documents.follow(Arc::clone(&self.site), Arc::clone(&self.scheduler)).await
    }

    /// Makes the site's database of replications if it is not there.
    pub async fn ensure_database(&self) -> Result<(), CreateError> {
        documents::ensure(&self.site).await
    }

    /// Does what somebody asks for. A replication that is not continuous is waited for.
    pub async fn replicate(
        &self,
        request: ReplicateRequest,
        as_whom: AsWhom,
    ) -> Result<Replicated, ReplicateError> {
        match request {
            ReplicateRequest::Start(job) => self.run(Arc::new(*job), as_whom).await,
            ReplicateRequest::CancelId(id) => self.cancel(&id, &as_whom),
            ReplicateRequest::CancelJob(job) => {
                let id = self.identify(&Arc::new(*job), &as_whom).await?;
                self.cancel(&id.to_string(), &as_whom)
            }
        }
    }

    async fn run(&self, job: Arc<Job>, as_whom: AsWhom) -> Result<Replicated, ReplicateError> {
        let id = self.identify(&job, &as_whom).await?;
        if let Some(running) = self.scheduler.job(&id.to_string()) {
            may_touch(&running, &as_whom)?;
        }
        // Before it may end.
        let mut ends = self.scheduler.ends();
        // One that runs already is as good.
        let task = Task { id: id.clone(), job: Arc::clone(&job), as_whom, place: None };
        drop(self.scheduler.add(task));
        if job.continuous {
            return Ok(Replicated::Continues { id });
        }
        loop {
            let ended = ends.recv().await.ok_or(ReplicateError::Stopping)?;
            if ended.task.id != id {
                continue;
            }
            let outcome = ended.outcome;
            return match outcome.ending {
                Ending::Completed => {
                    Ok(Replicated::Completed { outcome, use_checkpoints: job.use_checkpoints })
                }
                Ending::Cancelled => Err(ReplicateError::Cancelled),
                Ending::Failed(error) => Err(failed(&job, error)),
            };
        }
    }

    async fn identify(
        &self,
        job: &Arc<Job>,
        as_whom: &AsWhom,
    ) -> Result<ReplicationId, ReplicateError> {
        self.scheduler.identify(job, as_whom).await.map_err(|error| failed(job, error))
    }

    fn cancel(&self, id: &str, as_whom: &AsWhom) -> Result<Replicated, ReplicateError> {
        let job = self.scheduler.job(id).filter(|job| is_on(job, as_whom.server.as_ref()));
        let job = job.ok_or(ReplicateError::Missing)?;
        may_touch(&job, as_whom)?;
        let id = job.task.id;
        if self.scheduler.remove(&id) {
            Ok(Replicated::Cancelled { id })
        } else {
            Err(ReplicateError::Missing)
        }
    }

    /// The jobs of a server, by their ids; those of accounts too on the site's.
    pub fn jobs(&self, server: Option<&AccountName>) -> Vec<JobStatus> {
        let mut jobs = self.scheduler.jobs();
        jobs.retain(|job| is_on(job, server));
        jobs.sort_by_cached_key(|job| job.task.id.to_string());
        jobs
    }

    /// A job of a server by its id as it is shown.
    pub fn job(&self, server: Option<&AccountName>, id: &str) -> Option<JobStatus> {
        self.scheduler.job(id).filter(|job| is_on(job, server))
    }

    /// The replications that a database asks for, by the ids of their documents, and how many documents
    /// there are.
    pub async fn documents(
        &self,
        database: &Database,
    ) -> Result<(Vec<DocumentStatus>, u64), StorageError> {
        self.documents.statuses(&self.scheduler, database).await
    }

    /// One of them.
    pub async fn document(
        &self,
        database: &Database,
        id: &str,
    ) -> Result<Option<DocumentStatus>, StorageError> {
        self.documents.status(&self.scheduler, database, id).await
    }

    /// Follows documents no more. Jobs end with the scheduler.
    pub async fn close(&self) {
        self.documents.close().await;
        self.scheduler.close().await;
    }
}

fn failed(job: &Job, error: ReplicationError) -> ReplicateError {
    let (from, to) = (job.source.to_string(), job.target.to_string());
    ReplicateError::Failed { from, to, error: Box::new(error) }
}

fn is_on(job: &JobStatus, server: Option<&AccountName>) -> bool {
    server.is_none() || job.task.as_whom.server.as_ref() == server
}

/// Who has started a job, and admins of the server, do with it what they like.
fn may_touch(job: &JobStatus, as_whom: &AsWhom) -> Result<(), ReplicateError> {
    let is_own = job.task.as_whom.actor.name() == as_whom.actor.name();
    if is_own || as_whom.actor.is_server_admin() { Ok(()) } else { Err(ReplicateError::OfOthers) }
}
