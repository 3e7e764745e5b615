//! Documents of `_replicator` databases: what is stored of those that are sent, and the job that one
//! stands for.
//!
//! Each document has an `owner`, in whose name it runs: who wrote it, unless an administrator of the server
//! says otherwise. Nobody else changes it; who administers the database may delete it. What is secret of
//! its endpoints is taken out and kept beside them under `sealed`, see [`sealing`](crate::sealing):
//!
//! ```text
//! {"source": "https://ada:secret@example.org/notes", "target": "notes"}
//! {"source": "https://example.org/notes", "target": "notes", "owner": "ada", "sealed": {"source": "1.…"}}
//! ```
//!
//! A document can be sent back as it was read. A seal whose endpoint has come to point to another server
//! does not open any more, and the credentials are asked for again.
//!
//! Source: `couch_replicator_docs:before_doc_update/3`, whose reasons these are. Different here: the rules
//! hold for replicated writes too, since a forged owner would be somebody else's rights; administrators of
//! the database do not write in the name of others; what CouchDB hides from other readers, nobody reads;
//! members `_replication_…` go when the document comes to ask for something else, so that it starts again.

use settle_model::{
    json::{members, string_value, unescape},
    time::Entropy,
};
use thiserror::Error;

use crate::{
    job::{Endpoint, Job, JobError, UserContext, endpoint, url::without_user},
    json::{Object, canonical, member, quoted, text_member},
    sealing::{Place, Sealer, Secrets},
};

/// The members that may hold what is secret.
const ENDPOINTS: [&str; 5] = ["source", "target", "proxy", "source_proxy", "target_proxy"];

/// What begins the names of members that the server writes.
const STATE: &str = "_replication_";

/// Why a document is refused. The text is what clients are told, with 403 `forbidden`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DocumentError {
    #[error("Can't update replication documents from other users.")]
    OtherOwner,
    #[error("`owner` must be the name of a user")]
    Owner,
    #[error("`user_ctx` must name yourself; server admins alone may name somebody else")]
    UserContext,
    #[error("`sealed` must be as it was read, or left out")]
    Sealed,
    /// They were given for another server, document or owner.
    #[error("the credentials of `{endpoint}` are sealed for something else; send them again")]
    CredentialsAgain { endpoint: &'static str },
    #[error(transparent)]
    Job(#[from] JobError),
}

/// Why a document that is stored stands for no job.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoJob {
    #[error("the document has no `owner`; write it again")]
    NoOwner,
    #[error(
        "the credentials of `{endpoint}` do not open here: they were sealed by another server, for \
         another document or for another address; write them again"
    )]
    Sealed { endpoint: &'static str },
    #[error(transparent)]
    Job(#[from] JobError),
}

/// Who writes a document.
#[derive(Debug, Clone, Copy)]
pub struct Author<'a> {
    pub name: &'a str,
    pub is_server_admin: bool,
    /// Of the database, for example as the owner of the account that it belongs to.
    pub administers: bool,
}

/// A document that somebody wants to write.
#[derive(Debug, Clone, Copy)]
pub struct Proposed<'a> {
    /// The number of the database.
    pub database: u64,
    pub id: &'a str,
    pub deleted: bool,
    /// The JSON of the document without special members but those of its state, minified.
    pub body: &'a [u8],
    /// A replica sends what it has.
    pub replicated: bool,
}

/// A document that is stored.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// The number of the database.
    pub database: u64,
    pub id: &'a str,
    pub body: &'a [u8],
}

/// How far the server has come with a document, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    Completed,
    Failed,
}

/// What a document asks for, and in whose name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub job: Job,
    pub owner: String,
}

/// Whether somebody may change the document that is `before`, or delete it.
pub fn may_change(by: Author<'_>, before: &[u8], delete: bool) -> Result<(), DocumentError> {
    let owns = text_member(before, "owner").as_deref() == Some(by.name);
    if owns || by.is_server_admin || (delete && by.administers) {
        return Ok(());
    }
    Err(DocumentError::OtherOwner)
}

