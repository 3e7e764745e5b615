//! What a replication is called.
//!
//! The id says which two databases are replicated, which way, and what is selected, so that a job
//! finds its checkpoint again after a restart, and two jobs that would do the same are seen to be
//! one. What only changes how it is done (passwords, time limits, batch sizes) is not part of it.
//!
//! Source: `couch_replicator_ids`; the form is CouchDB's, 32 hex digits and `+continuous` or
//! `+create_target` behind them. The digits are others, as CouchDB makes them from Erlang terms: a
//! job that moves here from there compares the databases from the start.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use md5::{Digest as _, Md5};
use settle_model::id::LocalId;

use crate::{
    job::{Endpoint, Job, Selection},
    json::{array, canonical, quoted},
};

/// How the digits are made; noted in checkpoint documents. CouchDB's ways are 1 to 4. Change it when
/// the same job gives other digits than before.
pub const REPLICATION_ID_VERSION: u64 = 5;

/// Names one replication.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicationId {
    base: String,
    extension: &'static str,
}

impl ReplicationId {
    /// `server` is the uuid of this server, `filter_code` the text of the function that
    /// [`Job::filter_function`] names: another function selects other documents.
    pub fn new(server: &str, job: &Job, filter_code: Option<&str>) -> Self {
        let mut parts = vec![
            REPLICATION_ID_VERSION.to_string().into_bytes(),
            quoted(server),
            endpoint(&job.source),
            endpoint(&job.target),
        ];
        match &job.selection {
            Selection::Everything => {}
            Selection::DocIds(ids) => {
                parts.push(array(ids, |out, id| out.extend_from_slice(&quoted(id))));
            }
            Selection::Selector(selector) => parts.push(canonical(selector)),
            Selection::Filter { name, params } => {
                let code = filter_code.map_or(&**name, str::trim);
                parts.push(quoted(code));
                let mut params: Vec<_> = params.iter().collect();
                params.sort();
                parts.push(array(params, |out, (key, value)| {
                    out.extend_from_slice(&array([key, value], |out, text| {
                        out.extend_from_slice(&quoted(text));
                    }));
                }));
            }
        }
        if job.winning_revs_only {
            parts.push(quoted("winning_revs_only"));
        }
        if let Some(since) = &job.since_seq {
            parts.push(array([since.as_json()], |out, it| out.extend_from_slice(it.as_bytes())));
        }
        let text = array(&parts, |out, part| out.extend_from_slice(part));
        Self {
            base: hex::encode(Md5::digest(text)),
            extension: match (job.continuous, job.create_target) {
                (false, false) => "",
                (true, false) => "+continuous",
                (false, true) => "+create_target",
                (true, true) => "+continuous+create_target",
            },
        }
    }

    /// The digits alone. A one-shot and a continuous job share them, and the checkpoint.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The document that has the checkpoint, on both sides.
    pub fn checkpoint_id(&self) -> LocalId {
        LocalId::from_name(&self.base).expect("hex digits are a name")
    }
}

impl fmt::Display for ReplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.base, self.extension)
    }
}

/// Without the scheme, as CouchDB does: a peer that moves to https stays the same. With the user, who
/// may see other documents than the next one. Of headers a digest, since they may be secret.
fn endpoint(endpoint: &Endpoint) -> Vec<u8> {
    let parts = match endpoint {
        Endpoint::Local(name) => vec!["local".to_owned(), name.to_string()],
        Endpoint::Remote(remote) => {
            let url = &remote.url;
            let headers = array(&remote.headers, |out, (name, value)| {
                out.extend_from_slice(&quoted(&name.to_ascii_lowercase()));
                out.push(b',');
                out.extend_from_slice(&quoted(value));
            });
            vec![
                "remote".to_owned(),
                remote.credentials.as_ref().map(|it| it.username.clone()).unwrap_or_default(),
                url.host.clone(),
                url.unusual_port().map(|port| port.to_string()).unwrap_or_default(),
                url.path.clone(),
                url.query.clone().unwrap_or_default(),
                STANDARD_NO_PAD.encode(Md5::digest(headers)),
            ]
        }
    };
    array(parts, |out, part| out.extend_from_slice(&quoted(&part)))
}
