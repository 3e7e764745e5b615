//! A database of this site.
//!
//! What a peer elsewhere is asked over HTTP is here one operation of the database, in the name of whoever the job
//! runs for: rights, rules of users, validators and quotas hold as they do for clients. Rights are looked at with
//! each request, so that a job ends when they do.

mod source;
mod target;

use std::sync::Arc;

use settle_access::{AccessError, Action, Actor, Grant, Read, Write, authorize};
use settle_accounts::QuotaError;
use settle_database::{Database, LocalError, StorageError};
use settle_model::id::{DatabaseName, LocalId};
use settle_site::{LocalWriteError, Site, check_change, database_name};
use settle_sync::{
    checkpoint::Checkpoint,
    job::Job,
    replication::{Failure, FailureKind, Info, Reply, Request},
    seq::Seq,
};

use crate::{peer::Progress, scheduler::AsWhom};

/// One end of one job.
#[derive(Debug, Clone)]
pub(crate) struct LocalPeer {
    site: Arc<Site>,
    /// That in the catalog.
    name: DatabaseName,
    actor: Arc<Actor>,
    job: Arc<Job>,
    checkpoint: LocalId,
}

impl LocalPeer {
    /// `name` is that on the server of whoever the job runs for.
    pub(crate) fn new(
        site: &Arc<Site>,
        name: &DatabaseName,
        as_whom: &AsWhom,
        job: &Arc<Job>,
        checkpoint: LocalId,
    ) -> Result<Self, Failure> {
        let name = database_name(as_whom.server.as_ref(), name.clone())
            .map_err(|error| failure(FailureKind::Forbidden, error.to_string()))?;
        let (site, actor, job) = (site.clone(), as_whom.actor.clone(), job.clone());
        Ok(Self { site, name, actor, job, checkpoint })
    }

    /// That in the catalog.
    pub(crate) fn name(&self) -> &DatabaseName {
        &self.name
    }

    /// The number of the database.
    pub(crate) async fn number(&self) -> Result<u64, Failure> {
        Ok(self.open::<Read>().await?.0.number())
    }

    /// Everything but staging an attachment and writing a document with what was staged. `progress` is
    /// called while a filter looks for what it lets through.
    pub(crate) async fn ask(
        &self,
        request: &Request,
        progress: &Progress<'_>,
    ) -> Result<Reply, Failure> {
        match request {
            Request::Create => self.create().await,
            Request::Info(_) => {
                let (database, grant) = self.open::<Read>().await?;
                let info = database.info(&grant).await.map_err(storage)?;
                Ok(Reply::Info(Info {
                    instance_start_time: info.instance_start_time(),
                    update_seq: seq(&database, info.sequence),
                }))
            }
            Request::ReadCheckpoint(_) => self.read_checkpoint().await,
            Request::Changes { since, limit, wait } => {
                let page = self.changes(since, *limit, *wait, progress).await?;
                Ok(Reply::Page(page))
            }
            Request::Diff(revs) => self.diff(revs).await,
            Request::Fetch(fetch) => Ok(Reply::Fetched(self.fetch(fetch).await?)),
            Request::Write(documents) => self.write(documents).await,
            // What was answered is synced.
            Request::Commit(_) => {
                let (database, grant) = self.open::<Read>().await?;
                let info = database.info(&grant).await.map_err(storage)?;
                Ok(Reply::Committed(info.instance_start_time()))
            }
            Request::WriteCheckpoint { rev, checkpoint, .. } => {
                self.write_checkpoint(rev.as_deref(), checkpoint).await
            }
            Request::Stage { .. } | Request::WriteStaged { .. } => {
                let reason = "attachments are staged and written by calls of their own";
                Err(failure(FailureKind::Broken, reason))
            }
        }
    }

    /// Whether the database has moved on from `since`.
    pub(crate) async fn has_news(&self, since: &Seq) -> Result<bool, Failure> {
        let (database, _) = self.open::<Read>().await?;
        Ok(position(&database, since) < database.sequence())
    }