/// The body that is stored for a document that somebody sends. `before` is the document as it is now.
pub fn prepare(
    by: Author<'_>,
    proposed: Proposed<'_>,
    before: Option<&[u8]>,
    sealer: &Sealer,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, DocumentError> {
    let Proposed { database, id, deleted, body, replicated } = proposed;
    if id.starts_with("_design/") {
        return Ok(body.to_vec());
    }
    if let Some(before) = before {
        may_change(by, before, deleted)?;
    }
    if deleted {
        // It asks for nothing any more.
        return Ok(kept(body, |name| !ENDPOINTS.contains(&name) && name != "sealed"));
    }
    let owner = owner(by, body)?;
    let job = Job::parse(body)?;
    check_user_context(by, job.user_ctx.as_ref())?;
    let given = member(body, "sealed").unwrap_or(b"{}");
    if given.first() != Some(&b'{') {
        return Err(DocumentError::Sealed);
    }
    let mut seals = Object::new();
    for endpoint in ENDPOINTS {
        let Some((origin, secrets)) = part(&job, body, endpoint)? else { continue };
        let place = Place { database, document: id, owner: &owner, endpoint, origin: &origin };
        if !secrets.is_empty() {
            seals.text(endpoint, &sealer.seal(&secrets, place, entropy));
            continue;
        }
        let Some(seal) = member(given, endpoint) else { continue };
        let seal = string_value(seal).ok_or(DocumentError::Sealed)?;
        match sealer.open(&seal, place) {
            Some(opened) if opened.is_current => seals.text(endpoint, &seal),
            Some(opened) => {
                seals.text(endpoint, &sealer.seal(&opened.secrets, place, entropy));
            }
            // It is found that the document cannot run here, and said in its state.
            None if replicated => seals.text(endpoint, &seal),
            None => return Err(DocumentError::CredentialsAgain { endpoint }),
        }
    }
    let seals = seals.finish();
    let mut stored = Object::new();
    let (mut has_owner, mut has_seals) = (false, seals == b"{}");
    for (key, value) in members(body) {
        match &*unescape(key) {
            "owner" => {
                stored.text("owner", &owner);
                has_owner = true;
            }
            "sealed" => {
                if !has_seals {
                    stored.raw("sealed", &seals);
                }
                has_seals = true;
            }
            name if ENDPOINTS.contains(&name) => stored.raw(name, &without_secrets(value)),
            name => stored.raw(name, value),
        }
    }
    if !has_owner {
        stored.text("owner", &owner);
    }
    if !has_seals {
        stored.raw("sealed", &seals);
    }
    let stored = stored.finish();
    match before {
        Some(before) if !replicated && asks_for_something_else(before, &stored) => {
            Ok(kept(&stored, |name| !name.starts_with(STATE)))
        }
        Some(_) | None => Ok(stored),
    }
}

/// The job that a stored document stands for.
pub fn asked(document: Stored<'_>, sealer: &Sealer) -> Result<Asked, NoJob> {
    let Stored { database, id, body } = document;
    let mut job = Job::parse(body)?;
    let owner = text_member(body, "owner").ok_or(NoJob::NoOwner)?;
    let seals = member(body, "sealed").unwrap_or(b"{}");
    for endpoint in ENDPOINTS {
        let Some(seal) = text_member(seals, endpoint) else { continue };
        let Some((origin, _)) = part(&job, body, endpoint)? else { continue };
        let place = Place { database, document: id, owner: &owner, endpoint, origin: &origin };
        let opened = sealer.open(&seal, place).ok_or(NoJob::Sealed { endpoint })?;
        let Secrets { credentials, headers } = opened.secrets;
        let (source, target) = (&mut job.source, &mut job.target);
        let (of_proxy, ends): (bool, Vec<&mut Endpoint>) = match endpoint {
            "source" => (false, vec![source]),
            "target" => (false, vec![target]),
            "source_proxy" => (true, vec![source]),
            "target_proxy" => (true, vec![target]),
            _ => (true, vec![source, target]),
        };
        for end in ends {
            match end {
                Endpoint::Remote(remote) if of_proxy => {
                    remote.proxy_credentials.clone_from(&credentials);
                }
                Endpoint::Remote(remote) => {
                    remote.credentials.clone_from(&credentials);
                    remote.headers.clone_from(&headers);
                }
                Endpoint::Local(_) => {}
            }
        }
    }
    Ok(Asked { job, owner })
}

/// Whether the server is through with a document: it does not start until its state is taken out of it.
pub fn settled(body: &[u8]) -> Option<Settled> {
    match &*text_member(body, "_replication_state")? {
        "completed" => Some(Settled::Completed),
        "failed" => Some(Settled::Failed),
        // `triggered` and `error`, which earlier servers wrote.
        _ => None,
    }
}

/// The document with another state. Members of the one before go.
pub fn with_state(body: &[u8], state: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut object = Object::new();
    for (key, value) in members(body) {
        let name = unescape(key);
        if !name.starts_with(STATE) {
            object.raw(&name, value);
        }
    }
    for (name, value) in state {
        object.raw(name, value);
    }
    object.finish()
}

/// Who the document belongs to when `by` has written it.
fn owner(by: Author<'_>, body: &[u8]) -> Result<String, DocumentError> {
    match member(body, "owner") {
        None | Some(b"null") => Ok(by.name.to_owned()),
        Some(value) => match string_value(value) {
            None => Err(DocumentError::Owner),
            Some(owner) if owner == by.name || by.is_server_admin => Ok(owner.into_owned()),
            Some(_) => Err(DocumentError::OtherOwner),
        },
    }
}

/// Whom it names beside the owner, an administrator has named.
fn check_user_context(by: Author<'_>, context: Option<&UserContext>) -> Result<(), DocumentError> {
    match context {
        Some(context) if !by.is_server_admin && context.name.as_deref() != Some(by.name) => {
            Err(DocumentError::UserContext)
        }
        Some(_) | None => Ok(()),
    }
}

/// Whom requests to an endpoint go to, and what is secret of it; `None` if it is not there, or a database
/// of this server.
fn part(
    job: &Job,
    body: &[u8],
    endpoint: &'static str,
) -> Result<Option<(String, Secrets)>, JobError> {
    let end = match endpoint {
        "source" => &job.source,
        "target" => &job.target,
        _ => {
            let text = text_member(body, endpoint).filter(|text| !text.is_empty());
            let Some(text) = text else { return Ok(None) };
            let (url, credentials) = endpoint::proxy(&text, endpoint)?;
            return Ok(Some((url.origin(), Secrets { credentials, headers: Vec::new() })));
        }
    };
    match end {
        Endpoint::Local(_) => Ok(None),
        Endpoint::Remote(remote) => {
            let (credentials, headers) = (remote.credentials.clone(), remote.headers.clone());
            Ok(Some((remote.url.origin(), Secrets { credentials, headers })))
        }
    }
}

/// An endpoint as it is stored, in its own spelling otherwise.
fn without_secrets(value: &[u8]) -> Vec<u8> {
    if let Some(text) = string_value(value) {
        return quoted(&without_user(&text));
    }
    let mut object = Object::new();
    for (key, value) in members(value) {
        match &*unescape(key) {
            "auth" | "headers" => {}
            "url" => object.raw("url", &without_secrets(value)),
            name => object.raw(name, value),
        }
    }
    object.finish()
}

fn kept(body: &[u8], keeps: impl Fn(&str) -> bool) -> Vec<u8> {
    let mut object = Object::new();
    for (key, value) in members(body) {
        let name = unescape(key);
        if keeps(&name) {
            object.raw(&name, value);
        }
    }
    object.finish()
}

fn asks_for_something_else(before: &[u8], after: &[u8]) -> bool {
    let asked = |body| canonical(&kept(body, |name| !name.starts_with(STATE)));
    asked(before) != asked(after)
}
