//! Moving in: all that a running CouchDB keeps, brought into a running Settle, and compared.
//!
//! The import asks both servers over HTTP and keeps nothing itself. Databases are replicated by the target,
//! whose checkpoints are what a second run goes on from. The databases of users and of replications are
//! copied by the import, revision by revision (`revisions`): what design documents of CouchDB would
//! forbid there, rules of the server forbid here, and replications shall not begin to run twice.
//!
//! The comparison (`compare`) looks at every leaf of every document on both sides, with bounded memory,
//! so it does not rest on what the replicator says of itself.

mod compare;
mod couch;
mod database;
mod report;
mod revisions;
mod stopped;

use std::{cell::RefCell, path::Path};

use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use self::couch::{Body, Role};
pub use self::{
    couch::{CallError, Couch, CouchUrlError},
    report::{Counts, Report, Row, Verdict},
};
use crate::{
    limits::IMPORT_PROGRESS_EVERY,
    load::Identity,
    probe::{self, ProbeError},
};

/// Databases that servers make for themselves, and that mean nothing elsewhere.
const OF_THE_SERVER: [&str; 4] = ["_global_changes", "_nodes", "_dbs", "_audit"];

/// What somebody wants brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Names, or beginnings of names with a `*` behind them. All databases if there are none.
    pub only: Vec<String>,
    pub skip: Vec<String>,
    /// Databases that are brought at the same time.
    pub concurrency: usize,
    pub replications: Replications,
}

/// What to do with documents of databases of replications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replications {
    /// They come, in a state in which they do not run.
    Stopped,
    /// They come, and run from then on.
    Started,
    /// They stay where they are.
    Left,
}

/// How far an import has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    pub databases: usize,
    pub databases_done: usize,
    /// Of databases that are done, and what replications say that run.
    pub documents: u64,
    /// Databases that are being brought, by name.
    pub running: Vec<String>,
}

#[derive(Debug, Error)]
pub enum ImportError {
    #[error("find the CouchDB to import from")]
    Source(#[source] CouchUrlError),
    #[error("find the server to import into")]
    Target(#[source] CouchUrlError),
    #[error("read the certificates that are trusted")]
    Trusted(#[source] ProbeError),
    #[error(
        "{url} does not answer like a CouchDB; expected a URL like https://name:password@host:5984"
    )]
    NotCouch { url: String },
    #[error("{url} is the server to import into")]
    Itself { url: String },
    #[error(
        "only an administrator of {url} sees all there is, and {} is none (COUCHDB_USER and \
         COUCHDB_PASSWORD, or the URL, say who asks)",
        name.as_deref().unwrap_or("nobody")
    )]
    NoAdministrator { url: String, name: Option<String> },
    #[error("there is no database {pattern} at {url}")]
    NoSuchDatabase { url: String, pattern: String },
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Both ends, and what is to be done.
#[derive(Debug)]
pub struct Import {
    source: Couch,
    target: Couch,
    wanted: Wanted,
    /// Whose replications are here that nobody owned there.
    owner: String,
}

#[derive(Deserialize)]
struct Welcome {
    couchdb: Option<String>,
    uuid: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Session {
    user_ctx: UserContext,
}

#[derive(Deserialize)]
struct UserContext {
    name: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
}

#[derive(Deserialize)]
struct ActiveTask {
    r#type: String,
    source: Option<String>,
    docs_written: Option<u64>,
    doc_id: Option<Box<RawValue>>,
}

impl Import {
    /// Credentials in the URLs come before the identities. `trusted` names a file of certificates to trust
    /// beside those of the system.
    pub fn new(
        source: (&str, Identity),
        target: (&str, Identity),
        trusted: Option<&Path>,
        wanted: Wanted,
        owner: String,
    ) -> Result<Self, ImportError> {
        let tls = probe::client(trusted).map_err(ImportError::Trusted)?;
        let source =
            Couch::new(source.0, source.1, Role::Source, &tls).map_err(ImportError::Source)?;
        let target =
            Couch::new(target.0, target.1, Role::Target, &tls).map_err(ImportError::Target)?;
        Ok(Self { source, target, wanted, owner })
    }

