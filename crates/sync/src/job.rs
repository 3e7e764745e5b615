//! What somebody wants replicated: a document of a `_replicator` database, or the body of a
//! `_replicate` request.
//!
//! Source: `couch_replicator_parse`, whose words the errors have where they are clear. As there, a
//! member that is not known is ignored, and numbers may be written as strings. Different here:
//! - the name of a database is an endpoint, and means one of this server, as before CouchDB 3;
//! - what a job asks of workers, connections, time and retries is brought within [`crate::limits`]
//!   rather than refused;
//! - `use_checkpoints` must be a boolean, and 0 workers are refused: CouchDB fails on them later.

pub(crate) mod endpoint;
mod error;
mod parse;
pub(crate) mod url;

use std::time::Duration;

use settle_model::id::DatabaseName;

pub use self::{
    endpoint::{Credentials, Endpoint, Remote},
    error::{JobError, UrlProblem},
    url::Url,
};
use crate::seq::Seq;

/// What is to be replicated, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub source: Endpoint,
    pub target: Endpoint,
    pub selection: Selection,
    /// Of each document only the winner, not all leaves.
    pub winning_revs_only: bool,
    /// Go on when everything is there, and wait for more.
    pub continuous: bool,
    pub create_target: bool,
    /// Parameters of the request that creates the target, `q` for example.
    pub create_target_params: Vec<(String, String)>,
    /// Where to start if there is no checkpoint.
    pub since_seq: Option<Seq>,
    /// Checkpoints are read in any case, and written if this is set.
    pub use_checkpoints: bool,
    pub checkpoint_interval: Duration,
    pub use_bulk_get: bool,
    /// Rows of changes that are handled together, a portion, at most.
    pub worker_batch_size: usize,
    /// Portions under way, at most.
    pub worker_processes: usize,
    /// Requests to each peer at a time, at most.
    pub http_connections: usize,
    pub retries_per_request: u32,
    /// How long a request may make no progress.
    pub connection_timeout: Duration,
    /// Erlang's text for options of sockets. It is kept to be shown, and changes nothing.
    pub socket_options: Option<String>,
    /// In whose name a job of a `_replicator` document runs, where an administrator has set that.
    pub user_ctx: Option<UserContext>,
}

/// Which documents. The source decides, so that only these cross the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    Everything,
    /// Sorted, each once.
    DocIds(Vec<String>),
    /// A selector, minified JSON. Whether it is a right one, the source says.
    Selector(Vec<u8>),
    /// A function of a design document (`design/name`), or one that is built in (`_view`, `_design`).
    Filter {
        name: String,
        params: Vec<(String, String)>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserContext {
    pub name: Option<String>,
    pub roles: Vec<String>,
}

/// The body of a `_replicate` request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicateRequest {
    Start(Box<Job>),
    /// Cancel the job with this id, as it was shown: `0a1b…+continuous`.
    CancelId(String),
    /// Cancel the job that this describes.
    CancelJob(Box<Job>),
}

impl Job {
    /// The job of a `_replicator` document. `document` is its text as sent.
    pub fn parse(document: &[u8]) -> Result<Self, JobError> {
        parse::job(&parse::minified(document)?)
    }

    /// The design document and the name of the function that filters, if it is one of these. Its code
    /// is part of the job's id.
    pub fn filter_function(&self) -> Option<(&str, &str)> {
        match &self.selection {
            Selection::Filter { name, .. } if !name.starts_with('_') => name.split_once('/'),
            Selection::Filter { .. }
            | Selection::Everything
            | Selection::DocIds(_)
            | Selection::Selector(_) => None,
        }
    }

    /// The databases of this server that it reads from and writes to.
    pub fn local_databases(&self) -> impl Iterator<Item = &DatabaseName> {
        [&self.source, &self.target].into_iter().filter_map(|endpoint| match endpoint {
            Endpoint::Local(name) => Some(name),
            Endpoint::Remote(_) => None,
        })
    }
}

impl ReplicateRequest {
    pub fn parse(body: &[u8]) -> Result<Self, JobError> {
        parse::request(&parse::minified(body)?)
    }
}