    async fn read_checkpoint(&self) -> Result<Reply, Failure> {
        let (database, grant) = self.open::<Read>().await?;
        match database.local(&grant, &self.checkpoint).await {
            Ok(found) => {
                let rev = format!("0-{}", found.revision);
                Ok(Reply::Checkpoint(Some((rev, Checkpoint::parse(&found.body).ok()))))
            }
            Err(LocalError::Missing) => Ok(Reply::Checkpoint(None)),
            Err(error) => Err(of_local(error)),
        }
    }

    async fn write_checkpoint(
        &self,
        rev: Option<&str>,
        checkpoint: &Checkpoint,
    ) -> Result<Reply, Failure> {
        let (database, grant) = self.open::<Write>().await?;
        // The revision was made here. 0 stands for none.
        let base = rev.and_then(|rev| rev.strip_prefix("0-")?.parse().ok()).unwrap_or(0);
        let body = checkpoint.to_json();
        let site = &self.site;
        let written = site.put_local(&database, &grant, &self.checkpoint, Some(base), &body).await;
        match written {
            Ok(revision) => Ok(Reply::CheckpointWritten(format!("0-{revision}"))),
            Err(LocalWriteError::Quota(error)) => Err(quota(&error)),
            Err(LocalWriteError::Local(error)) => Err(of_local(error)),
        }
    }

    /// The database, and the right to do something with it.
    async fn open<A: Action>(&self) -> Result<(Database, Grant<A>), Failure> {
        let found = self.site.store.find(&self.name).await.map_err(storage)?;
        let database = found.ok_or_else(no_database)?;
        let grant = authorize(&self.actor, &database.resource()).map_err(|error| access(&error))?;
        if A::NAME != Read::NAME {
            check_change(&self.name)
                .map_err(|error| failure(FailureKind::Forbidden, error.to_string()))?;
        }
        Ok((database, grant))
    }
}

/// Where a sequence is on the timelines of the database; what it does not know reads as the start.
fn position(database: &Database, seq: &Seq) -> u64 {
    use settle_model::sequence::{Sequence, Since};
    let since: Result<Since, _> = seq.text().parse();
    let end = Sequence(database.sequence());
    since.map_or(0, |since| since.resolve_on(database.timelines(), end).0)
}

fn seq(database: &Database, sequence: u64) -> Seq {
    Seq::from_text(&database.token(sequence).to_string())
}

fn failure(kind: FailureKind, reason: impl Into<String>) -> Failure {
    Failure { kind, reason: reason.into() }
}

fn no_database() -> Failure {
    failure(FailureKind::NotFound, "Database does not exist.")
}

fn access(error: &AccessError) -> Failure {
    let kind = match error {
        AccessError::Unauthorized { .. } => FailureKind::Unauthorized,
        AccessError::Forbidden { .. } => FailureKind::Forbidden,
        AccessError::Hidden => return no_database(),
    };
    failure(kind, error.to_string())
}

fn storage(error: StorageError) -> Failure {
    if matches!(error, StorageError::Gone) {
        return no_database();
    }
    failure(FailureKind::Broken, error.to_string())
}

fn quota(error: &QuotaError) -> Failure {
    let kind = match error {
        QuotaError::Databases { .. } | QuotaError::Bytes { .. } => FailureKind::Forbidden,
        QuotaError::Storage(_) => FailureKind::Broken,
    };
    failure(kind, error.to_string())
}

fn of_local(error: LocalError) -> Failure {
    match error {
        LocalError::Missing => failure(FailureKind::NotFound, "missing"),
        LocalError::Conflict => failure(FailureKind::Conflict, "Document update conflict."),
        LocalError::TooLarge { .. } => failure(FailureKind::TooLarge, error.to_string()),
        LocalError::Storage(error) => storage(error),
    }
}
