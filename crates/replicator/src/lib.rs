//! Replications of a site.
//!
//! The rules of one replication are in `settle-sync`, a state machine. Here it is *run*: its requests are carried
//! to its *peers*, which are databases of this site or behind a URL, and large attachments are
//! *spooled* between them. The *scheduler* decides which jobs run, and *documents* of `_replicator`
//! databases say which jobs there are.
//!
//! *Does not know* who asks for it over HTTP.

pub mod limits;
mod peer;
mod run;
mod scheduler;
mod spool;
mod stub;

pub use crate::scheduler::{
    AsWhom, DocumentPlace, Ended, JobEvent, JobEventKind, JobState, JobStatus, Scheduler,
    SchedulerParts, SchedulerSettings, Task,
};