    /// Brings all that is wanted, and compares. What fails in one database is said of it in the report, and
    /// costs the others nothing.
    pub async fn run(&self, mut progress: impl FnMut(&Progress)) -> Result<Report, ImportError> {
        self.check().await?;
        let names = self.names().await?;
        let running = RefCell::new(Vec::new());
        let mut told = Progress { databases: names.len(), ..Progress::default() };
        let mut rows: Vec<Row> = Vec::with_capacity(names.len());
        progress(&told);
        let bringing = stream::iter(names)
            .map(async |name| {
                running.borrow_mut().push(name.clone());
                let row = self.bring(&name).await;
                running.borrow_mut().retain(|it| *it != name);
                row
            })
            .buffer_unordered(self.wanted.concurrency);
        let mut bringing = std::pin::pin!(bringing);
        let mut ticks = tokio::time::interval(IMPORT_PROGRESS_EVERY);
        let mut documents_done = 0;
        loop {
            tokio::select! {
                row = bringing.next() => match row {
                    None => break,
                    Some(row) => {
                        documents_done += row.documents_here();
                        rows.push(row);
                    }
                },
                _ = ticks.tick() => {}
            }
            told.databases_done = rows.len();
            told.documents = documents_done + self.written().await;
            told.running.clone_from(&running.borrow());
            progress(&told);
        }
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Report { rows })
    }

    /// Everything that would make all databases fail.
    async fn check(&self) -> Result<(), ImportError> {
        let url = || self.source.base().to_owned();
        let welcome: Welcome = match self.source.get(&[], &[]).await {
            Ok(welcome) => welcome,
            Err(CallError::Garbled { .. }) => return Err(ImportError::NotCouch { url: url() }),
            Err(CallError::Refused { status: 404 | 405, .. }) => {
                return Err(ImportError::NotCouch { url: url() });
            }
            Err(error) => return Err(error.into()),
        };
        if welcome.couchdb.is_none() && welcome.uuid.is_none() {
            return Err(ImportError::NotCouch { url: url() });
        }
        let here: Welcome = self.target.get(&[], &[]).await?;
        if welcome.uuid.is_some() && welcome.uuid == here.uuid {
            return Err(ImportError::Itself { url: url() });
        }
        let Session { user_ctx } = self.source.get(&["_session"], &[]).await?;
        if !user_ctx.roles.iter().any(|role| role == "_admin") {
            return Err(ImportError::NoAdministrator { url: url(), name: user_ctx.name });
        }
        Ok(())
    }

    async fn names(&self) -> Result<Vec<String>, ImportError> {
        let all: Vec<String> = self.source.get(&["_all_dbs"], &[]).await?;
        for pattern in &self.wanted.only {
            if !all.iter().any(|name| is_meant(pattern, name)) {
                let (url, pattern) = (self.source.base().to_owned(), pattern.clone());
                return Err(ImportError::NoSuchDatabase { url, pattern });
            }
        }
        Ok(all.into_iter().filter(|name| self.is_wanted(name)).collect())
    }

    fn is_wanted(&self, name: &str) -> bool {
        let Wanted { only, skip, replications, .. } = &self.wanted;
        let is_left = *replications == Replications::Left && Kind::of(name) == Kind::Replications;
        (only.is_empty() || only.iter().any(|it| is_meant(it, name)))
            && !skip.iter().any(|it| is_meant(it, name))
            && !OF_THE_SERVER.contains(&name)
            && !is_left
    }

    /// Documents that replications of this import have written, as far as the target tells.
    async fn written(&self) -> u64 {
        let tasks: Result<Vec<ActiveTask>, CallError> =
            self.target.get(&["_active_tasks"], &[]).await;
        let is_ours = |task: &&ActiveTask| {
            let source = task.source.as_deref().unwrap_or_default();
            let of_no_document = task.doc_id.as_ref().is_none_or(|id| id.get() == "null");
            task.r#type == "replication" && of_no_document && source.starts_with(self.source.base())
        };
        // That progress cannot be told is no reason to fail.
        let tasks = tasks.unwrap_or_default();
        tasks.iter().filter(is_ours).filter_map(|task| task.docs_written).sum()
    }
}

/// What a database is to the server that keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Documents,
    Users,
    Replications,
}

impl Kind {
    fn of(name: &str) -> Self {
        match name.rsplit('/').next() {
            Some("_users") => Self::Users,
            Some("_replicator") => Self::Replications,
            Some(_) | None => Self::Documents,
        }
    }

    /// A document that every CouchDB makes for itself, to enforce rules that are built in here.
    fn has_builtin(self, id: &str) -> bool {
        match self {
            Self::Documents => false,
            Self::Users => id == "_design/_auth",
            Self::Replications => id == "_design/_replicator",
        }
    }
}

fn is_meant(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_a_name_or_all_that_begin_alike() {
        assert!(is_meant("notes", "notes") && !is_meant("notes", "notes-old"));
        assert!(is_meant("userdb-*", "userdb-616461") && !is_meant("userdb-*", "userdb"));
    }

    #[test]
    fn the_last_part_of_a_name_says_what_a_database_is() {
        assert_eq!(Kind::of("_users"), Kind::Users);
        assert_eq!(Kind::of("acme/_replicator"), Kind::Replications);
        assert_eq!(Kind::of("_replicator/notes"), Kind::Documents);
    }
}
